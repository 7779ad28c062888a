package vfscore

import (
	"errors"
	"fmt"

	"github.com/hako-run/hako/pagestore"
)

// SyncDatabase is SQLITE_FCNTL_SYNC: every page of the transaction is written.
// It commits, or, if SQLite has played back its journal, ends the transaction.
// superName is the super-journal's name, "" if there is none.
func (m *Main) SyncDatabase(superName string) Code {
	switch m.state {
	case idle, committed:
		return OK
	case failed:
		if m.lastCount == m.counter {
			return OK // SQLite has rolled back
		}
		return m.s.fail(m.failure, IOErrSync)
	case queued:
		m.s.leaveSuper(m)
		m.state = writing
	}
	header, code := m.written()
	if code != OK {
		return code
	}
	if header == nil { // rolled back
		m.discard()
		m.state = idle
		return OK
	}
	m.super = superName
	err := m.prepare(header)
	if err == nil && superName != "" {
		if err = m.s.joinSuper(superName, m); err == nil {
			m.state = queued
			return OK
		}
	}
	if err != nil {
		return m.fail(err)
	}
	ctx, cancel := m.s.commitContext()
	defer cancel()
	c, err := m.tx.Commit(ctx)
	if err != nil {
		return m.fail(err)
	}
	m.succeed(c)
	return OK
}

// written returns page 1 as SQLite wrote it, nil if that has the change
// counter of the snapshot.
func (m *Main) written() (Header, Code) {
	if !m.wroteFirst || m.size < HeaderSize {
		return nil, OK
	}
	page := m.buffer(m.tx.PageSize())
	if code := m.readTxPage(1, page); code != OK {
		return nil, code
	}
	h := Header(page)
	m.lastCount = h.Counter()
	if m.lastCount == m.counter {
		return nil, OK
	}
	return h, OK
}

// prepare gives the transaction's pages their stored form. header is page 1.
func (m *Main) prepare(header Header) error {
	ps, count := header.PageSize(), header.PageCount()
	if ps == 0 || count == 0 {
		return fmt.Errorf("commit to %s: page 1 names a page size of %d and %d pages", m.name, ps, count)
	}
	meta := m.meta.Next(m.snap.Version(), header.Cookie())
	if ps != m.tx.PageSize() {
		if err := m.repage(ps, count); err != nil {
			return err
		}
		header = Header(m.buffer(ps))
		if err := m.tx.ReadPage(1, header); err != nil {
			return err
		}
	}
	write, read := header.Modes()
	m.doubt = write == 2 || read == 2
	header.Normalise()
	copy(m.header[:], header)
	if err := m.tx.WritePage(1, header); err != nil {
		return err
	}
	m.tx.Truncate(count)
	m.tx.SetMeta(meta.AppendMeta(nil))
	m.prepared = true
	return nil
}

// repage moves what was written into a transaction with pages of ps bytes:
// VACUUM can change the page size, and writes the new pages over the old.
func (m *Main) repage(ps int, count uint32) error {
	tx, err := m.db.Begin(pagestore.TxOptions{Writer: m.writer, Snapshot: m.snap, PageSize: ps})
	if err != nil {
		return err
	}
	old := int64(m.tx.PageSize())
	page := make([]byte, ps)
	read := func(n uint32, p []byte) Code {
		if n > m.tx.PageCount() {
			clear(p)
			return OK
		}
		if err = m.tx.ReadPage(n, p); err != nil {
			return IOErrRead
		}
		return OK
	}
	for n := uint32(1); n <= count; n++ {
		if m.readPieces(page, int64(n-1)*int64(ps), old, m.size, read); err != nil {
			tx.Rollback()
			return err
		}
		if err = tx.WritePage(n, page); err != nil {
			tx.Rollback()
			return err
		}
	}
	m.tx.Rollback()
	m.tx, m.size = tx, int64(count)*int64(ps)
	return nil
}

// succeed ends the transaction, which is committed as c.
func (m *Main) succeed(c pagestore.Commit) {
	if !m.news {
		m.news, m.before = true, c.Version-1
	}
	m.tx, m.size, m.wroteFirst, m.prepared, m.have = nil, 0, false, false, false
	m.state = committed
	snap, err := m.snapshotOf(c.Version)
	if err != nil { // it is committed all the same; reading on is what fails
		m.s.err = err
		m.believe(m.lastCount, c.Version)
		return
	}
	meta, err := MetaOf(c)
	if err != nil {
		m.s.err = err
	}
	m.closeSnap(m.snap)
	m.snap, m.meta, m.counter, m.have = snap, meta, m.lastCount, true // SQLite goes on with the counter that it wrote
	Header(m.header[:]).setCounters(m.counter, m.counter)
	m.believe(m.counter, c.Version)
	if m.doubt { // SQLite has page 1 as that of a WAL file in its cache: it must read it again
		m.believedAt, m.doubt = ^pagestore.Version(0), false
	}
}

// snapshotOf opens version v, which was the head a moment ago.
func (m *Main) snapshotOf(v pagestore.Version) (*pagestore.Snapshot, error) {
	snap, err := m.db.HeadSnapshot()
	if err == nil && snap.Version() != v {
		snap.Close()
		snap, err = m.db.Snapshot(v)
	}
	return snap, err
}

// fail ends the transaction, whose commit failed.
func (m *Main) fail(err error) Code {
	var conflict *pagestore.ConflictError
	if errors.As(err, &conflict) && len(conflict.Tables) == 0 && m.vfs.owners != nil {
		conflict.Tables = m.vfs.owners(m.snap, conflict.Pages)
	}
	if errors.Is(err, pagestore.ErrBusy) && m.tx != nil && m.prepared {
		m.s.leaveSuper(m)
		m.state = writing // COMMIT can be tried again
		return m.s.fail(err, IOErrSync)
	}
	m.discard()
	m.state, m.failure = failed, err
	return m.s.fail(err, IOErrSync)
}
