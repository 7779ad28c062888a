package pagestore

import (
	"context"
	"fmt"
)

// Restore makes a new version of d whose pages equal those of a snapshot, of
// d itself or of any other database. Nothing is lost: what was the head stays
// a version. The caller holds the writer lock w. patch, if not nil, may change
// a page's content before it is stored; page 1 is always offered to it.
func (d *Database) Restore(ctx context.Context, w *Writer, at *Snapshot, o TxOptions, patch func(page uint32, data []byte)) (Commit, error) {
	o.Writer, o.Snapshot, o.PageSize = w, nil, at.c.PageSize
	t, err := d.Begin(o)
	if err != nil {
		return Commit{}, fmt.Errorf("restore %s: %w", d.Name(), err)
	}
	defer t.Rollback()
	pages, related, err := d.s.ChangedPages(t.base, at)
	if err != nil {
		return Commit{}, fmt.Errorf("restore %s: %w", d.Name(), err)
	}
	if !related {
		pages = &PageSet{}
		pages.AddRange(1, at.c.PageCount)
	}
	if at.c.PageCount > 0 {
		pages.Add(1)
	}
	if t.meta = at.c.Meta; o.Note == "" {
		t.note = fmt.Sprintf("restore of %s", at)
	}
	t.Truncate(at.c.PageCount)
	buf := make([]byte, at.c.PageSize)
	for n := range pages.All() {
		if n > at.c.PageCount {
			break
		}
		if err := ctx.Err(); err != nil {
			return Commit{}, fmt.Errorf("restore %s: %w", d.Name(), err)
		}
		if err := at.ReadPage(n, buf); err != nil {
			return Commit{}, fmt.Errorf("restore %s: %w", d.Name(), err)
		}
		if patch != nil {
			patch(n, buf)
		}
		if err := t.WritePage(n, buf); err != nil {
			return Commit{}, fmt.Errorf("restore %s: %w", d.Name(), err)
		}
	}
	c, err := t.Commit(ctx)
	if err != nil {
		return Commit{}, fmt.Errorf("restore %s: %w", d.Name(), err)
	}
	return c, nil
}
