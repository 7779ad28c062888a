package image

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/hako-run/hako/internal/nearest"
	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// A hakofile is what a Hakofile.toml says.
type hakofile struct {
	Module      string            `toml:"module"`
	Entrypoint  []string          `toml:"entrypoint"`
	Args        []string          `toml:"args"`
	Files       []hakofileFile    `toml:"files"`
	Env         map[string]string `toml:"env"`
	Workdir     string            `toml:"workdir"`
	Expose      []string          `toml:"expose"`
	Labels      map[string]string `toml:"labels"`
	Annotations map[string]string `toml:"annotations"`
}

type hakofileFile struct {
	From string `toml:"from"`
	To   string `toml:"to"`
}

// parseHakofile reads a Hakofile.toml, and the lines of its keys. Errors are
// [FileError]s without a file.
func parseHakofile(text string) (*hakofile, map[string]int, error) {
	if len(text) > maxBuildFile {
		return nil, nil, &FileError{Err: errorOf(ErrTooLarge, "it has %d bytes; %d are allowed", len(text), maxBuildFile)}
	}
	var h hakofile
	err := toml.NewDecoder(strings.NewReader(text)).DisallowUnknownFields().Decode(&h)
	var strict *toml.StrictMissingError
	var decode *toml.DecodeError
	switch {
	case errors.As(err, &strict) && len(strict.Errors) > 0:
		first := strict.Errors[0]
		line, _ := first.Position()
		return nil, nil, &FileError{Line: line, Err: unknownKey(first.Key())}
	case errors.As(err, &decode):
		line, _ := decode.Position()
		return nil, nil, &FileError{Line: line, Err: errors.New(strings.TrimPrefix(decode.Error(), "toml: "))}
	case err != nil:
		return nil, nil, &FileError{Err: err}
	}
	return &h, keyLines(text), nil
}

// unknownKey asks which key was meant.
func unknownKey(key toml.Key) error {
	known := reflect.TypeFor[hakofile]()
	if len(key) > 1 {
		known = reflect.TypeFor[hakofileFile]()
	}
	var names []string
	for field := range known.Fields() {
		names = append(names, field.Tag.Get("toml"))
	}
	if near := nearest.Of(key[len(key)-1], slices.Values(names)); near != "" {
		return fmt.Errorf("unknown key %s: did you mean %s?", strings.Join(key, "."), near)
	}
	return fmt.Errorf("unknown key %s: there are %s", strings.Join(key, "."), strings.Join(names, ", "))
}

// keyLines returns the lines of the top-level keys, and of the elements of
// arrays of tables as key.0, key.1 ...
func keyLines(text string) map[string]int {
	lines := map[string]int{}
	var p unstable.Parser
	p.Reset([]byte(text))
	lineOf := func(n *unstable.Node) int { return p.Shape(p.Range(n.Data)).Start.Line }
	note := func(key string, n *unstable.Node) {
		if _, ok := lines[key]; !ok {
			lines[key] = lineOf(n)
		}
	}
	count := map[string]int{}
	inTable := false
	for p.NextExpression() {
		e := p.Expression()
		if e.Kind == unstable.KeyValue && inTable {
			continue
		}
		keys := e.Key()
		if !keys.Next() {
			continue
		}
		key := string(keys.Node().Data)
		note(key, keys.Node())
		switch e.Kind {
		case unstable.ArrayTable:
			note(fmt.Sprintf("%s.%d", key, count[key]), keys.Node())
			count[key]++
			inTable = true
		case unstable.Table:
			inTable = true
		case unstable.KeyValue:
			if e.Value().Kind != unstable.Array {
				continue
			}
			for elements, i := e.Value().Children(), 0; elements.Next(); i++ {
				if fields := elements.Node().Children(); elements.Node().Kind == unstable.InlineTable && fields.Next() {
					if inner := fields.Node().Key(); inner.Next() {
						note(fmt.Sprintf("%s.%d", key, i), inner.Node())
					}
				}
			}
		}
	}
	return lines
}

// buildHakofile runs a Hakofile.toml.
func (b *builder) buildHakofile(ctx context.Context, text string) (*stage, error) {
	if len(b.options.Args) > 0 || b.options.Target != "" {
		return nil, usageError("build arguments and stages are a Dockerfile's: %s has none", hakofileName)
	}
	h, lines, err := parseHakofile(text)
	if err != nil {
		return nil, err
	}
	fail := func(key string, err error) error {
		return &FileError{Line: lines[key], Err: fmt.Errorf("%s: %w", key, err)}
	}
	if h.Module == "" {
		return nil, &FileError{Line: lines["module"], Err: errors.New(`module is missing: write module = "app.wasm", the file to run`)}
	}
	st := &stage{files: newTree(), args: map[string]string{}, notes: h.Annotations}
	if st.config, err = h.config(fail); err != nil {
		return nil, err
	}
	context, err := b.contextTree()
	if err != nil {
		return nil, err
	}
	if err := b.addModule(ctx, st, context, h.Module); err != nil {
		return nil, fail("module", err)
	}
	if len(st.config.Entrypoint) == 0 {
		st.config.Entrypoint = []string{"/" + path.Base(h.Module)}
	}
	if err := b.addFiles(ctx, st, context, h.Files, fail); err != nil {
		return nil, err
	}
	if _, _, err := st.module(); err != nil {
		return nil, fail("entrypoint", err)
	}
	return st, nil
}

// config returns the settings that are no files.
func (h *hakofile) config(fail func(key string, err error) error) (v1.Config, error) {
	c := v1.Config{Entrypoint: h.Entrypoint, Cmd: h.Args, WorkingDir: h.Workdir, Labels: h.Labels}
	if h.Workdir != "" && !path.IsAbs(h.Workdir) {
		return c, fail("workdir", fmt.Errorf("%q is not absolute: write %q", h.Workdir, "/"+h.Workdir))
	}
	if h.Workdir != "" {
		c.WorkingDir = path.Clean(h.Workdir)
	}
	for _, name := range slices.Sorted(maps.Keys(h.Env)) {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(h.Env[name], 0) {
			return c, fail("env", fmt.Errorf("%q cannot be a variable", name))
		}
		c.Env = append(c.Env, name+"="+h.Env[name])
	}
	for _, text := range h.Expose {
		port, err := parsePort(text)
		if err != nil {
			return c, fail("expose", err)
		}
		if c.ExposedPorts == nil {
			c.ExposedPorts = map[string]struct{}{}
		}
		c.ExposedPorts[port] = struct{}{}
	}
	return c, nil
}

// addModule makes the layer of the module.
func (b *builder) addModule(ctx context.Context, st *stage, context *tree, name string) error {
	j := &copyJob{from: context, where: "the build context", toDir: true}
	if err := j.findName(name); err != nil {
		return err
	}
	if err := checkMagic(name, j.items[0].node); err != nil {
		return err
	}
	return b.addChange(ctx, st, "module = "+name, func(c *change) error { return j.apply(c, "/", 0) })
}

// findName is find for one name, which is no pattern.
func (j *copyJob) findName(name string) error {
	if err := j.find(strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(name)); err != nil {
		return err
	}
	if len(j.items) == 1 && j.items[0].node.mode.IsRegular() {
		return nil
	}
	return fmt.Errorf("%s is not a file", name)
}

// addFiles makes the layer of the other files and of the working folder.
func (b *builder) addFiles(ctx context.Context, st *stage, context *tree, files []hakofileFile, fail func(string, error) error) error {
	return b.addChange(ctx, st, "files", func(c *change) error {
		for i, f := range files {
			key := fmt.Sprintf("files.%d", i)
			switch {
			case f.From == "" || f.To == "":
				return fail(key, errors.New(`write { from = "SOURCE", to = "/DESTINATION" }`))
			case !path.IsAbs(f.To):
				return fail(key, fmt.Errorf("the destination %q is not absolute: write %q", f.To, "/"+f.To))
			}
			j := &copyJob{from: context, where: "the build context", toDir: strings.HasSuffix(f.To, "/")}
			if err := j.find(f.From); err != nil {
				return fail(key, err)
			}
			if err := j.apply(c, f.To, 0); err != nil {
				return fail(key, err)
			}
		}
		if st.config.WorkingDir != "" {
			at, err := st.files.resolve(st.config.WorkingDir)
			if err != nil {
				return fail("workdir", err)
			}
			return c.put(at, dirNode)
		}
		return nil
	})
}

// addChange keeps what f does as a layer.
func (b *builder) addChange(ctx context.Context, st *stage, what string, f func(c *change) error) error {
	c := &change{to: st.files, set: map[string]*node{}}
	if err := f(c); err != nil || len(c.set) == 0 {
		return err
	}
	l, err := b.store.writeLayer(ctx, c.set, b.epoch)
	if err != nil {
		return err
	}
	st.layers = append(st.layers, l)
	st.history = append(st.history, v1.History{Created: v1.Time{Time: b.epoch}, CreatedBy: what})
	return nil
}
