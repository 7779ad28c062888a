package sqlhost

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	sqlite3 "modernc.org/sqlite/lib"
)

// Module is the name that guests import from.
const Module = "hako_sql_v1"

// maxName is the longest name of a database that a guest may pass, in bytes.
const maxName = 1024

// Instantiate registers the imports in a runtime.
func Instantiate(ctx context.Context, r wazero.Runtime) error {
	b := r.NewHostModuleBuilder(Module)
	for name, f := range map[string]function{
		"open":    {open, 3},
		"close":   {closeConnection, 1},
		"prepare": {prepare, 4},
		"exec":    {exec, 7},
		"query":   {query, 8},
		"next":    {next, 5},
		"finish":  {finish, 2},
		"state":   {state, 1},
		"error":   {lastError, 2},
	} {
		b.NewFunctionBuilder().WithGoModuleFunction(f, i32s(f.params), i32s(1)).Export(name)
	}
	if _, err := b.Instantiate(ctx); err != nil {
		return fmt.Errorf("instantiate host module %s: %w", Module, err)
	}
	return nil
}

// A function is an import: its parameters are the stack's first values, and so
// is its result; all are 32-bit numbers. A result below 0 is an error: an
// extended result code of SQLite, negated.
type function struct {
	call   func(ctx context.Context, d *Databases, m api.Memory, p []uint64) (int, error)
	params int
}

// Call is api.GoModuleFunction's.
func (f function) Call(ctx context.Context, mod api.Module, stack []uint64) {
	d, _ := ctx.Value(contextKey{}).(*Databases)
	if d == nil || d.closed || mod.Memory() == nil {
		stack[0] = api.EncodeI32(-sqlite3.SQLITE_MISUSE)
		return
	}
	n, err := f.call(ctx, d, mod.Memory(), stack)
	if err == nil && n > math.MaxInt32 {
		err = &Error{Code: sqlite3.SQLITE_TOOBIG, Text: "the row is too large for the guest"}
	}
	if err != nil {
		stack[0] = api.EncodeI32(-int32(d.failed(err)))
		return
	}
	stack[0] = api.EncodeI32(int32(n))
}

// failed remembers an error and returns its code, which is not 0.
func (d *Databases) failed(err error) int {
	d.err = err
	var e *Error
	if errors.As(err, &e) && e.Code > 0 {
		return e.Code
	}
	return sqlite3.SQLITE_ERROR
}

func i32s(n int) []api.ValueType {
	types := make([]api.ValueType, n)
	for i := range types {
		types[i] = api.ValueTypeI32
	}
	return types
}

var errPointer = misuse("an argument points out of the guest's memory")

// memory returns the guest's memory that two parameters tell.
func memory(m api.Memory, p []uint64) ([]byte, error) {
	if uint32(p[1]) == 0 {
		return nil, nil
	}
	b, ok := m.Read(uint32(p[0]), uint32(p[1]))
	if !ok {
		return nil, errPointer
	}
	return b, nil
}

// timeout reads a number of milliseconds, 0 or less for none.
func timeout(p uint64) time.Duration {
	return time.Duration(max(int32(uint32(p)), 0)) * time.Millisecond
}

// open(name, length, flags) returns a connection.
func open(ctx context.Context, d *Databases, m api.Memory, p []uint64) (int, error) {
	name, err := memory(m, p)
	if err != nil {
		return 0, err
	}
	if len(name) > maxName {
		return 0, misuse("the database's name has %d bytes, which are more than %d", len(name), maxName)
	}
	n, err := d.connect(ctx, string(name), int32(uint32(p[2])))
	return int(n), err
}

// close(connection)
func closeConnection(_ context.Context, d *Databases, _ api.Memory, p []uint64) (int, error) {
	return 0, d.disconnect(int32(uint32(p[0])))
}

// prepare(connection, sql, length, timeout) returns the number of parameters.
func prepare(ctx context.Context, d *Databases, m api.Memory, p []uint64) (int, error) {
	sql, err := memory(m, p[1:])
	if err != nil {
		return 0, err
	}
	return d.prepare(ctx, int32(uint32(p[0])), timeout(p[3]), sql)
}

// exec(connection, sql, length, arguments, length, timeout, result) writes the
// last row's number and the number of changed rows, of 64 bits each.
func exec(ctx context.Context, d *Databases, m api.Memory, p []uint64) (int, error) {
	sql, args, err := statementOf(m, p)
	if err != nil {
		return 0, err
	}
	to := uint32(p[6])
	if _, ok := m.Read(to, 16); !ok {
		return 0, errPointer
	}
	id, changed, err := d.exec(ctx, int32(uint32(p[0])), timeout(p[5]), sql, args)
	if err == nil {
		m.WriteUint64Le(to, uint64(id))
		m.WriteUint64Le(to+8, uint64(changed))
	}
	return 0, err
}

func statementOf(m api.Memory, p []uint64) (sql []byte, args []argument, err error) {
	if sql, err = memory(m, p[1:]); err != nil {
		return nil, nil, err
	}
	b, err := memory(m, p[3:])
	if err != nil {
		return nil, nil, err
	}
	args, err = parseArguments(b)
	return sql, args, err
}

// query(connection, sql, length, arguments, length, timeout, block, length)
// returns the size of the block of rows.
func query(ctx context.Context, d *Databases, m api.Memory, p []uint64) (int, error) {
	sql, args, err := statementOf(m, p)
	if err != nil {
		return 0, err
	}
	to, err := memory(m, p[6:])
	if err != nil {
		return 0, err
	}
	return d.query(ctx, int32(uint32(p[0])), timeout(p[5]), sql, args, to)
}

// next(connection, cursor, timeout, block, length) returns the size of the
// next block of rows.
func next(ctx context.Context, d *Databases, m api.Memory, p []uint64) (int, error) {
	to, err := memory(m, p[3:])
	if err != nil {
		return 0, err
	}
	return d.next(ctx, int32(uint32(p[0])), int32(uint32(p[1])), timeout(p[2]), to)
}

// finish(connection, cursor)
func finish(ctx context.Context, d *Databases, _ api.Memory, p []uint64) (int, error) {
	return 0, d.finish(ctx, int32(uint32(p[0])), int32(uint32(p[1])))
}

// state(connection) returns the state of its transactions.
func state(_ context.Context, d *Databases, _ api.Memory, p []uint64) (int, error) {
	return d.state(int32(uint32(p[0])))
}

// error(text, length) writes the text of the last error and returns its size.
func lastError(_ context.Context, d *Databases, m api.Memory, p []uint64) (int, error) {
	to, err := memory(m, p)
	if err != nil {
		return 0, err
	}
	if d.err == nil {
		return 0, nil
	}
	text := visible(d.err)
	copy(to, text)
	return len(text), nil
}
