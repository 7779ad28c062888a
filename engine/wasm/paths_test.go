package wasm_test

import (
	"math/rand/v2"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/hako-run/hako/engine/wasm"
)

const (
	maxInline  = 256
	formGlobal = 2
)

// counted runs a rewritten module's function "run" and returns what it counted,
// what it says that it worked, and whether it trapped.
func counted(t *testing.T, m *wasm.Module, param uint64) (count, work int64, trapped bool) {
	t.Helper()
	wasm.ExportCount(m)
	ctx, r := newRuntime(t)
	defer r.Close(ctx)
	const all = 1 << 30
	provide(ctx, t, r, func() int32 { t.Error("more is counted than can be"); return all })
	mod, err := r.InstantiateWithConfig(ctx, m.Encode(), wazero.NewModuleConfig())
	if err != nil {
		t.Fatal(err)
	}
	left := mod.ExportedGlobal("count").(api.MutableGlobal)
	left.Set(all)
	_, err = mod.ExportedFunction("run").Call(ctx, param)
	return all - int64(int32(left.Get())), int64(mod.ExportedGlobal("work").Get()), err != nil
}

// TestCountEnough: whatever way a program takes, it counts no less than it works.
func TestCountEnough(t *testing.T) {
	n := 60
	if testing.Short() {
		n = 20
	}
	if *long {
		n = 5000
	}
	ended, payments := 0, 0
	for seed := range uint64(n) {
		g := &generator{rand: rand.New(rand.NewPCG(seed, 2)), funcs: 4, works: true}
		m := decode(t, g.module())
		if seed&1 == 0 {
			m.DirectJumps()
		}
		form := int(seed % 3)
		stats, err := m.Interrupt(wasm.Form(form))
		if err != nil {
			t.Fatal(err)
		}
		payments += stats.Payments
		count, work, trapped := counted(t, m, 5)
		switch {
		case !trapped:
			ended++
		case form == formGlobal:
			work -= int64(g.work) // what was under way has not been counted
		default:
			continue // nor what a loop counted in its local
		}
		if count+maxInline < work { // of the function called from outside, if it does not count
			t.Errorf("seed %d: %d units counted, %d worked", seed, count, work)
		}
	}
	if ended < n/10 || payments < n {
		t.Errorf("%d of %d programs ended by themselves, %d payments: too few to tell", ended, n, payments)
	}
}

// TestCountInRecursion: what functions have done is counted before they call
// others, however many wait for them.
func TestCountInRecursion(t *testing.T) {
	work := cat(0x23, 0, i32c(403), 0x6a, 0x24, 0)
	for range 400 {
		work = cat(work, 0x41, 0, 0x45, 0x1a) // i32.eqz
	}
	less := cat(0x20, 0, i32c(1), 0x6b)
	for name, c := range map[string][]byte{
		"call":           cat(less, 0x10, 0),
		"indirect call":  cat(less, 0x41, 0, 0x11, tInts, 0),
		"call in a loop": cat(0x03, 0x7f, less, 0x10, 0, 0x0b),
	} {
		// run(n): if n = 0 trap, else if n is odd { work; run(n - 1) } else run(n - 1)
		s := spec{globals: []byte{1, 0x7f, 1, 0x41, 0, 0x0b}, exports: [][]byte{cat(str("work"), 3, 0)}, table: true, funcs: []function{{
			typ: tInts, export: "run",
			code: cat(0x20, 0, 0x45, 0x04, 0x40, 0x00, 0x0b, 0x20, 0, i32c(1), 0x71, 0x04, 0x7f, work, c, 0x05, less, 0x10, 0, 0x0b),
		}}}
		m := decode(t, s.build())
		if _, err := m.Interrupt(wasm.InterruptOptions{}); err != nil {
			t.Fatal(err)
		}
		if count, work, trapped := counted(t, m, 1000); !trapped || work < 200_000 || count < work {
			t.Errorf("%s: %d units counted, %d worked, trapped: %v", name, count, work, trapped)
		}
	}
}

// TestCountOfCases: in an interpreter's loop, a light instruction is not
// counted as a heavy one.
func TestCountOfCases(t *testing.T) {
	const cases, rounds = 50, 1000
	heavy := func(n int) (b []byte) {
		for range n {
			b = cat(b, 0x41, 0, 0x45, 0x1a) // i32.eqz
		}
		return b
	}
	for name, kind := range map[string]struct {
		entry bool // a function that is called for each instruction, not a loop
		ends  byte // how a case ends
	}{"loop": {}, "loop, broken out of": {ends: 1}, "function": {entry: true}, "function, returned from": {entry: true, ends: 2}} {
		t.Run(name, func(t *testing.T) {
			// Case i works about 20 i units, then goes to the end.
			var b []byte
			for range cases + 1 {
				b = cat(b, 0x02, 0x40)
			}
			b = cat(b, 0x20, 0, 0x0e, uleb(cases-1))
			for i := range cases {
				b = cat(b, uleb(uint32(i)))
			}
			for i := range cases {
				b = cat(b, 0x0b, heavy(20*i))
				if kind.ends == 2 {
					b = cat(b, 0x20, 0, 0x0f)
				} else {
					b = cat(b, 0x0c, uleb(uint32(cases-1-i)))
				}
			}
			b = cat(b, 0x0b)
			next := cat(0x20, 1, i32c(1), 0x6a, 0x22, 1, i32c(rounds), 0x48) // ++n < rounds
			s := spec{globals: []byte{1, 0x7f, 1, 0x41, 0, 0x0b}, exports: [][]byte{cat(str("work"), 3, 0)}}
			switch {
			case kind.entry:
				s.funcs = []function{
					{typ: tInts, locals: 1, export: "run", code: cat(0x03, 0x40, 0x20, 0, 0x10, 1, 0x1a, next, 0x0d, 0, 0x0b, 0x20, 0)},
					{typ: tInts, code: cat(b, 0x20, 0)},
				}
			case kind.ends == 1:
				s.funcs = []function{{typ: tInts, locals: 1, export: "run", code: cat(0x02, 0x40, 0x03, 0x40, b, next, 0x45, 0x0d, 1, 0x0c, 0, 0x0b, 0x0b, 0x20, 0)}}
			default:
				s.funcs = []function{{typ: tInts, locals: 1, export: "run", code: cat(0x03, 0x40, b, next, 0x0d, 0, 0x0b, 0x20, 0)}}
			}
			for _, i := range []int{0, 1, 10, cases - 1} {
				m := decode(t, s.build())
				if _, err := m.Interrupt(wasm.InterruptOptions{}); err != nil {
					t.Fatal(err)
				}
				got, _, _ := counted(t, m, uint64(i))
				least := int64(20 * i * rounds)
				if most := least + 200*rounds; got < least || got > most {
					t.Errorf("instruction %d, %d times: %d units, want %d to %d", i, rounds, got, least, most)
				}
			}
		})
	}
}
