package pagestore

import (
	"context"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestReleased takes away, one after the other, what protects versions before
// the horizon. The trimming in the background drops them, and looks only once
// at what an open snapshot still holds back.
func TestReleased(t *testing.T) {
	for _, again := range []bool{false, true} { // opened again before the trimming
		fs := vfs.NewMem()
		s := openTest(t, fs, Options{})
		d := create(t, s, "shop", 512)
		for i := range uint64(20) {
			put(t, d, i+1, 1, 2)
		}
		if err := d.Tag(3, "early"); err != nil {
			t.Fatal(err)
		}
		at := snapshot(t, d, 5)
		if _, err := s.Branch(at, "branch"); err != nil {
			t.Fatal(err)
		}
		at.Close()
		sn := snapshot(t, d, 7)
		ctx := context.Background()
		res, err := d.Trim(ctx, TrimOptions{Before: 15})
		if err != nil || len(res.Kept) != 3 {
			t.Fatalf("%+v, %v", res, err)
		}
		trimmed := func(what string, want int) {
			t.Helper()
			if again && sn == nil {
				closeStore(t, s)
				s = openTest(t, fs, Options{})
				if d, err = s.Database("shop"); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.TrimAll(ctx); err != nil {
				t.Fatal(err)
			}
			it, err := s.newIter(dbKey(keyCommit, d.id), versionKey(keyCommit, d.id, 15))
			if err != nil {
				t.Fatal(err)
			}
			defer it.Close()
			n := 0
			for ok := it.First(); ok; ok = it.Next() {
				n++
			}
			if n != want {
				t.Errorf("%s: %d versions before the horizon are left, want %d", what, n, want)
			}
			wantSound(t, d)
		}
		trimmed("nothing", 3)
		d.mu.Lock()
		if !d.held || d.freed {
			t.Error("the open snapshot is not known to hold a version back")
		}
		d.mu.Unlock()
		if err := d.Untag("early"); err != nil {
			t.Fatal(err)
		}
		trimmed("the tag", 2)
		sn.Close()
		sn = nil
		trimmed("the snapshot", 1)
		if err := s.Delete("branch"); err != nil {
			t.Fatal(err)
		}
		trimmed("the branch", 0)
		closeStore(t, s)
	}
}

// TestHoles makes databases longer without writing what lies between.
func TestHoles(t *testing.T) {
	s := openTest(t, vfs.NewMem(), Options{})
	defer closeStore(t, s)
	d := create(t, s, "shop", 512)
	put(t, d, 1, 1)
	for _, far := range []uint32{1<<32 - 1, maxHoles + 3} {
		tx := begin(t, d, TxOptions{})
		tx.WritePage(far, make([]byte, 512))
		if _, err := tx.Commit(context.Background()); err == nil || !strings.Contains(err.Error(), "were not written") {
			t.Errorf("page %d: %v", far, err)
		}
		tx.Truncate(2) // it goes on
		if c, err := tx.Commit(context.Background()); err != nil || c.PageCount != 2 {
			t.Errorf("%+v, %v", c, err)
		}
		tx = begin(t, d, TxOptions{})
		tx.Truncate(1)
		if _, err := tx.Commit(context.Background()); err != nil {
			t.Error(err)
		}
	}
	tx := begin(t, d, TxOptions{})
	tx.WritePage(5000, make([]byte, 512))
	if c, err := tx.Commit(context.Background()); err != nil || c.PageCount != 5000 {
		t.Fatalf("%+v, %v", c, err)
	}
	sn := snapshot(t, d, d.Head().Version)
	defer sn.Close()
	p := make([]byte, 512)
	for n := range uint32(5000) {
		if err := sn.ReadPage(n+1, p); err != nil {
			t.Fatal(err)
		}
	}
}
