package vfscore

import "encoding/binary"

// Offsets in the database header, the first HeaderSize bytes of page 1.
const (
	HeaderSize = 100

	offPageSize  = 16
	offWriteMode = 18
	offReadMode  = 19
	offCounter   = 24
	offPageCount = 28
	offCookie    = 40
	offValidFor  = 92
)

// A Header is page 1 of a database, or its first HeaderSize bytes. Stored, its
// change counter and the counter for which its page count is valid are zero
// and its file format is 1, not WAL; so two versions whose page 1 differs in
// nothing else share it, and the counter alone makes no conflict.
type Header []byte

// PageSize returns the page size in bytes, 0 if the field makes no sense.
func (h Header) PageSize() int {
	n := int(binary.BigEndian.Uint16(h[offPageSize:]))
	if n == 1 {
		n = 65536
	}
	if n < 512 || n&(n-1) != 0 {
		return 0
	}
	return n
}

// PageCount returns the size of the database in pages.
func (h Header) PageCount() uint32 { return binary.BigEndian.Uint32(h[offPageCount:]) }

// SetPageCount sets the size of the database in pages.
func (h Header) SetPageCount(n uint32) { binary.BigEndian.PutUint32(h[offPageCount:], n) }

// Counter returns the change counter.
func (h Header) Counter() uint32 { return binary.BigEndian.Uint32(h[offCounter:]) }

// ValidFor returns the change counter for which PageCount is valid.
func (h Header) ValidFor() uint32 { return binary.BigEndian.Uint32(h[offValidFor:]) }

// Cookie returns the schema cookie.
func (h Header) Cookie() uint32 { return binary.BigEndian.Uint32(h[offCookie:]) }

// SetCookie sets the schema cookie.
func (h Header) SetCookie(n uint32) { binary.BigEndian.PutUint32(h[offCookie:], n) }

// Modes returns the file format's write and read version: 1, or 2 for WAL.
func (h Header) Modes() (write, read byte) { return h[offWriteMode], h[offReadMode] }

// Normalise gives h its stored form.
func (h Header) Normalise() {
	h.setCounters(0, 0)
	if h[offWriteMode] == 2 {
		h[offWriteMode] = 1
	}
	if h[offReadMode] == 2 {
		h[offReadMode] = 1
	}
}

// Restore gives a stored h the form that it has in a file of the version that
// m and counter belong to.
func (h Header) Restore(m Meta, counter uint32) {
	h.setCounters(counter, m.validFor(counter))
	if m.Imported {
		h[offWriteMode], h[offReadMode] = m.WriteMode, m.ReadMode
	}
}

func (h Header) setCounters(counter, validFor uint32) {
	binary.BigEndian.PutUint32(h[offCounter:], counter)
	binary.BigEndian.PutUint32(h[offValidFor:], validFor)
}

// validFor returns what to show beside counter: the same, which makes the
// header's page count valid, unless it was not in the imported file.
func (m Meta) validFor(counter uint32) uint32 {
	if !m.Imported || m.ValidFor == m.Counter {
		return counter
	}
	if m.ValidFor == counter {
		return counter - 1
	}
	return m.ValidFor
}
