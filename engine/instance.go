package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/hako-run/hako/wasi"
)

// Config is what an instance gets. Its zero value gives it nothing and limits
// nothing.
type Config struct {
	Limits Limits
	// Values carries what host functions find in their context: the value
	// that each of their packages puts there by its NewContext. Only its
	// values are used. They come before those of the context of a call, and
	// must not change while the instance lives.
	Values context.Context
	// States are closed with the instance, the last first, also if making
	// the instance fails. Those that are a [Freezer] or a [Meter] are asked.
	States []io.Closer
	// BriefContexts says that no host function keeps its context beyond its
	// return: then calls share one, and allocate nothing.
	BriefContexts bool
	// BriefCalls says that most calls last some microseconds. Then one that
	// is over within 300 us counts that as its processor time, which may be
	// more than it used, and is spared two system calls.
	BriefCalls bool
}

// A Freezer is a State that can tell whether its instance may be frozen.
type Freezer interface {
	// CanFreeze returns an error that says what cannot be carried into forks,
	// which get States of their own: open files, for example.
	CanFreeze() error
}

// A Meter is a State that counts what its guest writes.
type Meter interface {
	// Output is the number of bytes written so far. It is asked between
	// calls.
	Output() int64
}

// An Instance is a running module with its own memory. One call is made at a
// time; host functions may call back in with the context that they got.
// Usage, Close and the like may be called by any goroutine at any time.
type Instance struct {
	module *compiled
	tmpl   *Template // that it was forked from, or nil
	body   *body     // nil once closed
	values values
	states []io.Closer
	brief  bool // Config.BriefContexts
	rough  bool // Config.BriefCalls
	exact  int  // so many calls are measured all the same; of the call under way

	// stopping makes the next check end the guest.
	stopping atomic.Bool
	// running is the processor time of the call under way.
	running atomic.Int64
	memory  atomic.Pointer[linear]

	// Of the goroutine that makes a call: how many fibers the guest has made,
	// and how many it left behind when a call was over.
	fibers uint32
	lost   int

	mu      sync.Mutex
	current atomic.Pointer[call] // the call under way; also read without the lock
	spare   *call                // of a call that is over, if brief
	closed  bool
	ended   error // why the guest has ended, or nil
	limits  Limits
	used    Usage // of calls that are over, since the beginning
	renewed Usage // as of the last Renew
}

func newInstance(c *compiled, b *body, cfg Config) *Instance {
	in := &Instance{module: c, body: b, states: cfg.States, brief: cfg.BriefContexts, rough: cfg.BriefCalls && threadClock, limits: cfg.Limits}
	in.values.from = cfg.Values
	if b.memory != nil {
		in.memory.Store(b.memory)
	}
	return in
}

// Instantiate makes an instance and runs the module's start function, if it
// has one. The limits of cfg hold for that already.
func (m *Module) Instantiate(ctx context.Context, cfg Config) (*Instance, error) {
	in, err := m.instantiate(cfg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("instantiate %s: %w", m.c, err), closeStates(cfg.States))
	}
	if start := m.c.start; start != "" {
		if _, err := in.call(ctx, start, nil); err != nil {
			_ = in.Close()
			return nil, fmt.Errorf("instantiate %s: its start function: %w", m.c, err)
		}
	}
	return in, nil
}

func (m *Module) instantiate(cfg Config) (*Instance, error) {
	c := m.c
	if m.closed.Load() {
		return nil, ErrClosed
	}
	if err := c.use(); err != nil {
		return nil, err
	}
	b, err := c.pristineBody(cfg.Limits)
	if err != nil {
		c.unuse()
		return nil, err
	}
	return newInstance(c, b, cfg), nil
}

// Memory gives access to the instance's memory, between calls or from host
// functions: it is nil if the module has none or the instance is closed. It
// must not be used once the instance is closed: the memory is gone by then,
// or another's.
func (in *Instance) Memory() api.Memory {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.body == nil || in.body.memory == nil {
		return nil
	}
	return in.body.mod.Memory()
}

// Usage tells what the instance has used since it began. It may be called
// while a call is under way, and after Close.
func (in *Instance) Usage() Usage {
	in.mu.Lock()
	defer in.mu.Unlock()
	u := in.used
	if c := in.current.Load(); c != nil {
		u.CPU += time.Duration(in.running.Load())
		u.Wall += monotonic() - c.start
	}
	if mem := in.memory.Load(); mem != nil {
		u.Memory, u.MemoryPeak = int64(mem.now.Load()), int64(mem.peak.Load())
	}
	return u
}

// output asks the meters.
func (in *Instance) output() (total int64) {
	for _, s := range in.states {
		if m, ok := s.(Meter); ok {
			total += m.Output()
		}
	}
	return total
}

// Renew gives the instance new limits, counted from now. It takes effect with
// the next call from outside. The memory limit can be changed, but not above
// that which the instance began with.
func (in *Instance) Renew(limits Limits) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return fmt.Errorf("renew limits of %s: %w", in.module, ErrClosed)
	}
	if in.current.Load() != nil {
		return fmt.Errorf("renew limits of %s: %w", in.module, ErrBusy)
	}
	if b := in.body; b.memory != nil {
		if err := b.memory.setLimit(limits.Memory); err != nil {
			return fmt.Errorf("renew limits of %s: %w", in.module, err)
		}
	}
	in.limits, in.renewed = limits, in.used
	return nil
}

// Close ends the instance and gives back what it holds. If a call is under
// way, it makes that end soon, and returns without waiting for it; the
// instance then closes when the call returns. Closing twice is no error.
func (in *Instance) Close() error {
	in.mu.Lock()
	if in.closed {
		in.mu.Unlock()
		return nil
	}
	in.closed = true
	in.stopping.Store(true)
	if c := in.current.Load(); c != nil {
		in.mu.Unlock()
		c.interrupt()
		return nil
	}
	in.mu.Unlock()
	return in.dispose()
}

// dispose gives everything back. The instance is closed and in no call.
func (in *Instance) dispose() error {
	u := in.Usage()
	err := closeStates(in.states)
	in.mu.Lock()
	in.used = u
	b := in.body
	in.body, in.states = nil, nil
	in.memory.Store(nil)
	in.mu.Unlock()
	if in.tmpl != nil {
		in.tmpl.giveBack(b)
	} else {
		b.close()
		in.module.unuse()
	}
	if err != nil {
		return fmt.Errorf("close an instance of %s: %w", in.module, err)
	}
	return nil
}

func closeStates(states []io.Closer) error {
	var errs []error
	for i := len(states) - 1; i >= 0; i-- {
		if err := states[i].Close(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (in *Instance) wallError() *LimitError {
	return &LimitError{Limit: wasi.LimitWall, Max: int64(in.limits.Wall)}
}

func (in *Instance) cpuError() *LimitError {
	return &LimitError{Limit: wasi.LimitCPU, Max: int64(in.limits.CPU)}
}
