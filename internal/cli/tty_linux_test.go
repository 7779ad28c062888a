package cli

import (
	"os"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"github.com/hako-run/hako/internal/guestbuild"
	"golang.org/x/term"
)

// However a guest ends, the terminal is as it was before.
func TestRunOnTerminal(t *testing.T) {
	guest := guestbuild.C(t, []string{"-O1", "testdata/tty.c"})
	home := t.TempDir()
	fresh, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	before := stateOf(t, fresh)
	fresh.Close()
	tty.Close()
	const began = "told: xterm 80 24\r\nsize: 0 80 x 24\r\nwrong: 59 59 21\r\nraw: 0\r\n"
	for _, c := range []struct {
		name string
		code int
		end  func(t *terminal)
	}{
		{"exits", 3, func(t *terminal) { t.keys("q", "key: 113\r\n") }},
		{"traps", 134, func(t *terminal) { t.keys("t", "key: 116\r\n") }},
		{"Ctrl-C", 130, func(t *terminal) { t.keys(ctrlC) }},
		{"Ctrl-backslash", 131, func(t *terminal) { t.keys("\x1c") }},
		{"hangup", 129, func(t *terminal) { t.cmd.Process.Signal(syscall.SIGHUP) }},
		{"input ends", 0, func(t *terminal) {
			t.keys("c", "key: 99\r\ncooked: 0\r\n")
			t.keys("xy"+enter, "xy\r\nkey: 120\r\nkey: 121\r\nkey: 10\r\n") // echoed
			t.keys(ctrlD)
		}},
		{"resized", 3, func(t *terminal) {
			if err := pty.Setsize(t.file, &pty.Winsize{Rows: 50, Cols: 132}); err != nil {
				t.t.Fatal(err)
			}
			t.keys("s", "key: 115\r\nsize: 0 132 x 50\r\n")
			t.keys("q")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			term := onTerminal(t, home, "run", "-it", guest)
			term.wait(began)
			if *stateOf(t, term.file) == *before {
				t.Error("the guest has not changed the terminal")
			}
			c.end(term)
			term.exits(c.code)
			if *stateOf(t, term.file) != *before {
				t.Error("the terminal is not as it was")
			}
		})
	}
	raw := onTerminal(t, home, "run", "-it", "--raw", "-e", "TERM=vt52", "-e", "COLUMNS=7", guest)
	raw.wait("told: vt52 7 24\n", "raw: 0\n")
	raw.keys(ctrlC, "key: 3\n")
	raw.keys("q")
	raw.exits(3)
}

// The guest that exec runs is another process's, which changes the terminal
// too: this one puts it back last.
func TestExecOnTerminal(t *testing.T) {
	guest := guestbuild.C(t, []string{"-O1", "testdata/tty.c"})
	home := t.TempDir()
	other := onTerminal(t, home, "run", "-it", "--name", "other", guest)
	other.wait("raw: 0\r\n")
	before := stateOf(t, other.file)
	fresh, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	cooked := stateOf(t, fresh)
	fresh.Close()
	tty.Close()
	for range 5 {
		term := onTerminal(t, home, "exec", "-it", "--raw", "other")
		term.wait("size: 0 80 x 24\n", "raw: 0\n")
		term.keys(ctrlC, "key: 3\n")
		term.cmd.Process.Signal(syscall.SIGTERM)
		term.exits(143)
		if *stateOf(t, term.file) != *cooked {
			t.Error("the terminal is not as it was")
		}
	}
	if *stateOf(t, other.file) != *before {
		t.Error("exec changed the other's terminal")
	}
	other.keys("q", "key: 113\r\n")
	other.exits(3)
}

func stateOf(t *testing.T, file *os.File) *term.State {
	t.Helper()
	state, err := term.GetState(int(file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return state
}
