package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// LoadOptions are the settings of a load. The zero value is good.
type LoadOptions struct {
	// Progress, if not nil, is told how many bytes of how many of an image are
	// there.
	Progress func(done, total int64)
}

// Load keeps the images of an archive: an OCI layout, as a folder or a tar
// file, or what docker save writes. Archives may be compressed. What is in it
// for other platforms is left out; if there is nothing else, the error says
// so.
func (s *Store) Load(ctx context.Context, name string, o LoadOptions) ([]Pulled, error) {
	return s.load(ctx, name, o, func() (*archive, error) { return s.openArchive(ctx, name) })
}

// LoadFrom is Load of a stream.
func (s *Store) LoadFrom(ctx context.Context, r io.Reader, o LoadOptions) ([]Pulled, error) {
	return s.load(ctx, "what was read", o, func() (*archive, error) { return s.spoolArchive(ctx, r) })
}

func (s *Store) load(ctx context.Context, name string, o LoadOptions, open func() (*archive, error)) ([]Pulled, error) {
	unlock, err := s.adding(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	a, err := open()
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", name, err)
	}
	defer a.Close()
	l := &loader{store: s, archive: a, options: o}
	if b, err := a.read("index.json", s.limits.Manifest); err == nil {
		err = l.oci(ctx, b)
		return l.result(name, err)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("load %s: %w", name, err)
	}
	b, err := a.read("manifest.json", s.limits.Manifest)
	if errors.Is(err, fs.ErrNotExist) {
		err = errorOf(ErrDamaged, "it is neither an OCI archive (it has no index.json) nor one of docker save (it has no manifest.json)")
	}
	if err == nil {
		err = l.docker(ctx, b)
	}
	return l.result(name, err)
}

// A loader loads one archive.
type loader struct {
	store   *Store
	archive *archive
	options LoadOptions
	loaded  []Pulled
	skipped error // why the first image that is not for Wasm is left out
}

func (l *loader) result(name string, err error) ([]Pulled, error) {
	if err == nil && len(l.loaded) == 0 {
		if err = l.skipped; err == nil {
			err = errorOf(ErrDamaged, "it holds no images")
		}
	}
	if err != nil {
		return l.loaded, fmt.Errorf("load %s: %w", name, err)
	}
	return l.loaded, nil
}

// oci loads what an index.json lists.
func (l *loader) oci(ctx context.Context, b []byte) error {
	index, err := v1.ParseIndexManifest(bytes.NewReader(b))
	if err != nil {
		return errorOf(ErrDamaged, "its index.json is damaged: %v", err)
	}
	for _, d := range index.Manifests {
		if err := l.one(ctx, d); errors.Is(err, ErrNotWasm) {
			if l.skipped == nil {
				l.skipped = err
			}
		} else if err != nil {
			return err
		}
	}
	return nil
}

// nameOf returns the name that an archive gives an image, zero if none.
func nameOf(d v1.Descriptor) Reference {
	for _, text := range []string{d.Annotations[annotationImageName], d.Annotations[annotationName]} {
		if strings.ContainsAny(text, "/:") { // not a tag alone
			if ref, err := ParseReference(text); err == nil {
				return ref
			}
		}
	}
	return Reference{}
}

// one loads an image, or of an index the one for Wasm.
func (l *loader) one(ctx context.Context, d v1.Descriptor) error {
	e := entry{ref: nameOf(d)}
	b, err := l.manifest(d)
	if err != nil {
		return err
	}
	if d.MediaType.IsIndex() {
		index, err := v1.ParseIndexManifest(bytes.NewReader(b))
		if err != nil {
			return errorOf(ErrDamaged, "the index %s is damaged: %v", d.Digest, err)
		}
		e.index = d.Digest.String()
		if d, err = chooseManifest(index, false); err != nil {
			return err
		}
		if b, err = l.manifest(d); err != nil {
			return err
		}
	}
	if !d.MediaType.IsImage() {
		return errorOf(ErrNotWasm, "%s is no image but %s", d.Digest, d.MediaType)
	}
	e.desc = d
	m, err := l.store.parseManifest(d.Digest, b)
	if err != nil {
		return err
	}
	return l.keep(ctx, e, m, b, func(d v1.Descriptor) opener { return l.archive.blob(blobName(d.Digest)) })
}

// manifest reads and checks a manifest or an index.
func (l *loader) manifest(d v1.Descriptor) ([]byte, error) {
	if err := checkDescriptor(d); err != nil {
		return nil, err
	}
	b, err := l.archive.read(blobName(d.Digest), l.store.limits.Manifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errorOf(ErrDamaged, "it lacks the manifest %s that its index lists", d.Digest)
	}
	if err != nil {
		return nil, err
	}
	return b, verify(b, d.Digest)
}

// keep stores an image whose blobs open opens.
func (l *loader) keep(ctx context.Context, e entry, m *v1.Manifest, manifest []byte, open func(v1.Descriptor) opener) error {
	if err := l.store.putBlob(ctx, m.Config, open(m.Config), nil); err != nil {
		return err
	}
	config, err := l.store.readBlob(m.Config.Digest, l.store.limits.Manifest)
	if err != nil {
		return err
	}
	if _, err := parseConfig(m, config, false); err != nil {
		return err
	}
	var done, total int64
	for _, d := range m.Layers {
		total += d.Size
	}
	for _, d := range m.Layers {
		err := l.store.putBlob(ctx, d, open(d), func(n int64) {
			if done += n; l.options.Progress != nil {
				l.options.Progress(done, total)
			}
		})
		if err != nil {
			return err
		}
	}
	h, err := l.store.putBytes(ctx, manifest)
	if err != nil {
		return err
	}
	e.desc.Digest, e.desc.Size = h, int64(len(manifest))
	p, err := l.store.keep(ctx, e)
	if err != nil {
		return err
	}
	if e.untagged() {
		p.Name = ""
	}
	l.loaded = append(l.loaded, p)
	return nil
}

// docker loads what a manifest.json of docker save lists.
func (l *loader) docker(ctx context.Context, b []byte) error {
	var list []dockerManifest
	if err := json.Unmarshal(b, &list); err != nil {
		return errorOf(ErrDamaged, "its manifest.json is damaged: %v", err)
	}
	for _, image := range list {
		if err := l.dockerImage(ctx, image); errors.Is(err, ErrNotWasm) {
			if l.skipped == nil {
				l.skipped = err
			}
		} else if err != nil {
			return err
		}
	}
	return nil
}

// dockerImage makes a manifest for an image that comes without.
func (l *loader) dockerImage(ctx context.Context, image dockerManifest) error {
	if len(image.Layers) > l.store.limits.Layers {
		return errorOf(ErrTooLarge, "an image has %d layers; %d are allowed", len(image.Layers), l.store.limits.Layers)
	}
	names := map[v1.Hash]string{}
	config, err := l.describe(image.Config, types.OCIConfigJSON, names)
	if err != nil {
		return err
	}
	m := &v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config, Layers: []v1.Descriptor{}}
	for _, name := range image.Layers {
		d, err := l.describe(name, "", names)
		if err != nil {
			return err
		}
		m.Layers = append(m.Layers, d)
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if m, err = l.store.parseManifest(config.Digest, b); err != nil { // for its limits
		return err
	}
	refs := []Reference{{}}
	if len(image.RepoTags) > 0 {
		refs = refs[:0]
	}
	for _, tag := range image.RepoTags {
		ref, err := ParseReference(tag)
		if err != nil {
			return err
		}
		refs = append(refs, ref)
	}
	for _, ref := range refs {
		e := entry{ref: ref, desc: v1.Descriptor{MediaType: types.OCIManifestSchema1}}
		err := l.keep(ctx, e, m, b, func(d v1.Descriptor) opener { return l.archive.blob(names[d.Digest]) })
		if err != nil {
			return err
		}
	}
	return nil
}

// describe makes the descriptor of a file. No media type: that of a layer.
func (l *loader) describe(name string, media types.MediaType, names map[v1.Hash]string) (v1.Descriptor, error) {
	r, c, err := l.archive.open(name)
	if err != nil {
		return v1.Descriptor{}, errorOf(ErrDamaged, "it lacks %s, which its manifest.json names", printable(name))
	}
	defer c.Close()
	if media == "" {
		head := make([]byte, 4)
		n, _ := r.ReadAt(head, 0)
		switch head = head[:n]; {
		case strings.HasPrefix(string(head), "\x1f\x8b"):
			media = types.OCILayer
		case string(head) == "\x28\xb5\x2f\xfd":
			media = types.OCILayerZStd
		default:
			media = types.OCIUncompressedLayer
		}
	}
	sum := sha256.New()
	n, err := io.Copy(sum, r)
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("read %s: %w", name, err)
	}
	d := v1.Descriptor{MediaType: media, Size: n, Digest: sha256Hash(sum)}
	names[d.Digest] = name
	return d, nil
}
