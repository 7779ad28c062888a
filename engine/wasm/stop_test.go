package wasm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/hako-run/hako/engine/wasm"
)

// interrupted rewrites a module and instantiates it with a check function.
func interrupted(t testing.TB, source []byte, check func() int32) (context.Context, wazero.Runtime, wazero.CompiledModule) {
	t.Helper()
	ctx, r := newRuntime(t)
	provide(ctx, t, r, check)
	m := decode(t, source)
	if _, err := m.Interrupt(wasm.InterruptOptions{}); err != nil {
		t.Fatal(err)
	}
	c, err := r.CompileModule(ctx, m.Encode())
	if err != nil {
		t.Fatal(err)
	}
	return ctx, r, c
}

// TestStopTheWorld has a guest spin while another goroutine asks for garbage
// collections, one after the other. Each stops the world, and so waits for the
// guest; no other goroutine runs meanwhile, so nobody could set a flag. The
// guest has to come to its host by itself.
func TestStopTheWorld(t *testing.T) {
	spin := spec{funcs: []function{{code: cat(0x03, 0x40, 0x0c, 0, 0x0b), export: "spin"}}}.build()
	deadline := time.Now().Add(100 * time.Millisecond)
	var over atomic.Bool
	var collections atomic.Int32
	ctx, r, c := interrupted(t, spin, func() int32 {
		if time.Now().After(deadline) && collections.Load() >= 3 {
			panic(errStop)
		}
		return 1 << 14
	})
	mod, err := r.InstantiateModule(ctx, c, wazero.NewModuleConfig())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !over.Load() {
			runtime.GC()
			collections.Add(1)
		}
	}()
	_, err = mod.ExportedFunction("spin").Call(ctx)
	over.Store(true)
	<-done
	if !errors.Is(err, errStop) {
		t.Errorf("the guest ended with %v", err)
	}
}

// endless are guests that never end by themselves, each by another way; their
// function 0 is to be called.
func endless() map[string]spec {
	call := func(f int) []byte { return cat(0x10, f) }
	spin := cat(0x03, 0x40, 0x0c, 0, 0x0b)
	one := func(c []byte) spec { return spec{funcs: []function{{code: c}}} }
	list := map[string]spec{
		"loop":             one(spin),
		"loop with result": one(cat(0x03, 0x7f, 0x0c, 0, 0x0b, 0x1a)),
		"loop with parameters": {
			funcs: []function{{code: cat(i32c(7), 0x03, tInts, 0x0c, 0, 0x0b, 0x1a)}},
		},
		"loop by a condition": one(cat(0x03, 0x40, i32c(1), 0x0d, 0, 0x0b)),
		"loop by a table":     one(cat(0x03, 0x40, i32c(0), 0x0e, 1, 0, 1, 0x0b)),
		"loop in a loop":      one(cat(0x03, 0x40, 0x03, 0x40, i32c(0), 0x0d, 0, 0x0b, 0x0c, 0, 0x0b)),
		"loop with a call":    {funcs: []function{{code: cat(0x03, 0x40, call(1), 0x0c, 0, 0x0b)}, {}}},
		"tail call":           one(cat(0x12, 0)),
		"tail calls": {funcs: []function{
			{code: cat(0x12, 1)}, {code: cat(0x12, 2)}, {code: cat(0x12, 0)},
		}},
		"indirect tail calls": {table: true, funcs: []function{
			{code: cat(i32c(1), 0x13, tNone, 0)}, {code: cat(0x12, 0)},
		}},
		"indirect tail call of itself": {table: true, funcs: []function{{code: cat(i32c(0), 0x13, tNone, 0)}}},
		"caught exceptions": {tags: true, funcs: []function{
			{code: cat(0x03, 0x40, 0x02, 0x40, 0x1f, 0x40, 1, 0, 0, 0, 0x08, 0, 0x0b, 0x0b, 0x0c, 0, 0x0b)},
		}},
		"exceptions that lead to the loop": {tags: true, funcs: []function{
			{code: cat(0x03, 0x40, 0x1f, 0x40, 1, 2, 0, 0x08, 0, 0x0b, 0x0b)},
		}},
		"catches all": {tags: true, funcs: []function{
			{code: cat(0x03, 0x40, 0x1f, 0x40, 1, 2, 0, spin, 0x0b, 0x0b)},
		}},
		"fills memory": {memory: []byte{1, 0, 0x80, 0x10}, funcs: []function{
			{code: cat(0x03, 0x40, i32c(0), i32c(1), i32c(100<<20), 0xfc, 11, 0, 0x0c, 0, 0x0b)},
		}},
		"copies memory": {memory: []byte{1, 0, 0x80, 0x10}, funcs: []function{
			{code: cat(0x03, 0x40, i32c(0), i32c(1<<20), i32c(100<<20), 0xfc, 10, 0, 0, 0x0c, 0, 0x0b)},
		}},
		"fills a table": {table: true, funcs: []function{
			{code: cat(0x03, 0x40, i32c(0), 0xd0, 0x70, i32c(1), 0xfc, 17, 0, 0x0c, 0, 0x0b)},
		}},
		"starts and does not return": {start: 1, funcs: []function{{code: spin}}},
		"grows by nothing": {memory: []byte{1, 0, 1}, funcs: []function{
			{code: cat(0x03, 0x40, i32c(0), 0x40, 0, 0x1a, 0x0c, 0, 0x0b)},
		}},
	}
	// Without a loop and without recursion, but 2^60 calls.
	var deep spec
	for i := range 60 {
		deep.funcs = append(deep.funcs, function{code: cat(call(i+1), call(i+1))})
	}
	deep.funcs = append(deep.funcs, function{})
	list["doubling calls"] = deep
	// What is not reached does not make what is reached lighter.
	list["indirect tail call before dead code"] = spec{table: true, funcs: []function{{code: cat(i32c(0), 0x13, tNone, 0, heavy(16_150))}}}
	var tree spec
	for i := range 60 {
		tree.funcs = append(tree.funcs, function{code: cat(bytes.Repeat(call(i+1), 62), 0x02, 0x40, 0x0c, 0, heavy(263), 0x0b)})
	}
	tree.funcs = append(tree.funcs, function{code: cat(0x02, 0x40, 0x0c, 0, heavy(16_380), 0x0b)})
	list["many calls before dead code"] = tree
	return list
}

// heavy is n units of work.
func heavy(n int) []byte { return bytes.Repeat(cat(0x41, 0, 0x45, 0x1a), n) } // i32.eqz

// TestBounded: no code does much between two checks that seems to be little.
func TestBounded(t *testing.T) {
	const count, locals = 1 << 10, 2000
	iterate := func(n int, body []byte) []byte { // local 0 counts
		return cat(body, 0x20, 0, i32c(1), 0x6a, 0x22, 0, i32c(n), 0x48, 0x0d, 0)
	}
	var reversed, values []byte
	for i := range uint32(locals) {
		reversed = cat(reversed, 0x20, uleb(1+i))
	}
	for i := range uint32(locals) {
		reversed = cat(reversed, 0x21, uleb(1+i))
	}
	for range many {
		values = cat(values, 0x20, 0)
	}
	dead := func(n int) []byte { return cat(0x02, 0x40, 0x0c, 0, heavy(n), 0x0b) }
	straight := bytes.Repeat(cat(heavy(16_048), dead(335)), 20)
	var fills []byte
	for i := range 300 {
		fills = cat(fills, i32c(i<<17), i32c(1), i32c(256<<10), 0xfc, 11, 0)
	}
	for name, c := range map[string]struct {
		funcs  []function
		checks int
	}{
		"checks in dead code": {[]function{{code: straight}}, 19},
		"a long function before dead code": {[]function{
			{locals: 1, code: cat(0x03, 0x40, iterate(2000, cat(0x10, 1)), 0x0b)}, {code: cat(heavy(16_000), dead(400))},
		}, 1900},
		"fills":           {[]function{{code: fills}}, 290},
		"locals reversed": {[]function{{locals: 1 + locals, code: cat(0x03, 0x40, iterate(2000, reversed), 0x0b)}}, 1900},
		"locals reversed where it does not happen": {[]function{{locals: 1 + locals, code: cat(
			0x03, 0x40, iterate(2000, cat(0x20, 0, 0x45, 0x04, 0x40, reversed, 0x0b)), 0x0b,
		)}}, 900},
		"values passed on": {[]function{{locals: 1, code: cat(
			values, 0x03, tMany, iterate(20_000, nil), 0x0b, bytes.Repeat([]byte{0x1a}, many),
		)}}, 1000},
		"parameters": {[]function{
			{locals: 1, code: cat(0x03, 0x40, iterate(5000, cat(values, 0x10, 1, bytes.Repeat([]byte{0x1a}, many))), 0x0b)},
			{typ: tMany, code: bytes.ReplaceAll(values, []byte{0x20, 0}, []byte{0x20, 1})},
		}, 500},
	} {
		s := spec{funcs: c.funcs, memory: []byte{1, 0, 0x80, 0x10}}
		s.funcs[0].export = "run"
		got := 0
		ctx, r, m := interrupted(t, s.build(), func() int32 { got++; return count })
		mod, err := r.InstantiateModule(ctx, m, wazero.NewModuleConfig())
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err := mod.ExportedFunction("run").Call(ctx); err != nil || got < c.checks {
			t.Errorf("%s: %d checks, want %d or more; %v", name, got, c.checks, err)
		}
	}
}

func TestEndless(t *testing.T) {
	for name, s := range endless() {
		t.Run(name, func(t *testing.T) {
			s.funcs[0].export = "run"
			checks := 0
			ctx, r, c := interrupted(t, s.build(), func() int32 {
				if checks++; checks == 100 {
					panic(errStop)
				}
				return 1000
			})
			mod, err := r.InstantiateModule(ctx, c, wazero.NewModuleConfig())
			if err == nil {
				_, err = mod.ExportedFunction("run").Call(ctx)
			}
			if !errors.Is(err, errStop) {
				t.Errorf("the guest ended with %v after %d checks", err, checks)
			}
		})
	}
}

// TestRecursion: recursion that ends in a stack overflow or a result passes
// checks on its way.
func TestRecursion(t *testing.T) {
	call := func(f int) []byte { return cat(0x10, f) }
	for name, s := range map[string]spec{
		"direct": {funcs: []function{{code: call(0)}}},
		"mutual": {funcs: []function{{code: call(1)}, {code: call(2)}, {code: call(1)}}},
		"indirect": {table: true, funcs: []function{
			{code: cat(i32c(1), 0x11, tNone, 0)}, {code: cat(i32c(0), 0x11, tNone, 0)},
		}},
		"by a function that is not in the table": {table: true, funcs: []function{
			{code: call(1)}, {code: cat(i32c(0), 0x11, tNone, 0)},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s.funcs[0].export = "run"
			checks := 0
			ctx, r, c := interrupted(t, s.build(), func() int32 { checks++; return 1 })
			mod, err := r.InstantiateModule(ctx, c, wazero.NewModuleConfig())
			if err != nil {
				t.Fatal(err)
			}
			if _, err = mod.ExportedFunction("run").Call(ctx); err == nil {
				t.Fatal("endless recursion ended")
			}
			if checks < 1000 {
				t.Errorf("%d checks", checks)
			}
		})
	}
}

// TestSteps: however much work a check allows, not more iterations than that
// are done until the next one. Each iteration here is 5 units at least.
func TestSteps(t *testing.T) {
	// global 0 counts iterations: loop { g = g + 1 }
	iterate := cat(0x23, 0, 0x41, 1, 0x6a, 0x24, 0)
	global := []byte{1, 0x7f, 1, 0x41, 0, 0x0b}
	guests := map[string]spec{
		"loop":      {globals: global, funcs: []function{{code: cat(0x03, 0x40, iterate, 0x0c, 0, 0x0b)}}},
		"call":      {globals: global, funcs: []function{{code: cat(0x03, 0x40, 0x10, 1, 0x0c, 0, 0x0b)}, {code: iterate}}},
		"tail call": {globals: global, funcs: []function{{code: cat(iterate, 0x12, 0)}}},
		"indirect": {globals: global, table: true, funcs: []function{
			{code: cat(0x03, 0x40, i32c(1), 0x11, tNone, 0, 0x0c, 0, 0x0b)}, {code: iterate},
		}},
	}
	// Calls of a function with a loop that counts in a local, and is left
	// after 100 iterations in each of these ways.
	again := cat(iterate, 0x20, 0, i32c(1), 0x6a, 0x22, 0, i32c(100))
	for name, body := range map[string][]byte{
		"left at its end":         cat(0x03, 0x40, again, 0x48, 0x0d, 0, 0x0b),
		"left by a branch":        cat(0x02, 0x40, 0x03, 0x40, again, 0x4e, 0x04, 0x40, 0x0c, 2, 0x0b, 0x0c, 0, 0x0b, 0x0b),
		"left by a condition":     cat(0x02, 0x40, 0x03, 0x40, again, 0x4e, 0x0d, 1, 0x0c, 0, 0x0b, 0x0b),
		"left by a table":         cat(0x02, 0x40, 0x03, 0x40, again, 0x4e, 0x0e, 1, 0, 1, 0x0b, 0x0b),
		"left by a return":        cat(0x03, 0x40, again, 0x4e, 0x04, 0x40, 0x0f, 0x0b, 0x0c, 0, 0x0b),
		"left by an exception":    cat(0x03, 0x40, again, 0x4e, 0x04, 0x40, 0x08, 0, 0x0b, 0x0c, 0, 0x0b),
		"around another":          cat(0x03, 0x40, 0x03, 0x40, again, 0x1a, i32c(5), 0x6f, 0x0d, 0, 0x0b, 0x20, 0, i32c(100), 0x48, 0x0d, 0, 0x0b),
		"around another one left": cat(0x02, 0x40, 0x03, 0x40, 0x03, 0x40, again, 0x4e, 0x0d, 2, 0x0c, 0, 0x0b, 0x0b, 0x0b),
	} {
		try := cat(0x02, 0x40, 0x1f, 0x40, 1, 0, 0, 0, 0x10, 1, 0x0b, 0x0b)
		if name == "left at its end" {
			nested := cat(0x03, 0x40, 0x03, 0x40, 0x10, 1, i32c(0), 0x0d, 0, 0x0b, i32c(0), 0x0d, 0, 0x0b)
			guests["called in a loop in a loop"] = spec{globals: global, funcs: []function{
				{code: cat(0x03, 0x40, 0x10, 2, 0x0c, 0, 0x0b)}, {locals: 1, code: body}, {code: nested},
			}}
		}
		guests[name] = spec{globals: global, tags: true, funcs: []function{{code: cat(0x03, 0x40, try, 0x0c, 0, 0x0b)}, {locals: 1, code: body}}}
	}
	for name, s := range guests {
		s.funcs[0].export = "run"
		s.exports = [][]byte{cat(str("steps"), 3, 0)}
		for _, count := range []int32{1, 100, 10_000, 1 << 20} {
			if testing.Short() && count != 10_000 {
				continue
			}
			t.Run(fmt.Sprint(name, count), func(t *testing.T) {
				steps := func() uint64 { return 0 }
				checks, last := 0, uint64(0)
				ctx, r, c := interrupted(t, s.build(), func() int32 {
					if now := steps(); now-last > uint64(count)/5+1 {
						t.Errorf("%d iterations, %d units of work", now-last, count)
					} else {
						last = now
					}
					if checks++; checks > 30 {
						panic(errStop)
					}
					return count
				})
				mod, err := r.InstantiateModule(ctx, c, wazero.NewModuleConfig())
				if err != nil {
					t.Fatal(err)
				}
				g := mod.ExportedGlobal("steps")
				steps = func() uint64 { return g.Get() }
				if _, err := mod.ExportedFunction("run").Call(ctx); !errors.Is(err, errStop) {
					t.Error(err)
				}
				if last == 0 {
					t.Error("no iterations")
				}
			})
		}
	}
}
