package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/hako-run/hako/internal/nearest"
)

const supported = "FROM, COPY, ADD, ENTRYPOINT, CMD, ENV, WORKDIR, EXPOSE, ARG and LABEL are supported"

// refused are the instructions of Docker that have no place here, and why.
var refused = map[string]string{
	"RUN":         "there is no Linux in a Wasm image to run commands in: compile before, and COPY the result",
	"USER":        "a Wasm guest has no user",
	"VOLUME":      "what a guest may write to is granted when it is run",
	"SHELL":       "a Wasm image has no shell",
	"HEALTHCHECK": "there is no shell to check with",
	"STOPSIGNAL":  "a Wasm guest gets no signals",
	"ONBUILD":     "it would change builds that use the image",
	"MAINTAINER":  "write LABEL org.opencontainers.image.authors=...",
}

// A stage is one FROM and what follows it.
type stage struct {
	name    string // of FROM ... AS name, in lower case
	files   *tree
	layers  []layer
	config  v1.Config
	history []v1.History
	args    map[string]string // that ARG declared
	cmdSet  bool              // by this stage
	notes   map[string]string // annotations
}

// dockerBuild is one run through a Dockerfile.
type dockerBuild struct {
	*builder
	file    *dockerfile
	args    map[string]string // of ARGs before FROM
	used    map[string]bool   // build arguments that an ARG declares
	stages  []*stage
	current *stage
}

// buildDockerfile runs a Dockerfile and returns its last stage, or the one of
// that name.
func (b *builder) buildDockerfile(ctx context.Context, text, target string) (*stage, error) {
	file, err := parseDockerfile(text)
	if err != nil {
		return nil, err
	}
	d := &dockerBuild{builder: b, file: file, args: map[string]string{}, used: map[string]bool{}}
	for _, in := range file.instructions {
		if in.name == "FROM" && target != "" && d.current != nil && strings.EqualFold(d.current.name, target) {
			break
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b.step(in)
		if err := d.run(ctx, in); err != nil {
			return nil, &FileError{Line: in.line, Err: err}
		}
	}
	if d.current == nil {
		return nil, &FileError{Err: errors.New("it has no FROM: begin with FROM scratch")}
	}
	if target != "" && !strings.EqualFold(d.current.name, target) {
		return nil, usageError("there is no stage %q: the stages are %s", target, d.stageNames())
	}
	for _, name := range slices.Sorted(maps.Keys(b.options.Args)) {
		if !d.used[name] {
			b.warn("no ARG declares the build argument %s", name)
		}
	}
	return d.current, nil
}

func (d *dockerBuild) stageNames() string {
	var names []string
	for i, s := range d.stages {
		if s.name == "" {
			names = append(names, strconv.Itoa(i))
		} else {
			names = append(names, s.name)
		}
	}
	return strings.Join(names, ", ")
}

func (d *dockerBuild) run(ctx context.Context, in instruction) error {
	if why, ok := refused[in.name]; ok {
		return fmt.Errorf("%s: %s; %s", in.name, why, supported)
	}
	do, ok := map[string]func(context.Context, instruction) error{
		"FROM": d.from, "ARG": d.arg, "COPY": d.copy, "ADD": d.copy, "ENTRYPOINT": d.entrypoint, "CMD": d.cmd,
		"ENV": d.env, "WORKDIR": d.workdir, "EXPOSE": d.expose, "LABEL": d.label,
	}[in.name]
	if !ok {
		if near := nearest.Of(in.name, slices.Values([]string{"FROM", "COPY", "ADD", "ENTRYPOINT", "CMD", "ENV", "WORKDIR", "EXPOSE", "ARG", "LABEL"})); near != "" {
			return fmt.Errorf("unknown instruction %s: did you mean %s?", in.name, near)
		}
		return fmt.Errorf("unknown instruction %s: %s", in.name, supported)
	}
	if d.current == nil && in.name != "FROM" && in.name != "ARG" {
		return fmt.Errorf("%s comes before the first FROM: begin with FROM scratch", in.name)
	}
	if in.name != "FROM" && in.name != "COPY" && in.name != "ADD" && len(in.flags) > 0 {
		return fmt.Errorf("%s has no flag --%s", in.name, in.flags[0].name)
	}
	if in.rest == "" {
		return fmt.Errorf("%s needs an argument", in.name)
	}
	if err := do(ctx, in); err != nil {
		return fmt.Errorf("%s: %w", in.name, err)
	}
	return nil
}

// expand returns what expands words at this place.
func (d *dockerBuild) expand() *expander {
	return &expander{escape: d.file.escape, vars: func(name string) (string, bool) {
		if d.current == nil {
			v, ok := d.args[name]
			return v, ok
		}
		for _, kv := range d.current.config.Env {
			if k, v, _ := strings.Cut(kv, "="); k == name {
				return v, true
			}
		}
		v, ok := d.current.args[name]
		return v, ok
	}}
}

// automatic are the arguments that builders set by themselves.
func (b *builder) automatic() map[string]string {
	system, arch, _ := strings.Cut(b.platform, "/")
	return map[string]string{"TARGETPLATFORM": b.platform, "TARGETOS": system, "TARGETARCH": arch, "TARGETVARIANT": ""}
}

func (d *dockerBuild) arg(_ context.Context, in instruction) error {
	words, err := d.expand().splitWords(in.rest)
	if err != nil {
		return err
	}
	for _, word := range words {
		name, value, hasDefault := strings.Cut(word, "=")
		if name == "" || strings.TrimFunc(name, func(r rune) bool { return r < 128 && isNameByte(byte(r), false) }) != "" {
			return fmt.Errorf("%q is no name of an argument", name)
		}
		if value, err = d.expand().word(value); err != nil {
			return err
		}
		set := d.args
		if d.current != nil {
			set = d.current.args
			if global, ok := d.args[name]; ok && !hasDefault {
				value, hasDefault = global, true
			}
		}
		d.used[name] = true
		if given, ok := d.options.Args[name]; ok {
			value, hasDefault = given, true
		} else if auto, ok := d.automatic()[name]; ok {
			value, hasDefault = auto, true
		}
		if hasDefault {
			set[name] = value
		}
	}
	return nil
}

func (d *dockerBuild) from(ctx context.Context, in instruction) error {
	d.current = nil // arguments are those before the first FROM
	x := d.expand()
	known := x.vars
	x.vars = func(name string) (string, bool) {
		if v, ok := known(name); ok {
			return v, true
		}
		v, ok := d.automatic()[name]
		return v, ok
	}
	for _, f := range in.flags {
		value, err := x.word(f.value)
		if err != nil {
			return err
		}
		if f.name != "platform" {
			return fmt.Errorf("there is no flag --%s: there is --platform", f.name)
		}
		if _, err := parsePlatform(value); err != nil {
			return err
		}
	}
	words, err := x.splitWords(in.rest)
	if err != nil {
		return err
	}
	s := &stage{files: newTree(), args: map[string]string{}}
	switch {
	case len(words) == 3 && strings.EqualFold(words[1], "AS"):
		s.name = strings.ToLower(words[2])
		if d.stage(s.name) != nil {
			return fmt.Errorf("there are two stages %s", words[2])
		}
	case len(words) != 1:
		return errors.New("write FROM IMAGE or FROM IMAGE AS NAME")
	}
	base, err := x.word(words[0])
	switch {
	case err != nil:
		return err
	case base == "":
		return fmt.Errorf("%s is empty: give an ARG with a default before it", words[0])
	case base == "scratch":
	case d.stage(base) != nil:
		s.inherit(d.stage(base))
	default:
		if err := d.fromImage(ctx, s, base); err != nil {
			return err
		}
	}
	d.stages, d.current = append(d.stages, s), s
	return nil
}

// stage returns the stage of that name or number, nil if there is none.
func (d *dockerBuild) stage(name string) *stage {
	for i, s := range d.stages {
		if s.name == strings.ToLower(name) && s.name != "" || strconv.Itoa(i) == name {
			return s
		}
	}
	return nil
}

// inherit begins a stage where another ends.
func (s *stage) inherit(from *stage) {
	s.files.nodes = maps.Clone(from.files.nodes)
	s.layers = slices.Clone(from.layers)
	s.history = slices.Clone(from.history)
	s.config = *from.config.DeepCopy()
}

// fromImage begins a stage with an image of the store.
func (b *builder) fromImage(ctx context.Context, s *stage, ref string) error {
	img, err := b.open(ctx, ref)
	if err != nil {
		return err
	}
	if img.Artifact {
		return errorOf(ErrNotWasm, "%s is a Wasm artifact without a file system: COPY --from=%s /%s takes its module", ref, ref, artifactModule)
	}
	files, err := b.imageFiles(ctx, img)
	if err != nil {
		return err
	}
	s.files.nodes = maps.Clone(files.nodes)
	for i, d := range img.manifest.Layers {
		s.layers = append(s.layers, layer{d, img.file.RootFS.DiffIDs[i]})
	}
	s.history = slices.Clone(img.file.History)
	s.config = *img.file.Config.DeepCopy()
	return nil
}

// did notes an instruction in the image's history.
func (d *dockerBuild) did(in instruction, l *layer) {
	text := in.name
	for _, f := range in.flags {
		text += " --" + f.name + "=" + f.value
	}
	h := v1.History{Created: v1.Time{Time: d.epoch}, CreatedBy: text + " " + in.rest, EmptyLayer: l == nil}
	d.current.history = append(d.current.history, h)
	if l != nil {
		d.current.layers = append(d.current.layers, *l)
	}
}

func (d *dockerBuild) entrypoint(_ context.Context, in instruction) error {
	words, ok := jsonWords(in.rest)
	if !ok {
		return shellForm(in)
	}
	d.current.config.Entrypoint = words
	if !d.current.cmdSet {
		d.current.config.Cmd = nil // the base's, for another entrypoint
	}
	d.did(in, nil)
	return nil
}

func (d *dockerBuild) cmd(_ context.Context, in instruction) error {
	words, ok := jsonWords(in.rest)
	if !ok {
		return shellForm(in)
	}
	d.current.config.Cmd, d.current.cmdSet = words, true
	d.did(in, nil)
	return nil
}

// shellForm refuses a command that is not in JSON.
func shellForm(in instruction) error {
	if strings.HasPrefix(in.rest, "[") {
		return fmt.Errorf(`%s is not JSON: write it as ["/app.wasm", "argument"], with double quotes`, in.rest)
	}
	quoted := make([]string, 0, 4)
	for _, word := range strings.Fields(in.rest) {
		quoted = append(quoted, strconv.Quote(word))
	}
	return fmt.Errorf("the shell form needs a shell, which a Wasm image does not have: write %s [%s]", in.name, strings.Join(quoted, ", "))
}

func (d *dockerBuild) env(_ context.Context, in instruction) error {
	pairs, err := d.expand().pairs(in.rest)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		d.current.config.Env = setEnv(d.current.config.Env, p[0], p[1])
	}
	d.did(in, nil)
	return nil
}

// setEnv sets a variable at its place, or at the end.
func setEnv(env []string, name, value string) []string {
	env = slices.Clone(env)
	for i, kv := range env {
		if strings.HasPrefix(kv, name+"=") {
			env[i] = name + "=" + value
			return env
		}
	}
	return append(env, name+"="+value)
}

func (d *dockerBuild) label(_ context.Context, in instruction) error {
	pairs, err := d.expand().pairs(in.rest)
	if err != nil {
		return err
	}
	if d.current.config.Labels == nil {
		d.current.config.Labels = map[string]string{}
	}
	for _, p := range pairs {
		d.current.config.Labels[p[0]] = p[1]
	}
	d.did(in, nil)
	return nil
}

func (d *dockerBuild) expose(_ context.Context, in instruction) error {
	words, err := d.expand().splitWords(in.rest)
	if err != nil {
		return err
	}
	for _, word := range words {
		if word, err = d.expand().word(word); err != nil {
			return err
		}
		for text := range strings.FieldsSeq(word) {
			port, err := parsePort(text)
			if err != nil {
				return err
			}
			if d.current.config.ExposedPorts == nil {
				d.current.config.ExposedPorts = map[string]struct{}{}
			}
			d.current.config.ExposedPorts[port] = struct{}{}
		}
	}
	d.did(in, nil)
	return nil
}

// parsePort reads 8080 or 8080/udp.
func parsePort(text string) (string, error) {
	number, protocol, found := strings.Cut(text, "/")
	if !found {
		protocol = "tcp"
	}
	n, err := strconv.Atoi(number)
	if protocol = strings.ToLower(protocol); err != nil || n < 1 || n > 65535 || protocol != "tcp" && protocol != "udp" {
		return "", fmt.Errorf("%q is no port: write it as 8080 or 8080/udp", text)
	}
	return fmt.Sprintf("%d/%s", n, protocol), nil
}

func (d *dockerBuild) workdir(ctx context.Context, in instruction) error {
	dir, err := d.expand().word(in.rest)
	if err != nil {
		return err
	}
	if dir == "" {
		return errors.New("the folder is empty")
	}
	if !path.IsAbs(dir) {
		dir = path.Join("/", d.current.config.WorkingDir, dir)
	}
	d.current.config.WorkingDir = path.Clean(dir)
	at, err := d.current.files.resolve(d.current.config.WorkingDir)
	if err != nil {
		return err
	}
	c := &change{to: d.current.files, set: map[string]*node{}}
	if err := c.put(at, dirNode); err != nil {
		return err
	}
	return d.addLayer(ctx, in, c)
}

// addLayer keeps a change as a layer, unless it is empty.
func (d *dockerBuild) addLayer(ctx context.Context, in instruction, c *change) error {
	if len(c.set) == 0 {
		d.did(in, nil)
		return nil
	}
	l, err := d.store.writeLayer(ctx, c.set, d.epoch)
	if err != nil {
		return err
	}
	d.did(in, &l)
	return nil
}

// copyFlags reads the flags of COPY and ADD.
func (d *dockerBuild) copyFlags(in instruction) (from string, mode fs.FileMode, err error) {
	for _, f := range in.flags {
		value, err := d.expand().word(f.value)
		if err != nil {
			return "", 0, err
		}
		switch {
		case f.name == "chown" || f.name == "link": // all files are nobody's; all layers stand alone
		case f.name == "chmod":
			n, err := strconv.ParseUint(value, 8, 32)
			if err != nil || n > 0o7777 {
				return "", 0, fmt.Errorf("--chmod=%s is not supported: write it as --chmod=755", value)
			}
			mode = fileMode(fs.FileMode(n))
		case f.name == "from" && in.name == "COPY":
			from = value
		default:
			return "", 0, fmt.Errorf("the flag --%s is not supported: there are --from (of COPY), --chmod, --chown and --link", f.name)
		}
	}
	return from, mode, nil
}
