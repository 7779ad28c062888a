package main

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/hako-run/hako/config"
)

var textType = reflect.TypeFor[encoding.TextUnmarshaler]()

// kindOf sorts types by how they are written: text, table, list, map, bool,
// integer, number.
func kindOf(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		return kindOf(t.Elem())
	}
	if reflect.PointerTo(t).Implements(textType) {
		return "text"
	}
	switch t.Kind() {
	case reflect.Struct:
		return "table"
	case reflect.Slice:
		return "list"
	case reflect.Map:
		return "map"
	case reflect.Bool:
		return "bool"
	case reflect.Int:
		return "integer"
	case reflect.Float64:
		return "number"
	}
	return "text"
}

func elem(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

type object = map[string]any

// renderSchema writes a JSON schema, draft 2020-12, of the file.
func renderSchema(c comments) ([]byte, error) {
	defs := object{}
	root, err := table(c, reflect.TypeFor[config.Config](), defs)
	if err != nil {
		return nil, err
	}
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "hako.toml"
	root["description"] = "The configuration of a Hako server."
	root["$defs"] = defs
	b, err := json.MarshalIndent(root, "", "  ")
	return append(b, '\n'), err
}

func table(c comments, t reflect.Type, defs object) (object, error) {
	properties, required := object{}, []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		key, _ := config.Key(f)
		if key == "" || key == "-" {
			continue
		}
		p, err := property(c, f.Type, f.Tag, defs)
		if err != nil {
			return nil, err
		}
		description, err := c.of(t, f, key)
		if err != nil {
			return nil, err
		}
		p["description"] = strings.ReplaceAll(description, "`", "")
		if d, ok := f.Tag.Lookup("default"); ok {
			p["default"] = defaultOf(f.Type, d)
		}
		properties[key] = p
		if f.Tag.Get("required") == "true" {
			required = append(required, key)
		}
	}
	s := object{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	return s, nil
}

func defaultOf(t reflect.Type, text string) any {
	switch kindOf(t) {
	case "bool":
		return text == "true"
	case "integer", "number":
		n, err := strconv.ParseFloat(text, 64)
		if err == nil {
			return n
		}
	case "list":
		return strings.Fields(text)
	}
	return text
}

// property describes the values of a type.
func property(c comments, t reflect.Type, tag reflect.StructTag, defs object) (object, error) {
	t = elem(t)
	switch kindOf(t) {
	case "bool":
		return object{"type": "boolean"}, nil
	case "integer":
		return object{"type": "integer", "minimum": 0}, nil
	case "number":
		return object{"type": "number"}, nil
	case "list":
		item, err := property(c, t.Elem(), tag, defs)
		if err != nil {
			return nil, err
		}
		list := object{"type": "array", "items": item}
		if kindOf(t.Elem()) == "text" {
			return object{"anyOf": []any{list, item}}, nil
		}
		return list, nil
	case "map":
		value, err := property(c, t.Elem(), tag, defs)
		return object{"type": "object", "additionalProperties": value}, err
	case "table":
		return reference(c, t, defs)
	}
	if e := tag.Get("enum"); e != "" {
		return object{"enum": strings.Fields(e)}, nil
	}
	if t == reflect.TypeFor[config.Size]() {
		return object{"type": []string{"string", "integer"}}, nil
	}
	return object{"type": "string"}, nil
}

// reference defines a table once and returns a reference to it.
func reference(c comments, t reflect.Type, defs object) (object, error) {
	name := t.Name()
	if _, ok := defs[name]; !ok {
		defs[name] = nil // so that a table within itself ends
		s, err := table(c, t, defs)
		if err != nil {
			return nil, err
		}
		if c[name] == "" {
			return nil, fmt.Errorf("config: %s has no comment", name)
		}
		forms := []any{s}
		for i := range t.NumField() {
			if _, short := config.Key(t.Field(i)); short {
				p, err := property(c, t.Field(i).Type, t.Field(i).Tag, defs)
				if err != nil {
					return nil, err
				}
				forms = append(forms, p)
			}
		}
		if len(forms) > 1 {
			s = object{"anyOf": forms}
		}
		defs[name] = s
	}
	return object{"$ref": "#/$defs/" + name}, nil
}
