package engine

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/tetratelabs/wazero"
)

// TestCodeMapped: code that comes from the cache is mapped from its file, as
// long as a module has it, if this is built with a wazero that does so, and
// read otherwise. HAKO_GUARD_PAGES=on says that it is.
func TestCodeMapped(t *testing.T) {
	source := guest(t, "basic.c")
	dir := t.TempDir()
	mapped := func() bool {
		maps, err := os.ReadFile("/proc/self/maps")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(maps)) {
			if strings.Contains(line, dir) && strings.Contains(line, "r-xp") {
				return true
			}
		}
		return false
	}
	for range 2 { // the second finds it in the cache
		func() {
			e, err := New(Options{CacheDir: dir, Hosts: []func(context.Context, wazero.Runtime) error{testHost}})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			m, err := e.Compile(t.Context(), "basic", source)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			made, _ := filepath.Glob(filepath.Join(dir, "code-*", "*", "wazero-*"))
			if len(made) == 0 {
				t.Fatal("the cache is empty")
			}
			patched := strings.Contains(filepath.Base(made[0]), "+mapped")
			if !patched && os.Getenv("HAKO_GUARD_PAGES") == "on" {
				t.Error("built without the patches of wazero")
			}
			if mapped() != patched {
				t.Errorf("patched: %v; the code is mapped from the cache's file: %v", patched, mapped())
			}
		}()
	}
	waitFor(t, "the code of closed modules to be unmapped", func() bool {
		runtime.GC() // wazero unmaps it in a finalizer
		return !mapped()
	})
}

// TestCodeDropped: code that starting up has run is in memory no more when an
// instance is frozen, if it is mapped from a file; and forks run it again.
func TestCodeDropped(t *testing.T) {
	dir := t.TempDir()
	e, err := New(Options{CacheDir: dir, Hosts: []func(context.Context, wazero.Runtime) error{testHost}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	in := instantiate(t, compile(t, e, "basic", guest(t, "basic.c")), Config{})
	code := findCode(in.body.mod)
	if code == nil {
		t.Fatal("wazero keeps its code in another way than inside.go knows")
	}
	resident := func() (n int) {
		f, err := os.Open("/proc/self/pagemap")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		b := make([]byte, 8*((len(code)+4095)/4096))
		if _, err := f.ReadAt(b, int64(uintptr(unsafe.Pointer(&code[0]))/4096*8)); err != nil {
			t.Fatal(err)
		}
		for ; len(b) > 0; b = b[8:] {
			n += int(binary.NativeEndian.Uint64(b) >> 63) // present
		}
		return n
	}
	call1(t, in, "add", 1, 2)
	if resident() == 0 {
		t.Fatal("code runs that is not in memory")
	}
	mapped := mappedFile(code)
	if !mapped && os.Getenv("HAKO_GUARD_PAGES") == "on" {
		t.Error("the code is not mapped from the cache's file")
	}
	tmpl := freeze(t, in, TemplateConfig{})
	if n := resident(); mapped && n != 0 || !mapped && n == 0 {
		t.Errorf("mapped from a file: %v; %d pages are in memory", mapped, n)
	}
	if got := call1(t, fork(t, tmpl, Config{}), "add", 1, 2); got != 3 {
		t.Errorf("%d", got)
	}
}
