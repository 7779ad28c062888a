package wasm

// helper is a function that a rewrite adds.
type helper struct {
	name string
	typ  uint32
	body []byte // with its size
}

// bulkPiece is the number of bytes that memory.fill and memory.copy handle
// between two checks: about 50 us of work when each page is touched first.
const bulkPiece = 256 << 10

// funcType returns the index of a type, which it adds if need be.
func (m *Module) addType(params, results []ValType) uint32 {
	equal := func(a, b []ValType) bool {
		if len(a) != len(b) {
			return false
		}
		for i := range a {
			if a[i] != b[i] {
				return false
			}
		}
		return true
	}
	for i := range m.types {
		if equal(m.types[i].Params, params) && equal(m.types[i].Results, results) {
			return uint32(i)
		}
	}
	raw := []byte{0x60}
	for _, list := range [][]ValType{params, results} {
		raw = appendU32(raw, uint32(len(list)))
		for _, t := range list {
			raw = append(raw, byte(t))
		}
	}
	m.types = append(m.types, FuncType{Params: params, Results: results, raw: raw})
	m.touch(secType)
	return uint32(len(m.types) - 1)
}

// helpers makes the functions that rewritten code calls.
func (r *rewriter) helpers() {
	m := r.m
	r.checkType = m.addType(nil, []ValType{I32})
	first := m.NumFuncs() + 1
	r.slow = first
	r.out = nil
	// The next count goes into the global, for all that follows, and is the
	// result, for the loop that counts in a local.
	r.op(opCall, r.checkFn)
	r.op(opGlobalSet, r.counter)
	r.op(opGlobalGet, r.counter)
	r.ops(opEnd)
	r.add("hako.slow", r.checkType, 0)

	bulk := false
	for i := range r.graph.funcs {
		bulk = bulk || r.graph.funcs[i].bulk
	}
	if bulk && len(m.memories)+int(m.imported[MemoryKind]) > 0 {
		r.bulkHelpers(first + 1)
	}
	r.reentries(first)
}

// bulkHelpers makes those for memory.fill and memory.copy.
func (r *rewriter) bulkHelpers(index uint32) {
	typ := r.m.addType([]ValType{I32, I32, I32}, nil)
	r.fill, r.copy = index, index+1
	r.memoryFill()
	r.add("hako.fill", typ, 0)
	r.memoryCopy()
	r.add("hako.copy", typ, 0)
}

// add finishes the helper whose instructions are in r.out.
func (r *rewriter) add(name string, typ, locals uint32) {
	body := []byte{0}
	if locals > 0 {
		body = append(appendU32([]byte{1}, locals), byte(I32))
	}
	body = append(body, r.out...)
	r.added = append(r.added, helper{name: name, typ: typ, body: append(appendU32(nil, uint32(len(body))), body...)})
	r.out = nil
}

// The parameters of memory.fill and memory.copy.
const dst, val, src, size = 0, 1, 1, 2

func (r *rewriter) bulk(o op) {
	r.op(opLocalGet, dst)
	r.op(opLocalGet, src)
	r.op(opLocalGet, size)
	r.bulkOp(o)
}

func (r *rewriter) bulkOp(o op) {
	r.ops(0xfc, o&0xff, 0)
	if o == opMemoryCopy {
		r.ops(0)
	}
}

// small does operations of one piece at once, and those that are out of
// bounds, which trap.
func (r *rewriter) small(o op, bounded ...uint32) {
	r.op(opLocalGet, size)
	r.i32(bulkPiece)
	r.ops(opI32LeU)
	r.ops(opIf, 0x40)
	r.charge(size)
	r.count(bulkWeight, false)
	r.bulk(o)
	r.ops(opReturn, opEnd)
	for _, at := range bounded {
		const extend, gtU, shl = op(0xad), op(0x56), op(0x86)
		r.op(opLocalGet, at)
		r.ops(extend)
		r.op(opLocalGet, size)
		r.ops(extend, opI64Add)
		r.ops(opMemorySize, 0, extend, opI64Const, 16, shl, gtU)
		r.ops(opIf, 0x40)
		r.bulk(o)
		r.ops(opReturn, opEnd)
	}
}

// piece counts one piece.
func (r *rewriter) piece() {
	r.count(bulkPiece>>4, false)
}

// advance moves a position to the next piece.
func (r *rewriter) advance(locals ...uint32) {
	for _, at := range locals {
		r.op(opLocalGet, at)
		r.i32(bulkPiece)
		r.ops(opI32Add)
		r.op(opLocalSet, at)
	}
}

// shrink takes a piece off the size.
func (r *rewriter) shrink() {
	r.op(opLocalGet, size)
	r.i32(bulkPiece)
	r.ops(opI32Sub)
	r.op(opLocalSet, size)
}

// again goes back to the loop's head if there is more than a piece left.
func (r *rewriter) again() {
	r.op(opLocalGet, size)
	r.i32(bulkPiece)
	r.ops(opI32GtU)
	r.op(opBrIf, 0)
}

func (r *rewriter) memoryFill() {
	r.small(opMemoryFill, dst)
	r.ops(opLoop, 0x40)
	r.piece()
	r.op(opLocalGet, dst)
	r.op(opLocalGet, val)
	r.i32(bulkPiece)
	r.bulkOp(opMemoryFill)
	r.advance(dst)
	r.shrink()
	r.again()
	r.ops(opEnd)
	r.bulk(opMemoryFill)
	r.ops(opEnd)
}

// memoryCopy copies pieces in the order that overlapping areas need.
func (r *rewriter) memoryCopy() {
	r.small(opMemoryCopy, dst, src)
	r.op(opLocalGet, dst)
	r.op(opLocalGet, src)
	r.ops(opI32LeU, opIf, 0x40)

	r.ops(opLoop, 0x40)
	r.piece()
	r.op(opLocalGet, dst)
	r.op(opLocalGet, src)
	r.i32(bulkPiece)
	r.bulkOp(opMemoryCopy)
	r.advance(dst, src)
	r.shrink()
	r.again()
	r.ops(opEnd)

	r.ops(opElse)

	r.ops(opLoop, 0x40)
	r.piece()
	r.shrink()
	for _, at := range []uint32{dst, src} {
		r.op(opLocalGet, at)
		r.op(opLocalGet, size)
		r.ops(opI32Add)
	}
	r.i32(bulkPiece)
	r.bulkOp(opMemoryCopy)
	r.again()
	r.ops(opEnd)

	r.ops(opEnd)
	r.bulk(opMemoryCopy)
	r.ops(opEnd)
}
