package pagestore

import (
	"context"
	"fmt"
)

// Restore makes a new version of d whose pages equal those of a snapshot, of
// d itself or of any other database. Nothing is lost: what was the head stays
// a version. The caller holds the writer lock w. edit, if not nil, is called
// with the transaction before it is committed: it may change pages, Meta,
// which is the snapshot's, and the note, which says what was restored.
func (d *Database) Restore(ctx context.Context, w *Writer, at *Snapshot, edit func(*Tx) error) (Commit, error) {
	c, err := d.restore(ctx, w, at, edit)
	if err != nil {
		return Commit{}, fmt.Errorf("restore %s to %s: %w", d.Name(), at, err)
	}
	return c, nil
}

func (d *Database) restore(ctx context.Context, w *Writer, at *Snapshot, edit func(*Tx) error) (Commit, error) {
	t, err := d.Begin(TxOptions{Writer: w, PageSize: at.c.PageSize, Note: fmt.Sprintf("restore of %s", at)})
	if err != nil {
		return Commit{}, err
	}
	defer t.Rollback()
	pages, related, err := d.s.ChangedPages(t.base, at)
	if err != nil {
		return Commit{}, err
	}
	if !related {
		pages = &PageSet{}
		pages.AddRange(1, at.c.PageCount)
	}
	t.meta = at.c.Meta
	t.Truncate(at.c.PageCount)
	buf := make([]byte, at.c.PageSize)
	for n := range pages.All() {
		if n > at.c.PageCount {
			break
		}
		if err := ctx.Err(); err != nil {
			return Commit{}, err
		}
		if err := at.ReadPage(n, buf); err != nil {
			return Commit{}, err
		}
		if err := t.WritePage(n, buf); err != nil {
			return Commit{}, err
		}
	}
	if edit != nil {
		if err := edit(t); err != nil {
			return Commit{}, err
		}
	}
	return t.Commit(ctx)
}
