package guestbuild

import (
	"os"
	"path/filepath"
)

// Compiled returns the folder in the cache where engines of tests keep what
// they have compiled, so that a module is compiled once for a machine.
func Compiled(t TB) string {
	t.Helper()
	base, err := base()
	if err != nil {
		t.Fatalf("find the cache: %v", err)
	}
	dir := filepath.Join(base, "compiled")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatalf("make the folder for compiled modules: %v", err)
	}
	return dir
}

// ShareCompiled lets a server whose data is in folder data keep compiled
// modules in [Compiled].
func ShareCompiled(t TB, data string) {
	t.Helper()
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatalf("make %s: %v", data, err)
	}
	if err := os.Symlink(Compiled(t), filepath.Join(data, "compiled")); err != nil {
		t.Fatalf("share compiled modules: %v", err)
	}
}
