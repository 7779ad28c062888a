package shell

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCompletion(t *testing.T) {
	db := openDB(t)
	check(t, db, "create table customers(id, full_name, Email); create table orders(id, customer_id); create view selected as select 1 as one; create table \"two words\"(x);", "")
	var out bytes.Buffer
	sh, err := newShell(t.Context(), Options{DB: db, Out: &out, Err: &out, Interactive: true})
	if err != nil {
		t.Fatal(err)
	}
	defer sh.close()
	for _, c := range []struct{ before, left, head, want string }{
		{"", "sel", "", "selected|select"},
		{"", "SELE", "", "SELECT "},
		{"", "select * from cust", "select * from ", "customers "},
		{"", "select * from ", "select * from ", `customers|orders|selected|"two words"`},
		{"", "select customers.", "select ", "customers.id|customers.full_name|customers.Email"},
		{"select * from customers as c, orders o\n", "where c.f", "where ", "c.full_name "},
		{"", "select * from orders o where o.cu", "select * from orders o where ", "o.customer_id "},
		{"", "select e from customers where full", "select e from customers where ", "full_name|full"},
		{"", "select 1; update ord", "select 1; update ", "orders "},
		{"", "select 'sel", "select 'sel", ""},
		{"", "insert into orders(cus", "insert into orders(", "customers|customer_id"},
		{"", ".mo", "", ".mode "},
		{"", ".mode js", ".mode ", "json|jsonl"},
		{"", ".schema o", ".schema ", "orders "},
		{"", ".timer o", ".timer ", "on|off"},
		{"", "nothing_like_it", "", ""},
	} {
		head, words, tail := sh.completions(t.Context(), c.before, c.left, "")
		if got := strings.Join(words, "|"); got != c.want || tail != "" || len(words) > 0 && head != c.head {
			t.Errorf("%q completes to %q + %q", c.left, head, got)
		}
	}
}

func TestHistory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state", "history")
	h, err := openHistory(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []string{"select 1;", "select 1;", "", "select '日本';"} {
		if err := h.add(e); err != nil {
			t.Fatal(err)
		}
	}
	if h, err = openHistory(file); err != nil || strings.Join(h.entries, "|") != "select 1;|select '日本';" {
		t.Errorf("the history is %q, %v", h.entries, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(file, []byte("garbage\n"+strings.Repeat("\"x\"\n\"y\"\n", historyLimit+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if h, err = openHistory(file); err != nil || len(h.entries) != historyLimit {
		t.Errorf("%d entries, %v", len(h.entries), err)
	}
	if data, _ := os.ReadFile(file); strings.Count(string(data), "\n") != historyLimit {
		t.Errorf("the file keeps %d lines", strings.Count(string(data), "\n"))
	}
	for text, want := range map[string]string{
		"select 1\n  from t;\n":        "select 1 from t;",
		"select 1 -- one\nfrom t;":     "select 1 -- one|from t;",
		"select 'a\nb';":               "select 'a|b';",
		"select 'a   b'\n\n\t,   2;\n": "select 'a   b' \t, 2;",
	} {
		if got := strings.Join(historyEntries(text), "|"); got != want {
			t.Errorf("%q is remembered as %q, not %q", text, got, want)
		}
	}
}
