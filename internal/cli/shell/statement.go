package shell

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// exec runs one statement and prints its rows.
func (sh *Shell) exec(ctx context.Context, stmt string) error {
	began := time.Now()
	err := sh.query(ctx, stmt)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return newStatementError(stmt, err)
	}
	if changesSchema(stmt) {
		sh.catalog.forget()
	}
	if sh.changes {
		var changes, total int64
		if err := sh.conn.QueryRowContext(ctx, "SELECT changes(), total_changes()").Scan(&changes, &total); err != nil {
			return err
		}
		fmt.Fprintf(sh.out, "changes: %d   total_changes: %d\n", changes, total)
	}
	if sh.timer {
		fmt.Fprintf(sh.out, "Run Time: real %.3f\n", time.Since(began).Seconds())
	}
	return nil
}

func (sh *Shell) query(ctx context.Context, stmt string) error {
	args := sh.arguments(stmt)
	rows, err := sh.conn.QueryContext(ctx, stmt, args...)
	if err != nil {
		return err
	}
	defer func() { rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	if raw := rawTimes(stmt, rows, columns); raw != "" {
		if err := rows.Close(); err != nil {
			return err
		}
		if rows, err = sh.conn.QueryContext(ctx, raw, args...); err != nil {
			return err
		}
	}
	if len(columns) == 0 {
		for rows.Next() {
		}
		return rows.Err()
	}
	out := bufio.NewWriterSize(sh.out, 32<<10)
	if err := sh.print(rows, columns, out); err != nil {
		out.Flush() // the rows before an error are results too
		return err
	}
	return outputError(out.Flush())
}

func outputError(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return errOutputGone
	}
	return err
}

func (sh *Shell) print(rows *sql.Rows, columns []string, out *bufio.Writer) error {
	p := sh.printer(out, columns)
	row := make([]value, len(columns))
	into := make([]any, len(columns))
	for i := range row {
		into[i] = (*any)(&row[i])
	}
	for n := 0; rows.Next(); n++ {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if n == 0 {
			if err := p.begin(); err != nil {
				return outputError(err)
			}
		}
		if err := p.row(row); err != nil {
			return outputError(err)
		}
		if n == 0 && sh.o.Interactive && p.streams() {
			if err := out.Flush(); err != nil { // somebody is waiting for the first row
				return outputError(err)
			}
		}
	}
	if err := rows.Err(); err != nil {
		_ = p.end() // what came before the error is shown
		return err
	}
	return outputError(p.end())
}

// rawTimes returns a query with the rows of stmt as they are stored, if the
// driver would make times of some of their text because the columns are
// declared DATE, DATETIME or TIMESTAMP; "" if stmt can run as it is. An
// expression, unlike a column, has no declared type.
func rawTimes(stmt string, rows *sql.Rows, columns []string) string {
	types, err := rows.ColumnTypes()
	if err != nil || !isSelect(stmt) {
		return ""
	}
	found := false
	for _, t := range types {
		switch t.DatabaseTypeName() {
		case "DATE", "DATETIME", "TIMESTAMP":
			found = true
		}
	}
	if !found {
		return ""
	}
	var names, exprs strings.Builder
	for i, column := range columns {
		if i > 0 {
			names.WriteString(", ")
			exprs.WriteString(", ")
		}
		fmt.Fprintf(&names, "c%d", i)
		fmt.Fprintf(&exprs, "+c%d AS %s", i, quoteNameAlways(column))
	}
	body := strings.TrimRight(stmt, " \t\r\n")
	body = strings.TrimSuffix(body, ";")
	return "WITH shell_rows(" + names.String() + ") AS (\n" + body + "\n) SELECT " + exprs.String() + " FROM shell_rows"
}

// isSelect reports whether stmt is a SELECT or VALUES, with or without WITH.
func isSelect(stmt string) bool {
	depth := 0
	for _, t := range tokens(stmt) {
		text := stmt[t.start:t.end]
		switch {
		case text == "(":
			depth++
		case text == ")":
			depth--
		case t.kind == tokenWord && depth == 0:
			switch strings.ToUpper(text) {
			case "SELECT", "VALUES":
				return true
			case "INSERT", "REPLACE", "UPDATE", "DELETE", "EXPLAIN", "PRAGMA":
				return false
			}
		}
	}
	return false
}

func changesSchema(stmt string) bool {
	t := tokens(stmt)
	if len(t) == 0 {
		return false
	}
	switch strings.ToUpper(stmt[t[0].start:t[0].end]) {
	case "CREATE", "DROP", "ALTER", "ATTACH", "DETACH", "ROLLBACK":
		return true
	}
	return strings.Contains(strings.ToLower(stmt), "hako_at")
}

// arguments returns what .parameter set for the parameters of stmt; those
// that were not set are NULL.
func (sh *Shell) arguments(stmt string) []any {
	var args []any
	named := map[string]bool{}
	highest := 0
	for _, t := range tokens(stmt) {
		if t.kind != tokenParam {
			continue
		}
		name := stmt[t.start:t.end]
		if name[0] != '?' {
			if !named[name] {
				highest++
				named[name] = true
				args = append(args, sql.Named(name[1:], sh.params[name]))
			}
			continue
		}
		number := highest + 1
		if name != "?" {
			number, _ = strconv.Atoi(name[1:])
		}
		if number > 32766 {
			return nil // SQLite says what is wrong with it
		}
		for ; highest < number; highest++ {
			args = append(args, sh.params["?"+strconv.Itoa(highest+1)])
		}
	}
	return args
}
