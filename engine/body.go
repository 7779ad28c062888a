package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/hako-run/hako/wasi"
)

// A body is an instantiated module as wazero has it. An [Instance] has one for
// as long as it is open; that of a fork is then reset and used by another.
type body struct {
	module  *compiled
	mod     api.Module
	memory  *linear             // nil if the module has none
	globals []api.MutableGlobal // in the order of compiled.globals
	// idle are the functions that have been called before. Each holds a
	// stack, so that a function that is called back into has several.
	idle map[*exportedFunction]*[]api.Function
	// active are the functions under way, each called back into by the host
	// from the one before it.
	active []api.Function
	parked int // the size of the stacks of fibers that wait
	inside inside
	made   references
	begins int // references that instantiation made
	pace   pace
}

// exportedFunction is what there is to know of one before it is called.
type exportedFunction struct {
	name            string
	params, results int // in 64-bit words
}

var anonymous = wazero.NewModuleConfig().WithName("").WithStartFunctions()

// newBody instantiates a module with a memory that begins as a copy of img,
// which is nil if the module has no memory. The memory has room for room
// bytes.
func newBody(c *compiled, img image, room uint64) (*body, error) {
	b := &body{module: c, idle: map[*exportedFunction]*[]api.Function{}}
	ctx := c.link
	if img != nil {
		region, err := c.engine.backing.reserve(room)
		if err != nil {
			return nil, err
		}
		room = min(room, region.room())
		b.memory = &linear{region: region, room: room, limit: room, image: img.size()}
		if err := region.load(img); err != nil {
			b.memory.Free()
			return nil, err
		}
		ctx = experimental.WithMemoryAllocator(ctx, b.memory)
	}
	mod, err := c.instance(ctx)
	if err != nil {
		if b.memory != nil {
			b.memory.Free()
		}
		return nil, err
	}
	b.mod = mod
	for _, g := range c.globals {
		global, ok := mod.ExportedGlobal(g.Name).(api.MutableGlobal)
		if !ok {
			b.close()
			return nil, fmt.Errorf("global %d is not where it was exported to", g.Index)
		}
		b.globals = append(b.globals, global)
	}
	b.inside = c.inside(mod)
	if b.made = findReferences(mod); b.made != nil {
		b.begins = len(*b.made)
	}
	return b, nil
}

// instance makes an instance of wazero's; a panic of its, for a module that it
// should have refused or a resolver of imports that is wrong, is an error.
func (c *compiled) instance(ctx context.Context) (mod api.Module, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("wazero failed: %v", r)
		}
	}()
	return c.engine.runtime.InstantiateModule(ctx, c.code, anonymous)
}

// limitMemory sets the memory limit to max bytes, 0 for all there is room for.
func (b *body) limitMemory(max int64) error {
	if b.memory == nil {
		return nil
	}
	return b.memory.setLimit(max)
}

// pool has those of one function.
func (b *body) pool(f *exportedFunction) *[]api.Function {
	idle := b.idle[f]
	if idle == nil {
		idle = new([]api.Function)
		b.idle[f] = idle
	}
	return idle
}

func (b *body) take(f *exportedFunction, idle *[]api.Function) api.Function {
	if n := len(*idle); n > 0 {
		fn := (*idle)[n-1]
		*idle = (*idle)[:n-1]
		return fn
	}
	return b.mod.ExportedFunction(f.name)
}

// excess says what a guest has too much of that no limit counts, and whether
// it could have in a moment.
func (b *body) excess() (deep bool, err error) {
	total := b.parked + b.stacks(b.active)
	if total > maxStacks {
		return true, errStacks
	}
	if b.made != nil && len(*b.made)-b.begins > maxReferences {
		return true, errReferences
	}
	return total > deepStack, nil
}

// stacks is the size of the call stacks of functions, with their copies.
func (b *body) stacks(list []api.Function) (total int) {
	if b.inside.ok {
		for _, fn := range list {
			total += b.inside.stacks(fn)
		}
	}
	return total
}

var (
	errStacks     = errors.New("stack overflow")
	errReferences = errors.New("too many references")
)

// values returns the globals' values.
func (b *body) values() []uint64 {
	list := make([]uint64, len(b.globals))
	for i, g := range b.globals {
		list[i] = g.Get()
	}
	return list
}

func (b *body) setValues(list []uint64) {
	for i, g := range b.globals {
		g.Set(list[i])
	}
}

// reset makes the body what it was before its first call. It is to be closed
// if that fails.
func (b *body) reset(globals []uint64) error {
	if b.made != nil && len(*b.made) != b.begins {
		return errReferences // nothing frees them but closing
	}
	b.forgetCalls()
	b.active, b.parked = b.active[:0], 0
	b.setValues(globals)
	if b.memory == nil {
		return nil
	}
	return b.memory.reset(b.mod)
}

// forgetCalls keeps, of each function, one whose stack is small, and what was on
// that no longer: making another costs several times as much.
func (b *body) forgetCalls() {
	for f, idle := range b.idle {
		if len(*idle) == 0 || !b.inside.ok || !b.inside.wipe((*idle)[0], keptStack) {
			delete(b.idle, f)
			continue
		}
		clear((*idle)[1:])
		*idle = (*idle)[:1]
	}
}

func (b *body) close() {
	_ = b.mod.Close(context.Background()) // frees the memory; nothing in it can fail
	b.idle, b.globals = nil, nil
}

// roomFor is how large a memory can become under a limit of max bytes, 0 for
// none. It is an error if the module begins with more.
func (c *compiled) roomFor(max int64) (uint64, error) {
	room := uint64(c.memory.Max) * wasmPage
	if max > 0 && uint64(max) < room {
		room = uint64(max) &^ (wasmPage - 1)
	}
	if begins := uint64(c.memory.Min) * wasmPage; begins > room {
		return 0, fmt.Errorf("the module begins with %d KiB of memory: %w", begins>>10, &LimitError{Limit: wasi.LimitMemory, Max: max})
	}
	return room, nil
}

// pristineBody makes a body in the state that the module declares, but for
// its start function.
func (c *compiled) pristineBody(limits Limits) (*body, error) {
	if !c.hasMemory {
		return newBody(c, nil, 0)
	}
	room, err := c.roomFor(limits.Memory)
	if err != nil {
		return nil, err
	}
	img, err := c.pristine()
	if err != nil {
		return nil, err
	}
	return newBody(c, img, room)
}
