// Package proxywasm runs Proxy-Wasm plugins, which are built for Envoy and
// its kin: ABI versions 0.1.0, 0.2.0 and 0.2.1, and Higress' 0.2.100.
//
// # Concepts
//
// A [Plugin] is a module with one or more configurations ([Root]). It has
// several VMs, each an instance of the module with a memory of its own, that
// work at the same time; a [Stream], which is one HTTP exchange or TCP
// connection, stays with one of them. What the plugin sees of a stream, and
// does to it, goes through a [StreamHost], which the embedder implements; an
// [Exchange] is one in memory. The calls that plugins make go to a
// [Dispatcher].
//
//	e, err := engine.New(engine.Options{
//		Hosts:   []func(context.Context, wazero.Runtime) error{wasi.Instantiate, proxywasm.Instantiate},
//		Imports: proxywasm.WithImports,
//	})
//	m, err := e.Compile(ctx, "waf.wasm", source)
//	p, err := proxywasm.Load(ctx, proxywasm.Config{
//		Module: m, Name: "waf",
//		Roots:  []proxywasm.Root{{Config: []byte(`{"rules":[]}`)}},
//	})
//
//	x := &proxywasm.Exchange{RequestHeaders: proxywasm.MakeHeaders(":method", "GET", ":path", "/", ":authority", "example.com")}
//	s := p.NewStream(0, x)
//	if s.RequestHeaders(true) != proxywasm.Continue {
//		err = s.Wait(ctx, proxywasm.Request) // ErrAnswered: see x.Local
//	}
//	...
//	s.Close()
//	p.Close()
//	<-p.Done()
//
// # Life cycle of a stream
//
// The embedder makes the callbacks of a direction in order: headers, body,
// trailers; of a TCP connection, the connection and its data. Each returns an
// [Action]. Continue means that what was shown goes on: the headers, of a body
// what TakeBody gives. After Pause, that direction waits until the plugin
// resumes it: [StreamHost.Resume] tells, and [Stream.Wait] waits for it. A
// body callback that holds (PauseBuffer, PauseWatermark, PauseDrop) is
// followed by those of further chunks; only at the end of the body there is
// something to wait for.
//
// A plugin can answer in the upstream's place, in any callback and while a
// direction waits: [StreamHost.Respond]. The embedder sends that response,
// and shows it to the response callbacks of this and other plugins as it would
// one of the upstream. Stream.Close ends a stream, however far it came.
//
// # Failure
//
// A VM whose plugin traps, exceeds a limit, or exits is ended, and replaced by
// a fresh one; after repeated failures, that waits longer and longer. Streams
// of the VM that failed, and those begun while there is none, pass without the
// plugin (Config.FailOpen), or get a response of status 503, or are reset if
// they have had their response headers.
//
// # Concurrency
//
// A Plugin is safe for concurrent use. A Stream's callbacks are made by one
// goroutine at a time; TakeBody, Wait and Paused may be called by any. While
// a callback runs, a StreamHost is only asked; what is to be done is told when
// it is over. Ticks, answers of calls and queues come in goroutines of the
// plugin, which end with it.
//
// # Hot swap
//
// A [Slot] has the plugin that new streams take. Swap puts another in its
// place; streams that are open come to their end with the old one, which is
// closed then.
package proxywasm
