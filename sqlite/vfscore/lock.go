package vfscore

import (
	"fmt"

	"github.com/hako-run/hako/pagestore"
)

// Lock raises the file's lock, as SQLite's xLock.
func (m *Main) Lock(level LockLevel) Code {
	if level <= m.lock {
		return OK
	}
	if m.lock == LockNone {
		if code := m.lockShared(); code != OK {
			m.releaseGrant()
			return code
		}
	}
	if level >= LockReserved && m.lock < LockReserved {
		if code := m.lockReserved(); code != OK {
			return code
		}
	}
	m.lock = level
	return OK
}

// lockShared takes the snapshot that the transaction reads.
func (m *Main) lockShared() Code {
	snap := m.pin
	if snap == nil {
		var err error
		if snap, err = m.db.HeadSnapshot(); err != nil {
			return m.s.fail(fmt.Errorf("read %s: %w", m.name, err), IOErrLock)
		}
	}
	if err := m.see(snap); err != nil {
		m.closeSnap(snap)
		return m.s.fail(fmt.Errorf("read %s: %w", snap, err), IOErrLock)
	}
	if m.s.optimistic {
		m.reads = pagestore.PageSet{}
	}
	m.lock = LockShared
	return OK
}

// see makes snap what the connection reads and picks the change counter that
// it is shown with.
func (m *Main) see(snap *pagestore.Snapshot) error {
	c := snap.Commit()
	if m.have && m.snap == nil && m.believedAt == c.Version && !m.s.optimistic {
		m.snap, m.counter = snap, m.believed // nothing has changed
		return nil
	}
	meta, err := MetaOf(c)
	if err != nil {
		return err
	}
	if c.PageCount == 0 {
		// Of an empty file SQLite reads no counter: it goes on believing in the
		// one it knows, but its cache is no longer of that version.
		m.snap, m.meta, m.counter, m.have = snap, meta, 0, false
		m.believedAt = ^pagestore.Version(0)
		return nil
	}
	counter := meta.ChangeCounter(c.Version)
	switch {
	case m.s.optimistic:
		counter = m.believed + 1
	case c.Version == m.believedAt && m.believed != 0:
		counter = m.believed
	case counter == m.believed:
		counter ^= 1 << 31
	}
	m.snap, m.meta, m.counter, m.have = snap, meta, counter, false
	m.believe(counter, c.Version)
	return nil
}

// believe notes which counter SQLite takes for which version.
func (m *Main) believe(counter uint32, v pagestore.Version) { m.believed, m.believedAt = counter, v }

// closeSnap closes snap unless it is the pin.
func (m *Main) closeSnap(snap *pagestore.Snapshot) {
	if snap != nil && snap != m.pin {
		snap.Close()
	}
}

// lockReserved makes the session the database's writer.
func (m *Main) lockReserved() Code {
	if m.readOnly || m.pin != nil {
		return m.refuse()
	}
	if m.s.optimistic {
		return OK
	}
	w := m.grant
	m.grant = nil
	if w == nil {
		var err error
		if w, err = m.db.TryWriter(); err != nil {
			m.s.refused = m
			return m.s.fail(err, IOErrLock)
		}
	}
	if head := m.db.Head().Version; head != m.snap.Version() {
		w.Close()
		m.s.refused = m
		m.s.err = fmt.Errorf("write to %s after reading it: version %d has come: %w: begin the transaction again, with BEGIN IMMEDIATE", m.snap, head, pagestore.ErrBusy)
		return BusySnapshot
	}
	m.writer = w
	return OK
}

// releaseGrant gives back a turn that Session.Busy waited for.
func (m *Main) releaseGrant() {
	if m.grant != nil {
		m.grant.Close()
		m.grant = nil
	}
}

// Unlock lowers the file's lock, as SQLite's xUnlock. What was written and not
// committed is discarded.
func (m *Main) Unlock(level LockLevel) Code {
	if level >= m.lock && level != LockNone {
		return OK
	}
	if m.lock >= LockReserved && level < LockReserved {
		m.endWrite()
	}
	if level == LockNone {
		m.releaseGrant()
		if m.snap != nil {
			m.closeSnap(m.snap)
			m.snap = nil
		}
	}
	m.lock = level
	return OK
}

// endWrite ends the write transaction and the session's turn as writer.
func (m *Main) endWrite() {
	m.discard()
	m.state, m.failure = idle, nil
	if m.writer != nil {
		m.writer.Close()
		m.writer = nil
	}
	m.super = ""
	m.lock = LockShared
	m.s.endSupers()
}

// discard rolls the transaction back.
func (m *Main) discard() {
	m.s.leaveSuper(m)
	if m.tx != nil {
		m.tx.Rollback()
		m.tx = nil
	}
	m.size, m.wroteFirst, m.prepared, m.have = 0, false, false, false
}

// Locked reports whether a transaction is under way.
func (m *Main) Locked() bool { return m.lock != LockNone }

// Reserved reports whether this file holds LockReserved or more.
func (m *Main) Reserved() bool { return m.lock >= LockReserved }
