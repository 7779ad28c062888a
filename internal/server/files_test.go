package server

import "testing"

// What an image says of its files holds for its own arguments alone.
func TestFilesLabel(t *testing.T) {
	for _, c := range []struct {
		label string
		args  []string
		root  string
	}{
		{"/srv --root /srv", []string{"/php.wasm", "--root", "/srv"}, "/srv"},
		{"/srv", []string{"/app.wasm"}, "/srv"},
		{"/srv/", []string{"/app.wasm"}, "/srv"},
		{"/srv --root /srv", []string{"/php.wasm", "--root", "/srv/public"}, ""},
		{"/srv --root /srv", []string{"/php.wasm", "--root", "/srv", "--no-files"}, ""},
		{"/srv --root /srv", []string{"/php.wasm"}, ""},
		{"/srv", []string{"/app.wasm", "x"}, ""},
		{"srv", []string{"/app.wasm"}, ""},
		{"", []string{"/app.wasm"}, ""},
		{"/srv", nil, ""},
	} {
		got := ""
		if f := labelled(c.label, c.args); f != nil {
			got = f.Root
		}
		if got != c.root {
			t.Errorf("%q for %q: %q, want %q", c.label, c.args, got, c.root)
		}
	}
}
