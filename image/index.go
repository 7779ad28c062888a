package image

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/hako-run/hako/internal/nearest"
)

// Annotations of the descriptors in index.json.
const (
	annotationName  = "org.opencontainers.image.ref.name" // the canonical reference; none: untagged
	annotationIndex = "run.hako.index"                    // digest of the index that the image was chosen from
)

// An entry is a name that the store has for an image.
type entry struct {
	desc  v1.Descriptor // of the manifest
	ref   Reference     // zero if untagged
	index string        // digest of the index it comes from, "" if it comes from none
}

func (e entry) untagged() bool { return e.ref == Reference{} }

// is reports whether the entry is what ref asks for.
func (e entry) is(ref Reference) bool {
	if e.ref == ref {
		return !e.untagged()
	}
	return ref.digest != "" && (e.untagged() || e.ref.registry == ref.registry && e.ref.repository == ref.repository) &&
		(e.desc.Digest.String() == ref.digest || e.index == ref.digest)
}

// entries reads index.json. No file: no entries.
func (s *Store) entries() ([]entry, error) {
	b, err := os.ReadFile(s.path("index.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the image store's index: %w", err)
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(b))
	if err != nil {
		return nil, errorOf(ErrDamaged, "the image store's index %s is damaged: %v", s.path("index.json"), err)
	}
	list := make([]entry, 0, len(index.Manifests))
	for _, d := range index.Manifests {
		if err := checkDescriptor(d); err != nil {
			return nil, fmt.Errorf("the image store's index %s: %w", s.path("index.json"), err)
		}
		e := entry{desc: d, index: d.Annotations[annotationIndex]}
		if text := d.Annotations[annotationName]; text != "" {
			if e.ref, err = ParseReference(text); err != nil {
				return nil, errorOf(ErrDamaged, "the image store's index %s is damaged: %v", s.path("index.json"), err)
			}
		}
		list = append(list, e)
	}
	return list, nil
}

// change rewrites index.json by f, which returns the new entries.
func (s *Store) change(ctx context.Context, f func([]entry) ([]entry, error)) error {
	unlock, err := s.lock(ctx, true, "index.lock")
	if err != nil {
		return err
	}
	defer unlock()
	list, err := s.entries()
	if err != nil {
		return err
	}
	if list, err = f(list); err != nil {
		return err
	}
	slices.SortStableFunc(list, func(a, b entry) int { return strings.Compare(a.ref.Canonical(), b.ref.Canonical()) })
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
	for _, e := range list {
		d := e.desc
		d.Annotations = map[string]string{}
		if !e.untagged() {
			d.Annotations[annotationName] = e.ref.Canonical()
		}
		if e.index != "" {
			d.Annotations[annotationIndex] = e.index
		}
		index.Manifests = append(index.Manifests, d)
	}
	b, err := json.MarshalIndent(index, "", "  ")
	if err != nil {
		return err
	}
	return s.replace("index.json", append(b, '\n'))
}

// name gives an image a name, or none if it is untagged. What had the name
// before stays as an untagged image.
func (s *Store) name(ctx context.Context, add entry) error {
	return s.change(ctx, func(list []entry) ([]entry, error) {
		return named(list, add), nil
	})
}

func named(list []entry, add entry) []entry {
	var kept []entry
	var replaced []entry
	for _, e := range list {
		switch {
		case e.ref == add.ref && !add.untagged():
			if e.desc.Digest != add.desc.Digest {
				replaced = append(replaced, entry{desc: e.desc, index: e.index})
			}
		case e.untagged() && e.desc.Digest == add.desc.Digest:
		default:
			kept = append(kept, e)
		}
	}
	has := func(d v1.Hash) bool {
		return slices.ContainsFunc(kept, func(e entry) bool { return e.desc.Digest == d })
	}
	for _, e := range replaced {
		if !has(e.desc.Digest) {
			kept = append(kept, e)
		}
	}
	if add.untagged() && has(add.desc.Digest) {
		return kept
	}
	return append(kept, add)
}

// minID is how short an image's digest may be abbreviated.
const minID = 4

// find returns the entries that a text names: those of its reference, else
// those of the image with that digest or beginning of one.
func (s *Store) find(text string) (Reference, []entry, error) {
	list, err := s.entries()
	if err != nil {
		return Reference{}, nil, err
	}
	ref, refErr := ParseReference(text)
	var found []entry
	if refErr == nil {
		for _, e := range list {
			if e.is(ref) {
				found = append(found, e)
			}
		}
	}
	if len(found) > 0 {
		return ref, found, nil
	}
	id := strings.TrimPrefix(text, "sha256:")
	if len(id) >= minID && strings.Trim(id, "0123456789abcdef") == "" {
		for _, e := range list {
			if strings.HasPrefix(e.desc.Digest.Hex, id) {
				found = append(found, e)
			}
		}
		for _, e := range found {
			if e.desc.Digest != found[0].desc.Digest {
				return Reference{}, nil, errorOf(ErrUnknownImage, "%q begins the digests of several images, %s and %s: give more of it", text, short(found[0].desc.Digest), short(e.desc.Digest))
			}
		}
		if len(found) > 0 {
			return Reference{}, found, nil
		}
	}
	if refErr != nil {
		return Reference{}, nil, refErr
	}
	return Reference{}, nil, &UnknownImageError{Name: text, Nearest: nearestName(ref, list)}
}

// nearestName returns the name that may be meant: another tag of the same
// image, or what is spelled alike; "" if there is none.
func nearestName(ref Reference, list []entry) string {
	var tags, all []string
	for _, e := range list {
		if e.untagged() {
			continue
		}
		all = append(all, e.ref.String())
		if e.ref.Name() == ref.Name() {
			tags = append(tags, e.ref.String())
		}
	}
	if len(tags) > 0 {
		return cmp.Or(nearest.Of(ref.String(), slices.Values(tags)), tags[0])
	}
	if near := nearest.Of(ref.String(), slices.Values(all)); near != "" {
		return near
	}
	for _, e := range list { // the name without its tag
		if !e.untagged() && nearest.Of(ref.Name(), slices.Values([]string{e.ref.Name()})) != "" {
			return e.ref.String()
		}
	}
	return ""
}

// short returns a digest as people read it.
func short(h v1.Hash) string { return h.Hex[:min(12, len(h.Hex))] }
