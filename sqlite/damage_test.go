package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hako-run/hako/pagestore"
	"modernc.org/sqlite/lib"
)

// What SQLite calls a malformed database is traced to the page of the store.
func TestDamagedStoreIsNamed(t *testing.T) {
	dir := t.TempDir()
	s, err := pagestore.Open(dir, pagestore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.Create("shop", pagestore.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	db, err := OpenDB(s, "shop")
	if err != nil {
		t.Fatal(err)
	}
	exec(t, db, "CREATE TABLE t(a)", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<5000) INSERT INTO t SELECT hex(randomblob(50)) FROM n")
	if _, err := d.Trim(context.Background(), pagestore.TrimOptions{Before: 2}); err != nil { // compacts, so that a table file holds the pages
		t.Fatal(err)
	}
	if err := errors.Join(db.Close(), Detach(s), s.Close()); err != nil {
		t.Fatal(err)
	}
	flipLargest(t, dir, ".sst")

	if s, err = pagestore.Open(dir, pagestore.Options{}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	defer Detach(s)
	if db, err = OpenDB(s, "shop"); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	check := func(what string, err error) {
		t.Helper()
		if code := codeOf(t, err); code&0xff != sqlite3.SQLITE_CORRUPT {
			t.Fatalf("%s: code %d: %v", what, code, err)
		}
		var damage *pagestore.DamageError
		if !errors.As(err, &damage) || damage.Database != "shop" || damage.Version != 2 || damage.Page < 2 {
			t.Fatalf("%s: %v (%+v), want the page that is damaged", what, err, damage)
		}
		if !strings.Contains(err.Error(), damage.Error()) {
			t.Errorf("%s: %v, want it to say %v", what, err, damage)
		}
	}
	_, err = tryQuery(db, "SELECT sum(length(a)) FROM t")
	check("query", err)
	rows, err := db.Query("SELECT a FROM t")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s sql.RawBytes
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
	}
	check("rows", rows.Err())
	_, err = db.Exec("UPDATE t SET a = 1")
	check("update", err)

	// Without damage in the store SQLite's word stands alone.
	exec(t, db, "CREATE TABLE u(a)", "PRAGMA writable_schema=1", "UPDATE sqlite_schema SET sql='nonsense' WHERE name='u'")
	_, err = tryQuery(openDB(t, s, "shop"), "SELECT * FROM u")
	if codeOf(t, err) != sqlite3.SQLITE_CORRUPT || errors.Is(err, pagestore.ErrDamaged) {
		t.Errorf("malformed schema: %v", err)
	}
}

// flipLargest changes a bit in the middle of the largest file with an
// extension.
func flipLargest(t *testing.T, dir, ext string) {
	t.Helper()
	var name string
	var size int64
	if err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ext {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Size() > size {
			name, size = path, info.Size()
		}
		return err
	}); err != nil || name == "" {
		t.Fatalf("no %s file: %v", ext, err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
