package engine

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hako-run/hako/engine/wasm"
)

// rewriteVersion is part of what a compiled module is known by. It changes
// with what rewrite does.
const rewriteVersion = 8

// reserved begins the names of the exports that rewriting adds.
const reserved = "hako:"

// maxTable is the most elements of all of a module's tables, each of which
// takes 8 bytes that no memory limit counts.
const maxTable = 1 << 20

// maxPages is the most pages of a memory: one less than WebAssembly allows,
// for the size in bytes must fit into 32 bits, as wazero keeps it.
const maxPages = 1<<16 - 1

// rewritten is what is known of a module once it is decoded, and its new
// form, which lets it be stopped, carried over and started at will.
type rewritten struct {
	binary    []byte
	data      []wasm.Segment
	globals   []wasm.ExportedGlobal
	start     string // the export of the start function, "" if there is none
	hasMemory bool
	memory    wasm.Limits // in pages; with a maximum
	imports   []Import
	exports   []Export
	functions map[string]*exportedFunction
	// imported and defined are the numbers of functions before rewriting,
	// which adds an import and, at the end, functions of its own.
	imported, defined uint32
	// exceptions: its code has try_table.
	exceptions bool
	notFrozen  string // why its instances cannot be frozen, "" if they can
}

func rewrite(name string, source []byte) (*rewritten, error) {
	m, err := wasm.Decode(source)
	if err != nil {
		return nil, decodeError(name, err)
	}
	r := &rewritten{functions: map[string]*exportedFunction{}}
	if err := r.accept(name, m); err != nil {
		return nil, err
	}
	r.describe(m)
	refuse := func(err error) (*rewritten, error) {
		return nil, &ModuleError{Module: name, Reason: err.Error(), Cause: err}
	}
	for n := len(m.Tables()); n > 0; n = 0 {
		if err := m.CapTables(maxTable / uint32(n)); err != nil {
			return refuse(err)
		}
	}
	m.DropTableExports()
	r.notFrozen = notFrozen(m)
	r.exceptions = m.Use().Exceptions
	r.imported, r.defined = m.Imported(wasm.FuncKind), m.NumFuncs()-m.Imported(wasm.FuncKind)
	r.start, _ = m.DetachStart()
	segments, err := m.StripData()
	if err != nil {
		return refuse(err)
	}
	for _, s := range segments {
		if s.Init = append([]byte(nil), s.Init...); len(s.Init) > 0 {
			r.data = append(r.data, s)
		}
	}
	r.globals = m.ExportGlobals()
	m.DirectJumps()
	if _, err := m.Interrupt(wasm.InterruptOptions{}); err != nil {
		return refuse(err)
	}
	if r.start != "" {
		r.functions[r.start] = &exportedFunction{name: r.start}
	}
	r.binary = m.Encode()
	return r, nil
}

// decodeError says what is wrong with something that is no module that can be
// run.
func decodeError(name string, err error) *ModuleError {
	e := &ModuleError{Module: name, Reason: err.Error(), Cause: err}
	switch {
	case errors.Is(err, wasm.ErrComponent):
		e.Hint = "it is made for WASI preview 2: compile it for preview 1 (wasm32-wasip1), or take the module out of it that it wraps"
	case errors.Is(err, wasm.ErrUnsupported) && strings.Contains(err.Error(), "exception"):
		e.Hint = "translate its exceptions: wasm-opt --translate-to-exnref, or compile with -mllvm -wasm-use-legacy-eh=false"
	case errors.Is(err, wasm.ErrUnsupported):
		e.Hint = "compile it without that proposal"
	default:
		e.Hint = "is it a WebAssembly module (.wasm)?"
	}
	return e
}

// accept refuses what decoding lets through but cannot be run.
func (r *rewritten) accept(name string, m *wasm.Module) error {
	carried := m.Carried()
	if carried.SharedMemory {
		return &ModuleError{Module: name, Reason: "it wants a shared memory (threads)", Hint: "compile it for one thread: without -pthread, not for wasm32-wasip1-threads"}
	}
	for _, mem := range m.Memories() {
		if mem.Min > maxPages {
			return &ModuleError{Module: name, Reason: fmt.Sprintf("it begins with %d pages of memory, %d are possible", mem.Min, maxPages)}
		}
	}
	for _, e := range m.Exports() {
		if strings.HasPrefix(e.Name, reserved) {
			return &ModuleError{Module: name, Reason: fmt.Sprintf("it exports %q: names that begin with %q are reserved", e.Name, reserved)}
		}
	}
	return nil
}

// notFrozen tells what a module's instances may hold beside their memory and
// globals.
func notFrozen(m *wasm.Module) string {
	use, carried := m.Use(), m.Carried()
	switch {
	case use.TableWrites && len(m.Tables()) > 0:
		return "its code changes tables (table.set and the like)"
	case carried.Segments:
		return "its code drops data or element segments (data.drop, elem.drop)"
	case carried.References:
		return "it has a mutable global that holds a reference or a vector"
	}
	return ""
}

// plain returns a type without what ties it to the file it was read from.
func plain(t wasm.FuncType) wasm.FuncType {
	return wasm.FuncType{Params: t.Params, Results: t.Results}
}

func (r *rewritten) describe(m *wasm.Module) {
	types := m.Types()
	for _, im := range m.Imports() {
		d := Import{Module: im.Module, Name: im.Name, Kind: im.Kind}
		if im.Kind == wasm.FuncKind && int(im.Type) < len(types) {
			d.Type = plain(types[im.Type])
		}
		r.imports = append(r.imports, d)
	}
	for _, e := range m.Exports() {
		d := Export{Name: e.Name, Kind: e.Kind}
		if e.Kind == wasm.FuncKind {
			t, _ := m.FuncType(e.Index)
			d.Type = plain(t)
			r.functions[e.Name] = &exportedFunction{e.Name, words(d.Type.Params), words(d.Type.Results)}
		}
		r.exports = append(r.exports, d)
	}
	if list := m.Memories(); len(list) > 0 {
		r.hasMemory, r.memory = true, list[0].Limits
		if !r.memory.HasMax || r.memory.Max > maxPages {
			r.memory.Max = maxPages
		}
	}
}

// words is the number of 64-bit words that values of these types take.
func words(types []wasm.ValType) int {
	n := len(types)
	for _, t := range types {
		if t == wasm.V128 {
			n++
		}
	}
	return n
}
