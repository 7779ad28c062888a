package sqlite

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite/vfscore"
	modernc "modernc.org/sqlite"
	"modernc.org/sqlite/lib"
)

// An Error is SQLite's error with the cause that only the store knows.
// errors.As finds either.
type Error struct {
	SQLite *modernc.Error
	Cause  error // Is pagestore.ErrConflict, ErrReadOnly, ErrDiskFull, ...
}

// Error leaves out SQLite's words where they say the same, or less.
func (e *Error) Error() string {
	switch e.SQLite.Code() & 0xff {
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_ERROR:
		return e.Cause.Error()
	}
	return fmt.Sprintf("%v: %v", e.Cause, e.SQLite)
}

// Unwrap returns both errors.
func (e *Error) Unwrap() []error { return []error{e.Cause, e.SQLite} }

// enrich adds the cause to an error of SQLite if it comes from a file
// operation.
func enrich(s *vfscore.Session, err error) error {
	var se *modernc.Error
	var already *Error
	if err == nil || !errors.As(err, &se) || errors.As(err, &already) {
		return err
	}
	cause := causeOf(s, se.Code(), se.Error())
	if cause == nil {
		return err
	}
	return &Error{SQLite: se, Cause: cause}
}

// causeOf returns what the store knows of an error of SQLite with that code
// and text, nil if it is none of the store's.
func causeOf(s *vfscore.Session, code int, text string) error {
	cause := s.Err()
	switch code & 0xff {
	case sqlite3.SQLITE_READONLY:
		if cause == nil {
			cause = readOnlyCause(s)
		}
	case sqlite3.SQLITE_BUSY:
		if !errors.Is(cause, pagestore.ErrBusy) && !errors.Is(cause, pagestore.ErrConflict) {
			cause = nil // a lock of a file that is not in a store
		}
	case sqlite3.SQLITE_ERROR:
		if cause != nil && !strings.Contains(text, cause.Error()) {
			cause = nil // plain wrong SQL
		}
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB: // SQLite's words for a page that cannot be read, too
		if !errors.Is(cause, pagestore.ErrDamaged) {
			cause = nil
		}
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN:
	default:
		cause = nil
	}
	return cause
}

// readOnlyCause tells which of the session's databases it was: SQLite asks
// nobody before it refuses to write to a file that was opened read-only.
func readOnlyCause(s *vfscore.Session) error {
	for _, m := range s.Mains() {
		if m.ReadOnly() {
			todo := "it was opened with mode=ro"
			if m.Name() != m.Database().Name() {
				todo = "open " + m.Database().Name() + " without a version, or make a branch of this one"
			}
			return fmt.Errorf("write to %s: %w: %s", m.Name(), pagestore.ErrReadOnly, todo)
		}
	}
	return nil
}
