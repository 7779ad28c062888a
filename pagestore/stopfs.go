package pagestore

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
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
//
// Once the store is stopped, nothing changes the directory any more: Pebble's
// flushes and compactions are parked at their next change, as the directory
// may be opened anew, by this process too, and they would remove its files.
type stopFS struct {
	vfs.FS
	s     *Store
	armed atomic.Bool  // after Open, before Close: both handle errors themselves
	gate  sync.RWMutex // read-locked during each change

	opening  atomic.Bool // during Open: a flush that fails would be tried for ever
	unmarked atomic.Bool // a mark could not be kept

	mu   sync.Mutex
	lock io.Closer // Pebble's own lock
}

// met stops the store and does not return if err may not reach Pebble.
func (f *stopFS) met(what, name string, vital bool, err error) error {
	if err == nil || !f.opening.Load() && !(vital && f.armed.Load()) {
		return err
	}
	f.s.stop(fmt.Errorf("%s %s: %w", what, name, err))
	select {}
}

// change makes a change, unless the store is stopped: then it does not return.
func (f *stopFS) change(do func() error) error {
	f.gate.RLock()
	if f.s.fatal.Load() != nil {
		f.gate.RUnlock()
		select {}
	}
	err := do()
	f.gate.RUnlock()
	return err
}

// settle waits, after the store was stopped, until nothing changes the
// directory any more, and gives Pebble's lock on it back.
func (f *stopFS) settle() error {
	f.gate.Lock()
	f.gate.Unlock() //lint:ignore SA2001 those who come later see that it is stopped
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lock == nil {
		return nil
	}
	return f.lock.Close()
}

// vital tells the files whose errors stop the store.
func (f *stopFS) vital(name string) bool {
	base := f.FS.PathBase(name)
	return strings.HasSuffix(base, ".log") || strings.HasPrefix(base, "MANIFEST-") || strings.HasPrefix(base, "marker.")
}

// open opens a file to be written.
func (f *stopFS) open(name string, open func() (vfs.File, error)) (file vfs.File, err error) {
	err = f.change(func() error {
		file, err = open()
		return err
	})
	vital := f.vital(name)
	if err = f.met("create", name, vital, err); err != nil {
		return nil, err
	}
	if strings.HasSuffix(name, ".log") {
		file = newLogAhead(file)
	}
	sf := &stopFile{File: file, fs: f, name: name, vital: vital}
	if sf.mark, sf.marked = markOf(f.FS.PathBase(name)); sf.marked && sf.mark.kind == markLog {
		f.note(sf.mark)
	}
	return sf, nil
}

// note keeps a mark, as well as it can.
func (f *stopFS) note(m syncMark) {
	if err := f.s.marks.note(m); err != nil && !f.unmarked.Swap(true) {
		f.s.log.Warn("store: damage to the newest part of the log may go unnoticed: its length cannot be kept", "dir", f.s.dir, "error", err)
	}
}

func (f *stopFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open(name, func() (vfs.File, error) { return f.FS.Create(name, c) })
}

func (f *stopFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open(name, func() (vfs.File, error) { return f.FS.ReuseForWrite(old, name, c) })
}

func (f *stopFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return f.open(name, func() (vfs.File, error) { return f.FS.OpenReadWrite(name, c, o...) })
}

func (f *stopFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, f.met("open", name, true, err)
	}
	return &stopFile{File: file, fs: f, name: name, vital: true}, nil
}

func (f *stopFS) Link(old, name string) error {
	return f.change(func() error { return f.FS.Link(old, name) })
}

func (f *stopFS) Remove(name string) error {
	return f.change(func() error { return f.FS.Remove(name) })
}

func (f *stopFS) RemoveAll(name string) error {
	return f.change(func() error { return f.FS.RemoveAll(name) })
}

func (f *stopFS) Rename(old, name string) error {
	return f.change(func() error { return f.FS.Rename(old, name) })
}

func (f *stopFS) MkdirAll(dir string, perm os.FileMode) error {
	return f.change(func() error { return f.FS.MkdirAll(dir, perm) })
}

// Lock takes the lock, and keeps it at hand: a Pebble that was stopped is
// never closed, and would hold it for as long as the process lives.
func (f *stopFS) Lock(name string) (io.Closer, error) {
	c, err := f.FS.Lock(name)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lock = &onceCloser{c: c}
	return f.lock, nil
}

func (f *stopFS) Unwrap() vfs.FS { return f.FS }

type onceCloser struct {
	once sync.Once
	c    io.Closer
}

func (o *onceCloser) Close() (err error) {
	o.once.Do(func() { err = o.c.Close() })
	return err
}

type stopFile struct {
	vfs.File
	fs    *stopFS
	name  string
	vital bool

	marked bool
	mark   syncMark // with the length written so far
}

func (f *stopFile) change(what string, do func() error) error {
	return f.fs.met(what, f.name, f.vital, f.fs.change(do))
}

func (f *stopFile) Write(p []byte) (n int, err error) {
	err = f.change("write", func() error { n, err = f.File.Write(p); return err })
	f.mark.length += int64(n)
	return n, err
}

func (f *stopFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.change("write", func() error { n, err = f.File.WriteAt(p, off); return err })
	return n, err
}

func (f *stopFile) Preallocate(off, n int64) error {
	return f.change("reserve space for", func() error { return f.File.Preallocate(off, n) })
}

func (f *stopFile) Sync() error { return f.sync(f.File.Sync) }

func (f *stopFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *stopFile) sync(do func() error) error {
	return f.change("sync", func() error {
		err := do()
		if err == nil && f.marked {
			f.fs.note(f.mark)
		}
		return err
	})
}

func (f *stopFile) SyncTo(n int64) (full bool, err error) {
	err = f.change("sync", func() error { full, err = f.File.SyncTo(n); return err })
	return full, err
}

func (f *stopFile) Close() error {
	return f.fs.met("close", f.name, f.vital, f.File.Close())
}
