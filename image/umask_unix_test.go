//go:build unix

package image

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// The umask decides neither on digests nor on what is unpacked.
func TestUmask(t *testing.T) {
	digests := map[string]bool{}
	for _, mask := range []int{0, 0o022, 0o077, 0o177} {
		dir := smallContext(t)
		s := newStore(t)
		old := syscall.Umask(mask &^ 0o100) // or no folder could be entered
		b := build(t, s, dir, "x")
		root := rootDir(t, s, "x")
		syscall.Umask(old)
		digests[b.Digest] = true
		for name, want := range map[string]os.FileMode{".": 0o755 | os.ModeDir, "srv": 0o755 | os.ModeDir, "srv/index.html": 0o444} {
			info, err := os.Stat(filepath.Join(root, name))
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode() != want {
				t.Errorf("with the umask %o %s has %v", mask, name, info.Mode())
			}
		}
	}
	if len(digests) != 1 {
		t.Errorf("got %v", digests)
	}
}

func rootDir(t testing.TB, s *Store, name string) string {
	t.Helper()
	img, err := s.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	dir, err := img.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
