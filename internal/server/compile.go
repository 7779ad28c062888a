package server

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/hako-run/hako/engine"
)

// compile compiles what an app or its commands are made of, and says before
// that it will take a while if it will.
func (s *Server) compile(ctx context.Context, name string, b []byte, say func()) (*engine.Module, error) {
	if len(b) >= largeModule && !s.runner.Engine().Cached(b) {
		say()
	}
	return s.runner.Engine().Compile(ctx, name, b)
}

// largeModule is the size from which compiling takes seconds.
const largeModule = 2 << 20

// readyAfter is how long a server serves before it compiles commands: one that
// ends at once shall not wait for them.
const readyAfter = 5 * time.Second

// ready compiles the app's commands that were never run, so that the first
// hako exec does not wait for it. A compiler cannot be interrupted: if ctx is
// done, it goes on for itself, and what it made is in the cache.
func (h *hosted) ready(ctx context.Context) {
	select {
	case <-time.After(readyAfter):
		h.compileCommands(ctx)
	case <-ctx.Done():
	}
}

// compileCommands compiles those of the app's commands that never were.
func (h *hosted) compileCommands(ctx context.Context) {
	for _, c := range h.c.Commands {
		b, img, err := h.s.source(ctx, c.Image)
		if err != nil {
			if ctx.Err() == nil {
				h.s.log.Warn("a command cannot be run", "app", h.c.Name, "command", c.Name, "error", err)
			}
			continue
		}
		if h.s.runner.Engine().Cached(b) {
			closeAll(nil, img)
			continue
		}
		began := time.Now()
		m, err := h.s.runner.Engine().Compile(ctx, c.Name, b)
		closeAll(m, img)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			h.s.log.Warn("a command cannot be run", "app", h.c.Name, "command", c.Name, "error", err)
		default:
			h.s.log.Info("compiled a command, once", "app", h.c.Name, "command", c.Name, "duration", time.Since(began))
		}
	}
}

// sayCompiling tells whoever waits for a command.
func sayCompiling(to *os.File, name string) {
	if to != nil {
		fmt.Fprintf(to, "hako: compiling %s, which takes a while and is kept for the next time\n", name)
	}
}
