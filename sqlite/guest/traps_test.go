package guest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite"
	"github.com/hako-run/hako/sqlite/guest"
)

const someRows = "INSERT INTO t(b) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<1000) SELECT zeroblob(i) FROM n"

func TestJournalModeIsAlwaysDelete(t *testing.T) {
	w := newWorld(t)
	w.create("shop")
	c := w.instance("shop").open(0, "shop")
	c.exec("CREATE TABLE t(a)")
	for _, mode := range []string{"OFF", "MEMORY", "WAL", "PERSIST", "TRUNCATE", "nonsense"} {
		want(t, c.get("PRAGMA journal_mode="+mode), "delete")
		want(t, c.get("PRAGMA main.journal_mode="+mode), "delete")
	}
	want(t, c.get("PRAGMA locking_mode=EXCLUSIVE"), "normal")
	want(t, c.get("PRAGMA synchronous=OFF"), "")
	want(t, c.get("PRAGMA synchronous"), "2")
	c.exec("BEGIN", "INSERT INTO t VALUES (1)", "SAVEPOINT s", "INSERT INTO t VALUES (2)", "ROLLBACK TO s", "COMMIT")
	want(t, c.get("SELECT * FROM t"), "1")
}

// A plain file as main takes PRAGMAs for databases attached to it.
func TestJournalModesByTheBackDoor(t *testing.T) {
	w := newWorld(t)
	w.create("shop")
	in := w.instance("shop")
	shop := in.open(0, "shop")
	shop.exec("CREATE TABLE t(a)")
	for _, main := range []string{"/files/main", ":memory:"} {
		c := in.open(1, main)
		c.exec("ATTACH 'shop' AS shop")
		for _, mode := range []string{"OFF", "MEMORY"} {
			c.exec("PRAGMA journal_mode=" + mode)
			if main != ":memory:" || mode == "OFF" {
				c.exec("PRAGMA shop.journal_mode=" + mode) // answered, not obeyed
			}
			if code := c.code("INSERT INTO shop.t VALUES (2)"); code != 0 && code&0xff != 10 {
				t.Errorf("%s, %s: code %d", main, mode, code)
			} else if code == 0 {
				shop.exec("DELETE FROM t")
			}
			want(t, shop.get("SELECT count(*) FROM t"), "0")
		}
		for _, mode := range []string{"PERSIST", "TRUNCATE", "WAL", "DELETE"} {
			c.exec("PRAGMA journal_mode="+mode, "DELETE FROM shop.t", "INSERT INTO shop.t VALUES (1)",
				"BEGIN", "INSERT INTO shop.t VALUES (2)", "ROLLBACK", "BEGIN", "INSERT INTO shop.t VALUES (3)", "COMMIT")
			want(t, c.get("SELECT sum(a) FROM shop.t"), "4")
		}
		shop.exec("DELETE FROM t")
		in.call(in.ctx, "close", 1)
	}
	want(t, shop.get("PRAGMA integrity_check"), "ok")
}

func TestExclusiveLockingModeByTheBackDoorLosesNothing(t *testing.T) {
	for _, mode := range []string{"DELETE", "WAL"} {
		w := newWorld(t)
		w.create("shop")
		in := w.instance("shop")
		in.open(0, "shop").exec("CREATE TABLE t(a)")
		c := in.open(1, "/files/main")
		c.exec("PRAGMA locking_mode=EXCLUSIVE", "ATTACH 'shop' AS shop")
		c.run("PRAGMA journal_mode=" + mode)
		acknowledged := 0
		for range 5 {
			switch code := c.code("INSERT INTO shop.t VALUES (1)"); {
			case code == 0:
				acknowledged++
			case code&0xff != 10 && code != 14: // 14: there is no file for a WAL
				t.Errorf("%s: code %d", mode, code)
			}
		}
		in.close()
		other := openHako(t, w.store, "shop")
		want(t, other.run("SELECT count(*) FROM t"), fmt.Sprint(acknowledged))
		want(t, other.run("INSERT INTO t VALUES (2)"), "")
		want(t, other.run("PRAGMA integrity_check"), "ok")
	}
}

func TestRollbackAfterSpillIsNoCommit(t *testing.T) {
	w := newWorld(t)
	w.create("shop")
	c := w.instance("shop").open(0, "shop")
	c.exec("PRAGMA cache_size=2", "BEGIN", "CREATE TABLE t(a INTEGER PRIMARY KEY, b)", someRows, "ROLLBACK")
	want(t, c.get("SELECT count(*), hako_version() FROM sqlite_schema"), "0|0")
	c.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b)", someRows)
	sum := c.get("SELECT count(*), sum(length(hex(b))), hako_version() FROM t")
	for range 3 {
		c.exec("BEGIN", "UPDATE t SET b = b || 'xyz'", "DELETE FROM t WHERE a % 3 = 0", "ROLLBACK")
		want(t, c.get("SELECT count(*), sum(length(hex(b))), hako_version() FROM t"), sum)
		c.exec("SAVEPOINT a", "UPDATE t SET b = 1", "SAVEPOINT b", "DELETE FROM t", "ROLLBACK TO b", "ROLLBACK TO a", "RELEASE a")
		want(t, c.get("SELECT count(*), sum(length(hex(b))) FROM t")+"|2", sum)
	}
	want(t, c.get("PRAGMA integrity_check"), "ok")
}

func TestFailedCommitRollsBack(t *testing.T) {
	w := newWorld(t)
	w.create("shop", "blog")
	in := w.instance("shop", "blog")
	c, shop, blog := in.open(0, "file:shop?locking=optimistic"), in.open(1, "shop"), in.open(2, "blog")
	shop.exec("CREATE TABLE t(a)", "INSERT INTO t VALUES (0)")
	blog.exec("CREATE TABLE b(a)", "INSERT INTO b VALUES (0)")
	c.exec("ATTACH 'blog' AS blog")
	for range 3 {
		c.exec("BEGIN", "UPDATE t SET a = a + 1", "UPDATE b SET a = a + 1")
		blog.exec("UPDATE b SET a = a + 100")
		if code := c.code("COMMIT"); code != 517 {
			t.Fatalf("commit: code %d", code)
		}
		want(t, c.get("SELECT (SELECT a FROM t), (SELECT a % 100 FROM b)"), "0|0")
	}
	c.exec("BEGIN", "UPDATE t SET a = a + 1", "UPDATE b SET a = a + 1", "COMMIT")
	want(t, c.get("SELECT (SELECT a FROM t), (SELECT a FROM b)"), "1|301")
	want(t, c.get("PRAGMA integrity_check"), "ok")
}

func TestAttachedDatabasesCommitAsOne(t *testing.T) {
	w := newWorld(t)
	w.create("shop", "blog", "wiki")
	in := w.granted(guest.Options{}, guest.Grant{Path: "/db/shop.sqlite", Database: "shop"},
		guest.Grant{Path: "blog", Database: "blog"}, guest.Grant{Path: "/db/wiki", Database: "wiki"})
	c := in.open(0, "/db/shop.sqlite")
	c.exec("-- a comment\n/* and another */ ; ATTACH 'blog' AS blog", "ATTACH 'db/wiki' AS wiki", "CREATE TABLE t(a)", "CREATE TABLE blog.t(a)", "CREATE TABLE wiki.t(a)")
	const versions = "SELECT hako_version(), hako_version('blog'), hako_version('wiki')"
	c.exec("PRAGMA synchronous=OFF", "PRAGMA journal_mode=MEMORY") // without effect, or no super-journal would come
	c.exec("BEGIN", "INSERT INTO main.t VALUES (1)", "INSERT INTO blog.t VALUES (1)", "INSERT INTO wiki.t VALUES (1)", "COMMIT")
	want(t, c.get(versions), "2|2|2")
	want(t, c.get("SELECT hako_time() = hako_time('blog'), hako_time() = hako_time('wiki')"), "1|1")
	c.exec("BEGIN IMMEDIATE", "INSERT INTO blog.t VALUES (2)", "COMMIT", "BEGIN IMMEDIATE", "COMMIT")
	want(t, c.get(versions), "2|3|2")
	c.exec("BEGIN", "INSERT INTO main.t VALUES (1)", "INSERT INTO blog.t VALUES (1)", "ROLLBACK")
	c.exec("SAVEPOINT s", "INSERT INTO main.t VALUES (3)", "INSERT INTO blog.t VALUES (3)", "RELEASE s")
	want(t, c.get(versions), "3|4|2")
	// Another connection with the same main database, which is writing too.
	d := in.open(1, "/db/shop.sqlite")
	d.exec("ATTACH '/db/wiki' AS wiki", "BEGIN", "INSERT INTO wiki.t VALUES (4)")
	c.exec("BEGIN", "INSERT INTO main.t VALUES (4)", "INSERT INTO blog.t VALUES (4)", "COMMIT")
	d.exec("COMMIT")
	want(t, c.get(versions), "4|5|3")
	want(t, d.get("SELECT (SELECT group_concat(a) FROM main.t), (SELECT group_concat(a) FROM wiki.t)"), "1,3,4|1,4")
}

// A statement's SQL function opens and attaches in another connection.
func TestConnectionsInsideOfStatements(t *testing.T) {
	w := newWorld(t)
	w.create("shop", "blog")
	in := w.instance("shop", "blog")
	a, b := in.open(0, "shop"), in.open(1, "shop")
	a.exec("CREATE TABLE t(a)")
	if _, err := in.call(in.ctx, "add_nested", 0); err != nil {
		t.Fatal(err)
	}
	a.exec("INSERT INTO t VALUES (1)")
	for _, stmt := range []string{"ATTACH ''blog'' AS blog", "CREATE TABLE blog.b(x)", "PRAGMA busy_timeout=77"} {
		want(t, a.get("SELECT nested(1, '"+stmt+"') FROM t"), "1")
	}
	want(t, a.get("PRAGMA busy_timeout"), "0")
	want(t, b.get("PRAGMA busy_timeout"), "77")
	a.exec("ATTACH 'blog' AS mine")
	want(t, a.get("SELECT nested(1, 'BEGIN; INSERT INTO blog.b VALUES (1); INSERT INTO main.t VALUES (2); COMMIT')"), "1")
	want(t, b.get("SELECT hako_time() = hako_time('blog'), count(*) FROM t"), "1|2")
	a.exec("BEGIN", "INSERT INTO t VALUES (3)", "INSERT INTO mine.b VALUES (3)", "COMMIT")
	want(t, b.get("SELECT hako_time() = hako_time('blog'), count(*) FROM t"), "1|3")
}

func TestNoTransactionChangesAFileToo(t *testing.T) {
	w := newWorld(t)
	w.create("shop")
	in := w.instance("shop")
	c := in.open(0, "shop")
	c.exec("CREATE TABLE t(a)", "ATTACH '/files/plain' AS plain", "CREATE TABLE plain.p(a)")
	c.exec("INSERT INTO p VALUES (1)", "INSERT INTO t SELECT a FROM p")
	c.exec("BEGIN IMMEDIATE", "INSERT INTO t VALUES (2)", "COMMIT") // locks both, changes one
	c.exec("BEGIN", "INSERT INTO t VALUES (3)", "INSERT INTO p VALUES (3)")
	if code := c.code("COMMIT"); code == 0 || !strings.Contains(in.dbs.Err().Error(), "two transactions") {
		t.Errorf("commit to both: code %d, %v", code, in.dbs.Err())
	}
	want(t, c.get("SELECT (SELECT sum(a) FROM t), (SELECT sum(a) FROM p)"), "3|1")
	want(t, c.get("PRAGMA integrity_check"), "ok")

	main := in.open(1, "/files/plain")
	main.exec("ATTACH 'shop' AS shop", "INSERT INTO shop.t VALUES (4)", "BEGIN", "INSERT INTO shop.t VALUES (5)", "INSERT INTO p VALUES (5)")
	if code := main.code("COMMIT"); code == 0 {
		t.Error("commit to both, with the file as main")
	}
	want(t, c.get("SELECT (SELECT sum(a) FROM t), (SELECT sum(a) FROM p)"), "7|1")
}

// As main there is an ordinary file, or nothing.
func TestTwoAttachedDatabasesCommitAsOne(t *testing.T) {
	w := newWorld(t)
	w.create("shop", "blog")
	in := w.instance("shop", "blog")
	shop, blog := in.open(0, "shop"), in.open(1, "blog")
	shop.exec("CREATE TABLE t(a)")
	blog.exec("CREATE TABLE b(a)")
	for i, main := range []string{"/files/main", ":memory:"} {
		c := in.open(2, main)
		c.exec("CREATE TABLE m(a)", "ATTACH 'shop' AS shop", "ATTACH 'blog' AS blog", "BEGIN IMMEDIATE", "INSERT INTO t VALUES (1)", "INSERT INTO b VALUES (1)", "COMMIT")
		want(t, shop.get("SELECT count(*) FROM t"), fmt.Sprint(i+1))
		want(t, blog.get("SELECT count(*) FROM b"), fmt.Sprint(i+1))
		if main != ":memory:" { // SQLite itself makes no promise then
			want(t, shop.get("SELECT hako_time()"), blog.get("SELECT hako_time()"))
		}
		in.call(in.ctx, "close", 2)
	}
}

func TestOrdinaryFilesLockWithinAGuest(t *testing.T) {
	w := newWorld(t)
	in := w.instance()
	a, b := in.open(0, "/files/x"), in.open(1, "/files/x")
	a.exec("CREATE TABLE t(a)", "INSERT INTO t VALUES (1)", "BEGIN IMMEDIATE", "INSERT INTO t VALUES (2)")
	want(t, b.get("SELECT sum(a) FROM t"), "1")
	if code := b.code("INSERT INTO t VALUES (3)"); code != 5 {
		t.Errorf("write beside a writer: code %d", code)
	}
	b.exec("BEGIN", "SELECT * FROM t")
	if code := a.code("COMMIT"); code != 5 {
		t.Errorf("commit beside a reader: code %d", code)
	}
	b.exec("COMMIT")
	if code := b.code("SELECT * FROM t"); code != 5 {
		t.Errorf("read while a commit is pending: code %d", code)
	}
	a.exec("COMMIT")
	want(t, b.get("SELECT sum(a) FROM t"), "3")
	if _, err := in.tryOpen(2, "/files/none", 1, -1); codeOf(t, err) != 14 {
		t.Errorf("open a file that is not there: %v", err)
	}
}

func TestErrorsNameNothingThatWasNotGranted(t *testing.T) {
	w := newWorld(t)
	w.create("secrets")
	in := w.instance("secret")
	_, err := in.tryOpen(0, "secret", 0, -1)
	var e *sqlError
	if !errors.As(err, &e) || e.code != 14 || !strings.Contains(e.more, "unknown database") || strings.Contains(e.more, "secrets") {
		t.Errorf("open: %+v", e)
	}
}

func TestVacuumWithNewPageSize(t *testing.T) {
	w := newWorld(t)
	w.create("shop")
	in := w.instance("shop")
	c := in.open(0, "shop")
	c.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b)", someRows, "CREATE INDEX i ON t(b)")
	sum := c.get("SELECT count(*), sum(a), sum(length(hex(b))) FROM t")
	sizes := []string{"65536", "1024", "512", "8192", "4096"}
	for i, size := range sizes[:effort(len(sizes), 2)] {
		c.exec("PRAGMA page_size="+size, "VACUUM")
		for _, conn := range []side{c, in.open(1, "shop"), openHako(t, w.store, "shop")} {
			want(t, conn.run("PRAGMA page_size"), size)
			want(t, conn.run("SELECT count(*), sum(a), sum(length(hex(b))) FROM t"), sum)
			want(t, conn.run("PRAGMA integrity_check"), "ok")
		}
		in.call(in.ctx, "close", 1)
		c.exec("UPDATE t SET b = b || 'x' WHERE a = 1", fmt.Sprintf("DELETE FROM t WHERE a > %d", 900-i))
		sum = c.get("SELECT count(*), sum(a), sum(length(hex(b))) FROM t")
	}
	want(t, openHako(t, w.store, "shop@2").run("PRAGMA page_size"), "4096")
}

func TestVacuumInto(t *testing.T) {
	w := newWorld(t)
	w.create("shop", "copy")
	in := w.instance("shop", "copy")
	c := in.open(0, "shop")
	c.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b)", someRows, "VACUUM INTO '/files/out'")
	want(t, in.open(1, "/files/out").get("SELECT count(*) FROM t"), "1000")
	c.exec("VACUUM INTO 'copy'")
	want(t, in.open(2, "copy").get("SELECT count(*), hako_version() FROM t"), "1000|1")
}

// Pages that became free before they were written are missing in the file.
func TestPagesFreedBeforeTheyWereWritten(t *testing.T) {
	w := newWorld(t)
	w.create("shop")
	c := w.instance("shop").open(0, "shop")
	c.exec("PRAGMA cache_size=-100000", "CREATE TABLE t(a INTEGER PRIMARY KEY, b)", "BEGIN",
		"INSERT INTO t(b) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<1000) SELECT zeroblob(9000) FROM n", "DELETE FROM t", "COMMIT")
	want(t, c.get("SELECT count(*), (SELECT page_count > 2000 FROM pragma_page_count) FROM t"), "0|1")
	want(t, c.get("PRAGMA integrity_check"), "ok")
}

// An idle connection that finds the schema cookie it knows goes on with the
// tables it knows.
func TestRestoreIsSeenByIdleGuests(t *testing.T) {
	w := newWorld(t)
	w.create("shop")
	in := w.instance("shop")
	c, other := in.open(0, "shop"), in.open(1, "shop")
	db, err := w.store.Database("shop")
	if err != nil {
		t.Fatal(err)
	}
	c.exec("CREATE TABLE a(x)", "INSERT INTO a VALUES ('a')")
	snap, err := db.HeadSnapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	c.exec("DROP TABLE a", "CREATE TABLE b(x)", "INSERT INTO b VALUES ('b')")
	want(t, other.get("SELECT x FROM b"), "b")
	if _, err := sqlite.Restore(t.Context(), db, snap); err != nil {
		t.Fatal(err)
	}
	c.exec("DROP TABLE a", "CREATE TABLE c(x)", "INSERT INTO c VALUES ('c')")
	if code := other.code("SELECT x FROM b"); code != 1 {
		t.Errorf("an idle connection reads table b, which is gone: code %d", code)
	}
	want(t, other.get("SELECT x FROM c"), "c")
}

func TestTemporaryFilesAndBigTransactions(t *testing.T) {
	w := newWorld(t)
	w.create("shop")
	c := w.instance("shop").open(0, "shop")
	c.exec("PRAGMA cache_size=2", "CREATE TEMP TABLE t(a INTEGER PRIMARY KEY, b)", "BEGIN", someRows, "SAVEPOINT s", "DELETE FROM t", "ROLLBACK TO s", "COMMIT")
	want(t, c.get("SELECT count(*), sum(length(b)), hako_version() FROM t"), "1000|500500|0")
	c.exec("CREATE TABLE main.t(a INTEGER PRIMARY KEY, b)", "BEGIN", strings.Replace(someRows, "INTO t", "INTO main.t", 1), "SAVEPOINT one", "UPDATE main.t SET b = 1", "SAVEPOINT two",
		"DELETE FROM main.t", "ROLLBACK TO two", "INSERT INTO main.t(b) VALUES ('kept')", "RELEASE two", "DELETE FROM main.t WHERE a < 500", "COMMIT")
	want(t, c.get("SELECT count(*), min(a), max(b) FROM main.t"), "502|500|kept")
	want(t, c.get("SELECT count(*) FROM (SELECT b FROM temp.t ORDER BY hex(b))"), "1000") // sorts in a file
	want(t, c.get("PRAGMA integrity_check"), "ok")
}

func TestPageSizeOfAnEmptyDatabase(t *testing.T) {
	w := newWorld(t)
	if _, err := w.store.Create("big", pagestore.CreateOptions{PageSize: 16384}); err != nil {
		t.Fatal(err)
	}
	in := w.granted(guest.Options{}, guest.Grant{Path: "big", Database: "big"}, guest.Grant{Path: "new", Database: "new", Create: true})
	c := in.open(0, "big")
	c.exec("CREATE TABLE t(a)")
	want(t, c.get("PRAGMA page_size"), "16384")
	in.open(1, "new").exec("CREATE TABLE t(a)")
}

func TestVirtualTables(t *testing.T) {
	w := newWorld(t)
	w.create("shop")
	in := w.instance("shop")
	c := in.open(0, "shop")
	c.exec("CREATE VIRTUAL TABLE f USING fts5(body)", "CREATE VIRTUAL TABLE r USING rtree(id, x0, x1)",
		"INSERT INTO f VALUES ('the quick brown fox'), ('a lazy dog')", "INSERT INTO r VALUES (1, 0, 10), (2, 20, 30)",
		"BEGIN", "INSERT INTO f VALUES ('brown bread')", "SAVEPOINT s", "DELETE FROM f", "DELETE FROM r", "ROLLBACK TO s", "COMMIT",
		"INSERT INTO f(f) VALUES ('optimize')")
	for _, conn := range []side{c, in.open(1, "shop"), openHako(t, w.store, "shop")} {
		want(t, conn.run("SELECT rowid FROM f WHERE f MATCH 'brown' ORDER BY 1"), "1\n3")
		want(t, conn.run("SELECT id FROM r WHERE x1 > 15"), "2")
		want(t, conn.run("SELECT json_extract('{\"a\":[1,2]}', '$.a[1]'), round(sqrt(2), 3), soundex('Hako')"), "2|1.414|H200")
		want(t, conn.run("SELECT count(*) > 0 FROM dbstat"), "1")
		want(t, conn.run("PRAGMA integrity_check"), "ok")
	}
}
