package wasm_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/hako-run/hako/engine/wasm"
	"github.com/hako-run/hako/internal/guestbuild"
)

// TestStripData: a module whose data was taken out and put back by the host
// does what it did.
func TestStripData(t *testing.T) {
	for name, source := range samples(t) {
		ctx, r := newRuntime(t)
		wasi_snapshot_preview1.MustInstantiate(ctx, r)
		run := func(source []byte, segments []wasm.Segment) string {
			var out bytes.Buffer
			config := wazero.NewModuleConfig().WithName("").WithArgs("guest", "1").WithStdout(&out).WithStderr(&out).WithStartFunctions()
			mod, err := r.InstantiateWithConfig(ctx, source, config)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for _, s := range segments {
				if !mod.Memory().Write(s.Offset, s.Init) {
					t.Fatalf("%s: data at %d does not fit", name, s.Offset)
				}
			}
			if _, err = mod.ExportedFunction("_start").Call(ctx); err != nil && !strings.Contains(err.Error(), "exit_code(0)") {
				t.Fatalf("%s: %v", name, err)
			}
			return out.String()
		}
		want := run(source, nil)
		provide(ctx, t, r, func() int32 { return 1 << 14 })
		m := decode(t, source)
		segments, err := m.StripData()
		if err != nil || len(segments) == 0 {
			t.Fatalf("%s: %v, %d segments", name, err, len(segments))
		}
		if _, err := m.Interrupt(wasm.InterruptOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := run(m.Encode(), segments); got != want || want == "" {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestStripDataSegments(t *testing.T) {
	global := cat(0x7f, 0, i32c(1000), 0x0b) // global 0, constant
	s := spec{
		memory:  []byte{1, 0, 1},
		globals: vec(global),
		count:   4 + 1,
		data: vec(
			cat(0, i32c(8), 0x0b, str("one")),
			cat(1, str("passive")),
			cat(0, 0x23, 0, i32c(24), 0x6a, 0x0b, str("two")), // extended constant expression
			cat(2, 0, i32c(-1), 0x0b, str("out of bounds")),
		),
		funcs: []function{{code: cat(i32c(0), i32c(0), i32c(7), 0xfc, 8, 1, 0, 0xfc, 9, 2)}},
	}
	m := decode(t, s.build())
	segments, err := m.StripData()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(segments), fmt.Sprint([]wasm.Segment{{8, []byte("one")}, {1024, []byte("two")}, {1<<32 - 1, []byte("out of bounds")}}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	again := decode(t, m.Encode())
	if err := valid(t, m.Encode()); err != nil {
		t.Error(err)
	}
	if d := again.Data(); len(d) != 4 || string(d[1].Init) != "passive" || len(d[0].Init)+len(d[2].Init)+len(d[3].Init) > 0 {
		t.Errorf("left: %v", d)
	}
	use, carried := m.Use(), m.Carried()
	if !use.MemoryInits || !use.DataDrops || !carried.Segments {
		t.Errorf("use: %+v, %+v", use, carried)
	}

	// Refusals leave the module as it is.
	imported := s
	imported.imports = cat(1, str("env"), str("base"), 3, 0x7f, 0)
	started := s
	started.start = 1
	for name, s := range map[string]spec{"imported global": imported, "start": started} {
		source := s.build()
		m := decode(t, source)
		if _, err := m.StripData(); !errors.Is(err, wasm.ErrUnsupported) || !bytes.Equal(m.Encode(), source) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m = decode(t, started.build())
	if name, ok := m.DetachStart(); !ok || name != "hako:start" {
		t.Errorf("detached %q, %v", name, ok)
	}
	if _, err := m.StripData(); err != nil {
		t.Error(err)
	}
	m = decode(t, m.Encode())
	if _, ok := m.Start(); ok || len(m.Exports()) != 1 || m.Exports()[0].Index != 0 {
		t.Errorf("exports: %+v", m.Exports())
	}
}

func TestExportGlobals(t *testing.T) {
	s := spec{
		imports: cat(1, str("env"), str("shared"), 3, 0x7f, 1),
		globals: vec(
			cat(0x7f, 0, i32c(1), 0x0b),
			cat(0x7e, 1, 0x42, 2, 0x0b),
			cat(0x7f, 1, i32c(3), 0x0b),
			cat(0x70, 1, 0xd0, 0x70, 0x0b),
		),
		exports: [][]byte{cat(str("hako:g2"), 3, 0), cat(str("mine"), 3, 3)},
		funcs:   []function{{code: cat(0x03, 0x40, 0x0b)}},
	}
	for _, first := range []bool{false, true} {
		m := decode(t, s.build())
		if first {
			if _, err := m.Interrupt(wasm.InterruptOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		got := fmt.Sprint(m.ExportGlobals())
		if want := "[{hako:g_2 2 i64 true} {mine 3 i32 false} {hako:g_4 4 funcref true}]"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if err := valid(t, m.Encode()); err != nil {
			t.Error(err)
		}
		if !m.Carried().References || !m.Carried().ImportedGlobals {
			t.Errorf("%+v", m.Carried())
		}
	}
}

func TestCaps(t *testing.T) {
	s := spec{memory: []byte{1, 0, 2}, table: true, funcs: []function{{}, {}}}
	m := decode(t, s.build())
	if err := m.CapMemory(1); err == nil {
		t.Error("a memory of 2 pages was capped to 1")
	}
	if err := m.CapTables(1); err == nil {
		t.Error("a table of 2 elements was capped to 1")
	}
	if err := errors.Join(m.CapMemory(300), m.CapTables(400)); err != nil {
		t.Fatal(err)
	}
	m = decode(t, m.Encode())
	if mem := m.Memories()[0]; mem.Max != 300 || mem.Min != 2 || !mem.HasMax {
		t.Errorf("memory: %+v", mem)
	}
	if tab := m.Tables()[0]; tab.Max != 400 || !tab.HasMax {
		t.Errorf("table: %+v", tab)
	}
	before := m.Encode()
	if err := m.CapMemory(500); err != nil || !bytes.Equal(m.Encode(), before) {
		t.Errorf("a cap above the maximum changed the module: %v", err)
	}
}

func TestInterruptRefuses(t *testing.T) {
	s := spec{imports: cat(1, str("hako"), str("check"), 0, tInt)}
	m := decode(t, s.build())
	if _, err := m.Interrupt(wasm.InterruptOptions{}); !errors.Is(err, wasm.ErrUnsupported) {
		t.Errorf("a module that imports hako.check: %v", err)
	}
	m = decode(t, spec{}.build())
	for i := range 2 {
		if _, err := m.Interrupt(wasm.InterruptOptions{}); (err == nil) != (i == 0) {
			t.Errorf("time %d: %v", i+1, err)
		}
	}
}

// TestIndices: functions, their names, exports, elements, references and the
// start function are the same ones after the import was inserted.
func TestIndices(t *testing.T) {
	name := func(i int, s string) []byte { return cat(i, str(s)) }
	names := cat(1, func() []byte {
		b := vec(name(0, "imported"), name(1, "first"), name(3, "third"))
		return cat(uleb(uint32(len(b))), b)
	}(), 2, func() []byte {
		b := vec(cat(1, vec(name(0, "x"))), cat(2, vec(name(0, "y"))))
		return cat(uleb(uint32(len(b))), b)
	}())
	custom := cat(str("name"), names)
	s := spec{
		imports: cat(1, str("env"), str("f"), 0, tNone),
		table:   true,
		globals: vec(cat(0x70, 0, 0xd2, 3, 0x0b)),
		start:   2 + 1,
		funcs: []function{
			{typ: tInt, code: cat(i32c(1)), export: "one"},
			{typ: tNone, code: cat(0x10, 0, 0x10, 1, 0x1a)},
			{typ: tInt, code: cat(i32c(1), 0x11, tInt, 0, 0x1a, i32c(3)), export: "three"},
		},
		exports: [][]byte{cat(str("host"), 0, 0), cat(str("table"), 1, 0)},
		custom:  cat(sec(0, custom), sec(0, cat(str(".debug_line"), 1, 2, 3)), sec(0, cat(str("producers"), 0))),
	}
	// Element 1 of the table is function 2: the one that the host calls at
	// the start and that has another type.
	s.funcs[1].typ = tNone
	source := s.build()
	m := decode(t, source)
	if _, err := m.Interrupt(wasm.InterruptOptions{}); err != nil {
		t.Fatal(err)
	}
	out := m.Encode()
	m = decode(t, out)
	if got, want := fmt.Sprint(m.FunctionNames()), "map[0:imported 1:hako.check 2:first 4:third 5:hako.slow 6:hako.again 7:hako.again]"; got != want {
		t.Errorf("names: got %s, want %s", got, want)
	}
	if _, there := m.Custom(".debug_line"); there {
		t.Error("DWARF is still there")
	}
	if _, there := m.Custom("producers"); !there {
		t.Error("another custom section is gone")
	}
	if start, _ := m.Start(); start != 3 {
		t.Errorf("start: %d", start)
	}
	for _, e := range m.Exports() {
		if want := map[string]uint32{"one": 2, "three": 4, "host": 0, "table": 0}[e.Name]; e.Index != want {
			t.Errorf("export %s: %d, want %d", e.Name, e.Index, want)
		}
	}
	ctx, r := newRuntime(t)
	calls := 0
	provide(ctx, t, r, func() int32 { return 100 })
	if _, err := r.NewHostModuleBuilder("env").NewFunctionBuilder().WithFunc(func() { calls++ }).Export("f").Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	mod, err := r.Instantiate(ctx, out)
	if err != nil || calls != 1 {
		t.Fatalf("%v, %d calls of the host", err, calls)
	}
	if got, err := mod.ExportedFunction("one").Call(ctx); err != nil || got[0] != 1 {
		t.Errorf("one: %v, %v", got, err)
	}
	// Element 1 of the table has another type, now as before.
	if got, err := mod.ExportedFunction("three").Call(ctx); err == nil {
		t.Errorf("three: %v", got)
	}
}

// TestBigModule: a large module does not grow by much. With -v, it tells the
// time that rewriting took.
func TestBigModule(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a large module")
	}
	source := goGuest(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := threadTime()
	m := decode(t, source)
	decoded := threadTime() - start
	stats, err := m.Interrupt(wasm.InterruptOptions{})
	if err != nil {
		t.Fatal(err)
	}
	out := m.Encode()
	t.Logf("%d bytes, decoded in %v, rewritten in %v, to %d bytes, %+v", len(source), decoded, threadTime()-start-decoded, len(out), stats)
	if len(out) > len(source)*13/10 {
		t.Errorf("%d bytes became %d", len(source), len(out))
	}
}

// TestExceptions: jumps by exceptions do what they did.
func TestExceptions(t *testing.T) {
	source := readFile(t, guestbuild.C(t, []string{"-O2", "-mllvm", "-wasm-enable-sjlj", "-mllvm", "-wasm-use-legacy-eh=false",
		filepath.Join("testdata", "setjmp.c"), "-lsetjmp"}))
	if !decode(t, source).Use().Exceptions {
		t.Fatal("the guest has no exceptions")
	}
	want, _ := compile(t, "setjmp", source, -1).run("")
	if got, _ := compile(t, "setjmp", source, 0).run(""); got != want || !strings.HasPrefix(want, "350 ") {
		t.Errorf("got %q, want %q", got, want)
	}
}
