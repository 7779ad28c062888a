package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hako-run/hako/internal/guestbuild"
)

func guestFile(t *testing.T) string {
	t.Helper()
	return guestbuild.C(t, []string{"-O1", "testdata/guest.c"})
}

// runs a guest and compares its exit code and output.
func (h *harness) runs(code int, want string, args ...string) {
	h.t.Helper()
	got, out, errs := h.run("a line\n", append([]string{"run"}, args...)...)
	if got != code || out != want {
		h.t.Errorf("run %v: exit code %d, not %d, and\n%s\nwant\n%s\n%s", args, got, code, out, want, errs)
	}
}

func TestRunFile(t *testing.T) {
	h, guest := newHarness(t), guestFile(t)
	t.Setenv("HAKO_TEST_SECRET", "secret")
	name := filepath.Base(guest)
	h.runs(0, "["+name+"][args][-x][--name][y z]\n", guest, "args", "-x", "--name", "y z")
	h.runs(7, "", guest, "exit", "7")
	h.runs(0, "", guest, "env")
	h.runs(0, "A=1\nHAKO_TEST_SECRET=secret\n", "-e", "A=0", "-e", "HAKO_TEST_SECRET", "-e", "HAKO_NOT_THERE", "-e", "A=1", guest, "env")
	file := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(file, []byte("# comment\nB=x y\n\nA=2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.runs(0, "B=x y\nA=3\n", "--env-file", file, "-e", "A=3", guest, "env")
	for text, want := range map[string]string{
		"\ufeffB=1\r\n  C=2": "",
		"export B=1":         "line 1: the name \"export B\" has a space in it",
		"B=1\nC =2":          "line 2: the name \"C \" has a space in it",
		"B=\x00":             "zero byte",
		"B=1\nC=" + strings.Repeat("x", maxEnvLine): "line 2 has more than",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if want == "" {
			h.runs(0, "B=1\nC=2\n", "--env-file", file, guest, "env")
		} else {
			h.fails(exitUsage, want, "run", "--env-file", file, guest, "env")
		}
	}
	h.runs(0, "", guest, "cat")
	h.runs(0, "got a line\n", "-i", guest, "cat")
	h.runs(0, "000\n", "-i", guest, "tty")
	if code, out, errs := h.run("", "run", guest, "say", "to stderr"); code != 0 || out != "" || errs != "to stderr\n" {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
}

func TestRunGrants(t *testing.T) {
	h, guest := newHarness(t), guestFile(t)
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("granted/a", "of a")
	write("secret", "secret")
	if err := os.Symlink("../secret", filepath.Join(dir, "granted/link")); err != nil {
		t.Fatal(err)
	}
	const none = "No such file or directory\n"
	h.runs(0, "/etc/passwd: "+none, guest, "show", "/etc/passwd")
	grant := filepath.Join(dir, "granted")
	h.runs(0, "/g/a: of a\n/g/b: written\n/g/b: changed\n", "--dir", grant+":/g", guest, "show", "/g/a", "change", "/g/b", "show", "/g/b")
	h.runs(0, "/g/a: of a\n/g/a: Read-only file system\n/g/c: Read-only file system\n", "-v", grant+":/g:ro", guest, "show", "/g/a", "change", "/g/a", "change", "/g/c")
	for _, path := range []string{"/g/link", "/g/../secret", "/g/../../../../../../../../etc/passwd"} {
		if code, out, _ := h.run("", "run", "--dir", grant+":/g", guest, "show", path); code != 0 || strings.Contains(out, "secret\n") || strings.Contains(out, "root:") {
			t.Errorf("%s came out of its directory: %s", path, out)
		}
	}
	h.runs(0, "/t/x: written\n/t/x: changed\n", "--tmpfs", "/t:1m", guest, "change", "/t/x", "show", "/t/x")
	h.runs(0, "/t/x: "+none, "--tmpfs", "/t", guest, "show", "/t/x")
	h.fails(exitNotStarted, "no such file", "run", "--dir", dir+"/none:/g", guest)
}

func TestRunLimits(t *testing.T) {
	h, guest := newHarness(t), guestFile(t)
	for _, c := range []struct {
		code int
		text string
		args []string
	}{
		{124, "wall limit of 50ms", []string{"--timeout", "50ms", guest, "spin"}},
		{124, "wall limit of 50ms", []string{"--timeout", "50ms", guest, "sleep"}},
		{124, "cpu limit of 50ms", []string{"--cpu-time", "50ms", guest, "spin"}},
		{134, "unreachable", []string{guest, "trap"}},
		{134, "in recurse", []string{guest, "recurse"}},
		{137, "output limit of 1KiB", []string{"--output-limit", "1k", guest, "flood"}},
	} {
		code, _, errs := h.run("", append([]string{"run"}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.text) {
			t.Errorf("%v: exit code %d, not %d\n%s\nlacks %q", c.args, code, c.code, errs, c.text)
		}
	}
	h.runs(0, "none left\n", "--memory", "2m", guest, "grow", "3000000")
	h.runs(0, "grown\n", "--memory", "8m", guest, "grow", "3000000")
}

func TestRunMistakes(t *testing.T) {
	h, guest := newHarness(t), guestFile(t)
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.wasm")
	b, err := os.ReadFile(guest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(broken, b[:len(b)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(dir, "text.wasm")
	if err := os.WriteFile(text, []byte("#!/bin/sh\necho hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.fails(exitUsage, "needs a", "run")
	h.fails(exitUsage, "did you mean --dir", "run", "--dirr", "x", guest)
	h.fails(exitUsage, "not absolute", "run", "--dir", "x:y", guest)
	h.fails(exitUsage, "8080:80", "run", "-p", "x", guest)
	h.fails(exitUsage, "no size", "run", "--memory", "x", guest)
	h.fails(exitUsage, "NAME=VALUE", "run", "-e", "=x", guest)
	h.fails(exitUsage, "--raw needs -it", "run", "--raw", guest)
	h.fails(exitUsage, "no terminal", "run", "-it", guest)
	h.fails(exitUsage, "missing, always or never", "run", "--pull", "x", guest)
	h.fails(exitUsage, "--entrypoint is for images", "run", "--entrypoint", "x", guest)
	h.fails(exitNotStarted, "no such file", "run", filepath.Join(dir, "none.wasm"))
	h.fails(exitNotStarted, "no such file", "run", "./none")
	h.fails(exitNotStarted, "`hako build -t NAME "+dir+"` makes an image", "run", dir)
	h.fails(exitNotStarted, "published twice", "run", "-p", "0:80", "-p", "0:80", guest)
	h.fails(exitNotStarted, "limited to 2 open files", "run", "--files", "2", guest)
	h.fails(exitUsage, `guest's path "rel" is not absolute`, "run", "--db", "shop:rel", guest)
	h.fails(137, "sets this limit by --memory", "run", "--memory", "64k", guest)
	h.fails(exitNotStarted, "broken.wasm", "run", broken)
	h.fails(exitNotStarted, "text.wasm", "run", text)
	h.fails(exitNotStarted, "no function _start", "run", guestbuild.C(t, []string{"-O1", "-mexec-model=reactor", "-I../../guest/c", "../../app/worker/testdata/hello.c"}))
	h.fails(exitNotStarted, "there are no databases", "run", "--db", "shop", guest)
	h.fails(exitNotStarted, "unknown image", "run", "--pull", "never", "none")
	h.fails(exitUsage, "process name", "run", "--name", "a/b", guest)
	h.ok("db", "create", "shop")
	h.fails(exitNotStarted, `did you mean "shop"`, "run", "--db", "shp", guest)
	h.fails(exitNotStarted, "shop", "run", "--db", "shop@7", guest)
}

// A guest that runs is seen by others, which run guests beside it and end it.
func TestRunExecStop(t *testing.T) {
	h, guest := newHarness(t), guestFile(t)
	dir := t.TempDir()
	done := make(chan int)
	go func() {
		code, _, _ := h.run("", "run", "--name", "sleeper", "-e", "A=1", "--dir", dir+":/g", "-p", "0:80", guest, "sleep")
		done <- code
	}()
	deadline := time.Now().Add(30 * time.Second)
	for h.ok("ps", "-q") == "" {
		if time.Now().After(deadline) {
			t.Fatal("the guest does not show up")
		}
		time.Sleep(5 * time.Millisecond)
	}
	list := h.ok("ps")
	if !regexp.MustCompile(`(?m)^[0-9a-f]{12}  sleeper  .*127\.0\.0\.1:\d+->80/tcp`).MatchString(list) {
		t.Errorf("listed\n%s", list)
	}
	h.fails(exitNotStarted, "name is taken", "run", "--name", "sleeper", guest)
	if code, out, errs := h.run("", "exec", "-e", "A=2", "-e", "B=2", "sleeper", "env", "change", "/g/x", "say", "error", "exit", "9"); code != 9 || out != "A=2\nLISTEN_FDS=1\nB=2\n/g/x: written\n" && out != "A=2\nB=2\n/g/x: written\n" || errs != "error\n" {
		t.Errorf("exec: %d, %q, %q", code, out, errs)
	}
	if code, out, _ := h.run("in\n", "exec", "-i", "sleeper", "cat"); code != 0 || out != "got in\n" {
		t.Errorf("exec -i: %d, %q", code, out)
	}
	if code, _, errs := h.run("", "exec", "sleeper", "trap"); code != 134 || !strings.Contains(errs, "unreachable") {
		t.Errorf("exec of what traps: %d, %q", code, errs)
	}
	if out := h.ok("stop", strings.TrimSpace(h.ok("ps", "-q"))[:6]); out == "" {
		t.Error("stop said nothing")
	}
	if code := <-done; code != 143 {
		t.Errorf("the stopped guest's exit code is %d", code)
	}
	if out := h.ok("ps", "-q"); out != "" {
		t.Errorf("still listed: %s", out)
	}
	h.fails(exitFailed, "no such process", "stop", "sleeper")
	h.fails(exitNotStarted, "no such process", "exec", "sleeper")
}

// An interrupted guest ends as one that a signal ended.
func TestRunInterrupted(t *testing.T) {
	h, guest := newHarness(t), guestFile(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	a := newApp(Streams{strings.NewReader(""), &strings.Builder{}, &strings.Builder{}})
	time.AfterFunc(300*time.Millisecond, func() { cancel(signalError{os.Interrupt}) })
	if code := a.run(ctx, []string{"--data", h.data, "run", guest, "spin"}); code != 130 {
		t.Errorf("exit code %d", code)
	}
}

func TestRunImage(t *testing.T) {
	h, guest := newHarness(t), guestFile(t)
	dir := t.TempDir()
	b, err := os.ReadFile(guest)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"app.wasm": string(b), "data/hello": "of the image",
		"Dockerfile": "FROM scratch\nCOPY app.wasm /bin/app.wasm\nCOPY app.wasm /bin/other.wasm\nCOPY data /srv\nENV FROM=image MODE=a\nWORKDIR /srv\nENTRYPOINT [\"/bin/app.wasm\"]\nCMD [\"show\", \"/srv/hello\"]\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h.run("", "build", "-t", "app:1", dir)
	h.runs(0, "/srv/hello: of the image\n", "app:1")
	h.runs(0, "PWD=/srv\nFROM=image\nMODE=b\n", "-e", "MODE=b", "app:1", "env")
	h.runs(0, "/srv/hello: Read-only file system\n/tmp/x: written\n", "app:1", "change", "/srv/hello", "change", "/tmp/x")
	h.runs(0, "[/bin/other.wasm][args]\n", "--entrypoint", "/bin/other.wasm", "app:1", "args")
	h.fails(exitNotStarted, "none.wasm", "run", "--entrypoint", "/bin/none.wasm", "app:1")
	h.fails(exitNotStarted, `did you mean "app:1"`, "run", "--pull", "never", "ap:1")
}

// A file needs no place to keep something.
func TestRunWithoutHome(t *testing.T) {
	guest := guestFile(t)
	for _, name := range []string{"HAKO_DATA", "XDG_DATA_HOME", "HOME"} {
		t.Setenv(name, "")
	}
	var out, errs strings.Builder
	if code := Run(context.Background(), Streams{strings.NewReader(""), &out, &errs}, "run", guest, "exit", "5"); code != 5 {
		t.Errorf("%d: %s", code, errs.String())
	}
	if code := Run(context.Background(), Streams{strings.NewReader(""), &out, &errs}, "run", "--name", "x", guest); code == 0 || !strings.Contains(errs.String(), "--data DIR") {
		t.Errorf("%d: %s", code, errs.String())
	}
}

// A pipe that nobody writes to does not keep hako.
func TestRunPipeInterrupted(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer write.Close()
	defer read.Close()
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(signalError{os.Interrupt})
	if _, err := readModule(ctx, fmt.Sprintf("/dev/fd/%d", read.Fd())); err == nil {
		t.Error("read a module from nowhere")
	}
}
