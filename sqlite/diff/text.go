package diff

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// TextOptions of WriteText; the zero value shows schema changes and numbers.
type TextOptions struct {
	Rows  int // rows shown for each table; negative: all
	Width int // characters of a value shown; 0: 60, negative: all
}

// WriteText writes the differences for people: schema changes, and for each
// table a line of numbers (name, added, removed, changed) and rows. Control
// characters are escaped.
//
//	posts  +1 -0 ~1
//	  + id=3 title='third'
//	  ~ id=1 title: 'first' -> 'premier'
func (d *Diff) WriteText(ctx context.Context, w io.Writer, o TextOptions) error {
	if o.Width == 0 {
		o.Width = 60
	}
	sums, err := d.Summary(ctx)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	for _, c := range d.changes {
		writeSchemaChange(out, c)
	}
	if len(sums) == 0 && len(d.changes) == 0 {
		fmt.Fprintln(out, "nothing differs")
	}
	width := 0
	for _, s := range sums {
		width = max(width, utf8.RuneCountInString(plainName(s.Table)))
	}
	for _, s := range sums {
		fmt.Fprintf(out, "%-*s  +%d -%d ~%d\n", width, plainName(s.Table), s.Added, s.Removed, s.Changed)
		if o.Rows == 0 {
			continue
		}
		if err := d.writeRows(ctx, out, s, o); err != nil {
			return err
		}
	}
	return out.Flush()
}

func (d *Diff) writeRows(ctx context.Context, out *bufio.Writer, s Summary, o TextOptions) error {
	shown := 0
	for _, p := range d.pairs {
		if p.name != s.Table {
			continue
		}
		for c, err := range d.rows(ctx, p) {
			if err != nil {
				return err
			}
			if shown == o.Rows {
				fmt.Fprintf(out, "  ... %d more\n", s.Added+s.Removed+s.Changed-int64(shown))
				return nil
			}
			shown++
			if _, err := fmt.Fprintf(out, "  %s\n", c.text(o.Width)); err != nil {
				return err
			}
		}
	}
	return nil
}

var kindSigns = [...]string{Added: "+", Removed: "-", Changed: "~"}

func writeSchemaChange(out io.Writer, c SchemaChange) {
	if c.Type == "pragma" {
		fmt.Fprintf(out, "~ %s: %s -> %s\n", c.Name, c.Before.SQL, c.After.SQL)
		return
	}
	fmt.Fprintf(out, "%s %s %s\n", kindSigns[c.Kind], c.Type, plainName(c.Name))
	for _, side := range []struct {
		sign string
		o    *Object
	}{{"-", c.Before}, {"+", c.After}} {
		if side.o == nil || c.Kind == Removed {
			continue
		}
		for line := range strings.SplitSeq(side.o.SQL, "\n") {
			fmt.Fprintf(out, "    %s %s\n", side.sign, escape(line, -1))
		}
	}
}

// text is the change on one line, values cut to a width.
func (c *Change) text(width int) string {
	t, row := c.After, c.New
	if c.Kind == Removed {
		t, row = c.Before, c.Old
	}
	b := []string{kindSigns[c.Kind]}
	isKey := make([]bool, len(t.Columns))
	if len(t.Key) == 0 {
		b = append(b, fmt.Sprintf("rowid=%d", c.Rowid))
	}
	for _, k := range t.Key {
		isKey[k] = true
		b = append(b, plainName(t.Columns[k].Name)+"="+row[k].show(width))
	}
	for i, col := range t.Columns {
		v := row[i].show(width)
		switch old, ok := c.oldOf(i); {
		case isKey[i] && !(ok && !old.Equal(row[i])):
		case c.Kind != Changed:
			b = append(b, plainName(col.Name)+"="+v)
		case !ok:
			b = append(b, plainName(col.Name)+": "+v)
		case !old.Equal(row[i]):
			b = append(b, plainName(col.Name)+": "+old.show(width)+" -> "+v)
		}
	}
	return strings.Join(b, " ")
}

// oldOf is what column i of After was before, by name.
func (c *Change) oldOf(i int) (Value, bool) {
	if c.Kind != Changed {
		return Value{}, false
	}
	for j, col := range c.Before.Columns {
		if foldName(col.Name) == foldName(c.After.Columns[i].Name) {
			return c.Old[j], true
		}
	}
	return Value{}, false
}

// show is v for people: much like SQL, cut to a width in characters unless
// that is negative.
func (v Value) show(width int) string {
	switch v.Kind {
	case Integer:
		return strconv.FormatInt(v.Int, 10)
	case Real:
		s := strconv.FormatFloat(v.Real, 'g', -1, 64)
		if !strings.ContainsAny(s, ".eIN") {
			s += ".0"
		}
		return s
	case Text:
		return "'" + escape(strings.ReplaceAll(string(v.Bytes), "'", "''"), width) + "'"
	case Blob:
		if width >= 0 && len(v.Bytes) > width/2 {
			return fmt.Sprintf("x'%x...' (%d bytes)", v.Bytes[:width/2], len(v.Bytes))
		}
		return "x'" + hex.EncodeToString(v.Bytes) + "'"
	}
	return "NULL"
}

// escape replaces what a terminal could take for a command, and cuts to a
// width unless that is negative.
func escape(s string, width int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n == width {
			return b.String() + "..."
		}
		n++
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func plainName(s string) string { return escape(s, -1) }
