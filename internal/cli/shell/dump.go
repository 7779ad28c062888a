package shell

import (
	"bufio"
	"context"
	"fmt"
	"strings"
)

func (sh *Shell) dumpCommand(ctx context.Context, args []string) error {
	w := bufio.NewWriterSize(sh.out, 64<<10)
	d := &dumper{sh: sh, w: w}
	err := d.dump(ctx, args)
	if e := w.Flush(); err == nil {
		err = outputError(e)
	}
	return err
}

// A dumper writes the script of .dump: tables with their rows in the order
// they were created, then indexes, triggers and views, so that no trigger
// fires and nothing is indexed row by row.
type dumper struct {
	sh       *Shell
	w        *bufio.Writer
	writable bool // PRAGMA writable_schema is on in the script
}

// dump reads everything in one read transaction, unless one is open already.
func (d *dumper) dump(ctx context.Context, patterns []string) (err error) {
	if _, e := d.sh.conn.ExecContext(ctx, "SAVEPOINT shell_dump"); e != nil {
		return e
	}
	defer func() {
		if _, e := d.sh.conn.ExecContext(context.WithoutCancel(ctx), "RELEASE shell_dump"); err == nil {
			err = e
		}
	}()
	fmt.Fprint(d.w, "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n")
	if err := d.objects(ctx, patterns); err != nil {
		if d.writable {
			fmt.Fprint(d.w, "PRAGMA writable_schema=OFF;\n")
		}
		fmt.Fprint(d.w, "ROLLBACK; -- due to errors\n")
		return fmt.Errorf("dump: %w", err)
	}
	if d.writable {
		fmt.Fprint(d.w, "PRAGMA writable_schema=OFF;\n")
	}
	_, err = fmt.Fprint(d.w, "COMMIT;\n")
	return outputError(err)
}

type schemaRow struct{ name, kind, sql string }

func (d *dumper) objects(ctx context.Context, patterns []string) error {
	match := func(column string) (string, []any) {
		if len(patterns) == 0 {
			return "true", nil
		}
		var terms []string
		var args []any
		for _, p := range patterns {
			terms = append(terms, column+" LIKE ?")
			args = append(args, p)
		}
		return "(" + strings.Join(terms, " OR ") + ")", args
	}
	where, args := match("tbl_name")
	tables, err := d.list(ctx, "SELECT name, type, sql FROM sqlite_schema WHERE type = 'table' AND sql IS NOT NULL AND "+where+
		" ORDER BY tbl_name = 'sqlite_sequence', rowid", args)
	if err != nil {
		return err
	}
	if len(patterns) > 0 { // the shadow tables of a virtual table go with it
		if tables, err = d.withShadows(ctx, tables); err != nil {
			return err
		}
	}
	for _, t := range tables {
		if err := d.table(ctx, t); err != nil {
			return fmt.Errorf("table %s: %w", t.name, err)
		}
	}
	others, err := d.list(ctx, "SELECT name, type, sql FROM sqlite_schema WHERE sql IS NOT NULL AND type IN ('index', 'trigger', 'view') AND "+where+
		" ORDER BY rowid", args)
	if err != nil {
		return err
	}
	for _, o := range others {
		fmt.Fprintln(d.w, terminated(o.sql))
	}
	return nil
}

func (d *dumper) list(ctx context.Context, query string, args []any) ([]schemaRow, error) {
	rows, err := d.sh.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []schemaRow
	for rows.Next() {
		var r schemaRow
		if err := rows.Scan(&r.name, &r.kind, &r.sql); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

func (d *dumper) withShadows(ctx context.Context, tables []schemaRow) ([]schemaRow, error) {
	have := map[string]bool{}
	virtual := []string{}
	for _, t := range tables {
		have[t.name] = true
		if isVirtual(t.sql) {
			virtual = append(virtual, t.name)
		}
	}
	if len(virtual) == 0 {
		return tables, nil
	}
	shadows, err := d.list(ctx, `SELECT s.name, s.type, s.sql FROM sqlite_schema AS s JOIN pragma_table_list AS l ON l.name = s.name AND l.schema = 'main'
		WHERE s.type = 'table' AND s.sql IS NOT NULL AND l.type = 'shadow' ORDER BY s.rowid`, nil)
	if err != nil {
		return nil, err
	}
	for _, s := range shadows {
		for _, v := range virtual {
			if strings.HasPrefix(s.name, v+"_") && !have[s.name] {
				have[s.name] = true
				tables = append(tables, s)
			}
		}
	}
	return tables, nil
}

func isVirtual(text string) bool {
	return len(text) >= 20 && strings.EqualFold(text[:20], "CREATE VIRTUAL TABLE")
}

func (d *dumper) table(ctx context.Context, t schemaRow) error {
	switch {
	case t.name == "sqlite_sequence":
		fmt.Fprint(d.w, "DELETE FROM sqlite_sequence;\n")
	case strings.HasPrefix(t.name, "sqlite_stat"):
		fmt.Fprint(d.w, "ANALYZE sqlite_schema;\n")
	case strings.HasPrefix(t.name, "sqlite_"):
		return nil
	case isVirtual(t.sql):
		if !d.writable {
			fmt.Fprint(d.w, "PRAGMA writable_schema=ON;\n")
			d.writable = true
		}
		_, err := fmt.Fprintf(d.w, "INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql)VALUES('table',%[1]s,%[1]s,0,%[2]s);\n",
			quoteText(t.name, false), quoteText(t.sql, false))
		return outputError(err) // its rows are in its shadow tables
	default:
		text := t.sql
		for _, quote := range []string{"'", `"`} {
			if rest, ok := strings.CutPrefix(text, "CREATE TABLE "+quote); ok { // may be a shadow table that exists by then
				text = "CREATE TABLE IF NOT EXISTS " + quote + rest
			}
		}
		fmt.Fprintln(d.w, terminated(text))
	}
	return d.rows(ctx, t.name)
}

func (d *dumper) rows(ctx context.Context, table string) error {
	columns, err := d.sh.names(ctx, "SELECT name FROM pragma_table_info(?, 'main')", table)
	if err != nil {
		return err
	}
	exprs := make([]string, len(columns))
	for i, c := range columns {
		exprs[i] = "+" + quoteNameAlways(c) // an expression, or the driver would make times of some text
	}
	rows, err := d.sh.conn.QueryContext(ctx, "SELECT "+strings.Join(exprs, ", ")+" FROM main."+quoteNameAlways(table)+" NOT INDEXED")
	if err != nil {
		return err
	}
	defer rows.Close()
	p := newInsertPrinter(d.w, table, nil, false)
	row := make([]value, len(columns))
	into := make([]any, len(columns))
	for i := range row {
		into[i] = (*any)(&row[i])
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if err := p.row(row); err != nil {
			return outputError(err)
		}
	}
	return rows.Err()
}
