package wasi_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/hako-run/hako/wasi"
)

func TestEnvironment(t *testing.T) {
	t.Setenv("HAKO_SECRET", "of the host")
	var stderr bytes.Buffer
	out, code := run(t, guest(t, "env"), wasi.Config{
		Args:   []string{"prog", "", "two words", "ü"},
		Env:    []string{"B=2", "A=1", "EMPTY=", "EQ=a=b"},
		Stdin:  strings.NewReader("first\nsecond\n"),
		Stderr: &stderr,
	})
	want := `arg 0: "prog"
arg 1: ""
arg 2: "two words"
arg 3: "ü"
env: "B=2"
env: "A=1"
env: "EMPTY="
env: "EQ=a=b"
in: first
in: second
isatty(0): 0
isatty(1): 0
lseek(0, 0, SEEK_CUR): ESPIPE
`
	if out != want {
		t.Errorf("got %s\nwant %s", out, want)
	}
	if code != 7 {
		t.Errorf("exit code %d, want 7", code)
	}
	if stderr.String() != "to standard error\n" {
		t.Errorf("standard error: %q", &stderr)
	}
}

// Nothing granted: nothing there, and the streams behave as /dev/null.
func TestNothingGranted(t *testing.T) {
	s := newSystem(t, wasi.Config{})
	code, err := start(context.Background(), t, guest(t, "env"), s)
	if err != nil || code != 7 {
		t.Errorf("code %d, %v", code, err)
	}
	if s.OpenFiles() != 3 {
		t.Errorf("%d descriptors are open, want the three streams", s.OpenFiles())
	}
}

func TestConfigRefused(t *testing.T) {
	for _, c := range []wasi.Config{
		{Args: []string{"a\x00b"}},
		{Env: []string{"NOVALUE"}},
		{Env: []string{"=x"}},
		{Env: []string{"A=\x00"}},
		{OpenFiles: 2},
	} {
		if _, err := wasi.NewSystem(c); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
	dir := t.TempDir()
	for _, g := range []wasi.DirGrant{
		{Host: dir, Guest: "relative"},
		{Host: dir, Guest: ""},
		{Host: dir, Guest: "/a\x00"},
		{Host: dir + "/none", Guest: "/a"},
		{Host: os.Args[0], Guest: "/a"},
	} {
		if _, err := wasi.OpenGrants(wasi.GrantConfig{Dirs: []wasi.DirGrant{g}}); err == nil {
			t.Errorf("%+v: no error", g)
		}
	}
	twice := []wasi.DirGrant{{Host: dir, Guest: "/a"}, {Host: dir, Guest: "/a/"}}
	if _, err := wasi.OpenGrants(wasi.GrantConfig{Dirs: twice}); err == nil {
		t.Error("one path granted twice: no error")
	}
}

func TestOutputLimit(t *testing.T) {
	var out bytes.Buffer
	s := newSystem(t, wasi.Config{Stdout: &out, Stderr: &out, Output: 40, Args: []string{"env"}, Env: []string{"LONG=" + strings.Repeat("x", 100)}})
	_, err := start(context.Background(), t, guest(t, "env"), s)
	var limit *wasi.LimitError
	if !errors.As(err, &limit) || limit.Limit != wasi.LimitOutput || limit.Max != 40 {
		t.Fatalf("error %v, want that of the output limit", err)
	}
	if out.Len() != 40 || s.Output() != 40 {
		t.Errorf("%d bytes came out, %d counted, want 40", out.Len(), s.Output())
	}
}

func TestNoSystem(t *testing.T) {
	_, err := runtime(t).InstantiateModule(context.Background(), guest(t, "env"), anonymous)
	if !errors.Is(err, wasi.ErrNoSystem) {
		t.Errorf("error %v, want %v", err, wasi.ErrNoSystem)
	}
}

// A guest that waits for input that never comes ends with its context, and the
// Input goes on with the next guest.
func TestInputEndsWithContext(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	in := wasi.NewInput(r)
	defer in.Close()
	stop := errors.New("stopped by the test")
	ctx, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(50*time.Millisecond, func() { cancel(stop) })
	_, err = start(ctx, t, guest(t, "env"), newSystem(t, wasi.Config{Stdin: in}))
	if !errors.Is(err, stop) {
		t.Fatalf("error %v, want %v", err, stop)
	}
	io.WriteString(w, "for the second\n")
	w.Close()
	out, _ := run(t, guest(t, "env"), wasi.Config{Stdin: in})
	if !strings.Contains(out, "in: for the second\n") {
		t.Errorf("the second guest did not get the input:\n%s", out)
	}
}

// A guest that writes to a pipe nobody reads ends with its context.
func TestOutputEndsWithContext(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	stop := errors.New("stopped by the test")
	ctx, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(50*time.Millisecond, func() { cancel(stop) })
	s := newSystem(t, wasi.Config{Stdout: w, Args: []string{"env", strings.Repeat("x", 1<<20)}})
	if _, err = start(ctx, t, guest(t, "env"), s); !errors.Is(err, stop) {
		t.Fatalf("error %v, want %v", err, stop)
	}
}

// What is kept for a runtime goes with it.
func TestInstantiateTwice(t *testing.T) {
	ctx := context.Background()
	r := wazero.NewRuntime(ctx)
	defer r.Close(ctx)
	if err := wasi.Instantiate(ctx, r); err != nil {
		t.Fatal(err)
	}
	if err := wasi.Instantiate(ctx, r); err == nil {
		t.Error("registered twice without an error")
	}
}

// Streams that are files of the host keep their place between guests.
func TestStreamsAreFiles(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "in"), []byte("one\ntwo\n"), 0o666))
	in, err := os.Open(filepath.Join(dir, "in"))
	must(t, err)
	defer in.Close()
	out, err := os.OpenFile(filepath.Join(dir, "out"), os.O_CREATE|os.O_WRONLY, 0o666)
	must(t, err)
	defer out.Close()
	for range 2 {
		s := newSystem(t, wasi.Config{Stdin: in, Stdout: out})
		if code, err := start(context.Background(), t, guest(t, "env"), s); err != nil || code != 7 {
			t.Fatal(code, err)
		}
	}
	got, err := os.ReadFile(filepath.Join(dir, "out"))
	must(t, err)
	first := "in: one\nin: two\nisatty(0): 0\nisatty(1): 0\nlseek(0, 0, SEEK_CUR): 8\n"
	second := strings.ReplaceAll(strings.ReplaceAll(first, "in: one\n", ""), "in: two\n", "")
	if string(got) != first+second {
		t.Errorf("got\n%s\nwant\n%s", got, first+second)
	}
}
