package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"github.com/hako-run/hako/wasi"
)

// errStopped is what a check ends a guest with whose instance was closed.
var errStopped = fmt.Errorf("instance was closed during the call: %w", ErrClosed)

// Call calls an exported function and returns its results. Numbers are passed
// as their bits: an i32 in the lower half, floats by math.Float64bits and the
// like. Host functions may call back in with the context that they got; such
// a call is part of the one that it comes from.
//
// The error is one of these, or wraps it: [*ExitError], [*TrapError],
// [*LimitError]; the cause of ctx's end; [ErrBusy], [ErrClosed], [ErrEnded],
// [ErrNoFunction]. After the first three and the end of ctx, the guest has
// ended, unless the call was one back in.
func (in *Instance) Call(ctx context.Context, name string, args ...uint64) ([]uint64, error) {
	if strings.HasPrefix(name, reserved) {
		return nil, in.noFunction(name)
	}
	return in.call(ctx, name, args)
}

func (in *Instance) call(ctx context.Context, name string, args []uint64) ([]uint64, error) {
	f, err := in.function(name)
	if err != nil {
		return nil, err
	}
	if len(args) != f.params {
		return nil, fmt.Errorf("call %s of %s: it has %d parameters, not %d", name, in.module, f.params, len(args))
	}
	stack := make([]uint64, max(f.params, f.results))
	copy(stack, args)
	if err := in.invoke(ctx, &Function{in: in, f: f}, stack); err != nil {
		return nil, err
	}
	return stack[:f.results], nil
}

// CallWithStack is Call without allocations: stack holds the arguments and,
// after the call, the results; it must have room for both.
func (in *Instance) CallWithStack(ctx context.Context, name string, stack []uint64) error {
	f, err := in.function(name)
	if err != nil {
		return err
	}
	fn := Function{in: in, f: f}
	return fn.CallWithStack(ctx, stack)
}

// A Function is an exported function of an instance: for what is called so
// often that looking for its name counts. It is used as its instance is, by
// one call at a time.
type Function struct {
	in   *Instance
	f    *exportedFunction
	idle *[]api.Function // of the instance's body, nil before the first call
}

// Function finds an exported function. The error is [ErrNoFunction].
func (in *Instance) Function(name string) (*Function, error) {
	f, err := in.function(name)
	if err != nil || strings.HasPrefix(name, reserved) {
		return nil, in.noFunction(name)
	}
	return &Function{in: in, f: f}, nil
}

// CallWithStack is [Instance.CallWithStack].
func (fn *Function) CallWithStack(ctx context.Context, stack []uint64) error {
	if need := max(fn.f.params, fn.f.results); len(stack) < need {
		return fmt.Errorf("call %s of %s: it needs a stack of %d, not %d", fn.f.name, fn.in.module, need, len(stack))
	}
	return fn.in.invoke(ctx, fn, stack)
}

// Run runs a program from its beginning to its end, "_start", or readies a
// library, "_initialize": whichever the module exports. Exiting with code 0
// is success; another code is an [*ExitError].
func (in *Instance) Run(ctx context.Context) error {
	for _, name := range []string{"_start", "_initialize"} {
		if !in.module.hasFunction(name) {
			continue
		}
		_, err := in.Call(ctx, name)
		if exit, ok := err.(*ExitError); ok && exit.Code == 0 {
			return nil
		}
		return err
	}
	return fmt.Errorf("run %s: it exports neither _start nor _initialize: %w", in.module, ErrNoFunction)
}

// HasFunction tells whether the module exports a function of that name.
func (in *Instance) HasFunction(name string) bool {
	return in.module.hasFunction(name) && !strings.HasPrefix(name, reserved)
}

func (in *Instance) function(name string) (*exportedFunction, error) {
	f, ok := in.module.functions[name]
	if !ok {
		return nil, in.noFunction(name)
	}
	return f, nil
}

func (in *Instance) noFunction(name string) error {
	return fmt.Errorf("call %s of %s: %w", name, in.module, ErrNoFunction)
}

// invoke makes a call, from outside or back in.
func (in *Instance) invoke(ctx context.Context, fn *Function, stack []uint64) error {
	for c := callOf(ctx); c != nil; c = callOf(c.parent) {
		if c.in == in {
			return in.callBack(ctx, c, fn, stack)
		}
	}
	// Processor time is counted for a thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c, err := in.begin(ctx, fn.f)
	if err != nil {
		return err
	}
	defer in.finish(c, &err)
	err = in.enter(c, c, fn, stack)
	return err
}

func (in *Instance) callBack(ctx context.Context, c *call, fn *Function, stack []uint64) error {
	if in.current.Load() != c {
		return fmt.Errorf("call %s of %s with the context of a call that is over: %w", fn.f.name, in.module, ErrBusy)
	}
	return in.enter(ctx, c, fn, stack)
}

// enter runs the guest.
func (in *Instance) enter(ctx context.Context, c *call, fn *Function, stack []uint64) error {
	b := in.body
	if fn.idle == nil {
		fn.idle = b.pool(fn.f)
	}
	f := b.take(fn.f, fn.idle)
	b.active = append(b.active, f)
	err := f.CallWithStack(ctx, stack)
	b.active = b.active[:len(b.active)-1]
	if err != nil {
		// The function is not used again: its stack may be large.
		return c.explain(fn.f, err)
	}
	*fn.idle = append(*fn.idle, f)
	return nil
}

// begin starts a call from outside.
func (in *Instance) begin(ctx context.Context, f *exportedFunction) (*call, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("call %s of %s: %w", f.name, in.module, context.Cause(ctx))
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.closed:
		return nil, fmt.Errorf("call %s of %s: %w", f.name, in.module, ErrClosed)
	case in.ended != nil:
		return nil, fmt.Errorf("call %s of %s: %w", f.name, in.module, &endedError{in.ended})
	case in.current.Load() != nil:
		return nil, fmt.Errorf("call %s of %s: %w", f.name, in.module, ErrBusy)
	}
	c := in.spare
	if in.spare = nil; c == nil {
		c = &call{in: in}
	}
	c.parent, c.done, c.start = ctx, ctx.Done(), monotonic()
	if limit := in.limits.Wall; limit > 0 {
		left := limit - (in.used.Wall - in.renewed.Wall)
		if left <= 0 {
			return nil, in.wallError()
		}
		c.deadline = c.start + left
	}
	if limit := in.limits.CPU; limit > 0 {
		if c.cpuLimit = limit - (in.used.CPU - in.renewed.CPU); c.cpuLimit <= 0 {
			return nil, in.cpuError()
		}
	}
	in.body.pace.at = -1
	in.running.Store(0)
	c.beginCPU()
	in.current.Store(c)
	return c, nil
}

// finish ends a call from outside that had the outcome *err.
func (in *Instance) finish(c *call, err *error) {
	if c.fibers != nil {
		in.lost += c.fibers.end()
	}
	wall := monotonic() - c.start
	cpu := c.finalCPU(wall)
	again := c.end()
	output := in.output()
	in.mu.Lock()
	in.used.Output = output
	in.used.CPU += cpu
	in.used.Wall += wall
	in.used.Calls++
	in.current.Store(nil)
	if again {
		in.spare = c
	}
	if *err != nil {
		in.ended = *err
	}
	closed := in.closed
	in.mu.Unlock()
	if closed {
		if cerr := in.dispose(); cerr != nil && *err == nil {
			*err = cerr
		}
	}
}

// explain makes the error that a call returns of the one that wazero returned.
func (c *call) explain(f *exportedFunction, err error) error {
	in := c.in
	var exit *ExitError
	var limit *LimitError
	var other *fiberError
	switch {
	case errors.As(err, &other):
		return other.error
	case errors.As(err, &exit):
		if exit.Code == 0 {
			return exit
		}
		return c.starved(exit)
	case errors.As(err, &limit):
		return limit
	case errors.Is(err, errStopped):
		return errStopped
	}
	// A host function that waited, or a check, passes on why ctx ended.
	byContext := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	if perr := c.parent.Err(); perr != nil {
		cause := context.Cause(c.parent)
		switch {
		case !byContext && !errors.Is(err, cause):
			// The context ended too, but the guest did not end of that.
		case cause != perr:
			return fmt.Errorf("call %s of %s: %w (%w)", f.name, in.module, cause, perr)
		default:
			return fmt.Errorf("call %s of %s: %w", f.name, in.module, perr)
		}
	}
	if byContext {
		if in.stopping.Load() {
			return errStopped
		}
		if c.deadline > 0 && monotonic() >= c.deadline {
			return in.wallError()
		}
	}
	return c.starved(newTrapError(in.module, err))
}

// starved tells of memory that the guest was refused before it ended so.
func (c *call) starved(end error) error {
	mem := c.in.memory.Load()
	if mem == nil || mem.denied.Load() == 0 {
		return end
	}
	return &starvedError{end, mem.denied.Load(), &LimitError{Limit: wasi.LimitMemory, Max: int64(mem.limit)}}
}
