package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Info is a line of a list of images.
type Info struct {
	Name     Reference // zero if untagged
	Digest   string
	Platform string
	Created  time.Time
	Size     int64
	Artifact bool
	Err      error // why the rest is not known, such as [ErrDamaged]
}

// List returns the images by name; untagged ones come first.
func (s *Store) List(ctx context.Context) ([]Info, error) {
	if exists, err := s.exists("index.json"); err != nil || !exists {
		return nil, err
	}
	unlock, err := s.adding(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	list, err := s.entries()
	if err != nil {
		return nil, err
	}
	infos := make([]Info, len(list))
	for i, e := range list {
		infos[i] = Info{Name: e.ref, Digest: e.desc.Digest.String()}
		img, err := s.describe(e)
		if err != nil {
			infos[i].Err = err
			continue
		}
		infos[i].Platform, infos[i].Created, infos[i].Size, infos[i].Artifact = img.Platform, img.Created, img.Size, img.Artifact
	}
	return infos, nil
}

// Tag gives the image that source names another name.
func (s *Store) Tag(ctx context.Context, source, name string) (Reference, error) {
	ref, err := ParseReference(name)
	if err != nil {
		return ref, err
	}
	if ref.digest != "" {
		return ref, errorOf(ErrReference, "%q has a digest, which is the image's own: give a name with a tag", name)
	}
	unlock, err := s.adding(ctx)
	if err != nil {
		return ref, err
	}
	defer unlock()
	_, found, err := s.find(source)
	if err != nil {
		return ref, err
	}
	e := found[0]
	e.ref = ref
	return ref, s.name(ctx, e)
}

// Removed is what a removal did.
type Removed struct {
	Untagged []string // short references that are gone
	Deleted  []string // digests of images that are gone
	Freed    int64    // bytes
	// Deferred: another process is adding images just now, or has opened one
	// that was removed; a later removal frees the space.
	Deferred bool
}

// Remove takes names off images, and removes images that no name is left of.
// What names an image by its digest is refused if the image has several names,
// unless all of them are to go.
func (s *Store) Remove(ctx context.Context, names []string, all bool) (Removed, error) {
	var r Removed
	if exists, err := s.exists("index.json"); err != nil || !exists {
		if len(names) > 0 && err == nil {
			err = &UnknownImageError{Name: names[0]}
		}
		return r, err
	}
	if err := s.removeNames(ctx, names, all, &r); err != nil {
		return Removed{}, err
	}
	return r, s.collect(ctx, &r, false)
}

func (s *Store) removeNames(ctx context.Context, names []string, all bool, r *Removed) error {
	unlock, err := s.adding(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return s.change(ctx, func(list []entry) ([]entry, error) {
		before := digests(list)
		for _, text := range names {
			_, found, err := s.find(text)
			if err != nil {
				return nil, err
			}
			if len(found) > 1 && !all {
				var known []string
				for _, e := range found {
					known = append(known, e.ref.String())
				}
				return nil, fmt.Errorf("remove %s: the image has the names %s: remove these, or all with --force", text, strings.Join(known, ", "))
			}
			for _, f := range found {
				list = slices.DeleteFunc(list, func(e entry) bool { return e.ref == f.ref && e.desc.Digest == f.desc.Digest })
				if !f.untagged() && !slices.Contains(r.Untagged, f.ref.String()) {
					r.Untagged = append(r.Untagged, f.ref.String())
				}
			}
		}
		r.Deleted = gone(before, list)
		return list, nil
	})
}

// Prune removes untagged images, what failed pulls left, and what no image
// needs.
func (s *Store) Prune(ctx context.Context) (Removed, error) {
	var r Removed
	if exists, err := s.exists("oci-layout"); err != nil || !exists {
		return r, err
	}
	unlock, err := s.adding(ctx)
	if err != nil {
		return r, err
	}
	err = s.change(ctx, func(list []entry) ([]entry, error) {
		before := digests(list)
		list = slices.DeleteFunc(list, entry.untagged)
		r.Deleted = gone(before, list)
		return list, nil
	})
	unlock()
	if err != nil {
		return Removed{}, err
	}
	return r, s.collect(ctx, &r, true)
}

// digests returns the images of a list, each once, in order.
func digests(list []entry) (all []string) {
	for _, e := range list {
		if d := e.desc.Digest.String(); !slices.Contains(all, d) {
			all = append(all, d)
		}
	}
	return all
}

func gone(before []string, list []entry) []string {
	after := digests(list)
	return slices.DeleteFunc(before, func(d string) bool { return slices.Contains(after, d) })
}

// collect removes what no image needs, and with partial what pulls left. It
// does nothing while others add images: what they add is in no index yet.
func (s *Store) collect(ctx context.Context, r *Removed, partial bool) error {
	l := flock.New(s.path("lock"))
	defer l.Close()
	if ok, err := l.TryLock(); err != nil || !ok {
		r.Deferred = err == nil
		return err
	}
	list, err := s.entries()
	if err != nil {
		return err
	}
	images := map[string]bool{} // hex digits of manifests
	for _, e := range list {
		images[e.desc.Digest.Hex] = true
	}
	if err := s.collectUse(images, r); err != nil {
		return err
	}
	blobs := map[string]bool{}
	for hex := range images {
		if err := s.mark(v1.Hash{Algorithm: "sha256", Hex: hex}, blobs); err != nil {
			return err
		}
	}
	if err := s.sweep("blobs/sha256", r, func(name string) bool { return blobs[name] }); err != nil {
		return err
	}
	if err := s.sweep("unpacked", r, func(name string) bool { return images[strings.TrimSuffix(name, ".lock")] }); err != nil {
		return err
	}
	if err := s.sweep("signatures", r, func(name string) bool { return images[strings.TrimSuffix(name, ".json")] }); err != nil {
		return err
	}
	return s.sweep("ingest", r, func(name string) bool { return !partial && !strings.HasPrefix(name, "new-") })
}

// collectUse adds the images that somebody has open, and forgets the others'
// locks.
func (s *Store) collectUse(images map[string]bool, r *Removed) error {
	list, err := os.ReadDir(s.path("use"))
	if err != nil {
		return err
	}
	for _, e := range list {
		l := flock.New(s.path("use", e.Name()))
		free, err := l.TryLock()
		hex := strings.TrimSuffix(e.Name(), ".lock")
		switch {
		case err != nil:
		case !free:
			r.Deferred = r.Deferred || !images[hex]
			images[hex] = true
		case !images[hex]:
			err = os.Remove(l.Path())
		}
		l.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// mark notes the blobs of an image.
func (s *Store) mark(h v1.Hash, blobs map[string]bool) error {
	blobs[h.Hex] = true
	b, err := s.readBlob(h, s.limits.Manifest)
	if errors.Is(err, ErrDamaged) { // it says nothing of its blobs
		return nil
	}
	if err != nil {
		return err
	}
	m, err := v1.ParseManifest(strings.NewReader(string(b)))
	if err != nil {
		return nil
	}
	blobs[m.Config.Digest.Hex] = true
	for _, d := range m.Layers {
		blobs[d.Digest.Hex] = true
	}
	return nil
}

// sweep removes what is not to be kept of a directory.
func (s *Store) sweep(dir string, r *Removed, keep func(name string) bool) error {
	list, err := os.ReadDir(s.path(dir))
	if err != nil {
		return err
	}
	for _, e := range list {
		if keep(e.Name()) {
			continue
		}
		r.Freed += treeSize(s.path(dir, e.Name()))
		if e.IsDir() && !strings.HasPrefix(e.Name(), "part-") {
			err = s.removeTree(dir, e.Name())
		} else {
			err = os.RemoveAll(s.path(dir, e.Name()))
		}
		if err != nil {
			return fmt.Errorf("remove %s: %w", s.path(dir, e.Name()), err)
		}
	}
	return nil
}

// treeSize returns the bytes of the files at a path. It is for people; what
// cannot be read counts as nothing.
func treeSize(root string) (n int64) {
	_ = filepath.WalkDir(root, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return nil
	})
	return n
}
