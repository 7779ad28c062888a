package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hako-run/hako/pagestore"
	modernc "modernc.org/sqlite"
)

// long reports whether the long form of the randomised tests is asked for.
func long() bool { return os.Getenv("HAKO_LONG") == "1" }

// A generator makes random statements on a few tables of two schemas.
type generator struct {
	r *rand.Rand
}

func (g *generator) pick(list ...string) string { return list[g.r.IntN(len(list))] }

func (g *generator) schema() string { return g.pick("", "", "main.", "two.", "temp.") }

func (g *generator) table() string {
	return g.schema() + g.pick("a", "b", "c", "d")
}

func (g *generator) value() string {
	switch g.r.IntN(8) {
	case 0:
		return "NULL"
	case 1:
		return fmt.Sprintf("%d.5", g.r.IntN(100))
	case 2:
		return fmt.Sprintf("'%s'", strings.Repeat(g.pick("x", "yz", "é"), g.r.IntN(20)))
	case 3: // overflow pages, at times many
		return fmt.Sprintf("zeroblob(%d)", g.r.IntN(1<<g.r.IntN(17)))
	}
	return fmt.Sprint(g.r.IntN(1000))
}

func (g *generator) where() string {
	switch g.r.IntN(4) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf(" WHERE x < %d", g.r.IntN(1000))
	}
	return fmt.Sprintf(" WHERE id %% %d = %d", 2+g.r.IntN(9), g.r.IntN(3))
}

func (g *generator) statement() string {
	t := g.table()
	switch n := g.r.IntN(100); {
	case n < 28:
		return fmt.Sprintf("INSERT %sINTO %s(x,y) VALUES (%s,%s)", g.pick("", "", "OR REPLACE ", "OR IGNORE ", "OR ROLLBACK ", "OR FAIL "), t, g.value(), g.value())
	case n < 36:
		return fmt.Sprintf("INSERT INTO %s(x,y) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) SELECT i*7%%1000, hex(i)||%s FROM n", t, 1+g.r.IntN(400), g.value())
	case n < 46:
		return fmt.Sprintf("UPDATE %sSET y=%s%s", g.pick("", "OR IGNORE ", "OR REPLACE ")+t+" ", g.value(), g.where())
	case n < 50:
		return fmt.Sprintf("UPDATE %s SET x=x+%d%s", t, g.r.IntN(5), g.where())
	case n < 56:
		return fmt.Sprintf("DELETE FROM %s%s", t, g.where())
	case n < 62:
		return fmt.Sprintf("SELECT count(*), sum(x), sum(length(y)), max(id) FROM %s%s", t, g.where())
	case n < 65:
		return fmt.Sprintf("CREATE TABLE %s(id INTEGER PRIMARY KEY, x%s, y)", t, g.pick("", " UNIQUE", " INT CHECK (x<900)"))
	case n < 66:
		return fmt.Sprintf("CREATE TABLE %s(id INTEGER, x TEXT, y, PRIMARY KEY (x, y)) WITHOUT ROWID", t)
	case n < 68:
		return "DROP TABLE " + t
	case n < 70:
		return fmt.Sprintf("CREATE INDEX %si%d ON %s(%s)", g.pick("", "two."), g.r.IntN(6), g.pick("a", "b", "c", "d"), g.pick("x", "y", "x,y"))
	case n < 71:
		return fmt.Sprintf("DROP INDEX i%d", g.r.IntN(6))
	case n < 72:
		return fmt.Sprintf("ALTER TABLE %s ADD COLUMN z%d DEFAULT %s", t, g.r.IntN(5), g.pick("1", "'q'", "NULL"))
	case n < 73:
		return fmt.Sprintf("ALTER TABLE %s RENAME TO %s", t, g.pick("a", "b", "c", "d"))
	case n < 79:
		return g.pick("BEGIN", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE")
	case n < 85:
		return g.pick("COMMIT", "COMMIT", "ROLLBACK")
	case n < 89:
		return g.pick("SAVEPOINT s1", "SAVEPOINT s2")
	case n < 93:
		return g.pick("ROLLBACK TO s1", "ROLLBACK TO s2", "RELEASE s1", "RELEASE s2")
	case n < 94:
		return fmt.Sprintf("PRAGMA cache_size=%d", 3+g.r.IntN(30))
	case n < 95:
		return g.pick("VACUUM", "VACUUM", "VACUUM two", "PRAGMA page_size=1024", "PRAGMA page_size=8192", "PRAGMA page_size=4096")
	case n < 96:
		return g.pick("PRAGMA auto_vacuum=0", "PRAGMA auto_vacuum=1", "PRAGMA auto_vacuum=2", "PRAGMA incremental_vacuum(5)", "PRAGMA two.incremental_vacuum(5)")
	case n < 97:
		return fmt.Sprintf("PRAGMA user_version=%d", g.r.IntN(100))
	case n < 98:
		return g.pick("ANALYZE", "REINDEX")
	}
	return fmt.Sprintf("SELECT id, x, length(y) FROM %s ORDER BY id LIMIT 20", t)
}

// run executes a statement and tells its result or error.
func run(c *sql.Conn, statement string) string {
	got, err := tryQuery(c, statement)
	if err != nil {
		return got + " error: " + err.Error()
	}
	return got
}

// dump returns all that two connections must agree on.
func dump(t *testing.T, c *sql.Conn) string {
	var b strings.Builder
	for _, schema := range []string{"main", "two", "temp"} {
		master := schema + ".sqlite_schema"
		b.WriteString(query(t, c, "SELECT type, name, sql FROM "+master+" ORDER BY 1, 2") + "\n")
		for _, table := range strings.Fields(query(t, c, "SELECT name FROM "+master+" WHERE type='table' AND name NOT LIKE 'sqlite_%' ORDER BY 1")) {
			b.WriteString(table + ": " + query(t, c, "SELECT * FROM "+schema+"."+table+" ORDER BY 1, 2, 3") + "\n")
		}
		if schema != "temp" {
			b.WriteString(query(t, c, "PRAGMA "+schema+".page_count") + query(t, c, "PRAGMA "+schema+".freelist_count") + query(t, c, "PRAGMA "+schema+".user_version") + "\n")
		}
	}
	return b.String()
}

// TestRandomSQLEqualsPlainFile runs the same random statements on a plain file
// and on a store: results, errors and contents are the same.
func TestRandomSQLEqualsPlainFile(t *testing.T) {
	rounds, statements := effort(5, 2), 150
	if long() {
		rounds, statements = 100, 400
	}
	for round := range rounds {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			g := &generator{rand.New(rand.NewPCG(uint64(round), 7))}
			s := newStore(t)
			openDB(t, s, "two")
			name := "one"
			if round%3 == 2 {
				name = "one?locking=optimistic"
			}
			hako := openConn(t, s, name)
			dir := t.TempDir()
			plain := openPlain(t, filepath.Join(dir, "one"))
			exec(t, hako, "ATTACH 'two' AS two")
			exec(t, plain, "ATTACH '"+filepath.Join(dir, "two")+"' AS two")
			var log []string
			fail := func(format string, args ...any) {
				t.Helper()
				t.Fatalf(format+"\nafter:\n%s", append(args, strings.Join(log[max(0, len(log)-30):], ";\n"))...)
			}
			for i := range statements {
				stmt := g.statement()
				log = append(log, stmt)
				a, b := run(plain, stmt), run(hako, stmt)
				if a != b {
					fail("statement %d: plain %.300q, hako %.300q", i, a, b)
				}
				if i%50 == 49 {
					if a, b := dump(t, plain), dump(t, hako); a != b {
						fail("statement %d: contents differ:\n%.2000s\n---\n%.2000s", i, a, b)
					}
				}
			}
			exec(t, hako, "PRAGMA cache_size=100")
			if got := run(hako, "COMMIT") != run(plain, "COMMIT"); got {
				fail("last COMMIT differs")
			}
			if a, b := dump(t, plain), dump(t, hako); a != b {
				fail("contents differ:\n%.2000s\n---\n%.2000s", a, b)
			}
			// What another connection sees, and a sound file.
			other := openConn(t, s, "one")
			exec(t, other, "ATTACH 'two' AS two")
			want(t, query(t, other, "SELECT count(*) FROM main.sqlite_schema"), query(t, plain, "SELECT count(*) FROM main.sqlite_schema"))
			integrity(t, other)
			if _, err := other.ExecContext(context.Background(), "BEGIN IMMEDIATE"); err != nil {
				t.Fatalf("the writer lock was not released: %v", err)
			}
		})
	}
}

// TestTwoConnectionsEqualPlainFile runs random statements on two connections in
// turn, on a plain WAL file and on a store, without a busy time-out: what they
// see of each other, and every SQLITE_BUSY, is the same.
func TestTwoConnectionsEqualPlainFile(t *testing.T) {
	rounds, statements := effort(4, 2), 200
	if long() {
		rounds, statements = 60, 600
	}
	for round := range rounds {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			g := &generator{rand.New(rand.NewPCG(uint64(round), 11))}
			db := openDB(t, newStore(t), "one?_busy_timeout=0")
			path := filepath.Join(t.TempDir(), "one") + "?_journal_mode=WAL"
			hako := []*sql.Conn{connOf(t, db), connOf(t, db)}
			plain := []*sql.Conn{openPlain(t, path), openPlain(t, path)}
			exec(t, plain[0], "CREATE TABLE a(id INTEGER PRIMARY KEY, x, y)") // not empty: WAL mode would write page 1
			exec(t, hako[0], "CREATE TABLE a(id INTEGER PRIMARY KEY, x, y)")
			var log []string
			for i := range statements {
				stmt, n := g.statement(), g.r.IntN(2)
				for strings.Contains(stmt, "page_size") || strings.Contains(stmt, "two") {
					stmt = g.statement()
				}
				log = append(log, fmt.Sprintf("%d: %s", n, stmt))
				if a, b := run(plain[n], stmt), run(hako[n], stmt); a != b && !sameBusy(a, b) {
					t.Fatalf("statement %d: plain %.300q, hako %.300q\nafter:\n%s", i, a, b, strings.Join(log[max(0, len(log)-40):], ";\n"))
				}
			}
			for n := range hako {
				run(plain[n], "ROLLBACK")
				run(hako[n], "ROLLBACK")
			}
			const all = "SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2"
			for n := range hako {
				want(t, query(t, hako[n], all), query(t, plain[n], all))
				for _, table := range strings.Fields(query(t, hako[n], "SELECT name FROM main.sqlite_schema WHERE type='table' AND name NOT LIKE 'sqlite_%'")) {
					rows := "SELECT * FROM main." + table + " ORDER BY 1, 2, 3"
					want(t, query(t, hako[n], rows), query(t, plain[n], rows))
				}
				integrity(t, hako[n])
			}
		})
	}
}

// sameBusy reports whether both are the same kind of SQLITE_BUSY; ours tells
// more.
func sameBusy(plain, hako string) bool {
	for _, code := range []string{"(5)", "(517)"} {
		if strings.Contains(plain, code) {
			return strings.Contains(hako, code)
		}
	}
	return false
}

// TestConcurrentRandomSQLStaysSound lets connections of both kinds run random
// statements on the same two databases. No statement
// fails in a way that SQL does not explain, and every version kept is sound.
func TestConcurrentRandomSQLStaysSound(t *testing.T) {
	statements := effort(150, 50)
	if long() {
		statements = 3000
	}
	s := newStore(t)
	one := openDB(t, s, "one")
	optimistic := openDB(t, s, "one?locking=optimistic")
	openDB(t, s, "two")
	var wg sync.WaitGroup
	for n := range 6 {
		db := one
		if n%3 == 2 {
			db = optimistic
		}
		c := connOf(t, db)
		exec(t, c, "ATTACH 'two' AS two", "PRAGMA busy_timeout=300", "PRAGMA cache_size=20")
		wg.Go(func() {
			g := &generator{rand.New(rand.NewPCG(uint64(n), 13))}
			for range statements {
				stmt := g.statement()
				_, err := tryQuery(c, stmt)
				var se *modernc.Error
				if err == nil {
					continue
				}
				if !errors.As(err, &se) {
					t.Errorf("%s: %v", stmt, err)
					return
				}
				switch se.Code() & 0xff {
				case 1, 5, 6, 17, 19, 20: // SQL, busy, locked, schema, constraint, mismatch
				default:
					t.Errorf("%s: %v", stmt, err)
				}
				if se.Code()&0xff == 5 { // two that wait for each other
					c.ExecContext(context.Background(), "ROLLBACK")
				}
			}
			c.ExecContext(context.Background(), "ROLLBACK")
		})
	}
	wg.Wait()
	for _, name := range []string{"one", "two"} {
		db, err := s.Database(name)
		if err != nil {
			t.Fatal(err)
		}
		head := db.Head().Version
		if _, err := db.Trim(context.Background(), pagestore.TrimOptions{Before: head / 3}); err != nil {
			t.Fatal(err)
		}
		c := openConn(t, s, name)
		for v := head / 3; v <= head; v += max(head/15, 1) {
			query(t, c, fmt.Sprintf("SELECT hako_at(%d)", v))
			integrity(t, c)
		}
		if wrong, err := db.Verify(context.Background(), nil); err != nil || len(wrong) > 0 {
			t.Errorf("verify %s: %v, %v", name, wrong, err)
		}
	}
}
