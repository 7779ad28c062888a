package engine

import (
	"context"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
)

// TestCodeMapped: code that comes from the cache is mapped from its file, as
// long as a module has it.
func TestCodeMapped(t *testing.T) {
	if os.Getenv("HAKO_GUARD_PAGES") != "on" {
		t.Skip("built without the patched wazero")
	}
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
			if !mapped() {
				t.Error("the code is not mapped from the cache's file")
			}
		}()
	}
	waitFor(t, "the code of closed modules to be unmapped", func() bool {
		runtime.GC() // wazero unmaps it in a finalizer
		return !mapped()
	})
}
