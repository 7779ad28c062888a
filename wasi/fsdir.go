package wasi

import (
	"errors"
	"hash/fnv"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
	"sync/atomic"
)

var lastDev atomic.Uint64

// nextDev makes the device number of a file system that is not the host's.
func nextDev() uint64 { return 1<<40 + lastDev.Add(1) }

// FSDir shows an fs.FS to guests, read-only. What the fs.FS has no word for is
// made up: inode numbers come of the paths. Symbolic links are as the fs.FS
// has them: os.DirFS for one follows them anywhere, so directories of the host
// are to be given as [DirGrant] and not this way.
func FSDir(fsys fs.FS) Dir {
	return readOnlyDir{&fsDir{fsys: fsys, dev: nextDev(), at: "."}}
}

// maxUnseekable is how large a file may be that can only be read from its
// beginning: it is kept in memory while it is open.
const maxUnseekable = 64 << 20

// fsDir is a directory of an fs.FS. It is used under a readOnlyDir only.
type fsDir struct {
	readOnlyDir // refuses the changes; its Dir is nil
	fsys        fs.FS
	dev         uint64
	at          string

	mu      sync.Mutex
	listing []DirEntry
}

func (d *fsDir) Close() error    { return nil }
func (d *fsDir) Sync(bool) error { return nil }

// clean makes the path of a name that fs.FS takes. A ".." is undone by the
// part before it, which must be a directory.
func (d *fsDir) clean(name string) (string, error) {
	at := d.at
	for part := range strings.SplitSeq(name, "/") {
		switch part {
		case "", ".":
			continue
		case "..":
			if at == d.at {
				return "", EPERM
			}
			if info, err := fs.Stat(d.fsys, at); err != nil {
				return "", err
			} else if !info.IsDir() {
				return "", ENOTDIR
			}
			at = path.Dir(at)
			continue
		}
		at = path.Join(at, part)
	}
	if !fs.ValidPath(at) {
		return "", ENOENT
	}
	return at, nil
}

func (d *fsDir) stat(at string, info fs.FileInfo) Stat {
	mtim := info.ModTime().UnixNano()
	if info.ModTime().IsZero() {
		mtim = 0
	}
	return Stat{
		Dev: d.dev, Ino: inodeOf(at), Type: typeOf(info.Mode()), Nlink: 1,
		Size: info.Size(), Atim: mtim, Mtim: mtim, Ctim: mtim,
	}
}

func inodeOf(at string) uint64 {
	h := fnv.New64a()
	io.WriteString(h, at)
	return h.Sum64() | 1
}

func (d *fsDir) Stat() (Stat, error) { return d.Lookup(".", true) }

func (d *fsDir) Lookup(name string, _ bool) (Stat, error) {
	at, err := d.clean(name)
	if err != nil {
		return Stat{}, err
	}
	info, err := fs.Stat(d.fsys, at)
	if err != nil {
		return Stat{}, d.notDir(at, err)
	}
	st := d.stat(at, info)
	if strings.HasSuffix(name, "/") && st.Type != TypeDirectory {
		return Stat{}, ENOTDIR
	}
	return st, nil
}

// notDir tells a missing file from a path through a file.
func (d *fsDir) notDir(at string, err error) error {
	if errnoOf(err) == ENOENT {
		for up := path.Dir(at); up != "."; up = path.Dir(up) {
			if info, err := fs.Stat(d.fsys, up); err == nil {
				if !info.IsDir() {
					return ENOTDIR
				}
				break
			}
		}
	}
	return err
}

func (d *fsDir) Open(name string, flags OpenFlags) (Node, error) {
	st, err := d.Lookup(name, true)
	if err != nil {
		return nil, err
	}
	at, err := d.clean(name)
	if err != nil {
		return nil, err
	}
	if st.Type == TypeDirectory {
		return &fsDir{fsys: d.fsys, dev: d.dev, at: at}, nil
	}
	if flags&OpenDirectory != 0 {
		return nil, ENOTDIR
	}
	if err := st.openable(); err != nil {
		return nil, err
	}
	f, err := d.fsys.Open(at)
	if err != nil {
		return nil, err
	}
	return &fsFile{f: f, st: st}, nil
}

func (d *fsDir) Readlink(name string) (string, error) {
	if _, err := d.Lookup(name, false); err != nil {
		return "", err
	}
	return "", EINVAL
}

func (d *fsDir) ReadDir(cookie uint64, yield func(DirEntry) bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listing == nil {
		names, err := fs.ReadDir(d.fsys, d.at)
		if err != nil {
			return err
		}
		up := path.Dir(d.at)
		d.listing = []DirEntry{
			{Name: ".", Ino: inodeOf(d.at), Type: TypeDirectory},
			{Name: "..", Ino: inodeOf(up), Type: TypeDirectory},
		}
		for _, n := range names {
			d.listing = append(d.listing, DirEntry{
				Name: n.Name(), Ino: inodeOf(path.Join(d.at, n.Name())), Type: typeOf(n.Type()),
			})
		}
	}
	return yieldFrom(d.listing, cookie, yield)
}

// fsFile is an open file of an fs.FS.
type fsFile struct {
	readOnlyFile // refuses the changes; its File is nil
	f            fs.File
	st           Stat

	mu   sync.Mutex
	data []byte // the whole, if it can be read in order only
	read bool
}

func (f *fsFile) Stat() (Stat, error) { return f.st, nil }
func (f *fsFile) Close() error        { return f.f.Close() }
func (f *fsFile) Sync(bool) error     { return nil }

func (f *fsFile) ReadAt(p []byte, off int64) (int, error) {
	if off >= f.st.Size {
		return 0, nil // which some fs.FS call an error
	}
	if r, ok := f.f.(io.ReaderAt); ok {
		n, err := r.ReadAt(p, off)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return n, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.read {
		data, err := io.ReadAll(io.LimitReader(f.f, maxUnseekable+1))
		if err != nil {
			return 0, err
		}
		if len(data) > maxUnseekable {
			return 0, EFBIG
		}
		f.data, f.read = data, true
	}
	if off >= int64(len(f.data)) {
		return 0, nil
	}
	return copy(p, f.data[off:]), nil
}
