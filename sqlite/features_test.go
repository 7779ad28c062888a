package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hako-run/hako/pagestore"
	modernc "modernc.org/sqlite"
)

func TestAutoVacuum(t *testing.T) {
	for _, mode := range []string{"FULL", "INCREMENTAL"} {
		s := newStore(t)
		c := openConn(t, s, "shop")
		exec(t, c, "PRAGMA auto_vacuum="+mode, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)", someRows)
		full, then := query(t, c, "PRAGMA page_count"), "shop@"+query(t, c, "SELECT hako_version()")
		exec(t, c, "DELETE FROM t WHERE a > 10")
		if mode == "INCREMENTAL" {
			want(t, query(t, c, "PRAGMA page_count"), full)
			exec(t, c, "PRAGMA incremental_vacuum(20)", "PRAGMA incremental_vacuum")
		}
		for _, conn := range []querier{c, openConn(t, s, "shop")} {
			want(t, query(t, conn, "SELECT count(*), (SELECT page_count < 10 FROM pragma_page_count) FROM t"), "10|1")
			integrity(t, conn)
		}
		integrity(t, openConn(t, s, then))
		want(t, query(t, openConn(t, s, then), "SELECT count(*) FROM t"), "1000")
	}
}

func TestVirtualTables(t *testing.T) {
	s := newStore(t)
	c := openConn(t, s, "shop")
	exec(t, c, "CREATE VIRTUAL TABLE f USING fts5(body)", "CREATE VIRTUAL TABLE r USING rtree(id, x0, x1)",
		"INSERT INTO f VALUES ('the quick brown fox'), ('a lazy dog')", "INSERT INTO r VALUES (1, 0, 10), (2, 20, 30)",
		"BEGIN", "INSERT INTO f VALUES ('brown bread')", "SAVEPOINT s", "DELETE FROM f", "DELETE FROM r", "ROLLBACK TO s", "COMMIT",
		"INSERT INTO f(f) VALUES ('optimize')")
	for _, conn := range []querier{c, openConn(t, s, "shop")} {
		want(t, query(t, conn, "SELECT rowid FROM f WHERE f MATCH 'brown' ORDER BY 1"), "1\n3")
		want(t, query(t, conn, "SELECT id FROM r WHERE x1 > 15"), "2")
		integrity(t, conn)
	}
	want(t, query(t, openConn(t, s, "shop@3"), "SELECT count(*) FROM f"), "2")
}

func TestSavepointsWithSpill(t *testing.T) {
	c := openConn(t, newStore(t), "shop")
	exec(t, c, "PRAGMA cache_size=3", "CREATE TABLE t(a INTEGER PRIMARY KEY, b)", "BEGIN", someRows, "SAVEPOINT one", "UPDATE t SET b = 1", "SAVEPOINT two",
		"DELETE FROM t", someRows, someRows, "ROLLBACK TO two", "INSERT INTO t(b) VALUES ('kept')", "RELEASE two", "DELETE FROM t WHERE a < 500", "COMMIT")
	want(t, query(t, c, "SELECT count(*), min(a), max(b) FROM t"), "502|500|kept")
	integrity(t, c)
}

func TestTemporaryTables(t *testing.T) {
	s := newStore(t)
	c := openConn(t, s, "shop")
	exec(t, c, "PRAGMA cache_size=2", "CREATE TEMP TABLE t(a INTEGER PRIMARY KEY, b)", "BEGIN", someRows, "SAVEPOINT s", "DELETE FROM t", "ROLLBACK TO s", "COMMIT")
	want(t, query(t, c, "SELECT count(*), hako_version() FROM t"), "1000|0")
	want(t, query(t, c, "SELECT count(*) FROM (SELECT DISTINCT b FROM t ORDER BY hex(b))"), "1000") // a sorter's files
}

func TestLargeBlob(t *testing.T) {
	s := newStore(t)
	c := openConn(t, s, "shop")
	exec(t, c, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
	blob := make([]byte, effort(50_000_000, 5_000_000))
	rand.NewChaCha8([32]byte{1}).Read(blob)
	if _, err := c.ExecContext(context.Background(), "INSERT INTO t VALUES (1, ?), (2, 'x')", blob); err != nil {
		t.Fatal(err)
	}
	var got []byte
	if err := openConn(t, s, "shop").QueryRowContext(context.Background(), "SELECT b FROM t WHERE a = 1").Scan(&got); err != nil || !bytes.Equal(got, blob) {
		t.Errorf("%d bytes come back that differ: %v", len(got), err)
	}
	want(t, query(t, c, "SELECT a, length(b) FROM t"), fmt.Sprintf("1|%d\n2|1", len(blob)))
	exec(t, c, "UPDATE t SET b = zeroblob(1000) WHERE a = 1")
	want(t, query(t, openConn(t, s, "shop@2"), "SELECT length(b) FROM t WHERE a = 1"), fmt.Sprint(len(blob)))
	integrity(t, openConn(t, s, "shop@2"))
}

// A transaction much larger than SQLite's cache is kept outside of memory.
func TestHugeTransactionTakesLittleMemory(t *testing.T) {
	c := openConn(t, newStore(t), "shop")
	exec(t, c, "PRAGMA cache_size=-1000", "CREATE TABLE t(a INTEGER PRIMARY KEY, b)", "BEGIN")
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	rows := effort(1000, 100) // of 4 or 40 KB
	for range 15 {
		exec(t, c, fmt.Sprintf("INSERT INTO t(b) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) SELECT zeroblob(3990*1000/%[1]d) || i FROM n", rows))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 30<<20 {
		t.Errorf("60 MB written and not committed take %d MB of memory", grown>>20)
	}
	exec(t, c, "COMMIT")
	want(t, query(t, c, "SELECT count(*), sum(length(CAST(b AS BLOB))) > 59000000 FROM t"), fmt.Sprintf("%d|1", 15*rows))
}

func TestPinning(t *testing.T) {
	s := newStore(t)
	openDB(t, s, "blog")
	c := openConn(t, s, "shop")
	exec(t, c, "CREATE TABLE t(a)", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)", "ATTACH 'blog' AS blog", "CREATE TABLE blog.b(a)")
	want(t, query(t, c, "SELECT hako_at('2')"), "2")
	want(t, query(t, c, "SELECT count(*), hako_version(), hako_version('blog') FROM t"), "1|2|1")
	_, err := c.ExecContext(context.Background(), "INSERT INTO t VALUES (3)")
	if !errors.Is(err, pagestore.ErrReadOnly) || codeOf(t, err) != 8 || !strings.Contains(err.Error(), "hako_at(NULL)") {
		t.Errorf("write to a pinned connection: %v", err)
	}
	exec(t, c, "INSERT INTO blog.b VALUES (1)")
	want(t, query(t, c, "SELECT hako_at(1)"), "1")
	want(t, query(t, c, "SELECT count(*) FROM t"), "0")
	exec(t, c, "BEGIN", "SELECT * FROM t")
	if _, err := tryQuery(c, "SELECT hako_at('3')"); err == nil || !strings.Contains(err.Error(), "transaction") {
		t.Errorf("pinning within a transaction: %v", err)
	}
	exec(t, c, "COMMIT")
	want(t, query(t, c, "SELECT hako_at(NULL)"), "3")
	exec(t, c, "INSERT INTO t VALUES (3)")
	want(t, query(t, c, "SELECT hako_at('blog', 1)"), "1")
	want(t, query(t, c, "SELECT count(*) FROM b"), "0")
	want(t, query(t, c, "SELECT hako_at('blog', 'head'), count(*) FROM t"), "2|3")
	if _, err := tryQuery(c, "SELECT hako_at('99')"); !errors.Is(err, pagestore.ErrUnknownVersion) {
		t.Errorf("no such version: %v", err)
	}
	if _, err := tryQuery(c, "SELECT hako_version('temp')"); err == nil {
		t.Error("temp has a version")
	}
	at, err := time.Parse(time.RFC3339Nano, query(t, c, "SELECT hako_time()"))
	if err != nil || at.Location() != time.UTC || time.Since(at) > time.Minute {
		t.Errorf("hako_time: %v, %v", at, err)
	}
	if _, err := c.ExecContext(context.Background(), "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT hako_at('1'); END"); err == nil {
		if _, err := c.ExecContext(context.Background(), "INSERT INTO t VALUES (4)"); err == nil {
			t.Error("a trigger pins its connection")
		}
	}
}

func TestPinEndsWithTheUseOfAPooledConnection(t *testing.T) {
	db := openDB(t, newStore(t), "shop")
	db.SetMaxOpenConns(1)
	exec(t, db, "CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
	want(t, query(t, db, "SELECT hako_at('1')"), "1")
	want(t, query(t, db, "SELECT count(*) FROM t"), "1")
}

func TestRelativeSnapshotIsOneForAllConnections(t *testing.T) {
	s := newStore(t)
	c := openConn(t, s, "shop")
	exec(t, c, "CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
	if _, err := OpenDB(s, "shop@-10m"); err != nil {
		t.Fatal(err)
	}
	ref := "shop@" + query(t, c, "SELECT hako_time()")
	db := openDB(t, s, ref)
	a := connOf(t, db)
	exec(t, c, "INSERT INTO t VALUES (2)")
	want(t, query(t, a, "SELECT count(*) FROM t"), "1")
	want(t, query(t, connOf(t, db), "SELECT count(*), hako_version() FROM t"), "1|2")
	_, err := a.ExecContext(context.Background(), "INSERT INTO t VALUES (2)")
	if !errors.Is(err, pagestore.ErrReadOnly) || codeOf(t, err) != 8 {
		t.Errorf("write to a version: %v", err)
	}
	want(t, query(t, a, "SELECT hako_at('1')"), "1")
	want(t, query(t, a, "SELECT hako_at('head')"), "3")
	want(t, query(t, a, "SELECT count(*) FROM t"), "2")
	if _, err := a.ExecContext(context.Background(), "INSERT INTO t VALUES (2)"); !errors.Is(err, pagestore.ErrReadOnly) {
		t.Errorf("write at the head to what was opened as a version: %v", err)
	}
	want(t, query(t, a, "SELECT hako_at(NULL)"), "2")
	exec(t, a, "CREATE TEMP TABLE scratch(x)", "INSERT INTO scratch SELECT a FROM t")
	want(t, query(t, a, "SELECT x FROM scratch"), "1")
}

func TestVacuumInto(t *testing.T) {
	s := newStore(t)
	c := openConn(t, s, "shop")
	exec(t, c, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)", someRows)
	file := filepath.Join(t.TempDir(), "x.sqlite")
	exec(t, c, "VACUUM INTO 'file:"+file+"?vfs=unix'", "VACUUM INTO 'file:copy?create=1'")
	sum := query(t, c, "SELECT sum(length(b)) FROM t")
	want(t, query(t, openPlain(t, file), "SELECT sum(length(b)) FROM t"), sum)
	want(t, query(t, openConn(t, s, "copy"), "SELECT sum(length(b)) FROM t"), sum)
	if _, err := c.ExecContext(context.Background(), "VACUUM INTO 'nosuch'"); !errors.Is(err, pagestore.ErrUnknownDatabase) {
		t.Errorf("into what does not exist: %v", err)
	}
}

// The backup API works on files of two connections in one call.
func TestBackupBetweenAFileAndAStore(t *testing.T) {
	s := newStore(t)
	openDB(t, s, "shop")
	vfs, err := Attach(s)
	if err != nil {
		t.Fatal(err)
	}
	plain := openPlain(t, filepath.Join(t.TempDir(), "x.sqlite"))
	exec(t, plain, "PRAGMA page_size=1024", "CREATE TABLE t(a INTEGER PRIMARY KEY, b)", someRows)
	type backuper interface {
		NewBackup(string) (*modernc.Backup, error)
		NewRestore(string) (*modernc.Backup, error)
	}
	backup := func(c *sql.Conn, start func(backuper) (*modernc.Backup, error)) {
		t.Helper()
		err := c.Raw(func(dc any) error {
			b, err := start(dc.(backuper))
			if err != nil {
				return err
			}
			for more := true; more && err == nil; {
				more, err = b.Step(7)
			}
			return errors.Join(err, b.Finish())
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	backup(plain, func(b backuper) (*modernc.Backup, error) { return b.NewBackup("file:shop?vfs=" + vfs) })
	c := openConn(t, s, "shop")
	sum := query(t, plain, "SELECT count(*), sum(length(b)) FROM t")
	want(t, query(t, c, "SELECT count(*), sum(length(b)) FROM t"), sum)
	integrity(t, c)
	other := openPlain(t, filepath.Join(t.TempDir(), "y.sqlite"))
	backup(other, func(b backuper) (*modernc.Backup, error) { return b.NewRestore("file:shop@1?vfs=" + vfs) })
	want(t, query(t, other, "SELECT count(*), sum(length(b)) FROM t"), sum)
}

func TestReadOnlyMode(t *testing.T) {
	s := newStore(t)
	exec(t, openConn(t, s, "shop"), "CREATE TABLE t(a)")
	c := openConn(t, s, "shop?mode=ro")
	_, err := c.ExecContext(context.Background(), "INSERT INTO t VALUES (2)")
	if !errors.Is(err, pagestore.ErrReadOnly) {
		t.Errorf("write: %v", err)
	}
}

func TestClosingAConnectionEndsItsTransaction(t *testing.T) {
	s := newStore(t)
	other := openConn(t, s, "shop?_busy_timeout=0")
	exec(t, other, "CREATE TABLE t(a)")
	db, err := OpenDB(s, "shop")
	if err != nil {
		t.Fatal(err)
	}
	c, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	exec(t, c, "BEGIN IMMEDIATE", "INSERT INTO t VALUES (1)")
	if _, err := other.ExecContext(context.Background(), "BEGIN IMMEDIATE"); codeOf(t, err) != 5 {
		t.Errorf("two writers: %v", err)
	}
	if err := errors.Join(c.Raw(func(any) error { return driver.ErrBadConn }), db.Close()); !errors.Is(err, driver.ErrBadConn) {
		t.Fatal(err)
	}
	exec(t, other, "BEGIN IMMEDIATE", "COMMIT")
	want(t, query(t, other, "SELECT count(*) FROM t"), "0")
}

// SQL must not reach another connection's state.
func TestAttachCannotNameAnotherConnection(t *testing.T) {
	s := newStore(t)
	a, b := openConn(t, s, "shop"), openConn(t, s, "shop")
	exec(t, a, "CREATE TABLE t(a)")
	var id uintptr
	if err := a.Raw(func(dc any) error { id = dc.(*conn).link.id; return nil }); err != nil {
		t.Fatal(err)
	}
	exec(t, b, fmt.Sprintf("ATTACH 'file:shop?hako_session=%d' AS x", id))
	err := a.Raw(func(dc any) error {
		if n := len(dc.(*conn).session.Mains()); n != 1 {
			t.Errorf("%d databases are open in the other connection's session", n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What database/sql does with a connection works through ours.
func TestDriverInterfaces(t *testing.T) {
	s := newStore(t)
	db := openDB(t, s, "shop")
	ctx := context.Background()
	exec(t, db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c REAL)")
	r, err := db.Exec("INSERT INTO t(b, c) VALUES (?, :c), ('y', 2)", "x", sql.Named("c", 1.5))
	if err != nil {
		t.Fatal(err)
	}
	id, err1 := r.LastInsertId()
	n, err2 := r.RowsAffected()
	want(t, fmt.Sprint(id, n, err1, err2), "2 2 <nil> <nil>")
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	st, err := tx.Prepare("UPDATE t SET b = ? WHERE a = ?")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Exec("z", 2); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	rows, err := db.Query("SELECT a, b, c FROM t ORDER BY a")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		t.Fatal(err)
	}
	want(t, types[0].DatabaseTypeName()+types[1].DatabaseTypeName()+types[2].DatabaseTypeName(), "INTEGERTEXTREAL")
	if err := db.PingContext(ctx); err != nil {
		t.Error(err)
	}
	if _, err := db.Exec("INSERT INTO t(a) VALUES (1)"); codeOf(t, err)&0xff != 19 {
		t.Errorf("constraint: %v", err)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := db.ExecContext(canceled, "INSERT INTO t(b) VALUES (1)"); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestPinned(t *testing.T) {
	s := newStore(t)
	c := openConn(t, s, "shop")
	exec(t, c, "CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
	at := func(c *sql.Conn, want string) {
		t.Helper()
		if got, err := Pinned(c); err != nil || got != want {
			t.Errorf("pinned to %q, not %q (%v)", got, want, err)
		}
	}
	at(c, "")
	query(t, c, "SELECT hako_at(1)")
	at(c, "shop@1")
	query(t, c, "SELECT hako_at(2)") // the newest, but pinned
	at(c, "shop@2")
	query(t, c, "SELECT hako_at(NULL)")
	at(c, "")
	exec(t, c, "ATTACH 'shop@1' AS old", "BEGIN")
	query(t, c, "SELECT count(*) FROM t")
	at(c, "")
	at(openConn(t, s, "shop@1"), "shop@1")
	if got, err := Pinned(openPlain(t, ":memory:")); err == nil {
		t.Errorf("a connection of another driver is pinned to %q", got)
	}
}

// What SQLite and the store say about one mistake is told once, and a file that
// is attached as if it were a database is told how.
func TestErrorsSayItOnce(t *testing.T) {
	s := newStore(t)
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile("plain", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := openConn(t, s, "shop")
	exec(t, c, "CREATE TABLE t(a)")
	old := openConn(t, s, "shop@1")
	for _, e := range []struct {
		on      querier
		q, want string
	}{
		{c, "SELECT hako_at('nope')", `pin shop to "nope": shop: unknown tag "nope"`},
		{c, "ATTACH 'nope' AS n", `open nope: unknown database "nope"`},
		{c, "ATTACH 'shop@9' AS n", "open shop@9: shop has no version 9: the newest is 1"},
		{c, "ATTACH '/a b/x' AS n", "open /a b/x: unknown database: an ordinary file is opened as 'file:/a%20b/x?vfs=unix'"},
		{c, "ATTACH 'x.sqlite' AS n", "open x.sqlite: unknown database: an ordinary file is opened as 'file:x.sqlite?vfs=unix'"},
		{c, "ATTACH 'plain' AS n", "open plain: unknown database: an ordinary file is opened as 'file:plain?vfs=unix'"},
		{old, "INSERT INTO t VALUES (1)", "write to shop@1: snapshot is read-only: open shop without a version, or make a branch of this one"},
	} {
		if _, err := tryQuery(e.on, e.q); err == nil || !strings.HasPrefix(err.Error(), e.want) || strings.Count(err.Error(), e.want) != 1 || len(err.Error()) > len(e.want)+40 {
			t.Errorf("%s: %v\nnot %s", e.q, err, e.want)
		}
	}
	exec(t, c, "ATTACH 'file:plain?vfs=unix' AS n", "CREATE TABLE n.u(a)")
}

// SQLite must not take what it has cached of an empty database for the content
// of the version that it read before.
func TestBackFromAnEmptyVersion(t *testing.T) {
	for _, locking := range []string{"writer", "optimistic"} {
		s := newStore(t)
		c := openConn(t, s, "shop?locking="+locking)
		exec(t, c, "CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
		for range 3 {
			query(t, c, "SELECT hako_at(0)")
			if got, err := tryQuery(c, "SELECT count(*) FROM t"); err == nil {
				t.Errorf("%s: %s rows of no table", locking, got)
			}
			want(t, query(t, c, "PRAGMA page_count"), "0")
			query(t, c, "SELECT hako_at(NULL)")
			want(t, query(t, c, "SELECT count(*) FROM t"), "1")
		}
		db, err := s.Database("shop")
		if err != nil {
			t.Fatal(err)
		}
		empty, err := db.Snapshot(0)
		if err != nil {
			t.Fatal(err)
		}
		defer empty.Close()
		full, err := db.Snapshot(2)
		if err != nil {
			t.Fatal(err)
		}
		defer full.Close()
		for range 2 { // the same by restoring
			if _, err := Restore(t.Context(), db, empty); err != nil {
				t.Fatal(err)
			}
			if got, err := tryQuery(c, "SELECT count(*) FROM t"); err == nil {
				t.Errorf("%s: %s rows of no table", locking, got)
			}
			if _, err := Restore(t.Context(), db, full); err != nil {
				t.Fatal(err)
			}
			want(t, query(t, c, "SELECT count(*) FROM t"), "1")
			exec(t, c, "UPDATE t SET a = a + 1")
			integrity(t, c)
		}
	}
}
