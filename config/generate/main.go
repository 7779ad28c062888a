// Generate writes the reference of hako.toml, docs/configuration.md, and the
// JSON schema for editors, docs/hako.schema.json, from the types of package
// config, their comments and their tags.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	docs := flag.String("docs", "docs", "the folder to write to")
	source := flag.String("source", ".", "the folder of package config")
	flag.Parse()
	if err := run(*source, *docs); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(source, docs string) error {
	files, err := render(source)
	if err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(docs, name), text, 0o644); err != nil {
			return fmt.Errorf("write the reference: %w", err)
		}
	}
	return nil
}

// render returns the files by name.
func render(source string) (map[string][]byte, error) {
	c, err := readComments(source)
	if err != nil {
		return nil, err
	}
	schema, err := renderSchema(c)
	if err != nil {
		return nil, err
	}
	reference, err := renderReference(c)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{"hako.schema.json": schema, "configuration.md": reference}, nil
}
