package config

import (
	"bytes"
	"errors"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// kind is what a node of the parsed file is.
type kind int

const (
	kindTable kind = iota
	kindArray
	kindString
	kindInteger
	kindFloat
	kindBool
	kindTime
)

func (k kind) String() string {
	return [...]string{"a table", "a list", "text", "a whole number", "a number", "true or false", "a time"}[k]
}

// A node is a value of the file with the place where it was written. The
// decoder of go-toml keeps no places, its syntax tree does.
type node struct {
	kind  kind
	at    int // byte offset of the value, or of the key where the value has none
	key   int // byte offset of the key
	text  string
	items []*node
	keys  []string // of table, in the order of the file
	table map[string]*node
}

func newTable(at int) *node {
	return &node{kind: kindTable, at: at, key: at, table: map[string]*node{}}
}

func (n *node) set(key string, value *node) {
	if _, ok := n.table[key]; !ok {
		n.keys = append(n.keys, key)
	}
	n.table[key] = value
}

// parse reads TOML. A syntax error is noted in p, and the tree is nil.
func parse(text []byte, p *problems) *node {
	// go-toml's own decoder finds every violation of TOML's rules, so that the
	// walk below meets a well-formed file only.
	var plain map[string]any
	if err := toml.Unmarshal(text, &plain); err != nil {
		offset := 0
		message := err.Error()
		if bad, ok := errors.AsType[*toml.DecodeError](err); ok {
			line, column := bad.Position()
			offset = offsetOf(text, line, column)
			message = bad.Error()
		}
		p.add(offset, "", "not TOML: %s", bytes.TrimPrefix([]byte(message), []byte("toml: ")))
		return nil
	}
	root := newTable(0)
	current := root
	var parser unstable.Parser
	parser.Reset(text)
	for parser.NextExpression() {
		switch e := parser.Expression(); e.Kind {
		case unstable.Table:
			current = descend(root, e.Key(), false)
		case unstable.ArrayTable:
			current = descend(root, e.Key(), true)
		case unstable.KeyValue:
			assign(current, e)
		}
	}
	return root
}

// descend returns the table that a header names, made where it is not yet
// there.
func descend(n *node, key unstable.Iterator, array bool) *node {
	for key.Next() {
		k := key.Node()
		name, at := string(k.Data), int(k.Raw.Offset)
		next := n.table[name]
		switch {
		case array && key.IsLast():
			if next == nil {
				next = &node{kind: kindArray, at: at, key: at}
				n.set(name, next)
			}
			item := newTable(at)
			next.items = append(next.items, item)
			return item
		case next == nil:
			next = newTable(at)
			n.set(name, next)
		case next.kind == kindArray:
			next = next.items[len(next.items)-1]
		}
		n = next
	}
	return n
}

// assign puts a key and its value into a table.
func assign(n *node, e *unstable.Node) {
	key := e.Key()
	for key.Next() {
		k := key.Node()
		name, at := string(k.Data), int(k.Raw.Offset)
		if key.IsLast() {
			n.set(name, value(e.Value(), at))
			return
		}
		next := n.table[name]
		if next == nil {
			next = newTable(at)
			n.set(name, next)
		}
		n = next
	}
}

func value(v *unstable.Node, key int) *node {
	n := &node{at: int(v.Raw.Offset), key: key, text: string(v.Data)}
	switch v.Kind {
	case unstable.InlineTable:
		n.kind, n.table = kindTable, map[string]*node{}
		for children := v.Children(); children.Next(); {
			assign(n, children.Node())
		}
	case unstable.Array:
		n.kind, n.at = kindArray, key // an array's place is not kept
		for children := v.Children(); children.Next(); {
			n.items = append(n.items, value(children.Node(), key))
		}
	case unstable.String:
		n.kind = kindString
	case unstable.Integer:
		n.kind = kindInteger
	case unstable.Float:
		n.kind = kindFloat
	case unstable.Bool:
		n.kind = kindBool
	default:
		n.kind = kindTime
	}
	if v.Raw.Length == 0 {
		n.at = key
	}
	return n
}

// position returns the line and the column, in characters, of an offset.
func position(text []byte, offset int) (line, column int) {
	before := text[:min(offset, len(text))]
	start := bytes.LastIndexByte(before, '\n') + 1
	return bytes.Count(before, []byte{'\n'}) + 1, utf8.RuneCount(before[start:]) + 1
}

// offsetOf is the inverse of position, for columns in bytes.
func offsetOf(text []byte, line, column int) int {
	offset := 0
	for ; line > 1; line-- {
		i := bytes.IndexByte(text[offset:], '\n')
		if i < 0 {
			break
		}
		offset += i + 1
	}
	return min(offset+max(column-1, 0), len(text))
}
