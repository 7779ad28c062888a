package diff

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func exampleDiff(t *testing.T, o Options) *Diff {
	t.Helper()
	a, b := between(t, `CREATE TABLE posts(id INTEGER PRIMARY KEY, title TEXT, body);
		CREATE TABLE tags(post INT, tag TEXT, PRIMARY KEY(tag, post)) WITHOUT ROWID;
		CREATE TABLE log(x); CREATE TABLE gone(a); CREATE TABLE ren(a);
		INSERT INTO posts VALUES(1, 'first', x'0001'), (2, 'it''s', NULL);
		INSERT INTO tags VALUES(1, 'go'), (2, 'sql'); INSERT INTO gone VALUES(5);`,
		`UPDATE posts SET title='pre' || char(27) || '[31mmier', body=2.0 WHERE id=1; DELETE FROM posts WHERE id=2;
		INSERT INTO posts VALUES(3, 'third', 9e999); INSERT INTO tags VALUES(3, 'go'); INSERT INTO log VALUES(cast(x'ff' as text));
		DROP TABLE gone; CREATE INDEX pt ON posts(title); ALTER TABLE ren ADD COLUMN b DEFAULT 1; PRAGMA user_version=3`)
	o.Changed = differing(a, b)
	d, err := New(a, b, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func TestText(t *testing.T) {
	t.Parallel()
	d := exampleDiff(t, Options{})
	const schema = `- table gone
~ table ren
    - CREATE TABLE ren(a)
    + CREATE TABLE ren(a, b DEFAULT 1)
+ index pt
    + CREATE INDEX pt ON posts(title)
~ user_version: 0 -> 3
`
	for _, test := range []struct {
		o    TextOptions
		want string
	}{
		{TextOptions{}, schema + `gone   +0 -1 ~0
log    +1 -0 ~0
posts  +1 -1 ~1
tags   +1 -0 ~0
`},
		{TextOptions{Rows: 2, Width: 8}, schema + `gone   +0 -1 ~0
  - rowid=1 a=5
log    +1 -0 ~0
  + rowid=1 x='�'
posts  +1 -1 ~1
  ~ id=1 title: 'first' -> 'pre\x1b[31m...' body: x'0001' -> 2.0
  - id=2 title='it''s' body=NULL
  ... 1 more
tags   +1 -0 ~0
  + tag='go' post=3
`},
	} {
		var out strings.Builder
		if err := d.WriteText(context.Background(), &out, test.o); err != nil {
			t.Fatal(err)
		}
		if out.String() != test.want {
			t.Errorf("%+v: got\n%s\nwant\n%s", test.o, out.String(), test.want)
		}
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := exampleDiff(t, Options{}).WriteJSON(context.Background(), &out); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"schema":"removed","type":"table","name":"gone","before":"CREATE TABLE gone(a)"}`,
		`{"schema":"changed","type":"table","name":"ren","before":"CREATE TABLE ren(a)","after":"CREATE TABLE ren(a, b DEFAULT 1)"}`,
		`{"schema":"added","type":"index","name":"pt","after":"CREATE INDEX pt ON posts(title)"}`,
		`{"schema":"changed","type":"pragma","name":"user_version","before":"0","after":"3"}`,
		`{"table":"gone","change":"removed","rowid":1,"old":{"a":5}}`,
		`{"table":"log","change":"added","rowid":1,"new":{"x":{"text":"ff"}}}`,
		`{"table":"posts","change":"changed","rowid":1,"old":{"id":1,"title":"first","body":{"blob":"0001"}},"new":{"id":1,"title":"pre\u001b[31mmier","body":2.0}}`,
		`{"table":"posts","change":"removed","rowid":2,"old":{"id":2,"title":"it's","body":null}}`,
		`{"table":"posts","change":"added","rowid":3,"new":{"id":3,"title":"third","body":{"real":"+Inf"}}}`,
		`{"table":"tags","change":"added","new":{"post":3,"tag":"go"}}`,
		`{"table":"gone","added":0,"removed":1,"changed":0}`,
		`{"table":"log","added":1,"removed":0,"changed":0}`,
		`{"table":"posts","added":1,"removed":1,"changed":1}`,
		`{"table":"tags","added":1,"removed":0,"changed":0}`,
	}
	got := strings.Split(strings.TrimSpace(out.String()), "\n")
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", out.String(), strings.Join(want, "\n"))
	}
	for _, l := range got {
		if !json.Valid([]byte(l)) {
			t.Errorf("no JSON: %s", l)
		}
	}
}

func TestOnlyTables(t *testing.T) {
	t.Parallel()
	d := exampleDiff(t, Options{Tables: []string{"POSTS", "nowhere"}})
	sums, err := d.Summary(context.Background())
	if err != nil || !slices.Equal(sums, []Summary{{"posts", 1, 1, 1}}) {
		t.Errorf("got %v, %v", sums, err)
	}
	if c := d.Schema(); len(c) != 1 || c[0].Name != "pt" {
		t.Errorf("got %v", c)
	}
	if missing := d.Missing([]string{"POSTS", "nowhere"}); !slices.Equal(missing, []string{"nowhere"}) {
		t.Errorf("missing are %v", missing)
	}
}

func TestRowsStop(t *testing.T) {
	t.Parallel()
	d := exampleDiff(t, Options{})
	n := 0
	for _, err := range d.Rows(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("%d rows after a stop at 3", n)
	}
}
