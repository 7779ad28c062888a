package wasi

import (
	"fmt"
	"time"
)

// The limits of a guest, as [LimitError] names them.
const (
	LimitMemory = "memory" // bytes of linear memory
	LimitCPU    = "cpu"    // nanoseconds of processor time
	LimitWall   = "wall"   // nanoseconds of time on the wall
	LimitOutput = "output" // bytes written to standard output and standard error
	LimitFiles  = "files"  // open descriptors
)

// A LimitError ends a guest that wanted more than it was given. Host
// functions panic with it; the call that entered the guest returns an error
// that errors.As finds it in.
type LimitError struct {
	Limit string // which: LimitMemory, LimitCPU, ...
	Max   int64  // what was given: bytes, nanoseconds or a number
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("guest exceeded its %s limit of %s: give it more with the limit %q, or look at what it does with it",
		e.Limit, e.max(), e.Limit)
}

func (e *LimitError) max() string {
	switch e.Limit {
	case LimitCPU, LimitWall:
		return time.Duration(e.Max).String()
	case LimitMemory, LimitOutput:
		return bytesText(e.Max)
	default:
		return fmt.Sprint(e.Max)
	}
}

// bytesText is n as the configuration file has it: 64MiB, 1500B.
func bytesText(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB"}
	i := 0
	for n >= 1024 && n%1024 == 0 && i < len(units)-1 {
		n /= 1024
		i++
	}
	return fmt.Sprint(n, units[i])
}
