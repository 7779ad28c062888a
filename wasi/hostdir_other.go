//go:build !linux && !darwin

package wasi

import (
	"errors"
	"io"
	"os"
	"path"
	"sync"
	"time"
)

// hostDir is a directory of the host, confined by os.Root. What os.Root has
// no call for is not supported: times of links, renaming onto directories.
type hostDir struct {
	mu      sync.Mutex
	root    *os.Root
	top     bool
	listing []DirEntry
}

func openHostDir(name string) (*hostDir, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return &hostDir{root: root, top: true}, nil
}

func (d *hostDir) Close() error        { return d.root.Close() }
func (d *hostDir) Sync(bool) error     { return nil }
func (d *hostDir) Stat() (Stat, error) { return d.Lookup(".", true) }

func (d *hostDir) SetTimes(t Times) error { return d.SetTimesOf(".", true, t) }

func (d *hostDir) Lookup(name string, follow bool) (Stat, error) {
	look := d.root.Lstat
	if follow {
		look = d.root.Stat
	}
	info, err := look(name)
	if err != nil {
		return Stat{}, err
	}
	return statOf(info), nil
}

func (d *hostDir) Open(name string, flags OpenFlags) (Node, error) {
	st, err := d.Lookup(name, flags&OpenNoFollow == 0)
	switch {
	case errnoOf(err) == ENOENT && flags&OpenCreate != 0:
	case err != nil:
		return nil, err
	case flags&OpenExclusive != 0 && flags&OpenCreate != 0:
		return nil, EEXIST
	case st.Type == TypeSymlink:
		return nil, ELOOP
	case st.Type == TypeDirectory:
		if flags.mutates() {
			return nil, EISDIR
		}
		root, err := d.root.OpenRoot(name)
		if err != nil {
			return nil, err
		}
		return &hostDir{root: root, top: d.top && path.Clean(name) == "."}, nil
	case flags&OpenDirectory != 0:
		return nil, ENOTDIR
	default:
		if err := st.openable(); err != nil {
			return nil, err
		}
	}
	how := os.O_RDONLY
	if flags&OpenWrite != 0 {
		how = os.O_RDWR
	}
	for flag, o := range map[OpenFlags]int{
		OpenCreate: os.O_CREATE, OpenExclusive: os.O_EXCL, OpenTruncate: os.O_TRUNC, OpenSync: os.O_SYNC,
	} {
		if flags&flag != 0 {
			how |= o
		}
	}
	f, err := d.root.OpenFile(name, how, 0o666)
	if err != nil {
		return nil, err
	}
	return &hostFile{f: f}, nil
}

func (d *hostDir) SetTimesOf(name string, follow bool, t Times) error {
	if st, err := d.Lookup(name, false); err == nil && st.Type == TypeSymlink && !follow {
		return ENOTSUP
	}
	var access, modify time.Time
	if t.Access != nil {
		access = *t.Access
	}
	if t.Modify != nil {
		modify = *t.Modify
	}
	return d.root.Chtimes(name, access, modify)
}

func (d *hostDir) Mkdir(name string) error { return d.root.Mkdir(name, 0o777) }

func (d *hostDir) Rmdir(name string) error  { return d.remove(name, true) }
func (d *hostDir) Unlink(name string) error { return d.remove(name, false) }

func (d *hostDir) remove(name string, dir bool) error {
	st, err := d.Lookup(name, false)
	switch {
	case err != nil:
		return err
	case dir && st.Type != TypeDirectory:
		return ENOTDIR
	case !dir && st.Type == TypeDirectory:
		return EISDIR
	}
	return d.root.Remove(name)
}

func (d *hostDir) Rename(name string, to Dir, newName string) error {
	if to != Dir(d) {
		return EXDEV
	}
	return d.root.Rename(name, newName)
}

func (d *hostDir) Link(name string, follow bool, to Dir, newName string) error {
	if follow {
		return EINVAL
	}
	if to != Dir(d) {
		return EXDEV
	}
	return d.root.Link(name, newName)
}

func (d *hostDir) Symlink(target, name string) error    { return d.root.Symlink(target, name) }
func (d *hostDir) Readlink(name string) (string, error) { return d.root.Readlink(name) }

// ReadDir's cookies count the names of a listing that is taken at cookie 0.
func (d *hostDir) ReadDir(cookie uint64, yield func(DirEntry) bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if cookie == 0 || d.listing == nil {
		listing, err := list(d.root, d.top)
		if err != nil {
			return err
		}
		d.listing = listing
	}
	return yieldFrom(d.listing, cookie, yield)
}

// hostFile is an open regular file of the host.
type hostFile struct{ f *os.File }

func (f *hostFile) Close() error              { return f.f.Close() }
func (f *hostFile) Sync(bool) error           { return f.f.Sync() }
func (f *hostFile) SetTimes(Times) error      { return ENOTSUP }
func (f *hostFile) Truncate(size int64) error { return f.f.Truncate(size) }

func (f *hostFile) Stat() (Stat, error) {
	info, err := f.f.Stat()
	if err != nil {
		return Stat{}, err
	}
	return statOf(info), nil
}

func (f *hostFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.f.ReadAt(p, off)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

func (f *hostFile) WriteAt(p []byte, off int64) (int, error) { return f.f.WriteAt(p, off) }

func (f *hostFile) Append(p []byte) (int, int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	n, err := f.f.WriteAt(p, st.Size)
	return n, st.Size + int64(n), err
}

func (f *hostFile) Allocate(off, n int64) error {
	st, err := f.Stat()
	if err != nil || st.Size >= off+n {
		return err
	}
	return f.f.Truncate(off + n)
}
