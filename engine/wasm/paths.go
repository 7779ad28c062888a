package wasm

import "math"

// A loop is charged for an iteration at its head, before it is known which way
// it takes. The head of an interpreter's loop must not charge for all of its
// cases: what is charged there is the work of the lightest way, about, and the
// heavier ones pay the difference themselves, without a check, where they
// end or meet lighter ones. Likewise for functions that count when entered.

// uneven is how much more work than the lightest way one may be that does not
// pay: what it is not worth to count by itself.
const uneven = 64

// payment is work that is counted between two instructions.
type payment struct {
	pos    int // in the code
	weight uint32
}

// never is the work of a way that does not exist.
const never = math.MaxUint64

// paths finds the ways through functions.
type paths struct {
	g *graph
	f *funcWork

	stack []pathFrame
	// What the first pass finds, for the second: the least work that a block
	// ends with, by the block's number, and that a region ends with: a loop in
	// the order of graph.loops, from 1 on, and the function, 0.
	least  []uint64
	region []pathRegion
	second bool
	blocks int // so far
	locals int // of the function

	work uint64 // since the beginning of the region, not paid for
	live bool   // the code can be reached
	// span is an upper bound of the work, with that of callees, since the last
	// check. The first pass puts a check where it is too much.
	span uint64
}

// pathRegion is a loop's code without that of loops within, or a function's
// without its loops.
type pathRegion struct {
	back uint64 // least work until the next iteration, or the function's end
	rest uint64 // most work not paid for when it is left, waits or begins again
	open uint64 // work when the loop within began that the current code is in
	sets int    // in a loop and loops within: how often locals are set
}

// pathFrame is a block that is open.
type pathFrame struct {
	kind    byte   // 'f'unction, 'l'oop, 'b'lock, 't'ry_table, 'i'f, or if with 'e'lse
	number  int    // of the block, or of the region
	inside  int    // the innermost region around what is in it
	before  uint64 // work when it began, of the region around
	spanned uint64 // and span
	live    bool   // it can be reached
	catch   int    // where a try_table's clauses begin
	count   uint32 // and their number
	// work is what its end is reached with: the least in the first pass, the
	// most in the second.
	work    uint64
	reached int    // from how many places
	span    uint64 // the most that its end is reached with
	sets    int    // how often locals are set in it

	end, label uint32 // weight of the values that pass its end, and that a branch to it passes
}

// fewLocals is how many locals merge for nothing where ways meet.
const fewLocals = 64

// merge is the weight of bringing the locals together that were set, where
// ways meet.
func (p *paths) merge(sets int) uint64 {
	return uint64(max(min(sets, p.locals)-fewLocals, 0) / 4)
}

// find sets what the heads of a function and of its loops count, and who pays.
func (p *paths) find(f *funcWork, typ uint32, body *Body) {
	p.f = f
	t := &p.g.m.types[typ]
	p.locals = len(t.Params) + int(body.count)
	n := f.loops[1] - f.loops[0] + 1
	p.least = p.least[:0]
	p.region = p.region[:0]
	for range n {
		p.region = append(p.region, pathRegion{back: never})
	}
	f.mids[0], f.pays[0] = len(p.g.mids), len(p.g.pays)
	p.second = false
	p.walk(body.code, len(t.Results))
	f.mids[1] = len(p.g.mids)
	p.second = true
	p.walk(body.code, len(t.Results))
	f.pays[1] = len(p.g.pays)
	if f.check {
		f.base = p.region[0].rest
	}
	for i := range p.region[1:] {
		p.g.loops[f.loops[0]+i].weight = p.region[1+i].rest
	}
}

func (p *paths) walk(code []byte, results int) {
	returned := values(results)
	p.stack = append(p.stack[:0], pathFrame{kind: 'f', end: returned, label: returned})
	p.blocks, p.work, p.live, p.span = 0, 0, true, 0
	loops := 0
	var mids []midCheck
	if p.second {
		mids = p.g.mids[p.f.mids[0]:p.f.mids[1]]
	}
	w := walker{code: code}
	for len(p.stack) > 0 && w.next() {
		in := &w.in
		if !p.second && p.live && p.span >= maxStraight {
			p.g.mids = append(p.g.mids, midCheck{pos: in.pos})
			p.work, p.span = 0, 0
		}
		if len(mids) > 0 && mids[0].pos == in.pos {
			mids[0].weight = clamp(p.work)
			mids = mids[1:]
			p.work = 0
		}
		last := len(p.stack) - 1
		p.add(weight(in.op) + branchValues(in, code, func(label uint32) uint32 { return p.stack[last-int(label)].label }))
		switch in.op {
		case opLocalSet, opLocalTee:
			p.stack[last].sets++
		case opBlock:
			p.push('b', code, in)
		case opIf:
			p.push('i', code, in)
		case opTryTable:
			p.push('t', code, in)
			top := &p.stack[last+1]
			top.catch, top.count = in.clauses, in.second
		case opLoop:
			p.stay(in.pos)
			loops++
			p.region[p.inside()].open = p.work
			end, head := p.g.blockValues(code, in)
			p.stack = append(p.stack, pathFrame{
				kind: 'l', number: loops, inside: loops, before: p.work, live: p.live, end: end, label: head,
			})
			p.work = 1 + p.merge(p.region[loops].sets) // which the first pass does not know
			p.span = p.work
		case opElse:
			if top := &p.stack[last]; top.kind == 'i' {
				p.add(top.end)
				p.branch(in.pos, last)
				top.kind, p.work, p.span, p.live = 'e', top.before, top.spanned, top.live
			}
		case opEnd:
			p.end(in.pos, code)
		case opBr:
			p.branch(in.pos, last-int(in.index))
			p.live = false
		case opBrIf:
			p.branch(in.pos, last-int(in.index))
		case opBrTable:
			p.table(code, in)
			p.live = false
		case opReturn:
			p.add(returned)
			p.branch(in.pos, 0)
			p.live = false
		case opCall, opReturnCall:
			work := uint32(hostWeight - 1)
			if in.index >= p.g.n {
				work = callWeight - 1 + uint32(p.g.cost(in.index-p.g.n))
			}
			p.add(work + p.g.callValues(p.g.funcType(in.index)))
			p.call(in)
		case opCallIndirect, opReturnCallIndirect:
			p.add(indirectWeight - 1 + p.g.callValues(in.index))
			p.call(in)
		case opUnreachable, opThrow, opThrowRef:
			p.live = false
		}
	}
}

// add adds work.
func (p *paths) add(work uint32) {
	p.work += uint64(work)
	p.span += uint64(work)
}

// call notes what a call's work is added to.
func (p *paths) call(in *instr) {
	if in.op == opReturnCall || in.op == opReturnCallIndirect {
		p.branch(in.pos, 0)
		p.live = false
		return
	}
	p.stay(in.pos)
}

// stay notes that the current code waits in a call, or around a loop: what it
// has done is counted then, so that no work is left out of account however
// deep a recursion goes.
func (p *paths) stay(pos int) {
	inside := p.inside()
	p.settle(pos, p.region[inside].back)
	if p.live {
		p.leave(inside, p.work)
	}
}

// inside is the region that the current code is in.
func (p *paths) inside() int { return p.stack[len(p.stack)-1].inside }

// pays tells whether the current region's code may pay: not that of a function
// which its callers count.
func (p *paths) pays() bool { return p.live && (p.f.check || p.inside() > 0) }

// pay counts some of the work before the instruction at pos.
func (p *paths) pay(pos int, work uint64) {
	p.work -= work
	if p.second {
		p.g.pays = append(p.g.pays, payment{pos, clamp(work)})
	}
}

func (p *paths) push(kind byte, code []byte, in *instr) {
	if !p.second {
		p.least = append(p.least, never)
	}
	end, _ := p.g.blockValues(code, in)
	p.stack = append(p.stack, pathFrame{
		kind: kind, number: p.blocks, inside: p.inside(), before: p.work, spanned: p.span, live: p.live, end: end, label: end,
	})
	p.blocks++
}

// pop ends the innermost frame.
func (p *paths) pop() {
	last := len(p.stack) - 1
	sets := p.stack[last].sets
	p.stack = p.stack[:last]
	p.stack[last-1].sets += sets
}

// least is the least work that can be left when a branch to a frame was
// taken.
func (p *paths) leastAt(to int) uint64 {
	f := &p.stack[to]
	if inside := p.inside(); f.inside != inside {
		return p.region[inside].back // the region is left
	}
	switch f.kind {
	case 'f', 'l':
		return p.region[f.number].back
	}
	return p.least[f.number]
}

// branch notes that the current code goes on at the end of a frame, or at the
// head of a loop, by an instruction at pos.
func (p *paths) branch(pos, to int) {
	p.settle(pos, p.leastAt(to))
	p.arrive(to)
}

func (p *paths) table(code []byte, in *instr) {
	last := len(p.stack) - 1
	targets := func(f func(to int)) {
		pos, label := in.args, uint32(0)
		for range uint64(in.second) + 1 {
			label, pos, _ = readU32(code, pos)
			f(last - int(label))
		}
	}
	least := uint64(never)
	targets(func(to int) { least = min(least, p.leastAt(to)) })
	p.settle(in.pos, least)
	targets(p.arrive)
}

// settle pays what is too much for somebody who comes with the least.
func (p *paths) settle(pos int, least uint64) {
	if p.second && p.pays() && least < never && p.work > least+uneven {
		p.pay(pos, p.work-least)
	}
}

// arrive notes that a frame is reached with the current work.
func (p *paths) arrive(to int) {
	if p.live {
		p.arriveWith(to, p.work, p.span)
	}
}

func (p *paths) arriveWith(to int, work, span uint64) {
	f := &p.stack[to]
	f.span = max(f.span, span)
	if inside := p.inside(); f.inside != inside {
		p.leave(inside, work) // those in between have been noted: see stay
		work = p.region[f.inside].open
	}
	switch {
	case f.kind == 'f' || f.kind == 'l':
		p.region[f.number].back = min(p.region[f.number].back, work)
		p.leave(f.number, work)
	default:
		if f.reached++; f.reached == 1 {
			f.work = work
		} else if p.second {
			f.work = max(f.work, work)
		} else {
			f.work = min(f.work, work)
		}
	}
}

// leave notes that a region is left, or begins again.
func (p *paths) leave(region int, work uint64) {
	if p.second {
		p.region[region].rest = max(p.region[region].rest, work)
	}
}

// end ends the innermost frame by the instruction at pos.
func (p *paths) end(pos int, code []byte) {
	last := len(p.stack) - 1
	f := &p.stack[last]
	p.add(f.end)
	switch f.kind {
	case 'f':
		p.branch(pos, 0)
		p.stack = p.stack[:0]
		return
	case 'l':
		if p.live {
			p.settle(pos, p.region[f.number].back)
			p.leave(f.number, p.work)
		}
		p.work = f.before
		p.region[f.number].sets = f.sets
		p.pop()
		return
	}
	p.branch(pos, last)
	if f.kind == 'i' && f.live { // there was no else
		p.arriveWith(last, f.before, f.spanned)
	}
	if !p.second && f.reached > 0 {
		p.least[f.number] = f.work
	}
	p.work, p.span, p.live = f.work, f.span, f.reached > 0
	if f.reached > 1 {
		merged := p.merge(f.sets)
		p.work += merged
		p.span += merged
	}
	p.pop()
	if f.kind != 't' || !f.live {
		return
	}
	// What was thrown has paid (throwWeight), whatever else is not paid for.
	at := f.catch
	for range f.count {
		var c catch
		c, at, _ = readCatch(code, at)
		p.arriveWith(last-1-int(c.label), f.before, f.spanned)
	}
}
