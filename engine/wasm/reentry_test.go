package wasm_test

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/hako-run/hako/engine/wasm"
)

// TestReentry: a function whose count has run out at its entry is called again
// with its parameters, whatever their types, and the right one of many is.
func TestReentry(t *testing.T) {
	const i32, i64, f32, f64, v128 = 0x7f, 0x7e, 0x7d, 0x7c, 0x7b
	const many = 130 // more than one function calls again
	types := vec(
		[]byte{0x60, 5, i32, i64, f32, f64, i32, 1, f64},
		[]byte{0x60, 7, i32, i32, i32, i32, i32, i32, i32, 1, i32}, // too many for registers
		[]byte{0x60, 2, i32, v128, 1, v128},
		[]byte{0x60, 2, i32, i64, 2, i64, i64},
		[]byte{0x60, 1, i32, 1, i32},
		[]byte{0x60, 2, i32, i64, 1, i64},
		[]byte{0x60, 0, 2, i64, i64}, // of a block
	)
	// recurse gives base if parameter 0 is 0, else what the function gives
	// with one less there.
	recurse := func(fn int, params int, block []byte, base []byte) []byte {
		again := cat(0x20, 0, i32c(1), 0x6b)
		for p := 1; p < params; p++ {
			again = cat(again, 0x20, p)
		}
		return cat(0x20, 0, 0x45, 0x04, block, base, 0x05, again, 0x10, uleb(uint32(fn)), 0x0b)
	}
	var funcTypes, bodies, exports [][]byte
	add := func(typ int, code []byte) {
		export := cat(str(fmt.Sprint("f", len(bodies))), 0, uleb(uint32(len(bodies))))
		body := cat(0, code, 0x0b)
		funcTypes, exports = append(funcTypes, []byte{byte(typ)}), append(exports, export)
		bodies = append(bodies, cat(uleb(uint32(len(body))), body))
	}
	add(0, cat(recurse(0, 5, []byte{f64}, cat(0x20, 1, 0xb9, 0x20, 2, 0xbb, 0xa0, 0x20, 3, 0xa0, 0x20, 4, 0xb7, 0xa0)), 0x44, make([]byte, 8), 0xa0))
	sum := cat(0x20, 1)
	for p := 2; p < 7; p++ {
		sum = cat(sum, i32c(10), 0x6c, 0x20, p, 0x6a)
	}
	add(1, cat(recurse(1, 7, []byte{i32}, sum), i32c(0), 0x6a))
	add(2, recurse(2, 2, []byte{v128}, cat(0x20, 1)))
	// The lanes of a vector, as a host cannot pass one.
	add(5, cat(0x20, 0, 0x20, 1, 0xfd, 18, 0x20, 1, 0x42, 3, 0x7c, 0xfd, 30, 1, 0x10, 2, 0xfd, 29, 1))
	add(3, recurse(4, 2, []byte{6}, cat(0x20, 1, 0x42, 42)))
	first := len(bodies)
	for i := range many {
		filler := bytes.Repeat([]byte{0x20, 0, 0x45, 0x1a}, 50)
		add(4, cat(filler, recurse(first+i, 1, []byte{i32}, i32c(i*7))))
	}
	source := cat(header, sec(1, types), sec(3, vec(funcTypes...)), sec(7, vec(exports...)), sec(10, vec(bodies...)))

	for _, budget := range []int32{1, 30, 1 << 14} {
		checks := 0
		ctx, r, c := interrupted(t, source, func() int32 { checks++; return budget })
		mod, err := r.InstantiateModule(ctx, c, wazero.NewModuleConfig())
		if err != nil {
			t.Fatal(err)
		}
		const depth = 20
		call := func(fn int, want []uint64, args ...uint64) {
			t.Helper()
			before := checks
			got, err := mod.ExportedFunction(fmt.Sprint("f", fn)).Call(ctx, append([]uint64{depth}, args...)...)
			if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("budget %d, function %d: %v, %v; want %v", budget, fn, got, err, want)
			}
			if budget == 1 && checks-before < depth {
				t.Errorf("function %d: %d checks in %d calls", fn, checks-before, depth)
			}
		}
		call(0, []uint64{math.Float64bits(1<<40 + 0.5 + 0.25 - 7)}, 1<<40, api.EncodeF32(0.5), math.Float64bits(0.25), api.EncodeI32(-7))
		call(1, []uint64{123456}, 1, 2, 3, 4, 5, 6)
		call(3, []uint64{1003}, 1000)
		call(4, []uint64{1 << 50, 42}, 1<<50)
		for i := range many {
			call(first+i, []uint64{uint64(i * 7)})
		}
	}
	m := decode(t, source)
	stats, err := m.Interrupt(wasm.InterruptOptions{})
	if err != nil || stats.EntryChecks != many+4 {
		t.Errorf("%d functions count at their entry, %v", stats.EntryChecks, err)
	}
}
