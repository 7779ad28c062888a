package pagestore

import (
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A stopFS stands between Pebble and the file system. Pebble cannot go on
// after a failed write of its write-ahead log or manifest: it panics with
// locks held, which ends the process. Instead the store is stopped, what has
// been acknowledged being on disk, and the goroutine that met the error is
// parked for good inside the file system call, so that Pebble never learns of
// it. Everyone else gets the store's fatalError. Errors of other files, which
// Pebble handles, pass through.
type stopFS struct {
	vfs.FS
	s     *Store
	armed atomic.Bool // after Open, before Close: both handle errors themselves
}

// met stops the store and does not return if err may not reach Pebble.
func (f *stopFS) met(what, name string, err error) error {
	if err == nil || !f.armed.Load() {
		return err
	}
	f.s.stop(fmt.Errorf("%s %s: %w", what, name, err))
	select {}
}

// vital tells the files whose errors stop the store.
func (f *stopFS) vital(name string) bool {
	base := f.FS.PathBase(name)
	return strings.HasSuffix(base, ".log") || strings.HasPrefix(base, "MANIFEST-") || strings.HasPrefix(base, "marker.")
}

func (f *stopFS) wrap(file vfs.File, name string, err error, what string) (vfs.File, error) {
	if !f.vital(name) {
		return file, err
	}
	if err != nil {
		return nil, f.met(what, name, err)
	}
	return &stopFile{File: file, fs: f, name: name}, nil
}

func (f *stopFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	return f.wrap(file, name, err, "create")
}

func (f *stopFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(old, name, c)
	return f.wrap(file, name, err, "create")
}

func (f *stopFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, f.met("open", name, err)
	}
	return &stopFile{File: file, fs: f, name: name}, nil
}

func (f *stopFS) Unwrap() vfs.FS { return f.FS }

type stopFile struct {
	vfs.File
	fs   *stopFS
	name string
}

func (f *stopFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.fs.met("write", f.name, err)
}

func (f *stopFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	return n, f.fs.met("write", f.name, err)
}

func (f *stopFile) Preallocate(off, n int64) error {
	return f.fs.met("reserve space for", f.name, f.File.Preallocate(off, n))
}

func (f *stopFile) Sync() error { return f.fs.met("sync", f.name, f.File.Sync()) }

func (f *stopFile) SyncData() error { return f.fs.met("sync", f.name, f.File.SyncData()) }

func (f *stopFile) SyncTo(n int64) (bool, error) {
	full, err := f.File.SyncTo(n)
	return full, f.fs.met("sync", f.name, err)
}

func (f *stopFile) Close() error { return f.fs.met("close", f.name, f.File.Close()) }
