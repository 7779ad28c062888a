package shell

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// importCommand adds the rows of a file in one transaction: all or none.
func (sh *Shell) importCommand(ctx context.Context, args []string) error {
	sep, quotes, skip := byte(','), true, 0
	if sh.mode == "tabs" {
		sep = '\t'
	}
	if sh.sepSet {
		if len(sh.colSep) != 1 {
			return fmt.Errorf(".import needs a separator of one byte, not %q: set one with .separator, or use --csv", sh.colSep)
		}
		sep = sh.colSep[0]
	}
	var words []string
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "--csv", "-csv":
			sep, quotes = ',', true
		case "--tsv", "-tsv":
			sep, quotes = '\t', true
		case "--skip", "-skip":
			if i++; i == len(args) {
				return commandUsage("import")
			}
			n, err := strconv.Atoi(args[i])
			if err != nil || n < 0 {
				return fmt.Errorf("--skip needs a number of rows, not %q", args[i])
			}
			skip = n
		default:
			if strings.HasPrefix(args[i], "-") && len(args[i]) > 1 {
				return fmt.Errorf("unknown option %s: %w", args[i], commandUsage("import"))
			}
			words = append(words, args[i])
		}
	}
	if len(words) != 2 {
		return commandUsage("import")
	}
	file, table := words[0], words[1]
	f, err := os.Open(sh.path(file))
	if err != nil {
		return fmt.Errorf("cannot import: %w", err)
	}
	defer f.Close()
	r := newCSVReader(f, sep, quotes)
	for range skip {
		if _, err := r.read(nil); err == io.EOF {
			return fmt.Errorf("%s has fewer than the %d rows to skip", file, skip)
		} else if err != nil {
			return r.wrap(file, err)
		}
	}
	n, err := sh.importRows(ctx, r, file, table)
	if err != nil {
		return fmt.Errorf("import: %w (nothing was imported)", err)
	}
	if sh.o.Interactive {
		fmt.Fprintf(sh.o.Err, "imported %d rows into %s\n", n, table)
	}
	return nil
}

func (sh *Shell) importRows(ctx context.Context, r *csvReader, file, table string) (n int64, err error) {
	if _, err := sh.conn.ExecContext(ctx, "SAVEPOINT shell_import"); err != nil {
		return 0, err
	}
	defer func() {
		keep := context.WithoutCancel(ctx)
		if err != nil {
			_, _ = sh.conn.ExecContext(keep, "ROLLBACK TO shell_import")
			_, _ = sh.conn.ExecContext(keep, "RELEASE shell_import")
		} else if _, err = sh.conn.ExecContext(ctx, "RELEASE shell_import"); err != nil {
			_, _ = sh.conn.ExecContext(keep, "ROLLBACK TO shell_import")
			_, _ = sh.conn.ExecContext(keep, "RELEASE shell_import")
		}
		sh.catalog.forget()
	}()
	columns, err := sh.importColumns(ctx, r, file, table)
	if err != nil {
		return 0, err
	}
	marks := strings.TrimSuffix(strings.Repeat("?,", len(columns)), ",")
	insert, err := sh.conn.PrepareContext(ctx, "INSERT INTO "+quoteNameAlways(table)+"("+strings.Join(columns, ",")+") VALUES ("+marks+")")
	if err != nil {
		return 0, errors.New(plainMessage(err))
	}
	defer insert.Close()
	args := make([]any, len(columns))
	var row []string
	odd := 0
	for ; ; n++ {
		row, err = r.read(row)
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, r.wrap(file, err)
		}
		if len(row) != len(columns) {
			if odd++; odd <= 10 {
				fate := "the rest become NULL"
				if len(row) > len(columns) {
					fate = "the rest are left out"
				}
				fmt.Fprintf(sh.o.Err, "%s:%d: the row has %d values for %d columns: %s\n", file, r.line, len(row), len(columns), fate)
			}
		}
		for i := range args {
			args[i] = nil
			if i < len(row) {
				args[i] = row[i]
			}
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		// Only the first row may have to wait for a lock. To watch the context
		// for the others too would take longer than to insert them.
		rowCtx := ctx
		if n > 0 {
			rowCtx = context.WithoutCancel(ctx)
		}
		if _, err := insert.ExecContext(rowCtx, args...); err != nil {
			if ctx.Err() != nil {
				return 0, ctx.Err()
			}
			return 0, r.wrap(file, errors.New(plainMessage(err)))
		}
	}
	if odd > 10 {
		fmt.Fprintf(sh.o.Err, "%s: %d rows in all have another number of values than %d\n", file, odd, len(columns))
	}
	return n, nil
}

// importColumns returns the quoted columns of the table. If there is no such
// table, it makes one of text columns with the names in the next row of r.
func (sh *Shell) importColumns(ctx context.Context, r *csvReader, file, table string) ([]string, error) {
	columns, err := sh.tableColumns(ctx, table)
	if err != nil || len(columns) > 0 {
		return columns, err
	}
	header, err := r.read(nil)
	if err == io.EOF {
		return nil, fmt.Errorf("%s is empty, and there is no table %s yet", file, table)
	}
	if err != nil {
		return nil, r.wrap(file, err)
	}
	taken := map[string]bool{}
	for i, name := range header {
		name = strings.ToValidUTF8(strings.ReplaceAll(name, "\x00", ""), "\ufffd")
		if name == "" {
			name = "column" + strconv.Itoa(i+1)
		}
		unique := name
		for n := 2; taken[strings.ToLower(unique)]; n++ {
			unique = name + "_" + strconv.Itoa(n)
		}
		taken[strings.ToLower(unique)] = true
		columns = append(columns, quoteNameAlways(unique))
	}
	if _, err := sh.conn.ExecContext(ctx, "CREATE TABLE "+quoteNameAlways(table)+"("+strings.Join(columns, " TEXT, ")+" TEXT)"); err != nil {
		return nil, errors.New(plainMessage(err))
	}
	return columns, nil
}

func (sh *Shell) tableColumns(ctx context.Context, table string) ([]string, error) {
	rows, err := sh.conn.QueryContext(ctx, "SELECT name FROM pragma_table_info(?)", table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var columns []string
	for rows.Next() {
		var name sql.NullString
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		columns = append(columns, quoteNameAlways(name.String))
	}
	return columns, rows.Err()
}
