package sql

import (
	"context"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"reflect"
	"strings"
	"time"
)

// rows are a query's result, of which a block is here.
type rows struct {
	c        *conn
	ctx      context.Context
	block    []byte // the guest's memory that blocks are put in
	rest     []byte // of the block, the rows that were not read
	left     uint32 // how many those are
	cursor   int32  // in the host; 0 if there is no more than the block
	names    []string
	declared []string
	hints    []uint8 // by column, the format that times had
	kinds    []byte  // of the last row's values
	closed   bool
}

// headSize is the size of what a block begins with.
const headSize = 16

var errBlock = errors.New("the host's block of rows is malformed")

// got takes what query or next answered.
func (r *rows) got(n int32) error {
	for int(n) > len(r.block) {
		r.cursor = int32(binary.LittleEndian.Uint32(r.block))
		r.block = make([]byte, n)
		ms, err := timeout(r.ctx)
		if err != nil {
			_ = check(hostFinish(r.c.handle, r.cursor))
			return err
		}
		n = hostNext(r.c.handle, r.cursor, ms, pointer(r.block), uint32(len(r.block)))
	}
	if err := r.c.check(r.ctx, n); err != nil {
		r.cursor = 0
		return err
	}
	if n < headSize {
		return errBlock
	}
	r.cursor = int32(binary.LittleEndian.Uint32(r.block))
	columns := binary.LittleEndian.Uint32(r.block[4:])
	r.left = binary.LittleEndian.Uint32(r.block[8:])
	r.rest = r.block[headSize:n]
	for range columns {
		sizes := r.cut(4)
		name := string(r.cut(int(binary.LittleEndian.Uint16(sizes))))
		declared := string(r.cut(int(binary.LittleEndian.Uint16(sizes[2:]))))
		r.names = append(r.names, name)
		r.declared = append(r.declared, strings.ToUpper(declared))
	}
	if columns > 0 {
		r.hints, r.kinds = make([]uint8, columns), make([]byte, columns)
		for i, rest := 0, r.rest; i < len(r.kinds) && r.left > 0; i++ { // for ColumnTypes before Next
			r.kinds[i] = rest[0]
			switch rest[0] {
			case typeInteger, typeFloat:
				rest = rest[9:]
			case typeText, typeBlob:
				rest = rest[5+binary.LittleEndian.Uint32(rest[1:]):]
			default:
				rest = rest[1:]
			}
		}
	}
	return nil
}

// cut takes the next n bytes, which the host has put there.
func (r *rows) cut(n int) []byte {
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *rows) Columns() []string { return r.names }

func (r *rows) Next(dest []driver.Value) error {
	for r.left == 0 {
		if r.cursor == 0 {
			return io.EOF
		}
		ms, err := timeout(r.ctx)
		if err != nil {
			return err
		}
		if len(r.block) < maxBlock { // it is a long result
			r.block = make([]byte, min(4*len(r.block), maxBlock))
		}
		if err := r.got(hostNext(r.c.handle, r.cursor, ms, pointer(r.block), uint32(len(r.block)))); err != nil {
			return err
		}
	}
	r.left--
	for i := range dest {
		kind := r.cut(1)[0]
		r.kinds[i] = kind
		switch kind {
		case typeInteger:
			v := int64(binary.LittleEndian.Uint64(r.cut(8)))
			dest[i] = v
			if r.c.name.intToTime && isTime(r.declared[i]) {
				dest[i] = ofInteger(v)
			}
		case typeFloat:
			dest[i] = math.Float64frombits(binary.LittleEndian.Uint64(r.cut(8)))
		case typeText:
			v := string(r.cut(int(binary.LittleEndian.Uint32(r.cut(4)))))
			dest[i] = v
			if isTime(r.declared[i]) || r.c.name.textToTime && r.declared[i] == "" {
				if t, at, ok := parseTime(v, int(r.hints[i])); ok {
					dest[i], r.hints[i] = t, uint8(at)
				}
			}
		case typeBlob:
			v := r.cut(int(binary.LittleEndian.Uint32(r.cut(4))))
			dest[i] = append([]byte(nil), v...)
		case typeNull:
			dest[i] = nil
		default:
			return errBlock
		}
	}
	return nil
}

// maxBlock is how many bytes of rows are asked for at a time.
const maxBlock = 256 << 10

func (r *rows) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	if r.c.block == nil {
		r.c.block = r.block
	}
	r.block, r.rest, r.left = nil, nil, 0
	if r.cursor == 0 {
		return nil
	}
	cursor := r.cursor
	r.cursor = 0
	return check(hostFinish(r.c.handle, cursor))
}

// ColumnTypeDatabaseTypeName returns what the column was declared as, "" if it
// is computed.
func (r *rows) ColumnTypeDatabaseTypeName(i int) string { return r.declared[i] }

// ColumnTypeNullable says that any column may be NULL.
func (r *rows) ColumnTypeNullable(int) (nullable, ok bool) { return true, true }

// ColumnTypeLength tells that the lengths of text and blobs are not limited.
func (r *rows) ColumnTypeLength(i int) (length int64, ok bool) {
	if r.kinds[i] == typeText || r.kinds[i] == typeBlob {
		return math.MaxInt64, true
	}
	return 0, false
}

// ColumnTypePrecisionScale tells nothing: SQLite has no decimal types.
func (r *rows) ColumnTypePrecisionScale(int) (precision, scale int64, ok bool) { return 0, 0, false }

// ColumnTypeScanType returns the type of the row that is read, or the first:
// SQLite's columns have none of their own.
func (r *rows) ColumnTypeScanType(i int) reflect.Type {
	switch r.kinds[i] {
	case typeInteger:
		switch r.declared[i] {
		case "BOOLEAN":
			return reflect.TypeFor[bool]()
		case "DATE", "DATETIME", "TIME", "TIMESTAMP":
			return reflect.TypeFor[time.Time]()
		}
		return reflect.TypeFor[int64]()
	case typeFloat:
		return reflect.TypeFor[float64]()
	case typeText:
		if r.c.name.textToTime && (isTime(r.declared[i]) || r.declared[i] == "TIME") {
			return reflect.TypeFor[time.Time]()
		}
		return reflect.TypeFor[string]()
	case typeBlob:
		return reflect.TypeFor[[]byte]()
	case typeNull:
		return nil
	}
	return reflect.TypeFor[string]()
}

// isTime reports whether a column of this declared type holds times.
func isTime(declared string) bool {
	switch declared {
	case "DATE", "DATETIME", "TIMESTAMP":
		return true
	}
	return false
}
