package guest_test

import "testing"

func TestGuestRunsSQL(t *testing.T) {
	w := newWorld(t)
	w.create("shop")
	c := w.instance("shop").open(0, "shop")
	c.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b)", "INSERT INTO t(b) VALUES ('x'), (2.5), (NULL), (x'00ff')", "UPDATE t SET b = b || 'y' WHERE a = 1")
	want(t, c.get("SELECT * FROM t"), "1|xy\n2|2.5\n3|<nil>\n4|x'00ff'")
	want(t, c.get("SELECT hako_version()"), "3")
	want(t, c.get("PRAGMA integrity_check"), "ok")
	other := w.instance("shop").open(0, "shop")
	want(t, other.get("SELECT count(*) FROM t"), "4")
}
