package image

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
)

// PullOptions are the settings of a pull. The zero value is good.
type PullOptions struct {
	RegistryOptions
	// Plugin takes an image for any platform, as those of Proxy-Wasm plugins
	// are, which pretend to be for an ordinary one.
	Plugin bool
	// Progress, if not nil, is told how many bytes of how many are there. Calls
	// do not overlap.
	Progress func(done, total int64)
}

// Pulled is what a pull brought.
type Pulled struct {
	Name   string // short reference
	Digest string // of the image's manifest
	New    bool   // the name stood for something else before, or for nothing
}

// pullJobs is how many layers are fetched at once.
const pullJobs = 3

// Pull fetches the image that ref names from its registry, and keeps it under
// that name. Of an index of several platforms it takes the one for Wasm. What
// the store has is not fetched again; what a pull that failed left is the
// beginning of the next.
func (s *Store) Pull(ctx context.Context, ref string, o PullOptions) (Pulled, error) {
	r, err := ParseReference(ref)
	if err != nil {
		return Pulled{}, err
	}
	p, err := s.pull(ctx, r, o)
	if ctx.Err() != nil && err != nil {
		return p, fmt.Errorf("pull %s: %w", r, ctx.Err())
	}
	if err != nil {
		return p, fmt.Errorf("pull %s: %w", r, registryError(r, err))
	}
	return p, nil
}

func (s *Store) pull(ctx context.Context, r Reference, o PullOptions) (Pulled, error) {
	unlock, err := s.adding(ctx)
	if err != nil {
		return Pulled{}, err
	}
	defer unlock()
	ref, err := r.remote(o.Insecure)
	if err != nil {
		return Pulled{}, err
	}
	c, err := connect(ctx, ref.Context(), o.RegistryOptions)
	if err != nil {
		return Pulled{}, err
	}
	got, index, err := s.fetchManifest(ctx, c, ref, o.Plugin)
	if err != nil {
		return Pulled{}, err
	}
	m, err := s.parseManifest(got.Digest, got.manifest)
	if err != nil {
		return Pulled{}, err
	}
	if err := s.putBlob(ctx, m.Config, c.blob(m.Config), nil); err != nil {
		return Pulled{}, err
	}
	config, err := s.readBlob(m.Config.Digest, s.limits.Manifest)
	if err != nil {
		return Pulled{}, err
	}
	if _, err := parseConfig(m, config, o.Plugin); err != nil { // before its layers are fetched
		return Pulled{}, err
	}
	if err := s.fetchLayers(ctx, c, m.Layers, o.Progress); err != nil {
		return Pulled{}, err
	}
	if _, err := s.putBytes(ctx, got.manifest); err != nil {
		return Pulled{}, err
	}
	return s.keep(ctx, entry{desc: got.Descriptor, ref: r, index: index})
}

// keep names what is complete, and reports whether that changes anything.
func (s *Store) keep(ctx context.Context, e entry) (Pulled, error) {
	e.desc = v1.Descriptor{MediaType: e.desc.MediaType, Size: e.desc.Size, Digest: e.desc.Digest, Platform: e.desc.Platform, ArtifactType: e.desc.ArtifactType}
	p := Pulled{Name: e.ref.String(), Digest: e.desc.Digest.String(), New: true}
	err := s.change(ctx, func(list []entry) ([]entry, error) {
		for _, old := range list {
			if old.ref == e.ref && old.desc.Digest == e.desc.Digest {
				p.New = false
			}
		}
		return named(list, e), nil
	})
	return p, err
}

// A fetched is a manifest with its bytes.
type fetched struct {
	v1.Descriptor
	manifest []byte
}

// fetchManifest fetches an image's manifest; if ref is an index, that of the
// image for Wasm, and the index's digest.
func (s *Store) fetchManifest(ctx context.Context, c *client, ref name.Reference, plugin bool) (got fetched, index string, err error) {
	d, err := c.manifest(ctx, ref)
	if err != nil {
		return got, "", err
	}
	if d.MediaType.IsIndex() {
		list, err := v1.ParseIndexManifest(bytes.NewReader(d.Manifest))
		if err != nil {
			return got, "", errorOf(ErrDamaged, "the index %s is damaged: %v", d.Digest, err)
		}
		chosen, err := chooseManifest(list, plugin)
		if err != nil {
			return got, "", err
		}
		index = d.Digest.String()
		if d, err = c.manifest(ctx, c.repo.Digest(chosen.Digest.String())); err != nil {
			return got, "", err
		}
	}
	if !d.MediaType.IsImage() {
		return got, "", errorOf(ErrNotWasm, "%s is no image but %s", ref, d.MediaType)
	}
	if int64(len(d.Manifest)) > s.limits.Manifest {
		return got, "", errorOf(ErrTooLarge, "the manifest of %s has %d bytes; %d are allowed", ref, len(d.Manifest), s.limits.Manifest)
	}
	d.Size = int64(len(d.Manifest))
	return fetched{d.Descriptor, d.Manifest}, index, nil
}

// fetchLayers fetches the layers that are not there.
func (s *Store) fetchLayers(ctx context.Context, c *client, layers []v1.Descriptor, report func(done, total int64)) error {
	seen := map[v1.Hash]bool{}
	var total, done int64
	var mu sync.Mutex
	progress := func(n int64) {
		mu.Lock()
		defer mu.Unlock()
		if done += n; report != nil {
			report(done, total)
		}
	}
	var todo []v1.Descriptor
	for _, d := range layers {
		if !seen[d.Digest] {
			seen[d.Digest] = true
			total += d.Size
			todo = append(todo, d)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(pullJobs)
	for _, d := range todo {
		g.Go(func() error { return s.putBlob(ctx, d, c.blob(d), progress) })
	}
	return g.Wait()
}
