package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// ErrBuildFile: there is no build file, or the build options do not fit it.
var ErrBuildFile = errors.New("not to be built")

func usageError(format string, args ...any) error { return errorOf(ErrBuildFile, format, args...) }

// Names of build files, in the order in which they are looked for.
const (
	hakofileName   = "Hakofile.toml"
	dockerfileName = "Dockerfile"
)

// BuildOptions are the settings of a build.
type BuildOptions struct {
	// Dir is the build context: sources are below it.
	Dir string
	// File is the build file; "": Hakofile.toml, else Dockerfile, in Dir. A name
	// that ends with .toml is a Hakofile's.
	File string
	// Name is the image's name; "" leaves it untagged.
	Name string
	// Args are the build arguments of a Dockerfile.
	Args map[string]string
	// Target is the stage of a Dockerfile to build; "": the last.
	Target string
	// Platform is what the image says it is for: wasi/wasm (also if it is "")
	// or wasip1/wasm.
	Platform string
	// Artifact makes a CNCF Wasm artifact, which is the module and nothing else.
	Artifact bool
	// Epoch is the time of all files; zero: 1970.
	Epoch time.Time
	// Pull, if not nil, fetches a base image that the store does not have.
	Pull func(ctx context.Context, ref string) error
	// Step, if not nil, is told each instruction.
	Step func(text string)
}

// Built is what a build made.
type Built struct {
	Name     string // short reference, "" if it has none
	Digest   string
	Size     int64
	Layers   int
	Warnings []string
}

// Build makes an image. The same input gives the same digest, on every
// machine. Mistakes in the build file are [FileError]s.
func (s *Store) Build(ctx context.Context, o BuildOptions) (Built, error) {
	var ref Reference
	if o.Name != "" {
		var err error
		if ref, err = ParseReference(o.Name); err != nil {
			return Built{}, err
		}
		if ref.digest != "" {
			return Built{}, errorOf(ErrReference, "%q has a digest, which only the build itself gives: give a name with a tag", o.Name)
		}
	}
	platform, err := parsePlatform(o.Platform)
	if err != nil {
		return Built{}, err
	}
	unlock, err := s.adding(ctx)
	if err != nil {
		return Built{}, err
	}
	defer unlock()
	b := &builder{store: s, options: o, platform: platform, epoch: o.Epoch.UTC().Truncate(time.Second), images: map[string]*Image{}, trees: map[string]*tree{}}
	if o.Epoch.IsZero() {
		b.epoch = time.Unix(0, 0).UTC()
	}
	defer b.close()
	st, err := b.build(ctx)
	if err != nil {
		return Built{}, err
	}
	return b.finish(ctx, st, ref)
}

// parsePlatform reads the platform of an image to build.
func parsePlatform(text string) (string, error) {
	switch text {
	case "", "wasi/wasm", "wasi/wasm32":
		return "wasi/wasm", nil
	case "wasip1/wasm":
		return text, nil
	}
	return "", usageError("the platform %s is not one of Hako's: there are wasi/wasm and wasip1/wasm", text)
}

// A builder is one build.
type builder struct {
	store    *Store
	options  BuildOptions
	platform string
	epoch    time.Time
	warnings []string

	root    *os.Root // of the context
	context *tree    // nil until it is needed
	images  map[string]*Image
	trees   map[string]*tree // of images, by digest
	roots   []*os.Root
}

func (b *builder) close() {
	for _, img := range b.images {
		img.Close()
	}
	for _, root := range b.roots {
		root.Close()
	}
	if b.root != nil {
		b.root.Close()
	}
}

func (b *builder) warn(format string, args ...any) {
	b.warnings = append(b.warnings, fmt.Sprintf(format, args...))
}

func (b *builder) step(in instruction) {
	if b.options.Step != nil {
		b.options.Step(fmt.Sprintf("%d: %s %s", in.line, in.name, in.rest))
	}
}

// build finds the build file and runs it.
func (b *builder) build(ctx context.Context) (*stage, error) {
	info, err := os.Stat(b.options.Dir)
	if err != nil {
		return nil, usageError("open the build context: %v", err)
	}
	if !info.IsDir() {
		return nil, usageError("the build context %s is not a folder", b.options.Dir)
	}
	if b.root, err = os.OpenRoot(b.options.Dir); err != nil {
		return nil, fmt.Errorf("open the build context: %w", err)
	}
	name, err := b.findFile()
	if err != nil {
		return nil, err
	}
	text, err := readBuildFile(name)
	if err != nil {
		return nil, err
	}
	b.options.File = name
	var st *stage
	if strings.HasSuffix(name, ".toml") {
		st, err = b.buildHakofile(ctx, text)
	} else {
		st, err = b.buildDockerfile(ctx, text, b.options.Target)
	}
	var fe *FileError
	if errors.As(err, &fe) {
		fe.File = name
	}
	return st, err
}

func (b *builder) findFile() (string, error) {
	if b.options.File != "" {
		return b.options.File, nil
	}
	for _, name := range []string{hakofileName, dockerfileName} {
		file := filepath.Join(b.options.Dir, name)
		if _, err := os.Stat(file); err == nil {
			return file, nil
		}
	}
	return "", usageError("there is neither a %s nor a %s in %s", hakofileName, dockerfileName, b.options.Dir)
}

func readBuildFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", usageError("read the build file: %v", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxBuildFile+1))
	if err != nil {
		return "", fmt.Errorf("read the build file: %w", err)
	}
	if len(text) > maxBuildFile {
		return "", &FileError{File: name, Err: errorOf(ErrTooLarge, "it has more than %d bytes", maxBuildFile)}
	}
	return string(text), nil
}

// contextTree reads the build context, without what is to be ignored.
func (b *builder) contextTree() (*tree, error) {
	if b.context != nil {
		return b.context, nil
	}
	matcher, err := b.ignored()
	if err != nil {
		return nil, err
	}
	t, err := readTree(b.root, func(name string) (bool, bool, error) {
		if matcher == nil {
			return false, false, nil
		}
		skip, err := matcher.MatchesOrParentMatches(filepath.FromSlash(name))
		return skip, skip && !matcher.Exclusions(), err
	})
	if err != nil {
		return nil, fmt.Errorf("read the build context %s: %w", b.options.Dir, err)
	}
	b.context = t
	return t, nil
}

// ignored returns what .dockerignore says, or the file beside the build file
// that has its name and .dockerignore; nil if there is neither.
func (b *builder) ignored() (*patternmatcher.PatternMatcher, error) {
	name := b.options.File + ".dockerignore"
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		name = ".dockerignore"
		f, err = b.root.Open(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	patterns, err := ignorefile.ReadAll(io.LimitReader(f, maxBuildFile))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		return nil, &FileError{File: name, Err: err}
	}
	return matcher, nil
}

// open opens an image to build upon, fetching it if the options say how.
func (b *builder) open(ctx context.Context, ref string) (*Image, error) {
	if img := b.images[ref]; img != nil {
		return img, nil
	}
	img, err := b.store.Open(ctx, ref)
	if errors.Is(err, ErrUnknownImage) && b.options.Pull != nil {
		if err := b.options.Pull(ctx, ref); err != nil {
			return nil, err
		}
		img, err = b.store.Open(ctx, ref)
	}
	if err != nil {
		return nil, err
	}
	b.images[ref] = img
	return img, nil
}

// imageFiles returns the files of an image.
func (b *builder) imageFiles(ctx context.Context, img *Image) (*tree, error) {
	if t := b.trees[img.Digest]; t != nil {
		return t, nil
	}
	if img.Artifact {
		wasm, err := img.Module(ctx)
		if err != nil {
			return nil, err
		}
		t := newTree()
		t.nodes[artifactModule] = &node{mode: 0o644, size: int64(len(wasm)), data: wasm}
		b.trees[img.Digest] = t
		return t, nil
	}
	dir, err := img.Root(ctx)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	b.roots = append(b.roots, root)
	t, err := readTree(root, nil)
	if err != nil {
		return nil, fmt.Errorf("read image %s: %w", img.title(), err)
	}
	b.trees[img.Digest] = t
	return t, nil
}

// finish keeps the image of a stage.
func (b *builder) finish(ctx context.Context, st *stage, ref Reference) (Built, error) {
	var desc v1.Descriptor
	var err error
	layers := len(st.layers)
	if b.options.Artifact {
		desc, err = b.writeArtifact(ctx, st)
		layers = 1
	} else {
		b.checkModule(st)
		system, arch, _ := strings.Cut(b.platform, "/")
		file := &v1.ConfigFile{Created: v1.Time{Time: b.epoch}, Architecture: arch, OS: system, Config: st.config, History: st.history}
		desc, err = b.store.writeImage(ctx, file, st.layers, st.notes)
	}
	if err != nil {
		return Built{}, fmt.Errorf("keep the image: %w", err)
	}
	e := entry{desc: desc, ref: ref}
	if err := b.store.name(ctx, e); err != nil {
		return Built{}, err
	}
	img, err := b.store.describe(e)
	if err != nil {
		return Built{}, err
	}
	return Built{Name: img.Name, Digest: img.Digest, Size: img.Size, Layers: layers, Warnings: b.warnings}, nil
}

// module returns the file that a stage is to run.
func (st *stage) module() (name string, n *node, err error) {
	command := append(append([]string{}, st.config.Entrypoint...), st.config.Cmd...)
	if len(command) == 0 {
		return "", nil, errorOf(ErrNoModule, "it does not say what to run: give it an entrypoint")
	}
	name = command[0]
	if !path.IsAbs(name) {
		name = path.Join("/", st.config.WorkingDir, name)
	}
	at, err := st.files.resolve(strings.TrimPrefix(path.Clean(name), "/"))
	if err != nil {
		return name, nil, err
	}
	if n = st.files.get(at); n == nil || !n.mode.IsRegular() {
		return name, nil, errorOf(ErrNoModule, "the entrypoint %s is not a file of the image", name)
	}
	return name, n, checkMagic(name, n)
}

// checkMagic tells modules from all else.
func checkMagic(name string, n *node) error {
	r, err := n.open()
	if err != nil {
		return err
	}
	defer r.Close()
	head := make([]byte, 8)
	if _, err := io.ReadFull(r, head); err != nil || string(head[:4]) != "\x00asm" {
		return errorOf(ErrNoModule, "%s is not a Wasm module", name)
	}
	if head[6] == 1 {
		return errorOf(ErrNotWasm, "%s is a Wasm component; Hako runs modules: compile for wasip1", name)
	}
	return nil
}

// checkModule warns of images that cannot be run.
func (b *builder) checkModule(st *stage) {
	if len(st.config.Entrypoint)+len(st.config.Cmd) == 0 {
		return // to build upon, or with the one module in its root folder
	}
	if _, _, err := st.module(); err != nil {
		b.warn("%v", err)
	}
}
