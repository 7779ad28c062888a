package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"
)

// comments has the comments of package config: of "Type" and "Type.Field".
type comments map[string]string

func readComments(source string) (comments, error) {
	names, err := filepath.Glob(filepath.Join(source, "*.go"))
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("there is no Go source in %s: %v", source, err)
	}
	c := comments{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		for _, d := range file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.TYPE {
				continue
			}
			for _, s := range g.Specs {
				t := s.(*ast.TypeSpec)
				c[t.Name.Name] = text(g.Doc)
				if fields, ok := t.Type.(*ast.StructType); ok {
					for _, f := range fields.Fields.List {
						for _, n := range f.Names {
							c[t.Name.Name+"."+n.Name] = text(f.Doc)
						}
					}
				}
			}
		}
	}
	return c, nil
}

func text(g *ast.CommentGroup) string {
	return strings.Join(strings.Fields(g.Text()), " ")
}

// of returns a field's comment with its Go name replaced by its key, or an
// error where it has none.
func (c comments) of(t reflect.Type, f reflect.StructField, key string) (string, error) {
	s := c[t.Name()+"."+f.Name]
	if s == "" {
		return "", fmt.Errorf("config: %s.%s has no comment", t.Name(), f.Name)
	}
	rest, ok := strings.CutPrefix(s, f.Name+" ")
	if !ok {
		return "", fmt.Errorf("config: the comment of %s.%s does not begin with its name", t.Name(), f.Name)
	}
	return "`" + key + "` " + rest, nil
}
