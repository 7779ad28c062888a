package diff

// maxDepth is the deepest tree that SQLite reads.
const maxDepth = 20

// cursor walks a b-tree in key order. It stands at the end, at a row, or
// before a page that was not opened yet and can be skipped.
type cursor struct {
	src   *source
	index bool
	parts []keyPart // of an index tree
	stack []frame
	depth int // of the leaves, once one was opened; else 0
	nodes *work
	over  *work

	row     cell    // the row it stands at
	loaded  bool    // whether record and payload are of row
	data    []byte  // its payload
	key     []Value // its first fields, in an index tree
	keyRead bool
}

type frame struct {
	page   uint32
	opened bool
	node   node
	// pos is the cell of a leaf or the child of an interior table page. In an
	// interior index page, whose cells are rows too, it is twice the child, or
	// twice the cell and one.
	pos int
}

func newCursor(s *source, root uint32, index bool, parts []keyPart) *cursor {
	return &cursor{src: s, index: index, parts: parts, stack: []frame{{page: root}}, nodes: newWork(s), over: newWork(s)}
}

// end reports whether there is nothing left.
func (c *cursor) end() bool { return len(c.stack) == 0 }

// unopened reports whether the cursor stands before a page.
func (c *cursor) unopened() bool { return len(c.stack) > 0 && !c.stack[len(c.stack)-1].opened }

// open reads the page that the cursor stands before.
func (c *cursor) open() error {
	f := &c.stack[len(c.stack)-1]
	if err := c.nodes.spend(c.src, f.page); err != nil {
		return err
	}
	n, err := c.src.node(f.page)
	if err != nil {
		return err
	}
	if n.index() != c.index {
		return c.src.damaged(f.page, "a page of a table lies in an index, or the other way round")
	}
	if n.leaf() {
		if c.depth != 0 && c.depth != len(c.stack) {
			return c.src.damaged(f.page, "leaves of one tree lie at different depths")
		}
		c.depth = len(c.stack)
	}
	f.node, f.opened = n, true
	return c.settle()
}

// next moves past the row that the cursor stands at.
func (c *cursor) next() error {
	c.stack[len(c.stack)-1].pos++
	return c.settle()
}

// skip moves past the page at a level of the stack and all below it.
func (c *cursor) skip(level int) error {
	c.stack = c.stack[:level]
	if level == 0 {
		return nil
	}
	c.stack[level-1].pos++
	return c.settle()
}

// settle finds where the cursor stands after its top position was set.
func (c *cursor) settle() error {
	c.loaded, c.keyRead = false, false
	for len(c.stack) > 0 {
		f := &c.stack[len(c.stack)-1]
		n := &f.node
		var err error
		switch {
		case n.leaf():
			if f.pos < n.cells {
				c.row, err = n.cell(f.pos)
				return err
			}
		case c.index:
			if f.pos%2 == 1 && f.pos/2 < n.cells {
				c.row, err = n.cell(f.pos / 2)
				return err
			}
			if f.pos%2 == 0 && f.pos/2 <= n.cells {
				return c.push(n, f.pos/2)
			}
		case f.pos <= n.cells:
			return c.push(n, f.pos)
		}
		c.stack = c.stack[:len(c.stack)-1]
		if len(c.stack) > 0 {
			c.stack[len(c.stack)-1].pos++
		}
	}
	return nil
}

func (c *cursor) push(n *node, child int) error {
	p, err := n.child(child)
	if err != nil {
		return err
	}
	if len(c.stack) >= maxDepth {
		return c.src.damaged(n.page, "the tree is deeper than SQLite reads")
	}
	c.stack = append(c.stack, frame{page: p})
	return nil
}

// starts is the lowest level of the stack at whose page's very beginning the
// cursor stands; all levels above it are such too.
func (c *cursor) starts() int {
	level := len(c.stack)
	for level > 0 && (!c.stack[level-1].opened || c.stack[level-1].pos == 0) {
		level--
	}
	return level
}

// toRow opens pages until the cursor stands at a row or the end.
func (c *cursor) toRow() error {
	for c.unopened() {
		if err := c.open(); err != nil {
			return err
		}
	}
	return nil
}

// payload is the record of the row the cursor stands at.
func (c *cursor) payload() ([]byte, error) {
	if c.loaded {
		return c.data, nil
	}
	b, err := c.src.payload(c.row, c.over)
	if err != nil {
		return nil, err
	}
	c.data, c.loaded = b, true
	return b, nil
}

// keyValues are the key fields of the row, in an index tree.
func (c *cursor) keyValues() ([]Value, error) {
	if c.keyRead {
		return c.key, nil
	}
	b, err := c.payload()
	if err != nil {
		return nil, err
	}
	k, err := c.src.record(c.stack[len(c.stack)-1].page, b, len(c.parts))
	if err != nil {
		return nil, err
	}
	c.key, c.keyRead = k, true
	return k, nil
}

// record decodes a payload found in a page.
func (s *source) record(page uint32, payload []byte, max int) ([]Value, error) {
	v, why := decodeRecord(payload, s.enc, max)
	if why != "" {
		return nil, s.damaged(page, "%s", why)
	}
	return v, nil
}

// compareCursors compares the keys of the rows that a and b stand at.
func compareCursors(a, b *cursor) (int, error) {
	if !a.index {
		switch {
		case a.row.rowid < b.row.rowid:
			return -1, nil
		case a.row.rowid > b.row.rowid:
			return 1, nil
		}
		return 0, nil
	}
	ka, err := a.keyValues()
	if err != nil {
		return 0, err
	}
	kb, err := b.keyValues()
	if err != nil {
		return 0, err
	}
	return compareKeys(ka, kb, a.parts), nil
}

// tree is a b-tree that pages are looked up in.
type tree struct {
	root  uint32
	index bool
	parts []keyPart
}

// path descends from the tree's root by a key of page p and returns the pages
// from the root to p, or nil if p is not among them.
func (s *source) path(t tree, p node, rowid int64, key []Value) ([]uint32, error) {
	var path []uint32
	for at := t.root; ; {
		if len(path) >= maxDepth {
			return nil, s.damaged(at, "the tree is deeper than SQLite reads")
		}
		path = append(path, at)
		if at == p.page {
			return path, nil
		}
		n, err := s.node(at)
		if err != nil {
			return nil, err
		}
		if n.leaf() || n.index() != t.index {
			return nil, nil
		}
		lo, hi := 0, n.cells
		for lo < hi {
			mid := (lo + hi) / 2
			c, err := n.cell(mid)
			if err != nil {
				return nil, err
			}
			below := c.rowid < rowid
			if t.index {
				b, err := s.payload(c, newWork(s))
				if err != nil {
					return nil, err
				}
				k, err := s.record(at, b, len(t.parts))
				if err != nil {
					return nil, err
				}
				below = compareKeys(k, key, t.parts) < 0
			}
			if below {
				lo = mid + 1
			} else {
				hi = mid
			}
		}
		if at, err = n.child(lo); err != nil {
			return nil, err
		}
	}
}
