package wasm

// A function that counts when it is entered leaves when the count has run out:
// it calls one of the functions made here in its own place, which asks the host
// and calls it again. So its parameters live across no call, and need no
// stack where the function makes none otherwise.

const (
	// What fits into registers beside what the functions made here take, on
	// all processors. With more, a call in a function's place would need stack.
	againInts    = 5
	againFloats  = 8
	againResults = 2
	// againTargets is the greatest number of functions that one function
	// calls again. Compiling takes longer than in proportion to it.
	againTargets = 64
)

// reentry tells where a function goes to be called again: a function, and its
// last argument. The zero value is for functions that are not called again.
type reentry struct{ fn, target uint32 }

// reentries makes the functions that call others again, the first of which
// has the given index.
func (r *rewriter) reentries(first uint32) {
	r.reentry = make([]reentry, len(r.graph.funcs))
	if r.form == formTrap {
		return
	}
	var types []uint32
	funcs := map[uint32][]int{} // by type
	for i := range r.graph.funcs {
		t := r.m.funcs[i]
		if !r.graph.funcs[i].check || !inRegisters(&r.m.types[t]) {
			continue
		}
		if funcs[t] == nil {
			types = append(types, t)
		}
		funcs[t] = append(funcs[t], i)
	}
	for _, t := range types {
		for list := funcs[t]; len(list) > 0; {
			n := min(len(list), againTargets)
			fn := first + uint32(len(r.added))
			for k, i := range list[:n] {
				r.reentry[i] = reentry{fn, uint32(k)}
			}
			r.callAgain(t, list[:n])
			list = list[n:]
		}
	}
}

func inRegisters(t *FuncType) bool {
	ints, floats := 0, 0
	for _, p := range t.Params {
		switch p {
		case F32, F64, V128:
			floats++
		default:
			ints++
		}
	}
	return ints <= againInts && floats <= againFloats && len(t.Results) <= againResults
}

// callAgain makes a function with the parameters of a type and one more, which
// tells which of the list it is to call.
func (r *rewriter) callAgain(t uint32, list []int) {
	params := r.m.types[t].Params
	typ := r.m.addType(append(params[:len(params):len(params)], I32), r.m.types[t].Results)
	r.out = nil
	r.op(opCall, r.slow)
	r.ops(opDrop)
	for range list {
		r.ops(opBlock, 0x40)
	}
	r.op(opLocalGet, uint32(len(params)))
	r.op(opBrTable, uint32(len(list)-1))
	for k := range list {
		r.out = appendU32(r.out, uint32(k))
	}
	for _, i := range list {
		r.ops(opEnd)
		// What it counts again.
		r.op(opGlobalGet, r.counter)
		r.i32(clamp(r.graph.funcs[i].base))
		r.ops(opI32Add)
		r.op(opGlobalSet, r.counter)
		r.pass(len(params))
		r.op(opReturnCall, r.checkFn+1+uint32(i))
	}
	r.ops(opEnd)
	r.add("hako.again", typ, 0)
}

// pass puts the parameters on the stack.
func (r *rewriter) pass(n int) {
	for p := range n {
		r.op(opLocalGet, uint32(p))
	}
}

// enter counts at the entry of a function.
func (r *rewriter) enter(i int) {
	weight := r.graph.funcs[i].base
	a := r.reentry[i]
	if a.fn == 0 {
		r.check(weight)
		return
	}
	r.countDown(weight)
	r.pass(int(r.params(i)))
	r.i32(a.target)
	r.op(opReturnCall, a.fn)
	r.ops(opEnd)
}
