package wasm_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hako-run/hako/engine/wasm"
	"github.com/hako-run/hako/internal/guestbuild"
)

// goGuest is a Go program for wasip1 with a scheduler, maps, a garbage
// collector and formatting.
func goGuest(t testing.TB) []byte {
	t.Helper()
	return readFile(t, guestbuild.Go(t, filepath.Join("testdata", "goguest")))
}

// samples are modules as compilers make them.
func samples(t testing.TB) map[string][]byte {
	t.Helper()
	list := map[string][]byte{}
	if !testing.Short() {
		list["go"] = goGuest(t)
	}
	for _, k := range []string{"json", "strings", "btree"} {
		list[k] = kernel(t, k)
	}
	source := filepath.Join("testdata", "setjmp.c")
	for name, flags := range map[string][]string{
		"exceptions":  {"-O2"},
		"unoptimized": {"-O0", "-g"},
	} {
		args := append(flags, "-mllvm", "-wasm-enable-sjlj", "-mllvm", "-wasm-use-legacy-eh=false", source, "-lsetjmp")
		list[name] = readFile(t, guestbuild.C(t, args))
	}
	return list
}

func TestRoundTrip(t *testing.T) {
	for name, source := range samples(t) {
		m := decode(t, source)
		if !bytes.Equal(m.Encode(), source) {
			t.Errorf("%s: encoded differently", name)
		}
	}
	for name, s := range endless() {
		if source := s.build(); !bytes.Equal(decode(t, source).Encode(), source) {
			t.Errorf("%s: encoded differently", name)
		}
	}
	// Unusual LEB128 numbers, and custom sections everywhere.
	odd := cat(header,
		0, 3, str("a"), 7,
		1, 0x85, 0x80, 0, 0x81, 0, 0x60, 0, 0, // one type; its section's size and count are longer than need be
		0, 2, str("b"))
	m := decode(t, odd)
	if !bytes.Equal(m.Encode(), odd) || len(m.Types()) != 1 {
		t.Errorf("got %x, want %x", m.Encode(), odd)
	}
	if b, ok := m.Custom("a"); !ok || !bytes.Equal(b, []byte{7}) {
		t.Errorf("custom section: %x, %v", b, ok)
	}
}

// TestRewriteSamples: rewritten modules are valid, and encode to themselves.
func TestRewriteSamples(t *testing.T) {
	for name, source := range samples(t) {
		if err := valid(t, source); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		m := decode(t, source)
		rewriteAll(t, m)
		out := m.Encode()
		if err := valid(t, out); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if again := decode(t, out).Encode(); !bytes.Equal(again, out) {
			t.Errorf("%s: encoded differently", name)
		}
	}
}

// rewriteAll does all there is to do to a module.
func rewriteAll(t testing.TB, m *wasm.Module) {
	t.Helper()
	m.DetachStart()
	if _, err := m.StripData(); err != nil && !errors.Is(err, wasm.ErrUnsupported) {
		t.Fatal(err)
	}
	m.ExportGlobals()
	m.DirectJumps()
	if _, err := m.Interrupt(wasm.InterruptOptions{}); err != nil && !errors.Is(err, wasm.ErrUnsupported) {
		t.Fatal(err)
	}
	_ = m.CapMemory(1000)
	_ = m.CapTables(1 << 20)
	m.FunctionNames()
	m.Carried()
}

func TestErrors(t *testing.T) {
	body := func(c ...any) []byte { return spec{funcs: []function{{code: cat(c...)}}}.build() }
	mem := func(limits ...byte) []byte { return spec{memory: append([]byte{1}, limits...)}.build() }
	many := cat(0, 0x0b)
	for _, test := range []struct {
		name   string
		source []byte
		kind   error
		text   string
	}{
		{"nothing", nil, wasm.ErrMalformed, "not a Wasm file"},
		{"text", []byte("(module (func))"), wasm.ErrMalformed, "not a Wasm file"},
		{"component", []byte("\x00asm\x0d\x00\x01\x00"), wasm.ErrComponent, "preview 1"},
		{"component too", []byte("\x00asm\x0d\x00\x01\x00"), wasm.ErrUnsupported, "component"},
		{"version", []byte("\x00asm\x02\x00\x00\x00"), wasm.ErrUnsupported, "version"},
		{"legacy exceptions", body(0x06, 0x40, 0x07, 0, 0x0b), wasm.ErrUnsupported, "--translate-to-exnref"},
		{"garbage collection", body(0xfb, 0, 0), wasm.ErrUnsupported, "garbage collection"},
		{"function references", body(0x14, 0), wasm.ErrUnsupported, "typed function references"},
		{"relaxed SIMD", body(0xfd, 0x80, 2), wasm.ErrUnsupported, "relaxed SIMD"},
		{"wide arithmetic", body(0xfc, 19), wasm.ErrUnsupported, "wide arithmetic"},
		{"stack switching", body(0xe0, 0), wasm.ErrUnsupported, "stack switching"},
		{"memory64", mem(4, 1), wasm.ErrUnsupported, "memory64"},
		{"page sizes", mem(8, 1, 0), wasm.ErrUnsupported, "custom page sizes"},
		{"memories", spec{memory: []byte{2, 0, 1, 0, 1}}.build(), wasm.ErrUnsupported, "multiple memories"},
		{"memory index", body(0x28, 0x42, 1, 0), wasm.ErrUnsupported, "multiple memories"},
		{"no such instruction", body(0xff), wasm.ErrMalformed, "no such instruction"},
		{"cut off", body(0x44, 1, 2), wasm.ErrMalformed, "cut off"},
		{"no such local", body(0x20, 9, 0x1a), wasm.ErrMalformed, "no local 9"},
		{"no such function", body(0x10, 1), wasm.ErrMalformed, "no function 1"},
		{"no such global", body(0x23, 0, 0x1a), wasm.ErrMalformed, "no global 0"},
		{"no such label", body(0x0c, 1), wasm.ErrMalformed, "no label 1"},
		{"open block", body(0x02, 0x40), wasm.ErrMalformed, "within a block"},
		{"code after the end", body(0x0b, 0x01), wasm.ErrMalformed, "after its end"},
		{"locals", cat(header, sec(1, vec(stdTypes[0])), sec(3, vec([]byte{0})), sec(10, vec(cat(8, 1, uleb(1<<31), 0x7f, many)))), wasm.ErrUnsupported, "locals"},
		{"counts", cat(header, 1, 5, uleb(1<<32-1)), wasm.ErrMalformed, "items announced"},
		{"long section", cat(header, 1, 50, 0), wasm.ErrMalformed, "longer than the file"},
		{"order", cat(header, sec(3, []byte{0}), sec(1, []byte{0})), wasm.ErrMalformed, "out of order"},
		{"left over", cat(header, sec(1, []byte{0, 0})), wasm.ErrMalformed, "left over"},
		{"no bodies", cat(header, sec(1, vec(stdTypes[0])), sec(3, vec([]byte{0}))), wasm.ErrMalformed, "0 bodies"},
		{"sections", cat(header, bytes.Repeat([]byte{0, 1, 0}, wasm.MaxSections+1)), wasm.ErrUnsupported, "sections"},
		{"nesting", body(bytes.Repeat([]byte{0x02, 0x40}, wasm.MaxNesting), bytes.Repeat([]byte{0x0b}, wasm.MaxNesting)), wasm.ErrUnsupported, "deep"},
	} {
		_, err := wasm.Decode(test.source)
		var e *wasm.Error
		if !errors.Is(err, test.kind) || !errors.As(err, &e) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: got %v, want %v with %q", test.name, err, test.kind, test.text)
			continue
		}
		if e.Offset < 0 || e.Offset > len(test.source) || e.Section == "" && e.Offset > 4 {
			t.Errorf("%s: %+v", test.name, e)
		}
	}
	_, err := wasm.Decode(body(0x01, 0x06, 0x40, 0x07, 0, 0x0b))
	var e *wasm.Error
	if !errors.As(err, &e) || body(0x01, 0x06, 0x40, 0x07, 0, 0x0b)[e.Offset] != 0x06 || e.Section != "code" {
		t.Errorf("the error does not point at the instruction: %v", err)
	}
}

// FuzzDecode: no input makes decoding or rewriting panic, what is decoded
// encodes to itself, and what was valid is valid after it was rewritten.
func FuzzDecode(f *testing.F) {
	for _, s := range endless() {
		f.Add(s.build())
	}
	for seed := range uint64(10) {
		f.Add(randomModule(seed))
	}
	files, _ := filepath.Glob(filepath.Join("testdata", "*.wasm"))
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := wasm.Decode(b)
		if err != nil {
			return
		}
		if !bytes.Equal(m.Encode(), b) {
			t.Fatal("encoded differently")
		}
		before := valid(t, b)
		rewriteAll(t, m)
		if after := valid(t, m.Encode()); before == nil && after != nil {
			t.Fatalf("not valid any more: %v", after)
		}
		if before == nil {
			return
		}
		// What was added must not make sense of code that made none.
		m = decode(t, b)
		if _, names := m.Custom("name"); names {
			return // a malformed one is dropped
		}
		m.DirectJumps()
		if _, err := m.Interrupt(wasm.InterruptOptions{}); err == nil && valid(t, m.Encode()) == nil {
			t.Fatalf("valid now, was not: %v", before)
		}
	})
}
