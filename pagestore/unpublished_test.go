package pagestore

import (
	"context"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestUnpublished makes databases that get their names only when they are
// whole: until then nobody sees them, and a crash leaves nothing of them.
func TestUnpublished(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := openTest(t, mem, Options{})
	fill := func(name string) *Database {
		t.Helper()
		d, err := s.Create(name, CreateOptions{PageSize: 512, Unpublished: true})
		if err != nil {
			t.Fatal(err)
		}
		tx, err := d.Begin(TxOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.WritePage(1, make([]byte, 512)); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Commit(context.Background()); err != nil {
			t.Fatal(err)
		}
		return d
	}
	lost := fill("lost")
	if _, err := s.Database("lost"); !errors.Is(err, ErrUnknownDatabase) {
		t.Fatalf("an unpublished database is found: %v", err)
	}
	kept, twin := fill("kept"), fill("kept")
	if err := s.TrimAll(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := s.Publish(kept); err != nil {
		t.Fatal(err)
	}
	if d, err := s.Database("kept"); err != nil || d != kept {
		t.Fatal(d, err)
	}
	if err := s.Publish(twin); !errors.Is(err, ErrExists) {
		t.Fatalf("a name given twice: %v", err)
	}
	dropped := fill("dropped")
	if err := s.Discard(dropped); err != nil {
		t.Fatal(err)
	}

	again := openTest(t, mem.CrashClone(vfs.CrashCloneCfg{}), Options{})
	if names, err := again.Names(); err != nil || len(names) != 1 || names[0] != "kept" {
		t.Fatalf("after a crash there are %v, %v", names, err)
	}
	for _, d := range []*Database{lost, dropped} {
		if n, err := again.count(dbKey(keyPage, d.id), dbEnd(keyPage, d.id)); err != nil || n != 0 {
			t.Errorf("%d pages of %s remain, %v", n, d.Name(), err)
		}
	}
	if d, err := again.Database("kept"); err != nil || d.Head().Version != 1 {
		t.Fatal(d, err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
