// Package script runs the same SQL in a guest and natively, for tests that
// compare the two.
package script

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Step is a statement, or what is to be done with the connection.
type Step struct {
	SQL      string
	Args     []any  // as JSON has them; numbers without a fraction are int64
	Named    string // the name of the first argument
	Query    bool
	Rows     int           // close the rows after so many; 0: read all
	Prepared bool          // prepare it first
	Timeout  time.Duration // of the context
	Tx       string        // begin, readonly, commit, rollback
	Time     bool          // the first argument is a number of seconds since 1970: pass a time.Time
	Blob     bool          // the first argument is passed as []byte
}

// A Result is what came of a step.
type Result struct {
	Columns []string   `json:",omitempty"`
	Types   []string   `json:",omitempty"`
	Rows    [][]string `json:",omitempty"` // the first thousand
	Count   int        // of rows
	ID      int64
	Changed int64
	Code    int    // of the error, -1 if it has none
	Error   string `json:",omitempty"`
}

// Run runs steps on one connection.
func Run(db *sql.DB, steps []Step) []Result {
	ctx := context.Background()
	conn, err := db.Conn(ctx)
	if err != nil {
		return []Result{failed(err)}
	}
	defer conn.Close()
	r := runner{conn: conn}
	results := make([]Result, len(steps))
	for i, s := range steps {
		results[i] = r.step(s)
	}
	if r.tx != nil {
		r.tx.Rollback()
	}
	return results
}

type runner struct {
	conn *sql.Conn
	tx   *sql.Tx
}

type executor interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	PrepareContext(context.Context, string) (*sql.Stmt, error)
}

func failed(err error) Result {
	r := Result{Code: -1, Error: err.Error()}
	var coded interface{ Code() int }
	if errors.As(err, &coded) {
		r.Code = coded.Code()
	}
	return r
}

func (r *runner) step(s Step) (out Result) {
	ctx := context.Background()
	if s.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.Timeout)
		defer cancel()
	}
	switch s.Tx {
	case "begin", "readonly":
		tx, err := r.conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: s.Tx == "readonly"})
		if err != nil {
			return failed(err)
		}
		r.tx = tx
		return Result{}
	case "commit", "rollback":
		end := r.tx.Commit
		if s.Tx == "rollback" {
			end = r.tx.Rollback
		}
		r.tx = nil
		if err := end(); err != nil {
			return failed(err)
		}
		return Result{}
	}
	args := make([]any, len(s.Args))
	for i, a := range s.Args {
		args[i] = a
		switch v := a.(type) {
		case int:
			args[i] = int64(v)
		case float64:
			if v == float64(int64(v)) {
				args[i] = int64(v)
			}
		}
	}
	if s.Time {
		args[0] = time.Unix(args[0].(int64), 0).UTC()
	}
	if s.Blob {
		args[0] = []byte(args[0].(string))
	}
	if s.Named != "" {
		args[0] = sql.Named(s.Named, args[0])
	}
	var e executor = r.conn
	if r.tx != nil {
		e = r.tx
	}
	exec := func() (sql.Result, error) { return e.ExecContext(ctx, s.SQL, args...) }
	query := func() (*sql.Rows, error) { return e.QueryContext(ctx, s.SQL, args...) }
	if s.Prepared {
		st, err := e.PrepareContext(ctx, s.SQL)
		if err != nil {
			return failed(err)
		}
		defer st.Close()
		exec = func() (sql.Result, error) { return st.ExecContext(ctx, args...) }
		query = func() (*sql.Rows, error) { return st.QueryContext(ctx, args...) }
	}
	if !s.Query {
		result, err := exec()
		if err != nil {
			return failed(err)
		}
		out.ID, _ = result.LastInsertId()
		out.Changed, _ = result.RowsAffected()
		return out
	}
	rows, err := query()
	if err != nil {
		return failed(err)
	}
	defer rows.Close()
	if err := read(rows, s.Rows, &out); err != nil {
		return failed(err)
	}
	return out
}

func read(rows *sql.Rows, most int, out *Result) (err error) {
	if out.Columns, err = rows.Columns(); err != nil {
		return err
	}
	types, err := rows.ColumnTypes()
	if err != nil {
		return err
	}
	for _, t := range types {
		out.Types = append(out.Types, t.DatabaseTypeName())
	}
	for rows.Next() {
		values := make([]any, len(out.Columns))
		to := make([]any, len(values))
		for i := range values {
			to[i] = &values[i]
		}
		if err := rows.Scan(to...); err != nil {
			return err
		}
		if out.Count++; out.Count <= 1000 {
			row := make([]string, len(values))
			for i, v := range values {
				row[i] = show(v)
			}
			out.Rows = append(out.Rows, row)
		}
		if out.Count == most {
			return rows.Close()
		}
	}
	return rows.Err()
}

func show(v any) string {
	s := fmt.Sprintf("%T %v", v, v)
	if t, ok := v.(time.Time); ok {
		s = "time " + t.UTC().Format(time.RFC3339Nano)
	}
	if len(s) > 200 {
		s = fmt.Sprintf("%s... %d", s[:100], len(s))
	}
	return strings.ToValidUTF8(s, "?")
}

// Three makes three queries n times, as a small web application would, and
// returns the sum of what it read.
func Three(db *sql.DB, n int) (sum int, err error) {
	for i := range n {
		var a, b int
		var text string
		if err := db.QueryRow("SELECT id, y FROM t WHERE id = ?", 1+i%100).Scan(&a, &text); err != nil {
			return 0, err
		}
		if err := db.QueryRow("SELECT count(*) FROM t WHERE id < ?", 20).Scan(&b); err != nil {
			return 0, err
		}
		rows, err := db.Query("SELECT id, y FROM t WHERE id > ? ORDER BY id LIMIT 20", i%50)
		if err != nil {
			return 0, err
		}
		for rows.Next() {
			var c int
			if err := rows.Scan(&c, &text); err != nil {
				return 0, err
			}
			sum += c
		}
		if err := rows.Err(); err != nil {
			return 0, err
		}
		sum += a + b
	}
	return sum, nil
}
