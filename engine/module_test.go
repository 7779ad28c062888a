package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/hako-run/hako/engine/wasm"
	"github.com/hako-run/hako/wasi"
)

func TestDescribe(t *testing.T) {
	m := compile(t, openEngine(t, defaultBacking), "basic", guest(t, "basic.c"))
	var imports, exports []string
	for _, im := range m.Imports() {
		imports = append(imports, im.Module+"."+im.Name+signatureText(im.Type))
	}
	for _, e := range m.Exports() {
		text := e.Name
		if e.Kind == wasm.FuncKind {
			text += signatureText(e.Type)
		}
		exports = append(exports, text)
		if strings.HasPrefix(e.Name, reserved) {
			t.Errorf("export %s is shown", e.Name)
		}
	}
	for _, want := range []string{"test.twice(i32) -> i32", "test.fail()"} {
		if !strings.Contains(strings.Join(imports, "|"), want) {
			t.Errorf("no %s among the imports %v", want, imports)
		}
	}
	for _, want := range []string{"memory", "half(f64) -> f64", "add(i32, i32) -> i32"} {
		if !strings.Contains(strings.Join(exports, "|"), want) {
			t.Errorf("no %s among the exports %v", want, exports)
		}
	}
	if m.Name() != "basic" {
		t.Errorf("name %q", m.Name())
	}
}

// TestCompileOnce holds that a module is compiled once however many ask at
// the same time, and forgotten when nobody uses it.
func TestCompileOnce(t *testing.T) {
	e := openEngine(t, defaultBacking)
	source := guest(t, "basic.c")
	var wg sync.WaitGroup
	modules := make([]*Module, 20)
	for i := range modules {
		wg.Go(func() {
			m, err := e.Compile(context.Background(), "basic", source)
			if err != nil {
				t.Error(err)
			}
			modules[i] = m
		})
	}
	wg.Wait()
	for _, m := range modules {
		if m.c != modules[0].c {
			t.Error("compiled twice")
		}
	}
	in := instantiate(t, modules[0], Config{})
	for _, m := range modules {
		m.Close()
		m.Close()
	}
	if _, err := modules[0].Instantiate(context.Background(), Config{}); !errors.Is(err, ErrClosed) {
		t.Errorf("an instance of a closed module: %v", err)
	}
	if got := call1(t, in, "add", 1, 2); got != 3 || len(e.modules) != 1 {
		t.Errorf("an instance whose module is closed: %d", got)
	}
	in.Close()
	if len(e.modules) != 0 {
		t.Error("a module that nobody uses is kept")
	}
}

func TestCompileCancelled(t *testing.T) {
	e := openEngine(t, defaultBacking)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	source := guest(t, "basic.c")
	for range 20 {
		m, err := e.Compile(ctx, "basic", source)
		if err == nil {
			m.Close() // it was ready, and luck chose that
		} else if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	waitFor(t, "the module to be forgotten", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return len(e.modules) == 0
	})
}

func TestCache(t *testing.T) {
	dir := t.TempDir()
	source := guest(t, "basic.c")
	runs := 0
	run := func() {
		t.Helper()
		e, err := New(Options{CacheDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := testHost(context.Background(), e.runtime); err != nil {
			t.Fatal(err)
		}
		if runs++; runs <= 2 && e.Cached(source) != (runs == 2) {
			t.Errorf("run %d: cached: %v", runs, runs == 1)
		}
		m := compile(t, e, "basic", source)
		if !e.Cached(source) || e.Cached(source[:1]) {
			t.Error("a module in use is not known, or another is")
		}
		in := instantiate(t, m, Config{})
		if got := call1(t, in, "add", 1, 2); got != 3 {
			t.Errorf("%d", got)
		}
		in.Close()
		m.Close()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
	entries := func() []string {
		list, _ := filepath.Glob(filepath.Join(dir, "code-*", "*", "wazero-*", "*"))
		return list
	}
	run()
	if len(entries()) != 1 {
		t.Fatalf("the cache holds %v", entries())
	}
	before, _ := os.Stat(entries()[0])
	run()
	after, _ := os.Stat(entries()[0])
	if !before.ModTime().Equal(after.ModTime()) {
		t.Error("compiled again")
	}
	for _, file := range []string{entries()[0], filepath.Join(filepath.Dir(entries()[0]), "..", "module")} {
		good, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, damage := range []func([]byte) []byte{
			func(b []byte) []byte { return b[:len(b)/2] },
			func(b []byte) []byte { return nil },
			func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
			func(b []byte) []byte { b[0] ^= 1; return b },
			func(b []byte) []byte { b[20] ^= 64; return b }, // the number of functions, where they begin
			func(b []byte) []byte { b[24] ^= 16; return b },
			func(b []byte) []byte { b[32] ^= 16; return b },
			func(b []byte) []byte { b[len(b)-3] ^= 1; return b },
		} {
			if err := os.WriteFile(file, damage(append([]byte(nil), good...)), 0o600); err != nil {
				t.Fatal(err)
			}
			run()
			if _, _, ok := sealed(filepath.Dir(filepath.Dir(entries()[0]))); !ok {
				t.Errorf("%s: what was damaged was not made anew", filepath.Base(file))
			}
			if good, err = os.ReadFile(file); err != nil {
				t.Fatal(err)
			}
		}
	}
	// What nobody has used for long goes, whichever engine made it.
	folder := filepath.Dir(filepath.Dir(entries()[0]))
	other := filepath.Join(dir, "code-1", "0123")
	if err := os.MkdirAll(other, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "seal"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-unused - time.Hour)
	for _, f := range []string{folder, other} {
		if err := os.Chtimes(filepath.Join(f, "seal"), long, long); err != nil {
			t.Fatal(err)
		}
	}
	run()
	if _, err := os.Stat(other); !os.IsNotExist(err) {
		t.Errorf("code of an older engine is still there: %v", err)
	}
	if info, err := os.Stat(filepath.Join(folder, "seal")); err != nil || time.Since(info.ModTime()) > time.Hour {
		t.Errorf("code that is used again: %v", err)
	}
}

// TestSourceForgotten holds that a module does not keep the file that it was
// made of.
func TestSourceForgotten(t *testing.T) {
	for name, dir := range map[string]string{"without a cache": "", "with a cache": t.TempDir()} {
		e, err := New(Options{CacheDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := testHost(context.Background(), e.runtime); err != nil {
			t.Fatal(err)
		}
		var forgotten atomic.Bool
		m := func() *Module {
			source := append(make([]byte, 0, 1<<20), guest(t, "basic.c")...)
			runtime.AddCleanup(&source[0], func(b *atomic.Bool) { b.Store(true) }, &forgotten)
			return compile(t, e, "basic", source)
		}()
		waitFor(t, "the source to be forgotten, "+name, func() bool {
			runtime.GC()
			return forgotten.Load()
		})
		if len(m.Exports()) == 0 {
			t.Error("no exports")
		}
		m.Close()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A cache that cannot be written to any more costs time, not the guest.
func TestCacheFails(t *testing.T) {
	dir := t.TempDir()
	e, err := New(Options{CacheDir: dir, Hosts: []func(context.Context, wazero.Runtime) error{testHost}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(e.cache.dir); err != nil {
		t.Fatal(err)
	}
	m := compile(t, e, "basic", guest(t, "basic.c"))
	in := instantiate(t, m, Config{})
	if got := call1(t, in, "add", 1, 2); got != 3 {
		t.Errorf("%d", got)
	}
	in.Close()
	m.Close()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	open := t.TempDir()
	folder := filepath.Join(open, fmt.Sprintf("code-%d", rewriteVersion))
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{CacheDir: open}); err == nil || !strings.Contains(err.Error(), "others can write") {
		t.Errorf("a cache that others can write to: %v", err)
	}
}

// TestRefused compiles what cannot be run and looks at what is said.
func TestRefused(t *testing.T) {
	e := openEngine(t, defaultBacking)
	imports := func(list ...string) []byte {
		return bin(sec(1, typeVoid), sec(2, list...))
	}
	f := func(module, name string) string {
		return string(uleb(uint64(len(module)))) + module + string(uleb(uint64(len(name)))) + name + "\x00\x00"
	}
	tests := []struct {
		name   string
		source []byte
		want   []string
	}{
		{"empty", nil, []string{"is it a WebAssembly module"}},
		{"text", []byte("(module)"), []string{"is it a WebAssembly module"}},
		{"component", []byte("\x00asm\x0d\x00\x01\x00"), []string{"component", "wasm32-wasip1"}},
		{"cut off", guest(t, "basic.c")[:500], []string{"malformed"}},
		{"preview 2", imports(f("wasi:io/poll@0.2.0", "poll")), []string{"wasi:io/poll@0.2.0.poll", "preview 1"}},
		{"emscripten", imports(f("env", "emscripten_memcpy_js")), []string{"env.emscripten_memcpy_js", "Emscripten"}},
		{"emscripten invoke", imports(f("env", "invoke_vi")), []string{"Emscripten"}},
		{"assemblyscript", imports(f("env", "abort")), []string{"env.abort", "AssemblyScript"}},
		{"go", imports(f("gojs", "runtime.wasmExit")), []string{"GOOS=wasip1"}},
		{"wbg", imports(f("wbg", "__wbg_x")), []string{"wasm-bindgen"}},
		{"threads", imports(f("wasi", "thread-spawn")), []string{"threads"}},
		{"type", imports(f("test", "twice")), []string{"test.twice as () where it is (i32) -> i32"}},
		{"many", imports(f("x", "a"), f("x", "b"), f("x", "c"), f("x", "d"), f("x", "e"), f("x", "f"), f("x", "g")), []string{"x.a, x.b", "and 2 more"}},
		{"memory", bin(sec(2, "\x03env\x06memory\x02\x00\x01")), []string{"memory env.memory", "program of its own"}},
		{"check", imports(f("hako", "check")), []string{"hako.check"}},
		{"reserved", bin(sec(1, typeVoid), sec(3, "\x00"), sec(7, export("hako:x", 0, 0)), sec(10, fn(none, ""))), []string{"reserved"}},
		{"shared memory", bin(sec(5, "\x03\x01\x02")), []string{"threads"}},
		{"table", bin(sec(4, "\x70\x00\xff\xff\xff\xff\x0f")), []string{"4294967295 elements"}},
		{"tables", bin(sec(4, strings.Split(strings.Repeat("\x70\x00\x80\x80\x04|", 100), "|")[:100]...)), []string{"65536 elements"}},
		{"locals", bin(sec(1, typeVoid), sec(3, "\x00"), sec(10, fn("\x01\xff\xff\xff\xff\x0f\x7f", ""))), []string{"locals"}},
		{"full memory", bin(sec(5, "\x00\x80\x80\x04")), []string{"65535 are possible"}},
		{"memory size", bin(sec(5, "\x00\x80\x80\x08")), []string{"page"}},
		{"types", bin(sec(1, typeVoid), sec(3, "\x00"), sec(10, fn(none, "\x6a"))), []string{"damaged"}},
		{"legacy exceptions", bin(sec(1, typeVoid), sec(3, "\x00"), sec(10, fn(none, "\x06\x40\x0b"))), []string{"--translate-to-exnref"}},
	}
	for _, test := range tests {
		_, err := e.Compile(context.Background(), test.name, test.source)
		var me *ModuleError
		if !errors.Is(err, ErrModule) || !errors.As(err, &me) {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v\n\tdoes not say %q", test.name, err, want)
			}
		}
	}
	if len(e.modules) != 0 {
		t.Errorf("%d refused modules are kept", len(e.modules))
	}
}

// TestImportsByType runs a module whose host function depends on the type that
// it is imported with.
func TestImportsByType(t *testing.T) {
	modules := map[string]api.Module{}
	host := func(name string, params []api.ValueType) func(context.Context, wazero.Runtime) error {
		return func(ctx context.Context, rt wazero.Runtime) error {
			code, err := rt.NewHostModuleBuilder(name).NewFunctionBuilder().
				WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, _ api.Module, s []uint64) { s[0] = uint64(len(params)) }),
					params, []api.ValueType{api.ValueTypeI32}).Export("f").Compile(ctx)
			if err != nil {
				return err
			}
			// Not what rt.Module returns: wazero's resolver takes no wrapper.
			modules[name], err = rt.InstantiateModule(ctx, code, wazero.NewModuleConfig())
			return err
		}
	}
	i32 := api.ValueTypeI32
	e, err := New(Options{
		Hosts: []func(context.Context, wazero.Runtime) error{host("dual", []api.ValueType{i32}), host("dual, two", []api.ValueType{i32, i32})},
		Imports: func(ctx context.Context, _ wazero.Runtime, m wazero.CompiledModule) context.Context {
			if len(m.ImportedFunctions()[0].ParamTypes()) != 2 {
				return ctx
			}
			return experimental.WithImportResolver(ctx, func(name string) api.Module {
				if name == "dual" {
					return modules["dual, two"]
				}
				return nil
			})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for params, code := range map[string]string{"\x60\x01\x7f\x01\x7f": "\x41\x00\x10\x00", "\x60\x02\x7f\x7f\x01\x7f": "\x41\x00\x41\x00\x10\x00"} {
		source := bin(sec(1, params, typeInt), sec(2, "\x04dual\x01f\x00\x00"), sec(3, "\x01"), sec(7, export("f", 0, 1)), sec(10, fn(none, code)))
		m, err := e.Compile(context.Background(), "dual", source)
		if err != nil {
			t.Fatal(err)
		}
		in := instantiate(t, m, Config{})
		if got := call1(t, in, "f"); byte(got) != params[1] {
			t.Errorf("the function of %d parameters is that of %d", params[1], got)
		}
		in.Close()
		m.Close()
	}
	bad := bin(sec(1, typeVoid), sec(2, "\x04dual\x01f\x00\x00"))
	if _, err := e.Compile(context.Background(), "bad", bad); !errors.Is(err, ErrModule) || !strings.Contains(err.Error(), "where it is") {
		t.Errorf("%v", err)
	}
}

// start is a module whose start function has this code.
func start(code string) []byte {
	return bin(sec(1, typeVoid), sec(3, "\x00"), sec(5, "\x00\x01"), sec(7, export("f", 0, 0)), raw(8, "\x00"), sec(10, fn(none, code)),
		sec(11, "\x00\x41\x08\x0b\x04data"))
}

func TestStart(t *testing.T) {
	e := openEngine(t, defaultBacking)
	ctx := context.Background()
	// It runs after the data is there, and changes it.
	m := compile(t, e, "start", start("\x41\x08\x41\x08\x2d\x00\x00\x41\x01\x6a\x3a\x00\x00"))
	in := instantiate(t, m, Config{})
	if b, _ := in.Memory().Read(8, 4); string(b) != "eata" {
		t.Errorf("memory is %q", b)
	}
	// It does not run again in a fork.
	f := fork(t, freeze(t, in, TemplateConfig{}), Config{})
	if b, _ := f.Memory().Read(8, 4); string(b) != "eata" {
		t.Errorf("a fork's memory is %q", b)
	}
	if in.HasFunction("hako:start") {
		t.Error("the start function is exported")
	}

	spins := compile(t, e, "spins", start("\x03\x40\x0c\x00\x0b"))
	within(t, time.Minute, "a start function that spins", func() {
		_, err := spins.Instantiate(ctx, Config{Limits: Limits{CPU: 20 * time.Millisecond}})
		wantLimit(t, err, wasi.LimitCPU)
	})
	var trap *TrapError
	if _, err := compile(t, e, "traps", start("\x00")).Instantiate(ctx, Config{}); !errors.As(err, &trap) || trap.Kind != TrapUnreachable {
		t.Errorf("%v", err)
	}
	outside := bin(sec(5, "\x00\x01"), sec(11, "\x00\x41\xfe\xff\x03\x0b\x04data"))
	if _, err := compile(t, e, "data", outside).Instantiate(ctx, Config{}); !errors.As(err, &trap) || trap.Kind != TrapOutOfBounds {
		t.Errorf("%v", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.instances != 2 { // in and the template, which counts for f
		t.Errorf("%d instances are open", e.instances)
	}
}
