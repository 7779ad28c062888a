package diff

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"
)

// WriteJSON writes the differences as one JSON object a line: first schema
// changes, then rows, then each table's numbers.
//
//	{"schema":"changed","type":"table","name":"t","before":"CREATE ...","after":"CREATE ..."}
//	{"table":"t","change":"changed","rowid":7,"old":{"a":1},"new":{"a":2}}
//	{"table":"t","added":0,"removed":0,"changed":1}
//
// Integers and finite reals are numbers (reals always with a point or an
// exponent), text is a string, NULL is null. {"blob":"00ff"} is a blob in
// hexadecimal, {"text":"ff"} text that is not UTF-8, {"real":"+Inf"} and
// {"real":"-Inf"} the infinities. Rows of WITHOUT ROWID tables have no rowid.
func (d *Diff) WriteJSON(ctx context.Context, w io.Writer) error {
	sums, err := d.Summary(ctx)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	for _, c := range d.changes {
		o := object{}
		o.text("schema", c.Kind.String())
		o.text("type", c.Type)
		o.text("name", c.Name)
		if c.Before != nil {
			o.text("before", c.Before.SQL)
		}
		if c.After != nil {
			o.text("after", c.After.SQL)
		}
		if err := o.line(out); err != nil {
			return err
		}
	}
	for c, err := range d.Rows(ctx) {
		if err != nil {
			return err
		}
		o := object{}
		o.text("table", c.Table)
		o.text("change", c.Kind.String())
		if t := c.table(); !t.WithoutRowid {
			o.number("rowid", c.Rowid)
		}
		if c.Old != nil {
			o.raw("old", c.Before.json(c.Old))
		}
		if c.New != nil {
			o.raw("new", c.After.json(c.New))
		}
		if err := o.line(out); err != nil {
			return err
		}
	}
	for _, s := range sums {
		o := object{}
		o.text("table", s.Table)
		o.number("added", s.Added)
		o.number("removed", s.Removed)
		o.number("changed", s.Changed)
		if err := o.line(out); err != nil {
			return err
		}
	}
	return out.Flush()
}

// table is the side of the change that the row is on, the later one if both.
func (c *Change) table() *Table {
	if c.After == nil || c.Kind == Removed {
		return c.Before
	}
	return c.After
}

func (t *Table) json(row []Value) []byte {
	o := object{}
	for i, c := range t.Columns {
		o.raw(c.Name, row[i].json())
	}
	return o.end()
}

func (v Value) json() []byte {
	switch v.Kind {
	case Integer:
		return strconv.AppendInt(nil, v.Int, 10)
	case Real:
		if math.IsInf(v.Real, 0) {
			return fmt.Appendf(nil, `{"real":"%+v"}`, v.Real)
		}
		return []byte(Value{Kind: Real, Real: v.Real}.show(-1))
	case Text:
		if !utf8.Valid(v.Bytes) {
			return []byte(`{"text":"` + hex.EncodeToString(v.Bytes) + `"}`)
		}
		return quoteJSON(string(v.Bytes))
	case Blob:
		return []byte(`{"blob":"` + hex.EncodeToString(v.Bytes) + `"}`)
	}
	return []byte("null")
}

func quoteJSON(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always can be
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// object is a JSON object under construction, with its fields in order.
type object struct{ b []byte }

func (o *object) raw(name string, value []byte) {
	sep := byte(',')
	if len(o.b) == 0 {
		sep = '{'
	}
	o.b = append(append(append(append(o.b, sep), quoteJSON(name)...), ':'), value...)
}

func (o *object) text(name, value string) { o.raw(name, quoteJSON(value)) }

func (o *object) number(name string, value int64) { o.raw(name, strconv.AppendInt(nil, value, 10)) }

func (o *object) end() []byte {
	if len(o.b) == 0 {
		return []byte("{}")
	}
	return append(o.b, '}')
}

func (o *object) line(out *bufio.Writer) error {
	_, err := out.Write(append(o.end(), '\n'))
	return err
}
