package engine

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

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
