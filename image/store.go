package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// A Store is a directory of images. It is an OCI image layout (oci-layout,
// index.json, blobs) and beside that holds
//
//	lock          held shared while images are added or opened, exclusively
//	              while what nobody needs is removed
//	index.lock    held while index.json is rewritten
//	ingest        blobs that are not whole yet
//	unpacked      root file systems, each whole, by the manifest's digest
//	signatures    what signs images, by the manifest's digest
//	use           a lock for each manifest, held shared while it is open
//
// A Store holds nothing open between calls, so it needs no Close. Its methods
// may be called from several goroutines.
type Store struct {
	dir    string
	limits Limits

	// fault, in tests, may fail an operation before it happens.
	fault  func(op operation, path string) error
	noSync bool // in tests that write much and lose nothing

	pause time.Duration // before a blob is tried again
}

// Options are a store's settings. The zero value is good.
type Options struct {
	Limits Limits
}

// OpenStore returns the store in dir. Nothing is made there before something
// is kept.
func OpenStore(dir string, o Options) *Store {
	return &Store{dir: dir, limits: o.Limits.withDefaults(), pause: blobPause}
}

// Dir returns the store's directory.
func (s *Store) Dir() string { return s.dir }

// An operation is what a test may let fail.
type operation string

const (
	opCreate operation = "create"
	opWrite  operation = "write"
	opSync   operation = "sync"
	opRename operation = "rename"
)

func (s *Store) check(op operation, path string) error {
	if s.fault == nil {
		return nil
	}
	return s.fault(op, path)
}

const layoutVersion = `{"imageLayoutVersion":"1.0.0"}`

// prepare makes the directories and the files that a layout must have.
func (s *Store) prepare() error {
	for _, dir := range []string{"blobs/sha256", "ingest", "unpacked", "use", "signatures"} {
		if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
			return diskError(fmt.Errorf("make the image store %s: %w", s.dir, err))
		}
	}
	if _, err := os.Stat(s.path("oci-layout")); err == nil {
		return nil
	}
	return s.replace("oci-layout", []byte(layoutVersion))
}

func (s *Store) path(elements ...string) string {
	return filepath.Join(append([]string{s.dir}, elements...)...)
}

// lockEvery is how often a lock that another holds is tried again.
const lockEvery = 10 * time.Millisecond

// lock takes a lock and returns what releases it.
func (s *Store) lock(ctx context.Context, exclusive bool, elements ...string) (release func(), err error) {
	l := flock.New(s.path(elements...))
	take := l.TryRLockContext
	if exclusive {
		take = l.TryLockContext
	}
	if ok, err := take(ctx, lockEvery); err != nil || !ok {
		l.Close()
		return nil, diskError(fmt.Errorf("lock %s: %w", l.Path(), err))
	}
	return func() { l.Close() }, nil
}

// adding keeps what is added from being removed before it is in the index.
func (s *Store) adding(ctx context.Context) (release func(), err error) {
	if err := s.prepare(); err != nil {
		return nil, err
	}
	return s.lock(ctx, false, "lock")
}

// replace writes a small file so that it is, at any time, whole.
func (s *Store) replace(name string, content []byte) error {
	if err := s.replaceFile(name, content); err != nil {
		return diskError(fmt.Errorf("write %s: %w", s.path(name), err))
	}
	return nil
}

func (s *Store) replaceFile(name string, content []byte) error {
	if err := s.check(opCreate, name); err != nil {
		return err
	}
	f, err := os.CreateTemp(s.path("ingest"), "new-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // of no effect once it is renamed
	err = s.check(opWrite, name)
	if err == nil {
		_, err = f.Write(content)
	}
	if err == nil {
		err = s.syncFile(f)
	}
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return s.rename(f.Name(), s.path(name))
}

// rename moves a file or folder within the store, durably.
func (s *Store) rename(from, to string) error {
	if err := s.check(opRename, to); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return s.syncDir(filepath.Dir(to))
}

// exists reports whether there is something at a path of the store.
func (s *Store) exists(elements ...string) (bool, error) {
	_, err := os.Lstat(s.path(elements...))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
