package diff

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// memory is a database file in memory.
type memory struct {
	data  []byte
	size  int
	reads int
}

func (m *memory) PageSize() int     { return m.size }
func (m *memory) PageCount() uint32 { return uint32(len(m.data) / max(m.size, 1)) }
func (m *memory) ReadPage(n uint32, dst []byte) error {
	m.reads++
	if n == 0 || n > m.PageCount() || len(dst) != m.size {
		return fmt.Errorf("page %d of %d into %d bytes", n, m.PageCount(), len(dst))
	}
	copy(dst, m.data[int(n-1)*m.size:])
	return nil
}

// differing is the exact set of pages that differ.
func differing(a, b *memory) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for n := uint32(1); n <= max(a.PageCount(), b.PageCount()); n++ {
			lo, hi := int(n-1)*a.size, int(n)*a.size
			same := n <= a.PageCount() && n <= b.PageCount() && bytes.Equal(a.data[lo:hi], b.data[lo:hi])
			if !same && !yield(n) {
				return
			}
		}
	}
}

func openFile(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=synchronous(0)&_pragma=journal_mode(memory)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

func tempFile(t testing.TB) (string, *sql.DB) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.sqlite")
	return path, openFile(t, path)
}

func run(t testing.TB, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatalf("%v\nin: %.2000s", err, query)
	}
}

// state reads the file behind a database that is not being written.
func state(t testing.TB, path string, db *sql.DB) *memory {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{data: b, size: 4096}
	if err := db.QueryRow("PRAGMA page_size").Scan(&m.size); err != nil {
		t.Fatal(err)
	}
	return m
}

// restore makes a database of a state.
func restore(t testing.TB, m *memory) (string, *sql.DB) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "copy.sqlite")
	if err := os.WriteFile(path, m.data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, openFile(t, path)
}

// dump is a database's contents: schema, rows with their rowids, settings. It
// leaves out sqlite_stat4, as patches do.
func dump(t testing.TB, db *sql.DB) []string {
	t.Helper()
	var out, tables []string
	lines(t, db, func(v []any) {
		if v[1] != "sqlite_sequence" { // SQL cannot drop it
			out = append(out, fmt.Sprintf("%q", v))
		}
		if v[0] == "table" && !strings.HasPrefix(strings.ToUpper(fmt.Sprint(v[3])), "CREATE VIRTUAL") {
			tables = append(tables, v[1].(string))
		}
	}, "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE sql NOT NULL AND name != 'sqlite_stat4' ORDER BY 1, 2")
	for _, p := range []string{"user_version", "application_id", "encoding"} {
		lines(t, db, func(v []any) { out = append(out, fmt.Sprint(p, v)) }, "PRAGMA "+p)
	}
	for _, tab := range tables {
		var cols, order []string
		var rowid = true
		lines(t, db, func(v []any) {
			c := quoteName(v[0].(string))
			cols = append(cols, "typeof("+c+"), CASE typeof("+c+") WHEN 'text' THEN hex("+c+") ELSE "+c+" END")
			order = append(order, c)
		}, "SELECT name FROM pragma_table_xinfo(?)", tab)
		lines(t, db, func(v []any) { rowid = v[0].(int64) == 0 }, "SELECT wr FROM pragma_table_list(?)", tab)
		by := strings.Join(order, ",")
		if rowid && !strings.HasPrefix(tab, "sqlite_") {
			cols, by = append(cols, "'rowid'", "rowid"), "rowid"
		}
		var rows []string
		lines(t, db, func(v []any) { rows = append(rows, tab+line(v)) }, "SELECT "+strings.Join(cols, ",")+" FROM "+quoteName(tab)+" ORDER BY "+by)
		if strings.HasPrefix(tab, "sqlite_") {
			slices.Sort(rows)
		}
		out = append(out, rows...)
	}
	return out
}

func line(vals []any) string {
	var b strings.Builder
	for _, v := range vals {
		switch v := v.(type) {
		case float64:
			fmt.Fprintf(&b, " %x", math.Float64bits(v))
		case []byte:
			fmt.Fprintf(&b, " %s", hex.EncodeToString(v))
		default:
			fmt.Fprintf(&b, " %v", v)
		}
	}
	return b.String()
}

func lines(t testing.TB, db *sql.DB, f func([]any), query string, args ...any) {
	t.Helper()
	rows, err := db.Query(query, args...)
	if err != nil {
		t.Fatalf("%v\nin: %s", err, query)
	}
	defer rows.Close()
	cols, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		vals, ptrs := make([]any, len(cols)), make([]any, len(cols))
		for i := range vals {
			ptrs[i] = &vals[i]
		}
		if err := rows.Scan(ptrs...); err != nil {
			t.Fatal(err)
		}
		f(vals)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

func patchOf(t testing.TB, a, b Pages, o Options) string {
	t.Helper()
	d, err := New(a, b, o)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var out strings.Builder
	if err := d.WriteSQL(context.Background(), &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// sameDump fails the test if two dumps differ.
func sameDump(t testing.TB, want, got []string, patch string) {
	t.Helper()
	if slices.Equal(want, got) {
		return
	}
	for i := range max(len(want), len(got)) {
		w, g := "nothing", "nothing"
		if i < len(want) {
			w = want[i]
		}
		if i < len(got) {
			g = got[i]
		}
		if w != g {
			t.Fatalf("line %d of the dump\nwant %.500s\ngot  %.500s\npatch:\n%.3000s", i, w, g, patch)
		}
	}
}

// checkPatch holds a diff to its promise, with and without the changed pages.
func checkPatch(t testing.TB, a, b *memory) string {
	t.Helper()
	_, want := restore(t, b)
	expected := dump(t, want)
	var first string
	for i, o := range []Options{{Changed: differing(a, b)}, {}} {
		if i == 0 && a.size != b.size {
			continue
		}
		patch := patchOf(t, a, b, o)
		if first != "" && patch != first {
			at := 0
			for at < min(len(patch), len(first)) && patch[at] == first[at] {
				at++
			}
			t.Fatalf("the patch depends on whether the changed pages are known\nknown:\n%.500s\nunknown:\n%.500s",
				first[max(0, at-200):], patch[max(0, at-200):])
		}
		if first == patch {
			continue
		}
		first = patch
		_, db := restore(t, a)
		run(t, db, patch)
		sameDump(t, expected, dump(t, db), patch)
	}
	return first
}
