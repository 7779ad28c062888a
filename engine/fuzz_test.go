package engine

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hako-run/hako/engine/wasm"
)

// tryModule compiles, runs, freezes and forks what may be no module at all,
// and fails the test if something is left of it.
func tryModule(t *testing.T, e *Engine, source []byte) {
	ctx := context.Background()
	m, err := e.Compile(ctx, "fuzzed", source)
	if err == nil {
		runModule(ctx, m)
		m.Close()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.modules) != 0 || e.instances != 0 {
		t.Errorf("%d modules and %d instances are left", len(e.modules), e.instances)
	}
}

func runModule(ctx context.Context, m *Module) {
	limits := Limits{CPU: 20 * time.Millisecond, Wall: time.Second, Memory: 8 << 20}
	in, err := m.Instantiate(ctx, Config{Limits: limits})
	if err != nil {
		return
	}
	defer in.Close()
	if tmpl, err := in.Freeze(TemplateConfig{Keep: 1}); err == nil {
		defer tmpl.Close()
		for range 2 {
			if f, err := tmpl.Fork(ctx, Config{Limits: limits}); err == nil {
				callAll(ctx, m, f)
				f.Close()
			}
		}
	}
	callAll(ctx, m, in)
}

func callAll(ctx context.Context, m *Module, in *Instance) {
	for i, e := range m.Exports() {
		if e.Kind == wasm.FuncKind && i < 50 {
			if _, err := in.Call(ctx, e.Name, make([]uint64, words(e.Type.Params))...); err != nil {
				return
			}
		}
	}
}

func seeds(t testing.TB) [][]byte {
	return [][]byte{
		guest(t, "basic.c"),
		guest(t, "forked.c"),
		start("\x03\x40\x0c\x00\x0b"),
		one("\x41\x00\xd0\x70\x26\x00", [][]byte{sec(4, "\x70\x00\x01")}, nil),
		one("\x1f\x40\x01\x02\x00\x10\x00\x0b", nil, nil),
		bin(sec(1, typeInt), sec(3, "\x00"), sec(4, "\x70\x00\x02"), sec(5, "\x01\x01\x04"), sec(6, "\x7f\x01\x41\x05\x0b", "\x7b\x01\xfd\x0c0123456789abcdef\x0b"),
			sec(7, export("f", 0, 0), export("m", 2, 0)), sec(9, "\x00\x41\x00\x0b\x01\x00"), raw(12, "\x01"),
			sec(10, fn("\x01\x02\x7f", "\x23\x00\x41\x01\x6a\x24\x00\x41\x00\x41\x00\x41\x01\xfc\x08\x00\x00\x3f\x00\x40\x00")), sec(11, "\x01\x03abc")),
	}
}

// FuzzCompile gives the engine bytes of any kind.
func FuzzCompile(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	e := openEngine(f, defaultBacking)
	f.Fuzz(func(t *testing.T, source []byte) { tryModule(t, e, source) })
}

// TestMutated gives the engine modules in which a few bytes were changed.
func TestMutated(t *testing.T) {
	e := openEngine(t, defaultBacking)
	list := seeds(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	ran := 0
	for i := range scale(30_000, 600, 150) {
		source := append([]byte(nil), list[i%len(list)]...)
		for range 1 + rnd.IntN(3) {
			at := rnd.IntN(len(source))
			switch rnd.IntN(4) {
			case 0:
				source[at] = byte(rnd.Uint32())
			case 1:
				source[at] ^= 1 << rnd.IntN(8)
			case 2:
				source = append(source[:at], source[min(at+1+rnd.IntN(3), len(source)):]...)
			default:
				source = append(source[:at], append([]byte{byte(rnd.Uint32())}, source[at:]...)...)
			}
		}
		if m, err := e.Compile(context.Background(), "mutated", source); err == nil {
			ran++
			m.Close()
		}
		tryModule(t, e, source)
		if t.Failed() {
			path := filepath.Join(t.TempDir(), "mutated.wasm")
			_ = os.WriteFile(path, source, 0o600)
			t.Fatalf("module %d, in %s", i, path)
		}
	}
	if ran == 0 {
		t.Error("no mutated module could be run")
	}
	t.Logf("%d of them ran", ran)
}
