package sqlite

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite/vfscore"
)

// Restore makes a new version of db that equals the snapshot, which may be of
// any database of the store. Nothing is lost: what was the head stays a
// version. It waits for its turn as a writer until ctx ends.
//
// The schema cookie of the new version is one that db never had: a connection
// compares only the cookie to find out whether the tables that it knows are
// still those of the database.
func Restore(ctx context.Context, db *pagestore.Database, at *pagestore.Snapshot) (pagestore.Commit, error) {
	c, err := restore(ctx, db, at)
	if err != nil {
		return c, fmt.Errorf("restore %s to %s: %w", db.Name(), at, err)
	}
	return c, nil
}

func restore(ctx context.Context, db *pagestore.Database, at *pagestore.Snapshot) (pagestore.Commit, error) {
	w, err := db.Writer(ctx)
	if err != nil {
		return pagestore.Commit{}, err
	}
	defer w.Close()
	head, err := db.HeadSnapshot()
	if err != nil {
		return pagestore.Commit{}, err
	}
	defer head.Close()
	pages, err := differing(head, at)
	if err != nil {
		return pagestore.Commit{}, err
	}
	tx, err := db.Begin(pagestore.TxOptions{Writer: w, Snapshot: head, PageSize: at.PageSize(), Note: "restore of " + at.String()})
	if err != nil {
		return pagestore.Commit{}, err
	}
	defer tx.Rollback()
	old, err := vfscore.MetaOf(head.Commit())
	if err != nil {
		return pagestore.Commit{}, err
	}
	if then, err := vfscore.MetaOf(at.Commit()); err == nil { // of another database perhaps
		old.Cookie = max(old.Cookie, then.Cookie)
	}
	cookie := old.Cookie + 1
	tx.Truncate(max(at.PageCount(), 1))
	buf := make([]byte, at.PageSize())
	for n := range pages.All() {
		if err := ctx.Err(); err != nil {
			return pagestore.Commit{}, err
		}
		switch {
		case n > max(at.PageCount(), 1):
			continue
		case at.PageCount() == 0:
			emptyDatabase(buf)
		default:
			if err := at.ReadPage(n, buf); err != nil {
				return pagestore.Commit{}, err
			}
		}
		if n == 1 {
			vfscore.Header(buf).SetCookie(cookie)
			vfscore.Header(buf).SetPageCount(max(at.PageCount(), 1)) // an imported file may have had it wrong
		}
		if err := tx.WritePage(n, buf); err != nil {
			return pagestore.Commit{}, err
		}
	}
	tx.SetMeta(old.Next(head.Version(), cookie).AppendMeta(nil))
	return tx.Commit(ctx)
}

// differing returns the pages that may differ, and page 1.
func differing(a, b *pagestore.Snapshot) (*pagestore.PageSet, error) {
	pages, related, err := a.Database().Store().ChangedPages(a, b)
	if err != nil {
		return nil, err
	}
	if !related || a.PageSize() != b.PageSize() {
		pages = &pagestore.PageSet{}
		pages.AddRange(1, b.PageCount())
	}
	pages.Add(1)
	return pages, nil
}

// emptyDatabase fills page with a database that has no tables: one with no
// pages could not have a schema cookie.
func emptyDatabase(page []byte) {
	clear(page)
	copy(page, "SQLite format 3\x00")
	binary.BigEndian.PutUint16(page[16:], uint16(len(page))) // 65536 is written as 1
	if len(page) == 65536 {
		binary.BigEndian.PutUint16(page[16:], 1)
	}
	copy(page[18:], []byte{1, 1, 0, 64, 32, 32})
	page[vfscore.HeaderSize] = 13 // an empty leaf of a table's tree
	binary.BigEndian.PutUint16(page[vfscore.HeaderSize+5:], uint16(len(page)))
}
