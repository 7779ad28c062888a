package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

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

// Pinned returns the snapshot that a connection of this driver reads, as in
// shop@42, if its main database is pinned to one: it was opened as one, or by
// hako_at. Else, when it reads the newest version, it returns "".
func Pinned(c *sql.Conn) (snapshot string, err error) {
	err = c.Raw(func(driverConn any) error {
		dc, ok := driverConn.(*conn)
		if !ok {
			return fmt.Errorf("connection is a %T, none of a Hako database", driverConn)
		}
		if mains := dc.session.Mains(); len(mains) > 0 && mains[0].Pinned() { // the others are attached
			snapshot = mains[0].Snapshot()
		}
		return nil
	})
	return snapshot, err
}

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

// BeginTx begins a transaction. In one that is read-only, every write is
// SQLITE_READONLY.
func (c *conn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	restrict := false
	if o.ReadOnly {
		already, err := c.queryOnly(ctx)
		if err != nil {
			return nil, err
		}
		if restrict = !already; restrict {
			if err := c.setQueryOnly(ctx, true); err != nil {
				return nil, err
			}
		}
	}
	outer := c.begin(ctx)
	inner, err := c.moderncConn.BeginTx(ctx, o)
	if err = c.end(outer, err); err != nil {
		if restrict {
			err = errors.Join(err, c.setQueryOnly(context.Background(), false))
		}
		return nil, err
	}
	return &tx{Tx: inner, c: c, ctx: ctx, restricted: restrict}, nil
}

// queryOnly reports whether the connection refuses all writes.
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

func (c *conn) setQueryOnly(ctx context.Context, on bool) error {
	query := "PRAGMA query_only=0"
	if on {
		query = "PRAGMA query_only=1"
	}
	_, err := c.ExecContext(ctx, query, nil)
	return err
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
	c          *conn
	ctx        context.Context
	restricted bool // query_only is set for this transaction alone
}

func (t *tx) Commit() error {
	outer := t.c.begin(t.ctx)
	return t.unrestrict(t.c.end(outer, t.Tx.Commit()))
}

func (t *tx) Rollback() error {
	outer := t.c.begin(context.Background())
	return t.unrestrict(t.c.end(outer, t.Tx.Rollback()))
}

func (t *tx) unrestrict(err error) error {
	if !t.restricted {
		return err
	}
	t.restricted = false
	return errors.Join(err, t.c.setQueryOnly(context.Background(), false))
}
