package engine

import (
	"context"
	"time"
)

// Reading the thread's clock is a system call, of 0.3 us. Where calls last a
// few microseconds (Config.BriefCalls), it is read only in those that turn
// out to last: what such a call used before its first reading is then known
// from what it lasted, for a guest that runs for so short a time is rarely
// interrupted. If it lasted long until then, it may have been, or it had host
// functions work for it; it is counted roughest, and the next calls are
// measured from their beginning. So a guest gains nothing by keeping away
// from checks.

const (
	// roughest is how long a call may last to be counted as what it lasted.
	roughest = 300 * time.Microsecond
	// exactCalls is how many calls are measured after one that lasted longer.
	exactCalls = 16
)

// beginCPU begins to count.
func (c *call) beginCPU() {
	in := c.in
	if c.rough = in.rough && in.exact == 0; !c.rough {
		c.cpu = threadCPU()
	}
	if in.exact > 0 {
		in.exact--
	}
}

// spent is the processor time that the call has used so far. It is for the
// call's own goroutine.
func (c *call) spent() time.Duration {
	now := threadCPU()
	if c.rough {
		c.rough = false
		lasted := monotonic() - c.start
		if lasted > roughest {
			lasted = roughest
			c.in.exact = exactCalls
		}
		c.cpu = now - lasted
	}
	return now - c.cpu
}

// CPUTime is the processor time that the instance has used whose call ctx is
// of, the call under way included, and 0 if ctx is of none. Host functions may
// ask for it, in the goroutine that they were called in. It is what
// wasi.Config.CPUTime wants.
func CPUTime(ctx context.Context) time.Duration {
	c := callOf(ctx)
	if c == nil {
		return 0
	}
	c.in.mu.Lock()
	before := c.in.used.CPU
	c.in.mu.Unlock()
	return before + c.spent()
}

// finalCPU is what the call has used that is over after wall.
func (c *call) finalCPU(wall time.Duration) time.Duration {
	if c.rough && wall <= roughest {
		return wall
	}
	return c.spent()
}
