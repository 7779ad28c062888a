package cli

import (
	"fmt"
	"os"

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
	in, _ := a.In.(*os.File)
	if f.interactive && !isTerminal(a.In) || !f.interactive && !isTerminal(a.Out) {
		return s, restore, usageErrorf("-t: this is no terminal: leave -t out where input or output is a pipe or a file")
	}
	if f.raw {
		state, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			return s, restore, fmt.Errorf("make the terminal raw: %w", err)
		}
		restore = func() { _ = term.Restore(int(in.Fd()), state) }
	}
	return s, restore, nil
}
