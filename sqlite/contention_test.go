package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hako-run/hako/pagestore"
)

// count reads a number.
func count(t testing.TB, q querier, statement string) int {
	t.Helper()
	n, err := strconv.Atoi(query(t, q, statement))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWritersQueueWithoutErrors(t *testing.T) {
	db := openDB(t, newStore(t), "shop")
	exec(t, db, "CREATE TABLE t(a)", "INSERT INTO t VALUES (0)")
	const writers, each = 8, 25
	var wg sync.WaitGroup
	for w := range writers {
		c := connOf(t, db)
		wg.Go(func() {
			for i := range each {
				statements := []string{"UPDATE t SET a = a + 1"}
				if (w+i)%2 == 0 {
					statements = []string{"BEGIN IMMEDIATE", "UPDATE t SET a = a + 1", "SELECT a FROM t", "COMMIT"}
				}
				for _, s := range statements {
					if _, err := c.ExecContext(context.Background(), s); err != nil {
						t.Errorf("%s: %v", s, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	want(t, query(t, db, "SELECT a FROM t"), fmt.Sprint(writers*each))
}

func TestWritersTakeTurnsInOrder(t *testing.T) {
	db := openDB(t, newStore(t), "shop")
	exec(t, db, "CREATE TABLE t(n INTEGER PRIMARY KEY, who)")
	holder := connOf(t, db)
	exec(t, holder, "BEGIN IMMEDIATE")
	const writers = 6
	var wg sync.WaitGroup
	for w := range writers {
		c := connOf(t, db)
		wg.Go(func() {
			if _, err := c.ExecContext(context.Background(), fmt.Sprintf("INSERT INTO t(who) VALUES (%d)", w)); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(50 * time.Millisecond) // until it waits
	}
	exec(t, holder, "COMMIT")
	wg.Wait()
	want(t, strings.ReplaceAll(query(t, db, "SELECT who FROM t ORDER BY n"), "\n", ""), "012345")
}

func TestBusyTimeout(t *testing.T) {
	s := newStore(t)
	db := openDB(t, s, "shop")
	exec(t, db, "CREATE TABLE t(a)")
	holder, c := connOf(t, db), connOf(t, db)
	want(t, query(t, c, "PRAGMA busy_timeout"), "5000")
	want(t, query(t, c, "PRAGMA busy_timeout=100"), "100")
	exec(t, holder, "BEGIN IMMEDIATE")
	begin := time.Now()
	_, err := c.ExecContext(context.Background(), "INSERT INTO t VALUES (1)")
	if d := time.Since(begin); codeOf(t, err) != 5 || !errors.Is(err, pagestore.ErrBusy) || d < 100*time.Millisecond || d > 3*time.Second {
		t.Errorf("after %v: %v", d, err)
	}
	want(t, query(t, c, "PRAGMA busy_timeout=0"), "0")
	if _, err := c.ExecContext(context.Background(), "BEGIN IMMEDIATE"); codeOf(t, err) != 5 {
		t.Errorf("no time-out: %v", err)
	}
	want(t, query(t, c, "SELECT count(*) FROM t"), "0") // readers do not wait
	exec(t, holder, "COMMIT")
	exec(t, c, "INSERT INTO t VALUES (1)")
	want(t, query(t, openConn(t, s, "shop?_busy_timeout=70"), "PRAGMA busy_timeout"), "70")
}

func TestBusyWaitEndsWithTheContext(t *testing.T) {
	db := openDB(t, newStore(t), "shop")
	exec(t, db, "CREATE TABLE t(a)")
	holder, c := connOf(t, db), connOf(t, db)
	exec(t, holder, "BEGIN IMMEDIATE")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := c.ExecContext(ctx, "INSERT INTO t VALUES (1)")
	if d := time.Since(begin); err == nil || d > 3*time.Second {
		t.Errorf("after %v: %v", d, err)
	}
	exec(t, holder, "COMMIT")
	exec(t, c, "INSERT INTO t VALUES (2)") // the queue is not held up by the one that left
	want(t, query(t, db, "SELECT a FROM t"), "2")
}

// Waiting could not help: as with a file, the answer comes at once.
func TestUpgradeOfAStaleReadFailsAtOnce(t *testing.T) {
	db := openDB(t, newStore(t), "shop")
	exec(t, db, "CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
	a, b := connOf(t, db), connOf(t, db)
	exec(t, a, "BEGIN")
	want(t, query(t, a, "SELECT a FROM t"), "1")
	exec(t, b, "UPDATE t SET a = 2")
	begin := time.Now()
	_, err := a.ExecContext(context.Background(), "UPDATE t SET a = 3")
	if d := time.Since(begin); codeOf(t, err) != 517 || d > time.Second {
		t.Errorf("after %v: %v", d, err)
	}
	want(t, query(t, a, "SELECT a FROM t"), "1") // the snapshot stays
	exec(t, a, "ROLLBACK", "UPDATE t SET a = a + 1")
	want(t, query(t, b, "SELECT a FROM t"), "3")
}

func TestDatabaseAttachedTwiceDoesNotWaitForItself(t *testing.T) {
	c := openConn(t, newStore(t), "shop")
	exec(t, c, "CREATE TABLE t(a)", "ATTACH 'shop' AS again", "BEGIN", "INSERT INTO main.t VALUES (1)")
	begin := time.Now()
	_, err := c.ExecContext(context.Background(), "INSERT INTO again.t VALUES (2)")
	if d := time.Since(begin); codeOf(t, err)&0xff != 5 || d > time.Second {
		t.Errorf("after %v: %v", d, err)
	}
	exec(t, c, "COMMIT")
	want(t, query(t, c, "SELECT a FROM again.t"), "1")
}

// retry runs f in a transaction until it does not conflict.
func retry(c *sql.Conn, f func() error) error {
	for {
		_, err := c.ExecContext(context.Background(), "BEGIN")
		if err == nil {
			if err = f(); err == nil {
				_, err = c.ExecContext(context.Background(), "COMMIT")
			}
		}
		if err == nil {
			return nil
		}
		c.ExecContext(context.Background(), "ROLLBACK") // if it is not over already
		if !errors.Is(err, pagestore.ErrConflict) {
			return err
		}
	}
}

func TestOptimisticTransfersKeepTheSum(t *testing.T) {
	const accounts, writers, each = 60, 16, 12
	s := newStore(t)
	db := openDB(t, s, "bank?locking=optimistic")
	// An account fills a page, so that few transfers collide.
	exec(t, db, "CREATE TABLE account(id INTEGER PRIMARY KEY, money INT, filling)",
		fmt.Sprintf("INSERT INTO account WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) SELECT i, 100, zeroblob(3000) FROM n", accounts))
	var wg sync.WaitGroup
	for w := range writers {
		c := connOf(t, db)
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 3))
			for range each {
				from, to, sum := 1+r.IntN(accounts), 1+r.IntN(accounts), r.IntN(20)
				err := retry(c, func() error {
					var money int
					if err := c.QueryRowContext(context.Background(), "SELECT money FROM account WHERE id=?", from).Scan(&money); err != nil || money < sum {
						return err
					}
					_, err1 := c.ExecContext(context.Background(), "UPDATE account SET money = money - ? WHERE id = ?", sum, from)
					_, err2 := c.ExecContext(context.Background(), "UPDATE account SET money = money + ? WHERE id = ?", sum, to)
					return errors.Join(err1, err2)
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	want(t, query(t, openConn(t, s, "bank"), "SELECT sum(money), min(money) >= 0 FROM account"), fmt.Sprintf("%d|1", accounts*100))
	database, err := s.Database("bank")
	if err != nil {
		t.Fatal(err)
	}
	for v := pagestore.Version(2); v <= database.Head().Version; v += 20 {
		want(t, query(t, openConn(t, s, fmt.Sprintf("bank@%d", v)), "SELECT sum(money) FROM account"), fmt.Sprint(accounts*100))
	}
}

// Two doctors may leave if the other stays: each reads both rows and writes
// its own.
func TestWriteSkewIsRefused(t *testing.T) {
	s := newStore(t)
	db := openDB(t, s, "ward?locking=optimistic")
	exec(t, db, "CREATE TABLE doctor(id INTEGER PRIMARY KEY, there INT, filling)", "INSERT INTO doctor VALUES (1, 1, zeroblob(3000)), (2, 1, zeroblob(3000))")
	a, b := connOf(t, db), connOf(t, db)
	for _, c := range []*sql.Conn{a, b} {
		want(t, query(t, c, "SELECT sum(there) FROM doctor"), "2") // fills SQLite's cache
	}
	exec(t, a, "BEGIN")
	exec(t, b, "BEGIN")
	for _, c := range []*sql.Conn{a, b} {
		want(t, query(t, c, "SELECT sum(there) FROM doctor"), "2")
	}
	exec(t, a, "UPDATE doctor SET there = 0 WHERE id = 1", "COMMIT")
	exec(t, b, "UPDATE doctor SET there = 0 WHERE id = 2")
	_, err := b.ExecContext(context.Background(), "COMMIT")
	var conflict *pagestore.ConflictError
	if !errors.As(err, &conflict) || len(conflict.Pages) == 0 || !slices.Equal(conflict.Tables, []string{"doctor"}) {
		t.Fatalf("both left: %v", err)
	}
	want(t, query(t, b, "SELECT sum(there) FROM doctor"), "1")
}

// What an open cursor has read counts for the transaction that follows under
// the same lock.
func TestOptimisticReadsOfAnOpenCursorCount(t *testing.T) {
	db := openDB(t, newStore(t), "shop?locking=optimistic")
	exec(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, n INT, filling)", "INSERT INTO t VALUES (1, 1, zeroblob(3000)), (2, 1, zeroblob(3000)), (3, 1, zeroblob(3000))")
	a, b := connOf(t, db), connOf(t, db)
	rows, err := a.QueryContext(context.Background(), "SELECT id, n FROM t")
	if err != nil {
		t.Fatal(err)
	}
	rows.Next()
	rows.Next()
	exec(t, b, "UPDATE t SET n = 5 WHERE id = 1")
	_, err = a.ExecContext(context.Background(), "UPDATE t SET n = 7 WHERE id = 3")
	rows.Close()
	if !errors.Is(err, pagestore.ErrConflict) {
		t.Errorf("a write after reading what has changed: %v", err)
	}
	want(t, query(t, a, "SELECT sum(n) FROM t"), "7")
}

func TestOptimisticWritersDoNotWaitForEachOther(t *testing.T) {
	db := openDB(t, newStore(t), "shop?locking=optimistic")
	exec(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY, n INT, filling)", "INSERT INTO t VALUES (1, 0, zeroblob(3000)), (2, 0, zeroblob(3000)), (3, 0, zeroblob(3000))")
	a, b := connOf(t, db), connOf(t, db)
	exec(t, a, "BEGIN IMMEDIATE", "UPDATE t SET n = 1 WHERE id = 1")
	exec(t, b, "BEGIN IMMEDIATE", "UPDATE t SET n = 1 WHERE id = 3", "COMMIT")
	exec(t, a, "COMMIT")
	if n := count(t, a, "SELECT sum(n) FROM t"); n != 2 {
		t.Errorf("sum %d", n)
	}
	want(t, query(t, b, "SELECT hako_version()"), "4")
}

// An optimistic COMMIT waits for a writer that has the lock. If it gives up,
// the transaction is still there.
func TestOptimisticCommitCanBeTriedAgain(t *testing.T) {
	s := newStore(t)
	openDB(t, s, "blog")
	c, writer := openConn(t, s, "shop?locking=optimistic"), openConn(t, s, "shop")
	exec(t, c, "ATTACH 'blog' AS blog", "CREATE TABLE t(a)", "CREATE TABLE blog.b(a)")
	for _, more := range []string{"SELECT 1", "INSERT INTO b VALUES (1)"} {
		exec(t, c, "BEGIN", "INSERT INTO t VALUES (1)", more)
		exec(t, writer, "BEGIN IMMEDIATE")
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		if _, err := c.ExecContext(ctx, "COMMIT"); err == nil {
			t.Error("committed while another had the lock")
		}
		cancel()
		exec(t, writer, "COMMIT")
		exec(t, c, "INSERT INTO t VALUES (2)", "COMMIT")
	}
	want(t, query(t, writer, "SELECT count(*), sum(a), hako_version() FROM t"), "4|6|3")
	want(t, query(t, c, "SELECT count(*), hako_version('blog') FROM b"), "1|2")
	integrity(t, writer)
}
