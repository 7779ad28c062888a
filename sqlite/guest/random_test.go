package guest_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hako-run/hako/internal/randsql"
	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite"
)

// A side is one of the ways to run SQL that are compared.
type side interface {
	// run executes a statement and tells its result or error.
	run(statement string) string
}

func (c *guestConn) run(statement string) string {
	got, err := c.query(c.in.ctx, statement)
	if err != nil {
		return got + " error: " + err.Error()
	}
	return got
}

// goConn is a connection of this process.
type goConn struct{ *sql.Conn }

func (c goConn) run(statement string) string {
	got, err := c.query(statement)
	if err != nil {
		return got + " error: " + err.Error()
	}
	return got
}

func (c goConn) query(statement string) (string, error) { return randsql.Rows(c, statement) }

func connOf(t testing.TB, db *sql.DB) goConn {
	t.Helper()
	t.Cleanup(func() { db.Close() })
	c, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return goConn{c}
}

// openHako opens a connection of this process on the store.
func openHako(t testing.TB, s *pagestore.Store, name string) goConn {
	t.Helper()
	db, err := sqlite.OpenDB(s, name)
	if err != nil {
		t.Fatal(err)
	}
	return connOf(t, db)
}

// openPlain opens a connection of this process on an ordinary file.
func openPlain(t testing.TB, path string) goConn {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	return connOf(t, db)
}

// dump returns all that two sides must agree on.
func dump(s side) string {
	var b strings.Builder
	for _, schema := range []string{"main", "two", "temp"} {
		master := schema + ".sqlite_schema"
		b.WriteString(s.run("SELECT type, name, rootpage, sql FROM "+master+" ORDER BY 1, 2") + "\n")
		for _, table := range strings.Fields(s.run("SELECT name FROM " + master + " WHERE type='table' AND name NOT LIKE 'sqlite_%' ORDER BY 1")) {
			b.WriteString(table + ": " + s.run("SELECT * FROM "+schema+"."+table+" ORDER BY 1, 2, 3") + "\n")
		}
		if schema != "temp" {
			b.WriteString(s.run("PRAGMA "+schema+".page_count") + " " + s.run("PRAGMA "+schema+".freelist_count") + " " +
				s.run("PRAGMA "+schema+".user_version") + " " + s.run("PRAGMA "+schema+".integrity_check") + "\n")
		}
	}
	return b.String()
}

// pages returns the pages of a schema that are in use, but for the volatile
// fields of the first. What free pages hold depends on the cache.
func pages(s side, schema string) string {
	return s.run("SELECT pgno, CASE pgno WHEN 1 THEN hex(substr(data,1,18))||hex(substr(data,21,4))||hex(substr(data,29,64))||hex(substr(data,101)) ELSE hex(data) END" +
		" FROM sqlite_dbpage('" + schema + "') WHERE pgno IN (SELECT pageno FROM dbstat('" + schema + "'))")
}

func long() bool { return os.Getenv("HAKO_LONG") == "1" }

// effort is how much a test does of something: n, or less with -short, which is
// for the race detector.
func effort(n, short int) int {
	if testing.Short() {
		return short
	}
	return n
}

// TestRandomSQLIsTheSameInGuests runs the same random statements in a guest, in
// this process on the same store and on plain files, opened by both: results,
// errors and contents are the same, in guests to the page.
func TestRandomSQLIsTheSameInGuests(t *testing.T) {
	rounds, statements := effort(4, 1), 150
	if long() {
		rounds, statements = 100, 400
	}
	w := newWorld(t)
	for round := range rounds {
		g := &randsql.Generator{Source: rand.New(rand.NewPCG(uint64(round), 17))}
		name := func(s string) string { return fmt.Sprintf("%s%d", s, round) }
		for _, side := range []string{"g", "p"} {
			w.create(name(side+"one"), name(side+"two"))
		}
		in := w.instance(name("gone"), name("gtwo"))
		open := name("gone")
		goOpen := name("pone")
		if round%3 == 2 {
			open, goOpen = "file:"+open+"?locking=optimistic", goOpen+"?locking=optimistic"
		}
		guest := in.open(0, open)
		hako := openHako(t, w.store, goOpen)
		dir := t.TempDir()
		plain := openPlain(t, filepath.Join(dir, "one"))
		file := in.open(1, name("/files/one"))
		sides := []side{plain, hako, guest, file}
		for i, attach := range []string{filepath.Join(dir, "two"), name("ptwo"), name("gtwo"), name("/files/two")} {
			want(t, sides[i].run("ATTACH '"+attach+"' AS two"), "")
		}
		var log []string
		fail := func(format string, args ...any) {
			t.Helper()
			t.Fatalf("round %d: "+format+"\nafter:\n%s", append(append([]any{round}, args...), strings.Join(log[max(0, len(log)-30):], ";\n"))...)
		}
		compare := func() {
			t.Helper()
			a := dump(plain)
			for _, s := range sides[1:] {
				if b := dump(s); a != b {
					fail("contents differ:\n%.2000s\n---\n%.2000s", a, b)
				}
			}
			for _, schema := range []string{"main", "two"} {
				if a, b := pages(hako, schema), pages(guest, schema); a != b {
					fail("pages of %s differ:\n%.1000s\n---\n%.1000s", schema, a, b)
				}
			}
		}
		for i := range statements {
			stmt := g.Statement()
			log = append(log, stmt)
			a, b, c, d := plain.run(stmt), hako.run(stmt), guest.run(stmt), file.run(stmt)
			if a != b || a != c || a != d {
				fail("statement %d: plain %.300q, hako %.300q, guest %.300q, its file %.300q", i, a, b, c, d)
			}
			if i%50 == 49 {
				compare()
			}
		}
		for _, s := range sides {
			s.run("COMMIT") // if there is a transaction
		}
		compare()
		// What a connection of this process sees of the guest's database.
		other := openHako(t, w.store, name("gone"))
		want(t, other.run("SELECT count(*) FROM main.sqlite_schema"), plain.run("SELECT count(*) FROM main.sqlite_schema"))
		want(t, other.run("PRAGMA integrity_check"), "ok")
		want(t, other.run("BEGIN IMMEDIATE"), "")
		in.close()
	}
}
