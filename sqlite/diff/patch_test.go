package diff

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
)

// between runs SQL on a database, and more on it, and returns both states.
func between(t testing.TB, first, then string) (a, b *memory) {
	t.Helper()
	path, db := tempFile(t)
	if first != "" {
		run(t, db, first)
		a = state(t, path, db)
	} else {
		a = &memory{size: 4096}
	}
	if then != "" {
		run(t, db, then)
		return a, state(t, path, db)
	}
	return a, &memory{size: 4096}
}

func TestPatches(t *testing.T) {
	t.Parallel()
	for name, test := range map[string][2]string{
		"empty before":         {"", "CREATE TABLE t(a); INSERT INTO t VALUES(1), ('x')"},
		"empty before, UTF-16": {"", "PRAGMA encoding='UTF-16be'; CREATE TABLE t(a); INSERT INTO t VALUES('ä' || char(0) || 'b')"},
		"settings":             {"CREATE TABLE t(a)", "PRAGMA user_version=-5; PRAGMA application_id=7"},
		"unique swap": {"CREATE TABLE t(id INTEGER PRIMARY KEY, u UNIQUE, v); INSERT INTO t VALUES(1,'a',1),(2,'b',2),(3,'c',3)",
			"UPDATE t SET u='x' WHERE id=1; UPDATE t SET u='a' WHERE id=2; UPDATE t SET u='b', v=9 WHERE id=1"},
		"partial unique index": {"CREATE TABLE t(id INTEGER PRIMARY KEY, u, live); CREATE UNIQUE INDEX i ON t(u) WHERE live; INSERT INTO t VALUES(1,'a',1),(2,'a',0)",
			"UPDATE t SET live=0 WHERE id=1; UPDATE t SET live=1 WHERE id=2"},
		"unique expression": {"CREATE TABLE t(id INTEGER PRIMARY KEY, a, b); CREATE UNIQUE INDEX i ON t(a||b); INSERT INTO t VALUES(1,'a','x'),(2,'b','y')",
			"UPDATE t SET a='q' WHERE id=1; UPDATE t SET a='a', b='x' WHERE id=2; UPDATE t SET a='b', b='y' WHERE id=1"},
		"triggers": {"CREATE TABLE t(a); CREATE TABLE l(a); CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO l VALUES(new.a); END; INSERT INTO t VALUES(1)",
			"INSERT INTO t VALUES(2); DELETE FROM l WHERE a=1"},
		"view with a trigger": {"CREATE TABLE t(a); CREATE VIEW v AS SELECT a FROM t; CREATE TRIGGER tr INSTEAD OF INSERT ON v BEGIN INSERT INTO t VALUES(new.a); END",
			"DROP VIEW v; CREATE VIEW v AS SELECT a+1 AS a FROM t; CREATE TRIGGER tr INSTEAD OF INSERT ON v BEGIN INSERT INTO t VALUES(new.a); END"},
		"foreign keys": {"CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(p REFERENCES p ON DELETE CASCADE); INSERT INTO p VALUES(1),(2); INSERT INTO c VALUES(1),(2)",
			"DELETE FROM c WHERE p=1; DELETE FROM p WHERE id=1; INSERT INTO p VALUES(3); INSERT INTO c VALUES(3)"},
		"not null added": {"CREATE TABLE t(id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES(1,2),(2,3)",
			"CREATE TABLE n(id INTEGER PRIMARY KEY, a, b NOT NULL CHECK(b>0)); INSERT INTO n SELECT id, a, a*10 FROM t; DROP TABLE t; ALTER TABLE n RENAME TO t"},
		"key changed": {"CREATE TABLE t(a PRIMARY KEY, b) WITHOUT ROWID; INSERT INTO t VALUES('x',1),('y',2)",
			"DROP TABLE t; CREATE TABLE t(a, b INTEGER PRIMARY KEY); INSERT INTO t VALUES('x',1),('z',2)"},
		"rowid becomes the key": {"CREATE TABLE t(a INT, b); INSERT INTO t VALUES(1,'x'),(7,'y')",
			"ALTER TABLE t RENAME TO o; CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t SELECT * FROM o; DROP TABLE o"},
		"column renamed": {"CREATE TABLE t(a, b TEXT); INSERT INTO t VALUES(1,'x'),(7,'y')", "ALTER TABLE t RENAME COLUMN b TO c"},
		"columns swapped": {"CREATE TABLE t(a, b); INSERT INTO t VALUES(1,'x'),(7,'y')",
			"DROP TABLE t; CREATE TABLE t(b, a); INSERT INTO t VALUES(1,'x'),(7,'y')"},
		"generated columns": {"CREATE TABLE t(a, v AS (a+1), s AS (a*2) STORED); INSERT INTO t(a) VALUES(1),(7)",
			"DROP TABLE t; CREATE TABLE t(a, v AS (a+1) STORED, s AS (a*3) STORED); INSERT INTO t(a) VALUES(1),(8)"},
		"nocase key": {"CREATE TABLE t(a TEXT PRIMARY KEY COLLATE NOCASE, b) WITHOUT ROWID; INSERT INTO t VALUES('abc',1),('b',2)",
			"UPDATE t SET a='ABC' WHERE a='abc'"},
		"key collation other than the column's": {"CREATE TABLE t(a TEXT COLLATE NOCASE, b, PRIMARY KEY(a COLLATE BINARY)) WITHOUT ROWID; INSERT INTO t VALUES('abc',1),('ABC',2)",
			"DELETE FROM t WHERE b=2"},
		"table becomes a view": {"CREATE TABLE x(a); INSERT INTO x VALUES(1)", "DROP TABLE x; CREATE VIEW x AS SELECT 1 AS a"},
		"a name of the rowid taken": {"CREATE TABLE t(rowid TEXT, _rowid_); INSERT INTO t VALUES('x', 1), ('y', 2)",
			"DELETE FROM t WHERE rowid='x'; INSERT INTO t(oid, rowid) VALUES(77, 'z')"},
		"autoincrement goes": {"CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO t VALUES(50)", "DROP TABLE t"},
		"statistics": {"CREATE TABLE t(a); CREATE INDEX i ON t(a); INSERT INTO t VALUES(1); ANALYZE",
			"INSERT INTO t VALUES(1); DROP INDEX i; CREATE INDEX i ON t(a DESC); ANALYZE"},
		"statistics go": {"CREATE TABLE t(a); INSERT INTO t VALUES(1); ANALYZE", "DROP TABLE sqlite_stat1"},
		"emptied":       {"CREATE TABLE t(a); INSERT INTO t VALUES(1)", "DROP TABLE t"},
		"strict": {"CREATE TABLE t(a ANY, b REAL, c INT) STRICT; INSERT INTO t VALUES('1', 1, 1)",
			"INSERT INTO t VALUES(2.0, 2, 2); UPDATE t SET a=x'31' WHERE c=1"},
		"schema of several levels": {"CREATE TABLE t(a)", manyTables(200)},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := between(t, test[0], test[1])
			patch := checkPatch(t, a, b)
			if strings.Contains(patch, "nothing differs") {
				t.Error("the patch says that nothing differs")
			}
			if a.size == b.size && len(a.data) > 0 {
				checkPatch(t, b, a)
			}
		})
	}
}

func manyTables(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("CREATE TABLE some_longer_name_" + strings.Repeat("x", i) + "(a INTEGER PRIMARY KEY, b DEFAULT 'some more text', c);")
	}
	return b.String()
}

func TestVirtualTables(t *testing.T) {
	t.Parallel()
	const words = "('some words'), ('more words here'), ('and others')"
	for name, test := range map[string][3]string{
		"fts5 edited":  {"CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES" + words, "INSERT INTO f VALUES('new words'); DELETE FROM f WHERE rowid=2", ftsCheck},
		"fts5 made":    {"CREATE TABLE t(a)", "CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES" + words, ftsCheck},
		"fts5 altered": {"CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES" + words, "DROP TABLE f; CREATE VIRTUAL TABLE f USING fts5(x, prefix=2); INSERT INTO f VALUES('words')", ftsCheck},
		"fts5 gone":    {"CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES" + words, "DROP TABLE f", "SELECT 1"},
		"rtree edited": {"CREATE VIRTUAL TABLE f USING rtree(id, x0, x1); INSERT INTO f VALUES(1,2,3),(2,4,5)", "DELETE FROM f WHERE id=1; INSERT INTO f VALUES(9,1,8)", rtreeCheck},
		"rtree made":   {"CREATE TABLE t(a)", "CREATE VIRTUAL TABLE f USING rtree(id, x0, x1); INSERT INTO f VALUES(1,2,3),(2,4,5)", rtreeCheck},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := between(t, test[0], test[1])
			patch := checkPatch(t, a, b)
			checkPatch(t, b, a)
			path, db := restore(t, a)
			run(t, db, patch)
			db.Close()
			lines(t, openFile(t, path), func(v []any) {
				if v[0] != "ok" {
					t.Errorf("after the patch: %v\n%s", v, patch)
				}
			}, strings.Replace(test[2], "SELECT 1", "SELECT 'ok'", 1))
		})
	}
}

const (
	ftsCheck   = "SELECT CASE WHEN count(*)=(SELECT count(*) FROM f WHERE x LIKE '%words%') AND count(*)>0 THEN 'ok' ELSE 'wrong' END FROM f('words')"
	rtreeCheck = "SELECT rtreecheck('f')"
)

func TestRealLiterals(t *testing.T) {
	t.Parallel()
	a := newAsker()
	defer a.close()
	for _, r := range []float64{0, math.Copysign(0, -1), 1, 0.1, -2.5e-300, 5e-324, -5e-324, 2.2250738585072011e-308, math.MaxFloat64,
		math.Inf(1), math.Inf(-1), math.Pi, 1 << 53, 1<<53 + 2, 123456789012345680, 9007199254740993e3, 6.0221407e23} {
		for _, lit := range []func() (string, error){
			func() (string, error) { return a.realLiteral(r) },
			func() (string, error) { return exactReal(r), nil },
		} {
			s, err := lit()
			if err != nil {
				t.Fatal(err)
			}
			if math.IsInf(r, 0) && strings.HasPrefix(s, "(") {
				continue // not for exactReal
			}
			v, err := a.scalar("SELECT 'real', " + s)
			if err != nil || v.Kind != Real || math.Float64bits(v.Real) != math.Float64bits(r) {
				t.Errorf("%v is written as %s, which is %v (%v)", r, s, v, err)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	t.Run("no rowid", func(t *testing.T) {
		a, b := between(t, "CREATE TABLE t(rowid, _rowid_, oid)", "INSERT INTO t VALUES(1,2,3)")
		d, err := New(a, b, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if err := d.WriteSQL(ctx, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), "table t") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("encodings", func(t *testing.T) {
		a, _ := between(t, "CREATE TABLE t(a); INSERT INTO t VALUES('ä')", "")
		b, _ := between(t, "PRAGMA encoding='UTF-16le'; CREATE TABLE t(a); INSERT INTO t VALUES('ä')", "")
		d, err := New(a, b, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if sums, err := d.Summary(ctx); err != nil || len(sums) != 0 {
			t.Errorf("the same text in two encodings differs: %v, %v", sums, err)
		}
		if err := d.WriteSQL(ctx, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), "UTF-16le") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no database", func(t *testing.T) {
		_, err := New(&memory{size: 512, data: make([]byte, 512)}, &memory{size: 512}, Options{})
		var f *FormatError
		if !errors.Is(err, ErrFormat) || !errors.As(err, &f) || f.Page != 1 || f.Side != "first" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("collation", func(t *testing.T) {
		// Put in place of one of the same length in the stored schema.
		a, b := between(t, "CREATE TABLE t(a TEXT PRIMARY KEY COLLATE NOCASE) WITHOUT ROWID; INSERT INTO t VALUES('x')", "INSERT INTO t VALUES('y')")
		for _, m := range []*memory{a, b} {
			m.data = []byte(strings.Replace(string(m.data), "NOCASE", "GERMAN", 1))
		}
		for _, o := range []Options{{}, {Changed: differing(a, b)}} {
			d, err := New(a, b, o)
			if err != nil {
				t.Fatal(err)
			}
			_, err = d.Summary(ctx)
			var c *CollationError
			if !errors.Is(err, ErrCollation) || !errors.As(err, &c) || c.Collation != "GERMAN" {
				t.Errorf("got %v", err)
			}
			d.Close()
		}
	})
	t.Run("canceled", func(t *testing.T) {
		a, b := between(t, "CREATE TABLE t(a)", "INSERT INTO t VALUES(1)")
		d, err := New(a, b, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		canceled, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := d.Summary(canceled); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}
