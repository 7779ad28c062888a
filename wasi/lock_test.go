//go:build linux || darwin

package wasi_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hako-run/hako/wasi"
)

func TestFileLocks(t *testing.T) {
	m := guest(t, "lock")
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	if err := os.WriteFile(name, []byte("0"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := func(args ...string) wasi.Config {
		return wasi.Config{Args: append([]string{"lock"}, args...), Tmp: []wasi.Tmp{{Guest: "/tmp", Size: 1 << 20}}, Grants: grants(t, wasi.GrantConfig{
			Dirs: []wasi.DirGrant{{Host: dir, Guest: "/d"}, {Host: dir, Guest: "/fixed", ReadOnly: true}},
		})}
	}
	check := func(want string, args ...string) {
		t.Helper()
		if out, code := run(t, m, config(args...)); out != want || code != 0 {
			t.Errorf("%q: %q, exit code %d; want %q", args, out, code, want)
		}
	}
	const free, held = "Success Success Success\n", "Resource temporarily unavailable Resource temporarily unavailable Success\n"
	check(free, "try", "/d/file")
	check("1 1 1\n", "wrong", "/d/file")

	// Guests and the host lock each other out, but not through a grant that
	// is read-only.
	other, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	lock := func(how int) {
		t.Helper()
		if err := unix.Flock(int(other.Fd()), how); err != nil {
			t.Fatal(err)
		}
	}
	lock(unix.LOCK_EX)
	check(held, "try", "/d/file")
	check(free, "try", "/fixed/file")
	lock(unix.LOCK_SH)
	check("Resource temporarily unavailable Success Success\n", "try", "/d/file")
	time.AfterFunc(10*time.Millisecond, func() { lock(unix.LOCK_UN) })
	check("0 0\n", "wait", "/d/file")

	// One that waits ends with its context.
	lock(unix.LOCK_EX)
	stop := errors.New("on purpose")
	ctx, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(10*time.Millisecond, func() { cancel(stop) })
	s := newSystem(t, config("wait", "/d/file"))
	if _, err := start(ctx, t, m, s); !errors.Is(err, stop) {
		t.Errorf("a guest that waited: %v", err)
	}
	lock(unix.LOCK_UN)

	var wg sync.WaitGroup
	for range 4 {
		s := newSystem(t, config("count", "/d/file"))
		wg.Go(func() {
			if code, err := start(context.Background(), t, m, s); code != 0 || err != nil {
				t.Errorf("exit code %d, %v", code, err)
			}
		})
	}
	wg.Wait()
	if b, err := os.ReadFile(name); err != nil || strings.TrimSpace(string(b)) != "800" {
		t.Errorf("counted %s, %v", b, err)
	}
}
