// Package wasm reads WebAssembly modules, rewrites them and writes them back.
// It knows the binary format and nothing of a runtime.
//
// A module is decoded, changed by any of the operations, in any order, and
// encoded:
//
//	m, err := wasm.Decode(file)
//	...
//	segments, err := m.StripData()
//	globals := m.ExportGlobals()
//	m.DirectJumps()
//	stats, err := m.Interrupt(wasm.InterruptOptions{})
//	file = m.Encode()
//
// What no operation touched is kept byte for byte, with its unusual LEB128
// encodings and its custom sections: encoding a module that was only decoded
// gives the bytes it was decoded from. [Decode] checks the structure of the
// file and of every instruction but not types; the runtime that compiles the
// result validates those. An operation on a module that is not valid may give
// nonsense, never a panic, and a valid module stays valid.
//
// # What is read
//
// WebAssembly 2.0 with fixed-width SIMD, and of what came after: tail calls,
// exceptions in their final form (try_table, throw, throw_ref, exnref),
// extended constant expressions, threads and atomics. Anything else is refused
// by an error that wraps [ErrUnsupported] and names the proposal.
//
// # Sizes
//
// Decoding allocates in proportion to the size of its input, whatever counts
// the input claims, and everything takes time in proportion to it. What browsers
// refuse for its number is refused: see [MaxLocals], [MaxNesting], [MaxItems].
//
// # Interruption
//
// [Module.Interrupt] makes a guest call its host after a bounded amount of
// work, which is how deadlines, cancellation and a timely stop of the world
// for Go's garbage collector are done. docs/engine-interruption.md tells how
// and what it costs.
package wasm
