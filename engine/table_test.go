package engine

import (
	"context"
	"errors"
	"testing"
)

// tableModule calls element n of its table as () -> i32: call(n) by
// call_indirect, tail(n) by return_call_indirect. Elements are functions that
// return 10 and 20, one that takes a parameter, and none.
func tableModule(elements [][]byte, exports []string, more ...string) []byte {
	const (
		get   = "\x00"         // () -> i32
		same  = "\x02"         // another of that form
		other = "\x01"         // (i32) -> i32
		n     = "\x20\x00"     // local.get 0
		typ   = "\x02\x00"     // the type and table of an indirect call
		ten   = "\x41\x0a"     // i32.const 10
		twice = "\x41\x14"     // i32.const 20
		last  = "\x01\x0f\x0f" // limits: 15 elements, at most 15
	)
	types := sec(1, typeInt, "\x60\x01\x7f\x01\x7f", typeInt)
	imports := sec(2, "\x04test\x05twice\x00\x01")
	functions := []string{get, same, other, other, other}
	bodies := []string{fn(none, ten), fn(none, twice), fn(none, n), fn(none, n+"\x11"+typ), fn(none, n+"\x13"+typ)}
	for _, code := range more {
		functions, bodies = append(functions, get), append(bodies, fn(none, code))
	}
	exports = append(exports, export("call", 0, 4), export("tail", 0, 5))
	b := bin(types, imports, sec(3, functions...), sec(4, "\x70"+last), sec(7, exports...))
	for _, e := range elements {
		b = append(b, e...)
	}
	return append(b, sec(10, bodies...)...)
}

// TestTables holds that indirect calls find what the table holds, whether
// that is known when the module is compiled or not, and are stopped at all else.
func TestTables(t *testing.T) {
	const (
		// From element 3 on: functions 1, 2 (10 and 20), 3 (another type).
		three = "\x00\x41\x03\x0b\x03\x01\x02\x03"
		// Element 4 again: 20, and then none.
		over = "\x04\x41\x04\x0b\x02\xd2\x02\x0b\xd0\x70\x0b"
		// Element 14, the last: 10.
		end  = "\x00\x41\x0e\x0b\x01\x01"
		host = "\x00\x41\x0d\x0b\x01\x00"
	)
	elements := sec(9, three, over, end)
	modules := map[string][]byte{
		"known":     tableModule([][]byte{elements}, nil),
		"exported":  tableModule([][]byte{elements}, []string{export("table", 1, 0)}),
		"an import": tableModule([][]byte{sec(9, three, over, end, host)}, nil),
		// Instructions that could change it, or look at it.
		"table.set":  tableModule([][]byte{elements}, nil, "\x41\x00\xd0\x70\x26\x00\x41\x00"),
		"table.grow": tableModule([][]byte{elements}, nil, "\xd0\x70\x41\x01\xfc\x0f\x00"),
		"table.get":  tableModule([][]byte{elements}, nil, "\x41\x00\x25\x00\x1a\x41\x00"),
		"table.size": tableModule([][]byte{elements}, nil, "\xfc\x10\x00"),
	}
	want := map[uint64]struct {
		value uint32
		trap  TrapKind
	}{
		0:          {trap: TrapTable},
		3:          {value: 10},
		4:          {value: 20},
		5:          {trap: TrapTable}, // was of another type before the second segment
		6:          {trap: TrapTable},
		14:         {value: 10},
		15:         {trap: TrapTable},
		0x0fffffff: {trap: TrapTable},
		0x10000003: {trap: TrapTable}, // 3, if shifted as 32 bits
		0xffffffff: {trap: TrapTable},
	}
	check := func(t *testing.T, m *Module) {
		t.Helper()
		for _, f := range []string{"call", "tail"} {
			for n, w := range want {
				in, err := m.Instantiate(context.Background(), Config{})
				if err != nil {
					t.Fatal(err)
				}
				res, err := in.Call(context.Background(), f, n)
				in.Close()
				trap := (*TrapError)(nil)
				switch {
				case w.trap != 0 && (!errors.As(err, &trap) || trap.Kind != w.trap):
					t.Errorf("%s(%d): %v, %v, not %v", f, n, res, err, w.trap)
				case w.trap == 0 && (err != nil || uint32(res[0]) != w.value):
					t.Errorf("%s(%d): %v, %v, not %d", f, n, res, err, w.value)
				}
			}
		}
	}
	for name, source := range modules {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for range 2 { // compiled, then from the cache
				e, err := New(Options{CacheDir: dir})
				if err != nil {
					t.Fatal(err)
				}
				if err := testHost(context.Background(), e.runtime); err != nil {
					t.Fatal(err)
				}
				m, err := e.Compile(context.Background(), name, source)
				if err != nil {
					t.Fatal(err)
				}
				check(t, m)
				m.Close()
				if err := e.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestTableType holds that an indirect call of a function of another type is
// stopped, and one of the same form under another number is not.
func TestTableType(t *testing.T) {
	for name, element := range map[string]string{"known": "\x00\x41\x00\x0b\x02\x03\x02", "an import": "\x00\x41\x00\x0b\x03\x03\x02\x00"} {
		m := compile(t, openEngine(t, defaultBacking), name, tableModule([][]byte{sec(9, element)}, nil))
		for _, f := range []string{"call", "tail"} {
			in := instantiate(t, m, Config{})
			_, err := in.Call(context.Background(), f, 0)
			if trap := (*TrapError)(nil); !errors.As(err, &trap) || trap.Kind != TrapSignature {
				t.Errorf("%s, %s: %v", name, f, err)
			}
			if got := call1(t, instantiate(t, m, Config{}), f, 1); got != 20 {
				t.Errorf("%s, %s: %d", name, f, got)
			}
		}
	}
}
