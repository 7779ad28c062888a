package sqlite

import (
	"fmt"
	"time"

	"github.com/hako-run/hako/sqlite/vfscore"
	"modernc.org/libc"
	"modernc.org/sqlite/lib"
)

// functions are the SQL functions of every connection.
var functions = []struct {
	name  uintptr
	args  int32
	flags int32
	call  uintptr
}{
	{constant("hako_version"), 0, sqlite3.SQLITE_UTF8, funcPointer(hakoVersion)},
	{constant("hako_version"), 1, sqlite3.SQLITE_UTF8, funcPointer(hakoVersion)},
	{constant("hako_time"), 0, sqlite3.SQLITE_UTF8, funcPointer(hakoTime)},
	{constant("hako_time"), 1, sqlite3.SQLITE_UTF8, funcPointer(hakoTime)},
	{constant("hako_at"), 1, sqlite3.SQLITE_UTF8 | sqlite3.SQLITE_DIRECTONLY, funcPointer(hakoAt)},
	{constant("hako_at"), 2, sqlite3.SQLITE_UTF8 | sqlite3.SQLITE_DIRECTONLY, funcPointer(hakoAt)},
}

// timeFormat is RFC 3339 with all nanoseconds, so that times sort as text.
const timeFormat = "2006-01-02T15:04:05.000000000Z07:00"

// hakoVersion is hako_version([schema]): the version that the connection sees.
func hakoVersion(tls *libc.TLS, ctx uintptr, argc int32, argv uintptr) {
	if m := argMain(tls, ctx, argc, argv, 0); m != nil {
		sqlite3.Xsqlite3_result_int64(tls, ctx, int64(m.Commit().Version))
	}
}

// hakoTime is hako_time([schema]): when that version was committed.
func hakoTime(tls *libc.TLS, ctx uintptr, argc int32, argv uintptr) {
	if m := argMain(tls, ctx, argc, argv, 0); m != nil {
		resultText(tls, ctx, FormatTime(m.Commit().Time))
	}
}

// hakoAt is hako_at([schema,] spec): it pins what the connection reads to a
// version, a time, an age, a tag or the head, with NULL to what it was opened
// with, and returns the version.
func hakoAt(tls *libc.TLS, ctx uintptr, argc int32, argv uintptr) {
	m := argMain(tls, ctx, argc, argv, 1)
	if m == nil {
		return
	}
	spec := ""
	if p := sqlite3.Xsqlite3_value_text(tls, arg(argv, argc-1)); p != 0 {
		spec = string(textAt(p))
	}
	if err := m.Pin(spec); err != nil {
		m.Session().Record(err)
		resultError(tls, ctx, err)
		return
	}
	sqlite3.Xsqlite3_result_int64(tls, ctx, int64(m.Commit().Version))
}

func arg(argv uintptr, i int32) uintptr { return at[[2]uintptr](argv)[i] }

// argMain returns the database of the schema that the first of more than rest
// arguments names, main if there is none. If it is nil the error is the
// function's result.
func argMain(tls *libc.TLS, ctx uintptr, argc int32, argv uintptr, rest int32) *vfscore.Main {
	schema := uintptr(0)
	if argc > rest {
		schema = sqlite3.Xsqlite3_value_text(tls, arg(argv, 0))
	}
	if f := mainFile(tls, sqlite3.Xsqlite3_context_db_handle(tls, ctx), schema); f != nil {
		return f.main
	}
	name := "main"
	if schema != 0 {
		name = string(textAt(schema))
	}
	resultError(tls, ctx, fmt.Errorf("schema %q is not a Hako database", name))
	return nil
}

func resultText(tls *libc.TLS, ctx uintptr, s string) {
	p, err := libc.CString(s)
	if err != nil {
		sqlite3.Xsqlite3_result_error_nomem(tls, ctx)
		return
	}
	defer libc.Xfree(tls, p)
	sqlite3.Xsqlite3_result_text(tls, ctx, p, int32(len(s)), sqlite3.SQLITE_TRANSIENT)
}

func resultError(tls *libc.TLS, ctx uintptr, err error) {
	p, cerr := libc.CString(err.Error())
	if cerr != nil {
		sqlite3.Xsqlite3_result_error_nomem(tls, ctx)
		return
	}
	defer libc.Xfree(tls, p)
	sqlite3.Xsqlite3_result_error(tls, ctx, p, -1)
}

// FormatTime writes a commit's time as hako_time does.
func FormatTime(t time.Time) string { return t.UTC().Format(timeFormat) }
