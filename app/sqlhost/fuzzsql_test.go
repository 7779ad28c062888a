package sqlhost

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite"
)

// FuzzSQL runs any SQL: nothing of a database that was not granted may be
// read or changed by it, and none be made.
func FuzzSQL(f *testing.F) {
	for _, q := range append([]string{
		"ATTACH 'secret' AS s; SELECT * FROM s.x", "ATTACH 'file:secret?vfs=unix' AS s", "VACUUM INTO 'secret'", "VACUUM", "SELECT hako_at('secret', 'head')",
		"PRAGMA writable_schema=1; UPDATE sqlite_schema SET sql='x'", "SELECT * FROM sqlite_dbpage", "CREATE TEMP TABLE a AS SELECT * FROM pragma_database_list",
		"CREATE VIRTUAL TABLE v USING fts5(a, content='')", "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT load_extension('x'); END",
		"CREATE VIEW w AS SELECT hako_version('main')", "EXPLAIN QUERY PLAN SELECT * FROM dbstat", "PRAGMA integrity_check", "ANALYZE; PRAGMA optimize",
		"CREATE VIRTUAL TABLE g USING geopoly(a)", "SELECT json_group_array(printf('%s', i)) FROM (SELECT 1 i UNION SELECT 2)", "DETACH main", "REINDEX; SAVEPOINT a; RELEASE a",
	}, fuzzSQL...) {
		f.Add(q, false)
	}
	f.Add("SELECT hako_at('head')", true)
	s := testStore(f)
	secret, err := s.Create("secret", pagestore.CreateOptions{})
	if err != nil {
		f.Fatal(err)
	}
	db, err := sqlite.OpenDB(s, "secret")
	if err != nil {
		f.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE x(y); INSERT INTO x VALUES('MARKER-OF-THE-SECRET')"); err != nil {
		f.Fatal(err)
	}
	if err := db.Close(); err != nil {
		f.Fatal(err)
	}
	before := secret.Head().Version
	pool := NewPool(s, Options{MaxValue: 1 << 20, MaxTemp: 1 << 20, BusyTimeout: time.Millisecond})
	f.Cleanup(func() { pool.Close() })
	f.Fuzz(func(t *testing.T, q string, pinned bool) {
		g := Grant{Path: "/db/shop", Database: "shop"}
		if pinned {
			g.Database = "shop@0"
		}
		d, err := pool.Databases(g, Grant{Path: "/db/old", Database: "shop@0"})
		if err != nil {
			t.Fatal(err)
		}
		n, err := d.connect(context.Background(), "/db/shop", 0)
		if err != nil {
			t.Fatal(err)
		}
		to := make([]byte, 16<<10)
		if size, err := d.query(context.Background(), n, 100*time.Millisecond, []byte(q), nil, to); err == nil {
			if bytes.Contains(to[:min(size, len(to))], []byte("MARKER-OF-THE-SECRET")) && !bytes.Contains([]byte(q), []byte("MARKER")) {
				t.Errorf("%q reads the secret", q)
			}
		}
		_, _ = d.prepare(context.Background(), n, 100*time.Millisecond, []byte(q))
		_, _, _ = d.exec(context.Background(), n, 100*time.Millisecond, []byte(q), nil)
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		names, err := s.Names()
		if err != nil || len(names) != 2 || secret.Head().Version != before {
			t.Errorf("%q leaves %v, secret at %v, %v", q, names, secret.Head().Version, err)
		}
	})
}
