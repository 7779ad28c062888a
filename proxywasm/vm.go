package proxywasm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/wasi"
)

// A vm is one instance of a plugin with its contexts. Whoever holds its lock
// runs it; what is to be told to embedders waits until the lock is free.
type vm struct {
	plugin  *Plugin
	profile *Profile
	number  int
	in      *engine.Instance
	// The plugin's functions, nil where it has none.
	functions [callbackCount]*engine.Function
	allocator *engine.Function
	log       [2]logWriter // standard output and error
	clock     wasiClock

	load atomic.Int32 // goroutines that want the lock or hold it
	dead atomic.Bool  // it has failed

	mu       sync.Mutex
	ctx      context.Context // of Load while it starts
	stack    [8]uint64
	room     [1]uint64 // the allocator's
	phase    phase
	contexts map[uint32]*scope
	roots    []*scope
	nextID   uint32
	nextHTTP uint32 // the number of an HTTP call: no two roots have the same
	// The context of the callback under way, and the one that the plugin
	// chose instead (proxy_set_effective_context), or nil.
	current, effective *scope
	used               engine.Usage
	leaving            []*scope // proxy_done was called
	notes              []note   // for embedders, when the lock is free
	failure            error    // why the VM failed, or errVMClosed
	buried             bool
	counted            bool   // the plugin has it among its own, under its lock
	begun              bool   // what the clocks tell is the guest's
	running            bool   // it is configured: limits are those of a callback
	closing            bool   // its roots are done
	pairs, value       []byte // scratch
	event              Event
	replay             *replayer

	inbox inbox
}

// phase is what the plugin may do.
type phase int

const (
	phaseStart phase = iota // _start, _initialize and main: only logs and WASI
	phaseRun
	phaseAlloc // the allocator, as phaseStart
)

var errVMClosed = errors.New("the plugin was closed")

// vmKey finds the vm in the context of a host function.
type vmKey struct{}

// open gives the vm its instance, by f.
func (vm *vm) open(f func(engine.Config) (*engine.Instance, error)) error {
	cfg := &vm.plugin.cfg
	vm.clock = wasiClock{Clock: cfg.Clock, vm: vm}
	vm.log = [2]logWriter{{vm, LogInfo}, {vm, LogError}}
	system, err := wasi.NewSystem(wasi.Config{
		Env: cfg.Env, Stdout: &vm.log[0], Stderr: &vm.log[1], Clock: &vm.clock, Random: random{vm},
	})
	if err != nil {
		return err
	}
	vm.begun = true
	values := context.WithValue(wasi.NewContext(context.Background(), system), vmKey{}, vm)
	vm.in, err = f(engine.Config{
		Limits: engine.Limits{Memory: cfg.Limits.Memory, CPU: cfg.Limits.Start},
		Values: values,
		States: []io.Closer{system},

		BriefContexts: true,
		BriefCalls:    true,
	})
	if err != nil {
		return err
	}
	return vm.find()
}

// find finds what is called often.
func (vm *vm) find() (err error) {
	if vm.allocator, err = vm.in.Function(vm.profile.Allocator); err != nil {
		return err
	}
	for cb := range vm.profile.callbacks {
		if name := vm.profile.callbacks[cb].name; name != "" {
			if vm.functions[cb], err = vm.in.Function(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// start runs what a plugin does when it is loaded, and configures its roots,
// unless ctx ends.
func (vm *vm) start(ctx context.Context) error {
	vm.ctx = ctx
	defer func() { vm.ctx = context.Background() }()
	if vm.profile.Start != "" {
		if _, err := vm.in.Call(vm.ctx, vm.profile.Start); err != nil {
			return fmt.Errorf("%s: %w", vm.profile.Start, err)
		}
		if main := vm.profile.main; main.name != "" {
			if _, err := vm.in.Call(vm.ctx, main.name, make([]uint64, main.params)...); err != nil {
				return fmt.Errorf("%s: %w", main.name, err)
			}
		}
	}
	vm.phase = phaseRun
	for i := range vm.plugin.cfg.Roots {
		if err := vm.startRoot(vm.newRoot(i)); err != nil {
			return err
		}
	}
	vm.running = true
	return nil
}

// startRoot makes a root known to the plugin and configures it.
func (vm *vm) startRoot(root *scope) error {
	vm.call(root, onContextCreate, uint64(root.id), 0)
	started, ok := vm.call(root, onVMStart, uint64(root.id), uint64(len(vm.plugin.cfg.VMConfig)))
	if ok && started == 0 && vm.profile.callbacks[onVMStart].results > 0 {
		return fmt.Errorf("proxy_on_vm_start: the plugin refuses the VM's configuration (its log may say why): %w", ErrConfigure)
	}
	root.configures = true
	configured, ok := vm.call(root, onConfigure, uint64(root.id), uint64(len(root.config.Config)))
	root.configures = false
	if ok && configured == 0 && vm.profile.callbacks[onConfigure].results > 0 {
		return fmt.Errorf("proxy_on_configure: the plugin refuses the configuration of root %q (its log may say why): %w",
			root.config.RootID, ErrConfigure)
	}
	return vm.failure
}

// renew gives the VM the limits of one callback.
func (vm *vm) renew() error {
	return vm.in.Renew(engine.Limits{Memory: vm.plugin.cfg.Limits.Memory, CPU: vm.plugin.cfg.Limits.CPU})
}

// call makes a callback and returns its result; 0 and true if the plugin does
// not have it, false if the VM failed, before or by it. The lock is held.
func (vm *vm) call(c *scope, cb callback, args ...uint64) (uint64, bool) {
	f := &vm.profile.callbacks[cb]
	if vm.failure != nil {
		return 0, false
	}
	if f.name == "" {
		return 0, true
	}
	vm.stack = [8]uint64{}
	copy(vm.stack[:f.params], args)
	vm.current, vm.effective, vm.clock.today = c, nil, 0
	if vm.plugin.cfg.Recorder != nil {
		vm.recordEnter(f.name, vm.stack[:f.params])
	}
	if vm.running {
		if err := vm.renew(); err != nil {
			vm.fail(err)
			return 0, false
		}
	}
	err := vm.functions[cb].CallWithStack(vm.ctx, vm.stack[:])
	before := vm.used
	vm.used = vm.in.Usage()
	vm.current, vm.effective = nil, nil
	result := uint64(uint32(vm.stack[0]))
	if f.results == 0 || err != nil {
		result = 0
	}
	vm.plugin.stats.called(cb, vm.used.Wall-before.Wall, vm.used.CPU-before.CPU)
	if vm.plugin.cfg.Recorder != nil {
		vm.recordLeave(f.name, c, result, err)
	}
	if err != nil {
		vm.fail(fmt.Errorf("%s: %w", f.name, err))
		return 0, false
	}
	return result, true
}

// fail marks the VM as failed. Its streams learn of it when the lock is free.
func (vm *vm) fail(err error) {
	if vm.failure == nil {
		vm.failure = err
		vm.dead.Store(true)
	}
}

// acquire takes the lock.
func (vm *vm) acquire() {
	vm.load.Add(1)
	vm.mu.Lock()
}

// release frees the lock and tells embedders what happened meanwhile.
func (vm *vm) release() {
	for len(vm.leaving) > 0 && vm.failure == nil {
		c := vm.leaving[0]
		vm.leaving = vm.leaving[1:]
		c.leaving = false
		c.remove()
	}
	failed := vm.failure != nil && !vm.buried
	if failed {
		vm.bury()
	}
	done := vm.closing && !vm.buried && len(vm.contexts) == 0
	if done {
		vm.failure, vm.buried = errVMClosed, true
	}
	notes := vm.notes
	vm.notes = nil
	vm.mu.Unlock()
	vm.load.Add(-1)
	for _, n := range notes {
		n.tell()
		n.s.told(n.what)
	}
	if failed || done {
		vm.end()
	}
}

// bury ends the contexts of a VM that failed. The lock is held.
func (vm *vm) bury() {
	vm.buried = true
	for _, c := range vm.contexts {
		if c.stream != nil {
			c.stream.fail()
		}
	}
	for _, c := range vm.contexts {
		c.forget()
	}
	vm.leaving = nil
}

// end gives back what the VM has, once.
func (vm *vm) end() {
	vm.inbox.close()
	vm.plugin.cfg.Shared.release(vm)
	err := vm.in.Close()
	vm.plugin.ended(vm, vm.failure, err)
}

// context returns the context that host functions act on.
func (vm *vm) context() *scope {
	if c := vm.effective; c != nil {
		if vm.contexts[c.id] == c {
			return c
		}
	}
	return vm.current
}

// snapshot is what forks need to know beside the memory.
type snapshot struct {
	nextID uint32
	slept  time.Duration
	roots  []rootSnapshot
}

type rootSnapshot struct {
	id, period uint32
	queues     []string
}

// snapshot tells whether the VM can be forked: not with calls under way.
func (vm *vm) snapshot() (snapshot, error) {
	s := snapshot{nextID: vm.nextID, slept: vm.clock.slept}
	for _, r := range vm.roots {
		if len(r.calls) > 0 {
			return s, errors.New("it made calls while it was configured")
		}
		s.roots = append(s.roots, rootSnapshot{r.id, r.period, r.queues})
	}
	if !vm.inbox.idle() {
		return s, errors.New("it has callbacks waiting")
	}
	if len(vm.contexts) != len(vm.roots) {
		return s, errors.New("it has contexts beside its roots")
	}
	return s, nil
}

// restore makes a fork know what its template knew.
func (vm *vm) restore(s snapshot) {
	vm.phase = phaseRun
	for i, r := range s.roots {
		vm.nextID = r.id - 1
		root := vm.newRoot(i)
		root.period = r.period
		for _, name := range r.queues {
			root.registerQueue(name)
		}
		root.armTick()
	}
	vm.nextID, vm.clock.slept, vm.running = s.nextID, s.slept, true
}

// wasiClock is the clock that a plugin sees by WASI. Waiting for a time is
// over at once, as it would hold up all streams of the VM, and the clock goes
// on as if the time had passed: the monotonic one for good, that of the day
// until the callback is over.
type wasiClock struct {
	Clock
	vm           *vm
	slept, today time.Duration
}

func (c *wasiClock) Realtime() int64 {
	return c.vm.chance(CallClock, 0, func() int64 { return c.Now().Add(c.today).UnixNano() })
}

func (c *wasiClock) Monotonic() int64 {
	return c.vm.chance(CallClock, 1, func() int64 { return int64(c.Now().Add(c.slept).Sub(processStart)) + 1 })
}

func (c *wasiClock) After(d time.Duration) (<-chan time.Time, func()) {
	c.slept += d
	c.today += d
	return fired, func() {}
}

var (
	processStart = time.Now()
	fired        = func() <-chan time.Time { c := make(chan time.Time); close(c); return c }()
)
