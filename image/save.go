package image

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// annotationImageName is where containerd and Docker look for names.
const annotationImageName = "io.containerd.image.name"

// A parcel is what is saved: files of an OCI layout.
type parcel struct {
	files map[string][]byte // small ones, by name
	blobs map[string]v1.Hash
	sizes map[string]int64
}

// dockerManifest is an element of manifest.json in a docker-archive.
type dockerManifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// pack collects the files of images. Close must be called when they are read.
func (s *Store) pack(ctx context.Context, refs []string) (p *parcel, done func(), err error) {
	var opened []*Image
	done = func() {
		for _, img := range opened {
			img.Close()
		}
	}
	defer func() {
		if err != nil {
			done()
		}
	}()
	p = &parcel{files: map[string][]byte{}, blobs: map[string]v1.Hash{}, sizes: map[string]int64{}}
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
	docker := []dockerManifest{}
	for _, ref := range refs {
		img, err := s.Open(ctx, ref)
		if err != nil {
			return nil, done, err
		}
		opened = append(opened, img)
		_, found, err := s.find(ref)
		if err != nil {
			return nil, done, err
		}
		d := found[0].desc
		d.Annotations = nil
		tags := []string{}
		if img.Name != "" {
			name, err := ParseReference(img.Name)
			if err != nil {
				return nil, done, err
			}
			if name.tag != "" {
				d.Annotations = map[string]string{annotationName: name.Canonical(), annotationImageName: name.Canonical()}
				tags = append(tags, name.String())
			}
		}
		index.Manifests = append(index.Manifests, d)
		p.add(d)
		p.add(img.manifest.Config)
		m := dockerManifest{Config: blobName(img.manifest.Config.Digest), RepoTags: tags, Layers: []string{}}
		for _, l := range img.manifest.Layers {
			p.add(l)
			m.Layers = append(m.Layers, blobName(l.Digest))
		}
		if !img.Artifact {
			docker = append(docker, m)
		}
	}
	if p.files["index.json"], err = json.Marshal(index); err != nil {
		return nil, done, err
	}
	p.files["oci-layout"] = []byte(layoutVersion)
	if len(docker) > 0 {
		if p.files["manifest.json"], err = json.Marshal(docker); err != nil {
			return nil, done, err
		}
	}
	return p, done, nil
}

func blobName(h v1.Hash) string { return "blobs/" + h.Algorithm + "/" + h.Hex }

func (p *parcel) add(d v1.Descriptor) {
	p.blobs[blobName(d.Digest)] = d.Digest
	p.sizes[blobName(d.Digest)] = d.Size
}

// copyBlob writes a blob and checks it.
func (s *Store) copyBlob(ctx context.Context, w io.Writer, h v1.Hash, size int64) error {
	f, err := os.Open(s.blobPath(h))
	if err != nil {
		return errorOf(ErrDamaged, "the image store lacks the blob %s: pull or load its image again", h)
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, sum), &contextReader{ctx, f})
	if err != nil {
		return err
	}
	if n != size || hex.EncodeToString(sum.Sum(nil)) != h.Hex {
		s.discardDamaged(h)
		return errorOf(ErrDamaged, "the blob %s in the image store is damaged: pull or load its image again", h)
	}
	return nil
}

// Save writes images as one archive that is both an OCI archive and, but for
// artifacts, what docker load reads. The same images give the same bytes.
// Progress may be nil.
func (s *Store) Save(ctx context.Context, refs []string, w io.Writer, progress func(done, total int64)) error {
	p, done, err := s.pack(ctx, refs)
	if err != nil {
		return err
	}
	defer done()
	t := tar.NewWriter(w)
	header := func(name string, size int64) error {
		return t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size, ModTime: time.Unix(0, 0), Format: tar.FormatPAX})
	}
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		if err := header(name, int64(len(p.files[name]))); err != nil {
			return err
		}
		if _, err := t.Write(p.files[name]); err != nil {
			return err
		}
	}
	var written, total int64
	for _, n := range p.sizes {
		total += n
	}
	for _, name := range slices.Sorted(maps.Keys(p.blobs)) {
		if err := header(name, p.sizes[name]); err != nil {
			return err
		}
		if err := s.copyBlob(ctx, t, p.blobs[name], p.sizes[name]); err != nil {
			return err
		}
		if written += p.sizes[name]; progress != nil {
			progress(written, total)
		}
	}
	return t.Close()
}

// SaveFile is Save to a file, which appears when it is whole.
func (s *Store) SaveFile(ctx context.Context, refs []string, file string, progress func(done, total int64)) error {
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() && !info.IsDir() { // /dev/stdout
		f, err := os.OpenFile(file, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(s.Save(ctx, refs, f, progress), f.Close())
	}
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-")
	if err != nil {
		return diskError(err)
	}
	defer os.Remove(f.Name()) // of no effect once it is renamed
	err = s.Save(ctx, refs, f, progress)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	return diskError(err)
}

// SaveLayout writes images as an OCI layout into a folder that is empty or not
// there yet.
func (s *Store) SaveLayout(ctx context.Context, refs []string, dir string) error {
	if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
		return fmt.Errorf("%s is not empty", dir)
	}
	p, done, err := s.pack(ctx, refs)
	if err != nil {
		return err
	}
	defer done()
	delete(p.files, "manifest.json")
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return diskError(err)
	}
	write := func(name string, f func(w io.Writer) error) error {
		out, err := os.Create(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return diskError(err)
		}
		err = f(out)
		if e := out.Close(); err == nil {
			err = e
		}
		return diskError(err)
	}
	for name, h := range p.blobs {
		if err := write(name, func(w io.Writer) error { return s.copyBlob(ctx, w, h, p.sizes[name]) }); err != nil {
			return err
		}
	}
	for _, name := range []string{"oci-layout", "index.json"} { // the index last: then it is whole
		if err := write(name, func(w io.Writer) error { _, err := w.Write(p.files[name]); return err }); err != nil {
			return err
		}
	}
	return nil
}
