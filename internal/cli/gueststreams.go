package cli

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	hakoapp "github.com/hako-run/hako/app"
	"golang.org/x/term"
)

// guestStreams returns the streams that the flags give a guest, and what puts
// the terminal back as it was.
func (a *app) guestStreams(f *runFlags) (s hakoapp.Streams, restore func(), err error) {
	s = hakoapp.Streams{Stdout: a.Out, Stderr: a.Err}
	restore = func() {}
	if f.interactive {
		s.Stdin = a.In
	}
	if !f.terminal {
		// As with docker, a guest sees a terminal only if it is to.
		s.Stdout, s.Stderr = hakoapp.Plain(a.Out), hakoapp.Plain(a.Err)
		if f.interactive && isTerminal(a.In) {
			s.Stdin = plainReader{a.In}
		}
		return s, restore, nil
	}
	if f.interactive && !isTerminal(a.In) || !f.interactive && !isTerminal(a.Out) {
		return s, restore, usageErrorf("-t: this is no terminal: leave -t out where input or output is a pipe or a file")
	}
	// Guests can change the terminal, with --raw or by themselves.
	fd := int(a.terminalFile().Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return s, restore, fmt.Errorf("ask the terminal for its state: %w", err)
	}
	restore = sync.OnceFunc(func() {
		// Only if need be: a process in the background would be stopped.
		if now, err := term.GetState(fd); err != nil || *now != *before {
			_ = term.Restore(fd, before)
		}
	})
	a.terminal.Store(&restore)
	if f.raw {
		if _, err := term.MakeRaw(fd); err != nil {
			return s, func() {}, fmt.Errorf("make the terminal raw: %w", err)
		}
	}
	return s, restore, nil
}

// terminalFile returns the stream that is a terminal, nil if none is.
func (a *app) terminalFile() *os.File {
	for _, stream := range []any{a.In, a.Out, a.Err} {
		if isTerminal(stream) {
			return stream.(*os.File)
		}
	}
	return nil
}

// terminalEnv is what a guest with -t is told of its terminal: its kind, and
// its size as it is when the guest begins.
func (a *app) terminalEnv(f *runFlags) []string {
	file := a.terminalFile()
	if !f.terminal || file == nil {
		return nil
	}
	kind := os.Getenv("TERM")
	if kind == "" {
		kind = "xterm"
	}
	env := []string{"TERM=" + kind}
	if columns, lines, err := term.GetSize(int(file.Fd())); err == nil && columns > 0 && lines > 0 {
		env = append(env, fmt.Sprint("COLUMNS=", columns), fmt.Sprint("LINES=", lines))
	}
	return env
}

// endedByQuit makes the key of the terminal that asks a program to quit, and
// SIGQUIT, end the guest instead of showing what hako's goroutines do.
func (a *app) endedByQuit() {
	if a.signals != nil {
		signal.Notify(a.signals, syscall.SIGQUIT)
	}
}
