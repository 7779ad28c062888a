package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A Config is what an image says about running it.
type Config struct {
	Entrypoint   []string          `json:"entrypoint,omitempty"`
	Cmd          []string          `json:"cmd,omitempty"`
	Env          []string          `json:"env,omitempty"`     // NAME=value
	WorkingDir   string            `json:"workdir,omitempty"` // absolute and clean, or ""
	ExposedPorts []string          `json:"expose,omitempty"`  // sorted, such as 8080/tcp
	Labels       map[string]string `json:"labels,omitempty"`
}

// An Image is an image of a store that is open. Methods may be called from
// several goroutines.
type Image struct {
	Name        string    // short reference, "" if it has none
	Digest      string    // of the manifest: sha256:...
	Platform    string    // such as wasip1/wasm
	Created     time.Time // zero if unknown
	Size        int64     // bytes that it takes in registries and in the store, not unpacked
	Artifact    bool      // one module without a file system
	Config      Config
	Annotations map[string]string // of the manifest

	store    *Store
	hash     v1.Hash
	index    string // digest of the index that the image was chosen from, "" if none
	manifest *v1.Manifest
	file     *v1.ConfigFile
	release  func()
}

// Open opens the image that ref names: a reference, or the digest of an image
// of the store, of which the first 4 or more digits are enough. It does not go
// to a registry; an image that is not there is an [UnknownImageError].
func (s *Store) Open(ctx context.Context, ref string) (*Image, error) {
	if exists, err := s.exists("index.json"); err == nil && !exists {
		if _, err := ParseReference(ref); err != nil {
			return nil, err
		}
		return nil, &UnknownImageError{Name: ref}
	}
	unlock, err := s.adding(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	named, found, err := s.find(ref)
	if err != nil {
		return nil, err
	}
	e := found[0]
	if (named != Reference{}) {
		e.ref = named
	}
	img, err := s.describe(e)
	if err != nil {
		return nil, fmt.Errorf("open image %s: %w", ref, err)
	}
	if img.release, err = s.lock(ctx, false, "use", e.desc.Digest.Hex+".lock"); err != nil {
		return nil, err
	}
	return img, nil
}

// Close lets the image be removed. Paths that Root returned may be gone then.
func (img *Image) Close() error {
	if img.release != nil {
		img.release()
		img.release = nil
	}
	return nil
}

// describe reads an image's manifest and configuration.
func (s *Store) describe(e entry) (*Image, error) {
	b, err := s.readBlob(e.desc.Digest, s.limits.Manifest)
	if err != nil {
		return nil, err
	}
	m, err := s.parseManifest(e.desc.Digest, b)
	if err != nil {
		return nil, err
	}
	c, err := s.readBlob(m.Config.Digest, s.limits.Manifest)
	if err != nil {
		return nil, err
	}
	file, err := parseConfig(m, c, !isArtifact(m)) // it was taken
	if err != nil {
		return nil, err
	}
	for _, word := range slices.Concat(file.Config.Entrypoint, file.Config.Cmd) {
		if strings.ContainsRune(word, 0) {
			return nil, errorOf(ErrDamaged, "its command %q has a zero byte", word)
		}
	}
	img := &Image{
		Digest: e.desc.Digest.String(), Created: file.Created.Time, Size: size(int64(len(b)), m), Artifact: isArtifact(m),
		Platform: platformText(v1.Platform{OS: file.OS, Architecture: file.Architecture}), Annotations: m.Annotations,
		Config: Config{
			Entrypoint: file.Config.Entrypoint, Cmd: file.Config.Cmd, Env: validEnv(file.Config.Env),
			WorkingDir: workingDir(file.Config.WorkingDir), Labels: file.Config.Labels,
		},
		store: s, hash: e.desc.Digest, index: e.index, manifest: m, file: file,
	}
	if !e.untagged() {
		img.Name = e.ref.String()
	}
	for port := range file.Config.ExposedPorts {
		img.Config.ExposedPorts = append(img.Config.ExposedPorts, port)
	}
	slices.Sort(img.Config.ExposedPorts)
	return img, nil
}

// validEnv leaves out what cannot be a variable.
func validEnv(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		return strings.IndexByte(kv, '=') <= 0 || strings.ContainsRune(kv, 0)
	})
}

// workingDir makes a folder absolute, "" if the image gives none.
func workingDir(dir string) string {
	if dir == "" {
		return ""
	}
	return path.Join("/", dir)
}

// Command returns the arguments that the module gets, argv[0] first: the
// entrypoint and then args, or, if there are none, the image's own.
func (img *Image) Command(args ...string) []string {
	if img.Artifact {
		return append([]string{artifactModule}, args...)
	}
	if len(args) == 0 {
		args = img.Config.Cmd
	}
	if len(img.Config.Entrypoint) == 0 && (len(args) == 0 || !strings.HasSuffix(args[0], ".wasm")) {
		if name, err := img.onlyModule(context.Background()); err == nil {
			return append([]string{name}, args...)
		}
	}
	return slices.Concat(img.Config.Entrypoint, args)
}

// artifactModule is the name of the module of an image that has no files.
const artifactModule = "module.wasm"

// Root returns the image's root file system, unpacked into a directory that
// must not be written to. It is there until Close. An artifact's is empty.
func (img *Image) Root(ctx context.Context) (dir string, err error) {
	dir, err = img.store.unpack(ctx, img, nil)
	if err != nil {
		return "", fmt.Errorf("unpack image %s: %w", img.title(), err)
	}
	return dir, nil
}

// Module returns the bytes of the image's module: the file that the entrypoint
// names, else the first word of Cmd, else the only .wasm file in the root
// folder. Errors are [ErrNoModule], [ErrTooLarge] and those of Root.
func (img *Image) Module(ctx context.Context) ([]byte, error) {
	if img.Artifact {
		layer := img.manifest.Layers[0]
		if layer.Size > img.store.limits.Module {
			return nil, errorOf(ErrTooLarge, "the module of image %s has %d bytes; %d are allowed", img.title(), layer.Size, img.store.limits.Module)
		}
		b, err := img.store.readBlob(layer.Digest, layer.Size)
		if err != nil {
			return nil, fmt.Errorf("read the module of image %s: %w", img.title(), err)
		}
		return b, nil
	}
	if !img.hasRoot() {
		return img.Plugin(ctx)
	}
	dir, err := img.Root(ctx)
	if err != nil {
		return nil, err
	}
	command := img.Command()
	if len(command) == 0 {
		return nil, errorOf(ErrNoModule, "image %s does not say what to run: it has no entrypoint, no command and not one .wasm file in its root folder", img.title())
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	name := path.Join("/", img.Config.WorkingDir, command[0])
	if path.IsAbs(command[0]) {
		name = path.Clean(command[0])
	}
	return img.readModule(root, name)
}

// readModule reads the module of that absolute path in the image.
func (img *Image) readModule(root *os.Root, name string) ([]byte, error) {
	f, err := root.Open(strings.TrimPrefix(name, "/"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errorOf(ErrNoModule, "image %s is to run %s, which it does not have", img.title(), name)
	}
	if err != nil {
		return nil, fmt.Errorf("open the module %s of image %s: %w", name, img.title(), err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errorOf(ErrNoModule, "image %s is to run %s, which is not a file", img.title(), name)
	case info.Size() > img.store.limits.Module:
		return nil, errorOf(ErrTooLarge, "the module %s of image %s has %d bytes; %d are allowed", name, img.title(), info.Size(), img.store.limits.Module)
	}
	b := make([]byte, info.Size())
	if _, err := f.ReadAt(b, 0); err != nil && len(b) > 0 {
		return nil, fmt.Errorf("read the module %s of image %s: %w", name, img.title(), err)
	}
	if !strings.HasPrefix(string(b[:min(4, len(b))]), "\x00asm") {
		return nil, errorOf(ErrNoModule, "image %s is to run %s, which is not a Wasm module", img.title(), name)
	}
	return b, nil
}

// onlyModule returns the path of the one .wasm file in the root folder.
func (img *Image) onlyModule(ctx context.Context) (string, error) {
	dir, err := img.Root(ctx)
	if err != nil {
		return "", err
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	name := ""
	for _, e := range list {
		if strings.HasSuffix(e.Name(), ".wasm") && e.Type().IsRegular() {
			if name != "" {
				return "", errorOf(ErrNoModule, "image %s has several modules and does not say which to run", img.title())
			}
			name = "/" + e.Name()
		}
	}
	if name == "" {
		return "", errorOf(ErrNoModule, "image %s has no module in its root folder", img.title())
	}
	return name, nil
}

// title is what errors call the image.
func (img *Image) title() string {
	if img.Name != "" {
		return img.Name
	}
	return short(img.hash)
}

// LayerInfo is a layer, from the lowest.
type LayerInfo struct {
	Digest    string `json:"digest"`
	MediaType string `json:"media_type"`
	Size      int64  `json:"size"`
}

// Layers returns the layers as they are stored.
func (img *Image) Layers() []LayerInfo {
	list := make([]LayerInfo, len(img.manifest.Layers))
	for i, d := range img.manifest.Layers {
		list[i] = LayerInfo{d.Digest.String(), string(d.MediaType), d.Size}
	}
	return list
}
