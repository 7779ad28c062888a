package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite"
)

const defaultDataText = "$XDG_DATA_HOME/hako, else ~/.local/share/hako"

// dataDir returns the directory for all that hako keeps.
func (a *app) dataDir() (string, error) {
	if a.data != "" {
		return a.data, nil
	}
	if dir := os.Getenv("HAKO_DATA"); dir != "" {
		return dir, nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "hako"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", usageErrorf("there is no home directory to keep databases in (%w): say --data DIR", err)
	}
	return filepath.Join(home, ".local", "share", "hako"), nil
}

// stateFile returns a file for what is worth keeping and not worth a backup,
// such as the shell's history; "" if there is no home directory.
func stateFile(name string) string {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "hako", name)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".local", "state", "hako", name)
}

// storeDir is where the page store lies within the data directory.
func storeDir(data string) string { return filepath.Join(data, "store") }

// openStore opens the page store. If there is none, it makes one, or fails
// with errNoStore unless create is set.
func (a *app) openStore(create bool) (*pagestore.Store, error) {
	data, err := a.dataDir()
	if err != nil {
		return nil, err
	}
	dir := storeDir(data)
	if !create {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return nil, &noStoreError{data}
		}
	}
	o := a.storeOptions
	o.Logger = slog.New(slog.DiscardHandler) // what matters to a command comes back to it as an error
	s, err := pagestore.Open(dir, o)
	switch {
	case errors.Is(err, pagestore.ErrLoss):
		return nil, hintedError{err, "`hako db verify --accept-loss` goes on without them; a copy of " + dir + " made before keeps what can still be saved"}
	case errors.Is(err, pagestore.ErrDamaged):
		return nil, hintedError{err, ""} // no command can do anything about it
	case err != nil:
		return nil, err
	}
	if reason := s.ReadOnly(); reason != nil {
		fmt.Fprintf(a.Err, "hako: databases can only be read: %v\n", reason)
	}
	return s, nil
}

// A noStoreError says that nothing was ever kept in the data directory.
type noStoreError struct{ data string }

func (e *noStoreError) Error() string {
	return fmt.Sprintf("there are no databases in %s yet: make one with `hako db create NAME` or `hako db import NAME FILE`, or say --data DIR", e.data)
}

func (e *noStoreError) Is(target error) bool { return target == pagestore.ErrUnknownDatabase }

// withStore opens the store for f.
func (a *app) withStore(create bool, f func(s *pagestore.Store) error) (err error) {
	if a.shared != nil {
		return f(a.shared)
	}
	s, err := a.openStore(create)
	if err != nil {
		return err
	}
	defer func() {
		if e := errors.Join(sqlite.Detach(s), s.Close()); err == nil {
			err = e
		}
	}()
	return f(s)
}

// withDatabase opens the store and the database of that name for f.
func (a *app) withDatabase(name string, f func(d *pagestore.Database) error) error {
	if err := pagestore.CheckName(name); err != nil {
		return nameError(name, err)
	}
	return a.withStore(false, func(s *pagestore.Store) error {
		d, err := s.Database(name)
		if err != nil {
			return err
		}
		return f(d)
	})
}

// nameError helps with a snapshot that was given for a name.
func nameError(name string, err error) error {
	if r, e := pagestore.ParseRef(name); e == nil && r.Database != name {
		return usageErrorf("%q is a snapshot; here stands the name of a database, %s", name, r.Database)
	}
	return err
}

// withSnapshots opens the store and the snapshots, all of one moment, for f.
func (a *app) withSnapshots(texts []string, f func(s *pagestore.Store, at []*pagestore.Snapshot) error) error {
	refs := make([]pagestore.Ref, len(texts))
	for i, text := range texts {
		var err error
		if refs[i], err = pagestore.ParseRef(text); err != nil {
			return err
		}
	}
	return a.withStore(false, func(s *pagestore.Store) error {
		at, err := s.Snapshots(refs...)
		if err != nil {
			return err
		}
		defer func() {
			for _, snapshot := range at {
				snapshot.Close()
			}
		}()
		return f(s, at)
	})
}

func (a *app) withSnapshot(text string, f func(s *pagestore.Store, at *pagestore.Snapshot) error) error {
	return a.withSnapshots([]string{text}, func(s *pagestore.Store, at []*pagestore.Snapshot) error { return f(s, at[0]) })
}
