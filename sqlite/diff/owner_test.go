package diff

import (
	"database/sql"
	"fmt"
	"testing"
)

// TestOwnerOf compares with what SQLite's dbstat says about every page.
func TestOwnerOf(t *testing.T) {
	t.Parallel()
	for _, vacuum := range []string{"NONE", "FULL"} {
		path, db := tempFile(t)
		run(t, db, fmt.Sprintf(`PRAGMA page_size=1024; PRAGMA auto_vacuum=%s;
			CREATE TABLE r(a TEXT, b INT); CREATE INDEX rab ON r(a DESC, b); CREATE INDEX rb ON r(b %% 10) WHERE b>0;
			CREATE TABLE w(k TEXT PRIMARY KEY COLLATE NOCASE, v) WITHOUT ROWID; CREATE INDEX wv ON w(v);
			CREATE TABLE big(v); CREATE TABLE gone(v);
			`+series+`INSERT INTO r SELECT 'text '||(i %% 100), i FROM n;
			`+series+`INSERT INTO w SELECT 'K'||i, i %% 7 FROM n;
			INSERT INTO big SELECT zeroblob(5000) FROM r LIMIT 20; INSERT INTO gone SELECT zeroblob(500) FROM r LIMIT 50; DROP TABLE gone`, vacuum, 3000, 3000))
		want := owners(t, db)
		m := state(t, path, db)
		var pages []uint32
		for n := uint32(0); n <= m.PageCount()+1; n++ {
			pages = append(pages, n)
		}
		got, err := OwnerOf(m, pages, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range pages {
			if got[n].Name != want[n] {
				t.Errorf("auto_vacuum %s, page %d: got %v, want %q", vacuum, n, got[n], want[n])
			}
		}
		for _, limit := range []int{1, 5, 20, 60} {
			m.reads = 0
			few, err := OwnerOf(m, pages, limit)
			if err != nil || m.reads > limit {
				t.Errorf("limit %d: %d pages read, %v", limit, m.reads, err)
			}
			for n, o := range few {
				if o != got[n] {
					t.Errorf("limit %d: page %d is %v, without a limit %v", limit, n, o, got[n])
				}
			}
		}
	}
}

// owners asks SQLite whose each page is.
func owners(t *testing.T, db *sql.DB) map[uint32]string {
	t.Helper()
	out := map[uint32]string{}
	lines(t, db, func(v []any) { out[uint32(v[0].(int64))] = v[1].(string) }, "SELECT pageno, name FROM dbstat")
	return out
}
