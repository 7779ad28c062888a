package image

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// compression is fixed, as it decides on digests.
const compression = 6

// A layer is one that is in the store.
type layer struct {
	desc v1.Descriptor
	diff v1.Hash // of its uncompressed bytes
}

func sha256Hash(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}

// writeLayer keeps files as a layer. The same files and time give the same
// bytes.
func (s *Store) writeLayer(ctx context.Context, files map[string]*node, at time.Time) (layer, error) {
	var l layer
	desc, err := s.writeBlob(types.OCILayer, func(w io.Writer) error {
		z, err := gzip.NewWriterLevel(w, compression)
		if err != nil {
			return err
		}
		sum := sha256.New()
		t := tar.NewWriter(io.MultiWriter(z, sum))
		names := make([]string, 0, len(files))
		for name := range files {
			names = append(names, name)
		}
		slices.SortFunc(names, comparePaths)
		for _, name := range names {
			if err := writeNode(ctx, t, name, files[name], at); err != nil {
				return fmt.Errorf("/%s: %w", name, err)
			}
		}
		if err := errors.Join(t.Close(), z.Close()); err != nil {
			return err
		}
		l.diff = sha256Hash(sum)
		return nil
	})
	l.desc = desc
	return l, err
}

func writeNode(ctx context.Context, t *tar.Writer, name string, n *node, at time.Time) error {
	h := &tar.Header{Name: name, Mode: int64(n.mode.Perm()), ModTime: at, Format: tar.FormatPAX}
	switch n.mode.Type() {
	case fs.ModeDir:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case fs.ModeSymlink:
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, n.target, 0o777
	default:
		h.Typeflag, h.Size = tar.TypeReg, n.size
	}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	r, err := n.open()
	if err != nil {
		return err
	}
	defer r.Close()
	switch written, err := io.Copy(t, &contextReader{ctx, r}); {
	case errors.Is(err, tar.ErrWriteTooLong), err == nil && written < n.size:
		return errors.New("it was changed while it was read: build again")
	default:
		return err
	}
}

// writeBlob keeps what f writes.
func (s *Store) writeBlob(media types.MediaType, f func(w io.Writer) error) (v1.Descriptor, error) {
	var d v1.Descriptor
	if err := s.check(opCreate, "blob"); err != nil {
		return d, diskError(err)
	}
	file, err := os.CreateTemp(s.path("ingest"), "new-")
	if err != nil {
		return d, diskError(err)
	}
	defer os.Remove(file.Name()) // of no effect once it is renamed
	defer file.Close()
	sum := sha256.New()
	count := &countingWriter{w: io.MultiWriter(&checkedWriter{s, file}, sum)}
	if err := f(count); err != nil {
		return d, diskError(err)
	}
	if err := s.syncFile(file); err != nil {
		return d, diskError(err)
	}
	if err := file.Chmod(0o644); err != nil {
		return d, err
	}
	d = v1.Descriptor{MediaType: media, Size: count.n, Digest: sha256Hash(sum)}
	if s.hasBlob(d) {
		return d, nil
	}
	if err := file.Close(); err != nil {
		return d, diskError(err)
	}
	return d, diskError(s.rename(file.Name(), s.blobPath(d.Digest)))
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// writeJSON keeps v as a blob.
func (s *Store) writeJSON(ctx context.Context, media types.MediaType, v any) (v1.Descriptor, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return v1.Descriptor{}, err
	}
	h, err := s.putBytes(ctx, b)
	return v1.Descriptor{MediaType: media, Size: int64(len(b)), Digest: h}, err
}

// writeImage keeps an image's configuration and manifest.
func (s *Store) writeImage(ctx context.Context, file *v1.ConfigFile, layers []layer, annotations map[string]string) (v1.Descriptor, error) {
	m := &v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Layers: []v1.Descriptor{}, Annotations: annotations}
	file.RootFS = v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{}}
	for _, l := range layers {
		m.Layers = append(m.Layers, l.desc)
		file.RootFS.DiffIDs = append(file.RootFS.DiffIDs, l.diff)
	}
	var err error
	if m.Config, err = s.writeJSON(ctx, types.OCIConfigJSON, file); err != nil {
		return v1.Descriptor{}, err
	}
	d, err := s.writeJSON(ctx, types.OCIManifestSchema1, m)
	d.Platform = &v1.Platform{OS: file.OS, Architecture: file.Architecture}
	return d, err
}
