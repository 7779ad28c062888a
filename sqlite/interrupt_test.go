package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"
)

// endless gives one row, and then no other for a minute or so.
const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 200000000) SELECT i FROM n WHERE i = 1 OR i < 0"

func TestCancelInterruptsRunningNext(t *testing.T) {
	s := newStore(t)
	c := openConn(t, s, "shop")
	exec(t, c, "CREATE TABLE t(a)")
	st, err := c.PrepareContext(context.Background(), endless)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for name, query := range map[string]func(context.Context) (*sql.Rows, error){
		"query":    func(ctx context.Context) (*sql.Rows, error) { return c.QueryContext(ctx, endless) },
		"prepared": func(ctx context.Context) (*sql.Rows, error) { return st.QueryContext(ctx) },
	} {
		ctx, cancel := context.WithCancel(context.Background())
		rows, err := query(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !rows.Next() {
			t.Fatalf("%s: no row: %v", name, rows.Err())
		}
		var canceled time.Time
		time.AfterFunc(20*time.Millisecond, func() {
			canceled = time.Now()
			cancel()
		})
		if rows.Next() {
			t.Fatalf("%s: a second row", name)
		}
		if d := time.Since(canceled); d > 5*time.Second {
			t.Errorf("%s: Next went on for %v", name, d)
		}
		if !errors.Is(rows.Err(), context.Canceled) {
			t.Errorf("%s: %v, want the context's error", name, rows.Err())
		}
		rows.Close()
		exec(t, c, "INSERT INTO t VALUES (1)") // the connection goes on
	}
	want(t, query(t, c, "SELECT count(*) FROM t"), "2")
}

// What ends the context of rows that stand still does not end another
// statement of the connection.
func TestCancelLeavesOtherStatementsAlone(t *testing.T) {
	s := newStore(t)
	c := openConn(t, s, "shop")
	var outer *rows
	ctx, cancel := context.WithCancel(context.Background())
	raw := func(f func(dc *conn)) {
		t.Helper()
		if err := c.Raw(func(dc any) error { f(dc.(*conn)); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	raw(func(dc *conn) { // beneath database/sql, which would close the rows
		r, err := dc.QueryContext(ctx, endless, nil)
		if err != nil {
			t.Fatal(err)
		}
		outer = r.(*rows)
	})
	rows := effort(300_000, 30_000)
	time.AfterFunc(2*time.Millisecond, cancel)
	want(t, query(t, c, fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) SELECT count(*) FROM n", rows)), fmt.Sprint(rows))
	<-ctx.Done()
	want(t, query(t, c, "SELECT 1"), "1")
	raw(func(*conn) {
		for { // the end of the context gets here by a goroutine of its own
			outer.c.interrupter.mu.Lock()
			canceled := outer.canceled
			outer.c.interrupter.mu.Unlock()
			if canceled {
				break
			}
			time.Sleep(time.Millisecond)
		}
		if err := outer.Next(nil); !errors.Is(err, context.Canceled) {
			t.Errorf("Next: %v, want the context's error", err)
		}
		outer.Close()
	})
}

// A context that ends while its rows and their connection are being closed
// touches nothing that is gone.
func TestCancelWhileClosing(t *testing.T) {
	s := newStore(t)
	db := openDB(t, s, "shop")
	db.SetMaxIdleConns(0) // every connection is closed after use
	for range effort(200, 50) {
		ctx, cancel := context.WithCancel(context.Background())
		rows, err := db.QueryContext(ctx, "SELECT 1 UNION SELECT 2")
		if err != nil {
			t.Fatal(err)
		}
		rows.Next()
		go cancel()
		rows.Next()
		rows.Close()
		cancel()
	}
	want(t, query(t, db, "SELECT 1"), "1")
}
