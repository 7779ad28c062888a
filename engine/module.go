package engine

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/hako-run/hako/engine/wasm"
)

// A Module is compiled code, ready to be instantiated. It is safe for
// concurrent use. Instances and templates keep what they need of it: it can
// be closed before them.
type Module struct {
	c      *compiled
	name   string
	closed atomic.Bool
}

// An Import is what a module wants of the host.
type Import struct {
	Module, Name string
	Kind         wasm.Kind
	Type         wasm.FuncType // of a function
}

// An Export is what a module offers.
type Export struct {
	Name string
	Kind wasm.Kind
	Type wasm.FuncType // of a function
}

// compiled is a module's code, shared by all that compile the same bytes.
type compiled struct {
	*rewritten
	engine *Engine
	key    [sha256.Size]byte
	name   string // that it was first compiled under

	ready chan struct{} // closed when err or code is set
	err   error
	code  wazero.CompiledModule
	link  context.Context // what it is instantiated in

	insideOnce sync.Once
	insides    inside

	refs int // guarded by engine.mu

	imageMu sync.Mutex
	image   image // the memory as the module declares it
}

func (c *compiled) String() string {
	if c.name == "" {
		return fmt.Sprintf("module %x", c.key[:4])
	}
	return c.name
}

// Compile makes a module of the bytes of a .wasm file; name is for errors.
// Compiling the same bytes again, at the same time or later while the first
// module is in use, costs next to nothing. The error is a [*ModuleError] if
// the module is at fault.
func (e *Engine) Compile(ctx context.Context, name string, source []byte) (*Module, error) {
	key := sha256.Sum256(source)
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil, fmt.Errorf("compile %s: engine: %w", name, ErrClosed)
	}
	c, ok := e.modules[key]
	if !ok {
		c = &compiled{engine: e, key: key, name: name, ready: make(chan struct{})}
		e.modules[key] = c
		e.compiling.Add(1)
		go func() {
			defer e.compiling.Done()
			c.compile(source)
		}()
	}
	c.refs++
	e.mu.Unlock()
	select {
	case <-c.ready:
	case <-ctx.Done():
		// The compiler cannot be interrupted; whoever asks next may find it
		// has finished.
		go func() { <-c.ready; c.release() }()
		return nil, fmt.Errorf("compile %s: %w", name, context.Cause(ctx))
	}
	if c.err != nil {
		c.release()
		return nil, fmt.Errorf("compile %s: %w", name, c.err)
	}
	return &Module{c: c, name: name}, nil
}

// Cached reports whether Compile would find the code of a module, in use or in
// the cache: compiling a large one takes many seconds, which is worth a word
// before.
func (e *Engine) Cached(source []byte) bool {
	key := sha256.Sum256(source)
	e.mu.Lock()
	_, used := e.modules[key]
	e.mu.Unlock()
	return used || e.cache != nil && e.cache.has(key)
}

func (c *compiled) compile(source []byte) {
	defer close(c.ready)
	e := c.engine
	if e.cache != nil {
		c.rewritten = e.cache.open(c.key)
	}
	cached := c.rewritten != nil
	if !cached {
		if c.rewritten, c.err = rewrite(c.name, source); c.err != nil {
			return
		}
	}
	other, err := e.checkImports(c.name, c.imports)
	if err != nil {
		c.err = err
		return
	}
	c.code, c.err = e.compileCached(c.key, c.rewritten, cached)
	c.binary = nil
	if c.err != nil {
		c.err = &ModuleError{Module: c.name, Reason: c.err.Error(), Cause: c.err, Hint: "is the file damaged?"}
		return
	}
	c.link = context.Background()
	if e.link != nil {
		c.link = e.link(c.link, e.runtime, c.code)
	}
	if other != nil && c.link == context.Background() {
		c.err = other
	}
}

// use adds a reference for an instance or a template.
func (c *compiled) use() error {
	c.engine.mu.Lock()
	defer c.engine.mu.Unlock()
	if c.engine.closed || c.refs == 0 {
		return ErrClosed
	}
	c.refs++
	c.engine.instances++
	return nil
}

// unuse gives back what use took.
func (c *compiled) unuse() {
	c.engine.mu.Lock()
	c.engine.instances--
	c.engine.mu.Unlock()
	c.release()
}

// release gives a reference back.
func (c *compiled) release() {
	e := c.engine
	e.mu.Lock()
	c.refs--
	last := c.refs == 0
	if last {
		delete(e.modules, c.key)
	}
	e.mu.Unlock()
	if !last {
		return
	}
	if c.code != nil {
		_ = c.code.Close(context.Background())
	}
	if c.image != nil {
		c.image.free()
	}
}

// pristine returns the image of the memory as the module declares it.
func (c *compiled) pristine() (image, error) {
	c.imageMu.Lock()
	defer c.imageMu.Unlock()
	if c.image != nil {
		return c.image, nil
	}
	size := uint64(c.memory.Min) * wasmPage
	region, err := c.engine.backing.reserve(size)
	if err != nil {
		return nil, err
	}
	defer region.free()
	b, err := region.bytes(size)
	if err != nil {
		return nil, err
	}
	for _, s := range c.data {
		if uint64(s.Offset)+uint64(len(s.Init)) > size {
			return nil, &TrapError{Kind: TrapOutOfBounds, Cause: fmt.Errorf("data for offset %d does not fit into the memory", s.Offset)}
		}
		copy(b[s.Offset:], s.Init)
	}
	if c.image, err = c.engine.backing.freeze(b); err == nil {
		c.data = nil // the image has it
	}
	return c.image, err
}

// inside finds out, once, where wazero keeps what it does not tell.
func (c *compiled) inside(mod api.Module) inside {
	c.insideOnce.Do(func() {
		for _, f := range c.functions {
			if fn := mod.ExportedFunction(f.name); fn != nil {
				if c.insides = look(fn); c.insides.ok {
					return
				}
			}
		}
	})
	return c.insides
}

func (c *compiled) hasFunction(name string) bool {
	_, ok := c.functions[name]
	return ok
}

// Imports lists what the module wants of the host.
func (m *Module) Imports() []Import { return m.c.imports }

// Exports lists what the module offers.
func (m *Module) Exports() []Export { return m.c.exports }

// Name is what the module was compiled under.
func (m *Module) Name() string { return m.name }

// Same reports whether both are of the same bytes and engine, neither closed
// before the other was compiled.
func (m *Module) Same(other *Module) bool { return m.c == other.c }

// Close gives the module back. Closing twice is no error.
func (m *Module) Close() error {
	if m.closed.CompareAndSwap(false, true) {
		m.c.release()
	}
	return nil
}
