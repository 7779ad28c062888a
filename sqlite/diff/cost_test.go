package diff

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

const series = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) "

// readsOf counts the pages read for a summary.
func readsOf(t *testing.T, a, b *memory) (sums []Summary, reads int) {
	t.Helper()
	a.reads, b.reads = 0, 0
	d, err := New(a, b, Options{Changed: differing(a, b)})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if sums, err = d.Summary(context.Background()); err != nil {
		t.Fatal(err)
	}
	return sums, a.reads + b.reads
}

// TestCost holds that few pages are read for a small change in a large
// database, in each kind of table and of change.
func TestCost(t *testing.T) {
	t.Parallel()
	path, db := tempFile(t)
	run(t, db, fmt.Sprintf(`CREATE TABLE r(id INTEGER PRIMARY KEY, a TEXT, b INT);
		CREATE TABLE w(k1 TEXT COLLATE NOCASE, k2 INT, v TEXT, PRIMARY KEY(k1, k2 DESC)) WITHOUT ROWID;
		CREATE TABLE big(id INTEGER PRIMARY KEY, v BLOB);
		CREATE TABLE other(x, y);
		CREATE INDEX ra ON r(a);
		`+series+`INSERT INTO r SELECT i, 'some text for row '||i, i*7 FROM n;
		`+series+`INSERT INTO w SELECT 'Key '||(i/3), i, 'some text for row '||i FROM n;
		`+series+`INSERT INTO big SELECT i, CAST(printf('%%.*c', 9000+i%%5000, 'x') AS BLOB) FROM n;
		`+series+`INSERT INTO other SELECT i, i FROM n;`, 200_000, 50_000, 1000, 20_000))
	before := state(t, path, db)
	for _, test := range []struct {
		sql   string
		want  Summary
		bound int
	}{
		{"UPDATE r SET b=-1 WHERE id=123456", Summary{"r", 0, 0, 1}, 20},
		{"DELETE FROM r WHERE id=77777", Summary{"r", 0, 1, 0}, 25},
		{"INSERT INTO r VALUES(1000000, 'new', 1)", Summary{"r", 1, 0, 0}, 25},
		{"UPDATE w SET v='now longer than it was before, by some' WHERE k1='key 5000' AND k2=15001", Summary{"w", 0, 0, 1}, 20},
		{"DELETE FROM w WHERE k1='key 9000'", Summary{"w", 0, 3, 0}, 25},
		{"UPDATE other SET y=0 WHERE x=9999", Summary{"other", 0, 0, 1}, 20},
		{"UPDATE big SET v=zeroblob(20000) WHERE id=500", Summary{"big", 0, 0, 1}, 35},
		// Nothing but an overflow page changes, far from its leaf.
		{"UPDATE big SET v=CAST(substr(v,1,8000)||'y'||substr(v,8002) AS BLOB) WHERE id=500", Summary{"big", 0, 0, 1}, 400},
		{"ALTER TABLE r ADD COLUMN c DEFAULT 'x'; UPDATE r SET c='y' WHERE id=5", Summary{"r", 0, 0, 1}, 20},
		// The rows are scattered over the index.
		{"DELETE FROM r WHERE id BETWEEN 1000 AND 3000", Summary{"r", 0, 2001, 0}, 1500},
	} {
		run(t, db, test.sql)
		after := state(t, path, db)
		sums, reads := readsOf(t, before, after)
		if len(sums) != 1 || sums[0] != test.want {
			t.Errorf("%s: got %v, want %v", test.sql, sums, test.want)
		}
		t.Logf("%s: %d of %d pages read", test.sql, reads, before.PageCount())
		if reads > test.bound {
			t.Errorf("%s: %d pages read, more than %d", test.sql, reads, test.bound)
		}
		before = after
	}
}

// TestOverflowOnly changes values in place, so that overflow pages change and
// the leaves that own them do not, near them and far from them.
func TestOverflowOnly(t *testing.T) {
	t.Parallel()
	for _, vacuum := range []string{"NONE", "FULL"} {
		for _, table := range []string{
			"CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)",
			"CREATE TABLE t(id TEXT PRIMARY KEY, v BLOB) WITHOUT ROWID",
		} {
			path, db := tempFile(t)
			run(t, db, "PRAGMA page_size=1024; PRAGMA auto_vacuum="+vacuum+"; CREATE TABLE hole(v); INSERT INTO hole VALUES(zeroblob(300000));"+table)
			for i := range 60 {
				run(t, db, "INSERT INTO t VALUES(?, ?)", i, []byte(strings.Repeat("x", 5000+i)))
			}
			// These values go to free pages far from their leaf.
			run(t, db, "DROP TABLE hole; INSERT INTO t VALUES(1000, zeroblob(150000)), (1001, zeroblob(50000))")
			for _, id := range []int{0, 7, 59, 1000, 1001} {
				for _, at := range []int{1, 1500, 4900} {
					before := state(t, path, db)
					run(t, db, "UPDATE t SET v=CAST(substr(v,1,?1)||'y'||substr(v,?1+2) AS BLOB) WHERE id=?2", at, id)
					after := state(t, path, db)
					sums, _ := readsOf(t, before, after)
					if len(sums) != 1 || sums[0] != (Summary{"t", 0, 0, 1}) {
						t.Errorf("%s, auto_vacuum %s, row %d at %d: got %v", table, vacuum, id, at, sums)
					}
				}
			}
		}
	}
}

// TestLargeRandom compares the exact way with the other on trees of three
// levels.
func TestLargeRandom(t *testing.T) {
	t.Parallel()
	path, db := tempFile(t)
	run(t, db, fmt.Sprintf(`PRAGMA page_size=512; CREATE TABLE r(a TEXT, b INT); CREATE INDEX ra ON r(a);
		CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
		`+series+`INSERT INTO r SELECT hex(randomblob(i%%40)), i FROM n;
		`+series+`INSERT INTO w SELECT 'k'||(i*7919%%3001), zeroblob(i%%50) FROM n;`, 3000, 3000))
	before := state(t, path, db)
	for i, change := range []string{
		"UPDATE r SET b=-b WHERE rowid%471=5",
		"DELETE FROM r WHERE rowid BETWEEN 2000 AND 2100",
		"INSERT INTO w SELECT k||'x', v FROM w WHERE k LIKE 'k77%'",
		"DELETE FROM w WHERE k LIKE 'k12%'",
		"INSERT INTO r(rowid, a) SELECT rowid+(rowid%2)*3000000, a FROM r WHERE rowid%197=1 AND rowid%2=1",
		"UPDATE w SET v=zeroblob(900) WHERE k BETWEEN 'k5' AND 'k507'",
		"UPDATE w SET v=CAST(substr(v,1,600)||'z'||substr(v,602) AS BLOB) WHERE k BETWEEN 'k5' AND 'k507'",
		"VACUUM",
	} {
		run(t, db, change)
		after := state(t, path, db)
		patch := checkPatch(t, before, after)
		if i < 7 && strings.Count(patch, "\n") < 9 {
			t.Errorf("%s: the patch is too short:\n%s", change, patch)
		}
		before = after
	}
}
