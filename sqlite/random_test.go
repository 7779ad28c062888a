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

	"github.com/hako-run/hako/internal/randsql"
	"github.com/hako-run/hako/pagestore"
	modernc "modernc.org/sqlite"
)

// long reports whether the long form of the randomised tests is asked for.
func long() bool { return os.Getenv("HAKO_LONG") == "1" }

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
			g := &randsql.Generator{Source: rand.New(rand.NewPCG(uint64(round), 7))}
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
				stmt := g.Statement()
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
			g := &randsql.Generator{Source: rand.New(rand.NewPCG(uint64(round), 11))}
			db := openDB(t, newStore(t), "one?_busy_timeout=0")
			path := filepath.Join(t.TempDir(), "one") + "?_journal_mode=WAL"
			hako := []*sql.Conn{connOf(t, db), connOf(t, db)}
			plain := []*sql.Conn{openPlain(t, path), openPlain(t, path)}
			exec(t, plain[0], "CREATE TABLE a(id INTEGER PRIMARY KEY, x, y)") // not empty: WAL mode would write page 1
			exec(t, hako[0], "CREATE TABLE a(id INTEGER PRIMARY KEY, x, y)")
			var log []string
			for i := range statements {
				stmt, n := g.Statement(), g.Source.IntN(2)
				for strings.Contains(stmt, "page_size") || strings.Contains(stmt, "two") {
					stmt = g.Statement()
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
			g := &randsql.Generator{Source: rand.New(rand.NewPCG(uint64(n), 13))}
			for range statements {
				stmt := g.Statement()
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
