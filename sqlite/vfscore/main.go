package vfscore

import (
	"errors"
	"fmt"

	"github.com/hako-run/hako/pagestore"
)

// writeState tells how far a write transaction of a Main got.
type writeState uint8

const (
	idle      writeState = iota // nothing was written
	writing                     // tx holds what SQLite wrote
	queued                      // tx waits for the other databases of its super-journal
	committed                   // until the lock is released
	failed                      // what SQLite writes, rolling back, is discarded until the lock is released
)

// A Main is a database file that is open in a session.
type Main struct {
	s        *Session
	vfs      *VFS
	name     string // as it was opened
	db       *pagestore.Database
	opened   *pagestore.Snapshot // if it was opened other than by the head
	pin      *pagestore.Snapshot // read this instead of the head; opened at first
	readOnly bool                // since it was opened
	fixed    bool                // Pin is refused

	lock    LockLevel
	snap    *pagestore.Snapshot // from LockShared on; pin or owned
	meta    Meta                // of snap
	counter uint32              // the change counter that snap is shown with
	header  [HeaderSize]byte    // of snap, as shown, if haveHeader
	have    bool                // header holds snap's
	reads   pagestore.PageSet   // pages read since LockShared; of optimistic sessions

	// What SQLite's cache rests on: it is kept if the counter is still
	// believed, so that must be shown for no version but believedAt.
	believed   uint32
	believedAt pagestore.Version

	writer *pagestore.Writer // from LockReserved on; nil in optimistic sessions
	grant  *pagestore.Writer // got by Session.Busy for the next LockReserved

	state      writeState
	tx         *pagestore.Tx
	size       int64              // bytes, while tx is there
	wroteFirst bool               // tx holds a page 1 that SQLite wrote
	prepared   bool               // and has given it its stored form; SQLite wrote it with lastCount
	lastCount  uint32             // change counter that SQLite wrote last
	doubt      bool               // page 1 was written as that of a WAL file
	failure    error              // why state is failed
	journal    *Temp              // the rollback journal, while it is open
	spare      *pagestore.Scratch // for the next journal
	super      string             // super-journal of the transaction

	page []byte // one page

	// For a Witness: something was committed since it looked last, first of
	// all on top of version before.
	news   bool
	before pagestore.Version
}

// Name returns the name that the file was opened with.
func (m *Main) Name() string { return m.name }

// Database returns the database.
func (m *Main) Database() *pagestore.Database { return m.db }

// Session returns the session that the file is open in.
func (m *Main) Session() *Session { return m.s }

// ReadOnly reports whether the file was opened read-only.
func (m *Main) ReadOnly() bool { return m.readOnly }

// Commit describes the version that the connection sees: that of the
// transaction under way or that which a new one would have.
func (m *Main) Commit() pagestore.Commit {
	switch {
	case m.snap != nil:
		return m.snap.Commit()
	case m.pin != nil:
		return m.pin.Commit()
	}
	return m.db.Head()
}

// Seen returns the version that the last transaction read or, if it wrote,
// committed.
func (m *Main) Seen() pagestore.Version {
	v := m.believedAt
	if v == ^pagestore.Version(0) || v == 0 {
		v = m.Commit().Version // nothing of it is in SQLite's cache
	}
	return v
}

// Pin makes the transactions that follow read the version that at picks, as
// pagestore.ParseAt reads it, and refuses writes. "head" makes them read the
// newest version, and "" what the file was opened with. It fails within a
// transaction.
func (m *Main) Pin(at string) error {
	if m.lock != LockNone {
		return fmt.Errorf("pin %s to %q: a transaction has already read it: end that first", m.db.Name(), at)
	}
	if m.fixed {
		return fmt.Errorf("pin %s to %q: %w: no more than %s was granted", m.db.Name(), at, pagestore.ErrReadOnly, m.name)
	}
	if at == "" {
		m.unpin(m.opened)
		return nil
	}
	ref, err := pagestore.ParseAt(m.db.Name(), at)
	if err != nil {
		return fmt.Errorf("pin %s to %q: %w", m.db.Name(), at, err)
	}
	if ref.Kind == pagestore.RefHead {
		m.unpin(nil)
		return nil
	}
	pin, err := m.db.Store().Snapshot(ref)
	if err != nil {
		return fmt.Errorf("pin %s to %q: %w", m.db.Name(), at, err)
	}
	m.unpin(pin)
	return nil
}

// Pinned reports whether the connection reads one version, whatever is committed.
func (m *Main) Pinned() bool { return m.pin != nil }

// unpin replaces the pin.
func (m *Main) unpin(pin *pagestore.Snapshot) {
	if m.pin != nil && m.pin != m.opened {
		m.pin.Close()
	}
	m.pin = pin
}

// Close closes the file. A transaction under way is rolled back.
func (m *Main) Close() Code {
	m.Unlock(LockNone)
	m.unpin(nil)
	if m.opened != nil {
		m.opened.Close()
	}
	if m.spare != nil {
		m.spare.Close()
	}
	m.s.remove(m)
	return OK
}

// refuse fails a write to a pinned or read-only file.
func (m *Main) refuse() Code {
	why := "open it without a version"
	if m.pin != nil && !m.readOnly {
		why = "SELECT hako_at(NULL) ends the pinning"
	}
	return m.s.fail(fmt.Errorf("write to %s: %w: %s", m.Snapshot(), pagestore.ErrReadOnly, why), ReadOnly)
}

// Snapshot returns the written form of what the connection reads, as in
// shop@42.
func (m *Main) Snapshot() string { return fmt.Sprintf("%s@%d", m.db.Name(), m.Commit().Version) }

var errMode = errors.New("journal mode or locking mode does not allow it")
