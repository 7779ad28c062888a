package shell

import (
	"context"
	"encoding/csv"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

func TestImport(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ name, data, script, out, errs string }{
		{"new table", "id,name\r\n1,\"Ann, \"\"B\"\"\"\r\n007,\n", ".import %s t\n.mode quote\nselect * from t;", "'1','Ann, \"B\"'\n'007',''\n", ""},
		{"byte order mark", "\xef\xbb\xbfa\n1", ".import %s t\nselect a from t;", "1\n", ""},
		{"quoted newline", "a\n\"x\r\ny\"\n", ".import %s t\n.mode quote\nselect a from t;", "'x\r\ny'\n", ""},
		{"affinity", "1,2.50,x\n", "create table t(a int, b real, c);\n.import %s t\n.mode quote\nselect * from t;", "1,2.5,'x'\n", ""},
		{"uneven rows", "a,b\n\n1\n1,2,3\n", ".import %s t\n.nullvalue NULL\nselect * from t;", "|NULL\n1|NULL\n1|2\n",
			"F:2: the row has 1 values for 2 columns: the rest become NULL\nF:3: the row has 1 values for 2 columns: the rest become NULL\nF:4: the row has 3 values for 2 columns: the rest are left out\n"},
		{"names", "a,A,,a_2\n1,2,3,4\n", ".import %s t\n.schema t", "CREATE TABLE \"t\"(\"a\" TEXT, \"A_2\" TEXT, \"column3\" TEXT, \"a_2_2\" TEXT);\n", ""},
		{"skip", "# x\n\"# \n\"\na\n1\n", ".import --csv --skip 2 %s t\nselect * from t;", "1\n", ""},
		{"tsv", "a\tb\n1\t2,3\n", ".import --tsv %s t\nselect b from t;", "2,3\n", ""},
		{"separator", "a;b\n1;2\n", ".separator ;\n.import %s t\nselect b from t;", "2\n", ""},
		{"text after a quote", "a\n\"x\"y\r\n", ".import %s t\nselect a || '.' from t;", "xy.\n", ""},
		{"within a transaction", "a\n1\n", "begin;\n.import %s t\nrollback;\nselect count(*) from sqlite_schema;", "0\n", ""},
		{"generated columns", "1\n", "create table t(a, b as (a || '!'));\n.import %s t\nselect * from t;", "1|1!\n", ""},
	} {
		file := filepath.Join(dir, "f.csv")
		if err := os.WriteFile(file, []byte(c.data), 0o600); err != nil {
			t.Fatal(err)
		}
		out, errs, err := run(t, openDB(t), strings.ReplaceAll(c.script, "%s", file))
		if err != nil || out != c.out || strings.ReplaceAll(errs, file, "F") != c.errs {
			t.Errorf("%s: printed %q, %q, %v", c.name, out, errs, err)
		}
	}
	for _, c := range []struct{ name, data, script, want string }{
		{"empty", "", ".import %s t", "is empty, and there is no table t yet"},
		{"open quote", "a\n1\n\"x\n", ".import %s t", "f.csv:3: a double quote that begins a value is never closed (nothing was imported)"},
		{"constraint", "1\n2\n1\n", "create table t(a unique);\n.import %s t", "f.csv:3: UNIQUE constraint failed: t.a (nothing was imported)"},
		{"no file", "", ".import %s.none t", "no such file"},
		{"skip too much", "a\n", ".import --skip 3 %s t", "fewer than the 3 rows"},
		{"option", "", ".import --foo %s t", "unknown option --foo"},
	} {
		file := filepath.Join(dir, "f.csv")
		if err := os.WriteFile(file, []byte(c.data), 0o600); err != nil {
			t.Fatal(err)
		}
		db := openDB(t)
		_, _, err := run(t, db, strings.ReplaceAll(c.script, "%s", file))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v", c.name, err)
		}
		out, _, err := run(t, db, "create table if not exists t(a); select count(*) from t;")
		if err != nil || out != "0\n" {
			t.Errorf("%s: rows left: %s, %v", c.name, out, err)
		}
	}
}

func readAll(text string) (rows [][]string, err error) {
	r := newCSVReader(strings.NewReader(text), ',', true)
	for {
		row, err := r.read(nil)
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
		rows = append(rows, row)
	}
}

// endsAfter is a context that ends when it has been asked a number of times.
type endsAfter struct {
	context.Context
	asks atomic.Int64
}

func (c *endsAfter) Err() error {
	if c.asks.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

func TestCanceledImportLeavesNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f.csv")
	if err := os.WriteFile(file, []byte(strings.Repeat("1\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	db := openDB(t)
	check(t, db, "create table t(a);", "")
	var errs strings.Builder
	ctx := &endsAfter{Context: t.Context()}
	ctx.asks.Store(500)
	err := Run(ctx, Options{DB: db, In: strings.NewReader(".import " + file + " t"), Out: io.Discard, Err: &errs})
	if !errors.Is(err, context.Canceled) || ctx.asks.Load() < -100 {
		t.Errorf("canceled import: %v, %s, asked %d times more", err, errs.String(), -ctx.asks.Load())
	}
	check(t, db, "select count(*) from t;", "0\n")
}

// What encoding/csv writes is read as it was, and no input hangs or panics.
func FuzzCSV(f *testing.F) {
	for _, seed := range []string{"a,b\n1,2\n", "\"a\"\"b\"", "\"", ",\n\r\n", "\"a\r\nb\",c\r\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rows, err := readAll(text)
		if err != nil {
			return
		}
		var b strings.Builder
		w := csv.NewWriter(&b)
		for _, row := range rows {
			for _, field := range row {
				if strings.Contains(field, "\r") || len(row) == 1 && field == "" || strings.HasPrefix(field, "\ufeff") {
					return // encoding/csv alters these
				}
			}
			if err := w.Write(row); err != nil {
				t.Fatal(err)
			}
		}
		w.Flush()
		again, err := readAll(b.String())
		if err != nil || len(again) != len(rows) {
			t.Fatalf("%q: %q is read as %q, %v", text, b.String(), again, err)
		}
		for i := range rows {
			if strings.Join(rows[i], "\x00") != strings.Join(again[i], "\x00") {
				t.Fatalf("row %q became %q", rows[i], again[i])
			}
		}
	})
}
