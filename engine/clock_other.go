//go:build !linux

package engine

import "time"

// threadClock says that threadCPU is the time on the wall: there is no clock
// of a thread that is cheap enough, so waiting counts as processor time.
const threadClock = false

func threadCPU() time.Duration { return monotonic() }
