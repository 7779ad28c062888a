package proxywasm

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hako-run/hako/engine"
)

var (
	// ErrConfigure says that a plugin refused its configuration.
	ErrConfigure = errors.New("configuration refused")
	// ErrClosed is returned by what was closed.
	ErrClosed = errors.New("plugin closed")
)

// A Plugin is a module with its configurations, ready to work on streams in
// several VMs. It is safe for concurrent use.
type Plugin struct {
	cfg     Config
	profile *Profile
	allow   allowed
	stats   counters

	template *engine.Template // nil: each VM starts from the beginning
	frozen   snapshot
	whyNot   error // why there is no template

	metrics metricTable
	rate    logRate

	streams atomic.Int64 // open, and one for the plugin itself until Close
	closed  atomic.Bool
	done    chan struct{}

	mu        sync.Mutex
	vms       []*vm
	next      int
	numbers   int
	making    int // VMs being made
	opened    int // VMs that have not ended
	lastCrash error
	crashedAt time.Time
	backoff   time.Duration
	stopRetry func()
	retiring  bool
}

// Backoff of VMs that fail again and again: the first is replaced at once.
const (
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 30 * time.Second
	calm         = 10 * time.Second // without a failure, after which all is forgotten
)

// Load starts a plugin and has it read its configurations; it fails if it
// refuses one (ErrConfigure), fails, is none (ErrNoPlugin), or ctx ends.
func Load(ctx context.Context, cfg Config) (*Plugin, error) {
	if cfg.Module == nil {
		return nil, fmt.Errorf("load plugin %q: it has no module", cfg.Name)
	}
	profile, err := Inspect(cfg.Module)
	if err != nil {
		return nil, fmt.Errorf("load plugin %q: %w", cfg.Name, err)
	}
	p := &Plugin{cfg: cfg.withDefaults(), profile: profile, done: make(chan struct{})}
	if p.allow, err = parseAllow(cfg.Allow); err != nil {
		return nil, fmt.Errorf("load plugin %q: %w", cfg.Name, err)
	}
	if p.cfg.VMs <= 0 {
		p.cfg.VMs = runtime.GOMAXPROCS(0)
	}
	p.metrics.init()
	p.streams.Store(1)
	first, err := p.startVM(ctx)
	if err != nil {
		return nil, fmt.Errorf("load plugin %q: %w", cfg.Name, err)
	}
	if err := context.Cause(ctx); err != nil {
		first.discard()
		return nil, fmt.Errorf("load plugin %q: %w", cfg.Name, err)
	}
	if err := p.freeze(first); err != nil {
		if first.dead.Load() {
			first.discard()
			return nil, fmt.Errorf("load plugin %q: %w", cfg.Name, err)
		}
		p.whyNot = err
		p.add(first)
		return p, nil
	}
	first.discard()
	if first, err = p.forkVM(); err != nil {
		return nil, errors.Join(fmt.Errorf("load plugin %q: fork it: %w", cfg.Name, err), p.template.Close())
	}
	p.add(first)
	return p, nil
}

// freeze makes the template, if the plugin allows it.
func (p *Plugin) freeze(v *vm) (err error) {
	if p.cfg.NoFork {
		return errors.New("forking is turned off")
	}
	// Items that it put into queues of its own come first.
	for i := 0; i < 100 && !v.inbox.idle(); i++ {
		time.Sleep(time.Millisecond)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.failure != nil {
		return v.failure
	}
	if p.frozen, err = v.snapshot(); err != nil {
		return err
	}
	p.template, err = v.in.Freeze(engine.TemplateConfig{Memory: p.cfg.Limits.Memory, Keep: -1})
	return err
}

func (p *Plugin) newVM() *vm {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.numbers++
	return &vm{plugin: p, profile: p.profile, ctx: context.Background(), number: p.numbers, nextHTTP: 1, contexts: map[uint32]*scope{}}
}

// startVM makes a VM from the beginning.
func (p *Plugin) startVM(ctx context.Context) (*vm, error) {
	v := p.newVM()
	err := v.open(func(c engine.Config) (*engine.Instance, error) {
		return p.cfg.Module.Instantiate(ctx, c)
	})
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	err = v.start(ctx)
	v.mu.Unlock()
	if err != nil {
		v.discard()
		return nil, err
	}
	return v, nil
}

func (p *Plugin) forkVM() (*vm, error) {
	v := p.newVM()
	err := v.open(func(c engine.Config) (*engine.Instance, error) {
		return p.template.Fork(context.Background(), c)
	})
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	v.restore(p.frozen)
	v.mu.Unlock()
	p.stats.forks.Add(1)
	return v, nil
}

func (p *Plugin) makeVM() (*vm, error) {
	if p.template != nil {
		return p.forkVM()
	}
	return p.startVM(context.Background())
}

// discard ends a VM that was in no use, without a word to the plugin.
func (vm *vm) discard() {
	vm.mu.Lock()
	vm.failure, vm.buried = errVMClosed, true
	for _, c := range vm.contexts {
		c.forget()
	}
	vm.mu.Unlock()
	vm.inbox.close()
	vm.plugin.cfg.Shared.release(vm)
	_ = vm.in.Close()
}

// add puts a VM to use. False means that the plugin is closed.
func (p *Plugin) add(v *vm) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.retiring {
		return false
	}
	p.vms = append(p.vms, v)
	p.opened++
	v.counted = true
	return true
}

// pick chooses the VM for a stream: the one that fewest wait for. If all are
// busy and there may be more, another is made meanwhile.
func (p *Plugin) pick() *vm {
	p.mu.Lock()
	var best *vm
	least := int32(0)
	for i := range p.vms {
		v := p.vms[(p.next+i)%len(p.vms)]
		if v.dead.Load() {
			continue
		}
		if load := v.load.Load(); best == nil || load < least {
			best, least = v, load
		}
		if best != nil && least == 0 {
			break
		}
	}
	p.next++
	grow := (best == nil || least > 0) && p.mayGrow()
	if grow {
		p.making++
	}
	p.mu.Unlock()
	switch {
	case !grow:
		return best
	case best != nil:
		go p.grow()
		return best
	}
	return p.grow()
}

// mayGrow tells whether a VM may be made now. The lock is held.
func (p *Plugin) mayGrow() bool {
	live := p.making
	for _, v := range p.vms {
		if !v.dead.Load() {
			live++
		}
	}
	return !p.retiring && live < p.cfg.VMs &&
		(p.backoff == 0 || p.cfg.Clock.Now().Sub(p.crashedAt) >= p.backoff)
}

// grow makes a VM, which p.making counts already.
func (p *Plugin) grow() *vm {
	v, err := p.makeVM()
	p.mu.Lock()
	p.making--
	if err != nil {
		p.crashed(err)
		p.mu.Unlock()
		p.log(LogError, nil, fmt.Sprintf("a new VM cannot be made: %v", err))
		return nil
	}
	p.mu.Unlock()
	if !p.add(v) {
		v.discard()
		return nil
	}
	return v
}

// crashed counts a failure and says when the next VM may be made. The lock is
// held.
func (p *Plugin) crashed(err error) {
	now := p.cfg.Clock.Now()
	switch {
	case p.lastCrash == nil || now.Sub(p.crashedAt) > calm+p.backoff:
		p.backoff = 0
	case p.backoff == 0:
		p.backoff = firstBackoff
	default:
		p.backoff = min(2*p.backoff, maxBackoff)
	}
	p.lastCrash, p.crashedAt = err, now
	p.stats.crashes.Add(1)
}

// ended is told of a VM that has ended.
func (p *Plugin) ended(v *vm, why, closing error) {
	if closing != nil {
		p.log(LogError, nil, fmt.Sprintf("a VM ended with: %v", closing))
	}
	p.mu.Lock()
	if !v.counted { // it was never in use: whoever makes it sees that it failed
		p.mu.Unlock()
		return
	}
	if i := slices.Index(p.vms, v); i >= 0 {
		p.vms = slices.Delete(p.vms, i, i+1)
	}
	p.opened--
	failed := !errors.Is(why, errVMClosed)
	replace := false
	if failed {
		p.crashed(why)
		if replace = len(p.vms)+p.making == 0 && p.mayGrow(); replace {
			p.making++
		} else if len(p.vms)+p.making == 0 && !p.retiring && p.stopRetry == nil {
			p.stopRetry = p.cfg.Clock.AfterFunc(p.backoff, p.retry)
		}
	}
	over := p.retiring && p.opened == 0
	p.mu.Unlock()
	if failed {
		p.log(LogError, nil, fmt.Sprintf("a VM failed: %v", why))
	}
	if replace {
		p.grow()
	}
	if over {
		p.finish()
	}
}

// retry makes a VM after a time without any.
func (p *Plugin) retry() {
	p.mu.Lock()
	p.stopRetry = nil
	grow := len(p.vms)+p.making == 0 && p.mayGrow()
	if grow {
		p.making++
	}
	p.mu.Unlock()
	if grow {
		p.grow()
	}
}

// NewStream begins a stream of a configuration, an index of Config.Roots. A
// stream of a plugin that is closed, or has no VM that works, passes or fails
// as Config.FailOpen says.
func (p *Plugin) NewStream(root int, host StreamHost) *Stream {
	s := &Stream{plugin: p, root: root, host: host}
	p.streams.Add(1)
	if !p.closed.Load() {
		s.vm = p.pick()
	}
	p.stats.streams.Add(1)
	return s
}

func (p *Plugin) streamEnded() {
	if p.streams.Add(-1) == 0 {
		go p.retire()
	}
}

// Close lets the streams that are open come to their end, and then ends the
// VMs. It does not wait: Done does. Closing twice is no error.
func (p *Plugin) Close() {
	if !p.closed.Swap(true) {
		p.streamEnded()
	}
}

// Done is closed when a plugin that was closed has given everything back.
func (p *Plugin) Done() <-chan struct{} { return p.done }

// retire ends the VMs: their roots are done.
func (p *Plugin) retire() {
	p.mu.Lock()
	if p.retiring {
		p.mu.Unlock()
		return
	}
	p.retiring = true
	if p.stopRetry != nil {
		p.stopRetry()
	}
	vms := slices.Clone(p.vms)
	over := p.opened == 0
	p.mu.Unlock()
	if over {
		p.finish()
		return
	}
	for _, v := range vms {
		v.shutdown()
	}
}

// shutdown ends a VM as soon as its contexts are done, or after the grace
// period.
func (vm *vm) shutdown() {
	vm.acquire()
	defer vm.release()
	if vm.failure != nil || vm.closing {
		return
	}
	for _, root := range vm.roots {
		root.finish()
	}
	vm.closing = true
	if len(vm.contexts) > 0 && vm.failure == nil {
		vm.plugin.cfg.Clock.AfterFunc(vm.plugin.cfg.Grace, func() {
			vm.acquire()
			defer vm.release()
			vm.fail(errVMClosed)
		})
	}
}

// finish is the end of a plugin.
func (p *Plugin) finish() {
	if p.template != nil {
		if err := p.template.Close(); err != nil {
			p.log(LogError, nil, fmt.Sprintf("close the template: %v", err))
		}
	}
	close(p.done)
}

// Profile tells what the module shows of itself.
func (p *Plugin) Profile() *Profile { return p.profile }

// Limits are the plugin's, with the defaults filled in.
func (p *Plugin) Limits() Limits { return p.cfg.Limits }

// Metrics is where the plugin's own metrics are.
func (p *Plugin) Metrics() Metrics { return p.cfg.Metrics }

// Forked tells whether VMs are forked, and if not, why.
func (p *Plugin) Forked() (bool, error) { return p.template != nil, p.whyNot }

// Root returns the index of the configuration of that name or root id.
func (p *Plugin) Root(name string) (int, bool) {
	for i, r := range p.cfg.Roots {
		if r.Name == name {
			return i, true
		}
	}
	i := slices.IndexFunc(p.cfg.Roots, func(r Root) bool { return r.RootID == name })
	return max(i, 0), i >= 0
}
