//go:build !unix

package app

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

// A Registration keeps a process in a registry.
type Registration struct{}

func errHere(what string) error {
	return fmt.Errorf("%s: processes are not known to others on %s: %w", what, runtime.GOOS, errors.ErrUnsupported)
}

// Register fails with errors.ErrUnsupported.
func (r *Registry) Register(name string, c Controller) (*Registration, error) {
	return nil, errHere("register process " + name)
}

// Close does nothing.
func (reg *Registration) Close() error { return nil }

// List returns none.
func (r *Registry) List() ([]Info, error) { return nil, nil }

// Find fails with errors.ErrUnsupported.
func (r *Registry) Find(name string) (Info, error) {
	return Info{}, errHere("find process " + name)
}

// Stop fails with errors.ErrUnsupported.
func (r *Registry) Stop(ctx context.Context, name string) error {
	return errHere("stop process " + name)
}

// Reload fails with errors.ErrUnsupported.
func (r *Registry) Reload(ctx context.Context, name string) error {
	return errHere("reload " + name)
}

// Command fails with errors.ErrUnsupported.
func (r *Registry) Command(ctx context.Context, name string, c Command) (int, error) {
	return 0, errHere("run a command in process " + name)
}

// Logs fails with errors.ErrUnsupported.
func (r *Registry) Logs(ctx context.Context, name string, q LogQuery, f func(l *LogLine) error) error {
	return errHere("read the logs of process " + name)
}

// Stats fails with errors.ErrUnsupported.
func (r *Registry) Stats(ctx context.Context, name string) (Stats, error) {
	return Stats{}, errHere("ask process " + name)
}

// Exec fails with errors.ErrUnsupported.
func (r *Registry) Exec(ctx context.Context, name string, x Exec) (int, error) {
	return 0, errHere("exec in process " + name)
}
