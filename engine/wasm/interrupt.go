package wasm

import (
	"fmt"
	"slices"
	"strings"
)

// The function that a module imports after [Module.Interrupt].
const (
	CheckModule = "hako"
	CheckName   = "check"
)

// InterruptOptions tell how [Module.Interrupt] rewrites. The zero value is
// right.
type InterruptOptions struct {
	form form
}

// InterruptStats tell what [Module.Interrupt] did.
type InterruptStats struct {
	Functions   int // functions that the module defines
	EntryChecks int // of them, those that count when they are entered
	Loops       int // loops, each of which counts its iterations
	LocalLoops  int // of them, those that count in a local variable
	Straight    int // checks in long code without loops
	Payments    int // places that count without a check
	BulkOps     int // memory.fill and the like that count by their size
	Before      int // bytes of code
	After       int
}

// Interrupt rewrites the module so that it comes to its host after a bounded
// amount of work, whatever it computes. The module then imports
//
//	(import "hako" "check" (func (result i32)))
//
// which the host must provide. The guest counts its work, roughly in
// instructions, down from what the last call of check returned, and calls
// check when the count has run out. Check looks whether the guest has to stop,
// in which case it does not return (in wazero, it panics), and otherwise
// returns the work to be done until the next call, at least 1. The first call
// comes before any work is done, and a call may come up to a few thousand
// instructions late.
//
// A unit of work takes 0.1 to 1 ns as a rule and 20 ns or so where a hostile
// guest misses every cache. A host that wants a call every 200 us starts with
// 1<<14, multiplies by what the time tells, and never returns more than 1<<19,
// so that no guest can run for more than about 10 ms by changing its manners.
//
// A guest cannot stop or delay the checks: what was added has indices that its
// own code has been checked not to name. Counting goes on through
// calls, tail calls, exceptions and recursion. Not counted is the time inside
// host functions, in memory.grow (the host's work) and in memory.atomic.wait
// (see [Use]). One table.fill or table.copy takes time in proportion to the
// size of the table: see [Module.CapTables]. memory.fill and memory.copy of
// more than 256 KiB are done in pieces, and then are not atomic towards other
// threads.
//
// Custom sections that hold offsets into the code (DWARF, source maps, branch
// hints, relocations) are dropped; names are kept.
//
// It is an error if the module imports something of module "hako" named
// "check" already, and to rewrite a module twice.
func (m *Module) Interrupt(opts InterruptOptions) (InterruptStats, error) {
	if m.interrupted {
		return InterruptStats{}, fmt.Errorf("add checks: %w: it has them already", ErrUnsupported)
	}
	for i := range m.imports {
		if im := &m.imports[i]; im.Module == CheckModule && im.Name == CheckName {
			return InterruptStats{}, fmt.Errorf("add checks: %w: it imports %s.%s itself, which is reserved", ErrUnsupported, CheckModule, CheckName)
		}
	}
	r := &rewriter{
		m:       m,
		form:    opts.form,
		checkFn: m.imported[FuncKind],
		counter: m.imported[GlobalKind] + uint32(len(m.globals)),
	}
	r.graph.read(m)
	r.graph.resolve()
	r.stats.Functions = len(m.bodies)
	r.helpers()
	r.bodies()
	r.shift()
	m.interrupted = true
	return r.stats, nil
}

// codeOffsets tells whether a custom section holds offsets into code.
func codeOffsets(name string) bool {
	switch name {
	case "linking", "sourceMappingURL", "external_debug_info":
		return true
	}
	return strings.HasPrefix(name, ".debug_") || strings.HasPrefix(name, "reloc.") || strings.HasPrefix(name, "metadata.code.")
}

// shift brings everything outside of code up to date with the new import,
// which moves the indices of the module's own functions by one.
func (r *rewriter) shift() {
	m, n := r.m, r.checkFn
	// The import, after the others; its place among imports of other kinds
	// does not matter.
	typ := r.checkType
	raw := appendName(appendName(nil, CheckModule), CheckName)
	raw = appendU32(append(raw, byte(FuncKind)), typ)
	m.imports = append(m.imports, Import{Module: CheckModule, Name: CheckName, Kind: FuncKind, Type: typ, raw: raw})
	m.imported[FuncKind]++
	m.importTypes = append(m.importTypes, typ)
	m.touch(secImport)

	m.globals = append(m.globals, Global{
		GlobalType: GlobalType{Type: I32, Mutable: true},
		init:       expr{byte(opI32Const), 0, byte(opEnd)},
		raw:        []byte{byte(I32), 1, byte(opI32Const), 0, byte(opEnd)},
		own:        true,
	})
	m.touch(secGlobal)

	for i := range m.globals {
		g := &m.globals[i]
		if init := r.shiftExprs(g.init); init != nil {
			g.init = init
			g.raw = append(slices.Clone(g.raw[:2]), init...)
		}
	}
	touched := false
	for i := range m.exports {
		if e := &m.exports[i]; e.Kind == FuncKind && e.Index >= n {
			e.Index++
			e.raw = appendU32(append(appendName(nil, e.Name), byte(e.Kind)), e.Index)
			touched = true
		}
	}
	if touched {
		m.touch(secExport)
	}
	if m.start >= int64(n) {
		m.start++
		m.touch(secStart)
	}
	touched = false
	for i := range m.elements {
		touched = r.shiftElement(&m.elements[i]) || touched
	}
	if touched {
		m.touch(secElement)
	}
	m.RemoveCustom(codeOffsets)
	names := make([]string, len(r.added))
	for i, f := range r.added {
		names[i] = f.name
	}
	m.renumberNames(n, []string{CheckModule + "." + CheckName}, names)
}

// shiftExprs rewrites the function indices in constant expressions; nil if
// there are none to rewrite.
func (r *rewriter) shiftExprs(exprs []byte) []byte {
	var out []byte
	last := 0
	w := walker{code: exprs}
	for w.next() {
		if w.in.op == opRefFunc && w.in.index >= r.checkFn {
			out = append(out, exprs[last:w.in.args]...)
			out = appendU32(out, w.in.index+1)
			last = w.in.end
		}
	}
	if last == 0 {
		return nil
	}
	return append(out, exprs[last:]...)
}

func (r *rewriter) shiftElement(e *Element) bool {
	if e.flag&4 != 0 {
		items := r.shiftExprs(e.items)
		if items == nil {
			return false
		}
		e.items = items
	} else {
		items := make([]byte, 0, len(e.items)+len(e.items)/64)
		changed := false
		for pos := 0; pos < len(e.items); {
			var f uint32
			if f, pos, _ = readU32(e.items, pos); f >= r.checkFn {
				f++
				changed = true
			}
			items = appendU32(items, f)
		}
		if !changed {
			return false
		}
		e.items = items
	}
	raw := appendU32(nil, e.flag)
	if e.flag&3 == 2 {
		raw = appendU32(raw, e.Table)
	}
	raw = append(raw, e.offset...)
	raw = append(raw, e.kind...)
	raw = appendU32(raw, uint32(e.Count))
	e.raw = append(raw, e.items...)
	return true
}
