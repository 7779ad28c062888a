package vfscore

import (
	"fmt"

	"github.com/hako-run/hako/pagestore"
)

// Write writes p at off, as SQLite's xWrite. It does not keep p. Nothing of it
// is visible to others before SyncDatabase.
func (m *Main) Write(p []byte, off int64) Code {
	if code, done := m.beginWrite(off == 0 && len(p) >= HeaderSize, p); done {
		return code
	}
	ps := int64(m.tx.PageSize())
	for len(p) > 0 {
		n, in := uint32(off/ps)+1, off%ps
		piece := p[:min(int64(len(p)), ps-in)]
		data := piece
		if int64(len(piece)) < ps {
			data = m.buffer(int(ps))
			if code := m.readTxPage(n, data); code != OK {
				return code
			}
			copy(data[in:], piece)
		}
		if err := m.tx.WritePage(n, data); err != nil {
			return m.s.fail(fmt.Errorf("write page %d of %s: %w", n, m.name, err), IOErrWrite)
		}
		if n == 1 {
			m.wroteFirst, m.prepared = true, false
		}
		p, off = p[len(piece):], off+int64(len(piece))
		m.size = max(m.size, off)
	}
	return OK
}

// Truncate sets the file's length, as SQLite's xTruncate.
func (m *Main) Truncate(size int64) Code {
	if m.state == committed {
		return OK // SQLite cuts off what the commit has cut off already
	}
	if code, done := m.beginWrite(false, nil); done {
		if m.state == failed && size == 0 {
			m.lastCount = m.counter // a rollback to the empty database
		}
		return code
	}
	ps := int64(m.tx.PageSize())
	if in := size % ps; in != 0 && size < m.size { // what was cut off reads as zeros if the file grows again
		data := m.buffer(int(ps))
		n := uint32(size/ps) + 1
		if code := m.readTxPage(n, data); code != OK {
			return code
		}
		clear(data[in:])
		if err := m.tx.WritePage(n, data); err != nil {
			return m.s.fail(fmt.Errorf("truncate %s: %w", m.name, err), IOErrTruncate)
		}
	}
	m.tx.Truncate(uint32((size + ps - 1) / ps))
	m.size = size
	if size == 0 {
		m.wroteFirst = false
	}
	return OK
}

// beginWrite prepares the transaction for a write. If done the write is over,
// with the code. first says that p is written to page 1.
func (m *Main) beginWrite(first bool, p []byte) (code Code, done bool) {
	switch m.state {
	case writing:
		return OK, false
	case failed:
		if first {
			m.lastCount = Header(p).Counter()
		}
		return OK, true
	case committed:
		err := fmt.Errorf("write to %s again before its lock was released: %w: set locking_mode to NORMAL before the database is attached", m.name, errMode)
		return m.s.fail(err, IOErrWrite), true
	case queued: // another part of the transaction failed
		m.s.leaveSuper(m)
		m.state = writing
		return OK, false
	}
	switch {
	case m.readOnly || m.pin != nil:
		return m.refuse(), true
	case m.lock < LockReserved:
		return m.s.fail(fmt.Errorf("write to %s without a lock", m.name), IOErrWrite), true
	case m.journal == nil:
		err := fmt.Errorf("write to %s without a rollback journal: %w: set journal_mode to DELETE before the database is attached", m.name, errMode)
		return m.s.fail(err, IOErrWrite), true
	}
	tx, err := m.db.Begin(pagestore.TxOptions{Writer: m.writer, Snapshot: m.snap})
	if err != nil {
		return m.s.fail(fmt.Errorf("write to %s: %w", m.name, err), IOErrWrite), true
	}
	if m.s.optimistic {
		for n := range m.reads.All() {
			tx.RecordRead(n)
		}
	}
	m.tx, m.state = tx, writing
	m.size = int64(tx.PageCount()) * int64(tx.PageSize())
	return OK, false
}
