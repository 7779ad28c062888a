package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hako-run/hako/pagestore"
)

func TestJournalModeIsAlwaysDelete(t *testing.T) {
	c := openConn(t, newStore(t), "shop")
	exec(t, c, "CREATE TABLE t(a)")
	for _, mode := range []string{"OFF", "MEMORY", "WAL", "PERSIST", "TRUNCATE", "nonsense"} {
		want(t, query(t, c, "PRAGMA journal_mode="+mode), "delete")
		want(t, query(t, c, "PRAGMA main.journal_mode="+mode), "delete")
	}
	want(t, query(t, c, "PRAGMA journal_mode"), "delete")
	exec(t, c, "BEGIN", "INSERT INTO t VALUES (1)", "SAVEPOINT s", "INSERT INTO t VALUES (2)", "ROLLBACK TO s", "COMMIT")
	want(t, query(t, c, "SELECT * FROM t"), "1")
}

// A plain file as main takes PRAGMAs for databases attached to it.
func TestJournalModeOffByTheBackDoorFailsWrites(t *testing.T) {
	s := newStore(t)
	exec(t, openConn(t, s, "shop"), "CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
	vfs, err := Attach(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"OFF", "MEMORY"} {
		c := openPlain(t, filepath.Join(t.TempDir(), "main"))
		exec(t, c, "ATTACH 'file:shop?vfs="+vfs+"' AS shop", "PRAGMA journal_mode="+mode)
		if _, err := c.ExecContext(context.Background(), "INSERT INTO shop.t VALUES (2)"); codeOf(t, err)&0xff != 10 {
			t.Errorf("%s: write: %v", mode, err)
		}
		want(t, query(t, c, "SELECT a FROM shop.t"), "1")
		exec(t, c, "PRAGMA journal_mode=DELETE", "UPDATE shop.t SET a = a")
		c.Close()
	}
	want(t, query(t, openConn(t, s, "shop"), "SELECT a FROM t"), "1")
}

func TestOtherJournalModesByTheBackDoorWork(t *testing.T) {
	s := newStore(t)
	exec(t, openConn(t, s, "shop"), "CREATE TABLE t(a)")
	vfs, err := Attach(s)
	if err != nil {
		t.Fatal(err)
	}
	c := openPlain(t, filepath.Join(t.TempDir(), "main"))
	exec(t, c, "ATTACH 'file:shop?vfs="+vfs+"' AS shop")
	for _, mode := range []string{"PERSIST", "TRUNCATE", "WAL", "DELETE"} {
		exec(t, c, "PRAGMA journal_mode="+mode, "DELETE FROM shop.t", "INSERT INTO shop.t VALUES (1)",
			"BEGIN", "INSERT INTO shop.t VALUES (2)", "ROLLBACK", "BEGIN", "INSERT INTO shop.t VALUES (3)", "COMMIT")
		want(t, query(t, c, "SELECT sum(a) FROM shop.t"), "4")
	}
	c.Close()
	want(t, query(t, openConn(t, s, "shop"), "SELECT hako_version(), sum(a) FROM t"), "12|4")
}

func TestWALByTheBackDoorLosesNothing(t *testing.T) {
	s := newStore(t)
	exec(t, openConn(t, s, "shop"), "CREATE TABLE t(a)")
	vfs, err := Attach(s)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "main"))
	if err != nil {
		t.Fatal(err)
	}
	c := connOf(t, db)
	exec(t, c, "PRAGMA locking_mode=EXCLUSIVE", "ATTACH 'file:shop?vfs="+vfs+"' AS shop")
	run(c, "PRAGMA journal_mode=WAL")
	done := 0
	for range 3 {
		if _, err := c.ExecContext(context.Background(), "INSERT INTO shop.t VALUES (1)"); err == nil {
			done++
		}
	}
	c.Close()
	db.Close()
	other := openConn(t, s, "shop")
	want(t, query(t, other, "SELECT count(*) FROM t"), fmt.Sprint(done))
	exec(t, other, "INSERT INTO t VALUES (2)")
	integrity(t, other)
}

func TestRollbackAfterSpillIsNoCommit(t *testing.T) {
	c := openConn(t, newStore(t), "shop")
	exec(t, c, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)", someRows, "PRAGMA cache_size=2")
	version := query(t, c, "SELECT hako_version()")
	sum := query(t, c, "SELECT count(*), sum(length(hex(b))) FROM t")
	for range 3 {
		exec(t, c, "BEGIN", "UPDATE t SET b = b || 'xyz'", "DELETE FROM t WHERE a % 3 = 0", "ROLLBACK")
		want(t, query(t, c, "SELECT count(*), sum(length(hex(b))) FROM t"), sum)
		exec(t, c, "SAVEPOINT a", "UPDATE t SET b = 1", "SAVEPOINT b", "DELETE FROM t", "ROLLBACK TO b", "ROLLBACK TO a", "RELEASE a")
		want(t, query(t, c, "SELECT count(*), sum(length(hex(b))) FROM t"), sum)
	}
	integrity(t, c)
	before := version
	exec(t, c, "INSERT INTO t(b) VALUES (1)")
	if query(t, c, "SELECT hako_version() <= "+before+"+4") != "1" {
		t.Errorf("rollbacks made versions: %s after %s", query(t, c, "SELECT hako_version()"), before)
	}
}

func TestRollbackOfTheFirstTransaction(t *testing.T) {
	c := openConn(t, newStore(t), "shop")
	exec(t, c, "PRAGMA cache_size=2", "BEGIN", "CREATE TABLE t(a INTEGER PRIMARY KEY, b)", someRows, "ROLLBACK")
	want(t, query(t, c, "SELECT count(*), hako_version() FROM sqlite_schema"), "0|0")
	exec(t, c, "CREATE TABLE t(a)")
	want(t, query(t, c, "SELECT hako_version()"), "1")
}

func TestExclusiveLockingModeIsRefused(t *testing.T) {
	s := newStore(t)
	c := openConn(t, s, "shop")
	want(t, query(t, c, "PRAGMA locking_mode=EXCLUSIVE"), "normal")
	exec(t, c, "CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
	exec(t, openConn(t, s, "shop"), "INSERT INTO t VALUES (2)")
	want(t, query(t, c, "SELECT count(*) FROM t"), "2")
}

func TestExclusiveLockingModeByTheBackDoorLosesNothing(t *testing.T) {
	s := newStore(t)
	exec(t, openConn(t, s, "shop"), "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
	vfs, err := Attach(s)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "main"))
	if err != nil {
		t.Fatal(err)
	}
	c := connOf(t, db)
	exec(t, c, "PRAGMA locking_mode=EXCLUSIVE", "ATTACH 'file:shop?vfs="+vfs+"' AS shop")
	acknowledged := 0
	for range 5 {
		_, err := c.ExecContext(context.Background(), "INSERT INTO shop.t(b) VALUES (1)")
		if err == nil {
			acknowledged++
		} else if codeOf(t, err)&0xff != 10 {
			t.Errorf("write: %v", err)
		}
	}
	if acknowledged != 1 {
		t.Errorf("%d inserts succeeded: only the first can be told from a rollback", acknowledged)
	}
	c.Close()
	db.Close()
	other := openConn(t, s, "shop")
	if got := query(t, other, "SELECT count(*) FROM t"); got != string(rune('0'+acknowledged)) {
		t.Errorf("%d inserts succeeded and %s are there", acknowledged, got)
	}
	exec(t, other, "INSERT INTO t(b) VALUES (2)") // the lock is free
	integrity(t, other)
}

func TestFailedCommitRollsBack(t *testing.T) {
	s := newStore(t)
	a, b := openConn(t, s, "shop?locking=optimistic"), openConn(t, s, "shop")
	exec(t, b, "CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
	exec(t, a, "BEGIN", "UPDATE t SET a = a + 10")
	exec(t, b, "UPDATE t SET a = a + 1")
	_, err := a.ExecContext(context.Background(), "COMMIT")
	if !errors.Is(err, pagestore.ErrConflict) || codeOf(t, err) != 517 {
		t.Fatalf("commit: %v", err)
	}
	want(t, query(t, a, "SELECT a FROM t"), "2") // rolled back and usable
	exec(t, a, "UPDATE t SET a = a + 10")
	want(t, query(t, b, "SELECT a FROM t"), "12")
	integrity(t, a)
}

func TestAttachedDatabasesCommitAsOne(t *testing.T) {
	s := newStore(t)
	openDB(t, s, "blog")
	c := openConn(t, s, "shop")
	exec(t, c, "ATTACH 'blog' AS blog", "CREATE TABLE t(a)", "CREATE TABLE blog.t(a)")
	exec(t, c, "PRAGMA synchronous=OFF", "PRAGMA journal_mode=MEMORY") // without effect, or no super-journal would come
	exec(t, c, "BEGIN", "INSERT INTO main.t VALUES (1)", "INSERT INTO blog.t VALUES (1)", "COMMIT")
	want(t, query(t, c, "SELECT hako_version(), hako_version('blog'), hako_time() = hako_time('blog')"), "2|2|1")
	exec(t, c, "BEGIN IMMEDIATE", "INSERT INTO blog.t VALUES (2)", "COMMIT", "BEGIN IMMEDIATE", "COMMIT")
	want(t, query(t, c, "SELECT hako_version(), hako_version('blog')"), "2|3")
	exec(t, c, "BEGIN", "INSERT INTO main.t VALUES (1)", "INSERT INTO blog.t VALUES (1)", "ROLLBACK")
	want(t, query(t, c, "SELECT (SELECT count(*) FROM main.t), (SELECT count(*) FROM blog.t)"), "1|2")
}

func TestFailedCommitOfAttachedDatabasesRollsBackAll(t *testing.T) {
	s := newStore(t)
	other := openConn(t, s, "blog")
	c := openConn(t, s, "shop?locking=optimistic")
	exec(t, c, "ATTACH 'blog' AS blog", "CREATE TABLE t(a)", "CREATE TABLE blog.t(a)", "INSERT INTO main.t VALUES (0)", "INSERT INTO blog.t VALUES (0)")
	for range 3 {
		exec(t, c, "BEGIN", "UPDATE main.t SET a = a + 1", "UPDATE blog.t SET a = a + 1")
		exec(t, other, "UPDATE t SET a = a + 100")
		if _, err := c.ExecContext(context.Background(), "COMMIT"); !errors.Is(err, pagestore.ErrConflict) {
			t.Fatalf("commit: %v", err)
		}
		want(t, query(t, c, "SELECT (SELECT a FROM main.t), (SELECT a % 100 FROM blog.t)"), "0|0")
	}
	exec(t, c, "BEGIN", "UPDATE main.t SET a = a + 1", "UPDATE blog.t SET a = a + 1", "COMMIT")
	want(t, query(t, c, "SELECT (SELECT a FROM main.t), (SELECT a FROM blog.t)"), "1|301")
	integrity(t, c)
}

func TestNoTransactionChangesAFileToo(t *testing.T) {
	s := newStore(t)
	c := openConn(t, s, "shop")
	file := filepath.Join(t.TempDir(), "plain")
	exec(t, openPlain(t, file), "CREATE TABLE p(a)")
	exec(t, c, "CREATE TABLE t(a)", "ATTACH 'file:"+file+"?vfs=unix' AS plain")
	exec(t, c, "INSERT INTO p VALUES (1)", "INSERT INTO t SELECT a FROM p")
	exec(t, c, "BEGIN IMMEDIATE", "INSERT INTO t VALUES (2)", "COMMIT") // locks both, changes one
	exec(t, c, "BEGIN", "INSERT INTO t VALUES (3)", "INSERT INTO p VALUES (3)")
	_, err := c.ExecContext(context.Background(), "COMMIT")
	if err == nil || !strings.Contains(err.Error(), "two transactions") {
		t.Errorf("commit to both: %v", err)
	}
	want(t, query(t, c, "SELECT sum(a) FROM t"), "3")
	integrity(t, c)
}

func TestVacuumWithNewPageSize(t *testing.T) {
	s := newStore(t)
	c := openConn(t, s, "shop")
	exec(t, c, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)", someRows, "CREATE INDEX i ON t(b)")
	sum := query(t, c, "SELECT count(*), sum(a), sum(length(hex(b))) FROM t")
	old := query(t, c, "SELECT hako_version()")
	sizes := []string{"65536", "1024", "512", "8192", "4096"}
	for _, size := range sizes[:effort(len(sizes), 2)] {
		exec(t, c, "PRAGMA page_size="+size, "VACUUM")
		for _, conn := range []querier{c, openConn(t, s, "shop")} {
			want(t, query(t, conn, "PRAGMA page_size"), size)
			want(t, query(t, conn, "SELECT count(*), sum(a), sum(length(hex(b))) FROM t"), sum)
			integrity(t, conn)
		}
		exec(t, c, "UPDATE t SET b = b || 'x' WHERE a = 1", "DELETE FROM t WHERE a > 1000", "UPDATE t SET b = substr(b,1,1) WHERE a = 1")
		sum = query(t, c, "SELECT count(*), sum(a), sum(length(hex(b))) FROM t")
	}
	back := openConn(t, s, "shop@"+old)
	want(t, query(t, back, "PRAGMA page_size"), "4096")
	integrity(t, back)
}

// An idle connection that finds the schema cookie it knows goes on with the
// tables it knows.
func TestRestoreIsSeenByIdleConnections(t *testing.T) {
	s := newStore(t)
	c, other := openConn(t, s, "shop"), openConn(t, s, "shop")
	db, err := s.Database("shop")
	if err != nil {
		t.Fatal(err)
	}
	exec(t, c, "CREATE TABLE a(x)", "INSERT INTO a VALUES ('a')")
	snap, err := db.HeadSnapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	exec(t, c, "DROP TABLE a", "CREATE TABLE b(x)", "INSERT INTO b VALUES ('b')")
	want(t, query(t, other, "SELECT x FROM b"), "b")
	if _, err := Restore(context.Background(), db, snap); err != nil {
		t.Fatal(err)
	}
	// The same cookie as b's, another table at the same page.
	exec(t, c, "DROP TABLE a", "CREATE TABLE c(x)", "INSERT INTO c VALUES ('c')")
	if got, err := tryQuery(other, "SELECT x FROM b"); err == nil {
		t.Errorf("an idle connection reads table b, which is gone: %q", got)
	}
	want(t, query(t, other, "SELECT x FROM c"), "c")

	zero, err := db.Snapshot(0)
	if err != nil {
		t.Fatal(err)
	}
	defer zero.Close()
	if _, err := Restore(context.Background(), db, zero); err != nil {
		t.Fatal(err)
	}
	exec(t, c, "CREATE TABLE d(x)", "INSERT INTO d VALUES ('d')")
	want(t, query(t, other, "SELECT x FROM d"), "d")
	integrity(t, other)
	log := query(t, c, "SELECT hako_version()")
	want(t, query(t, openConn(t, s, "shop@2"), "SELECT x FROM a"), "a")
	if log == "0" {
		t.Error("restore lost history")
	}
}

func TestStoreNamesOpenConnections(t *testing.T) {
	s := newStore(t)
	c := openConn(t, s, "shop")
	exec(t, c, "CREATE TABLE t(a)")
	if err := Detach(s); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "shop") {
		t.Errorf("detach: %v", err)
	}
}

func TestConnectionsSeeEachOthersCommits(t *testing.T) {
	s := newStore(t)
	a, b := openConn(t, s, "shop"), openConn(t, s, "shop")
	exec(t, a, "CREATE TABLE t(a)", "INSERT INTO t VALUES (0)")
	times := effort(500, 150)
	for i := range times {
		exec(t, a, "UPDATE t SET a = a + 1")
		if i%3 == 0 { // changes nothing, and SQLite counts it all the same
			exec(t, b, "UPDATE t SET a = a")
		}
		exec(t, b, "UPDATE t SET a = a + 1")
		want(t, query(t, a, "SELECT a FROM t"), query(t, b, "SELECT a FROM t"))
	}
	want(t, query(t, a, "SELECT a FROM t"), fmt.Sprint(2*times))
}
