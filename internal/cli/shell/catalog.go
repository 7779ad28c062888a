package shell

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A catalog remembers the names in the schema, for completion.
type catalog struct {
	conn    *sql.Conn
	known   bool
	tables  []string
	columns map[string][]string // by the table's name in lower case
}

func (c *catalog) forget() { c.known = false }

// load reads the names if they are not known. Without them (the schema is
// damaged, say) there is just less to complete.
func (c *catalog) load(ctx context.Context) {
	if c.known {
		return
	}
	c.known, c.tables, c.columns = true, nil, map[string][]string{}
	rows, err := c.conn.QueryContext(ctx, `SELECT t.name, x.name FROM pragma_table_list AS t LEFT JOIN pragma_table_xinfo(t.name, t.schema) AS x
		WHERE t.type <> 'shadow' AND t.name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY 1, x.cid LIMIT 20000`)
	if err != nil {
		return
	}
	defer rows.Close()
	for rows.Next() {
		var table string
		var column sql.NullString
		if rows.Scan(&table, &column) != nil {
			return
		}
		if len(c.tables) == 0 || c.tables[len(c.tables)-1] != table {
			c.tables = append(c.tables, table)
		}
		key := strings.ToLower(table)
		if column.Valid && !slices.Contains(c.columns[key], column.String) {
			c.columns[key] = append(c.columns[key], column.String)
		}
	}
}

// schemas returns the attached databases by name and file.
func (sh *Shell) schemas(ctx context.Context) (names, files []string, err error) {
	rows, err := sh.conn.QueryContext(ctx, "SELECT name, coalesce(file, '') FROM pragma_database_list ORDER BY seq")
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name, file string
		if err := rows.Scan(&name, &file); err != nil {
			return nil, nil, err
		}
		names, files = append(names, name), append(files, file)
	}
	return names, files, rows.Err()
}

func (sh *Shell) databases(ctx context.Context, _ []string) error {
	names, files, err := sh.schemas(ctx)
	if err != nil {
		return err
	}
	for i, name := range names {
		file := files[i]
		if file == "" {
			file = `""`
		}
		if _, err := fmt.Fprintf(sh.out, "%s: %s\n", name, sh.safe(file)); err != nil {
			return outputError(err)
		}
	}
	return nil
}

// schemaQuery returns the union of a SELECT over the schema tables of all
// attached databases. Each %[1]s in body is the quoted schema, %[2]s a prefix
// for names as an SQL literal.
func (sh *Shell) schemaQuery(ctx context.Context, body string) (string, error) {
	names, _, err := sh.schemas(ctx)
	if err != nil {
		return "", err
	}
	parts := make([]string, len(names))
	for i, name := range names {
		prefix := "''"
		if name != "main" {
			prefix = quoteText(name+".", false)
		}
		parts[i] = fmt.Sprintf(body, quoteNameAlways(name), prefix)
	}
	return strings.Join(parts, " UNION ALL "), nil
}

func (sh *Shell) names(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := sh.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		list = append(list, name)
	}
	return list, rows.Err()
}

func pattern(args []string) string {
	if len(args) == 0 {
		return "%"
	}
	return args[0]
}

func (sh *Shell) tables(ctx context.Context, args []string) error {
	query, err := sh.schemaQuery(ctx, `SELECT %[2]s || name AS n FROM %[1]s.sqlite_schema
		WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\_%%' ESCAPE '\' AND name LIKE ?1`)
	if err != nil {
		return err
	}
	return sh.nameColumns(ctx, query+" ORDER BY n", pattern(args))
}

func (sh *Shell) indexes(ctx context.Context, args []string) error {
	query, err := sh.schemaQuery(ctx, `SELECT %[2]s || name AS n FROM %[1]s.sqlite_schema WHERE type = 'index' AND tbl_name LIKE ?1`)
	if err != nil {
		return err
	}
	return sh.nameColumns(ctx, query+" ORDER BY n", pattern(args))
}

// nameColumns prints names in columns, downwards, over 80 columns.
func (sh *Shell) nameColumns(ctx context.Context, query string, args ...any) error {
	names, err := sh.names(ctx, query, args...)
	if err != nil {
		return err
	}
	width := 0
	for i := range names {
		names[i] = sh.safe(names[i])
		width = max(width, displayWidth(names[i]))
	}
	columns := max(1, 80/(width+2))
	rows := (len(names) + columns - 1) / columns
	var b strings.Builder
	for r := range rows {
		for i := r; i < len(names); i += rows {
			b.WriteString(names[i])
			if i+rows < len(names) {
				b.WriteString(strings.Repeat(" ", width+2-displayWidth(names[i])))
			}
		}
		b.WriteByte('\n')
	}
	_, err = io.WriteString(sh.out, b.String())
	return outputError(err)
}

func (sh *Shell) schema(ctx context.Context, args []string) error {
	query, err := sh.schemaQuery(ctx, `SELECT sql FROM (SELECT sql FROM %[1]s.sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\_%%' ESCAPE '\'
		AND (tbl_name LIKE ?1 OR name LIKE ?1 OR %[2]s || tbl_name LIKE ?1) ORDER BY tbl_name = 'sqlite_sequence', rowid)`)
	if err != nil {
		return err
	}
	list, err := sh.names(ctx, query, pattern(args))
	if err != nil {
		return err
	}
	for _, text := range list {
		if _, err := fmt.Fprintln(sh.out, sh.safe(terminated(text))); err != nil {
			return outputError(err)
		}
	}
	return nil
}

// terminated returns a statement of the schema with a semicolon behind it that
// is not swallowed by a comment.
func terminated(text string) string {
	last := token{}
	for pos := 0; pos < len(text); pos = last.end {
		last = nextToken(text, pos)
	}
	if last.kind == tokenSpace && strings.HasPrefix(text[last.start:last.end], "--") {
		return text + "\n;"
	}
	if last.kind == tokenSpace && strings.HasPrefix(text[last.start:last.end], "/*") && !strings.HasSuffix(text, "*/") {
		return text + "*/;"
	}
	return text + ";"
}
