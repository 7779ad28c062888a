// Package engine runs WebAssembly modules over wazero: compiled once, limited,
// stoppable, and forked from frozen instances in microseconds.
//
// # Concepts
//
// An [Engine] compiles modules and keeps the host functions that they may
// import. A [Module] is compiled code; compiling the same bytes again costs
// nothing. An [Instance] is a running module with its own memory. [Limits]
// bound what it uses, [Usage] tells what it has used. A [Template] is a frozen
// instance, from which fresh ones are forked that share its memory until they
// write to it.
//
//	e, err := engine.New(engine.Options{
//		CacheDir: dir,
//		Hosts:    []func(context.Context, wazero.Runtime) error{wasi.Instantiate},
//		Imports:  wasi.WithImports,
//	})
//	m, err := e.Compile(ctx, "app.wasm", source)
//	in, err := m.Instantiate(ctx, engine.Config{
//		Limits: engine.Limits{Memory: 64 << 20, CPU: 2 * time.Second},
//		Values: wasi.NewContext(context.Background(), system),
//		States: []io.Closer{system},
//	})
//	err = in.Run(ctx)          // _start or _initialize
//	res, err := in.Call(ctx, "handle", 1, 2)
//	err = in.Close()
//
// # Host functions
//
// Nothing of a guest's state is bound to an instance of wazero's, for
// instances are used again: host functions find what belongs to their guest in
// their context, by ctx.Value. It comes from Config.Values. The context ends
// when the call must end, so host functions that wait watch ctx.Done and then
// panic with ctx.Err(). A host function ends its guest by a panic with an
// error; [Instance.Call] returns it.
//
// # Life cycle
//
// Modules, instances and templates are closed by their owner, in any order;
// the engine last: it refuses to close while instances or templates are open.
// Closing an instance ends the call under way. Nothing has finalizers.
//
// # Concurrency
//
// An Engine, its Modules and Templates are safe for concurrent use. An
// Instance makes one call at a time; a second one is refused with [ErrBusy],
// but for those that a host function makes with its context, in the goroutine
// that it was called in.
//
// A guest with fibers runs on several goroutines, one after the other, which
// end with the call from outside: host functions of one call must not rely on
// being on the same.
//
// # Stopping
//
// Modules are rewritten when they are compiled so that they come back to the
// host every 200 us or so, by themselves: limits, cancellation and Go's
// garbage collector need no other goroutine's help. docs/engine.md has what is
// rewritten, and figures.
//
// # Caveats
//
// Names of exports that begin with "hako:" are reserved, as is the import
// hako.check. A guest's call stack lies outside of its memory and its limit:
// it takes up to 150 MB for a moment before a guest that recurses without an
// end is stopped. The compiler cannot be interrupted. What a host function
// gets from wazero, the module, its memory and slices of it, must not be used
// after the call: it may belong to another guest by then.
package engine
