package sqlite

import (
	"context"
	"database/sql/driver"
	"io"
)

type moderncStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// stmt is a prepared statement.
type stmt struct {
	moderncStmt
	c *conn
}

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
	outer := s.c.begin(ctx)
	r, err := s.moderncStmt.ExecContext(ctx, args)
	return r, s.c.end(outer, err)
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	outer := s.c.begin(ctx)
	inner, err := s.moderncStmt.QueryContext(ctx, args)
	if err = s.c.end(outer, err); err != nil {
		return nil, err
	}
	return s.c.rows(ctx, inner), nil
}

type moderncRows interface {
	driver.Rows
	driver.RowsColumnTypeDatabaseTypeName
	driver.RowsColumnTypeLength
	driver.RowsColumnTypeNullable
	driver.RowsColumnTypePrecisionScale
	driver.RowsColumnTypeScanType
}

// rows are a query's result.
type rows struct {
	moderncRows
	c        *conn
	ctx      context.Context
	stop     func() bool // of the watch on ctx, nil if ctx cannot end
	canceled bool        // ctx has ended; guarded by the connection's interrupter
}

func (c *conn) rows(ctx context.Context, inner driver.Rows) *rows {
	r := &rows{moderncRows: inner.(moderncRows), c: c, ctx: ctx}
	r.stop = c.interrupter.watch(ctx, r)
	return r
}

func (r *rows) Next(dest []driver.Value) error {
	if r.stop == nil {
		return r.next(dest)
	}
	if err := r.c.interrupter.enter(r); err != nil {
		return err
	}
	err := r.next(dest)
	if canceled := r.c.interrupter.leave(r); canceled != nil && err != io.EOF {
		return canceled
	}
	return err
}

func (r *rows) next(dest []driver.Value) error {
	outer := r.c.session.SetContext(r.ctx)
	err := r.moderncRows.Next(dest)
	r.c.session.SetContext(outer)
	if err == nil || err == io.EOF {
		return err
	}
	return enrich(r.c.session, err)
}

func (r *rows) Close() error {
	if r.stop != nil {
		r.stop()
	}
	outer := r.c.begin(r.ctx)
	return r.c.end(outer, r.moderncRows.Close())
}
