package proxywasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hako-run/hako/engine"
)

// ErrReplay says that a plugin did not do what a recording says.
var ErrReplay = errors.New("the plugin does not do what was recorded")

// Replay runs a plugin as it ran when events were recorded, with nothing but
// what they say: each callback is made again, and what host functions gave is
// given. It fails with ErrReplay where the plugin does something else, and with
// the plugin's own failure if that was not recorded. Of cfg, only what the
// plugin itself sees counts: Module, Env, Limits. Events of one VM are
// replayed, the last that there is, with those of the VM that it was forked
// from.
func Replay(ctx context.Context, cfg Config, events []*Event) error {
	profile, err := Inspect(cfg.Module)
	if err != nil {
		return fmt.Errorf("replay %s: %w", cfg.Name, err)
	}
	p := &Plugin{cfg: cfg.withDefaults(), profile: profile, done: make(chan struct{})}
	p.cfg.Recorder = nil
	r := &replayer{}
	last := 0
	for _, e := range events {
		last = max(last, e.VM)
	}
	for _, e := range events {
		if e.VM == last || e.VM == 1 {
			r.events = append(r.events, e)
		}
	}
	v := p.newVM()
	v.replay = r
	defer func() {
		if v.in != nil {
			v.discard()
		}
	}()
	if err := v.open(func(c engine.Config) (*engine.Instance, error) { return cfg.Module.Instantiate(ctx, c) }); err != nil {
		return fmt.Errorf("replay %s: %w", cfg.Name, err)
	}
	total := len(r.events)
	if err := r.run(ctx, v); err != nil {
		return fmt.Errorf("replay %s: after %d of %d events: %w", cfg.Name, total-len(r.events), total, err)
	}
	return nil
}

// A replayer answers host calls from events.
type replayer struct {
	events []*Event
}

func (r *replayer) differs(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrReplay)
}

func (r *replayer) run(ctx context.Context, v *vm) error {
	if start := v.profile.Start; start != "" {
		if _, err := v.in.Call(ctx, start); err != nil {
			return fmt.Errorf("%s: %w", start, err)
		}
		if main := v.profile.main; main.name != "" {
			if _, err := v.in.Call(ctx, main.name, make([]uint64, main.params)...); err != nil {
				return fmt.Errorf("%s: %w", main.name, err)
			}
		}
	}
	v.phase = phaseRun
	for len(r.events) > 0 {
		e := r.events[0]
		if e.Kind != Enter {
			return r.differs("the recording has %s %s where a callback begins", e.Kind, e.Name)
		}
		r.events = r.events[1:]
		v.clock.today = 0
		res, err := v.in.Call(ctx, e.Name, e.Args...)
		if len(r.events) == 0 {
			return err // the recording ends within the callback
		}
		leave := r.events[0]
		switch {
		case err != nil && (leave.Kind != Leave || leave.Err == ""):
			return fmt.Errorf("%s: %w", e.Name, err)
		case leave.Kind != Leave || leave.Name != e.Name:
			return r.differs("%s is over where the recording has %s %s", e.Name, leave.Kind, leave.Name)
		case err != nil:
			return nil // as it was
		case leave.Err != "":
			return r.differs("%s ended well, and did not then: %s", e.Name, leave.Err)
		case len(res) > 0 && uint64(uint32(res[0])) != leave.Result:
			return r.differs("%s returned %d and then %d", e.Name, leave.Result, uint32(res[0]))
		}
		r.events = r.events[1:]
	}
	return nil
}

// take finds the event of the host call under way: the first of its depth.
func (r *replayer) take(v *vm, name string) *Event {
	for i, e := range r.events {
		if e.Kind != Call {
			break
		}
		if e.Depth == v.depth() {
			if e.Name != name {
				panic(r.differs("it calls %s where the recording has %s", name, e.Name))
			}
			r.events = slices.Delete(slices.Clone(r.events), i, i+1)
			return e
		}
	}
	panic(r.differs("it calls %s where the recording has no call", name))
}

// call does what a host function did.
func (r *replayer) call(h hostCall, f *hostFunction, p []uint64) Status {
	e := r.take(h.vm, f.name)
	if !slices.Equal(e.Args, p[:len(f.params)]) {
		panic(r.differs("it calls %s with %v where the recording has %v", f.name, p[:len(f.params)], e.Args))
	}
	for _, in := range e.In {
		if b, _ := h.mem.Read(in.Pointer, uint32(len(in.Data))); !bytes.Equal(b, in.Data) {
			panic(r.differs("it gives %s %q where the recording has %q", f.name, b, in.Data))
		}
	}
	for _, out := range e.Out {
		switch {
		case out.Alloc:
			if h.give(string(out.Data), uint64(out.Pointer), uint64(out.Size)) != StatusOK {
				panic(r.differs("%s cannot give what it gave", f.name))
			}
		case !h.mem.Write(out.Pointer, out.Data):
			panic(r.differs("%s cannot write where it wrote", f.name))
		}
	}
	if e.Err != "" {
		panic(errors.New(e.Err))
	}
	return Status(e.Result)
}
