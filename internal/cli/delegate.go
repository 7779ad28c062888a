package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	hakoapp "github.com/hako-run/hako/app"
	"github.com/hako-run/hako/internal/server"
	"github.com/hako-run/hako/pagestore"
	"github.com/spf13/cobra"
)

// One process owns the databases. Commands that need them while a server has
// them are run by that server: it gets the command line and the streams, and
// does what this process would have done. Nobody notices which way it went.

// delegate has the owner of the store run the command. ok is false if it is
// no process that does.
func (a *app) delegate(ctx context.Context, root *cobra.Command, args []string, locked *pagestore.LockedError) (code int, ok bool) {
	cmd, _, err := root.Find(args)
	if err != nil || !strings.HasPrefix(cmd.CommandPath(), "hako db ") || locked.PID == 0 {
		return 0, false
	}
	data, err := a.dataDir()
	if err != nil {
		return 0, false
	}
	registry := hakoapp.NewRegistry(data)
	infos, err := registry.List()
	if err != nil {
		return 0, false
	}
	for _, info := range infos {
		if info.PID != locked.PID || !info.Commands {
			continue
		}
		code, err := a.relayed(ctx, registry, info.Name, args)
		switch {
		case ctx.Err() != nil:
			fmt.Fprintln(a.Err, "hako: interrupted")
			return exitInterrupted, true
		case err != nil:
			fmt.Fprintf(a.Err, "hako: %v\n", err)
			return exitFailed, true
		}
		return code, true
	}
	return 0, false
}

// relayed has a process run a command line of this one, with its streams.
func (a *app) relayed(ctx context.Context, registry *hakoapp.Registry, name string, args []string) (code int, err error) {
	dir, err := os.Getwd()
	if err != nil {
		return 0, err
	}
	relay, err := newRelay(hakoapp.Streams{Stdin: a.In, Stdout: a.Out, Stderr: a.Err})
	if err != nil {
		return 0, err
	}
	defer relay.close()
	return registry.Command(ctx, name, hakoapp.Command{Args: args, Dir: dir, Stdin: relay.in, Stdout: relay.out, Stderr: relay.err})
}

// runFor runs a command line of another process in the server that this one
// is, and returns its exit code.
func runFor(ctx context.Context, s *server.Server, c hakoapp.Command) (code int, err error) {
	defer func() {
		if v := recover(); v != nil { // which must not end the server
			err = fmt.Errorf("a mistake in hako: %v\n%s", v, debug.Stack())
		}
	}()
	a := newApp(Streams{In: c.Stdin, Out: c.Stdout, Err: c.Stderr})
	a.server, a.shared, a.dir = s, s.Store(), c.Dir
	return a.run(ctx, c.Args), nil
}

// path is a file's name as the user wrote it, seen from here.
func (a *app) path(name string) string {
	if a.dir == "" || name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(a.dir, name)
}

// errInteractive is why a server runs no interactive shell: the line editor
// talks to the terminal of its own process.
var errInteractive = errors.New("an interactive shell needs the databases for itself, and a server has them: give it SQL as an argument or on standard input, or stop the server")
