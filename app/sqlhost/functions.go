package sqlhost

import (
	"bytes"
	"fmt"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// SQLite's own forms of these compare every place of one argument with all of
// the other, and nothing can end them meanwhile: with two long texts that
// takes hours.
var replaced = []struct {
	name uintptr
	args int32
	call uintptr
}{
	{constant("instr"), 2, funcPointer(instr)},
	{constant("replace"), 3, funcPointer(replace)},
	{constant("trim"), 2, funcPointer(trimBoth)},
	{constant("ltrim"), 2, funcPointer(trimLeft)},
	{constant("rtrim"), 2, funcPointer(trimRight)},
}

// constant returns s in memory that is never freed.
func constant(s string) uintptr {
	p, err := libc.CString(s)
	if err != nil {
		panic("sqlhost: out of memory")
	}
	return p
}

func (c *connection) replaceFunctions() error {
	const flags = sqlite3.SQLITE_UTF8 | sqlite3.SQLITE_DETERMINISTIC | sqlite3.SQLITE_INNOCUOUS
	for _, f := range replaced {
		if rc := sqlite3.Xsqlite3_create_function_v2(c.tls, c.db, f.name, f.args, flags, c.id, f.call, 0, 0, 0); rc != sqlite3.SQLITE_OK {
			return fmt.Errorf("replace a function: SQLite error %d", rc)
		}
	}
	return nil
}

// value returns argument i of a function as text, or as it is if it is a blob.
// It is nil if the argument is NULL, and valid until the function returns.
func value(tls *libc.TLS, argv uintptr, i int, raw bool) []byte {
	p := *at[uintptr](argv + uintptr(i)*word)
	if sqlite3.Xsqlite3_value_type(tls, p) == sqlite3.SQLITE_NULL {
		return nil
	}
	var data uintptr
	if raw {
		data = sqlite3.Xsqlite3_value_blob(tls, p)
	} else {
		data = sqlite3.Xsqlite3_value_text(tls, p)
	}
	if data == 0 {
		return []byte{}
	}
	return bytesAt(data, int(sqlite3.Xsqlite3_value_bytes(tls, p)))
}

func isBlob(tls *libc.TLS, argv uintptr, i int) bool {
	return sqlite3.Xsqlite3_value_type(tls, *at[uintptr](argv + uintptr(i)*word)) == sqlite3.SQLITE_BLOB
}

func instr(tls *libc.TLS, ctx uintptr, _ int32, argv uintptr) {
	raw := isBlob(tls, argv, 0) && isBlob(tls, argv, 1)
	in, what := value(tls, argv, 0, raw), value(tls, argv, 1, raw)
	if in == nil || what == nil {
		return // NULL
	}
	i := bytes.Index(in, what)
	if i > 0 && !raw {
		characters := 0
		for _, b := range in[1:i] {
			if b&0xc0 != 0x80 {
				characters++
			}
		}
		i = characters + 1
	}
	sqlite3.Xsqlite3_result_int64(tls, ctx, int64(i+1))
}

func replace(tls *libc.TLS, ctx uintptr, _ int32, argv uintptr) {
	in, what, by := value(tls, argv, 0, false), value(tls, argv, 1, false), value(tls, argv, 2, false)
	if in == nil || what == nil {
		return
	}
	n := 0
	if len(what) > 0 && what[0] != 0 {
		if by == nil {
			return
		}
		n = bytes.Count(in, what)
	} else {
		sqlite3.Xsqlite3_result_value(tls, ctx, *at[uintptr](argv))
		return
	}
	limit := int64(sqlite3.Xsqlite3_limit(tls, sqlite3.Xsqlite3_context_db_handle(tls, ctx), sqlite3.SQLITE_LIMIT_LENGTH, -1))
	if int64(len(in))+int64(n)*int64(len(by)-len(what)) > limit {
		sqlite3.Xsqlite3_result_error_toobig(tls, ctx)
		return
	}
	resultText(tls, ctx, bytes.ReplaceAll(in, what, by))
}

func resultText(tls *libc.TLS, ctx uintptr, b []byte) {
	p := copyOut(tls, b)
	if p == 0 {
		sqlite3.Xsqlite3_result_error_nomem(tls, ctx)
		return
	}
	sqlite3.Xsqlite3_result_text64(tls, ctx, p, sqlite3.Tsqlite3_uint64(len(b)), freePointer, sqlite3.SQLITE_UTF8)
}

func trimBoth(tls *libc.TLS, ctx uintptr, _ int32, argv uintptr)  { trim(tls, ctx, argv, true, true) }
func trimLeft(tls *libc.TLS, ctx uintptr, _ int32, argv uintptr)  { trim(tls, ctx, argv, true, false) }
func trimRight(tls *libc.TLS, ctx uintptr, _ int32, argv uintptr) { trim(tls, ctx, argv, false, true) }

func trim(tls *libc.TLS, ctx, argv uintptr, left, right bool) {
	in, what := value(tls, argv, 0, false), value(tls, argv, 1, false)
	if in == nil || what == nil {
		return
	}
	characters := make(map[string]bool)
	for len(what) > 0 {
		n := first(what)
		characters[string(what[:n])] = true
		what = what[n:]
	}
	for left && len(in) > 0 {
		n := first(in)
		if !characters[string(in[:n])] {
			break
		}
		in = in[n:]
	}
	for right && len(in) > 0 {
		i := len(in) - 1
		for i > 0 && in[i]&0xc0 == 0x80 {
			i--
		}
		if !characters[string(in[i:])] {
			break
		}
		in = in[:i]
	}
	resultText(tls, ctx, in)
}

// first returns the length of the first character of b as SQLite counts, which
// takes any text for UTF-8.
func first(b []byte) int {
	n := 1
	if b[0] >= 0xc0 {
		for n < len(b) && b[n]&0xc0 == 0x80 {
			n++
		}
	}
	return n
}
