package wasm

// expr is a constant expression, with its end, as it is in the file.
type expr []byte

// expr reads a constant expression.
func (d *decoder) expr() expr {
	if d.err != nil {
		return nil
	}
	at := d.pos
	w := walker{code: d.b[at:d.end]}
	for w.next() {
		switch w.in.op {
		case opEnd:
			d.pos = at + w.in.end
			return d.b[at:d.pos:d.pos]
		case opI32Const, opI64Const, 0x43, 0x44, opV128Const, opGlobalGet, opRefNull, opRefFunc,
			opI32Add, opI32Sub, opI32Mul, opI64Add, opI64Sub, opI64Mul:
		default:
			d.failAt(at+w.in.pos, "an instruction that constant expressions cannot have: %#x", uint16(w.in.op))
			return nil
		}
	}
	if w.err != nil {
		w.err.Offset += at
		w.err.Section = d.section
		d.err = w.err
		d.pos = d.end
	} else {
		d.failAt(d.end, "a constant expression does not end")
	}
	return nil
}

// constant returns the value of an expression of type i32, if it depends on
// nothing but constants and the module's own immutable globals.
func (m *Module) constant(e expr) (v uint32, ok bool) {
	steps := 10_000 // hostile globals can refer to each other 2^n times
	return m.eval(e, &steps)
}

func (m *Module) eval(e expr, steps *int) (v uint32, ok bool) {
	var stack []uint32
	w := walker{code: e}
	for w.next() {
		if *steps--; *steps < 0 {
			return 0, false
		}
		switch w.in.op {
		case opI32Const:
			c, _, _ := readS64(e, w.in.args, 32)
			stack = append(stack, uint32(c))
		case opGlobalGet:
			i := int64(w.in.index) - int64(m.imported[GlobalKind])
			if i < 0 || i >= int64(len(m.globals)) || m.globals[i].Mutable || m.globals[i].Type != I32 {
				return 0, false
			}
			c, ok := m.eval(m.globals[i].init, steps)
			if !ok {
				return 0, false
			}
			stack = append(stack, c)
		case opI32Add, opI32Sub, opI32Mul:
			n := len(stack) - 2
			if n < 0 {
				return 0, false
			}
			switch a, b := stack[n], stack[n+1]; w.in.op {
			case opI32Add:
				stack[n] = a + b
			case opI32Sub:
				stack[n] = a - b
			default:
				stack[n] = a * b
			}
			stack = stack[:n+1]
		case opEnd:
			if len(stack) != 1 {
				return 0, false
			}
			return stack[0], true
		default:
			return 0, false
		}
	}
	return 0, false
}
