package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
)

// forkedHook is the function of a guest that is called in every fresh fork.
const forkedHook = "hako_forked"

// TemplateConfig tells how a template is kept. Its zero value is right for
// most.
type TemplateConfig struct {
	// Memory is the most linear memory that a fork can be given, in bytes;
	// 0 for what the frozen instance could have.
	Memory int64
	// Ready is how many forks are made ahead, in the background.
	Ready int
	// Keep is how many closed forks are kept at most, reset, to be used
	// again: 4 for each processor, and at least Ready, if 0; none if
	// negative. Each holds some memory: the pages that forks wrote, up to
	// 8 MiB, and the module's tables.
	Keep int
}

// TemplateStats count what a template did.
type TemplateStats struct {
	Forks     int64 // made in all
	Made      int64 // of them or of those kept, instantiated anew
	Reset     int64 // closed and reset
	Discarded int64 // closed and not used again
	Live      int   // open now
	Idle      int   // ready now
}

// A Template is a frozen instance. Forks of it begin where it was frozen:
// with its memory, which they share until they write to it, and its globals.
// Everything else that an instance has comes from the Config of the fork. A
// Template is safe for concurrent use.
type Template struct {
	module  *compiled
	image   image // nil if the module has no memory
	globals []uint64
	room    uint64
	ready   int
	keep    int

	wake chan struct{} // tells the refiller that a fork was taken
	stop chan struct{}
	over chan struct{} // closed when the refiller has returned

	mu     sync.Mutex
	idle   []*body // the last one is the one used last
	users  int     // forks that are open, being made or being reset
	stats  TemplateStats
	closed bool
}

// Freeze makes a template of what the instance is now. The instance must not
// be in a call, its guest must not have ended; it stays as it is and can be
// used and closed afterwards. The error is [ErrFreeze] if the instance holds
// what a template cannot carry: changed tables, dropped segments, or a State
// that says so.
func (in *Instance) Freeze(cfg TemplateConfig) (*Template, error) {
	hold, err := in.hold()
	if err != nil {
		return nil, err
	}
	t, err := in.freeze(cfg)
	in.letGo(hold)
	return t, err
}

// hold keeps calls out of an instance until letGo.
func (in *Instance) hold() (*call, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.closed:
		return nil, fmt.Errorf("freeze %s: %w", in.module, ErrClosed)
	case in.current.Load() != nil:
		return nil, &FreezeError{"a call is under way"}
	case in.ended != nil:
		return nil, &FreezeError{"its guest has ended: " + in.ended.Error()}
	}
	in.running.Store(0)
	c := &call{parent: context.Background(), in: in, start: monotonic()}
	in.current.Store(c)
	return c, nil
}

func (in *Instance) letGo(c *call) {
	c.end()
	in.mu.Lock()
	in.current.Store(nil)
	closed := in.closed
	in.mu.Unlock()
	if closed {
		_ = in.dispose() // whoever closed it did not wait to be told
	}
}

func (in *Instance) freeze(cfg TemplateConfig) (*Template, error) {
	c, b := in.module, in.body
	if c.notFrozen != "" {
		return nil, &FreezeError{c.notFrozen}
	}
	if in.lost > 0 {
		return nil, &FreezeError{fmt.Sprintf("%d fibers were left when a call was over", in.lost)}
	}
	for _, s := range in.states {
		if f, ok := s.(Freezer); ok {
			if err := f.CanFreeze(); err != nil {
				return nil, &FreezeError{err.Error()}
			}
		}
	}
	t := &Template{module: c, globals: b.values(), ready: max(cfg.Ready, 0), keep: cfg.Keep}
	if t.keep == 0 {
		t.keep = max(4*runtime.GOMAXPROCS(0), t.ready)
	}
	if b.memory != nil {
		memory, err := b.memory.region.bytes(b.memory.now.Load())
		if err != nil {
			return nil, fmt.Errorf("freeze %s: %w", c, err)
		}
		t.room = b.memory.room
		if cfg.Memory > 0 {
			if t.room, err = c.roomFor(cfg.Memory); err != nil {
				return nil, fmt.Errorf("freeze %s: %w", c, err)
			}
			if t.room < uint64(len(memory)) {
				return nil, fmt.Errorf("freeze %s: forks cannot have %d MiB, it uses %d MiB now", c, t.room>>20, len(memory)>>20)
			}
		}
		if t.image, err = c.engine.backing.freeze(memory); err != nil {
			return nil, err
		}
	}
	if err := c.use(); err != nil {
		t.free()
		return nil, fmt.Errorf("freeze %s: %w", c, err)
	}
	// Much of the code that has run until now was for starting up alone.
	dropCode(findCode(b.mod))
	t.stop, t.over = make(chan struct{}), make(chan struct{})
	t.wake = make(chan struct{}, 1)
	if t.ready > 0 {
		go t.refill()
	} else {
		close(t.over)
	}
	return t, nil
}

// Fork makes an instance that begins where the template was frozen. If the
// module exports a function hako_forked without parameters, it is called
// first: there a guest seeds anew what must differ between forks, as its own
// generator of random numbers. The limits of cfg hold for that already.
func (t *Template) Fork(ctx context.Context, cfg Config) (*Instance, error) {
	in, err := t.fork(cfg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("fork %s: %w", t.module, err), closeStates(cfg.States))
	}
	if hook, ok := t.module.functions[forkedHook]; ok && hook.params == 0 {
		if _, err := in.call(ctx, forkedHook, nil); err != nil {
			_ = in.Close()
			return nil, fmt.Errorf("fork %s: %w", t.module, err)
		}
	}
	return in, nil
}

func (t *Template) fork(cfg Config) (*Instance, error) {
	b, err := t.take()
	if err != nil {
		return nil, err
	}
	if b == nil {
		if b, err = t.make(); err != nil {
			t.leave()
			return nil, err
		}
	}
	if err := b.limitMemory(cfg.Limits.Memory); err != nil {
		t.giveBack(b)
		return nil, err
	}
	in := newInstance(t.module, b, cfg)
	in.tmpl = t
	return in, nil
}

// take adds a user and returns a body that is ready, or nil.
func (t *Template) take() (*body, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, fmt.Errorf("template: %w", ErrClosed)
	}
	t.users++
	t.stats.Forks++
	n := len(t.idle)
	if n <= t.ready && t.ready > 0 {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
	if n == 0 {
		return nil, nil
	}
	b := t.idle[n-1]
	t.idle[n-1] = nil
	t.idle = t.idle[:n-1]
	return b, nil
}

func (t *Template) make() (*body, error) {
	b, err := newBody(t.module, t.image, t.room)
	if err != nil {
		return nil, err
	}
	b.setValues(t.globals)
	t.mu.Lock()
	t.stats.Made++
	t.mu.Unlock()
	return b, nil
}

// giveBack takes the body of a fork that is closed.
func (t *Template) giveBack(b *body) {
	t.mu.Lock()
	kept := !t.closed && len(t.idle) < t.keep
	t.mu.Unlock()
	kept = kept && b.reset(t.globals) == nil
	t.mu.Lock()
	if kept = kept && !t.closed && len(t.idle) < t.keep; kept {
		t.idle = append(t.idle, b)
		t.stats.Reset++
	} else {
		t.stats.Discarded++
	}
	t.mu.Unlock()
	if !kept {
		b.close()
	}
	t.leave()
}

// leave removes a user. The last one after Close frees the image.
func (t *Template) leave() {
	t.mu.Lock()
	t.users--
	last := t.closed && t.users == 0
	t.mu.Unlock()
	if last {
		t.free()
		t.module.unuse()
	}
}

// refill keeps bodies ready until the template is closed, which owns it.
func (t *Template) refill() {
	defer close(t.over)
	for {
		for t.short() {
			b, err := t.make()
			if err != nil {
				break // forks will meet it; the next one wakes us again
			}
			t.mu.Lock()
			t.idle = append(t.idle, b)
			t.mu.Unlock()
		}
		select {
		case <-t.wake:
		case <-t.stop:
			return
		}
	}
}

// short tells whether fewer bodies are ready than should be.
func (t *Template) short() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.closed && len(t.idle) < t.ready
}

// Stats counts what the template did so far.
func (t *Template) Stats() TemplateStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stats
	s.Live, s.Idle = t.users, len(t.idle)
	return s
}

// Size returns the size of the frozen memory and how much of it is stored:
// from its beginning to the last part that is not zero. In bytes.
func (t *Template) Size() (memory, stored int64) {
	if t.image == nil {
		return 0, 0
	}
	return int64(t.image.size()), int64(t.image.stored())
}

// Close gives back what the template holds. Forks stay usable; what they need
// goes with the last of them. Closing twice is no error.
func (t *Template) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		<-t.over
		return nil
	}
	t.closed = true
	t.users++ // this call
	t.mu.Unlock()
	close(t.stop)
	<-t.over
	t.mu.Lock()
	idle := t.idle
	t.idle = nil
	t.mu.Unlock()
	for _, b := range idle {
		b.close()
	}
	t.leave()
	return nil
}

func (t *Template) free() {
	if t.image != nil {
		t.image.free()
	}
}
