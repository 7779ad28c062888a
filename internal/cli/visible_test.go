package cli

import (
	"strings"
	"testing"
)

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"Zoë 日本\tx\n":              "Zoë 日本\tx\n",
		"\x1b[31mred\x07\r":        `\x1b[31mred\a\r`,
		"\u009b1m \u202e \x00\xff": `\u009b1m \u202e \x00\xff`,
	} {
		if got := visible(in); got != want {
			t.Errorf("%q is shown as %q, not %q", in, got, want)
		}
	}
	var b strings.Builder
	table := newTable(&b, nil, "A", "B")
	table.row("x\ny", "\x1b]0;title\x07")
	if err := table.flush(); err != nil || strings.Count(b.String(), "\n") != 2 || strings.ContainsAny(b.String(), "\x1b\x07") {
		t.Errorf("%q, %v", b.String(), err)
	}
}
