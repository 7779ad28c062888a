package wasm

// form is a way to count in loops that make no calls. The first is the one to
// use, the others are there to be compared with.
type form byte

const (
	formLocal  form = iota // in a local, stored when the loop is left
	formInline             // likewise, what follows a call of the host joins the loop's path
	formGlobal             // in the global, as in the other loops
	formTrap               // no count: a global flag and a trap; for comparison
)

// rewriter adds checks to a module.
type rewriter struct {
	m     *Module
	form  form
	graph graph
	stats InterruptStats

	checkFn   uint32 // index of the imported function
	checkType uint32
	counter   uint32 // index of the global
	added     []helper
	reentry   []reentry // for each function
	slow      uint32    // index of the helper that calls the host
	fill      uint32    // of memory.fill, if needed
	copy      uint32    // of memory.copy

	out   []byte // code of all functions
	local uint32 // the counter's local in the current function, if it has one
	tmp   uint32 // a second one, for operands
	used  int    // locals added to the current function: 0, 1 or 2
	// region is the depth of the loop at which the local counter is loaded,
	// 0 if the current code has none.
	region int
}

func (r *rewriter) op(o op, index uint32) { r.out = appendU32(append(r.out, byte(o)), index) }

func (r *rewriter) i32(v uint32) { r.out = appendS32(append(r.out, byte(opI32Const)), int32(v)) }

func (r *rewriter) ops(ops ...op) {
	for _, o := range ops {
		r.out = append(r.out, byte(o))
	}
}

// count counts in the global, and calls the host if the count has run out.
// Again tells that this is the head of a loop, to which the code after the
// call can return.
func (r *rewriter) count(weight uint64, again bool) {
	if r.form == formTrap {
		r.op(opGlobalGet, r.counter)
		r.ops(opIf, 0x40, opUnreachable, opEnd)
		return
	}
	r.countDown(weight)
	r.op(opCall, r.slow)
	if again && r.form != formInline {
		// What is counted again at the head.
		r.i32(clamp(weight))
		r.ops(opI32Add)
		r.op(opGlobalSet, r.counter)
		r.op(opBr, 1)
	} else {
		r.ops(opDrop)
	}
	r.ops(opEnd)
}

// countDown counts in the global, and begins a block for when the count has
// run out.
func (r *rewriter) countDown(weight uint64) {
	r.op(opGlobalGet, r.counter)
	r.i32(clamp(weight))
	r.ops(opI32Sub)
	r.op(opGlobalSet, r.counter)
	r.op(opGlobalGet, r.counter)
	r.i32(0)
	r.ops(opI32GeS, opIf, 0x40, opElse)
}

// countLocal is count in the local.
func (r *rewriter) countLocal(weight uint64, again bool) {
	r.op(opLocalGet, r.local)
	r.i32(clamp(weight))
	r.ops(opI32Sub)
	r.op(opLocalTee, r.local)
	r.i32(0)
	r.ops(opI32GeS, opIf, 0x40, opElse)
	r.op(opCall, r.slow)
	if again && r.form != formInline {
		r.i32(clamp(weight))
		r.ops(opI32Add)
		r.op(opLocalSet, r.local)
		r.op(opBr, 1)
	} else {
		r.op(opLocalSet, r.local)
	}
	r.ops(opEnd)
}

// store makes the count in the local the count.
func (r *rewriter) store() {
	r.op(opLocalGet, r.local)
	r.op(opGlobalSet, r.counter)
}

func clamp(weight uint64) uint32 { return uint32(min(max(weight, 1), 1<<24)) }

// bodies rewrites all functions.
func (r *rewriter) bodies() {
	m := r.m
	total := 0
	for i := range m.bodies {
		total += len(m.bodies[i].raw)
	}
	r.stats.Before = total
	r.out = make([]byte, 0, total+total/4)
	spans := make([][3]int, len(m.bodies)) // where in r.out, and the length of the code
	var code []byte
	for i := range m.bodies {
		body := &m.bodies[i]
		f := &r.graph.funcs[i]
		if !f.check && !f.anyCall && !f.hasReferent && f.loops[0] == f.loops[1] && f.mids[0] == f.mids[1] {
			continue // nothing to change
		}
		begin := len(r.out)
		r.body(i, body)
		// What was made is the instructions; the size and the locals go
		// before them.
		code = append(code[:0], r.out[begin:]...)
		r.out = r.out[:begin]
		locals := appendU32(nil, body.groups+uint32(min(r.used, 1)))
		locals = append(locals, body.locals...)
		if r.used > 0 {
			locals = append(appendU32(locals, uint32(r.used)), byte(I32))
		}
		r.out = appendU32(r.out, uint32(len(locals)+len(code)))
		r.out = append(r.out, locals...)
		r.out = append(r.out, code...)
		spans[i] = [3]int{begin, len(r.out), len(code)}
	}
	for i := range m.bodies {
		if s := spans[i]; s[1] > 0 {
			body := &m.bodies[i]
			body.raw = r.out[s[0]:s[1]:s[1]]
			body.code = body.raw[len(body.raw)-s[2]:]
		}
		r.stats.After += len(m.bodies[i].raw)
	}
	for _, f := range r.added {
		m.bodies = append(m.bodies, Body{raw: f.body})
		m.funcs = append(m.funcs, f.typ)
		r.stats.After += len(f.body)
	}
	m.touch(secFunction)
	m.touch(secCode)
}

func (r *rewriter) params(i int) uint32 { return uint32(len(r.m.types[r.m.funcs[i]].Params)) }

// needLocals makes sure that the current function has n more locals.
func (r *rewriter) needLocals(n int) { r.used = max(r.used, n) }

// body appends the new form of the instructions of function i to r.out.
func (r *rewriter) body(i int, body *Body) {
	g, f, code := &r.graph, &r.graph.funcs[i], body.code
	r.local, r.used, r.region = r.params(i)+body.count, 0, 0
	r.tmp = r.local + 1
	mids, pays := g.mids[f.mids[0]:f.mids[1]], g.pays[f.pays[0]:f.pays[1]]
	loop := f.loops[0]
	depth := 0 // open blocks
	if f.check {
		r.stats.EntryChecks++
		r.enter(i)
	}
	last := 0
	w := walker{code: code}
	for w.next() {
		in := &w.in
		if len(mids) > 0 && mids[0].pos == in.pos {
			r.out = append(r.out, code[last:in.pos]...)
			last = in.pos
			r.between(uint64(mids[0].weight))
			r.stats.Straight++
			mids = mids[1:]
		}
		if len(pays) > 0 && pays[0].pos == in.pos {
			r.out = append(r.out, code[last:in.pos]...)
			last = in.pos
			r.pay(pays[0].weight)
			r.stats.Payments++
			pays = pays[1:]
		}
		switch in.op {
		case opBlock, opIf, opTryTable:
			depth++
		case opLoop:
			depth++
			r.out = append(r.out, code[last:in.pos]...)
			last = in.end
			r.loop(depth, code[in.args:in.end], &g.loops[loop])
			loop++
		case opEnd:
			if depth > 0 && depth == r.region {
				r.out = append(r.out, code[last:in.end]...)
				last = in.end
				r.store()
				r.region = 0
			}
			depth--
		case opBr, opBrIf, opBrTable:
			if r.region > 0 && leaves(uint32(depth-r.region), code, in) {
				r.out = append(r.out, code[last:in.pos]...)
				last = in.pos
				r.store()
			}
		case opReturn:
			if r.region > 0 {
				r.out = append(r.out, code[last:in.pos]...)
				last = in.pos
				r.store()
			}
		case opThrow, opThrowRef:
			r.out = append(r.out, code[last:in.pos]...)
			last = in.pos
			r.between(throwWeight)
			if r.region > 0 {
				r.store()
			}
		case opCall, opReturnCall, opRefFunc:
			if in.index >= r.checkFn {
				r.out = append(r.out, code[last:in.args]...)
				last = in.end
				r.out = appendU32(r.out, in.index+1)
			}
		case opMemoryFill, opMemoryCopy:
			r.out = append(r.out, code[last:in.pos]...)
			last = in.end
			fn := r.fill
			if in.op == opMemoryCopy {
				fn = r.copy
			}
			r.op(opCall, fn)
			r.stats.BulkOps++
		case opMemoryInit, opTableInit, opTableCopy, opTableFill:
			r.out = append(r.out, code[last:in.pos]...)
			r.sized()
			r.out = append(r.out, code[in.pos:in.end]...)
			last = in.end
			r.count(bulkWeight, false)
			r.stats.BulkOps++
		}
	}
	r.out = append(r.out, code[last:]...)
}

// leaves tells whether a branch can lead to a label past the innermost ones,
// up to and with the given one.
func leaves(innermost uint32, code []byte, in *instr) bool {
	if in.op != opBrTable {
		return in.index > innermost
	}
	pos, label := in.args, uint32(0)
	for range uint64(in.second) + 1 {
		if label, pos, _ = readU32(code, pos); label > innermost {
			return true
		}
	}
	return false
}

// check counts in the global, in a loop of its own, where there is none.
func (r *rewriter) check(weight uint64) {
	r.ops(opLoop, 0x40)
	r.count(weight, true)
	r.ops(opEnd)
}

// pay counts between two instructions, without a check.
func (r *rewriter) pay(weight uint32) {
	if r.form == formTrap {
		return
	}
	get, set := r.local, opLocalSet
	if r.region > 0 {
		r.op(opLocalGet, get)
	} else {
		get, set = r.counter, opGlobalSet
		r.op(opGlobalGet, get)
	}
	r.i32(weight)
	r.ops(opI32Sub)
	r.op(set, get)
}

// between counts between two instructions.
func (r *rewriter) between(weight uint64) {
	if r.region > 0 {
		r.countLocal(weight, false)
	} else {
		r.check(weight)
	}
}

// loop begins a loop at the given depth.
func (r *rewriter) loop(depth int, blockType []byte, work *loopWork) {
	r.stats.Loops++
	again := !r.hasParams(blockType)
	local := r.region > 0 || !work.calls && r.form <= formInline
	if local && r.region == 0 {
		r.region = depth
		r.op(opGlobalGet, r.counter)
		r.op(opLocalSet, r.local)
	}
	r.ops(opLoop)
	r.out = append(r.out, blockType...)
	if !local {
		r.count(work.weight, again)
		return
	}
	r.stats.LocalLoops++
	r.needLocals(1)
	r.countLocal(work.weight, again)
}

// hasParams tells whether a block takes operands, which code within it cannot
// pass on to the block's head.
func (r *rewriter) hasParams(blockType []byte) bool {
	if blockType[0] == 0x40 || isValType(blockType[0]) {
		return false
	}
	index, _, _ := readS64(blockType, 0, 33)
	return len(r.m.types[index].Params) > 0
}

// sized counts the number on top of the stack, a size in bytes or elements,
// and leaves it there.
func (r *rewriter) sized() {
	r.needLocals(2)
	r.op(opLocalSet, r.tmp)
	r.charge(r.tmp)
	r.op(opLocalGet, r.tmp)
}

// charge counts the size in a local.
func (r *rewriter) charge(size uint32) {
	if r.form == formTrap {
		return
	}
	r.op(opGlobalGet, r.counter)
	r.op(opLocalGet, size)
	r.i32(4)
	r.ops(opI32ShrU, opI32Sub)
	r.op(opGlobalSet, r.counter)
}
