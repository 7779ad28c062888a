package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// An archive is where images are loaded from: a tar file or a folder.
type archive struct {
	store  *Store
	file   *os.File             // of a tar file
	places map[string]placement // in it
	root   *os.Root             // of a folder
	spool  string               // a file to remove at the end
}

// A placement is where a file lies in a tar file.
type placement struct{ offset, size int64 }

// maxArchiveFiles is how many files an archive may have.
const maxArchiveFiles = 100_000

// openArchive opens a tar file, which may be compressed, or a folder.
func (s *Store) openArchive(ctx context.Context, name string) (*archive, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	if info.IsDir() {
		f.Close()
		root, err := os.OpenRoot(name)
		return &archive{store: s, root: root}, err
	}
	if !info.Mode().IsRegular() { // a pipe
		defer f.Close()
		return s.spoolArchive(ctx, f)
	}
	head := make([]byte, 4)
	n, _ := f.ReadAt(head, 0)
	if head = head[:n]; strings.HasPrefix(string(head), "\x1f\x8b") || string(head) == "\x28\xb5\x2f\xfd" {
		defer f.Close()
		return s.spoolArchive(ctx, f)
	}
	return s.indexArchive(f)
}

// spoolArchive copies what cannot be read at any place, uncompressed, to a
// file.
func (s *Store) spoolArchive(ctx context.Context, r io.Reader) (_ *archive, err error) {
	if err := s.check(opCreate, "archive"); err != nil {
		return nil, diskError(err)
	}
	spool, err := os.CreateTemp(s.path("ingest"), "new-")
	if err != nil {
		return nil, diskError(err)
	}
	defer func() {
		if err != nil {
			spool.Close()
			os.Remove(spool.Name())
		}
	}()
	plain, err := decompress(&contextReader{ctx, r})
	if err != nil {
		return nil, errorOf(ErrDamaged, "it is damaged: %v", err)
	}
	defer plain.Close()
	left := s.limits.Unpacked
	if _, err := io.Copy(&checkedWriter{s, spool}, &limitReader{r: plain, left: &left, limit: s.limits.Unpacked}); err != nil {
		var we *writeError
		if errors.As(err, &we) {
			return nil, diskError(err)
		}
		return nil, layerError(err)
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	a, err := s.indexArchive(spool)
	if err != nil {
		return nil, err
	}
	a.spool = spool.Name()
	return a, nil
}

// indexArchive notes where the files of a tar file lie. It closes f if it
// fails.
func (s *Store) indexArchive(f *os.File) (_ *archive, err error) {
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	a := &archive{store: s, file: f, places: map[string]placement{}}
	links := map[string]string{}
	t := tar.NewReader(f)
	for n := 0; ; n++ {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, errorOf(ErrDamaged, "it is no archive of images, or damaged: %v", err)
		}
		if n == maxArchiveFiles {
			return nil, errorOf(ErrTooLarge, "it has more than %d files", maxArchiveFiles)
		}
		name := path.Clean("/" + h.Name)[1:]
		switch {
		case h.Typeflag == tar.TypeReg && h.PAXRecords["GNU.sparse.major"] == "":
			at, err := f.Seek(0, io.SeekCurrent)
			if err != nil {
				return nil, err
			}
			a.places[name] = placement{at, h.Size}
		case h.Typeflag == tar.TypeSymlink: // a layer that several images of an older docker save share
			links[name] = path.Join("/", path.Dir(name), h.Linkname)[1:]
		case h.Typeflag == tar.TypeLink:
			links[name] = path.Clean("/" + h.Linkname)[1:]
		}
	}
	for name, target := range links {
		if p, ok := a.places[target]; ok {
			if _, taken := a.places[name]; !taken {
				a.places[name] = p
			}
		}
	}
	return a, nil
}

func (a *archive) Close() error {
	if a.root != nil {
		return a.root.Close()
	}
	err := a.file.Close()
	if a.spool != "" {
		os.Remove(a.spool)
	}
	return err
}

// open opens a file of the archive; [fs.ErrNotExist] if it has none of that
// name.
func (a *archive) open(name string) (*io.SectionReader, io.Closer, error) {
	if a.root != nil {
		f, err := a.root.Open(name)
		if err != nil {
			return nil, nil, err
		}
		info, err := f.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = fmt.Errorf("%s is not a file", name)
		}
		if err != nil {
			f.Close()
			return nil, nil, err
		}
		return io.NewSectionReader(f, 0, info.Size()), f, nil
	}
	p, ok := a.places[path.Clean("/" + name)[1:]]
	if !ok {
		return nil, nil, fmt.Errorf("%s: %w", printable(name), fs.ErrNotExist)
	}
	return io.NewSectionReader(a.file, p.offset, p.size), io.NopCloser(nil), nil
}

// read returns a small file.
func (a *archive) read(name string, limit int64) ([]byte, error) {
	r, c, err := a.open(name)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if r.Size() > limit {
		return nil, errorOf(ErrTooLarge, "%s has %d bytes; %d are allowed", name, r.Size(), limit)
	}
	return io.ReadAll(r)
}

// blob opens a file as a blob.
func (a *archive) blob(name string) opener {
	return func(ctx context.Context, offset int64) (io.ReadCloser, int64, error) {
		r, c, err := a.open(name)
		if err != nil {
			return nil, 0, permanentError{errorOf(ErrDamaged, "it lacks %s: %v", name, err)}
		}
		if _, err := r.Seek(offset, io.SeekStart); err != nil {
			c.Close()
			return nil, 0, permanentError{err}
		}
		return struct {
			io.Reader
			io.Closer
		}{r, c}, offset, nil
	}
}
