package sqlhost

import (
	"bytes"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// A statement is one that SQLite has compiled.
type statement struct {
	p          uintptr
	sql        string
	parameters int
	names      []string // of the parameters, with their first character; "" for ?
	busy       bool     // a cursor has it
	used       uint64
}

// A connection keeps cacheSize statements compiled, of no more than cachedSQL
// bytes each.
const (
	cacheSize = 48
	cachedSQL = 8 << 10
)

// A cache keeps statements by their text, so that guests need not keep
// handles of them.
type cache struct {
	list   map[string]*statement
	clock  uint64
	cursed map[*statement]struct{} // in use and not in the list
}

func (k *cache) init() {
	k.list = make(map[string]*statement)
	k.cursed = make(map[*statement]struct{})
}

// take returns the statement of a text that nobody uses, nil if there is none.
func (k *cache) take(sql []byte) *statement {
	s := k.list[string(sql)]
	if s == nil || s.busy {
		return nil
	}
	k.clock++
	s.busy, s.used = true, k.clock
	return s
}

// add makes a compiled statement known, which is in use; it is kept if keep.
func (k *cache) add(tls *libc.TLS, s *statement, keep bool) {
	k.clock++
	s.busy, s.used = true, k.clock
	if !keep || k.list[s.sql] != nil {
		k.cursed[s] = struct{}{}
		return
	}
	if len(k.list) >= cacheSize {
		var oldest *statement
		for _, o := range k.list {
			if !o.busy && (oldest == nil || o.used < oldest.used) {
				oldest = o
			}
		}
		if oldest == nil {
			k.cursed[s] = struct{}{}
			return
		}
		delete(k.list, oldest.sql)
		sqlite3.Xsqlite3_finalize(tls, oldest.p)
	}
	k.list[s.sql] = s
}

// give ends the use of a statement and returns the result code that it had.
func (k *cache) give(tls *libc.TLS, s *statement) int32 {
	s.busy = false
	if _, ok := k.cursed[s]; ok {
		delete(k.cursed, s)
		return sqlite3.Xsqlite3_finalize(tls, s.p)
	}
	rc := sqlite3.Xsqlite3_reset(tls, s.p)
	if s.parameters > 0 {
		sqlite3.Xsqlite3_clear_bindings(tls, s.p)
	}
	return rc
}

// resetAll ends the use of all.
func (k *cache) resetAll(tls *libc.TLS) {
	for s := range k.cursed {
		k.give(tls, s)
	}
	for _, s := range k.list {
		if s.busy {
			k.give(tls, s)
		}
	}
}

func (k *cache) finalizeAll(tls *libc.TLS) {
	k.resetAll(tls)
	for _, s := range k.list {
		sqlite3.Xsqlite3_finalize(tls, s.p)
	}
	clear(k.list)
}

// prepare compiles the first statement of sql, and returns what follows it; s
// is nil if there is none.
func (c *connection) prepare(sql []byte) (s *statement, rest []byte, err error) {
	if len(sql) > c.o.MaxSQL {
		return nil, nil, &Error{Code: sqlite3.SQLITE_TOOBIG, Text: "statement too long"}
	}
	if bytes.IndexByte(sql, 0) >= 0 {
		return nil, nil, &Error{Code: sqlite3.SQLITE_MISUSE, Text: "statement has a zero byte in it"}
	}
	if s := c.cached.take(sql); s != nil {
		return s, nil, nil
	}
	p := copyOut(c.tls, sql)
	if p == 0 {
		return nil, nil, &Error{Code: sqlite3.SQLITE_NOMEM, Text: "out of memory"}
	}
	defer sqlite3.Xsqlite3_free(c.tls, p)
	c.setting = false
	out := at[[2]uintptr](c.cell)
	*out = [2]uintptr{}
	rc := sqlite3.Xsqlite3_prepare_v3(c.tls, c.db, p, int32(len(sql)+1), sqlite3.SQLITE_PREPARE_PERSISTENT, c.cell, c.cell+word)
	if rc != sqlite3.SQLITE_OK {
		return nil, nil, c.fail(rc)
	}
	if out[1] != 0 {
		rest = sql[min(int(out[1]-p), len(sql)):]
	}
	if out[0] == 0 {
		return nil, rest, nil
	}
	s = &statement{p: out[0], sql: string(sql), parameters: int(sqlite3.Xsqlite3_bind_parameter_count(c.tls, out[0]))}
	for i := range s.parameters {
		name := ""
		if z := sqlite3.Xsqlite3_bind_parameter_name(c.tls, s.p, int32(i+1)); z != 0 {
			name = libc.GoString(z)
		}
		s.names = append(s.names, name)
	}
	// A PRAGMA acts when it is compiled, and the authorizer notes it then.
	c.cached.add(c.tls, s, blank(rest) && !c.setting && len(sql) <= cachedSQL)
	return s, rest, nil
}

// blank reports whether there is nothing in sql but space, semicolons and
// comments.
func blank(sql []byte) bool {
	for i := 0; i < len(sql); {
		switch b := sql[i]; {
		case b == ' ' || b == ';' || b >= '\t' && b <= '\r':
			i++
		case b == '-' && i+1 < len(sql) && sql[i+1] == '-':
			for i < len(sql) && sql[i] != '\n' {
				i++
			}
		case b == '/' && i+1 < len(sql) && sql[i+1] == '*':
			end := bytes.Index(sql[i+2:], []byte("*/"))
			if end < 0 {
				return true
			}
			i += end + 4
		default:
			return false
		}
	}
	return true
}
