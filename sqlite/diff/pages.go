package diff

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Pages is one state of a database file. Page numbers begin at 1. A snapshot
// of the page store is one.
type Pages interface {
	// PageSize is the size of a page in bytes: a power of two, 512 to 65536.
	PageSize() int
	// PageCount is the size of the database in pages; 0 is an empty database.
	PageCount() uint32
	// ReadPage fills dst, which has PageSize bytes, with page n.
	ReadPage(n uint32, dst []byte) error
}

// ErrFormat is what every FormatError is.
var ErrFormat = errors.New("not a well-formed SQLite database")

// A FormatError says where pages break SQLite's file format.
type FormatError struct {
	Side string // "first" or "second"
	Page uint32
	Why  string
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("reading the %s database: page %d: %s; run an integrity check on it", e.Side, e.Page, e.Why)
}

// Is reports whether target is ErrFormat.
func (e *FormatError) Is(target error) bool { return target == ErrFormat }

// Page types of b-trees.
const (
	interiorIndex = 2
	interiorTable = 5
	leafIndex     = 10
	leafTable     = 13
)

// The page that holds this byte of the file is never used.
const lockByte = 1 << 30

const cacheBytes = 4 << 20 // for each of a source's two generations

// source reads one side: its header, and pages through a small cache.
type source struct {
	side        string
	pages       Pages
	pageSize    int
	usable      int // page size less the reserved bytes
	count       uint32
	enc         encoding
	autoVacuum  bool
	freeTrunk   uint32
	userVersion int32
	appID       int32

	young, old map[uint32][]byte
	reads      int64 // calls of ReadPage
	limit      int64 // of reads; 0 is none
	failed     error // what ReadPage returned last, which SQLite does not pass on
}

func newSource(side string, p Pages) (*source, error) {
	s := &source{side: side, pages: p, pageSize: p.PageSize(), count: p.PageCount(),
		young: map[uint32][]byte{}, enc: utf8Text}
	s.usable = s.pageSize
	if s.count == 0 {
		return s, nil
	}
	if s.pageSize < 512 || s.pageSize > 65536 || s.pageSize&(s.pageSize-1) != 0 {
		return nil, s.damaged(1, "page size %d is no power of two from 512 to 65536", s.pageSize)
	}
	h, err := s.page(1)
	if err != nil {
		return nil, err
	}
	if string(h[:16]) != "SQLite format 3\x00" {
		return nil, s.damaged(1, "it does not begin with SQLite's header")
	}
	size := int(binary.BigEndian.Uint16(h[16:]))
	if size == 1 {
		size = 65536
	}
	if size != s.pageSize {
		return nil, s.damaged(1, "the header says pages of %d bytes, they have %d", size, s.pageSize)
	}
	s.usable = s.pageSize - int(h[20])
	if s.usable < 480 {
		return nil, s.damaged(1, "%d bytes reserved in each page leave too little", h[20])
	}
	switch e := binary.BigEndian.Uint32(h[56:]); e {
	case 0, 1:
	case 2, 3:
		s.enc = encoding(e)
	default:
		return nil, s.damaged(1, "unknown text encoding %d", e)
	}
	s.autoVacuum = binary.BigEndian.Uint32(h[52:]) != 0
	s.freeTrunk = binary.BigEndian.Uint32(h[32:])
	s.userVersion = int32(binary.BigEndian.Uint32(h[60:]))
	s.appID = int32(binary.BigEndian.Uint32(h[68:]))
	return s, nil
}

func (s *source) damaged(page uint32, format string, args ...any) error {
	return &FormatError{Side: s.side, Page: page, Why: fmt.Sprintf(format, args...)}
}

// page returns page n; its content must not be written to.
func (s *source) page(n uint32) ([]byte, error) {
	if n == 0 || n > s.count {
		return nil, s.damaged(n, "there is no such page among %d", s.count)
	}
	if p, ok := s.young[n]; ok {
		return p, nil
	}
	p, ok := s.old[n]
	if !ok {
		p = make([]byte, s.pageSize)
		if s.limit > 0 && s.reads >= s.limit {
			s.failed = errEffort
			return nil, s.failed
		}
		s.reads++
		if err := s.pages.ReadPage(n, p); err != nil {
			s.failed = fmt.Errorf("reading page %d of the %s database: %w", n, s.side, err)
			return nil, s.failed
		}
	}
	if len(s.young) >= cacheBytes/s.pageSize {
		s.old, s.young = s.young, map[uint32][]byte{}
	}
	s.young[n] = p
	return p, nil
}

// special reports whether n is a page outside all trees and lists: a pointer
// map page, or the page of the lock byte.
func (s *source) special(n uint32) bool {
	return n == uint32(lockByte/s.pageSize)+1 || s.autoVacuum && n == s.mapPage(n)
}

// mapPage is the number of the pointer map page that describes page n; that of
// n itself if n is such a page.
func (s *source) mapPage(n uint32) uint32 {
	if n < 2 {
		return 0
	}
	per := uint32(s.usable/5) + 1
	p := (n-2)/per*per + 2
	if p == uint32(lockByte/s.pageSize)+1 {
		p++
	}
	return p
}

// Kinds of pointer map entries.
const (
	mapFirstOverflow = 3 // parent: the b-tree page
	mapNextOverflow  = 4 // parent: the overflow page before
)

// mapEntry reads the pointer map's entry for page n.
func (s *source) mapEntry(n uint32) (kind byte, parent uint32, err error) {
	m := s.mapPage(n)
	if n < 3 || n <= m {
		return 0, 0, s.damaged(n, "it has no pointer map entry")
	}
	p, err := s.page(m)
	if err != nil {
		return 0, 0, err
	}
	off := 5 * int(n-m-1)
	if off+5 > s.usable {
		return 0, 0, s.damaged(n, "it has no pointer map entry")
	}
	return p[off], binary.BigEndian.Uint32(p[off+1:]), nil
}

// freePages reads the free list.
func (s *source) freePages() (*pageSet, error) {
	free := &pageSet{}
	for trunk := s.freeTrunk; trunk != 0; {
		if !free.add(trunk) {
			return nil, s.damaged(trunk, "the free list has a cycle")
		}
		p, err := s.page(trunk)
		if err != nil {
			return nil, err
		}
		n := int64(binary.BigEndian.Uint32(p[4:]))
		if n > int64(s.usable/4-2) {
			return nil, s.damaged(trunk, "the free list's trunk claims %d pages", n)
		}
		for i := range int(n) {
			free.add(binary.BigEndian.Uint32(p[8+4*i:]))
		}
		trunk = binary.BigEndian.Uint32(p)
	}
	return free, nil
}
