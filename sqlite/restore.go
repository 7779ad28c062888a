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
	w, err := db.Writer(ctx)
	if err != nil {
		return pagestore.Commit{}, fmt.Errorf("restore %s to %s: %w", db.Name(), at, err)
	}
	defer w.Close()
	return db.Restore(ctx, w, at, func(tx *pagestore.Tx) error { return newCookie(tx, at) })
}

// newCookie gives a transaction that restores at a schema cookie of its own.
func newCookie(tx *pagestore.Tx, at *pagestore.Snapshot) error {
	head := tx.Snapshot().Commit()
	meta, err := vfscore.MetaOf(head)
	if err != nil {
		return err
	}
	if then, err := vfscore.MetaOf(at.Commit()); err == nil { // of another database perhaps
		meta.Cookie = max(meta.Cookie, then.Cookie)
	}
	first := make([]byte, tx.PageSize())
	if at.PageCount() == 0 {
		emptyDatabase(first)
	} else if err := tx.ReadPage(1, first); err != nil {
		return err
	}
	h := vfscore.Header(first)
	h.SetCookie(meta.Cookie + 1)
	h.SetPageCount(max(at.PageCount(), 1)) // an imported file may have had it wrong
	tx.SetMeta(meta.Next(head.Version, h.Cookie()).AppendMeta(nil))
	return tx.WritePage(1, first)
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
