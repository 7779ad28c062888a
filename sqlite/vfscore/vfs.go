package vfscore

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hako-run/hako/pagestore"
)

// A VFS opens databases of one store. It is safe for concurrent use.
type VFS struct {
	store   *pagestore.Store
	owners  func(at *pagestore.Snapshot, pages []uint32) []string
	journal func(name string) bool

	mu    sync.Mutex
	mains map[*Main]struct{}
}

// Options tell a VFS what is around it. The zero value works.
type Options struct {
	// Owners names the tables that pages of a snapshot belong to, for the
	// errors of conflicts.
	Owners func(at *pagestore.Snapshot, pages []uint32) []string
	// Journal reports whether a rollback journal of another VFS exists; nil is
	// taken for yes.
	Journal func(name string) bool
}

// New returns the VFS of a store.
func New(store *pagestore.Store, o Options) *VFS {
	return &VFS{store: store, owners: o.Owners, journal: o.Journal, mains: make(map[*Main]struct{})}
}

// Store returns the store.
func (v *VFS) Store() *pagestore.Store { return v.store }

// Open returns the names of the snapshots that are open, sorted, one for each
// connection that has it open.
func (v *VFS) Open() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	names := make([]string, 0, len(v.mains))
	for m := range v.mains {
		names = append(names, m.name)
	}
	slices.Sort(names)
	return names
}

// SessionOptions tune a session. The zero value works.
type SessionOptions struct {
	Optimistic  bool          // commit without the writer lock
	BusyTimeout time.Duration // how long a writer waits for its turn
}

// NewSession returns a session with no file open.
func (v *VFS) NewSession(o SessionOptions) *Session {
	return &Session{vfs: v, optimistic: o.Optimistic, timeout: o.BusyTimeout}
}

// An OpenOptions says how to open a database.
type OpenOptions struct {
	Create   bool // make it if it does not exist
	ReadOnly bool
	Fixed    bool // refuse Pin: what is named is all that may be read
}

// OpenMain opens the database or snapshot that name names, as
// pagestore.ParseRef reads it. Other than by its head a database opens
// read-only. The code is CantOpen if it fails; Session.Err tells why.
func (s *Session) OpenMain(name string, o OpenOptions) (*Main, Code) {
	return s.OpenMainIn(s.vfs, name, o)
}

// OpenMainIn is OpenMain for a database of another store. One transaction
// cannot change databases of two stores.
func (s *Session) OpenMainIn(v *VFS, name string, o OpenOptions) (*Main, Code) {
	m, err := s.openMain(v, name, o)
	if err != nil {
		s.fail(fmt.Errorf("open %s: %w", name, err), CantOpen)
		return nil, CantOpen
	}
	s.mains = append(s.mains, m)
	v.mu.Lock()
	v.mains[m] = struct{}{}
	v.mu.Unlock()
	return m, OK
}

func (s *Session) openMain(v *VFS, name string, o OpenOptions) (*Main, error) {
	ref, err := pagestore.ParseRef(name)
	if err != nil {
		return nil, err
	}
	store := v.store
	m := &Main{s: s, vfs: v, name: name, readOnly: o.ReadOnly, fixed: o.Fixed}
	if ref.Kind != pagestore.RefHead {
		if m.pin, err = store.Snapshot(ref); err != nil {
			return nil, err
		}
		m.db, m.opened, m.readOnly = m.pin.Database(), m.pin, true
		return m, nil
	}
	if m.db, err = store.Database(ref.Database); err == nil {
		return m, nil
	}
	if !o.Create || !isUnknown(err) {
		return nil, err
	}
	if m.db, err = store.Create(ref.Database, pagestore.CreateOptions{}); isTaken(err) {
		m.db, err = store.Database(ref.Database) // somebody else was quicker
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}
