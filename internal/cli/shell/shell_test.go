package shell

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"
)

func openDB(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "test.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// run runs a script and returns what it printed.
func run(t testing.TB, db *sql.DB, script string) (out, errs string, err error) {
	t.Helper()
	var o, e bytes.Buffer
	err = Run(t.Context(), Options{DB: db, In: strings.NewReader(script), Out: &o, Err: &e})
	return o.String(), e.String(), err
}

// check runs a script that must succeed and print want.
func check(t *testing.T, db *sql.DB, script, want string) {
	t.Helper()
	out, errs, err := run(t, db, script)
	if err != nil || errs != "" {
		t.Fatalf("%s\nfailed: %v\n%s", script, err, errs)
	}
	if out != want {
		t.Errorf("%s\nprinted\n%s\nnot\n%s", script, out, want)
	}
}

const sample = `create table t(a integer, b text, c real, d blob);
insert into t values(1,'hello world',0.1,x'01ff41'),(null,'it''s "q", x',1e100,null),(-3,'line1
line2',1.0,'text'),(4,'日本',9e999,x'');
`

func TestModesPrintAsSQLite3Does(t *testing.T) {
	db := openDB(t)
	check(t, db, sample, "")
	for _, c := range []struct{ settings, query, want string }{
		{".mode list", "select * from t", "1|hello world|0.1|\x01\xffA\n|it's \"q\", x|1.0e+100|\n-3|line1\nline2|1.0|text\n4|日本|Inf|\n"},
		{".headers on\n.nullvalue NULL\n.separator ', '", "select a, c from t where a is null", "a, c\nNULL, 1.0e+100\n"},
		{".mode csv\n.headers on", "select a, b, '' as \"x y\" from t", "a,b,\"x y\"\r\n1,\"hello world\",\"\"\r\n,\"it's \"\"q\"\", x\",\"\"\r\n-3,\"line1\nline2\",\"\"\r\n4,\"日本\",\"\"\r\n"},
		{".mode tabs", "select a, b from t where a = 1", "1\thello world\n"},
		{".mode quote", "select * from t", "1,'hello world',0.1,X'01ff41'\nNULL,'it''s \"q\", x',1.0e+100,NULL\n-3,'line1\nline2',1.0,'text'\n4,'日本',1e999,X''\n"},
		{".mode insert tt\n.headers on", "select b, a as \"x y\" from t where a < 2", "INSERT INTO tt(b,\"x y\") VALUES('hello world',1);\nINSERT INTO tt(b,\"x y\") VALUES(replace('line1\\nline2','\\n',char(10)),-3);\n"},
		{".mode json", "select * from t where a > 0", "[{\"a\":1,\"b\":\"hello world\",\"c\":0.1,\"d\":\"\\u0001\\u00ffA\"},\n{\"a\":4,\"b\":\"日本\",\"c\":1e999,\"d\":\"\"}]\n"},
		{".mode json", "select 1 where 0", "[]\n"},
		{".mode jsonl", "select a, b from t where a < 0 or a is null", "{\"a\":null,\"b\":\"it's \\\"q\\\", x\"}\n{\"a\":-3,\"b\":\"line1\\nline2\"}\n"},
		{".mode line", "select a, b as longname from t where a in (1, 4)", "       a = 1\nlongname = hello world\n\n       a = 4\nlongname = 日本\n"},
		{".mode html\n.headers on", "select a, '<&>' as h from t where a = 1", "<TR><TH>a</TH>\n<TH>h</TH>\n</TR>\n<TR><TD>1</TD>\n<TD>&lt;&amp;&gt;</TD>\n</TR>\n"},
		{".mode column", "select a, b from t where a > 0", "a  b          \n-  -----------\n1  hello world\n4  日本       \n"},
		{".mode table", "select a, b from t where a in (1, 4)", "+---+-------------+\n| a |      b      |\n+---+-------------+\n| 1 | hello world |\n| 4 | 日本        |\n+---+-------------+\n"},
		{".mode box", "select a, b from t where a in (1, -3)", "┌────┬─────────────┐\n│ a  │      b      │\n├────┼─────────────┤\n│ 1  │ hello world │\n├────┼─────────────┤\n│ -3 │ line1       │\n│    │ line2       │\n└────┴─────────────┘\n"},
		{".mode markdown\n.width -4", "select a, c from t where a = 1", "|  a   |  c  |\n|------|-----|\n|    1 | 0.1 |\n"},
		{".mode box --wrap 4", "select 'abcdefg' as x", "┌──────┐\n│  x   │\n├──────┤\n│ abcd │\n│ efg  │\n└──────┘\n"},
		{".mode box", "select 1 where 0", ""},
		{".mode ascii", "select 1, 2", "1\x1f2\x1e"},
	} {
		check(t, db, c.settings+"\n"+c.query+";\n", c.want)
	}
}

func TestTableStreamsAfterItsBuffer(t *testing.T) {
	out, _, err := run(t, openDB(t), ".mode column\nwith recursive n(i) as (select 1 union all select i+1 from n where i < 2500)\nselect iif(i < 2400, i + (i > 2010) * 1000000, 'a text that is wide') as v from n;")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out, "\n")
	if lines[0] != "v   " || lines[2] != "1   " {
		t.Errorf("the head is %q", lines[:3])
	}
	if lines[2+2005] != "2006" || lines[2+2398] != "1002399" { // numbers make the column wider
		t.Errorf("numbers after the buffer are %q and %q", lines[2+2005], lines[2+2398])
	}
	if got := strings.Join(lines[2+2399:2+2399+6], "|"); got != "a text |that is| wide  |a text |that is| wide  " {
		t.Errorf("a wide value after the buffer is %q", got)
	}
}

func TestDatesAreShownAsStored(t *testing.T) {
	db := openDB(t)
	check(t, db, "create table e(d date, s timestamp, u datetime); insert into e values('2024-01-02', '2024-01-02T03:04:05Z', 5), ('x', '2024-01-02 03:04', null);", "")
	check(t, db, "select d, s, u, d as d from e order by d desc;", "x|2024-01-02 03:04||x\n2024-01-02|2024-01-02T03:04:05Z|5|2024-01-02\n")
	check(t, db, ".headers on\nwith w as (select s from e) select s as \"s s\", s from w limit 1 -- end\n;", "s s|s\n2024-01-02T03:04:05Z|2024-01-02T03:04:05Z\n")
	check(t, db, ".mode json\nselect d from e where d < 'a';", "[{\"d\":\"2024-01-02\"}]\n")
}

func TestErrorsShowTheirPlace(t *testing.T) {
	db := openDB(t)
	check(t, db, sample, "")
	for _, c := range []struct{ script, want string }{
		{"select 1;\nselect a,\n  nope from t;", "line 3: no such column: nope\n    nope from t;\n    ^"},
		{"select * frm t;", "near \"frm\": syntax error\n  select * frm t;\n           ^"},
		{"select * from nope;", "no such table: nope\n  select * from nope;\n                ^"},
		{"create table u(a unique); insert into u values(1),(1);", "UNIQUE constraint failed: u.a"},
		{"select '日本', nope from t;", "no such column: nope\n  select '日本', nope from t;\n                 ^"},
		{"select 1 +", "incomplete input\n  select 1 +\n            ^"},
		{"select x from t where x = 1;", "no such column: x"},
		{".bogus", "line 1: unknown command .bogus: .help lists the commands"},
		{".tabels", "line 1: unknown command .tabels: did you mean .tables? (.help lists the commands)"},
		{"\n.mode bx", "line 2: unknown mode \"bx\": did you mean \"box\"?"},
		{".headers", "line 1: .headers is written as: .headers on|off"},
		{".timer maybe", "line 1: \"maybe\" is neither on nor off"},
		{".print \"a", "line 1: the \" that opens an argument of .print is never closed"},
		{".read /nonexistent/file", "line 1: cannot read a script: open /nonexistent/file"},
	} {
		_, errs, err := run(t, db, c.script)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || errs != "" {
			t.Errorf("%q fails with\n%v\n%s\nnot\n%s", c.script, err, errs, c.want)
		}
	}
	var se *StatementError
	_, _, err := run(t, db, "select nope;")
	if !errors.As(err, &se) || se.Offset != 7 || se.Line != 1 {
		t.Errorf("the error is %#v", err)
	}
}

func TestBail(t *testing.T) {
	db := openDB(t)
	out, errs, err := run(t, db, ".bail off\nselect 1;\nselect nope;\n.bogus\nselect 2;")
	if out != "1\n2\n" || !errors.Is(err, ErrFailed) || strings.Count(errs, "error: ") != 2 {
		t.Errorf("printed %q, %q, %v", out, errs, err)
	}
	out, _, err = run(t, db, "select 1; select nope; select 2;")
	if out != "1\n" || err == nil || errors.Is(err, ErrFailed) {
		t.Errorf("printed %q, %v", out, err)
	}
}

func TestCommands(t *testing.T) {
	db := openDB(t)
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	check(t, db, sample+"create view v as select 1; create index i on t(a); create trigger r after insert on t begin select 1; end;", "")
	check(t, db, ".tables\n.tables v%\n.indexes\n.indexes nope", "t  v\nv\ni\n")
	check(t, db, ".schema t", "CREATE TABLE t(a integer, b text, c real, d blob);\nCREATE INDEX i on t(a);\nCREATE TRIGGER r after insert on t begin select 1; end;\n")
	check(t, db, ".print a 'b c' \"d\\te\"", "a b c d\te\n")
	check(t, db, ".mode csv\n.mode", "current output mode: csv\n")
	check(t, db, ".echo on\nselect 1;", "select 1;\n1\n")
	check(t, db, ".changes on\nupdate t set a = 1;", "changes: 4   total_changes: 8\n")
	check(t, db, "select 1;\n.quit\nselect 2;", "1\n")
	check(t, db, "# a comment\nselect 1;", "1\n")
	check(t, db, ".parameter set :x 5+1\n.parameter set @y hello\n.parameter set ?2 x'01'\n.parameter list\nselect :x, @y, $z;\nselect ?, ?2, hex(?2);\n.parameter unset :x\nselect :x is null;\n.parameter clear\n.parameter list",
		":x 6\n?2 X'01'\n@y 'hello'\n6|hello|\n|\x01|01\n1\n")
	check(t, db, ".once "+file("once")+"\nselect 1;\nselect 2;", "2\n")
	check(t, db, ".output "+file("out")+"\nselect 3;\nselect 4;\n.output\nselect 5;", "5\n")
	if err := os.WriteFile(file("script.sql"), []byte(".read "+file("once.sql")+"\nselect 'end';\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file("once.sql"), []byte("\ufeffselect 6;"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(t, db, ".read "+file("script.sql"), "6\nend\n")
	for name, want := range map[string]string{"once": "1\n", "out": "3\n4\n"} {
		if got, err := os.ReadFile(file(name)); err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v", name, got, err)
		}
	}
	out, _, err := run(t, db, ".show\n.help\n.help mode\n.databases")
	if err != nil || !strings.Contains(out, "nullvalue: \"\"") || !strings.Contains(out, ".import [--csv|--tsv]") || !strings.Contains(out, "main: ") {
		t.Errorf("printed %q, %v", out, err)
	}
	out, _, err = run(t, db, ".timer on\nselect 1;")
	if err != nil || !strings.HasPrefix(out, "1\nRun Time: real 0.") {
		t.Errorf("printed %q, %v", out, err)
	}
	if err := os.WriteFile(file("self.sql"), []byte(".read "+file("self.sql")), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, err := run(t, db, ".read "+file("self.sql")); err == nil || !strings.Contains(errs, "does one read itself?") {
		t.Errorf("a script that reads itself: %v, %s", err, errs)
	}
}

func TestCancelledStatementEnds(t *testing.T) {
	db := openDB(t)
	ctx, cancel := context.WithCancel(t.Context())
	w := writerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil })
	err := Run(ctx, Options{DB: db, SQL: []string{"select 1", "with recursive c(x) as (select 1 union all select x+1 from c) select count(*) from c"}, Out: w, Err: w})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestBlobsForPeople(t *testing.T) {
	var out bytes.Buffer
	err := Run(t.Context(), Options{DB: openDB(t), SQL: []string{"select x'00ff', cast('text' as blob), zeroblob(1000), x'';"}, Mode: "list", Interactive: true, Out: &out, Err: &out})
	if want := "x'00ff'|text|x'000000000000000000000000…' 1000 bytes|\n"; err != nil || out.String() != want {
		t.Errorf("printed %q, %v, not %q", out.String(), err, want)
	}
	check(t, openDB(t), "select x'4100';", "A\x00\n") // to programs as it is
}

func TestControlCharactersDoNotReachATerminal(t *testing.T) {
	var out bytes.Buffer
	err := Run(t.Context(), Options{DB: openDB(t), SQL: []string{"select char(27) || '[31m' || char(155) || x'ff' as \"a\x1b\";"}, Mode: "list", Headers: "on", Interactive: true, Out: &out, Err: &out})
	if want := "a^[\n^[[31m\\u009b\ufffd\n"; err != nil || out.String() != want {
		t.Errorf("printed %q, %v, not %q", out.String(), err, want)
	}
}
