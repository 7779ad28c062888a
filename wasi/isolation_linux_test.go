package wasi_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hako-run/hako/wasi"
)

// fingerprint is all that there is to say of a tree, but for times of access.
func fingerprint(t testing.TB, root string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprint(&b, path, info.Mode(), info.ModTime().UnixNano(), info.Sys().(*syscall.Stat_t).Nlink)
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%x", sha256.Sum256(data))
		}
		b.WriteByte('\n')
		return nil
	}))
	return b.String()
}

func TestEscape(t *testing.T) {
	walks(t, func(t *testing.T) {
		root := t.TempDir()
		in := func(parts ...string) string { return filepath.Join(append([]string{root}, parts...)...) }
		for _, d := range []string{"outside", "work/a/b", "other", "fixed"} {
			must(t, os.MkdirAll(in(d), 0o777))
		}
		for _, f := range []string{"outside/secret", "work/file", "fixed/file"} {
			must(t, os.WriteFile(in(f), []byte(f), 0o666))
		}
		for name, target := range map[string]string{
			"dirlink": "../outside", "slashlink": "../outside/", "absolute": in("outside/secret"), "relative": "../outside/secret",
			"chain": "relative", "a/up": "../..", "procroot": "/proc/self/root", "a/b/far": "../../../outside/secret",
			"dotdot": "..", "fifolink": "fifo",
		} {
			must(t, os.Symlink(target, in("work", name)))
		}
		must(t, syscall.Mkfifo(in("work/fifo"), 0o666))
		must(t, syscall.Mknod(in("work/socket"), syscall.S_IFSOCK|0o666, 0))
		device := "44, to write: 44"
		if syscall.Mknod(in("work/device"), syscall.S_IFCHR|0o666, 1<<8|3) == nil {
			device = "60, to write: 60"
		}
		before := fingerprint(t, in("outside")) + fingerprint(t, in("fixed")) + fingerprint(t, in("other"))
		out, code := run(t, guest(t, "escape"), wasi.Config{Grants: dirs(t,
			wasi.DirGrant{Host: in("work"), Guest: "/box"},
			wasi.DirGrant{Host: in("other"), Guest: "/other"},
			wasi.DirGrant{Host: in("fixed"), Guest: "/fixed", ReadOnly: true},
		)})
		want := `in a file: 54
above a subdirectory: 63
rename to another grant: 75
link to another grant: 75
rename to a read-only one: 69
rename from a read-only one: 69
link from a read-only one: 69
fifo: 60, to write: 60
socket: 60, to write: 60
fifolink: 60, to write: 60
device: ` + device + `
a second name for a pipe: 63
a right given up: 76
and taken back: 76
writing under it: 76
failures: 0
`
		if code != 0 {
			t.Errorf("exit code %d", code)
		}
		sameLines(t, out, want, nil)
		if after := fingerprint(t, in("outside")) + fingerprint(t, in("fixed")) + fingerprint(t, in("other")); after != before {
			t.Errorf("outside was\n%s\nand is\n%s", before, after)
		}
	})
}

func TestReadOnly(t *testing.T) {
	m := guest(t, "readonly")
	setup := func(t *testing.T) (fixed, work string) {
		fixed, work = t.TempDir(), t.TempDir()
		must(t, os.MkdirAll(filepath.Join(fixed, "d"), 0o777))
		must(t, os.MkdirAll(filepath.Join(fixed, "up"), 0o777))
		must(t, os.WriteFile(filepath.Join(fixed, "file"), []byte("text"), 0o666))
		must(t, os.WriteFile(filepath.Join(fixed, "d/inner"), []byte("text"), 0o666))
		must(t, os.Symlink("file", filepath.Join(fixed, "link")))
		must(t, os.WriteFile(filepath.Join(work, "mine"), []byte("text"), 0o666))
		return fixed, work
	}
	want := `file: "text"
d/inner: "text"
open("file", O_WRONLY): EROFS
open("file", O_RDWR): EROFS
open("file", O_RDONLY | O_TRUNC): EROFS
open("file", O_WRONLY | O_APPEND): EROFS
open("new", O_WRONLY | O_CREAT, 0666): EROFS
open("new", O_RDONLY | O_CREAT, 0666): EROFS
open("none/new", O_WRONLY | O_CREAT, 0666): ENOENT
open("file", O_RDONLY | O_CREAT, 0666): ok
open("file", O_RDONLY | O_CREAT | O_EXCL, 0666): EEXIST
open("none", O_WRONLY): ENOENT
open("link", O_WRONLY): EROFS
open("d", O_WRONLY): EISDIR
mkdir("new", 0777): EROFS
rmdir("d"): EROFS
unlink("file"): EROFS
rename("file", "new"): EROFS
rename("file", "/box/new"): EROFS
rename("/box/mine", "new"): EROFS
link("file", "new"): EROFS
link("file", "/box/new"): EROFS
link("/box/mine", "new"): EROFS
symlink("file", "new"): EROFS
utimensat(AT_FDCWD, "file", 0, 0): EROFS
utimensat(AT_FDCWD, "link", 0, AT_SYMLINK_NOFOLLOW): EROFS
write(fd, "x", 1): EBADF
ftruncate(fd, 0): EINVAL
futimens(fd, 0): EROFS
posix_fallocate(fd, 0, 100) != 0: 1
fsync(fd): 0
openat(dir, "inner", O_WRONLY): EROFS
openat(dir, "new", O_WRONLY | O_CREAT, 0666): EROFS
mkdirat(dir, "new", 0777): EROFS
unlinkat(dir, "inner", 0): EROFS
renameat(dir, "inner", dir, "other"): EROFS
futimens(dir, 0): EROFS
/fixed/up/new: "mine"
/fixed/up/../file: EPERM
`
	t.Run("directory", func(t *testing.T) {
		fixed, work := setup(t)
		before := fingerprint(t, filepath.Join(fixed, "d"))
		out, code := run(t, m, wasi.Config{Grants: dirs(t,
			wasi.DirGrant{Host: fixed, Guest: "/fixed", ReadOnly: true},
			wasi.DirGrant{Host: work, Guest: "/box"},
			wasi.DirGrant{Host: filepath.Join(fixed, "up"), Guest: "/fixed/up"},
		)})
		if code != 0 {
			t.Errorf("exit code %d", code)
		}
		sameLines(t, out, want, nil)
		if after := fingerprint(t, filepath.Join(fixed, "d")); after != before {
			t.Errorf("the directory was\n%s\nand is\n%s", before, after)
		}
	})
	t.Run("fs.FS", func(t *testing.T) {
		fixed, work := setup(t)
		out, code := run(t, m, wasi.Config{Grants: grants(t, wasi.GrantConfig{
			Dirs: []wasi.DirGrant{
				{Host: work, Guest: "/box"},
				{Host: filepath.Join(fixed, "up"), Guest: "/fixed/up"},
			},
			Mounts: []wasi.Mount{{Dir: wasi.FSDir(os.DirFS(fixed)), Guest: "/fixed"}},
		})})
		if code != 0 {
			t.Errorf("exit code %d", code)
		}
		sameLines(t, out, want, nil)
	})
	t.Run("memory", func(t *testing.T) {
		_, work := setup(t)
		memory := wasi.NewMemoryFS(1 << 20)
		for _, f := range []string{"file", "d/inner", "up/x"} {
			must(t, memory.WriteFile(f, []byte("text")))
		}
		must(t, memory.Root().Symlink("file", "link"))
		up := t.TempDir()
		out, code := run(t, m, wasi.Config{Grants: grants(t, wasi.GrantConfig{
			Dirs:   []wasi.DirGrant{{Host: work, Guest: "/box"}, {Host: up, Guest: "/fixed/up"}},
			Mounts: []wasi.Mount{{Dir: memory.Root(), Guest: "/fixed", ReadOnly: true}},
		})})
		if code != 0 {
			t.Errorf("exit code %d", code)
		}
		sameLines(t, out, want, nil)
	})
}

// The host swaps a directory and a link that leads out while guests use it.
func TestRaceWithHost(t *testing.T) {
	often := 200
	if testing.Short() {
		often = 50
	}
	m := guest(t, "race", "-Wno-unused-result")
	walks(t, func(t *testing.T) {
		root := t.TempDir()
		in := func(name string) string { return filepath.Join(root, name) }
		must(t, os.MkdirAll(in("work/x"), 0o777))
		must(t, os.MkdirAll(in("outside"), 0o777))
		must(t, os.WriteFile(in("work/x/secret"), []byte("inside"), 0o666))
		must(t, os.WriteFile(in("outside/secret"), []byte("of the host"), 0o666))
		must(t, os.Symlink("../outside", in("work/link")))
		before := fingerprint(t, in("outside"))
		var stop atomic.Bool
		swapped := make(chan error, 1)
		swaps := 0
		go func() {
			for !stop.Load() {
				if err := unix.Renameat2(unix.AT_FDCWD, in("work/x"), unix.AT_FDCWD, in("work/link"), unix.RENAME_EXCHANGE); err != nil {
					swapped <- err
					return
				}
				swaps++
			}
			swapped <- nil
		}()
		out, code := run(t, m, wasi.Config{
			Args:   []string{"race", fmt.Sprint(often)},
			Grants: dirs(t, wasi.DirGrant{Host: in("work"), Guest: "/box"}),
		})
		stop.Store(true)
		must(t, <-swapped)
		t.Logf("%d swaps: %s", swaps, out)
		if code != 0 {
			t.Errorf("exit code %d: %s", code, out)
		}
		if after := fingerprint(t, in("outside")); after != before {
			t.Errorf("outside was\n%s\nand is\n%s", before, after)
		}
	})
}

// A guest gets no more descriptors than it may have, and they all close.
func TestOpenFilesLimit(t *testing.T) {
	s := newSystem(t, wasi.Config{
		Args:      []string{"manyfiles", "/box"},
		OpenFiles: 20,
		Grants:    dirs(t, wasi.DirGrant{Host: t.TempDir(), Guest: "/box"}),
	})
	open := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		return len(fds)
	}
	before := open()
	code, err := start(context.Background(), t, guest(t, "manyfiles"), s)
	if err != nil || code != 0 {
		t.Fatalf("code %d, %v", code, err)
	}
	if n := s.OpenFiles(); n != 20 {
		t.Errorf("the guest ended with %d descriptors, want 20", n)
	}
	if n := open() - before; n < 15 {
		t.Errorf("only %d descriptors more than before: the test does not see them", n)
	}
	must(t, s.Close())
	if n := open() - before; n > 2 {
		t.Errorf("%d descriptors are left over", n)
	}
}
