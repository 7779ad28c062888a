package engine

import "context"

// Over returns why the call that ctx belongs to has to end, nil if it need
// not: that is for host functions that work for long on the guest's behalf,
// which ask now and then, on the goroutine that they were called on, and panic
// with what is returned. Of a ctx that belongs to no call it returns the cause
// of its end.
func Over(ctx context.Context) error {
	c := callOf(ctx)
	if c == nil || ctx.Err() != nil {
		return context.Cause(ctx)
	}
	cpu := c.spent()
	c.in.running.Store(int64(cpu))
	if c.cpuLimit > 0 && cpu >= c.cpuLimit {
		return c.in.cpuError()
	}
	return nil
}
