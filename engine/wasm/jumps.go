package wasm

import "slices"

// DirectJumps makes jumps by way of a dispatcher direct where they can be, and
// returns how many it changed. What a function does stays the same.
//
// Compilers that cannot put a function's control flow into blocks and loops
// (Go's, foremost) write a loop around all of it, whose head branches by a
// number:
//
//	loop
//	  block block block
//	    local.get $next  br_table 0 1 2
//	  end ;; 0: code
//	    i32.const 2  local.set $next  br $loop
//	  end ;; 1: code
//	  end ;; 2: code
//
// A jump is the number and a branch to the head. Each costs a branch table,
// which processors predict badly, a check of [Module.Interrupt], and keeps a
// compiler from seeing what follows what. The jump above is within the block that
// ends where number 2 begins: a branch out of that block does the same.
//
// Jumps backwards stay as they are. If they lead to few numbers, the head
// compares with these before it uses the table, for a comparison is predicted well,
// and likewise with 0 if the number is a parameter to begin with: in Go's code 0
// is a function's beginning, and other numbers are for goroutines that go on.
func (m *Module) DirectJumps() int {
	total, changed := 0, false
	for i := range m.bodies {
		body := &m.bodies[i]
		code, n := directJumps(body.code, uint32(len(m.types[m.funcs[i]].Params)))
		if code == nil {
			continue
		}
		total += n
		changed = true
		raw := appendU32(nil, uint32(len(appendU32(nil, body.groups))+len(body.locals)+len(code)))
		raw = appendU32(raw, body.groups)
		raw = append(raw, body.locals...)
		raw = append(raw, code...)
		body.raw, body.code = raw, raw[len(raw)-len(code):]
	}
	if changed {
		m.touch(secCode)
		m.RemoveCustom(codeOffsets)
	}
	return total
}

// dispatcher is a loop as above. Blocks are numbered by their depth: the
// function's own is 0.
type dispatcher struct {
	loop  int      // the loop's depth
	open  int      // that of the innermost of its blocks that is open
	local uint32   // which has the number
	table []uint32 // where numbers lead: labels of a branch at the br_table
	last  int      // the depth of the innermost block there
	at    int      // where local is read for it
	back  []uint32 // numbers of jumps that cannot be direct
}

// target returns the depth of the block at whose end number k begins.
func (d *dispatcher) target(k uint32) int {
	label := d.table[min(uint64(k), uint64(len(d.table)-1))]
	return d.last - int(min(label, MaxNesting))
}

// maxCompared is how many numbers are compared with, beside 0.
const maxCompared = 3

// compare appends the comparisons that come before the branch table.
func (d *dispatcher) compare(out []byte, params uint32) []byte {
	var numbers []uint32
	if d.local < params {
		numbers = []uint32{0}
	}
	if len(d.back) <= maxCompared {
		numbers = append(numbers, d.back...)
	}
	for _, k := range numbers {
		out = appendU32(append(out, byte(opLocalGet)), d.local)
		out = appendS32(append(out, byte(opI32Const)), int32(k))
		out = appendU32(append(out, byte(opI32Eq), byte(opBrIf)), uint32(d.last-d.target(k)))
	}
	return out
}

// directJumps rewrites one function's instructions. Only the first dispatcher
// of a function is looked at. It is nil if nothing is to be changed; n is how many
// jumps are direct now.
func directJumps(code []byte, params uint32) (out []byte, n int) {
	d, w := findDispatcher(code)
	if d == nil {
		return nil, 0
	}
	begin := w.in.end // behind the table
	depth, last := d.last, begin
	var rest []byte
	// The number that the two instructions before put into the local.
	var number uint32
	var state int // 1 after a constant, 2 after setting the local to it
	for depth >= d.loop && w.next() {
		in := &w.in
		switch in.op {
		case opI32Const:
			v, _, _ := readS64(code, in.args, 32)
			number, state = uint32(v), 1
			continue
		case opLocalSet:
			if state == 1 && in.index == d.local {
				state = 2
				continue
			}
		case opBr:
			if state != 2 || depth-int(min(in.index, MaxNesting)) != d.loop {
				break
			}
			if to := d.target(number); to > d.loop && to <= d.open {
				rest = append(rest, code[last:in.args]...)
				rest = appendU32(rest, uint32(depth-to))
				last = in.end
				n++
			} else if !slices.Contains(d.back, number) && len(d.back) <= maxCompared {
				d.back = append(d.back, number)
			}
		case opBlock, opLoop, opIf, opTryTable:
			depth++
		case opEnd:
			if depth == d.open && depth > d.loop {
				d.open--
			}
			depth--
		}
		state = 0
	}
	out = d.compare(append(out, code[:d.at]...), params)
	if n == 0 && len(out) == d.at {
		return nil, 0
	}
	out = append(out, code[d.at:begin]...)
	out = append(out, rest...)
	return append(out, code[last:]...), n
}

// findDispatcher finds the first dispatcher of a function; the walker is
// behind its br_table.
func findDispatcher(code []byte) (*dispatcher, *walker) {
	w := &walker{code: code}
	depth := 0
	at := 0                      // where
	loop, local := -1, int64(-1) // the loop whose head the code is at, the local that was just read there
	for w.next() {
		in := &w.in
		got := local
		local = -1
		switch in.op {
		case opLoop:
			depth++
			loop = -1
			if code[in.args] == 0x40 {
				loop = depth
			}
		case opBlock:
			depth++
			if code[in.args] != 0x40 || got >= 0 {
				loop = -1
			}
		case opLocalGet:
			if got >= 0 {
				loop = -1
			}
			local, at = int64(in.index), in.pos
		case opBrTable:
			if loop > 0 && depth > loop && got >= 0 {
				d := &dispatcher{loop: loop, open: depth, local: uint32(got), last: depth, at: at}
				pos, label := in.args, uint32(0)
				for range uint64(in.second) + 1 {
					label, pos, _ = readU32(code, pos)
					d.table = append(d.table, label)
				}
				return d, w
			}
			loop = -1
		case opIf, opTryTable:
			depth++
			loop = -1
		case opEnd:
			depth--
			loop = -1
		default:
			loop = -1
		}
	}
	return nil, nil
}
