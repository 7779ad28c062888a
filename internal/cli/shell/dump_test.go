package shell

import (
	"database/sql"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func dump(t *testing.T, db *sql.DB) string {
	t.Helper()
	out, errs, err := run(t, db, ".dump")
	if err != nil || errs != "" {
		t.Fatalf("dump: %v\n%s", err, errs)
	}
	return out
}

func TestDumpIsWrittenAsSQLite3Writes(t *testing.T) {
	db := openDB(t)
	check(t, db, `create table a(id integer primary key autoincrement, v text default 'x', d date, g as (v||'!') stored);
insert into a(v,d) values('o''k','2024-01-02'),(char(10)||'nl'||char(13),0.1),('\n'||char(10),9e999);
create virtual table ft using fts5(x, content='');
create table "odd ""name"(  "select" int, primary key("select")) without rowid; insert into "odd ""name" values(5);
create view vw as select * from a -- comment
; create trigger tr after insert on a begin update a set v=v; select 1; end; create index i1 on a(v);
create table nn(x); insert into nn values(cast(x'610062' as text)),(x'00'),(null);
`, "")
	want := `PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE a(id integer primary key autoincrement, v text default 'x', d date, g as (v||'!') stored);
INSERT INTO a VALUES(1,'o''k','2024-01-02');
INSERT INTO a VALUES(2,replace(replace('\nnl\r','\n',char(10)),'\r',char(13)),0.1);
INSERT INTO a VALUES(3,replace('\n(\n0)','(\n0)',char(10)),1e999);
`
	got := dump(t, db)
	if !strings.HasPrefix(got, want) {
		t.Errorf("the dump begins with\n%s", got[:min(len(got), len(want)+50)])
	}
	for _, line := range []string{
		"PRAGMA writable_schema=ON;\nINSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql)VALUES('table','ft','ft',0,'CREATE VIRTUAL TABLE ft using fts5(x, content='''')');\n",
		"CREATE TABLE IF NOT EXISTS \"odd \"\"name\"(  \"select\" int, primary key(\"select\")) without rowid;\nINSERT INTO \"odd \"\"name\" VALUES(5);\n",
		"INSERT INTO nn VALUES(CAST(X'610062' AS TEXT));\nINSERT INTO nn VALUES(X'00');\nINSERT INTO nn VALUES(NULL);\n",
		"DELETE FROM sqlite_sequence;\nINSERT INTO sqlite_sequence VALUES('a',3);\nCREATE VIEW vw as select * from a -- comment\n;\nCREATE TRIGGER tr after insert on a begin update a set v=v; select 1; end;\nCREATE INDEX i1 on a(v);\nPRAGMA writable_schema=OFF;\nCOMMIT;\n",
	} {
		if !strings.Contains(got, line) {
			t.Errorf("the dump lacks\n%s\n%s", line, got)
		}
	}
	if out, _, err := run(t, db, ".dump nn ft"); err != nil || !strings.Contains(out, "ft_data") || strings.Contains(out, "TABLE a(") {
		t.Errorf("dump of some tables: %v\n%s", err, out)
	}
}

func TestDumpMakesTheDatabaseAgain(t *testing.T) {
	seeds := uint64(12)
	if testing.Short() {
		seeds = 4
	}
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 7))
		text := func() string {
			pieces := []string{"a", "'", "\n", "\r", `\n`, `\r`, "\x00", "日", "\"", ";", "(\\n0)", "--", "\t", " "}
			var b strings.Builder
			for range rng.IntN(7) {
				b.WriteString(pieces[rng.IntN(len(pieces))])
			}
			return b.String()
		}
		random := func() any {
			switch rng.IntN(6) {
			case 0:
				return nil
			case 1:
				return int64(rng.Uint64()) >> rng.IntN(64)
			case 2:
				f := math.Float64frombits(rng.Uint64())
				if math.IsNaN(f) {
					f = math.Inf(1)
				}
				return f
			case 3:
				return rng.NormFloat64()
			case 4:
				return []byte(text())
			}
			return text()
		}
		db := openDB(t)
		exec := func(query string, args ...any) {
			t.Helper()
			if _, err := db.Exec(query, args...); err != nil {
				t.Fatalf("seed %d: %s: %v", seed, query, err)
			}
		}
		tables := []string{"plain", "odd 'name\"\n", "select"}
		for _, name := range tables {
			q := quoteNameAlways(name)
			kind := []string{"", " WITHOUT ROWID", " STRICT"}[rng.IntN(3)]
			key := []string{"INTEGER PRIMARY KEY", "INTEGER PRIMARY KEY AUTOINCREMENT"}[rng.IntN(2)]
			if kind == " WITHOUT ROWID" {
				key = "INTEGER PRIMARY KEY"
			}
			column := "a"
			if kind == " STRICT" {
				column = "a ANY"
			}
			exec("CREATE TABLE " + q + "(id " + key + ", " + column + ", \"b c\" ANY, g INT AS (id + 1), s TEXT AS (typeof(a)) STORED)" + kind)
			exec("CREATE INDEX " + quoteNameAlways(name+" i") + " ON " + q + "(a DESC) WHERE id > 3 -- odd")
			for range rng.IntN(40) {
				exec("INSERT INTO "+q+"(id, a, \"b c\") VALUES((SELECT coalesce(max(id), 0) + 1 + ? FROM "+q+"), ?, ?)", rng.IntN(3), random(), random())
			}
			exec("CREATE TRIGGER " + quoteNameAlways(name+" t") + " AFTER INSERT ON " + q + " BEGIN UPDATE " + q + " SET a = 'fired'; END")
		}
		exec("CREATE VIEW v AS SELECT * FROM \"select\" /* comment */")
		exec("CREATE VIRTUAL TABLE ft USING fts5(x)")
		exec("INSERT INTO ft VALUES (?), ('word')", text())
		exec("CREATE VIRTUAL TABLE rt USING rtree(id, x0, x1)")
		exec("INSERT INTO rt VALUES (1, 2.5, 3.5)")
		first := dump(t, db)
		other := openDB(t)
		other.SetMaxIdleConns(0) // virtual tables are there for new connections only, as with sqlite3
		check(t, other, first, "")
		if second := dump(t, other); second != first {
			t.Fatalf("seed %d: the dump of the dump differs:\n%s\n%s", seed, first, second)
		}
		for _, name := range tables {
			query := fmt.Sprintf("SELECT group_concat(quote(id) || quote(a) || typeof(a) || hex(a) || quote(\"b c\") || hex(\"b c\") || s) FROM (SELECT * FROM %s ORDER BY id)", quoteNameAlways(name))
			var a, b sql.NullString
			if err := db.QueryRow(query).Scan(&a); err != nil {
				t.Fatal(err)
			}
			if err := other.QueryRow(query).Scan(&b); err != nil || a != b {
				t.Fatalf("seed %d: rows of %s differ (%v):\n%s\n%s", seed, name, err, a.String, b.String)
			}
		}
		var found, check string
		if err := other.QueryRow("SELECT x FROM ft('word')").Scan(&found); err != nil || found != "word" {
			t.Errorf("seed %d: full text search finds %q, %v", seed, found, err)
		}
		if err := other.QueryRow("PRAGMA integrity_check").Scan(&check); err != nil || check != "ok" {
			t.Errorf("seed %d: integrity_check: %s, %v", seed, check, err)
		}
	}
}
