package image

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// How images of Proxy-Wasm plugins are laid out, beside CNCF's artifacts:
//
//   - "oci" of the Wasm artifact image specification: a layer that is the
//     module, pluginLayer.
//   - "compat" of the same: an ordinary image, for whatever platform, with
//     plugin.wasm in its layer.
//   - that of Higress: a layer for each file, with a media type of its own,
//     and plugin.wasm in the last, an ordinary one.
const (
	pluginConfig types.MediaType = "application/vnd.module.wasm.config.v1+json"
	pluginLayer  types.MediaType = "application/vnd.module.wasm.content.layer.v1+wasm"
	// pluginPart begins the media types of other layers of plugins.
	pluginPart = "application/vnd.module.wasm."
	pluginFile = "plugin.wasm"
)

// PluginOptions are the settings of fetching a plugin. The zero value is good.
type PluginOptions struct {
	PullOptions
	// Always asks the registry what a tag stands for now, where otherwise the
	// store is asked first.
	Always bool
	// Stored takes images that the store has, and pulls none: one that it lacks
	// is an [UnknownImageError].
	Stored bool
	// SHA256, if not "", is what the file must have, in hexadecimal. Images
	// are pinned by their names instead: NAME@sha256:DIGEST.
	SHA256 string
	// Key, if not nil, is the public key in PEM form that the image must be
	// signed with: see Verify.
	Key []byte
}

// A Plugin is the module of a Proxy-Wasm plugin and where it comes from.
type Plugin struct {
	Name   string // the file, or the image's short reference
	Digest string // sha256:... of the file, or of the image's manifest
	Module []byte
}

// Plugin returns the Proxy-Wasm plugin that source names: a file, or an image
// as "oci://REFERENCE", which is pulled if the store does not have it. Errors
// are [ErrDigest], [ErrSignature], [ErrNoModule], [ErrTooLarge] and those of
// Pull.
func (s *Store) Plugin(ctx context.Context, source string, o PluginOptions) (*Plugin, error) {
	ref, ok := strings.CutPrefix(source, "oci://")
	if !ok {
		if o.Key != nil {
			return nil, errorOf(ErrSignature, "load plugin %s: files are not signed; pin this one by its SHA-256", source)
		}
		return s.pluginFile(source, o.SHA256)
	}
	if o.SHA256 != "" {
		return nil, errorOf(ErrDigest, "load plugin %s: an image is pinned by its name: %s@sha256:%s", source, ref, o.SHA256)
	}
	img, err := s.openPlugin(ctx, ref, o)
	if err != nil {
		return nil, fmt.Errorf("load plugin %s: %w", source, err)
	}
	defer img.Close()
	if o.Key != nil {
		if err := img.verify(ctx, ref, o); err != nil {
			return nil, fmt.Errorf("load plugin %s: %w", source, err)
		}
	}
	module, err := img.Plugin(ctx)
	if err != nil {
		return nil, fmt.Errorf("load plugin %s: %w", source, err)
	}
	return &Plugin{Name: img.Name, Digest: img.Digest, Module: module}, nil
}

func (s *Store) openPlugin(ctx context.Context, ref string, o PluginOptions) (*Image, error) {
	r, err := ParseReference(ref)
	if err != nil {
		return nil, err
	}
	if o.Stored || !o.Always || r.Digest() != "" {
		if img, err := s.Open(ctx, ref); o.Stored || !errors.Is(err, ErrUnknownImage) {
			return img, err
		}
	}
	o.PullOptions.Plugin = true
	if _, err := s.Pull(ctx, ref, o.PullOptions); err != nil {
		return nil, err
	}
	return s.Open(ctx, ref)
}

func (s *Store) pluginFile(name, digest string) (*Plugin, error) {
	f, err := os.Open(name)
	switch _, wrong := ParseReference(name); {
	case errors.Is(err, os.ErrNotExist) && wrong == nil && strings.Contains(name, "/") && !strings.HasSuffix(name, ".wasm"):
		return nil, fmt.Errorf("load plugin: %w; if it is an image, write oci://%s", err, name)
	case err != nil:
		return nil, fmt.Errorf("load plugin: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, s.limits.Module+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("load plugin: %w", err)
	case int64(len(b)) > s.limits.Module:
		return nil, errorOf(ErrTooLarge, "load plugin %s: it has more than the %d bytes that are allowed", name, s.limits.Module)
	}
	sum := sha256.Sum256(b)
	if have := hex.EncodeToString(sum[:]); digest != "" && !strings.EqualFold(digest, have) {
		return nil, errorOf(ErrDigest, "load plugin %s: it has the SHA-256 %s, not %s: it is another file than it was", name, have, digest)
	}
	if err := checkModule(b); err != nil {
		return nil, fmt.Errorf("load plugin %s: %w", name, err)
	}
	return &Plugin{Name: name, Digest: "sha256:" + hex.EncodeToString(sum[:]), Module: b}, nil
}

func checkModule(b []byte) error {
	if !bytes.HasPrefix(b, []byte("\x00asm")) {
		return errorOf(ErrNoModule, "it is not a Wasm module: %s", whatInstead(b))
	}
	return nil
}

// otherFiles are what is taken for a module, by how it begins.
var otherFiles = []struct{ begins, is string }{
	{"\x1f\x8b", "it is compressed; gunzip unpacks it"},
	{"\x28\xb5\x2f\xfd", "it is compressed; zstd -d unpacks it"},
	{"PK\x03\x04", "it is a zip archive; unpack it"},
	{"(module", "it is a module in text form; wat2wasm translates it"},
	{"version https://git-lfs", "it is what Git keeps in the place of a large file; git lfs pull fetches that"},
	{"<", "it is a page of HTML or XML; download the file itself"},
	{"{", "it is JSON"},
	{"\x7fELF", "it is a program for Linux; compile it for Wasm (wasm32-wasip1)"},
	{"MZ", "it is a program for Windows; compile it for Wasm (wasm32-wasip1)"},
	{"\xcf\xfa\xed\xfe", "it is a program for macOS; compile it for Wasm (wasm32-wasip1)"},
	{"!<arch>", "it is a library to be linked; link it to a module"},
	{"BC\xc0\xde", "it is LLVM's bitcode; compile it to a module"},
}

// whatInstead says what something is that is no module.
func whatInstead(b []byte) string {
	if len(b) == 0 {
		return "it is empty"
	}
	for _, o := range otherFiles {
		if bytes.HasPrefix(b, []byte(o.begins)) {
			return o.is
		}
	}
	if len(b) > 262 && string(b[257:262]) == "ustar" {
		return "it is a tar archive; unpack it"
	}
	return fmt.Sprintf("it begins with %q", b[:min(len(b), 8)])
}

// isPlugin reports whether the manifest is that of a plugin and of nothing
// else.
func isPlugin(m *v1.Manifest) bool {
	if m.Config.MediaType == pluginConfig {
		return true
	}
	for _, d := range m.Layers {
		if strings.HasPrefix(string(d.MediaType), pluginPart) {
			return true
		}
	}
	return false
}

// parsePluginConfig reads the configuration of an image of a plugin: that of
// an ordinary image, or anything, as nothing depends on it.
func parsePluginConfig(b []byte) (*v1.ConfigFile, error) {
	if !json.Valid(b) {
		return nil, errorOf(ErrDamaged, "its configuration is damaged: it is not JSON")
	}
	file, err := v1.ParseConfigFile(bytes.NewReader(b))
	if err != nil {
		file = &v1.ConfigFile{}
	}
	file.OS, file.Architecture = cmp.Or(file.OS, "wasip1"), cmp.Or(file.Architecture, "wasm")
	return file, nil
}

// hasRoot tells whether the layers are those of a file system. Those of
// plugins need not be.
func (img *Image) hasRoot() bool {
	return !isPlugin(img.manifest) && len(img.file.RootFS.DiffIDs) == len(img.manifest.Layers)
}

// Plugin returns the bytes of the Proxy-Wasm plugin in the image: a layer that
// is a module, else plugin.wasm in the last layer that has one, else what
// Module returns. Errors are those of Module.
func (img *Image) Plugin(ctx context.Context) ([]byte, error) {
	layers := img.manifest.Layers
	for _, d := range layers {
		if !isWasmLayer(d.MediaType) {
			continue
		}
		if d.Size > img.store.limits.Module {
			return nil, errorOf(ErrTooLarge, "the module of image %s has %d bytes; %d are allowed", img.title(), d.Size, img.store.limits.Module)
		}
		b, err := img.store.readBlob(d.Digest, d.Size)
		if err == nil {
			err = checkModule(b)
		}
		if err != nil {
			return nil, fmt.Errorf("read the module of image %s: %w", img.title(), err)
		}
		return b, nil
	}
	left := img.store.limits.Unpacked
	for i := len(layers) - 1; i >= 0; i-- {
		if !layers[i].MediaType.IsLayer() {
			continue
		}
		b, err := img.store.pluginInLayer(ctx, layers[i], &left)
		if err == nil && b != nil {
			err = checkModule(b)
		}
		if err != nil {
			return nil, fmt.Errorf("read %s of image %s: layer %d of %d (%s): %w", pluginFile, img.title(), i+1, len(layers), short(layers[i].Digest), err)
		}
		if b != nil {
			return b, nil
		}
	}
	if img.hasRoot() && platformError(*img.file.Platform()) == nil {
		return img.Module(ctx)
	}
	return nil, errorOf(ErrNoModule, "image %s is none of a plugin: no layer has a file %s, or is a module", img.title(), pluginFile)
}

// pluginInLayer returns plugin.wasm of a layer, nil if it has none.
func (s *Store) pluginInLayer(ctx context.Context, d v1.Descriptor, left *int64) (module []byte, err error) {
	blob, err := os.Open(s.blobPath(d.Digest))
	if err != nil {
		return nil, errorOf(ErrDamaged, "the image store lacks it (%v): pull or load the image again", err)
	}
	defer blob.Close()
	sum := sha256.New()
	raw := io.TeeReader(&contextReader{ctx, blob}, sum)
	plain, err := decompress(raw)
	if err != nil {
		return nil, layerError(err)
	}
	defer plain.Close()
	module, err = s.pluginInTar(tar.NewReader(&limitReader{r: plain, left: left, limit: s.limits.Unpacked}))
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, raw); err != nil {
		return nil, layerError(err)
	}
	if sha256Hash(sum) != d.Digest {
		s.discardDamaged(d.Digest)
		return nil, errorOf(ErrDamaged, "it is damaged: its bytes have the SHA-256 %s", sha256Hash(sum).Hex)
	}
	return module, nil
}

func (s *Store) pluginInTar(t *tar.Reader) ([]byte, error) {
	for entries := 0; ; entries++ {
		h, err := t.Next()
		switch {
		case err == io.EOF:
			return nil, nil
		case err != nil:
			return nil, layerError(err)
		case entries >= s.limits.Entries:
			return nil, errorOf(ErrTooLarge, "it has more than %d files", s.limits.Entries)
		case h.Typeflag != tar.TypeReg || path.Base(path.Clean(h.Name)) != pluginFile:
			continue
		case h.Size > s.limits.Module:
			return nil, errorOf(ErrTooLarge, "%s has %d bytes; %d are allowed", printable(h.Name), h.Size, s.limits.Module)
		}
		b, err := io.ReadAll(t)
		if err != nil {
			return nil, layerError(err)
		}
		return b, nil
	}
}
