//go:build unix

package app

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The folder of sockets may lie where others can make one first.
func TestRegistryFolderOfOthers(t *testing.T) {
	dir := t.TempDir()
	elsewhere := filepath.Join(dir, "elsewhere")
	if err := os.Mkdir(elsewhere, 0o755); err != nil {
		t.Fatal(err)
	}
	r := &Registry{dir: filepath.Join(dir, "run")}
	if err := os.Symlink(elsewhere, r.dir); err != nil {
		t.Fatal(err)
	}
	refused := func() {
		t.Helper()
		if reg, err := r.Register("x", nil); err == nil || !strings.Contains(err.Error(), "directory of this user") {
			t.Errorf("registered: %v, %v", reg, err)
		}
		if _, err := r.List(); err == nil || !strings.Contains(err.Error(), "directory of this user") {
			t.Errorf("listed: %v", err)
		}
		if _, err := r.Find("x"); err == nil {
			t.Error("found")
		}
	}
	refused()
	if info, err := os.Stat(elsewhere); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("what the link leads to has the mode %v, %v", info.Mode(), err)
	}
	if err := os.Remove(r.dir); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 { // who else can give a folder away
		if err := os.Mkdir(r.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(r.dir, 1234, 1234); err != nil {
			t.Fatal(err)
		}
		refused()
		if err := os.Remove(r.dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(r.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(r.dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := r.List(); err == nil || !strings.Contains(err.Error(), "chmod it to 700") {
		t.Errorf("listed what others can write to: %v", err)
	}
	if reg, err := r.Register("x", nil); err != nil {
		t.Error(err)
	} else {
		reg.Close()
	}
	if info, err := os.Stat(r.dir); err != nil || info.Mode() != fs.ModeDir|0o700 {
		t.Errorf("the folder has the mode %v, %v", info.Mode(), err)
	}
}
