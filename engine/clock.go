package engine

import "time"

var processStart = time.Now()

// monotonic is the time since this process began.
func monotonic() time.Duration { return time.Since(processStart) }
