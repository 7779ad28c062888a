package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	modernc "modernc.org/sqlite"
	"modernc.org/sqlite/lib"
)

// TestReadOnlyTransaction asks database/sql for a transaction that must not
// write.
func TestReadOnlyTransaction(t *testing.T) {
	s := newStore(t)
	db := openDB(t, s, "shop")
	db.SetMaxOpenConns(1)
	ctx := context.Background()
	if _, err := db.ExecContext(ctx, "CREATE TABLE t(x); INSERT INTO t VALUES(1)"); err != nil {
		t.Fatal(err)
	}
	for _, end := range []func(*sql.Tx) error{(*sql.Tx).Commit, (*sql.Tx).Rollback} {
		tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if err := tx.QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil || n == 0 {
			t.Fatal(n, err)
		}
		_, err = tx.Exec("DELETE FROM t")
		var se *modernc.Error
		if !errors.As(err, &se) || se.Code()&0xff != sqlite3.SQLITE_READONLY {
			t.Fatalf("a write in a read-only transaction: %v", err)
		}
		if err := end(tx); err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(ctx, "INSERT INTO t VALUES(2)"); err != nil {
			t.Fatalf("after a read-only transaction: %v", err)
		}
	}
}
