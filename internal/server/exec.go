package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hako-run/hako/app"
	"github.com/hako-run/hako/config"
	"github.com/hako-run/hako/engine"
)

// ErrNoCommand means that no app has a command of that name.
var ErrNoCommand = errors.New("no such command")

// Exec runs a command of an app beside it, with its grants: x.Args begin with
// the command's name, which is APP/NAME where several apps have one of that
// name. Of the app's limits it has those on memory; it may take its time. It
// returns the guest's exit code, and ends when ctx does.
func (s *Server) Exec(ctx context.Context, x app.Exec) (code int, err error) {
	if len(x.Args) == 0 {
		return app.ExitNotStarted, fmt.Errorf("%w: name one of %s", ErrNoCommand, s.commandNames())
	}
	h, command, err := s.command(x.Args[0])
	if err != nil {
		return app.ExitNotStarted, err
	}
	defer h.Release()
	b, img, err := s.source(ctx, command.Image)
	if err != nil {
		return app.ExitNotStarted, fmt.Errorf("command %s of app %s: %w", command.Name, h.c.Name, err)
	}
	m, err := s.compile(ctx, command.Name, b, func() { sayCompiling(x.Stderr, command.Name) })
	defer closeAll(m, img)
	if err != nil {
		return app.ExitNotStarted, fmt.Errorf("command %s of app %s: %w", command.Name, h.c.Name, err)
	}
	spec := h.spec
	spec.Args = slices.Concat([]string{command.Name}, command.Args, x.Args[1:])
	spec.Env = app.MergeEnv(spec.Env, x.Env)
	spec.Limits = engine.Limits{Memory: spec.Limits.Memory}
	p, err := s.runner.Start(ctx, m, spec)
	if err != nil {
		return app.ExitNotStarted, fmt.Errorf("command %s of app %s: %w", command.Name, h.c.Name, err)
	}
	streams := app.Streams{Stdout: x.Stdout, Stderr: x.Stderr}
	if x.Stdin != nil {
		streams.Stdin = x.Stdin
	}
	code, err = p.Run(ctx, streams)
	return code, errors.Join(err, p.Close())
}

// command finds a command of the apps that run. The app has one user more.
func (s *Server) command(name string) (*hosted, config.Command, error) {
	of, short, given := strings.Cut(name, "/")
	if !given {
		of, short = "", name
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found *hosted
	var command config.Command
	for _, list := range s.hosted {
		if len(list) == 0 {
			continue
		}
		h := list[len(list)-1] // the newest of that name
		for _, c := range h.c.Commands {
			if c.Name != short || of != "" && of != h.c.Name || h.users == 0 {
				continue
			}
			if found != nil {
				return nil, c, fmt.Errorf("%w: both apps %s and %s have a command %s: say which, as %[2]s/%[4]s", ErrNoCommand, found.c.Name, h.c.Name, short)
			}
			found, command = h, c
		}
	}
	if found == nil {
		return nil, command, fmt.Errorf("%w as %s: name one of %s", ErrNoCommand, name, s.commandNamesLocked())
	}
	found.users++
	return found, command, nil
}

func (s *Server) commandNames() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commandNamesLocked()
}

// commandNamesLocked lists what Exec runs. s.mu is held.
func (s *Server) commandNamesLocked() string {
	var names []string
	for _, list := range s.hosted {
		for _, h := range list {
			for _, c := range h.c.Commands {
				if !slices.Contains(names, c.Name) {
					names = append(names, c.Name)
				}
			}
		}
	}
	if len(names) == 0 {
		return "those that an app's commands have in hako.toml, where none has any"
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
