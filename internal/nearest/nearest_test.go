package nearest

import (
	"slices"
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	for _, c := range []struct{ word, candidates, want string }{
		{"tabels", "tables quit headers mode", "tables"},
		{"QUIT", "tables quit", "quit"},
		{"qiut", "tables quit", "quit"},
		{"shel", "show shell", "shell"},      // one letter away, not two
		{"hea", "tables headers", "headers"}, // its beginning
		{"orders", "orders-2025", "orders-2025"},
		{"sop", "stop shop", "stop"}, // the first of equals
		{"he", "tables headers", ""},
		{"xyz", "tables quit", ""},
		{"", "a tables", "a"},
		{"x", "y yes", "y"},
		{strings.Repeat("x", 1000), strings.Repeat("x", 999), ""},
	} {
		if got := Of(c.word, slices.Values(strings.Fields(c.candidates))); got != c.want {
			t.Errorf("%q of %q: %q, not %q", c.word, c.candidates, got, c.want)
		}
	}
}

func FuzzOf(f *testing.F) {
	f.Add("shpo", "shop")
	f.Add("ü", "u")
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a)+len(b) > 300 {
			return
		}
		d := distance(a, b, 1000)
		if d != distance(b, a, 1000) || (d == 0) != (a == b) || d > max(len(a), len(b)) {
			t.Errorf("%q and %q: %d", a, b, d)
		}
		if got := Of(a, slices.Values([]string{b})); got != "" && got != b {
			t.Errorf("%q of %q: %q", a, b, got)
		}
	})
}
