package diff

import (
	"encoding/binary"
	"slices"
)

// neighbours is how far around an overflow chain its leaf is looked for before
// all leaves are read.
const neighbours = 64

// marks says which pages need not be looked into.
type marks struct {
	// exact: an unchanged page without a mark has nothing changed below it.
	// Otherwise only unchanged leaves may be skipped, and only if chains says
	// so.
	exact   bool
	known   bool // changed is known
	chains  bool // unchanged leaves may own changed overflow pages
	changed pageSet
	dirty   pageSet // pages above changed ones
}

// clean reports whether what hangs below a page, the same on both sides, is
// the same.
func (m *marks) clean(page uint32, leaf bool) bool {
	if !m.known || m.changed.contains(page) {
		return false
	}
	if m.exact {
		return !m.dirty.contains(page)
	}
	return leaf && !m.chains
}

// locator finds the b-trees and the pages above a page, in one source.
type locator struct {
	src   *source
	trees []tree // tables that can be searched; those found last come first
	all   []tree // tables and indexes, without their order
	roots map[uint32]bool
	free  *pageSet // once needed
}

// newLocator takes the trees that can be searched by key, and all. It leaves
// out searching trees of one page, which have nothing below the root.
func newLocator(s *source, trees, all []tree) (*locator, error) {
	l := &locator{src: s, roots: map[uint32]bool{}, all: all}
	for _, t := range trees {
		n, err := s.node(t.root)
		if err != nil {
			return nil, err
		}
		l.roots[t.root] = true
		if !n.leaf() && n.index() == t.index {
			l.trees = append(l.trees, t)
		}
	}
	return l, nil
}

// has reports whether a b-tree page of a kind can lie below a root.
func (l *locator) has(kind byte) bool {
	index := kind == leafIndex || kind == interiorIndex
	return isTreePage(kind) && (!index || slices.ContainsFunc(l.trees, func(t tree) bool { return t.index }))
}

// path is the pages from a root to b-tree page p, or nil if no tree has it.
func (l *locator) path(p uint32) ([]uint32, error) {
	if l.roots[p] {
		return []uint32{p}, nil
	}
	n, err := l.src.node(p)
	if err != nil || n.cells == 0 {
		return nil, nil
	}
	// A page may be free and hold anything: what does not parse is not found.
	c, err := n.cell(0)
	if err != nil {
		return nil, nil
	}
	var key []Value
	if n.index() {
		b, err := l.src.payload(c, newWork(l.src))
		if err != nil {
			return nil, nil
		}
		if key, err = l.src.record(p, b, -1); err != nil {
			return nil, nil
		}
	}
	for i, t := range l.trees {
		if t.index != n.index() {
			continue
		}
		path, err := l.src.path(t, n, c.rowid, key)
		if err != nil {
			return nil, err
		}
		if path != nil {
			copy(l.trees[1:], l.trees[:i])
			l.trees[0] = t
			return path, nil
		}
	}
	return nil, nil
}

func (l *locator) isFree(p uint32) (bool, error) {
	if l.free == nil {
		f, err := l.src.freePages()
		if err != nil {
			return false, err
		}
		l.free = f
	}
	return l.free.contains(p), nil
}

// plausibleOverflow reports whether a page could be one of an overflow chain:
// it begins with the number of the next.
func (s *source) plausibleOverflow(p []byte) bool { return binary.BigEndian.Uint32(p) <= s.count }

// mark decides how exactly the changed pages can be followed, and marks what
// lies above them. Only pages on both sides matter, and where they are on the
// second: a page that is new or was elsewhere before has a changed parent.
func (m *marks) mark(a *source, b *locator) error {
	m.exact, m.chains = true, true
	if total := int64(max(a.count, b.src.count)); m.changed.n > 256 && m.changed.n*4 > total {
		m.exact = false
	}
	overflow := &pageSet{}
	var lost bool
	for p := range m.changed.all() {
		if p == 1 || p > a.count || p > b.src.count || a.special(p) || b.src.special(p) {
			continue
		}
		pb, err := b.src.page(p)
		if err != nil {
			return err
		}
		if b.src.plausibleOverflow(pb) {
			pa, err := a.page(p)
			if err != nil {
				return err
			}
			if a.plausibleOverflow(pa) {
				overflow.add(p)
			}
		}
		if !m.exact || !b.has(pb[0]) {
			continue
		}
		found, err := m.markAbove(b, p)
		if err != nil {
			return err
		}
		if !found && (pb[0] == leafTable || pb[0] == interiorTable) {
			free, err := b.isFree(p)
			if err != nil {
				return err
			}
			lost = lost || !free
		}
	}
	m.chains = overflow.n > 0
	if m.exact && m.chains {
		if err := m.markOverflow(a, b, overflow); err != nil {
			return err
		}
		lost = lost || overflow.n > 0
	}
	m.exact = m.exact && !lost
	return nil
}

// markAbove marks the pages above b-tree page p.
func (m *marks) markAbove(b *locator, p uint32) (bool, error) {
	path, err := b.path(p)
	for _, q := range path {
		m.dirty.add(q)
	}
	return path != nil, err
}

// markOverflow finds the leaves that own changed overflow pages and removes
// from the set those that need no more attention.
func (m *marks) markOverflow(a *source, b *locator, overflow *pageSet) error {
	// Changed leaves are compared anyway, and so are their chains.
	for p := range m.changed.all() {
		if p > b.src.count || overflow.n == 0 {
			continue
		}
		if err := b.eachChain(p, func(q uint32) { overflow.remove(q) }); err != nil {
			return err
		}
	}
	if overflow.n == 0 {
		return nil
	}
	freeA, err := a.freePages()
	if err != nil {
		return err
	}
	for p := range overflow.all() {
		free, err := b.isFree(p)
		if err != nil {
			return err
		}
		if free || freeA.contains(p) {
			overflow.remove(p)
		}
	}
	for p := range overflow.all() {
		if !overflow.contains(p) {
			continue // came with another
		}
		find := b.ownerNearby
		if b.src.autoVacuum {
			find = b.ownerByMap
		}
		owner, err := find(p)
		if err != nil {
			return err
		}
		if owner == 0 {
			continue
		}
		found, err := m.markAbove(b, owner)
		if err != nil {
			return err
		}
		n, err := b.src.node(owner)
		if err != nil {
			return err
		}
		if !found && !n.index() {
			continue // not of any tree: do not believe it
		}
		if err := b.eachChain(owner, func(q uint32) { overflow.remove(q) }); err != nil {
			return err
		}
	}
	return m.markOwners(b, overflow)
}

// markOwners reads trees until the owners of all the overflow pages are found,
// and marks them. Those whose chain is too scattered to be followed backwards
// remain.
func (m *marks) markOwners(b *locator, overflow *pageSet) error {
	heads := &pageSet{}
	for p := range overflow.all() {
		if _, err := b.chainBefore(p, heads); err != nil {
			return err
		}
	}
	all, err := b.byOverflow()
	if err != nil {
		return err
	}
	for _, t := range all {
		c := newCursor(b.src, t.root, t.index, nil)
		for overflow.n > 0 && !c.end() {
			if !c.unopened() {
				if err := c.next(); err != nil {
					return err
				}
				continue
			}
			at := c.stack[len(c.stack)-1].page
			owns, err := b.owns(at, heads)
			if err != nil {
				return err
			}
			if owns {
				for _, f := range c.stack {
					m.dirty.add(f.page)
				}
				if err := b.eachChain(at, func(q uint32) { overflow.remove(q) }); err != nil {
					return err
				}
			}
			if err := c.open(); err != nil {
				return err
			}
		}
	}
	return nil
}

// byOverflow is all trees, tables and indexes: those first whose first leaf
// owns overflow pages.
func (l *locator) byOverflow() ([]tree, error) {
	var first, last []tree
	for _, t := range l.all {
		c := newCursor(l.src, t.root, t.index, nil)
		if err := c.toRow(); err != nil {
			return nil, err
		}
		has := false
		if !c.end() {
			n := &c.stack[len(c.stack)-1].node
			for i := range n.cells {
				cell, err := n.cell(i)
				if err != nil {
					return nil, err
				}
				has = has || cell.overflow != 0
			}
		}
		if has {
			first = append(first, t)
		} else {
			last = append(last, t)
		}
	}
	return append(first, last...), nil
}

// eachChain calls f with the overflow pages of a page, if it is a b-tree page
// in use.
func (l *locator) eachChain(p uint32, f func(uint32)) error {
	n, ok, err := l.live(p)
	if err != nil || !ok {
		return err
	}
	w := newWork(l.src)
	for i := range n.cells {
		c, err := n.cell(i)
		if err != nil {
			return err
		}
		if c.overflow == 0 {
			continue
		}
		err = l.src.chain(c, w, func(q uint32, _ []byte) bool {
			f(q)
			return true
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// live returns page p if it is a b-tree page in use: neither free nor possibly
// an overflow page.
func (l *locator) live(p uint32) (node, bool, error) {
	if p == 0 || p > l.src.count || l.src.special(p) {
		return node{}, false, nil
	}
	b, err := l.src.page(p)
	if err != nil {
		return node{}, false, err
	}
	if !isTreePage(kindOf(p, b)) || p != 1 && l.src.plausibleOverflow(b) {
		return node{}, false, nil
	}
	if free, err := l.isFree(p); free || err != nil {
		return node{}, false, err
	}
	n, err := l.src.node(p)
	return n, err == nil, err
}

// owns reports whether a cell of page p begins a chain at one of the heads.
func (l *locator) owns(p uint32, heads *pageSet) (bool, error) {
	n, ok, err := l.live(p)
	if err != nil || !ok {
		return false, err
	}
	for i := range n.cells {
		c, err := n.cell(i)
		if err != nil {
			return false, err
		}
		if c.overflow != 0 && heads.contains(c.overflow) {
			return true, nil
		}
	}
	return false, nil
}

// ownerByMap follows the pointer map from an overflow page to the b-tree page
// that owns it; 0 if the map does not lead to one.
func (l *locator) ownerByMap(p uint32) (uint32, error) {
	heads := &pageSet{}
	for at := p; heads.add(at); {
		kind, parent, err := l.src.mapEntry(at)
		if err != nil {
			return 0, err
		}
		switch kind {
		case mapNextOverflow:
			at = parent
		case mapFirstOverflow:
			if ok, err := l.owns(parent, heads); !ok || err != nil {
				return 0, err
			}
			return parent, nil
		default:
			return 0, nil
		}
	}
	return 0, nil
}

// ownerNearby looks for the b-tree page that owns an overflow page around it
// and around the pages before it in its chain; 0 if it is not there.
func (l *locator) ownerNearby(p uint32) (uint32, error) {
	heads := &pageSet{}
	at, err := l.chainBefore(p, heads)
	if err != nil {
		return 0, err
	}
	for d := uint32(1); d <= neighbours; d++ {
		for _, q := range []uint32{at - d, at + d} {
			if q > l.src.count { // also what wrapped around below 0
				continue
			}
			if ok, err := l.owns(q, heads); ok || err != nil {
				return q, err
			}
		}
	}
	return 0, nil
}

// chainBefore adds p and the pages before it in its chain to a set, as far as
// each lies beside the next, and returns the first of them.
func (l *locator) chainBefore(p uint32, heads *pageSet) (uint32, error) {
	for heads.add(p) {
		for _, q := range []uint32{p - 1, p + 1, p - 2} {
			if q < 2 || q > l.src.count {
				continue
			}
			b, err := l.src.page(q)
			if err != nil {
				return 0, err
			}
			if binary.BigEndian.Uint32(b) != p {
				continue
			}
			if free, err := l.isFree(q); err != nil {
				return 0, err
			} else if !free {
				p = q
				break
			}
		}
	}
	return p, nil
}
