package wasi_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/hako-run/hako/internal/guestbuild"
	"github.com/hako-run/hako/wasi"
)

// host is one runtime for all tests; modules are compiled once.
var host struct {
	once    sync.Once
	err     error
	runtime wazero.Runtime

	mu      sync.Mutex
	modules map[string]wazero.CompiledModule
}

func runtime(t testing.TB) wazero.Runtime {
	t.Helper()
	host.once.Do(func() {
		ctx := context.Background()
		// What wazero makes of modules is kept, as the race detector makes
		// that slow.
		dir := os.Getenv("HAKO_CACHE")
		if home, err := os.UserCacheDir(); dir == "" && err == nil {
			dir = filepath.Join(home, "hako")
		}
		var cache wazero.CompilationCache
		if cache, host.err = wazero.NewCompilationCacheWithDir(filepath.Join(dir, "wasi-tests")); host.err != nil {
			return
		}
		host.runtime = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCompilationCache(cache))
		host.modules = map[string]wazero.CompiledModule{}
		host.err = wasi.Instantiate(ctx, host.runtime)
	})
	if host.err != nil {
		t.Fatal(host.err)
	}
	return host.runtime
}

func compile(t testing.TB, path string) wazero.CompiledModule {
	t.Helper()
	r := runtime(t)
	host.mu.Lock()
	defer host.mu.Unlock()
	if m := host.modules[path]; m != nil {
		return m
	}
	binary, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.CompileModule(context.Background(), binary)
	if err != nil {
		t.Fatalf("compile %s: %v", path, err)
	}
	host.modules[path] = m
	return m
}

// guest compiles a program of testdata.
func guest(t testing.TB, name string, flags ...string) wazero.CompiledModule {
	t.Helper()
	source := filepath.Join("testdata", name+".c")
	args := append([]string{"-O1", "-Wall", "-Werror", source}, flags...)
	return compile(t, guestbuild.C(t, args, "testdata/check.h", "testdata/wasmedge.h"))
}

var anonymous = wazero.NewModuleConfig().WithName("")

// start runs a command to its end and returns its exit code.
func start(ctx context.Context, t testing.TB, m wazero.CompiledModule, s *wasi.System) (uint32, error) {
	t.Helper()
	ctx = wasi.WithImports(wasi.NewContext(ctx, s), runtime(t), m)
	_, err := runtime(t).InstantiateModule(ctx, m, anonymous)
	var exit *wasi.ExitError
	if errors.As(err, &exit) {
		return exit.Code, nil
	}
	return 0, err
}

// run runs a command with a System of its own and returns what it wrote.
func run(t testing.TB, m wazero.CompiledModule, c wasi.Config) (stdout string, code uint32) {
	t.Helper()
	var out, errOut bytes.Buffer
	c.Stdout = io.MultiWriter(&out, io.Discard)
	if c.Stderr == nil {
		c.Stderr = &errOut
	}
	s := newSystem(t, c)
	code, err := start(context.Background(), t, m, s)
	if err != nil {
		t.Fatalf("%v\n%s%s", err, &out, &errOut)
	}
	return out.String(), code
}

func newSystem(t testing.TB, c wasi.Config) *wasi.System {
	t.Helper()
	s, err := wasi.NewSystem(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close system: %v", err)
		}
	})
	return s
}

func grants(t testing.TB, c wasi.GrantConfig) *wasi.Grants {
	t.Helper()
	g, err := wasi.OpenGrants(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Errorf("close grants: %v", err)
		}
	})
	return g
}

// dirs grants directories of the host.
func dirs(t testing.TB, dirs ...wasi.DirGrant) *wasi.Grants {
	t.Helper()
	return grants(t, wasi.GrantConfig{Dirs: dirs})
}

// native runs a program of testdata as the host's C compiler makes it.
func native(t testing.TB, name string, arg string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("gcc", "-D_GNU_SOURCE", "-O1", "-w", "-o", program, filepath.Join("testdata", name+".c")).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	out, err := exec.Command(program, arg).CombinedOutput()
	if err != nil {
		t.Fatalf("%s on the host: %v\n%s", name, err, out)
	}
	return string(out)
}

// sameLines compares what a guest printed with what the host's program did;
// allowed has the lines that may differ, by their beginning.
func sameLines(t *testing.T, guest, host string, allowed map[string]string) {
	t.Helper()
	a, b := strings.Split(guest, "\n"), strings.Split(host, "\n")
	for i := range max(len(a), len(b)) {
		var g, h string
		if i < len(a) {
			g = a[i]
		}
		if i < len(b) {
			h = b[i]
		}
		if g == h {
			continue
		}
		what, _, _ := strings.Cut(g, ": ")
		if want, ok := allowed[what]; ok && g == what+": "+want {
			continue
		}
		t.Errorf("line %d: the guest has %q, want %q", i+1, g, h)
	}
}

// walks runs a test with either way of walking directories.
func walks(t *testing.T, test func(t *testing.T)) {
	t.Run("openat2", test)
	t.Run("os.Root", func(t *testing.T) {
		wasi.UseOpenat2(false)
		defer wasi.UseOpenat2(true)
		test(t)
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
