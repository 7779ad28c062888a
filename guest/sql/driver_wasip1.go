package sql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"time"
)

func init() { sql.Register("hako", Driver{}) }

// Driver is the database/sql driver "hako".
type Driver struct{}

// Open opens a connection.
func (d Driver) Open(dsn string) (driver.Conn, error) {
	c, err := d.OpenConnector(dsn)
	if err != nil {
		return nil, err
	}
	return c.Connect(context.Background())
}

// OpenConnector reads the data source name.
func (Driver) OpenConnector(dsn string) (driver.Connector, error) {
	n, err := parseName(dsn)
	if err != nil {
		return nil, err
	}
	return &connector{n}, nil
}

type connector struct{ name *name }

func (*connector) Driver() driver.Driver { return Driver{} }

func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	flags := uint32(0)
	if c.name.readOnly {
		flags |= 1
	}
	if c.name.optimistic {
		flags |= 2
	}
	handle := hostOpen(textPointer(c.name.database), uint32(len(c.name.database)), flags)
	if err := check(handle); err != nil {
		return nil, err
	}
	cn := &conn{name: c.name, handle: handle}
	if len(c.name.setUp) > 0 {
		if _, err := cn.ExecContext(ctx, strings.Join(c.name.setUp, ";"), nil); err != nil {
			return nil, errors.Join(err, cn.Close())
		}
	}
	return cn, nil
}

// conn is a connection in the host.
type conn struct {
	name   *name
	handle int32
	args   []byte // kept for the next call
	block  []byte // likewise; nil while rows have it
	gone   bool
}

// blockSize is how many bytes of rows the host gives at first.
const blockSize = 16 << 10

// timeout is what is left of ctx, in milliseconds; 0 is no limit.
func timeout(ctx context.Context) (ms int32, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0, nil
	}
	left := time.Until(deadline).Milliseconds() + 1
	if left <= 0 {
		return 0, context.DeadlineExceeded
	}
	return int32(min(left, math.MaxInt32)), nil
}

// check is check for a call that ctx bounds.
func (c *conn) check(ctx context.Context, n int32) error {
	err := check(n)
	if err == nil {
		return nil
	}
	if err == driver.ErrBadConn {
		c.gone = true
	}
	if n == -9 || n == -5 { // SQLITE_INTERRUPT, SQLITE_BUSY
		if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
			return context.DeadlineExceeded
		}
	}
	return err
}

func (c *conn) arguments(args []driver.NamedValue) ([]byte, error) {
	if len(args) == 0 {
		return nil, nil
	}
	b, err := c.name.appendArguments(c.args[:0], args)
	if cap(b) <= 1<<20 {
		c.args = b
	}
	return b, err
}

// IsValid reports false once the host does not know the connection.
func (c *conn) IsValid() bool { return !c.gone }

// ResetSession finds out whether this is a copy of an instance whose
// connection the host does not have.
func (c *conn) ResetSession(context.Context) error {
	return c.check(context.Background(), hostState(c.handle))
}

func (c *conn) Close() error {
	err := check(hostClose(c.handle))
	if err == driver.ErrBadConn {
		return nil
	}
	return err
}

func (c *conn) Ping(ctx context.Context) error { return c.ResetSession(ctx) }

func (c *conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// PrepareContext lets the host compile the statement, which it keeps by its
// text.
func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	ms, err := timeout(ctx)
	if err != nil {
		return nil, err
	}
	n := hostPrepare(c.handle, textPointer(query), uint32(len(query)), ms)
	if err := c.check(ctx, n); err != nil {
		return nil, err
	}
	return &stmt{c, query}, nil
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	ms, err := timeout(ctx)
	if err != nil {
		return nil, err
	}
	b, err := c.arguments(args)
	if err != nil {
		return nil, err
	}
	var out [16]byte
	n := hostExec(c.handle, textPointer(query), uint32(len(query)), pointer(b), uint32(len(b)), ms, pointer(out[:]))
	if err := c.check(ctx, n); err != nil {
		return nil, err
	}
	return result{int64(binary.LittleEndian.Uint64(out[:])), int64(binary.LittleEndian.Uint64(out[8:]))}, nil
}

type result struct{ id, changed int64 }

func (r result) LastInsertId() (int64, error) { return r.id, nil }
func (r result) RowsAffected() (int64, error) { return r.changed, nil }

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	ms, err := timeout(ctx)
	if err != nil {
		return nil, err
	}
	b, err := c.arguments(args)
	if err != nil {
		return nil, err
	}
	r := &rows{c: c, ctx: ctx, block: c.block}
	c.block = nil
	if r.block == nil {
		r.block = make([]byte, blockSize)
	}
	n := hostQuery(c.handle, textPointer(query), uint32(len(query)), pointer(b), uint32(len(b)), ms, pointer(r.block), uint32(len(r.block)))
	if err := r.got(n); err != nil {
		c.block = r.block
		return nil, err
	}
	return r, nil
}

func (c *conn) Begin() (driver.Tx, error) { return c.BeginTx(context.Background(), driver.TxOptions{}) }

// BeginTx begins a transaction. In one that is read-only, every write is
// SQLITE_READONLY.
func (c *conn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	if o.Isolation != 0 && sql.IsolationLevel(o.Isolation) != sql.LevelSerializable {
		return nil, &Error{21, "transactions of SQLite are serializable and nothing else"}
	}
	t := &tx{c: c, ctx: ctx}
	begin := c.name.begin
	if o.ReadOnly {
		already, err := c.queryOnly(ctx)
		if err != nil {
			return nil, err
		}
		begin = "BEGIN"
		if !already {
			t.restricted = true
			begin = "BEGIN;PRAGMA query_only=1"
		}
	}
	if _, err := c.ExecContext(ctx, begin, nil); err != nil {
		return nil, err
	}
	return t, nil
}

func (c *conn) queryOnly(ctx context.Context) (bool, error) {
	r, err := c.QueryContext(ctx, "PRAGMA query_only", nil)
	if err != nil {
		return false, err
	}
	defer r.Close()
	row := make([]driver.Value, 1)
	if err := r.Next(row); err != nil {
		return false, err
	}
	return row[0] != int64(0), nil
}

type tx struct {
	c          *conn
	ctx        context.Context
	restricted bool // query_only is set for this transaction alone
}

func (t *tx) Commit() error {
	_, err := t.c.ExecContext(t.ctx, "COMMIT", nil)
	if err != nil && hostState(t.c.handle)&4 == 0 {
		// database/sql takes the transaction for ended.
		_, rerr := t.c.ExecContext(context.Background(), "ROLLBACK", nil)
		err = errors.Join(err, rerr)
	}
	return t.unrestrict(err)
}

func (t *tx) Rollback() error {
	var err error
	if hostState(t.c.handle)&4 == 0 { // an error may have rolled back already
		_, err = t.c.ExecContext(context.Background(), "ROLLBACK", nil)
	}
	return t.unrestrict(err)
}

func (t *tx) unrestrict(err error) error {
	if !t.restricted {
		return err
	}
	t.restricted = false
	_, uerr := t.c.ExecContext(context.Background(), "PRAGMA query_only=0", nil)
	return errors.Join(err, uerr)
}

// stmt is a statement, by its text.
type stmt struct {
	c     *conn
	query string
}

func (s *stmt) Close() error  { return nil }
func (s *stmt) NumInput() int { return -1 }

func (s *stmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(context.Background(), named(args))
}

func (s *stmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.QueryContext(context.Background(), named(args))
}

func named(args []driver.Value) []driver.NamedValue {
	list := make([]driver.NamedValue, len(args))
	for i, v := range args {
		list[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return list
}

func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.c.ExecContext(ctx, s.query, args)
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.c.QueryContext(ctx, s.query, args)
}
