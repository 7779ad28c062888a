package wasm

import "slices"

// Weights, in units of work.
const (
	callWeight     = 4
	indirectWeight = 8 + maxIndirect
	divWeight      = 8
	// hostWeight is that of instructions that the runtime does in Go, and of
	// calls of imported functions: about 100 ns, or more.
	hostWeight = 256
	bulkWeight = 16
	// throwWeight is that of throwing an exception, which takes tens to
	// hundreds of microseconds. It is counted when an exception is thrown.
	throwWeight = 1 << 14

	// maxIndirect is the greatest weight of a function that an indirect call
	// can reach and that does not count itself.
	maxIndirect = 256
	// maxInline is the greatest weight of a function that is counted by its
	// callers.
	maxInline = 256
	// maxStraight is the work on a way without a loop, calls included, after
	// which a check comes in between.
	maxStraight = 16384
)

// weight is the work that an instruction is, calls apart.
func weight(o op) uint32 {
	switch {
	case o == 0x01 || o == opBlock || o == opLoop || o == opElse || o == opEnd || o == opDrop ||
		o == opLocalGet || o >= opI32Const && o <= 0x44:
		return 0
	case o >= 0x6d && o <= 0x70 || o >= 0x7f && o <= 0x82 || o == 0x91 || o == 0x95 || o == 0x9f || o == 0xa3:
		return divWeight
	case o == opMemoryGrow || o == opTableGrow || o == opTryTable || o == opRefFunc || o>>8 == 0xfe && o <= opMemoryWait64:
		return hostWeight
	case o >= opMemoryInit && o <= opTableFill:
		return bulkWeight
	}
	return 1
}

// graph is what the module's code does, as far as counting work goes.
type graph struct {
	m     *Module
	n     uint32 // imported functions
	funcs []funcWork
	loops []loopWork
	calls []callSite
	mids  []midCheck
	pays  []payment
}

// funcWork is about one function that the module defines.
type funcWork struct {
	// base is the work outside of loops, with that of callees if they do not
	// count themselves; in the end, of functions that count, what they count when
	// entered.
	base        uint64
	loops       [2]int // its part of graph.loops
	calls       [2]int // its part of graph.calls, those outside of loops first
	unlooped    int    // number of those outside of loops
	mids        [2]int // its part of graph.mids
	pays        [2]int // its part of graph.pays
	anyCall     bool   // calls anything
	external    bool   // can be called by the host or indirectly
	check       bool   // counts when entered
	hasReferent bool   // has ref.func
	bulk        bool   // has bulk operations
}

// loopWork is about one loop.
type loopWork struct {
	weight uint64 // what its head counts
	calls  bool   // something in it or in a loop within uses the counter
}

// callSite is a direct call of a function that the module defines.
type callSite struct {
	loop   int32 // index in graph.loops, -1 outside of loops
	callee uint32
}

// midCheck is a check between two instructions.
type midCheck struct {
	pos    int // in the code
	weight uint32
}

// usesCounter tells whether an instruction makes someone else use the counter.
func usesCounter(o op) bool {
	switch o {
	case opCall, opReturnCall, opCallIndirect, opReturnCallIndirect:
		return true
	}
	return countsSize(o)
}

// countsSize tells whether an instruction's work is its last operand.
func countsSize(o op) bool {
	switch o {
	case opMemoryInit, opMemoryCopy, opMemoryFill, opTableInit, opTableCopy, opTableFill:
		return true
	}
	return false
}

// read goes through the code of all functions.
func (g *graph) read(m *Module) {
	g.m, g.n = m, m.imported[FuncKind]
	g.funcs = make([]funcWork, len(m.bodies))
	var stack []frame
	for i := range m.bodies {
		stack = g.readBody(&g.funcs[i], m.funcs[i], m.bodies[i].code, stack[:0])
	}
	mark := func(index uint32) {
		if index >= g.n {
			g.funcs[index-g.n].external = true
		}
	}
	for i := range m.exports {
		if m.exports[i].Kind == FuncKind {
			mark(m.exports[i].Index)
		}
	}
	if m.start >= 0 {
		mark(uint32(m.start))
	}
	refs := func(code []byte) {
		w := walker{code: code}
		for w.next() {
			if w.in.op == opRefFunc {
				mark(w.in.index)
			}
		}
	}
	for i := range m.globals {
		refs(m.globals[i].init)
	}
	for i := range m.elements {
		e := &m.elements[i]
		if e.flag&4 != 0 {
			refs(e.items)
			continue
		}
		for pos := 0; pos < len(e.items); {
			var f uint32
			f, pos, _ = readU32(e.items, pos)
			mark(f)
		}
	}
	for i := range m.bodies {
		if g.funcs[i].hasReferent {
			refs(m.bodies[i].code)
		}
	}
}

// fewValues is how many values pass between blocks and functions for nothing.
const fewValues = 8

// values is the weight of passing n values.
func values(n int) uint32 { return uint32(max(n-fewValues, 0)) }

// callValues is that of a call of a function of a type.
func (g *graph) callValues(typ uint32) uint32 {
	t := &g.m.types[typ]
	return values(len(t.Params) + len(t.Results))
}

// funcType is the index of a function's type.
func (g *graph) funcType(index uint32) uint32 {
	if index < g.n {
		return g.m.importTypes[index]
	}
	return g.m.funcs[index-g.n]
}

// blockValues is the weight of reaching a block's end, and its head if it is a
// loop's.
func (g *graph) blockValues(code []byte, in *instr) (end, head uint32) {
	b := code[in.args:]
	if b[0] == 0x40 || isValType(b[0]) {
		return 0, 0
	}
	index, _, _ := readS64(b, 0, 33)
	t := &g.m.types[index]
	return values(len(t.Results)), values(len(t.Params))
}

// branchValues is the weight of reaching where a branch leads.
func branchValues(in *instr, code []byte, at func(label uint32) uint32) uint32 {
	switch in.op {
	case opBr, opBrIf:
		return at(in.index)
	case opBrTable: // all labels take as many
		label, _, _ := readU32(code, in.args)
		return at(label)
	}
	return 0
}

// frame is a block that is open.
type frame struct {
	loop  int32 // the innermost loop around, in graph.loops; -1 for none
	owner bool  // it is a loop's or the function's
	// What passes its end, and what a branch to it.
	end, label uint32
}

func (g *graph) readBody(f *funcWork, typ uint32, code []byte, stack []frame) []frame {
	f.loops[0], f.calls[0] = len(g.loops), len(g.calls)
	results := values(len(g.m.types[typ].Results))
	stack = append(stack, frame{owner: true, loop: -1, end: results, label: results})
	w := walker{code: code}
	for w.next() {
		in := &w.in
		o := in.op
		top := &stack[len(stack)-1]
		add := weight(o) + branchValues(in, code, func(label uint32) uint32 { return stack[len(stack)-1-int(label)].label })
		switch o {
		case opBlock, opIf, opTryTable:
			end, _ := g.blockValues(code, in)
			stack = append(stack, frame{loop: top.loop, end: end, label: end})
			top = &stack[len(stack)-2]
		case opLoop:
			end, head := g.blockValues(code, in)
			g.loops = append(g.loops, loopWork{})
			stack = append(stack, frame{loop: int32(len(g.loops) - 1), owner: true, end: end, label: head})
			continue
		case opEnd:
			last := len(stack) - 1
			if top.loop < 0 {
				f.base += uint64(top.end)
			}
			if stack = stack[:last]; last == 0 {
				// The end of the function.
				f.loops[1], f.calls[1] = len(g.loops), len(g.calls)
				g.sortCalls(f)
				return stack
			}
			if outer := stack[last-1].loop; top.owner && outer >= 0 && g.loops[top.loop].calls {
				g.loops[outer].calls = true
			}
			continue
		case opReturn:
			add += results
		case opRefFunc:
			f.hasReferent = true
		case opCall, opReturnCall:
			if in.index < g.n {
				add = hostWeight
			} else {
				add = callWeight
				g.calls = append(g.calls, callSite{loop: top.loop, callee: in.index - g.n})
			}
			add += g.callValues(g.funcType(in.index))
		case opCallIndirect, opReturnCallIndirect:
			add = indirectWeight + g.callValues(in.index)
		}
		if usesCounter(o) {
			f.anyCall = true
			f.bulk = f.bulk || countsSize(o)
			if top.loop >= 0 {
				g.loops[top.loop].calls = true
			}
		}
		if top.loop < 0 {
			f.base += uint64(add)
		}
	}
	return stack
}

// sortCalls puts a function's calls outside of loops first.
func (g *graph) sortCalls(f *funcWork) {
	calls := g.calls[f.calls[0]:f.calls[1]]
	slices.SortStableFunc(calls, func(a, b callSite) int {
		return min(int(a.loop), 0) - min(int(b.loop), 0)
	})
	for f.unlooped < len(calls) && calls[f.unlooped].loop < 0 {
		f.unlooped++
	}
}

// resolve decides which functions count when entered, and adds the work of
// those that do not to their callers.
//
// A function must count if it can be part of a recursion in which no loop is
// entered. In the graph of direct calls outside of loops, each cycle has an
// edge that leads back to a function on the path of a depth-first search: its
// target counts. A cycle through an indirect call, or through the host, goes
// through an external function from which that call is reached. Its weight is
// more than external functions may have that do not count (maxIndirect), so
// one of the functions on the way to it counts.
func (g *graph) resolve() {
	const (
		unseen = iota
		open
		done
	)
	state := make([]byte, len(g.funcs))
	type visit struct {
		fn   uint32
		next int
	}
	var path []visit
	for root := range g.funcs {
		if state[root] != unseen {
			continue
		}
		path = append(path[:0], visit{fn: uint32(root)})
		state[root] = open
		for len(path) > 0 {
			v := &path[len(path)-1]
			f := &g.funcs[v.fn]
			if v.next < f.unlooped {
				callee := g.calls[f.calls[0]+v.next].callee
				v.next++
				switch state[callee] {
				case unseen:
					state[callee] = open
					path = append(path, visit{fn: callee})
				case open:
					g.funcs[callee].check = true
				}
				continue
			}
			for _, c := range g.calls[f.calls[0] : f.calls[0]+f.unlooped] {
				f.base += g.cost(c.callee)
			}
			if f.base > maxInline || f.external && f.base > maxIndirect {
				f.check = true
			}
			state[v.fn] = done
			path = path[:len(path)-1]
		}
	}
	p := paths{g: g}
	for i := range g.funcs {
		if f := &g.funcs[i]; f.check || f.loops[0] < f.loops[1] {
			p.find(f, g.m.funcs[i], &g.m.bodies[i])
		}
	}
}

// cost is what a call of a function costs its caller.
func (g *graph) cost(callee uint32) uint64 {
	if f := &g.funcs[callee]; !f.check {
		return f.base
	}
	return 0
}
