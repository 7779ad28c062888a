package pagestore

import (
	"context"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// What restores can change pages, Meta and the note before they are committed,
// and an error of its own leaves the database as it was.
func TestRestoreEdited(t *testing.T) {
	s, err := Open("store", Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	d := create(t, s, "shop", 512)
	put(t, d, 1, 1, 2, 3)
	put(t, d, 2, 2)
	at := snapshot(t, d, 1)
	defer at.Close()
	w, err := d.TryWriter()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()

	refused := errors.New("refused")
	if _, err := d.Restore(context.Background(), w, at, func(*Tx) error { return refused }); !errors.Is(err, refused) {
		t.Fatalf("restore: %v", err)
	}
	if v := d.Head().Version; v != 2 {
		t.Fatalf("a failed restore made version %d", v)
	}
	c, err := d.Restore(context.Background(), w, at, func(tx *Tx) error {
		page := make([]byte, tx.PageSize())
		if err := tx.ReadPage(3, page); err != nil { // which restoring did not touch
			return err
		}
		tx.SetMeta([]byte("meta"))
		tx.SetNote("of my own")
		content(page, 3, 7)
		return tx.WritePage(3, page)
	})
	if err != nil || c.Version != 3 || string(c.Meta) != "meta" || c.Note != "of my own" {
		t.Fatalf("restore: %+v, %v", c, err)
	}
	now := snapshot(t, d, 3)
	defer now.Close()
	wantSeed(t, now, 1, 1)
	wantSeed(t, now, 2, 1)
	wantSeed(t, now, 3, 7)
	wantSound(t, d)
}
