package diff

import "encoding/binary"

// node is a parsed b-tree page.
type node struct {
	page  uint32
	data  []byte // up to the reserved bytes
	head  int    // offset of the page header: 100 on page 1
	kind  byte
	cells int
	src   *source
}

// cell is an entry of a node.
type cell struct {
	left     uint32 // child before it, in interior pages
	rowid    int64  // in table trees
	size     int64  // payload in bytes
	local    []byte // what of the payload is in the page
	overflow uint32 // first page of the rest, or 0
}

func (n *node) leaf() bool  { return n.kind == leafTable || n.kind == leafIndex }
func (n *node) index() bool { return n.kind == leafIndex || n.kind == interiorIndex }

func isTreePage(kind byte) bool {
	return kind == interiorIndex || kind == interiorTable || kind == leafIndex || kind == leafTable
}

// kindOf is the first byte of the page header.
func kindOf(n uint32, p []byte) byte {
	if n == 1 {
		return p[100]
	}
	return p[0]
}

func (s *source) node(n uint32) (node, error) {
	p, err := s.page(n)
	if err != nil {
		return node{}, err
	}
	nd := node{page: n, data: p[:s.usable], src: s}
	if n == 1 {
		nd.head = 100
	}
	nd.kind = p[nd.head]
	if !isTreePage(nd.kind) {
		return node{}, s.damaged(n, "it is no b-tree page")
	}
	nd.cells = int(binary.BigEndian.Uint16(p[nd.head+3:]))
	if nd.cellPointers()+2*nd.cells > s.usable {
		return node{}, s.damaged(n, "it claims %d cells", nd.cells)
	}
	return nd, nil
}

func (n *node) cellPointers() int {
	if n.leaf() {
		return n.head + 8
	}
	return n.head + 12
}

// child is child i of an interior page, from 0 to cells.
func (n *node) child(i int) (uint32, error) {
	if i == n.cells {
		return binary.BigEndian.Uint32(n.data[n.head+8:]), nil
	}
	off, err := n.cellOffset(i)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(n.data[off:]), nil
}

func (n *node) cellOffset(i int) (int, error) {
	off := int(binary.BigEndian.Uint16(n.data[n.cellPointers()+2*i:]))
	if off < n.cellPointers()+2*n.cells || off+4 > len(n.data) {
		return 0, n.src.damaged(n.page, "cell %d lies outside the page", i)
	}
	return off, nil
}

func (n *node) cell(i int) (cell, error) {
	off, err := n.cellOffset(i)
	if err != nil {
		return cell{}, err
	}
	var c cell
	b := n.data[off:]
	if !n.leaf() {
		c.left = binary.BigEndian.Uint32(b)
		b = b[4:]
	}
	short := func() (cell, error) {
		return cell{}, n.src.damaged(n.page, "cell %d runs over the end of the page", i)
	}
	if n.kind != interiorTable {
		v, k := uvarint(b)
		if k == 0 {
			return short()
		}
		b = b[k:]
		if v > uint64(n.src.count)*uint64(n.src.usable) {
			return cell{}, n.src.damaged(n.page, "cell %d claims %d bytes, more than the database has", i, v)
		}
		c.size = int64(v)
	}
	if n.kind == leafTable || n.kind == interiorTable {
		v, k := uvarint(b)
		if k == 0 {
			return short()
		}
		b = b[k:]
		c.rowid = int64(v)
	}
	if n.kind == interiorTable {
		return c, nil
	}
	local := c.size
	u := int64(n.src.usable)
	most := u - 35
	if n.index() {
		most = (u-12)*64/255 - 23
	}
	if c.size > most {
		least := (u-12)*32/255 - 23
		if local = least + (c.size-least)%(u-4); local > most {
			local = least
		}
		if int64(len(b)) < local+4 {
			return short()
		}
		c.overflow = binary.BigEndian.Uint32(b[local:])
	} else if int64(len(b)) < local {
		return short()
	}
	c.local = b[:local:local]
	return c, nil
}

// work bounds what a pass may read, so that cycles and shared chains in a
// damaged database end in an error.
type work struct{ left int64 }

// newWork allows each page once; a well-formed tree needs no more.
func newWork(s *source) *work { return &work{left: int64(s.count)} }

func (w *work) spend(s *source, page uint32) error {
	if w.left--; w.left < 0 {
		return s.damaged(page, "pages are reached more than once")
	}
	return nil
}

// payload returns all of c's payload.
func (s *source) payload(c cell, w *work) ([]byte, error) {
	if c.overflow == 0 && int64(len(c.local)) == c.size {
		return c.local, nil
	}
	b := append([]byte(nil), c.local...)
	err := s.chain(c, w, func(_ uint32, data []byte) bool {
		b = append(b, data...)
		return true
	})
	return b, err
}

// chain calls f with each overflow page of c and the payload in it, until f
// returns false.
func (s *source) chain(c cell, w *work, f func(page uint32, data []byte) bool) error {
	rest := c.size - int64(len(c.local))
	for next := c.overflow; rest > 0; {
		if next == 0 {
			return s.damaged(c.overflow, "its overflow chain ends %d bytes early", rest)
		}
		if err := w.spend(s, next); err != nil {
			return err
		}
		p, err := s.page(next)
		if err != nil {
			return err
		}
		n := min(rest, int64(s.usable-4))
		if !f(next, p[4:4+n]) {
			return nil
		}
		rest -= n
		next = binary.BigEndian.Uint32(p)
	}
	return nil
}

// uvarint decodes SQLite's big-endian varint of 1 to 9 bytes; n is 0 if b is
// too short.
func uvarint(b []byte) (v uint64, n int) {
	for i := range min(len(b), 8) {
		v = v<<7 | uint64(b[i]&0x7f)
		if b[i] < 0x80 {
			return v, i + 1
		}
	}
	if len(b) < 9 {
		return 0, 0
	}
	return v<<8 | uint64(b[8]), 9
}
