package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite/vfscore"
)

// ErrNotSQLite is returned, wrapped, by Import for a file that is no sound
// SQLite database.
var ErrNotSQLite = errors.New("not a sound SQLite database")

// ErrDamagedFile is wrapped, beside ErrNotSQLite, for a file that is one, but
// damaged.
var ErrDamagedFile = errors.New("it is damaged")

// ImportOptions tune Import. The zero value works.
type ImportOptions struct {
	Retain   pagestore.Retention
	Progress func(ImportProgress) // called now and then; the calls do not overlap
}

// An ImportStep is a part of the work of Import, in words for people.
type ImportStep string

// The steps, in their order.
const (
	ImportAside ImportStep = "copying it aside" // only if there is a WAL, or the journal of a crash
	ImportCheck ImportStep = "checking the file"
	ImportCopy  ImportStep = "copying"
)

// An ImportProgress tells how far Import is.
type ImportProgress struct {
	Step        ImportStep
	Elapsed     time.Duration // since the step began
	Done, Total int64         // bytes copied; 0 for a check, as SQLite does not tell how far it is
}

// Import makes a database of an ordinary SQLite file: its version 1 is the
// file's content, that of a hot journal or a WAL beside it included. The file
// is checked first, and if anything goes wrong there is no database.
//
// Neither the file nor anything beside it is changed. It is read under SQLite's
// shared lock, so that other programs may have it open, and write to it in WAL
// mode; with a WAL or a hot journal a copy of it is made in the store's
// directory, and removed at the end. This process itself must not have the file
// open: closing it would end the locks of SQLite's other connections to it, as
// POSIX has it.
func Import(ctx context.Context, s *pagestore.Store, name, path string, o ImportOptions) (*pagestore.Database, error) {
	if o.Progress == nil {
		o.Progress = func(ImportProgress) {}
	}
	for range importTries {
		db, err := importFile(ctx, s, name, path, o)
		switch {
		case err == nil:
			return db, nil
		case !errors.Is(err, errChanged):
			return nil, fmt.Errorf("import %s: %w", path, err)
		}
	}
	return nil, fmt.Errorf("import %s: %w: it was changed during each of %d attempts to read it: try again when it is quiet", path, ErrFileBusy, importTries)
}

// importTries is how often a file is read that is changed meanwhile.
const importTries = 3

func importFile(ctx context.Context, s *pagestore.Store, name, path string, o ImportOptions) (_ *pagestore.Database, err error) {
	if err := pagestore.CheckName(name); err != nil {
		return nil, err
	}
	if _, err := s.Database(name); err == nil {
		return nil, fmt.Errorf("%w: a database %q exists: choose another name", pagestore.ErrExists, name)
	}
	if err := checkMagic(path); err != nil {
		return nil, err
	}
	src, err := openSource(ctx, path, tempDir(s), o.Progress)
	if err != nil {
		return nil, err
	}
	defer src.close()
	db, err := s.Create(name, pagestore.CreateOptions{PageSize: src.pageSize, Retain: o.Retain, Unpublished: true})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Discard(db))
		}
	}()
	w, err := db.TryWriter()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	tx, err := db.Begin(pagestore.TxOptions{Writer: w, Note: "import of " + filepath.Base(path)})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	err = src.copyTo(ctx, tx, o.Progress)
	if e := src.unchanged(); e != nil {
		return nil, e // whatever came of it
	}
	if err != nil {
		return nil, err
	}
	if _, err := tx.Commit(ctx); err != nil {
		return nil, err
	}
	return db, s.Publish(db)
}

// tempDir is the store's directory for temporary files. What a crash leaves in
// it is removed when the store is opened again.
func tempDir(s *pagestore.Store) string {
	dir := filepath.Join(s.Dir(), "tmp")
	if _, err := os.Stat(dir); err != nil {
		return "" // the store is not on a disk: the system's
	}
	return dir
}

// checkMagic tells early, and in words, that a file is something else.
func checkMagic(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() { // before it is opened: a pipe would wait for its writer
		return fmt.Errorf("%w: it is not a regular file", ErrNotSQLite)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var head [vfscore.HeaderSize]byte
	switch n, err := io.ReadFull(f, head[:]); {
	case n == 0:
		return fmt.Errorf("%w: the file is empty: create an empty database instead", ErrNotSQLite)
	case err != nil || string(head[:16]) != "SQLite format 3\x00":
		return fmt.Errorf("%w: it does not begin as SQLite files do", ErrNotSQLite)
	case vfscore.Header(head[:]).PageSize() == 0:
		return fmt.Errorf("%w: its header names an impossible page size", ErrNotSQLite)
	}
	return nil
}

// importHeader gives page 1 its stored form and returns what that loses.
func importHeader(h vfscore.Header) vfscore.Meta {
	m := vfscore.Meta{
		Base:     h.Counter() - 1, // of version 1
		Cookie:   h.Cookie(),
		Imported: true,
		Counter:  h.Counter(),
		ValidFor: h.ValidFor(),
	}
	m.WriteMode, m.ReadMode = h.Modes()
	h.Normalise()
	return m
}
