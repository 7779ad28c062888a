package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/hako-run/hako/internal/randsql"
	"github.com/hako-run/hako/pagestore"
	modernc "modernc.org/sqlite"
)

// newStore opens a store in a temporary directory. It is closed when the test
// ends, after what was opened with openDB.
func newStore(t testing.TB) *pagestore.Store {
	t.Helper()
	s, err := pagestore.Open(t.TempDir(), pagestore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Detach(s); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// openDB opens a snapshot, and creates the database if need be.
func openDB(t testing.TB, s *pagestore.Store, snapshot string) *sql.DB {
	t.Helper()
	if !strings.Contains(snapshot, "@") {
		if _, err := s.Create(pagestoreName(snapshot), pagestore.CreateOptions{}); err != nil && !errors.Is(err, pagestore.ErrExists) {
			t.Fatal(err)
		}
	}
	db, err := OpenDB(s, snapshot)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func pagestoreName(snapshot string) string {
	name, _, _ := strings.Cut(snapshot, "?")
	return name
}

// openConn is openDB and one connection of it.
func openConn(t testing.TB, s *pagestore.Store, snapshot string) *sql.Conn {
	t.Helper()
	return connOf(t, openDB(t, s, snapshot))
}

func connOf(t testing.TB, db *sql.DB) *sql.Conn {
	t.Helper()
	c, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// openPlain opens a connection to an ordinary file.
func openPlain(t testing.TB, path string) *sql.Conn {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return connOf(t, db)
}

type querier interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
}

func exec(t testing.TB, q querier, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := q.ExecContext(context.Background(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// query returns the rows, a line each, with '|' between the columns.
func query(t testing.TB, q querier, statement string, args ...any) string {
	t.Helper()
	s, err := tryQuery(q, statement, args...)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return s
}

func tryQuery(q querier, statement string, args ...any) (string, error) {
	return randsql.Rows(q, statement, args...)
}

func want(t testing.TB, got, want string) {
	t.Helper()
	if got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

// codeOf returns the result code of SQLite's error in err, 0 if it is nil.
func codeOf(t testing.TB, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	var se *modernc.Error
	if !errors.As(err, &se) {
		t.Fatalf("not an error of SQLite: %v", err)
	}
	return se.Code()
}

// effort is how much a test does of something: n, or less with -short, which is
// for the race detector.
func effort(n, short int) int {
	if testing.Short() {
		return short
	}
	return n
}

// integrity fails the test unless SQLite finds the database sound.
func integrity(t testing.TB, q querier) {
	t.Helper()
	want(t, query(t, q, "PRAGMA integrity_check"), "ok")
}
