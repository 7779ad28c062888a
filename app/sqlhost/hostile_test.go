package sqlhost_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hako-run/hako/app/sqlhost"
	"github.com/hako-run/hako/app/sqlhost/internal/script"
	"github.com/hako-run/hako/engine"
)

func TestHostileSQL(t *testing.T) {
	s := newShop(t, sqlhost.Options{})
	s.native("secret", "CREATE TABLE s(x)", "INSERT INTO s VALUES('the secret')")
	s.native("shop", "CREATE TABLE t(x)", "INSERT INTO t VALUES(1)", "INSERT INTO t VALUES(2)")
	dir := t.TempDir()
	file := filepath.Join(dir, "plain.sqlite")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	grants := []sqlhost.Grant{{Path: "/db/shop.sqlite", Database: "shop"}, {Path: "/db/old.sqlite", Database: "shop@2"}, {Path: "/db/ro.sqlite", Database: "native", ReadOnly: true}}
	refused := []string{
		"ATTACH '/etc/passwd' AS a", "ATTACH 'secret' AS a", "ATTACH 'file:secret' AS a", "ATTACH 'FILE:secret?vfs=unix' AS a",
		"ATTACH 'file:" + file + "?vfs=unix' AS a", "ATTACH '" + file + "' AS a", "ATTACH 'file:/etc/passwd?vfs=unix&mode=ro&immutable=1' AS a",
		"ATTACH 'sec'||'ret' AS a", "ATTACH ('secret') || '' AS a", "ATTACH ':memory:' AS a", "ATTACH 'file::memory:' AS a",
		"ATTACH 'shop@99' AS a", "ATTACH 'secret@1' AS a", "ATTACH '/db/../secret' AS a", "ATTACH '/db/old.sqlite@1' AS a", "ATTACH NULL AS a",
		"VACUUM INTO '" + dir + "/copy.sqlite'", "VACUUM INTO 'file:" + dir + "/copy.sqlite?vfs=unix'", "VACUUM INTO 'secret'", "VACUUM INTO 'fresh'",
		"VACUUM main INTO '" + file + "'",
		"SELECT readfile('/etc/passwd')", "SELECT writefile('" + dir + "/w', 'x')", "SELECT load_extension('/tmp/x.so')", "SELECT edit('x')",
		"SELECT fts3_tokenizer('simple', x'0000000000000000')", "SELECT * FROM fsdir('/')", "SELECT * FROM csv('/etc/passwd')",
		"CREATE VIRTUAL TABLE c USING csv(filename='/etc/passwd')", "CREATE VIRTUAL TABLE c USING sqlite_dbpage", "CREATE VIRTUAL TABLE c USING dbstat(secret)",
		"PRAGMA temp_store_directory='" + dir + "'", "PRAGMA data_store_directory='" + dir + "'", "PRAGMA key='x'", "PRAGMA activate_extensions=1",
		"PRAGMA lock_proxy_file='/tmp/x'", "PRAGMA vdbe_debug=1", "PRAGMA unknown_thing=1",
		"SELECT hako_at('secret', '1')", "SELECT hako_at('1@secret')", "SELECT hako_at('secret@1')", "SELECT hako_at('../secret')",
		"UPDATE sqlite_schema SET sql='CREATE TABLE t(y)'", "INSERT INTO sqlite_schema VALUES('table','z','z',5,'CREATE TABLE z(x)')", "DELETE FROM sqlite_schema",
		"UPDATE sqlite_dbpage SET data=zeroblob(4096) WHERE pgno=1", "INSERT INTO sqlite_dbpage VALUES(2,zeroblob(4096),'main')",
		"SELECT zeroblob(100000000)", "SELECT printf('%099999999d', 1)", "SELECT replace(hex(zeroblob(1000000)),'0','0000000000')",
		"WITH RECURSIVE a(x) AS (VALUES('aaaaaaaa') UNION ALL SELECT x||x FROM a) SELECT max(length(x)) FROM a",
		"SELECT 'a' LIKE '" + strings.Repeat("%a", 200) + "'", "SELECT 1" + strings.Repeat("+1", 2000),
	}
	for i, r := range s.sql(s.databases(grants...), "shop", refused...) {
		if r.Code == 0 {
			t.Errorf("%.80s passes: %+v", refused[i], r)
		}
		for _, word := range []string{"the secret", dir, "root:"} {
			if strings.Contains(r.Error, word) && !strings.Contains(refused[i], word) {
				t.Errorf("%.80s tells %q", refused[i], r.Error)
			}
		}
	}
	// These are ignored: they neither fail nor change anything.
	ignored := map[string]string{"writable_schema": "0", "trusted_schema": "0", "temp_store": "1", "mmap_size": "", "soft_heap_limit": "0", "hard_heap_limit": "0", "cell_size_check": "1", "journal_mode": "delete"}
	for name, want := range ignored {
		rs := s.sql(s.databases(grants...), "shop", "PRAGMA "+name+"=2", "PRAGMA "+name+"=wal", "PRAGMA "+name+"(1)", "SELECT * FROM pragma_"+name, "PRAGMA "+name)
		last := rs[len(rs)-1]
		if got := strings.TrimPrefix(strings.Trim(strings.Join(flat(last), ","), " "), "int64 "); strings.TrimPrefix(got, "string ") != want {
			t.Errorf("PRAGMA %s is %q", name, got)
		}
	}
	for name, statements := range map[string][]string{
		"/db/old.sqlite": {"SELECT hako_at('head')", "SELECT hako_at(NULL)", "SELECT hako_at('1')", "INSERT INTO t VALUES(1)"},
		"/db/ro.sqlite":  {"CREATE TABLE x(y)", "PRAGMA user_version=4"},
	} {
		for i, r := range s.sql(s.databases(grants...), name, statements...) {
			if r.Code == 0 {
				t.Errorf("%s passes for %s: %+v", statements[i], name, r)
			}
		}
	}
	// What was granted can be attached.
	rs := s.sql(s.databases(grants...), "shop", "ATTACH '/db/old.sqlite' AS old", "SELECT (SELECT count(*) FROM main.t), (SELECT count(*) FROM old.t)",
		"INSERT INTO old.t VALUES(1)", "ATTACH 'native' AS ro", "CREATE TABLE ro.x(y)", "ATTACH 'shop@3' AS three", "SELECT count(*) FROM three.t",
		"SELECT hako_at('old', 'head')", "SELECT hako_at('old', NULL)", "SELECT hako_at('three', '2')", "ATTACH '' AS a")
	if rs[0].Code != 0 || strings.Join(rs[1].Rows[0], " ") != "int64 2 int64 1" && strings.Join(rs[1].Rows[0], " ") != "int64 2 int64 0" || rs[2].Code&0xff != 8 ||
		rs[3].Code != 0 || rs[7].Code == 0 || rs[8].Code == 0 || rs[9].Code != 0 || rs[10].Code != 0 || rs[4].Code&0xff != 8 || rs[5].Code != 0 || rs[6].Rows[0][0] != "int64 2" {
		t.Errorf("attached databases: %+v", rs)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the guest made files: %v %v", entries, err)
	}
	names, err := s.store.Names()
	if err != nil || len(names) != 3 {
		t.Errorf("the store has %v, %v", names, err)
	}
	if info, err := os.Stat(file); err != nil || info.Size() != 0 {
		t.Error("the guest wrote to a file of the host", err)
	}
}

func flat(r script.Result) (list []string) {
	for _, row := range r.Rows {
		list = append(list, row...)
	}
	return list
}

const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT count(*) FROM n"

func TestEndlessStatementsEnd(t *testing.T) {
	s := newShop(t, sqlhost.Options{})
	s.native("shop", "CREATE TABLE t(x)")
	long := "SELECT instr(zeroblob(16000000), zeroblob(8000000)||x'01'), length(replace(hex(zeroblob(4000000)), hex(zeroblob(2000000))||'1', '')), length(trim(hex(zeroblob(4000000)), hex(zeroblob(4000000))))"
	for _, q := range []string{endless, "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT i FROM n", "SELECT length(x) FROM t; " + endless} {
		for _, limits := range []engine.Limits{{Wall: 400 * time.Millisecond}, {CPU: 300 * time.Millisecond}} {
			r := s.run(limits, s.databases(), []string{"shop"}, script.Step{SQL: "BEGIN"}, script.Step{SQL: "INSERT INTO t VALUES(1)"}, script.Step{SQL: q, Query: true})
			var limit *engine.LimitError
			if !errors.As(r.err, &limit) {
				t.Errorf("%.40s with %+v ends with %v", q, limits, r.err)
			}
			if limits.CPU > 0 && r.used.CPU < limits.CPU {
				t.Errorf("the statement's processor time is not counted: %v", r.used.CPU)
			}
		}
	}
	// A deadline of the guest ends the statement alone.
	r := s.run(engine.Limits{Wall: time.Hour}, s.databases(), []string{"shop"},
		script.Step{SQL: endless, Query: true, Timeout: 50 * time.Millisecond}, script.Step{SQL: "SELECT count(*) FROM t", Query: true}, script.Step{SQL: long, Query: true})
	if r.err != nil || !strings.Contains(r.results[0].Error, context.DeadlineExceeded.Error()) || r.results[1].Count != 1 || r.results[2].Code != 0 {
		t.Errorf("%+v", r)
	}
	// All that is rolled back, and nobody waits for a lock of it.
	var n int
	db := s.native("shop", "BEGIN IMMEDIATE; COMMIT")
	if err := db.QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d rows of guests that were ended, %v", n, err)
	}
}

func TestWaitingForALockEnds(t *testing.T) {
	s := newShop(t, sqlhost.Options{BusyTimeout: time.Hour})
	db := s.native("shop", "CREATE TABLE t(x)")
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(context.Background(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	insert := script.Step{SQL: "INSERT INTO t VALUES(1)"}
	r := s.run(engine.Limits{Wall: 300 * time.Millisecond}, s.databases(), []string{"shop"}, insert)
	var limit *engine.LimitError
	if !errors.As(r.err, &limit) {
		t.Errorf("waiting for a lock ends with %v", r.err)
	}
	insert.Timeout = 100 * time.Millisecond
	r = s.run(engine.Limits{Wall: time.Minute}, s.databases(), []string{"shop"}, insert)
	if r.err != nil || !strings.Contains(r.results[0].Error, context.DeadlineExceeded.Error()) {
		t.Errorf("waiting with a deadline: %+v", r)
	}
	insert.Timeout = 0
	r = s.run(engine.Limits{Wall: time.Minute}, s.databases(), []string{"shop?_busy_timeout=1"}, insert)
	if r.err != nil || r.results[0].Code&0xff != 5 {
		t.Errorf("waiting for a millisecond: %+v", r)
	}
	// A guest that is ended while it has the lock leaves it.
	if _, err := conn.ExecContext(context.Background(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	r = s.run(engine.Limits{Wall: 300 * time.Millisecond}, s.databases(), []string{"shop"}, script.Step{SQL: "BEGIN IMMEDIATE"}, insert, script.Step{SQL: endless, Query: true})
	if !errors.As(r.err, &limit) {
		t.Errorf("the guest ends with %v", r.err)
	}
	if _, err := conn.ExecContext(context.Background(), "INSERT INTO t VALUES(2)"); err != nil {
		t.Error(err)
	}
}

func TestVacuumInto(t *testing.T) {
	s := newShop(t, sqlhost.Options{})
	s.native("shop", "CREATE TABLE t(x)", "INSERT INTO t VALUES(1)")
	grants := []sqlhost.Grant{{Path: "/db/shop.sqlite", Database: "shop"}, {Path: "/db/copy.sqlite", Database: "native"}}
	rs := s.sql(s.databases(grants...), "shop", "VACUUM INTO '/db/copy.sqlite'", "VACUUM", "VACUUM INTO '/db/copy.sqlite'")
	if rs[0].Code != 0 || rs[1].Code != 0 || rs[2].Code == 0 {
		t.Errorf("%+v", rs)
	}
	if r := s.sql(s.databases(grants...), "/db/copy.sqlite", "SELECT count(*) FROM t")[0]; r.Code != 0 || r.Rows[0][0] != "int64 1" {
		t.Errorf("%+v", r)
	}
	if r := s.sql(s.databases(sqlhost.Grant{Path: "/db/shop.sqlite", Database: "shop"}), "shop", "VACUUM INTO 'secret'")[0]; r.Code == 0 {
		t.Errorf("%+v", r)
	}
}
