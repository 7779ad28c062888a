package sqlhost

import (
	"errors"
	"fmt"
	"io/fs"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// An Error is what a guest is told instead of a result.
type Error struct {
	Code  int    // SQLite's extended result code
	Text  string // what the guest can read of it
	Cause error  // what the store knows, or nil
}

func (e *Error) Error() string { return e.Text }

// Unwrap returns Cause.
func (e *Error) Unwrap() error { return e.Cause }

func misuse(format string, args ...any) *Error {
	return &Error{Code: sqlite3.SQLITE_MISUSE, Text: fmt.Sprintf(format, args...)}
}

// fail makes an error of what a function of SQLite has just returned, with the
// text that modernc.org/sqlite gives it.
func (c *connection) fail(rc int32) *Error {
	code := int(rc)
	message := libc.GoString(sqlite3.Xsqlite3_errmsg(c.tls, c.db))
	if extended := int(sqlite3.Xsqlite3_extended_errcode(c.tls, c.db)); extended&0xff == code&0xff {
		code = extended
	}
	text := libc.GoString(sqlite3.Xsqlite3_errstr(c.tls, int32(code)))
	if message != "" && message != text {
		text += ": " + message
	}
	text = fmt.Sprintf("%s (%d)", text, code)
	cause := c.raw.Cause(code, message)
	if cause != nil {
		switch code & 0xff {
		case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_ERROR:
			text = visible(cause)
		default:
			text = visible(cause) + ": " + text
		}
	}
	if c.expired && code&0xff == sqlite3.SQLITE_INTERRUPT {
		text = "the time for the statement is over: " + text
	}
	return &Error{Code: code, Text: text, Cause: cause}
}

// visible returns what a guest may read of an error: nothing of the host's
// file names.
func visible(err error) string {
	var file *fs.PathError
	if errors.As(err, &file) {
		return fmt.Sprintf("input or output at the host: %v", file.Err)
	}
	return err.Error()
}
