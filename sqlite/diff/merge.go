package diff

import (
	"bytes"
	"context"
	"fmt"
	"iter"
)

// merger walks a table's two sides together.
type merger struct {
	*pair
	marks *marks
	a, b  *cursor // nil where the table is not
	yield func(Change, error) bool
}

// rows yields one table's changes.
func (d *Diff) rows(ctx context.Context, p *pair) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		m := &merger{pair: p, marks: &d.marks, yield: yield}
		if p.before != nil {
			m.a = newCursor(d.before, p.before.root, p.before.index, p.before.parts)
		}
		if p.after != nil {
			m.b = newCursor(d.after, p.after.root, p.after.index, p.after.parts)
		}
		if err := m.run(ctx); err != nil && err != errStopped {
			yield(Change{}, fmt.Errorf("comparing table %s: %w", p.name, err))
		}
	}
}

// errStopped says that the caller of the iterator wants no more.
var errStopped = fmt.Errorf("stopped")

func (m *merger) run(ctx context.Context) error {
	if m.a == nil || m.b == nil || !m.merge {
		if err := m.drain(ctx, m.a, Removed); err != nil {
			return err
		}
		return m.drain(ctx, m.b, Added)
	}
	if err := m.after.comparable(); err != nil {
		return err
	}
	for steps := 0; ; steps++ {
		if steps%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if m.alike {
			skipped, err := m.skip()
			if err != nil {
				return err
			}
			if skipped {
				continue
			}
		}
		var err error
		switch {
		case m.a.unopened() && (!m.b.unopened() || len(m.a.stack) <= len(m.b.stack)):
			err = m.a.open()
		case m.b.unopened():
			err = m.b.open()
		case m.a.end() && m.b.end():
			return nil
		case m.a.end():
			err = m.one(m.b, Added)
		case m.b.end():
			err = m.one(m.a, Removed)
		default:
			err = m.step()
		}
		if err != nil {
			return err
		}
	}
}

// skip moves both sides past the largest page at whose start both stand and
// below which nothing changed.
func (m *merger) skip() (bool, error) {
	if m.a.end() || m.b.end() {
		return false, nil
	}
	for i := m.a.starts(); i < len(m.a.stack); i++ {
		for j := m.b.starts(); j < len(m.b.stack); j++ {
			p := m.a.stack[i].page
			if p != m.b.stack[j].page || !m.marks.clean(p, m.leaf(i, j)) {
				continue
			}
			if err := m.a.skip(i); err != nil {
				return false, err
			}
			return true, m.b.skip(j)
		}
	}
	return false, nil
}

// leaf reports whether the pages at these levels are known to be leaves.
func (m *merger) leaf(i, j int) bool { return i+1 == m.a.depth || j+1 == m.b.depth }

// step deals with the rows that both sides stand at.
func (m *merger) step() error {
	c, err := compareCursors(m.a, m.b)
	if err != nil {
		return err
	}
	switch {
	case c < 0:
		return m.one(m.a, Removed)
	case c > 0:
		return m.one(m.b, Added)
	}
	equal, err := m.equal()
	if err != nil {
		return err
	}
	if !equal {
		old, err := m.before.values(m.a)
		if err != nil {
			return err
		}
		now, err := m.after.values(m.b)
		if err != nil {
			return err
		}
		if !m.same(old, now) && !m.yield(m.change(Changed, old, now), nil) {
			return errStopped
		}
	}
	if err := m.a.next(); err != nil {
		return err
	}
	return m.b.next()
}

// equal reports whether the records of both sides are surely the same.
func (m *merger) equal() (bool, error) {
	a, b := m.a.row, m.b.row
	if !m.alike || a.size != b.size || !bytes.Equal(a.local, b.local) {
		return false, nil
	}
	if a.overflow == b.overflow && (a.overflow == 0 || m.marks.known && !m.marks.chains) {
		return true, nil
	}
	pa, err := m.a.payload()
	if err != nil {
		return false, err
	}
	pb, err := m.b.payload()
	return bytes.Equal(pa, pb), err
}

// one yields the row that c stands at, which only its side has.
func (m *merger) one(c *cursor, kind ChangeKind) error {
	t := m.pair.after
	if kind == Removed {
		t = m.pair.before
	}
	v, err := t.values(c)
	if err != nil {
		return err
	}
	old, now := v, []Value(nil)
	if kind == Added {
		old, now = now, old
	}
	if !m.yield(m.change(kind, old, now), nil) {
		return errStopped
	}
	return c.next()
}

func (m *merger) change(kind ChangeKind, old, now []Value) Change {
	c := Change{Kind: kind, Table: m.name, Before: m.before, After: m.after, Old: old, New: now}
	if old != nil && !m.before.WithoutRowid {
		c.Rowid = m.a.row.rowid
	} else if now != nil && !m.after.WithoutRowid {
		c.Rowid = m.b.row.rowid
	}
	return c
}

// drain yields all rows of c, if it is there.
func (m *merger) drain(ctx context.Context, c *cursor, kind ChangeKind) error {
	for steps := 0; c != nil; steps++ {
		if steps%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := c.toRow(); err != nil {
			return err
		}
		if c.end() {
			return nil
		}
		if err := m.one(c, kind); err != nil {
			return err
		}
	}
	return nil
}
