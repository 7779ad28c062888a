package main

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"

	"github.com/hako-run/hako/config"
)

const intro = `# hako.toml

<!-- Made by go generate ./config from the types of package config. -->

The file says what a server serves. It is strict: an unknown key is an error,
and every mistake is reported with its line, its column and a hint, all of them
at once. ` + "`hako.schema.json`" + ` beside this page is a JSON schema for editors: begin
the file with ` + "`#:schema ./hako.schema.json`" + ` for those that know it.

- Relative paths are taken from the folder of the file.
- ` + "`${NAME}`" + ` in a string is an environment variable, ` + "`${NAME:-default}`" + ` one that
  may be unset or empty, and ` + "`$${`" + ` stands for ` + "`${`" + `. Variables are put in
  after the file was read: what they hold is never taken for TOML.
- A duration is written ` + "`500ms`, `2s`, `1m30s`, `36h` or `30d`" + `, a size
  ` + "`64KiB`, `128MiB`, `1g` or `65536`" + `; units of sizes are powers of 1024.
- Where a list of texts is asked for, a single text will do.

` + "```toml" + `
[server]
listen = ["127.0.0.1:8080"]

[[upstream]]
name = "api"
url  = ["http://127.0.0.1:9001", "http://127.0.0.1:9002"]
health = "/healthz"

[[route]]
match    = { path = "/api/*" }
strip    = "/api"
upstream = "api"

[[route]]
static = "public"
` + "```" + `
`

// renderReference writes the reference in Markdown.
func renderReference(c comments) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(intro)
	t := reflect.TypeFor[config.Config]()
	for i := range t.NumField() {
		f := t.Field(i)
		key, _ := config.Key(f)
		if key == "-" {
			continue
		}
		description := c[t.Name()+"."+f.Name]
		of, header := f.Type, "["+key+"]"
		if of.Kind() == reflect.Slice {
			of, header = of.Elem(), "[["+key+"]]"
		}
		if err := section(&b, c, of, header, key, description); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// section writes a table and those within it.
func section(b *bytes.Buffer, c comments, t reflect.Type, header, path, description string) error {
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n", "`"+header+"`", description)
	b.WriteString("| key | value | default | |\n| --- | --- | --- | --- |\n")
	type sub struct {
		t            reflect.Type
		header, path string
		description  string
	}
	var below []sub
	for i := range t.NumField() {
		f := t.Field(i)
		key, _ := config.Key(f)
		description, err := c.of(t, f, key)
		if err != nil {
			return err
		}
		_, description, _ = strings.Cut(description, "` ")
		if e := f.Tag.Get("example"); e != "" {
			description += " Example: `" + e + "`"
		}
		fallback := "`" + f.Tag.Get("default") + "`"
		switch {
		case f.Tag.Get("required") == "true":
			fallback = "required"
		case fallback == "``":
			fallback = ""
			if kindOf(f.Type) == "bool" && f.Type.Kind() != reflect.Pointer {
				fallback = "`false`"
			}
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", key, form(f), fallback, strings.ReplaceAll(description, "|", "\\|"))
		inner := elem(f.Type)
		if kindOf(inner) == "list" {
			inner = inner.Elem()
		}
		if kindOf(inner) == "table" {
			below = append(below, sub{inner, path + "." + key, path + "." + key, c[inner.Name()]})
		}
	}
	for _, s := range below {
		if s.t == reflect.TypeFor[config.FilterRef]() && strings.HasPrefix(path, "stream") {
			continue // told under [[route]]
		}
		if err := section(b, c, s.t, s.header, s.path, sentence(s.description, s.t.Name())); err != nil {
			return err
		}
	}
	return nil
}

// sentence drops the Go name from a type's comment.
func sentence(s, name string) string {
	s = strings.TrimPrefix(s, name+" is ")
	return strings.ToUpper(s[:1]) + s[1:]
}

var named = map[string]string{
	"Duration": "duration", "Size": "size", "Retention": "retention", "Path": "path", "Module": "image or file",
	"Listen": "address", "Address": "host:port", "Target": "URL", "Network": "network", "HostPattern": "host",
	"PathPattern": "path pattern", "PasswordHash": "bcrypt hash",
}

func form(f reflect.StructField) string {
	t := elem(f.Type)
	if e := f.Tag.Get("enum"); e != "" {
		return "`" + strings.Join(strings.Fields(e), "`, `") + "`"
	}
	return formOf(t)
}

func formOf(t reflect.Type) string {
	t = elem(t)
	if n, ok := named[t.Name()]; ok {
		return n
	}
	switch k := kindOf(t); k {
	case "list":
		return "list of " + formOf(t.Elem())
	case "map":
		return "table of " + formOf(t.Elem())
	case "integer":
		return "whole number"
	default:
		return k
	}
}
