package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
)

// sides runs a benchmark on a plain file (WAL, synchronous=FULL) and on a
// store, for comparison.
func sides(b *testing.B, run func(b *testing.B, c *sql.Conn)) {
	b.Run("file", func(b *testing.B) {
		run(b, openPlain(b, filepath.Join(b.TempDir(), "x.sqlite")+"?_journal_mode=WAL&_synchronous=FULL"))
	})
	b.Run("hako", func(b *testing.B) { run(b, openConn(b, newStore(b), "x")) })
}

func fill(b *testing.B, c *sql.Conn, rows int) {
	exec(b, c, "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b)",
		fmt.Sprintf("INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) SELECT i, i*7919%%100003, hex(randomblob(50)) FROM n", rows))
}

func BenchmarkAutocommitInsert(b *testing.B) {
	sides(b, func(b *testing.B, c *sql.Conn) {
		fill(b, c, 1000)
		st, err := c.PrepareContext(context.Background(), "INSERT INTO t(a,b) VALUES (?,?)")
		if err != nil {
			b.Fatal(err)
		}
		defer st.Close()
		for i := 0; b.Loop(); i++ {
			if _, err := st.Exec(i, "some text of a row that is about a hundred bytes long, as rows of web applications are, more or less"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkPointSelect(b *testing.B) {
	for _, cache := range []string{"-64000", "-200"} {
		b.Run("cache"+cache, func(b *testing.B) {
			sides(b, func(b *testing.B, c *sql.Conn) {
				fill(b, c, 100000)
				exec(b, c, "PRAGMA cache_size="+cache)
				st, err := c.PrepareContext(context.Background(), "SELECT b FROM t WHERE id=?")
				if err != nil {
					b.Fatal(err)
				}
				defer st.Close()
				var s string
				for i := 0; b.Loop(); i++ {
					if err := st.QueryRow(i*7919%100000 + 1).Scan(&s); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

func BenchmarkBulkInsert(b *testing.B) {
	sides(b, func(b *testing.B, c *sql.Conn) {
		for i := 0; b.Loop(); i++ {
			exec(b, c, "DROP TABLE IF EXISTS t")
			fill(b, c, 100000)
		}
	})
}

func BenchmarkScan(b *testing.B) {
	sides(b, func(b *testing.B, c *sql.Conn) {
		fill(b, c, 100000)
		exec(b, c, "PRAGMA cache_size=-200")
		for b.Loop() {
			query(b, c, "SELECT sum(length(b)) FROM t")
		}
	})
}
