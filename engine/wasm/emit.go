package wasm

// form is a way to count in loops that make no calls.
type form byte

const (
	formLocal  form = iota // in a local, stored when the loop is left
	formSplit              // likewise, the call of the host in a loop around
	formInline             // likewise, the call of the host within the loop's path
	formGlobal             // in the global, as in the other loops
	formTrap               // no count: a global flag and a trap; for comparison
)

// The modes of loops.
const (
	modeGlobal = iota // counts in the global
	modeLocal         // counts in a local
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
	slow      uint32 // index of the helper that calls the host
	fill      uint32 // of memory.fill, if needed
	copy      uint32 // of memory.copy

	out   []byte // code of all functions
	local uint32 // the counter's local in the current function, if it has one
	tmp   uint32 // a second one, for operands
	used  int    // locals added to the current function: 0, 1 or 2
	// region is the index in the stack of the loop at which the local
	// counter is loaded, 0 if the current code has none.
	region int
	split  int // loops split so far in the current function
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
	r.op(opGlobalGet, r.counter)
	r.i32(clamp(weight))
	r.ops(opI32Sub)
	r.op(opGlobalSet, r.counter)
	r.settle(again)
}

// settle calls the host if the count in the global has run out.
func (r *rewriter) settle(again bool) {
	r.op(opGlobalGet, r.counter)
	r.i32(0)
	r.ops(opI32GeS, opIf, 0x40, opElse)
	r.op(opCall, r.slow)
	r.ops(0x1a)
	if again && r.form != formInline {
		r.op(opBr, 1)
	}
	r.ops(opEnd)
}

// countLocal counts in the local.
func (r *rewriter) countLocal(weight uint64) {
	r.op(opLocalGet, r.local)
	r.i32(clamp(weight))
	r.ops(opI32Sub)
	r.op(opLocalTee, r.local)
	r.i32(0)
	r.ops(opI32GeS)
}

// settleLocal calls the host if the condition on the stack says so.
func (r *rewriter) settleLocal(again bool) {
	r.ops(opIf, 0x40, opElse)
	r.op(opCall, r.slow)
	r.op(opLocalSet, r.local)
	if again && r.form == formLocal {
		r.op(opBr, 1)
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
	var stack []frame
	var code []byte
	for i := range m.bodies {
		body := &m.bodies[i]
		f := &r.graph.funcs[i]
		if !f.check && !f.anyCall && !f.hasReferent && f.loops[0] == f.loops[1] && f.mids[0] == f.mids[1] {
			continue // nothing to change
		}
		begin := len(r.out)
		stack = r.body(f, body, r.params(i), stack[:0])
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

func (r *rewriter) body(f *funcWork, body *Body, params uint32, stack []frame) []frame {
	g, code := &r.graph, body.code
	r.local, r.used, r.region, r.split = params+body.count, 0, 0, 0
	r.tmp = r.local + 1
	mids := g.mids[f.mids[0]:f.mids[1]]
	loop := f.loops[0]
	stack = append(stack, frame{kind: 'f'})
	depth := int32(0) // labels in the new code, without the function's own
	if f.check {
		r.stats.EntryChecks++
		r.check(f.base)
	}
	last := 0
	w := walker{code: code}
	for w.next() {
		in := &w.in
		if len(mids) > 0 && mids[0].pos == in.pos {
			r.out = append(r.out, code[last:in.pos]...)
			last = in.pos
			r.mid(mids[0].weight)
			mids = mids[1:]
		}
		switch in.op {
		case opBlock, opIf:
			depth++
			stack = append(stack, frame{kind: 'b', depth: depth})
		case opLoop:
			r.out = append(r.out, code[last:in.pos]...)
			last = in.end
			stack = append(stack, frame{kind: 'l'})
			depth = r.loop(stack, depth, code[in.args:in.end], &g.loops[loop])
			loop++
		case opTryTable:
			if r.split > 0 {
				r.out = append(r.out, code[last:in.clauses]...)
				pos := in.clauses
				for range in.second {
					var c catch
					c, pos, _ = readCatch(code, pos)
					r.out = append(r.out, c.kind)
					if c.kind < 2 {
						r.out = appendU32(r.out, c.tag)
					}
					r.out = appendU32(r.out, label(stack, depth, c.label))
				}
				last = in.end
			}
			depth++
			stack = append(stack, frame{kind: 'b', depth: depth})
		case opEnd:
			top := &stack[len(stack)-1]
			depth = r.end(stack, depth, code, &last, in)
			if top.kind == 'f' {
				r.out = append(r.out, code[last:]...)
				return stack[:0]
			}
			stack = stack[:len(stack)-1]
		case opBr, opBrIf:
			leaves := r.region > 0 && len(stack)-1-int(in.index) < r.region
			if !leaves && r.split == 0 {
				continue
			}
			r.out = append(r.out, code[last:in.pos]...)
			last = in.end
			if leaves {
				r.store()
			}
			r.op(in.op, label(stack, depth, in.index))
		case opBrTable:
			last = r.brTable(stack, depth, code, last, in)
		case opReturn, opThrow, opThrowRef:
			if r.region > 0 {
				r.out = append(r.out, code[last:in.pos]...)
				last = in.pos
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
			r.settle(false)
			r.stats.BulkOps++
		}
	}
	return stack[:0]
}

// label returns the new number of a label.
func label(stack []frame, depth int32, old uint32) uint32 {
	return uint32(depth - stack[len(stack)-1-int(old)].depth)
}

// check counts in the global, in a loop of its own.
func (r *rewriter) check(weight uint64) {
	r.ops(opLoop, 0x40)
	r.count(weight, true)
	r.ops(opEnd)
}

// mid makes a check between two instructions.
func (r *rewriter) mid(weight uint32) {
	r.stats.Straight++
	if r.region > 0 {
		r.countLocal(uint64(weight))
		r.settleLocal(false)
	} else {
		r.check(uint64(weight))
	}
}

// loop begins the loop whose frame is on top of the stack.
func (r *rewriter) loop(stack []frame, depth int32, blockType []byte, work *loopWork) int32 {
	top := &stack[len(stack)-1]
	r.stats.Loops++
	again := !r.hasParams(blockType)
	begin := func() {
		depth++
		r.ops(opLoop)
		r.out = append(r.out, blockType...)
	}
	if r.region == 0 && (work.calls || r.form >= formGlobal) {
		begin()
		top.depth = depth
		r.count(work.weight, again)
		return depth
	}
	top.mode = modeLocal
	r.stats.LocalLoops++
	r.needLocals(1)
	if r.region == 0 {
		r.region = len(stack) - 1
		r.op(opGlobalGet, r.counter)
		r.op(opLocalSet, r.local)
	}
	if r.form == formSplit {
		r.split++
		begin()
		r.op(opLocalGet, r.local)
		r.i32(0)
		r.ops(opI32GeS)
		r.settleLocal(false)
		begin()
		r.countLocal(work.weight)
		r.ops(opIf, 0x40, opElse)
		r.op(opBr, 2)
		r.ops(opEnd)
	} else {
		begin()
		r.countLocal(work.weight)
		r.settleLocal(again)
	}
	top.depth = depth
	return depth
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

// end ends the block on top of the stack.
func (r *rewriter) end(stack []frame, depth int32, code []byte, last *int, in *instr) int32 {
	top := &stack[len(stack)-1]
	if top.kind == 'f' {
		return depth
	}
	depth--
	if top.kind != 'l' || top.mode != modeLocal {
		return depth
	}
	r.out = append(r.out, code[*last:in.end]...)
	*last = in.end
	if r.form == formSplit {
		r.ops(opEnd)
		depth--
	}
	if r.region == len(stack)-1 {
		r.store()
		r.region = 0
	}
	return depth
}

func (r *rewriter) brTable(stack []frame, depth int32, code []byte, last int, in *instr) int {
	if r.region == 0 && r.split == 0 {
		return last
	}
	r.out = append(r.out, code[last:in.pos]...)
	start := len(r.out)
	leaves := false
	r.op(opBrTable, in.second)
	pos := in.args
	for range uint64(in.second) + 1 {
		var l uint32
		l, pos, _ = readU32(code, pos)
		leaves = leaves || len(stack)-1-int(l) < r.region
		r.out = appendU32(r.out, label(stack, depth, l))
	}
	if leaves {
		table := append([]byte(nil), r.out[start:]...)
		r.out = r.out[:start]
		r.store()
		r.out = append(r.out, table...)
	}
	return in.end
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
