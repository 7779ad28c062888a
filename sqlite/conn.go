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
}

// enter begins a call; what it returns ends it.
func (c *conn) enter(ctx context.Context) (leave func(*error)) {
	c.session.ClearErr()
	outer := c.session.SetContext(ctx)
	return func(err *error) {
		c.session.SetContext(outer)
		*err = enrich(c.session, *err)
	}
}

// Modernc returns the connection of modernc.org/sqlite, for sql.Conn.Raw.
func (c *conn) Modernc() driver.Conn { return c.moderncConn }

func (c *conn) Close() error {
	if c.closed {
		return nil
	}
	c.closed = true
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

func (c *conn) PrepareContext(ctx context.Context, query string) (s driver.Stmt, err error) {
	defer c.enter(ctx)(&err)
	inner, err := c.moderncConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return &stmt{inner.(moderncStmt), c}, nil
}

func (c *conn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

func (c *conn) BeginTx(ctx context.Context, o driver.TxOptions) (t driver.Tx, err error) {
	defer c.enter(ctx)(&err)
	inner, err := c.moderncConn.BeginTx(ctx, o)
	if err != nil {
		return nil, err
	}
	return &tx{inner, c, ctx}, nil
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (r driver.Result, err error) {
	defer c.enter(ctx)(&err)
	return c.moderncConn.ExecContext(ctx, query, args)
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (r driver.Rows, err error) {
	defer c.enter(ctx)(&err)
	inner, err := c.moderncConn.QueryContext(ctx, query, args)
	if err != nil {
		return nil, err
	}
	return &rows{inner.(moderncRows), c, ctx}, nil
}

func (c *conn) Ping(ctx context.Context) (err error) {
	defer c.enter(ctx)(&err)
	return c.moderncConn.Ping(ctx)
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

func (t *tx) Commit() (err error) {
	defer t.c.enter(t.ctx)(&err)
	return t.Tx.Commit()
}

func (t *tx) Rollback() (err error) {
	defer t.c.enter(context.Background())(&err)
	return t.Tx.Rollback()
}
