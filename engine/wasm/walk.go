package wasm

import "fmt"

// instr is one instruction: its opcode at code[pos], its immediates in
// code[args:end], where the next one begins.
type instr struct {
	op             op
	pos, args, end int
	// index is the first index among the immediates: the label, function,
	// type (call_indirect), local, global, table, tag or segment. Of
	// ref.null it is meaningless.
	index uint32
	// second is the second one: call_indirect's table, table.copy's source,
	// table.init's table. Of br_table, it is the number of labels, which
	// begin at args, without the default, which comes after them. Of
	// try_table, it is the number of catch clauses, which begin at clauses.
	second  uint32
	clauses int
}

// walker goes through the instructions of code. It checks that each is one
// that is known, with whole immediates, and nothing else.
type walker struct {
	code []byte
	in   instr
	err  *Error // with an offset in code
}

// next reads the instruction after the current one and tells whether there is
// one. It is false at the end of code and after an error.
func (w *walker) next() bool {
	pos := w.in.end
	if pos >= len(w.code) || w.err != nil {
		return false
	}
	c := w.code[pos]
	w.in.pos = pos
	w.in.op = op(c)
	w.in.args = pos + 1
	form := plain[c]
	switch form {
	case immNone:
		w.in.end = pos + 1
		return true
	case immIndex:
		return w.indices(pos+1, 1)
	case immPrefix:
		sub, at, ok := readU32(w.code, pos+1)
		if !ok {
			return w.fail(pos, "instruction is cut off")
		}
		w.in.args = at
		if sub > 0xff {
			if c == 0xfd {
				return w.refuse(pos, "relaxed SIMD")
			}
			return w.fail(pos, "no such instruction: %#x %#x", c, sub)
		}
		w.in.op = op(c)<<8 | op(sub)
		switch c {
		case 0xfc:
			form = misc[sub]
			if form == immUnknown && sub >= 19 && sub <= 22 {
				return w.refuse(pos, "wide arithmetic")
			}
		case 0xfd:
			form = simd[sub]
		default:
			form = atomic[sub]
		}
	}
	return w.immediates(form)
}

func (w *walker) fail(pos int, format string, args ...any) bool {
	w.err = &Error{Offset: pos, Reason: fmt.Sprintf(format, args...), Kind: ErrMalformed}
	return false
}

func (w *walker) refuse(pos int, proposal string) bool {
	w.err = &Error{Offset: pos, Reason: proposal, Kind: ErrUnsupported}
	return false
}

// indices reads n (1 or 2) indices at pos.
func (w *walker) indices(pos, n int) bool {
	v, next, ok := readU32(w.code, pos)
	w.in.index = v
	if n == 2 && ok {
		w.in.second, next, ok = readU32(w.code, next)
	}
	if !ok {
		return w.fail(w.in.pos, "index is cut off or too large")
	}
	w.in.end = next
	return true
}

// bytes takes n bytes of immediates at pos.
func (w *walker) bytes(pos, n int) bool {
	if n > len(w.code)-pos {
		return w.fail(w.in.pos, "instruction is cut off")
	}
	w.in.end = pos + n
	return true
}

// memory takes n memory indices at pos.
func (w *walker) memory(pos, n int) bool {
	for range n {
		v, next, ok := readU32(w.code, pos)
		if !ok {
			return w.fail(w.in.pos, "memory index is cut off or too large")
		}
		if v != 0 {
			return w.refuse(pos, "multiple memories")
		}
		pos = next
	}
	w.in.end = pos
	return true
}

func (w *walker) memArg(pos, lane int) bool {
	align, pos, ok := readU32(w.code, pos)
	if ok && align >= 0x40 {
		return w.refuse(pos, "multiple memories")
	}
	if ok {
		_, pos, ok = readU32(w.code, pos)
	}
	if !ok {
		return w.fail(w.in.pos, "memory offset is cut off or needs 64 bits (memory64)")
	}
	return w.bytes(pos, lane)
}

func (w *walker) signed(bits uint) bool {
	_, next, ok := readS64(w.code, w.in.args, bits)
	if !ok {
		return w.fail(w.in.pos, "constant is cut off or too large")
	}
	w.in.end = next
	return true
}

// blockType reads the type of a block at pos and returns the position after it.
func (w *walker) blockType(pos int) (next int, ok bool) {
	if pos < len(w.code) {
		switch c := w.code[pos]; {
		case c == 0x40 || isValType(c):
			return pos + 1, true
		case c == 0x63 || c == 0x64:
			return pos, w.refuse(pos, "typed function references")
		}
	}
	v, next, ok := readS64(w.code, pos, 33)
	if !ok || v < 0 {
		return pos, w.fail(pos, "no such block type")
	}
	return next, true
}

func (w *walker) immediates(form imm) bool {
	at := w.in.args
	switch form {
	case immNone:
		w.in.end = at
		return true
	case immIndex:
		return w.indices(at, 1)
	case immTwo:
		return w.indices(at, 2)
	case immBlockType:
		var ok bool
		w.in.end, ok = w.blockType(at)
		return ok
	case immBrTable:
		return w.brTable(at)
	case immTryTable:
		return w.tryTable(at)
	case immMemory:
		return w.memory(at, 1)
	case immMemory2:
		return w.memory(at, 2)
	case immIndexMemory:
		return w.indices(at, 1) && w.memory(w.in.end, 1)
	case immMemArg:
		return w.memArg(at, 0)
	case immMemArgLane:
		return w.memArg(at, 1)
	case immLane, immFence:
		return w.bytes(at, 1)
	case immS32:
		return w.signed(32)
	case immS64:
		return w.signed(64)
	case imm4:
		return w.bytes(at, 4)
	case imm8:
		return w.bytes(at, 8)
	case imm16:
		return w.bytes(at, 16)
	case immTypes:
		return w.types(at)
	case immRefType:
		if at < len(w.code) && isRefType(w.code[at]) {
			w.in.end = at + 1
			return true
		}
		return w.refuse(w.in.pos, "a null reference of a type other than func, extern and exn (typed function references, garbage collection)")
	case immLegacy:
		return w.refuse(w.in.pos, "legacy exceptions: translate the module with binaryen, wasm-opt --translate-to-exnref")
	case immRefs:
		return w.refuse(w.in.pos, "typed function references")
	case immGC:
		return w.refuse(w.in.pos, "garbage collection")
	case immSwitch:
		return w.refuse(w.in.pos, "stack switching")
	}
	return w.fail(w.in.pos, "no such instruction: %#x", uint16(w.in.op))
}

func (w *walker) types(pos int) bool {
	n, pos, ok := readU32(w.code, pos)
	if !ok || uint64(n) > uint64(len(w.code)-pos) {
		return w.fail(w.in.pos, "types are cut off")
	}
	for _, c := range w.code[pos : pos+int(n)] {
		if !isValType(c) {
			return w.refuse(w.in.pos, "a value type other than those of WebAssembly 2.0 and exnref")
		}
	}
	w.in.end = pos + int(n)
	return true
}

func (w *walker) brTable(pos int) bool {
	n, pos, ok := readU32(w.code, pos)
	if !ok || uint64(n) > uint64(len(w.code)-pos) {
		return w.fail(w.in.pos, "branch table is cut off")
	}
	w.in.second, w.in.args = n, pos
	for i := uint32(0); i <= n; i++ {
		if _, pos, ok = readU32(w.code, pos); !ok {
			return w.fail(w.in.pos, "branch table is cut off")
		}
	}
	w.in.end = pos
	return true
}

func (w *walker) tryTable(pos int) bool {
	pos, ok := w.blockType(pos)
	if !ok {
		return false
	}
	n, pos, ok := readU32(w.code, pos)
	if !ok || uint64(n) > uint64(len(w.code)-pos) {
		return w.fail(w.in.pos, "catch clauses are cut off")
	}
	w.in.second, w.in.clauses = n, pos
	for range n {
		if _, pos, ok = readCatch(w.code, pos); !ok {
			return w.fail(w.in.pos, "malformed catch clause")
		}
	}
	w.in.end = pos
	return true
}

// catch is a catch clause of try_table.
type catch struct {
	kind  byte // 0 catch, 1 catch_ref, 2 catch_all, 3 catch_all_ref
	tag   uint32
	label uint32
}

func readCatch(b []byte, pos int) (c catch, next int, ok bool) {
	if pos >= len(b) || b[pos] > 3 {
		return c, pos, false
	}
	c.kind = b[pos]
	pos++
	if c.kind < 2 {
		if c.tag, pos, ok = readU32(b, pos); !ok {
			return c, pos, false
		}
	}
	c.label, pos, ok = readU32(b, pos)
	return c, pos, ok
}
