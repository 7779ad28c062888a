package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// FiberModule is the module that guests import fibers from: stacks of their own,
// of which one runs at any time, for coroutines. It is there in every engine.
//
// "make", with a parameter i32 and a result i32, makes a fiber and returns its
// number, or -1 if there are [MaxFibers]. When it is first switched to, the
// guest's export [FiberEntry] is called with that parameter, on a stack that is
// new as far as WebAssembly knows one; the part of it that a compiler keeps in
// the memory, as C does, is the guest's to switch. That function must not
// return.
//
// "switch", with a fiber's number, lets that one go on and returns when somebody
// switches back. 0 is the call from outside. "free" gives up a fiber that is not
// running; nothing of it runs anymore. Numbers are not used again.
//
// The fibers that are left when the call from outside is over are given up then,
// and the instance can no longer be frozen.
const FiberModule = "hako_fiber_v1"

// FiberEntry is the function of a guest that its fibers begin in.
const FiberEntry = "hako_fiber"

// MaxFibers is how many fibers an instance may have.
const MaxFibers = 4096

var (
	errNoFiber       = errors.New("there is no such fiber to switch to")
	errFiberReturned = errors.New("the function of a fiber returned")
	errNoFiberEntry  = errors.New("the module does not export " + FiberEntry + " with a parameter i32")
)

// A fiber is a goroutine in a call of wazero's of its own. All of them but one
// wait in switchTo, the call from outside, which is a fiber too, included.
type fiber struct {
	number  uint32
	arg     uint64
	started bool
	wake    chan wakeup
	// While it waits:
	active []api.Function // body.active
	stacks int            // their size, in body.parked
}

// wakeup is what a fiber is told that goes on.
type wakeup struct {
	end bool  // by ending
	err error // by failing: another fiber ended the guest
}

// fiberError is the error of a call, explained, that another fiber had.
type fiberError struct{ error }

func (e *fiberError) Unwrap() error { return e.error }

// fibers are those of a call from outside. They belong to the goroutine that
// runs the guest; switching hands them over.
type fibers struct {
	c       *call
	list    map[uint32]*fiber
	outside fiber
	running *fiber
	spent   time.Duration // processor time of the call, while it is handed over
	over    sync.WaitGroup
}

// instantiateFibers registers FiberModule.
func instantiateFibers(ctx context.Context, rt wazero.Runtime) error {
	i32 := []api.ValueType{api.ValueTypeI32}
	host := func(f func(c *call, stack []uint64)) api.GoFunc {
		return func(ctx context.Context, stack []uint64) {
			c := callOf(ctx)
			if c == nil {
				panic(errors.New("fibers are for calls of an Instance"))
			}
			f(c, stack)
		}
	}
	_, err := rt.NewHostModuleBuilder(FiberModule).
		NewFunctionBuilder().WithGoFunction(host((*call).makeFiber), i32, i32).Export("make").
		NewFunctionBuilder().WithGoFunction(host((*call).switchFiber), i32, nil).Export("switch").
		NewFunctionBuilder().WithGoFunction(host((*call).freeFiber), i32, nil).Export("free").
		Instantiate(ctx)
	return err
}

func (c *call) makeFiber(stack []uint64) {
	entry, ok := c.in.module.functions[FiberEntry]
	if !ok || entry.params != 1 || entry.results != 0 {
		panic(errNoFiberEntry)
	}
	if c.fibers == nil {
		c.fibers = &fibers{c: c, list: map[uint32]*fiber{}, outside: fiber{started: true, wake: make(chan wakeup, 1)}}
		c.fibers.running = &c.fibers.outside
	}
	fs := c.fibers
	if len(fs.list) >= MaxFibers || c.in.fibers == math.MaxInt32 {
		stack[0] = uint64(^uint32(0))
		return
	}
	c.in.fibers++
	f := &fiber{number: c.in.fibers, arg: stack[0], wake: make(chan wakeup, 1)}
	fs.list[f.number] = f
	stack[0] = uint64(f.number)
}

func (c *call) switchFiber(stack []uint64) {
	fs, number := c.fibers, uint32(stack[0])
	if fs == nil {
		panic(errNoFiber)
	}
	to := fs.list[number]
	if number == 0 {
		to = &fs.outside
	}
	if to == nil || to == fs.running {
		panic(errNoFiber)
	}
	fs.switchTo(to)
}

func (c *call) freeFiber(stack []uint64) {
	fs, number := c.fibers, uint32(stack[0])
	if fs == nil || fs.list[number] == nil || fs.list[number] == fs.running {
		panic(errNoFiber)
	}
	fs.drop(fs.list[number])
}

// switchTo lets another fiber go on and waits until this one may.
func (fs *fibers) switchTo(to *fiber) {
	from := fs.running
	fs.park(from)
	fs.spent = fs.c.spent()
	// A goroutine that waits must not hold a thread: see Wait.
	runtime.UnlockOSThread()
	fs.unpark(to)
	if to.started {
		to.wake <- wakeup{}
	} else {
		to.started = true
		fs.over.Go(func() { fs.run(to) })
	}
	how := <-from.wake
	if how.end {
		runtime.Goexit() // which leaves wazero's call without a trace of it
	}
	runtime.LockOSThread()
	fs.c.cpu = threadCPU() - fs.spent
	if how.err != nil {
		panic(&fiberError{how.err})
	}
}

// run is the goroutine of a fiber that was switched to for the first time.
func (fs *fibers) run(f *fiber) {
	c := fs.c
	runtime.LockOSThread()
	c.cpu = threadCPU() - fs.spent
	entry, b := c.in.module.functions[FiberEntry], c.in.body
	fn := b.mod.ExportedFunction(entry.name)
	b.active = append(b.active, fn)
	err := fn.CallWithStack(c, []uint64{f.arg})
	if err == nil {
		err = fmt.Errorf("%s: %w", entry.name, errFiberReturned)
	}
	// The guest has ended. Whatever else it was doing, the call from outside
	// tells.
	err = c.explain(entry, err)
	delete(fs.list, f.number)
	fs.park(f)
	fs.spent = c.spent()
	runtime.UnlockOSThread()
	b.parked -= f.stacks
	fs.unpark(&fs.outside)
	fs.outside.wake <- wakeup{err: err}
}

// park takes what is running out of the body, and unpark puts another's there.
func (fs *fibers) park(f *fiber) {
	b := fs.c.in.body
	f.active, b.active = b.active, nil
	f.stacks = b.stacks(f.active)
	b.parked += f.stacks
}

func (fs *fibers) unpark(f *fiber) {
	b := fs.c.in.body
	b.parked -= f.stacks
	b.active, f.active, f.stacks = f.active, nil, 0
	fs.running = f
}

// drop ends a fiber that waits.
func (fs *fibers) drop(f *fiber) {
	delete(fs.list, f.number)
	fs.c.in.body.parked -= f.stacks
	if f.started {
		f.wake <- wakeup{end: true}
	}
}

// end ends all of them when the call from outside is over, and returns how many
// the guest had not freed.
func (fs *fibers) end() int {
	left := len(fs.list)
	for _, f := range fs.list {
		fs.drop(f)
	}
	fs.over.Wait()
	return left
}
