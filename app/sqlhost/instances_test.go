package sqlhost_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/hako-run/hako/app/sqlhost"
	"github.com/hako-run/hako/app/sqlhost/internal/script"
	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/wasi"
)

func TestInstancesContend(t *testing.T) {
	for _, name := range []string{"shop?_txlock=immediate", "shop?locking=optimistic"} {
		s := newShop(t, sqlhost.Options{})
		db := s.native("shop", "CREATE TABLE t(x)", "INSERT INTO t VALUES(0)")
		const guests, each = 4, 10
		var wg sync.WaitGroup
		added := make([]int, guests)
		for g := range guests {
			wg.Go(func() {
				var steps []script.Step
				for range each {
					steps = append(steps, script.Step{Tx: "begin"}, script.Step{SQL: "UPDATE t SET x=x+1"}, script.Step{Tx: "commit"})
				}
				r := s.run(engine.Limits{Wall: time.Minute}, s.databases(), []string{name}, steps...)
				if r.err != nil {
					t.Error(r.err)
					return
				}
				for i := 2; i < len(r.results); i += 3 {
					switch code := r.results[i].Code; {
					case code == 0:
						added[g]++
					case code&0xff != 5 || name == "shop?_txlock=immediate":
						t.Errorf("commit: %+v", r.results[i])
					}
				}
			})
		}
		wg.Wait()
		sum, n := 0, 0
		for _, a := range added {
			sum += a
		}
		if err := db.QueryRow("SELECT x FROM t").Scan(&n); err != nil || n != sum || sum < each {
			t.Errorf("%s: %d transactions were committed, and there are %d, %v", name, sum, n, err)
		}
	}
}

func TestForksOpenTheirOwn(t *testing.T) {
	s := newShop(t, sqlhost.Options{})
	db := s.native("shop", "CREATE TABLE t(x)", "INSERT INTO t VALUES(1)")
	ctx := context.Background()
	var stderr bytes.Buffer
	d := s.databases()
	in, err := s.instance(engine.Limits{Wall: time.Minute}, d, nil, nil, nil, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	count := func(in *engine.Instance, want uint64) {
		t.Helper()
		if n, err := in.Call(ctx, "count"); err != nil || n[0] != want {
			t.Errorf("the guest counts %d, not %d: %v %s", n, want, err, stderr.String())
		}
	}
	count(in, 1)
	template, err := in.Freeze(engine.TemplateConfig{})
	if err := errors.Join(err, in.Close()); err != nil {
		t.Fatal(err)
	}
	defer template.Close()
	for want := uint64(2); want < 5; want++ {
		if _, err := db.Exec("INSERT INTO t VALUES(1)"); err != nil {
			t.Fatal(err)
		}
		system, err := wasi.NewSystem(wasi.Config{Stderr: &stderr})
		if err != nil {
			t.Fatal(err)
		}
		d := s.databases()
		fork, err := template.Fork(ctx, engine.Config{Values: sqlhost.NewContext(wasi.NewContext(ctx, system), d), States: []io.Closer{system, d}})
		if err != nil {
			t.Fatal(err)
		}
		count(fork, want)
		count(fork, want)
		if err := fork.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestDatabaseIsReplaced(t *testing.T) {
	s := newShop(t, sqlhost.Options{})
	s.native("shop", "CREATE TABLE t(x)", "INSERT INTO t VALUES('first')")
	look := func(want string) {
		t.Helper()
		d := s.databases()
		if r := s.sql(d, "shop", "SELECT * FROM t")[0]; r.Error != "" || r.Rows[0][0] != "string "+want {
			t.Errorf("%+v, not %s", r, want)
		}
		if len(d.Seen().List()) != 1 {
			t.Error(d.Seen().List())
		}
		if d.Seen().Clear(); len(d.Seen().List()) != 0 {
			t.Error(d.Seen().List())
		}
	}
	look("first")
	if err := s.store.Delete("shop"); err != nil {
		t.Fatal(err)
	}
	if r := s.sql(s.databases(), "shop", "SELECT * FROM t")[0]; r.Code != 14 {
		t.Errorf("a database that was deleted: %+v", r)
	}
	if err := s.store.Rename("native", "shop"); err != nil {
		t.Fatal(err)
	}
	s.native("shop", "CREATE TABLE t(x)", "INSERT INTO t VALUES('second')")
	look("second")
}

func TestLimits(t *testing.T) {
	s := newShop(t, sqlhost.Options{MaxValue: 1000, MaxSQL: 200})
	rs := s.sql(s.databases(), "shop", "SELECT zeroblob(1000)", "SELECT zeroblob(1001)", "SELECT '"+string(bytes.Repeat([]byte("x"), 200))+"'")
	if rs[0].Code != 0 || rs[1].Code != 18 || rs[2].Code != 18 {
		t.Errorf("%+v", rs)
	}
	// Temporary files.
	small := newShop(t, sqlhost.Options{MaxTemp: 256 << 10})
	for _, q := range []string{"WITH RECURSIVE n(i,b) AS (SELECT 1, zeroblob(999) UNION SELECT i+1, zeroblob(1000) FROM n) SELECT count(*) FROM n",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20000) SELECT * FROM n ORDER BY hex(randomblob(500))"} {
		if r := small.sql(small.databases(), "shop", q)[0]; r.Code != 13 {
			t.Errorf("%.60s is not SQLITE_FULL but %d %s", q, r.Code, r.Error)
		}
	}
	if _, err := s.pool.Databases(sqlhost.Grant{Path: "/db/a", Database: "a b@"}); !errors.Is(err, sqlhost.ErrGrant) {
		t.Error(err)
	}
	if _, err := s.pool.Databases(sqlhost.Grant{Path: "/a", Database: "shop"}, sqlhost.Grant{Path: "a", Database: "secret"}); !errors.Is(err, sqlhost.ErrGrant) {
		t.Error(err)
	}
	r := s.sql(s.databases(sqlhost.Grant{Path: "/db/none", Database: "sho"}), "/db/none", "SELECT 1")[0]
	if r.Code == 0 {
		t.Errorf("%+v", r)
	}
}
