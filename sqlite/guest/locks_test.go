package guest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite/guest"
)

func TestBusyTimeout(t *testing.T) {
	w := newWorld(t)
	w.create("shop")
	holder := openHako(t, w.store, "shop")
	c := w.instance("shop").open(0, "shop")
	c.exec("CREATE TABLE t(a)")
	want(t, holder.run("BEGIN IMMEDIATE"), "")
	begin := time.Now()
	if code := c.code("INSERT INTO t VALUES (1)"); code != 5 || time.Since(begin) > 3*time.Second {
		t.Errorf("without a time-out: code %d after %v", code, time.Since(begin))
	}
	want(t, c.get("PRAGMA busy_timeout"), "0")
	want(t, c.get("PRAGMA busy_timeout=100"), "100")
	begin = time.Now()
	if code := c.code("INSERT INTO t VALUES (1)"); code != 5 || time.Since(begin) < 100*time.Millisecond {
		t.Errorf("time-out of 100 ms: code %d after %v", code, time.Since(begin))
	}
	want(t, c.get("SELECT count(*) FROM t"), "0") // readers do not wait
	byCall, err := w.instance("shop").tryOpen(0, "shop", 0, 70)
	if err != nil {
		t.Fatal(err)
	}
	want(t, byCall.get("PRAGMA busy_timeout"), "70")
	begin = time.Now()
	if code := byCall.code("BEGIN IMMEDIATE"); code != 5 || time.Since(begin) < 70*time.Millisecond {
		t.Errorf("time-out of 70 ms: code %d after %v", code, time.Since(begin))
	}
	want(t, holder.run("COMMIT"), "")
	c.exec("INSERT INTO t VALUES (1)")
	byCall.exec("BEGIN IMMEDIATE", "COMMIT")
}

func TestGuestsWaitForTheirTurn(t *testing.T) {
	w := newWorld(t)
	w.create("shop")
	holder := openHako(t, w.store, "shop")
	want(t, holder.run("CREATE TABLE t(n INTEGER PRIMARY KEY, who)"), "")
	want(t, holder.run("BEGIN IMMEDIATE"), "")
	const guests = 4
	var wg sync.WaitGroup
	for i := range guests {
		c := w.instance("shop").open(0, "shop")
		c.exec("PRAGMA busy_timeout=20000")
		wg.Go(func() {
			if _, err := c.query(c.in.ctx, fmt.Sprintf("INSERT INTO t(who) VALUES (%d)", i)); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(50 * time.Millisecond) // until it waits
	}
	want(t, holder.run("COMMIT"), "")
	wg.Wait()
	want(t, strings.ReplaceAll(holder.run("SELECT who FROM t ORDER BY n"), "\n", ""), "0123")
}

func TestGuestsAndGoCountTogether(t *testing.T) {
	w := newWorld(t)
	w.create("shop")
	each := effort(100, 30)
	first := openHako(t, w.store, "shop")
	want(t, first.run("CREATE TABLE t(a)"), "")
	want(t, first.run("INSERT INTO t VALUES (0)"), "")
	var sides []side
	for range 3 {
		in := w.instance("shop")
		for i := range 2 { // two connections of a guest, in turn
			c := in.open(i, "shop")
			c.exec("PRAGMA busy_timeout=60000")
			sides = append(sides, c)
		}
		sides = append(sides, openHako(t, w.store, "shop?_busy_timeout=60000"))
	}
	var wg sync.WaitGroup
	for i := 0; i < len(sides); i += 3 {
		for _, group := range [][]side{sides[i : i+2], sides[i+2 : i+3]} {
			wg.Go(func() {
				for n := range each {
					for _, s := range group {
						statements := []string{"UPDATE t SET a = a + 1"}
						if n%3 == 0 {
							statements = []string{"BEGIN IMMEDIATE", "UPDATE t SET a = a + 1", "COMMIT"}
						}
						for _, stmt := range statements {
							if got := s.run(stmt); got != "" {
								t.Errorf("%s: %s", stmt, got)
							}
						}
					}
				}
			})
		}
	}
	wg.Wait()
	for _, s := range sides {
		want(t, s.run("SELECT a FROM t"), fmt.Sprint(len(sides)*each))
	}
}

func TestConnectionsOfOneGuestDoNotWaitForEachOther(t *testing.T) {
	w := newWorld(t)
	w.create("shop")
	in := w.instance("shop")
	a, b := in.open(0, "shop"), in.open(1, "shop")
	a.exec("CREATE TABLE t(a)", "BEGIN", "INSERT INTO t VALUES (1)")
	b.exec("PRAGMA busy_timeout=30000")
	begin := time.Now()
	if code := b.code("INSERT INTO t VALUES (2)"); code != 5 || time.Since(begin) > 10*time.Second {
		t.Errorf("code %d after %v", code, time.Since(begin))
	}
	want(t, b.get("SELECT count(*) FROM t"), "0")
	a.exec("COMMIT")
	b.exec("INSERT INTO t VALUES (2)")
	want(t, a.get("SELECT sum(a) FROM t"), "3")
}

func TestUpgradeOfAStaleReadFails(t *testing.T) {
	w := newWorld(t)
	w.create("shop")
	in := w.instance("shop")
	a, b := in.open(0, "shop"), in.open(1, "shop")
	a.exec("CREATE TABLE t(a)", "INSERT INTO t VALUES (1)", "BEGIN")
	want(t, a.get("SELECT a FROM t"), "1")
	b.exec("UPDATE t SET a = 2")
	if code := a.code("UPDATE t SET a = 3"); code != 517 {
		t.Errorf("code %d", code)
	}
	want(t, a.get("SELECT a FROM t"), "1")
	a.exec("ROLLBACK", "UPDATE t SET a = a + 1")
	want(t, b.get("SELECT a FROM t"), "3")
}

func TestOptimisticGuestsConflict(t *testing.T) {
	w := newWorld(t)
	w.create("shop")
	in := w.instance("shop")
	a, b := in.open(0, "file:shop?locking=optimistic"), in.open(1, "shop")
	b.exec("CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
	a.exec("BEGIN", "UPDATE t SET a = a + 10")
	b.exec("UPDATE t SET a = a + 1")
	_, err := a.query(in.ctx, "COMMIT")
	var e *sqlError
	if !errors.As(err, &e) || e.code != 517 || !strings.Contains(e.more, "shop") {
		t.Fatalf("commit: %v: %+v", err, e)
	}
	if !errors.Is(in.dbs.Err(), pagestore.ErrConflict) {
		t.Errorf("the host tells %v", in.dbs.Err())
	}
	want(t, a.get("SELECT a FROM t"), "2")
	a.exec("UPDATE t SET a = a + 10")
	want(t, b.get("SELECT a FROM t"), "12")
}

func TestWaitEndsWithTheContext(t *testing.T) {
	w := newWorld(t)
	w.create("shop")
	holder := openHako(t, w.store, "shop")
	want(t, holder.run("CREATE TABLE t(a)"), "")
	want(t, holder.run("BEGIN IMMEDIATE"), "")
	// An ordinary connection with the default busy handler sleeps in xSleep.
	for _, how := range []string{"PRAGMA busy_timeout=60000", "sleeping"} {
		in := w.instance("shop")
		c := in.open(0, "shop")
		statement := "INSERT INTO t VALUES (1)"
		if how == "sleeping" {
			a, b := in.open(1, "/files/plain"), in.open(2, "/files/plain")
			a.exec("CREATE TABLE IF NOT EXISTS t(a)", "BEGIN IMMEDIATE")
			b.exec("PRAGMA busy_timeout=60000")
			c = b
		} else {
			c.exec(how)
		}
		ctx, cancel := context.WithTimeout(in.ctx, 50*time.Millisecond)
		begin := time.Now()
		_, err := c.query(ctx, statement)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 10*time.Second {
			t.Errorf("%s: after %v: %v", how, time.Since(begin), err)
		}
		in.close()
	}
	want(t, holder.run("COMMIT"), "")
	want(t, holder.run("INSERT INTO t VALUES (2)"), "") // the queue is not held up by those that left
	want(t, holder.run("SELECT a FROM t"), "2")
}

func TestKilledGuestLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.create("shop", "blog", "third")
	other := openHako(t, w.store, "shop?_busy_timeout=0")
	want(t, other.run("CREATE TABLE t(a INTEGER PRIMARY KEY, b)"), "")
	for _, last := range []string{"SELECT 1", "SELECT nested(1, 'BEGIN IMMEDIATE')", "PRAGMA cache_size=2"} {
		in := w.instance("shop", "blog", "third")
		c := in.open(0, "shop")
		in.open(1, "third")
		if _, err := in.call(in.ctx, "add_nested", 0); err != nil {
			t.Fatal(err)
		}
		c.exec("ATTACH 'blog' AS blog", "CREATE TEMP TABLE x AS SELECT 1", last, "BEGIN IMMEDIATE",
			"INSERT INTO t(b) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<500) SELECT zeroblob(500) FROM n")
		if _, err := in.call(in.ctx, "trap"); err == nil {
			t.Fatal("no trap")
		}
		if got := other.run("BEGIN IMMEDIATE"); !strings.Contains(got, "(5)") {
			t.Errorf("the guest's lock is gone before its databases were closed: %q", got)
		}
		in.close()
		want(t, other.run("BEGIN IMMEDIATE"), "")
		want(t, other.run("COMMIT"), "")
		want(t, other.run("SELECT count(*), hako_version() FROM t"), "0|1")
	}
	if open := w.vfs.Open(); len(open) != 0 {
		t.Errorf("still open: %v", open)
	}
}

func TestSnapshots(t *testing.T) {
	w := newWorld(t)
	w.create("shop")
	c := w.instance("shop").open(0, "shop")
	c.exec("CREATE TABLE t(a)", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)")
	const read = "SELECT sum(a), hako_version() FROM t"

	in := w.granted(guest.Options{}, guest.Grant{Path: "/db/old.sqlite", Database: "shop@2"}, guest.Grant{Path: "/db/shop.sqlite", Database: "shop", ReadOnly: true})
	old := in.open(0, "/db/../db/old.sqlite")
	want(t, old.get(read), "1|2")
	readOnly := in.open(1, "db/shop.sqlite")
	want(t, readOnly.get(read), "3|3")
	for _, c := range []*guestConn{old, readOnly} {
		if code := c.code("INSERT INTO t VALUES (3)"); code != 8 {
			t.Errorf("write to what is read-only: code %d", code)
		}
	}
	for _, spec := range []string{"'head'", "1", "'-1m'"} {
		if got := old.run("SELECT hako_at(" + spec + ")"); !strings.Contains(got, "shop@2 alone was granted") {
			t.Errorf("hako_at(%s) beyond the grant: %s", spec, got)
		}
	}
	want(t, old.get("SELECT hako_at(NULL)"), "2")
	want(t, readOnly.get("SELECT hako_at(2)"), "2")
	want(t, readOnly.get(read), "1|2")
	want(t, in.open(2, "/db/shop.sqlite@2").get(read), "1|2")
	for _, name := range []string{"/db/old.sqlite@1", "/db/old.sqlite@head", "shop", "shop@2", "/db/shop.sqlite@9", "/db/shop.sqlite@2@1", "/db/shop.sqlite@"} {
		if _, err := in.tryOpen(3, name, 6, -1); codeOf(t, err) != 14 {
			t.Errorf("open %s: %v", name, err)
		}
	}

	// The functions do as those of package sqlite.
	hako := openHako(t, w.store, "shop")
	for _, stmt := range []string{"SELECT hako_at(2)", read, "SELECT hako_time() = (SELECT hako_time('main'))", "INSERT INTO t VALUES (9)", "SELECT hako_at('head')", read,
		"SELECT hako_version('nosuch')", "SELECT hako_at(99)", "SELECT hako_at('nonsense')", "BEGIN", "SELECT * FROM t", "SELECT hako_at(1)", "COMMIT",
		"SELECT hako_time()", "SELECT hako_at('main', 1)", read, "SELECT hako_at(NULL)", read} {
		a, b := hako.run(stmt), strings.TrimSuffix(strings.Replace(c.run(stmt), "SQL logic error: ", "", 1), " (1)")
		a = strings.TrimSuffix(strings.Replace(a, "SQL logic error: ", "", 1), " (1)")
		if a != b && !(strings.Contains(a, "read-only") && strings.Contains(b, "readonly")) {
			t.Errorf("%s: in process %q, in a guest %q", stmt, a, b)
		}
	}
}

func TestForkedGuest(t *testing.T) {
	w := newWorld(t)
	w.create("shop", "blog")
	original := w.instance("shop", "blog")
	c := original.open(0, "shop")
	original.open(1, "shop")
	c.exec("CREATE TABLE t(a)", "ATTACH 'blog' AS blog", "CREATE TABLE blog.b(a)", "INSERT INTO t VALUES (1)", "SELECT * FROM t",
		"CREATE TEMP TABLE small AS SELECT 7 AS n", "PRAGMA temp.cache_size=2", "CREATE TEMP TABLE large(a INTEGER PRIMARY KEY, b)", strings.Replace(someRows, " t(", " large(", 1))
	var numbers []string
	memory, _ := original.m.Memory().Read(0, original.m.Memory().Size())
	memory = append([]byte(nil), memory...)
	c.exec("INSERT INTO t VALUES (10)")
	for range 2 {
		fork := w.instance("shop", "blog")
		if grow := (len(memory) - int(fork.m.Memory().Size())) >> 16; grow > 0 {
			fork.m.Memory().Grow(uint32(grow))
		}
		fork.m.Memory().Write(0, memory)
		if rc, err := fork.call(fork.ctx, "hako_forked"); rc != 0 || err != nil {
			t.Fatalf("forked: %d, %v", rc, err)
		}
		f := &guestConn{fork, 0}
		numbers = append(numbers, f.get("SELECT hex(randomblob(16))"))
		sum := c.get("SELECT sum(a) FROM t")
		want(t, f.get("SELECT sum(a) FROM t"), sum)
		f.exec("BEGIN", "INSERT INTO t VALUES (100)", "INSERT INTO b VALUES (1)", "COMMIT", "PRAGMA busy_timeout=10")
		want(t, c.get("SELECT hako_time() = hako_time('blog')"), "1")
		f.exec("BEGIN IMMEDIATE", "UPDATE t SET a = a") // opens what may get the handle of the original's file
		for _, lost := range []string{"SELECT sum(length(b)) FROM large", "UPDATE large SET b = 1"} {
			if code := f.code(lost); code&0xff != 10 {
				t.Errorf("%s: code %d", lost, code)
			}
		}
		f.run("ROLLBACK")
		second := &guestConn{fork, 1}
		second.exec("INSERT INTO t VALUES (0)")
		want(t, f.get("SELECT sum(a) - "+sum+" FROM t"), "100")
	}
	if numbers[0] == numbers[1] {
		t.Errorf("both forks drew %s", numbers[0])
	}
	want(t, c.get("PRAGMA integrity_check"), "ok")
}
