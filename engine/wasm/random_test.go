package wasm_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/hako-run/hako/engine/wasm"
)

// generator writes random functions that are valid and end: each loop's head
// and each function's entry takes fuel, and traps when there is none.
type generator struct {
	rand   *rand.Rand
	funcs  int
	labels []bool // of the open blocks, whether they take no operands
	size   int
	works  bool // statements work, more or less, and say so in globalWork
	work   int  // of all statements
}

const (
	globalFuel = 0 // left
	globalHash = 1 // of all that happened
	globalLoop = 2 // iterations of loops
	globalWork = 3 // units of work, some left out
)

func (g *generator) local() int { return g.rand.IntN(4) }

// expression pushes an i32.
func (g *generator) expression() []byte {
	switch g.rand.IntN(7) {
	case 0:
		return i32c(g.rand.IntN(1000) - 500)
	case 1:
		return cat(0x20, g.local(), 0x20, g.local(), 0x6a)
	case 2:
		return cat(0x20, g.local(), i32c(g.rand.IntN(50)), 0x6c)
	case 3:
		return cat(0x20, g.local(), i32c(0xfffc), 0x71, 0x28, 2, 0) // load
	case 4:
		return cat(0x23, globalHash)
	default:
		return cat(0x20, g.local())
	}
}

func (g *generator) note() []byte {
	return cat(0x23, globalHash, i32c(31), 0x6c, g.expression(), 0x6a, 0x24, globalHash)
}

// fuel takes fuel; it traps when there is none left.
func fuel() []byte {
	return cat(0x23, globalFuel, 0x45, 0x04, 0x40, 0x00, 0x0b, 0x23, globalFuel, i32c(1), 0x6b, 0x24, globalFuel)
}

// statements is code that leaves the stack as it is.
func (g *generator) statements(depth int) []byte {
	var b []byte
	for range 1 + g.rand.IntN(5) {
		b = append(b, g.statement(depth)...)
	}
	return b
}

func (g *generator) block(plain bool, depth int) []byte {
	g.labels = append(g.labels, plain)
	b := g.statements(depth)
	g.labels = g.labels[:len(g.labels)-1]
	return b
}

// label picks a block to branch to, from within some more blocks. The
// outermost is one that all of the function is in.
func (g *generator) label(more int) []byte {
	l := g.rand.IntN(len(g.labels) + 1)
	for l < len(g.labels) && !g.labels[len(g.labels)-1-l] {
		l++
	}
	return uleb(uint32(l + more))
}

func (g *generator) statement(depth int) []byte {
	return cat(g.worked(), g.anyStatement(depth))
}

// worked is work that is told: nothing, little or much.
func (g *generator) worked() []byte {
	if !g.works {
		return nil
	}
	n := []int{0, 1, 10, 40, 100, 400}[g.rand.IntN(6)]
	g.work += n + 3
	b := cat(0x23, globalWork, i32c(n+3), 0x6a, 0x24, globalWork)
	for range n {
		b = cat(b, 0x41, 0, 0x45, 0x1a) // i32.eqz
	}
	return b
}

func (g *generator) anyStatement(depth int) []byte {
	if g.size++; g.size > 200 || depth > 6 {
		return g.note()
	}
	switch g.rand.IntN(20) {
	case 0, 1:
		return cat(0x02, 0x40, g.block(true, depth+1), 0x0b)
	case 2, 3, 4:
		count := cat(0x23, globalLoop, i32c(1), 0x6a, 0x24, globalLoop)
		body := g.block(true, depth+1)
		if g.rand.IntN(2) == 0 {
			body = cat(body, g.expression(), i32c(3), 0x71, 0x0d, 0)
		}
		return cat(0x03, 0x40, fuel(), count, body, 0x0b)
	case 5:
		// A loop with a parameter.
		body := g.block(false, depth+1)
		if g.rand.IntN(2) == 0 {
			body = cat(body, g.expression(), g.expression(), i32c(3), 0x71, 0x0d, 0, 0x1a)
		}
		return cat(g.expression(), 0x03, tInts, fuel(), body, 0x0b, 0x1a)
	case 6, 7:
		return cat(g.expression(), 0x04, 0x40, g.block(true, depth+1), 0x05, g.block(true, depth+1), 0x0b)
	case 8, 9:
		return cat(g.expression(), i32c(7), 0x71, 0x45, 0x0d, g.label(0))
	case 10:
		leave := cat(0x0c, g.label(1))
		if g.rand.IntN(3) == 0 {
			leave = cat(g.expression(), 0x0f)
		}
		return cat(g.expression(), i32c(3), 0x71, 0x45, 0x04, 0x40, leave, 0x0b)
	case 11:
		return cat(0x02, 0x40, g.note(), g.expression(), i32c(7), 0x71, 0x45, 0x04, 0x40,
			g.expression(), i32c(3), 0x71, 0x0e, 2, g.label(2), g.label(2), g.label(2), 0x0b, 0x0b)
	case 12, 13:
		return cat(g.expression(), 0x10, uleb(uint32(g.rand.IntN(g.funcs))), 0x21, g.local())
	case 14:
		return cat(g.expression(), i32c(g.rand.IntN(g.funcs)), 0x11, tInts, 0, 0x21, g.local())
	case 15:
		// throw, perhaps, and catch here or further out
		g.labels = append(g.labels, true, true)
		inner := g.statements(depth + 1)
		throw := cat(g.expression(), i32c(3), 0x71, 0x45, 0x04, 0x40, 0x08, 0, 0x0b)
		g.labels = g.labels[:len(g.labels)-2]
		return cat(0x02, 0x40, 0x1f, 0x40, 1, 0, 0, 0, inner, throw, 0x0b, 0x0b)
	case 16:
		op := [][]byte{{0xfc, 11, 0}, {0xfc, 10, 0, 0}}[g.rand.IntN(2)]
		position := func() []byte { return cat(g.expression(), i32c(0x7fff), 0x71) }
		return cat(position(), position(), position(), op)
	case 17:
		return cat(g.expression(), i32c(0xfffc), 0x71, g.expression(), 0x36, 2, 0)
	case 18:
		return cat(g.expression(), 0x21, g.local())
	case 19:
		return g.dispatcher(depth)
	}
	return g.note()
}

// dispatcher is a loop whose head branches by a number (see
// Module.DirectJumps), and jumps forwards, backwards and nowhere.
func (g *generator) dispatcher(depth int) []byte {
	number, blocks := g.local(), 1+g.rand.IntN(5)
	b := cat(0x03, 0x40)
	for range blocks {
		b = cat(b, 0x02, 0x40)
	}
	table := cat(0x20, number, 0x0e, blocks)
	for range blocks + 1 {
		table = cat(table, g.rand.IntN(blocks))
	}
	b = cat(b, table)
	outside := g.labels
	g.labels = append(slices.Clone(outside), false) // a jump to the head takes fuel
	for range blocks {
		g.labels = append(g.labels, true)
	}
	for i := range blocks {
		b = cat(b, 0x0b)
		g.labels = g.labels[:len(g.labels)-1]
		b = cat(b, g.statements(depth+1))
		jump := func(more int) []byte {
			set := cat(i32c(g.rand.IntN(blocks+2)), 0x21, number)
			if g.rand.IntN(8) == 0 {
				set = cat(g.expression(), 0x21, number)
			}
			return cat(fuel(), set, 0x0c, uleb(uint32(blocks-1-i+more)))
		}
		if g.rand.IntN(2) == 0 {
			b = cat(b, g.expression(), i32c(3), 0x71, 0x45, 0x04, 0x40, jump(1), 0x0b)
		}
		if g.rand.IntN(4) == 0 {
			b = cat(b, g.note(), jump(0))
		}
	}
	g.labels = outside
	return cat(b, 0x0b)
}

// function is a function's code: a block, and the result after it.
func (g *generator) function() []byte {
	g.size = 0
	tail := cat(0x20, g.local())
	if g.rand.IntN(4) == 0 {
		tail = cat(0x20, g.local(), 0x12, uleb(uint32(g.rand.IntN(g.funcs)))) // tail call
	}
	body := g.statements(0)
	return cat(fuel(), 0x02, 0x40, body, 0x0b, tail)
}

func randomModule(seed uint64) []byte {
	return (&generator{rand: rand.New(rand.NewPCG(seed, 1)), funcs: 4}).module()
}

func (g *generator) module() []byte {
	s := spec{memory: []byte{1, 1, 1, 2}, table: true, tags: true}
	s.globals = cat(4, 0x7f, 1, i32c(3000), 0x0b, 0x7f, 1, i32c(1), 0x0b, 0x7f, 1, i32c(0), 0x0b, 0x7f, 1, i32c(0), 0x0b)
	for i, name := range []string{"fuel", "hash", "loops", "work"} {
		s.exports = append(s.exports, cat(str(name), 3, i))
	}
	s.exports = append(s.exports, cat(str("memory"), 2, 0))
	for i := range g.funcs {
		f := function{typ: tInts, locals: 3, code: g.function()}
		if i == 0 {
			f.export = "run"
		}
		s.funcs = append(s.funcs, f)
	}
	return s.build()
}

// outcome is what a run leaves behind.
type outcome struct {
	result uint64
	failed bool
	hash   uint64
	fuel   uint64
	loops  uint64
	memory uint64
}

func runRandom(t *testing.T, source []byte, count int32) (o outcome, checks int) {
	t.Helper()
	ctx, r := newRuntime(t)
	defer r.Close(ctx)
	provide(ctx, t, r, func() int32 { checks++; return count })
	mod, err := r.InstantiateWithConfig(ctx, source, wazero.NewModuleConfig())
	if err != nil {
		t.Fatal(err)
	}
	out, err := mod.ExportedFunction("run").Call(ctx, 5)
	if o.failed = err != nil; err == nil {
		o.result = out[0]
	}
	get := func(name string) uint64 { return mod.ExportedGlobal(name).Get() }
	o.hash, o.fuel, o.loops = get("hash"), get("fuel"), get("loops")
	o.memory = hashMemory(mod.Memory())
	return o, checks
}

func hashMemory(mem api.Memory) uint64 {
	b, _ := mem.Read(0, mem.Size())
	h := uint64(14695981039346656037)
	for ; len(b) >= 8; b = b[8:] {
		h = (h ^ binary.LittleEndian.Uint64(b)) * 1099511628211
	}
	return h
}

// TestRandom: random programs do with checks what they do without, and pass at
// least as many checks as they have iterations if each allows one unit of work.
func TestRandom(t *testing.T) {
	n := 50
	if testing.Short() {
		n = 10
	}
	if *long {
		n = 5000
	}
	ended, direct := 0, 0
	for seed := range uint64(n) {
		source := randomModule(seed)
		want, _ := runRandom(t, source, 0)
		if !want.failed {
			ended++
		}
		m := decode(t, source)
		if seed&1 == 0 {
			direct += m.DirectJumps()
		}
		if _, err := m.Interrupt(wasm.Form(int(seed % 3))); err != nil {
			t.Fatal(err)
		}
		m.ExportGlobals()
		rewritten := m.Encode()
		for _, count := range []int32{1, 50, 1 << 20} {
			got, checks := runRandom(t, rewritten, count)
			if got != want {
				t.Fatalf("seed %d, count %d: %s", seed, count, fmt.Sprintf("got %+v, want %+v", got, want))
			}
			if count == 1 && uint64(checks) < want.loops {
				t.Errorf("seed %d: %d checks in %d iterations", seed, checks, want.loops)
			}
		}
	}
	if direct < n/2 {
		t.Errorf("%d jumps were made direct: too few to tell", direct)
	}
	if ended < n/10 {
		t.Errorf("%d of %d programs ended by themselves: too few to tell", ended, n)
	}
}
