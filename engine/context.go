package engine

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hako-run/hako/wasi"
)

// A call is one call from outside, and the context that host functions get
// for as long as it lasts. It ends at the limits of its instance; a value is
// looked for in Config.Values first, then in the caller's context.
type call struct {
	parent context.Context
	done   <-chan struct{} // the parent's
	in     *Instance

	start    time.Duration // on the monotonic clock
	deadline time.Duration // on the monotonic clock, 0 if there is none
	cpu      time.Duration // the thread's when the call began
	rough    bool          // it is not known yet
	cpuLimit time.Duration // what the call may use, 0 if any
	alarm    alarm         // of the guest's goroutine
	fibers   *fibers       // likewise; nil if it made none

	// derived makes a channel and a timer of all this. Most calls ask for
	// none of it, so it is made when first needed.
	derived atomic.Pointer[derivedContext]
	mu      sync.Mutex
	ended   bool
}

type derivedContext struct {
	context.Context
	cancel context.CancelCauseFunc
	stop   context.CancelFunc
}

// callKey finds the call in a context that was made of it.
type callKey struct{}

// callOf returns the call that ctx belongs to, or nil.
func callOf(ctx context.Context) *call {
	if c, ok := ctx.(*call); ok {
		return c
	}
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// FromContext returns the instance that a host function was called by, or nil
// if ctx is not of a call.
func FromContext(ctx context.Context) *Instance {
	if c := callOf(ctx); c != nil {
		return c.in
	}
	return nil
}

// derive returns the context with a channel.
func (c *call) derive() *derivedContext {
	if d := c.derived.Load(); d != nil {
		return d
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.derived.Load(); d != nil {
		return d
	}
	d := &derivedContext{stop: func() {}}
	base := c.parent
	if c.deadline > 0 {
		base, d.stop = context.WithDeadlineCause(base, processStart.Add(c.deadline), c.in.wallError())
	}
	d.Context, d.cancel = context.WithCancelCause(base)
	switch {
	case c.ended:
		d.cancel(nil)
	case c.in.stopping.Load():
		d.cancel(errStopped)
	}
	c.derived.Store(d)
	return d
}

// end releases what derive made. If there was nothing, and contexts are
// brief, the context is ready for another call.
func (c *call) end() (again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.derived.Load(); d != nil {
		d.cancel(nil)
		d.stop()
	} else if c.in.brief {
		c.parent, c.done, c.deadline, c.cpuLimit, c.alarm, c.fibers = nil, nil, 0, 0, alarm{}, nil
		return true
	}
	c.ended = true
	return false
}

// interrupt makes waiting host functions return and the next check end the
// guest; in.stopping was set before.
func (c *call) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.derived.Load(); d != nil {
		d.cancel(errStopped)
	}
}

func (c *call) Deadline() (time.Time, bool) {
	t, ok := c.parent.Deadline()
	if c.deadline > 0 {
		if own := processStart.Add(c.deadline); !ok || own.Before(t) {
			return own, true
		}
	}
	return t, ok
}

func (c *call) Done() <-chan struct{} { return c.derive().Done() }

func (c *call) Err() error { return c.derive().Err() }

func (c *call) Value(key any) any {
	switch key {
	case callKey{}:
		return c
	case waiterKey:
		return c // see Wait
	}
	if v := c.in.values.get(key); v != nil {
		return v
	}
	// The derived context must be seen by contexts made of this one, so that
	// their cancellation needs no goroutine.
	if d := c.derived.Load(); d != nil {
		return d.Value(key)
	}
	return c.parent.Value(key)
}

var waiterKey = wasi.WaiterKey()

// Wait lets go of the thread while f waits: otherwise each guest that waits
// would hold one, of which a process can have 10,000. It is what wasi.Wait
// finds.
func (c *call) Wait(f func()) {
	spent := c.spent()
	runtime.UnlockOSThread()
	defer func() {
		runtime.LockOSThread()
		c.cpu = threadCPU() - spent
	}()
	f()
}

// values remembers what was found in a context, so that finding it again
// costs a few comparisons: host functions look for their state on every call.
type values struct {
	from  context.Context
	found atomic.Pointer[[]keyValue]
}

type keyValue struct{ key, value any }

// maxFound bounds the list; there are few keys that are asked for often.
const maxFound = 8

func (v *values) get(key any) any {
	if v.from == nil {
		return nil
	}
	found := v.found.Load()
	if found != nil {
		for i := range *found {
			if (*found)[i].key == key {
				return (*found)[i].value
			}
		}
	}
	value := v.from.Value(key)
	if value == nil {
		return nil
	}
	next := []keyValue{{key, value}}
	if found != nil {
		if len(*found) == maxFound {
			return value
		}
		next = append(next, *found...)
	}
	v.found.CompareAndSwap(found, &next)
	return value
}
