package vfscore

import (
	"fmt"

	"github.com/hako-run/hako/pagestore"
)

// Read fills p from off on, as SQLite's xRead: beyond the end it fills with
// zeros and returns IOErrShortRead. It does not keep p.
func (m *Main) Read(p []byte, off int64) Code {
	if m.tx != nil {
		return m.readTx(p, off)
	}
	if m.snap == nil { // SQLite reads the header once before it locks
		return m.readUnlocked(p, off)
	}
	ps := int64(m.snap.PageSize())
	if off+int64(len(p)) <= HeaderSize {
		return m.readHeader(p, off)
	}
	if int64(len(p)) == ps && off%ps == 0 {
		return m.readPage(uint32(off/ps)+1, p)
	}
	return m.readPieces(p, off, ps, int64(m.snap.PageCount())*ps, m.readPage)
}

// readPage reads page n of the snapshot as SQLite is to see it.
func (m *Main) readPage(n uint32, p []byte) Code {
	if n > m.snap.PageCount() {
		clear(p)
		return IOErrShortRead
	}
	if m.s.optimistic {
		m.reads.Add(n)
	}
	if err := m.snap.ReadPage(n, p); err != nil {
		return m.s.fail(err, IOErrRead)
	}
	if n == 1 {
		Header(p).setCounters(m.counter, m.meta.validFor(m.counter))
		if !m.have {
			copy(m.header[:], p)
			m.have = true
		}
	}
	return OK
}

// readHeader reads a part of the header.
func (m *Main) readHeader(p []byte, off int64) Code {
	if m.snap.PageCount() == 0 {
		clear(p)
		return IOErrShortRead
	}
	if m.s.optimistic {
		m.reads.Add(1)
	}
	if !m.have {
		if code := m.readPage(1, m.buffer(m.snap.PageSize())); code != OK {
			return code
		}
	}
	copy(p, m.header[off:])
	return OK
}

// readTx reads what SQLite wrote, and the snapshot beneath.
func (m *Main) readTx(p []byte, off int64) Code {
	ps := int64(m.tx.PageSize())
	if int64(len(p)) == ps && off%ps == 0 && off+ps <= m.size {
		return m.readTxPage(uint32(off/ps)+1, p)
	}
	return m.readPieces(p, off, ps, m.size, m.readTxPage)
}

func (m *Main) readTxPage(n uint32, p []byte) Code {
	if n > m.tx.PageCount() {
		clear(p)
		return OK
	}
	if err := m.tx.ReadPage(n, p); err != nil {
		return m.s.fail(err, IOErrRead)
	}
	if n == 1 && !m.wroteFirst {
		Header(p).setCounters(m.counter, m.meta.validFor(m.counter))
	} else if n == 1 && m.prepared {
		Header(p).setCounters(m.lastCount, m.lastCount)
	}
	return OK
}

// readPieces reads any range of a file of size bytes by whole pages.
func (m *Main) readPieces(p []byte, off, ps, size int64, read func(n uint32, p []byte) Code) Code {
	for len(p) > 0 {
		if off >= size {
			clear(p)
			return IOErrShortRead
		}
		buf := m.buffer(int(ps))
		if code := read(uint32(off/ps)+1, buf); code != OK {
			return code
		}
		piece := buf[off%ps:]
		if rest := size - off; int64(len(piece)) > rest {
			piece = piece[:rest]
		}
		n := copy(p, piece)
		p, off = p[n:], off+int64(n)
	}
	return OK
}

// readUnlocked reads from a snapshot of its own.
func (m *Main) readUnlocked(p []byte, off int64) Code {
	snap := m.pin
	if snap == nil {
		var err error
		if snap, err = m.db.HeadSnapshot(); err != nil {
			return m.s.fail(fmt.Errorf("read %s: %w", m.name, err), IOErrRead)
		}
		defer snap.Close()
	}
	counter, meta := m.counter, m.meta
	ps := int64(snap.PageSize())
	return m.readPieces(p, off, ps, int64(snap.PageCount())*ps, func(n uint32, p []byte) Code {
		if err := snap.ReadPage(n, p); err != nil {
			return m.s.fail(err, IOErrRead)
		}
		if n == 1 {
			Header(p).setCounters(counter, meta.validFor(counter))
		}
		return OK
	})
}

// buffer returns room for one page.
func (m *Main) buffer(size int) []byte {
	if len(m.page) != size {
		m.page = make([]byte, size)
	}
	return m.page
}

// Size returns the file's length in bytes.
func (m *Main) Size() (int64, Code) {
	switch {
	case m.tx != nil:
		return m.size, OK
	case m.snap != nil:
		return sizeOf(m.snap.Commit()), OK
	}
	return sizeOf(m.Commit()), OK
}

func sizeOf(c pagestore.Commit) int64 { return int64(c.PageCount) * int64(c.PageSize) }
