package config

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/hako-run/hako/internal/nearest"
)

// A decoder turns the tree into typed values and remembers where each of them
// was written.
type decoder struct {
	*problems
	dir    string
	lookup func(string) (string, bool)
	// places has, for a pointer to a decoded field, where its value is in the
	// file. What a pointer points to does not move: slices are made whole.
	places map[any]int
}

// at returns the place of the first of the fields that was written.
func (d *decoder) at(fields ...any) int {
	for _, f := range fields {
		if offset, ok := d.places[f]; ok {
			return offset
		}
	}
	return 0
}

// resolver is a value that depends on the folder of the file.
type resolver interface{ resolve(dir string) }

// Key is a field's key in the file, and whether a string in place of the
// field's table sets it.
func Key(f reflect.StructField) (key string, short bool) {
	key, option, _ := strings.Cut(f.Tag.Get("toml"), ",")
	return key, option == "short"
}

// decode sets v from n; what names the value in messages.
func (d *decoder) decode(n *node, v reflect.Value, what string) {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		d.decode(n, v.Elem(), what)
		d.places[v.Addr().Interface()] = n.at
		return
	}
	d.places[v.Addr().Interface()] = n.at
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		_, numeric := u.(*Size)
		if n.kind != kindString && !(numeric && n.kind == kindInteger) {
			d.mismatch(n, what, "text")
			return
		}
		if err := u.UnmarshalText([]byte(d.expand(n))); err != nil {
			d.add(n.at, "", "%s: %v", what, err)
			return
		}
		if r, ok := u.(resolver); ok {
			r.resolve(d.dir)
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.decodeStruct(n, v, what)
	case reflect.Slice:
		d.decodeSlice(n, v, what)
	case reflect.Map:
		d.decodeMap(n, v, what)
	case reflect.String:
		if n.kind != kindString {
			d.mismatch(n, what, "text")
			return
		}
		v.SetString(d.expand(n))
		if r, ok := v.Addr().Interface().(resolver); ok {
			r.resolve(d.dir)
		}
	case reflect.Bool:
		if n.kind != kindBool {
			d.mismatch(n, what, "true or false")
			return
		}
		v.SetBool(n.text == "true")
	case reflect.Int:
		i, err := strconv.ParseInt(strings.ReplaceAll(n.text, "_", ""), 0, 32)
		if n.kind != kindInteger || err != nil {
			d.mismatch(n, what, "a whole number")
			return
		}
		if i < 0 {
			d.add(n.at, "", "%s is negative", what)
			return
		}
		v.SetInt(i)
	case reflect.Float64:
		f, err := strconv.ParseFloat(strings.ReplaceAll(n.text, "_", ""), 64)
		if (n.kind != kindFloat && n.kind != kindInteger) || err != nil {
			d.mismatch(n, what, "a number")
			return
		}
		v.SetFloat(f)
	default:
		panic(fmt.Sprintf("config: %s has the type %s, which cannot be read", what, v.Type()))
	}
}

func (d *decoder) mismatch(n *node, what, want string) {
	d.add(n.at, "write "+want, "%s is %s", what, n.kind)
}

func (d *decoder) decodeStruct(n *node, v reflect.Value, what string) {
	setDefaults(v)
	t := v.Type()
	if n.kind != kindTable {
		for i := range t.NumField() {
			if _, short := Key(t.Field(i)); short {
				if n.kind == kindString || t.Field(i).Type.Kind() == reflect.Slice {
					d.decode(n, v.Field(i), what)
					return
				}
				d.mismatch(n, what, "text or a table")
				return
			}
		}
		hint := "write a table"
		if n.kind == kindArray && len(n.items) > 0 && n.items[0].kind == kindTable {
			hint = "it is there once only: write [" + what + "]"
		}
		d.add(n.at, hint, "%s is %s", what, n.kind)
		return
	}
	fields := map[string]int{}
	for i := range t.NumField() {
		if key, _ := Key(t.Field(i)); key != "" && key != "-" {
			fields[key] = i
		}
	}
	for _, key := range n.keys {
		child := n.table[key]
		i, ok := fields[key]
		if !ok {
			hint := ""
			if near := nearest.Of(key, maps.Keys(fields)); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			} else {
				hint = "it has " + strings.Join(slices.Sorted(maps.Keys(fields)), ", ")
			}
			where := "in " + what
			if what == "" {
				where = "at the top"
			}
			d.add(child.key, hint, "unknown key %q %s", key, where)
			continue
		}
		f := t.Field(i)
		name := key
		if what != "" {
			name = what + "." + key
		}
		before := len(d.list)
		d.decode(child, v.Field(i), name)
		if len(d.list) == before {
			d.checkEnum(child, v.Field(i), f, name)
		}
	}
	for i := range t.NumField() {
		key, _ := Key(t.Field(i))
		if t.Field(i).Tag.Get("required") == "true" && n.table[key] == nil {
			d.add(n.at, "", "%s has no %s", what, key)
		}
	}
}

func (d *decoder) checkEnum(n *node, v reflect.Value, f reflect.StructField, name string) {
	enum := f.Tag.Get("enum")
	if enum == "" {
		return
	}
	allowed := strings.Fields(enum)
	check := func(n *node, s string) {
		if slices.Contains(allowed, s) {
			return
		}
		hint := "write one of " + strings.Join(allowed, ", ")
		if near := nearest.Of(s, slices.Values(allowed)); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		d.add(n.at, hint, "%s cannot be %q", name, s)
	}
	if v.Kind() == reflect.Slice {
		for i := range v.Len() {
			item := n
			if n.kind == kindArray {
				item = n.items[i]
			}
			check(item, v.Index(i).String())
		}
		return
	}
	check(n, v.String())
}

func (d *decoder) decodeSlice(n *node, v reflect.Value, what string) {
	items := []*node{n}
	switch {
	case n.kind == kindArray:
		items = n.items
	case n.kind == kindTable && isTable(v.Type().Elem()):
		d.add(n.at, fmt.Sprintf("there may be several: write [[%s]], or a list of tables", what), "%s is a table", what)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		d.decode(item, v.Index(i), what)
	}
}

// isTable reports whether values of a type are written as tables only.
func isTable(t reflect.Type) bool {
	if t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return false
	}
	for i := range t.NumField() {
		if _, short := Key(t.Field(i)); short {
			return false
		}
	}
	return true
}

func (d *decoder) decodeMap(n *node, v reflect.Value, what string) {
	if n.kind != kindTable {
		d.mismatch(n, what, "a table")
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.keys)))
	for _, key := range n.keys {
		value := reflect.New(v.Type().Elem()).Elem()
		d.decode(n.table[key], value, what+"."+key)
		v.SetMapIndex(reflect.ValueOf(key), value)
	}
}

// setDefaults sets what the default tags say, in tables within v too.
func setDefaults(v reflect.Value) {
	t := v.Type()
	for i := range t.NumField() {
		f := v.Field(i)
		text, ok := t.Field(i).Tag.Lookup("default")
		if !ok {
			if f.Kind() == reflect.Struct && f.CanSet() {
				if _, plain := f.Addr().Interface().(encoding.TextUnmarshaler); !plain {
					setDefaults(f)
				}
			}
			continue
		}
		if err := setText(f, text); err != nil {
			panic(fmt.Sprintf("config: default of %s.%s: %v", t, t.Field(i).Name, err))
		}
	}
}

func setText(v reflect.Value, text string) error {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.Slice:
		words := strings.Fields(text)
		v.Set(reflect.MakeSlice(v.Type(), len(words), len(words)))
		for i, word := range words {
			if err := setText(v.Index(i), word); err != nil {
				return err
			}
		}
		return nil
	case reflect.String:
		v.SetString(text)
		return nil
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		v.SetBool(b)
		return err
	case reflect.Int:
		i, err := strconv.ParseInt(text, 10, 32)
		v.SetInt(i)
		return err
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		v.SetFloat(f)
		return err
	}
	return errors.New("its type has no written form")
}

// expand puts environment variables into a string of the file.
func (d *decoder) expand(n *node) string {
	s := n.text
	if !strings.Contains(s, "${") {
		return s
	}
	var b strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		if i > 0 && s[i-1] == '$' {
			b.WriteString(s[:i-1] + "${")
			s = s[i+2:]
			continue
		}
		b.WriteString(s[:i])
		s = s[i+2:]
		end := strings.IndexByte(s, '}')
		if end < 0 {
			d.add(n.at, "write $${ for ${ itself", "a variable that begins with ${ has no closing brace")
			return b.String()
		}
		name, fallback, given := strings.Cut(s[:end], ":-")
		s = s[end+1:]
		if !isVariable(name) {
			d.add(n.at, "write $${ for ${ itself", "%q is no name of an environment variable", name)
			continue
		}
		value, ok := d.lookup(name)
		switch {
		case given && value == "":
			value = fallback
		case !ok:
			d.add(n.at, fmt.Sprintf("set it, or write ${%s:-default}", name), "the environment has no variable %s", name)
		}
		b.WriteString(value)
	}
}

func isVariable(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
