package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// Options are what an engine is made with.
type Options struct {
	// CacheDir is where compiled code is kept from one process to the next,
	// "" for nowhere. It is machine code that will be run: nobody else must
	// be able to write there.
	CacheDir string
	// Hosts register the modules of host functions that guests may import.
	Hosts []func(context.Context, wazero.Runtime) error
	// Imports changes the context that a module is instantiated in, for
	// host functions that differ with the type they are imported with: nil,
	// or that of their package (wasi.WithImports).
	Imports func(context.Context, wazero.Runtime, wazero.CompiledModule) context.Context
	// Workers is how many goroutines compile one module, 1 if 0. More are
	// quicker, for modules that can be trusted: if the compiler has a
	// mistake that a module brings out by malice, then with one worker that
	// is an error, with several it ends the process.
	Workers int
}

// An Engine compiles modules and runs their instances. It is safe for
// concurrent use.
type Engine struct {
	runtime wazero.Runtime
	cache   *codeCache // nil if code is kept nowhere
	backing backing
	workers int
	link    func(context.Context, wazero.Runtime, wazero.CompiledModule) context.Context
	hosts   map[string]map[string]api.FunctionDefinition

	compiling sync.WaitGroup

	mu        sync.Mutex
	modules   map[[sha256.Size]byte]*compiled
	instances int // instances and templates that are open
	closed    bool
}

// features are what modules may use. Threads are their atomics alone: shared
// memories are refused.
const features = api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall | experimental.CoreFeaturesExceptionHandling |
	experimental.CoreFeaturesExtendedConst | experimental.CoreFeaturesThreads

// New makes an engine.
func New(opts Options) (*Engine, error) { return newEngine(opts, defaultBacking) }

func newEngine(opts Options, back backing) (*Engine, error) {
	ctx := context.Background()
	e := &Engine{
		backing: back,
		link:    opts.Imports,
		workers: max(opts.Workers, 1),
		modules: map[[sha256.Size]byte]*compiled{},
		hosts:   map[string]map[string]api.FunctionDefinition{},
	}
	config := wazero.NewRuntimeConfig().WithCoreFeatures(features).WithDebugInfoEnabled(false)
	if opts.CacheDir != "" {
		cache, err := openCodeCache(filepath.Join(opts.CacheDir, fmt.Sprintf("code-%d", rewriteVersion)), config)
		if err != nil {
			return nil, err
		}
		e.cache = cache
		if back.guarded() {
			cache.maker += guardVersion
		}
		config = config.WithCompilationCache(cache.cache)
	}
	e.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	for _, host := range append([]func(context.Context, wazero.Runtime) error{instantiateCheck, instantiateAlarm, instantiateFibers}, opts.Hosts...) {
		if err := host(ctx, e.runtime); err != nil {
			return nil, errors.Join(fmt.Errorf("register host functions: %w", err), e.shut())
		}
	}
	return e, nil
}

// compileCached compiles a module; cached tells that its code is in the cache.
func (e *Engine) compileCached(key [sha256.Size]byte, r *rewritten, cached bool) (wazero.CompiledModule, error) {
	if e.cache == nil {
		return e.compileIn(e.runtime, r.binary)
	}
	if !cached {
		e.cache.add(key, r, func(rt wazero.Runtime) error {
			_, err := e.compileIn(rt, r.binary)
			return err
		})
	}
	code, err := e.compileIn(e.runtime, r.binary)
	if err != nil {
		// The cache may be what failed: a full disk, a file that was changed
		// since. What was compiled and not written is in memory.
		e.cache.forget(key)
		return e.compileIn(e.runtime, r.binary)
	}
	return code, nil
}

// compileIn compiles a module in a runtime. A compiler that panics fails.
func (e *Engine) compileIn(r wazero.Runtime, binary []byte) (code wazero.CompiledModule, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the compiler failed: %v", r)
		}
	}()
	ctx := experimental.WithCompilationWorkers(context.Background(), e.workers)
	if e.backing.guarded() {
		ctx = withGuard(ctx)
	}
	return r.CompileModule(ctx, binary)
}

// Close gives everything back. It fails with ErrInUse, and nothing is closed,
// while instances or templates are open.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	if n := e.instances; n > 0 {
		e.mu.Unlock()
		return fmt.Errorf("close the engine: %d instances or templates are open: %w", n, ErrInUse)
	}
	e.closed = true
	e.mu.Unlock()
	e.compiling.Wait()
	e.mu.Lock()
	for _, c := range e.modules {
		if c.image != nil {
			c.image.free()
			c.image = nil
		}
	}
	e.mu.Unlock()
	return e.shut()
}

func (e *Engine) shut() error {
	ctx := context.Background()
	err := e.runtime.Close(ctx)
	if e.cache != nil {
		err = errors.Join(err, e.cache.close())
	}
	if err != nil {
		return fmt.Errorf("close the engine: %w", err)
	}
	return nil
}
