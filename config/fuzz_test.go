package config

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

// FuzzParse holds that no text makes Parse panic, that its error lists places
// in the file, and that the tree with places has what go-toml's decoder reads.
func FuzzParse(f *testing.F) {
	f.Add(whole)
	f.Add("a.b = 1\na.c = [1, [2.5, true], {x = 'y', \"z z\".w = 1979-05-27}]\n[[t]]\n[t.u]\nv=1\n[[t]]\n[[t.w]]\n")
	f.Add("[a]\nb = \"\"\"\n${A}\\\n  x\"\"\"\n[a.c.d]\n")
	for _, c := range []string{"[server]\nlisten=[]", "[[route]]\nstatic='a'\nmatch={path='/*'}", "[server]\ndata='${A:-$${}'"} {
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<14 {
			return
		}
		c, err := Parse("f", []byte(text), func(name string) (string, bool) { return "${" + name, len(name) == 1 })
		if err == nil && c == nil {
			t.Fatal("neither a configuration nor an error")
		}
		if err != nil {
			e, ok := errors.AsType[*Error](err)
			if !ok || len(e.Problems) == 0 {
				t.Fatalf("an error without places: %v", err)
			}
			for _, p := range e.Problems {
				if lines := strings.Count(text, "\n") + 1; p.Line < 1 || p.Line > lines || p.Column < 1 {
					t.Fatalf("%s: there are %d lines", p, lines)
				}
			}
		}
		var plain map[string]any
		bad := toml.Unmarshal([]byte(text), &plain)
		root := parse([]byte(text), &problems{text: []byte(text)})
		if (bad == nil) != (root != nil) {
			t.Fatalf("go-toml: %v; here: %v", bad, root)
		}
		if root != nil {
			same(t, "", root, plain)
		}
	})
}

// same compares the tree with what go-toml has decoded.
func same(t *testing.T, where string, n *node, v any) {
	switch v := v.(type) {
	case map[string]any:
		if n.kind != kindTable || len(n.table) != len(v) || len(n.keys) != len(v) {
			t.Fatalf("%s: %v with the keys %q, go-toml has %v", where, n.kind, n.keys, v)
		}
		for key, value := range v {
			if n.table[key] == nil {
				t.Fatalf("%s.%s is missing", where, key)
			}
			same(t, where+"."+key, n.table[key], value)
		}
	case string:
		if n.kind != kindString || n.text != v {
			t.Fatalf("%s: %v %q, go-toml has %q", where, n.kind, n.text, v)
		}
	case bool:
		if n.kind != kindBool || n.text != strconv.FormatBool(v) {
			t.Fatalf("%s: %v %q, go-toml has %v", where, n.kind, n.text, v)
		}
	case int64:
		if i, err := strconv.ParseInt(strings.ReplaceAll(n.text, "_", ""), 0, 64); n.kind != kindInteger || err != nil || i != v {
			t.Fatalf("%s: %v %q, go-toml has %d", where, n.kind, n.text, v)
		}
	case float64:
		if n.kind != kindFloat {
			t.Fatalf("%s: %v %q, go-toml has %g", where, n.kind, n.text, v)
		}
	default:
		list := reflect.ValueOf(v)
		if list.Kind() != reflect.Slice {
			if n.kind != kindTime {
				t.Fatalf("%s: %v, go-toml has %T", where, n.kind, v)
			}
			return
		}
		if n.kind != kindArray || len(n.items) != list.Len() {
			t.Fatalf("%s: %v of %d, go-toml has %d", where, n.kind, len(n.items), list.Len())
		}
		for i := range list.Len() {
			same(t, fmt.Sprintf("%s[%d]", where, i), n.items[i], list.Index(i).Interface())
		}
	}
}

// TestEveryFieldIsWritten guards the tags: every field has a key or is left
// out on purpose, and every default can be set.
func TestEveryFieldIsWritten(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(s reflect.Type) {
		for s.Kind() == reflect.Pointer || s.Kind() == reflect.Slice || s.Kind() == reflect.Map {
			s = s.Elem()
		}
		if s.Kind() != reflect.Struct || seen[s] || !isConfigTable(s) {
			return
		}
		seen[s] = true
		setDefaults(reflect.New(s).Elem())
		for i := range s.NumField() {
			if key, _ := Key(s.Field(i)); key == "" {
				t.Errorf("%s.%s has no key", s, s.Field(i).Name)
			}
			walk(s.Field(i).Type)
		}
	}
	walk(reflect.TypeFor[Config]())
	if len(seen) < 25 {
		t.Errorf("only %d tables were looked at", len(seen))
	}
}

func isConfigTable(t reflect.Type) bool {
	_, text := reflect.New(t).Interface().(interface{ UnmarshalText([]byte) error })
	return !text
}
