package wasi

import "time"

// A Clock is what a guest takes the time from. All in nanoseconds.
type Clock interface {
	Realtime() int64  // since 1970
	Monotonic() int64 // since any moment; never goes back
	// After makes a channel that is closed, or gets a value, when d has
	// passed, and a function that gives it up.
	After(d time.Duration) (<-chan time.Time, func())
}

// The monotonic clock begins with the process, so that no guest learns how
// long the host is up, and a template frozen by this process never sees it go
// back.
var began = time.Now()

type realClock struct{}

func (realClock) Realtime() int64  { return time.Now().UnixNano() }
func (realClock) Monotonic() int64 { return int64(time.Since(began)) + 1 }

func (realClock) After(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}
