package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"github.com/hako-run/hako/pagestore"
	"github.com/mattn/go-runewidth"
)

// printJSON writes v for programs.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.Out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// say tells a person what was done; programs asked for --json instead.
func (a *app) say(format string, args ...any) error {
	_, err := fmt.Fprintf(a.Out, format+"\n", args...)
	return err
}

// done reports an action: as a sentence, or v as JSON.
func (a *app) done(v any, format string, args ...any) error {
	if a.json {
		return a.printJSON(v)
	}
	return a.say(format, args...)
}

// A table aligns the columns of rows. Columns of right are aligned to the
// right. It buffers tableBuffer rows to find the widths.
type table struct {
	w      io.Writer
	right  map[int]bool
	rows   [][]string
	widths []int
	err    error
}

const tableBuffer = 1000

func newTable(w io.Writer, right []int, head ...string) *table {
	t := &table{w: w, right: map[int]bool{}}
	for _, i := range right {
		t.right[i] = true
	}
	t.row(head...)
	return t
}

func (t *table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = visible(strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(cell))
	}
	t.rows = append(t.rows, cells)
	if len(t.rows) == tableBuffer {
		t.err = t.flush()
	}
}

// flush writes what is buffered.
func (t *table) flush() error {
	if t.err != nil {
		return t.err
	}
	for _, row := range t.rows {
		for i, cell := range row {
			for len(t.widths) <= i {
				t.widths = append(t.widths, 0)
			}
			t.widths[i] = max(t.widths[i], runewidth.StringWidth(cell))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", t.widths[i]-runewidth.StringWidth(cell))
			if i > 0 {
				line.WriteString("  ")
			}
			if t.right[i] {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(cell + pad)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	t.rows = t.rows[:0]
	_, err := io.WriteString(t.w, b.String())
	return err
}

// visible shows what would steer a terminal, or is no text, by escapes. Names
// come from strangers: those of images, of functions in modules. Lines and
// tabs stay.
func visible(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n' || r == '\t' || unicode.IsGraphic(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
		i += n
	}
	return b.String()
}

// sizeText returns bytes for people.
func sizeText(bytes int64) string { return humanize.IBytes(uint64(max(bytes, 0))) }

// countText returns a number with its noun, which takes an s if need be.
func countText(n int64, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "x"):
		noun += "e"
	}
	return humanize.Comma(n) + " " + noun + "s"
}

// timeText returns a time for people.
func timeText(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return pagestore.FormatTime(t)
}

// timeJSON returns a time for programs.
func timeJSON(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
