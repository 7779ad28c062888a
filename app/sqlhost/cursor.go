package sqlhost

import (
	"math"
	"strconv"
	"strings"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// A cursor is a query under way.
type cursor struct {
	s       *statement
	number  int32
	columns []column
	told    bool // the guest knows the columns
	pending bool // SQLite is at a row that the guest has not got
}

type column struct{ name, declared string }

// headSize is the size of what every block of rows begins with.
const headSize = 16

func (b *block) head(cursor int32, columns, rows int) {
	b.u32(int(cursor))
	b.u32(columns)
	b.u32(rows)
	b.u32(0)
}

// describe looks up the columns.
func (u *cursor) describe(c *connection) {
	u.columns = make([]column, sqlite3.Xsqlite3_column_count(c.tls, u.s.p))
	for i := range u.columns {
		u.columns[i] = column{
			clip(text(sqlite3.Xsqlite3_column_name(c.tls, u.s.p, int32(i)))),
			clip(text(sqlite3.Xsqlite3_column_decltype(c.tls, u.s.p, int32(i)))),
		}
	}
}

// clip bounds what is told of a column.
func clip(s string) string { return s[:min(len(s), math.MaxUint16)] }

func (u *cursor) writeColumns(b *block) {
	for _, col := range u.columns {
		b.u16(len(col.name))
		b.u16(len(col.declared))
		b.bytes([]byte(col.name))
		b.bytes([]byte(col.declared))
	}
}

// fill writes the block of rows that comes next and returns its size. If that
// is more than to has, nothing is lost: only the cursor's number was written.
func (h *handle) fill(u *cursor, to []byte) (int, error) {
	c := h.c
	b := block{to: to}
	b.head(u.number, 0, 0)
	columns := 0
	if !u.told {
		columns = len(u.columns)
		u.writeColumns(&b)
		if !u.pending { // the first attempt: whether there are rows decides how much room is needed
			if err := h.step(u); err != nil {
				return 0, err
			}
		}
	} else if !u.pending {
		if err := h.step(u); err != nil {
			return 0, err
		}
	}
	rows := 0
	for u.pending {
		at := b.size
		c.writeRow(u.s, len(u.columns), &b)
		if !b.fits() {
			if rows > 0 {
				b.size = at
			}
			break
		}
		rows++
		if err := h.step(u); err != nil {
			return 0, err
		}
	}
	head := block{to: to}
	if !b.fits() {
		u.retry(&head)
		return b.size, nil
	}
	u.told = true
	number := u.number
	if !u.pending {
		number = 0
		if err := h.drop(u); err != nil {
			return 0, err
		}
	}
	head.head(number, columns, rows)
	return b.size, nil
}

// retry writes the head of a block that was too small.
func (u *cursor) retry(b *block) { b.head(u.number, 0, 0) }

// step goes to the next row, or ends the query after the last or an error.
func (h *handle) step(u *cursor) error {
	c := h.c
	switch rc := sqlite3.Xsqlite3_step(c.tls, u.s.p); rc {
	case sqlite3.SQLITE_ROW:
		u.pending = true
		return nil
	case sqlite3.SQLITE_DONE:
		u.pending = false
		return nil
	default:
		err := c.fail(rc)
		_ = h.drop(u)
		return err
	}
}

// drop ends a query.
func (h *handle) drop(u *cursor) error {
	delete(h.cursors, u.number)
	if rc := h.c.cached.give(h.c.tls, u.s); rc != sqlite3.SQLITE_OK && rc&0xff != sqlite3.SQLITE_INTERRUPT {
		return h.c.fail(rc)
	}
	return nil
}

// writeRow writes the row that a statement is at.
func (c *connection) writeRow(s *statement, columns int, b *block) {
	for i := range int32(columns) {
		kind := sqlite3.Xsqlite3_column_type(c.tls, s.p, i)
		b.u8(byte(kind))
		switch kind {
		case typeInteger:
			b.u64(uint64(sqlite3.Xsqlite3_column_int64(c.tls, s.p, i)))
		case typeFloat:
			b.u64(math.Float64bits(sqlite3.Xsqlite3_column_double(c.tls, s.p, i)))
		case typeText, typeBlob:
			var p uintptr
			if kind == typeText {
				p = sqlite3.Xsqlite3_column_text(c.tls, s.p, i)
			} else {
				p = sqlite3.Xsqlite3_column_blob(c.tls, s.p, i)
			}
			n := int(sqlite3.Xsqlite3_column_bytes(c.tls, s.p, i))
			if p == 0 {
				n = 0
			}
			b.u32(n)
			if n > 0 {
				b.bytes(bytesAt(p, n))
			}
		}
	}
}

// bind gives a statement its arguments.
func (c *connection) bind(s *statement, args []argument) error {
	for i := range s.parameters {
		a := find(args, s.names[i], i)
		if a == nil {
			if name := s.names[i]; name != "" {
				return &Error{Code: sqlite3.SQLITE_RANGE, Text: "missing named argument " + strconv.Quote(name[1:])}
			}
			return &Error{Code: sqlite3.SQLITE_RANGE, Text: "missing argument with index " + strconv.Itoa(i+1)}
		}
		if rc := bindValue(c.tls, s.p, int32(i+1), a); rc != sqlite3.SQLITE_OK {
			return c.fail(rc)
		}
	}
	return nil
}

// find returns the argument for a parameter: the one of its name, without the
// first character, or the one at its place: i, or the number in ?NNN and $NNN.
func find(args []argument, name string, i int) *argument {
	place := i
	if name != "" {
		place = -1
		if n, err := strconv.Atoi(name[1:]); err == nil && n > 0 && strings.ContainsRune("?$", rune(name[0])) {
			place = n - 1
		}
		for k := range args {
			if args[k].name == name[1:] || k == place {
				return &args[k]
			}
		}
		return nil
	}
	if place < len(args) {
		return &args[place]
	}
	return nil
}

func bindValue(tls *libc.TLS, p uintptr, i int32, a *argument) int32 {
	switch a.kind {
	case typeInteger:
		return sqlite3.Xsqlite3_bind_int64(tls, p, i, int64(a.bits))
	case typeFloat:
		return sqlite3.Xsqlite3_bind_double(tls, p, i, math.Float64frombits(a.bits))
	case typeText, typeBlob:
		v := copyOut(tls, a.bytes)
		if v == 0 {
			return sqlite3.SQLITE_NOMEM
		}
		n := sqlite3.Tsqlite3_uint64(len(a.bytes))
		if a.kind == typeText {
			return sqlite3.Xsqlite3_bind_text64(tls, p, i, v, n, freePointer, sqlite3.SQLITE_UTF8)
		}
		return sqlite3.Xsqlite3_bind_blob64(tls, p, i, v, n, freePointer)
	}
	return sqlite3.Xsqlite3_bind_null(tls, p, i)
}
