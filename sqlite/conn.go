package sqlite

import (
	"context"
	"database/sql/driver"

	"github.com/hako-run/hako/sqlite/vfscore"
)

// moderncConn is what we use of modernc.org/sqlite's connection.
type moderncConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// conn is a connection: modernc.org/sqlite's, with the running call's context
// for the waits of our side, and with errors that tell the cause.
type conn struct {
	moderncConn
	session *vfscore.Session
	link    *connection
	store   *openStore
	closed  bool

	interrupter interrupter
}

// begin begins a call; what it returns is for end.
func (c *conn) begin(ctx context.Context) (outer context.Context) {
	c.session.ClearErr()
	return c.session.SetContext(ctx)
}

// end ends a call that failed with err, if not nil, and returns its error.
func (c *conn) end(outer context.Context, err error) error {
	c.session.SetContext(outer)
	if err == nil {
		return nil
	}
	return enrich(c.session, err)
}

// Modernc returns the connection of modernc.org/sqlite, for sql.Conn.Raw.
func (c *conn) Modernc() driver.Conn { return c.moderncConn }

func (c *conn) Close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	c.interrupter.close()
	err := c.moderncConn.Close()
	c.link.drop()
	if rerr := c.store.release(); err == nil {
		err = rerr
	}
	return err
}

func (c *conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	outer := c.begin(ctx)
	inner, err := c.moderncConn.PrepareContext(ctx, query)
	if err = c.end(outer, err); err != nil {
		return nil, err
	}
	return &stmt{inner.(moderncStmt), c}, nil
}

func (c *conn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

func (c *conn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	outer := c.begin(ctx)
	inner, err := c.moderncConn.BeginTx(ctx, o)
	if err = c.end(outer, err); err != nil {
		return nil, err
	}
	return &tx{inner, c, ctx}, nil
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	outer := c.begin(ctx)
	r, err := c.moderncConn.ExecContext(ctx, query, args)
	return r, c.end(outer, err)
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	outer := c.begin(ctx)
	inner, err := c.moderncConn.QueryContext(ctx, query, args)
	if err = c.end(outer, err); err != nil {
		return nil, err
	}
	return c.rows(ctx, inner), nil
}

func (c *conn) Ping(ctx context.Context) error {
	outer := c.begin(ctx)
	return c.end(outer, c.moderncConn.Ping(ctx))
}

// ResetSession is called before the connection is used again by whoever takes
// it from the pool: that one must not find it pinned.
func (c *conn) ResetSession(ctx context.Context) error {
	c.session.Unpin()
	return c.moderncConn.ResetSession(ctx)
}

// tx is a transaction.
type tx struct {
	driver.Tx
	c   *conn
	ctx context.Context
}

func (t *tx) Commit() error {
	outer := t.c.begin(t.ctx)
	return t.c.end(outer, t.Tx.Commit())
}

func (t *tx) Rollback() error {
	outer := t.c.begin(context.Background())
	return t.c.end(outer, t.Tx.Rollback())
}
