package guest_test

import (
	"fmt"
	"testing"

	"github.com/hako-run/hako/sqlite/guest"
)

func TestSeen(t *testing.T) {
	w := newWorld(t)
	w.create("shop", "blog")
	in := w.instance("shop", "blog")
	seen := func(want string) {
		t.Helper()
		if got := fmt.Sprint(in.dbs.Seen().List()); got != want {
			t.Errorf("seen are %s, want %s", got, want)
		}
	}
	shop, blog := in.open(0, "shop"), in.open(1, "blog")
	seen("[]")
	want(t, shop.get("SELECT hako_version()"), "0")
	seen("[{shop 0 false 0}]")
	shop.exec("CREATE TABLE t(a)")
	seen("[{shop 1 true 0}]")
	in.dbs.Seen().Clear()

	want(t, shop.get("SELECT count(*) FROM t"), "0")
	seen("[{shop 1 false 0}]")
	other := w.instance("shop").open(0, "shop")
	other.exec("INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)")
	seen("[{shop 1 false 0}]")
	want(t, shop.get("SELECT count(*) FROM t"), "2")
	seen("[{shop 3 false 0}]")
	shop.exec("BEGIN", "INSERT INTO t VALUES (3)")
	seen("[{shop 3 false 0}]")
	shop.exec("ROLLBACK")
	seen("[{shop 3 false 0}]")
	shop.exec("INSERT INTO t VALUES (3)", "INSERT INTO t VALUES (4)")
	seen("[{shop 5 true 3}]")
	other.exec("INSERT INTO t VALUES (5)")
	want(t, shop.get("SELECT count(*) FROM t"), "5")
	seen("[{shop 5 true 3}]") // what it made itself is told
	blog.exec("CREATE TABLE b(a)")
	seen("[{blog 1 true 0} {shop 5 true 3}]")
	in.dbs.Seen().Clear()

	shop.exec("ATTACH 'blog' AS blog", "BEGIN", "INSERT INTO t VALUES (6)", "INSERT INTO blog.b VALUES (1)", "COMMIT")
	seen("[{blog 2 true 1} {shop 7 true 6}]")
	in.dbs.Seen().Clear()
	want(t, shop.get("SELECT hako_at(2)"), "2")
	want(t, shop.get("SELECT count(*) FROM t"), "1")
	seen("[{shop 2 false 0}]")
}

// An instance with a transaction under way is not kept for other requests.
func TestSettled(t *testing.T) {
	w := newWorld(t)
	w.create("shop")
	in := w.granted(guest.Options{}, guest.Grant{Path: "/db/shop.sqlite", Database: "shop"})
	c := in.open(0, "/db/shop.sqlite")
	c.exec("CREATE TABLE t(a)")
	if err := in.dbs.Settled(); err != nil {
		t.Error(err)
	}
	c.exec("BEGIN IMMEDIATE")
	if err := in.dbs.Settled(); err == nil {
		t.Error("a transaction is under way")
	}
	c.exec("COMMIT")
	if err := in.dbs.Settled(); err != nil {
		t.Error(err)
	}
}
