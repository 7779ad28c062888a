package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hako-run/hako/pagestore"
)

func TestEveryCommitIsAVersion(t *testing.T) {
	s := newStore(t)
	c := openConn(t, s, "shop")
	want(t, query(t, c, "SELECT hako_version()"), "0")
	exec(t, c, "CREATE TABLE t(a)", "INSERT INTO t VALUES (1)", "BEGIN", "INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (3)", "COMMIT")
	want(t, query(t, c, "SELECT hako_version()"), "3")
	for at, sum := range map[string]string{"shop@1": "<nil>", "shop@2": "1", "shop@3": "6", "shop": "6"} {
		want(t, query(t, openConn(t, s, at), "SELECT sum(a) FROM t"), sum)
	}
	integrity(t, c)
}

func TestDriverByName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	db, err := sql.Open("hako", "hako:shop?store="+dir+"&create=1&_pragma=foreign_keys(1)")
	if err != nil {
		t.Fatal(err)
	}
	exec(t, db, "CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
	again, err := sql.Open("hako", "shop@1?store="+dir)
	if err != nil {
		t.Fatal(err)
	}
	want(t, query(t, again, "SELECT count(*) FROM t"), "0")
	want(t, query(t, db, "PRAGMA foreign_keys"), "1")
	if err := errors.Join(db.Close(), again.Close()); err != nil {
		t.Fatal(err)
	}
	s, err := pagestore.Open(dir, pagestore.Options{}) // the last one has closed it
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

func TestWrongNames(t *testing.T) {
	s := newStore(t)
	openConn(t, s, "shop")
	for _, c := range []struct {
		name string
		is   error
		says string
	}{
		{"shpo", pagestore.ErrUnknownDatabase, `did you mean "shop"`},
		{"shop@9", pagestore.ErrUnknownVersion, "no version 9"},
		{"shop@nosuch", pagestore.ErrUnknownTag, "nosuch"},
		{"shop@", pagestore.ErrSyntax, "@"},
		{"shop?locking=maybe", ErrDSN, "optimistic"},
		{"shop?nonsense=1", ErrDSN, "nonsense"},
	} {
		db, err := OpenDB(s, c.name)
		if err == nil {
			err = db.Ping()
			db.Close()
		}
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestAttach(t *testing.T) {
	s := newStore(t)
	exec(t, openConn(t, s, "blog"), "CREATE TABLE b(x)", "INSERT INTO b VALUES (1)", "INSERT INTO b VALUES (2)")
	c := openConn(t, s, "shop")
	file := filepath.Join(t.TempDir(), "x.sqlite")
	exec(t, openPlain(t, file), "CREATE TABLE p(x)", "INSERT INTO p VALUES (7)")
	exec(t, c, "CREATE TABLE a(x)", "ATTACH 'blog@2' AS old", "ATTACH 'blog' AS blog", "ATTACH 'file:"+file+"?vfs=unix' AS plain")
	want(t, query(t, c, "SELECT (SELECT count(*) FROM old.b), (SELECT count(*) FROM blog.b), (SELECT x FROM p)"), "1|2|7")
	want(t, query(t, c, "SELECT hako_version('old'), hako_version('blog'), hako_version()"), "2|3|1")
	_, err := c.ExecContext(context.Background(), "INSERT INTO old.b VALUES (3)")
	if !errors.Is(err, pagestore.ErrReadOnly) {
		t.Errorf("write to an attached version: %v", err)
	}
	_, err = c.ExecContext(context.Background(), "ATTACH 'blgo' AS x")
	if !errors.Is(err, pagestore.ErrUnknownDatabase) || !strings.Contains(err.Error(), `"blog"`) {
		t.Errorf("attach what does not exist: %v", err)
	}
	exec(t, c, "ATTACH 'file:new?create=1' AS new", "CREATE TABLE new.n(x)")
	want(t, query(t, c, "SELECT hako_version('new')"), "1")
}
