package pagestore

import (
	"context"
	"testing"
)

func create(t testing.TB, s *Store, name string, size int) *Database {
	t.Helper()
	d, err := s.Create(name, CreateOptions{PageSize: size})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// put commits pages with the content that seed means.
func put(t testing.TB, d *Database, seed uint64, pages ...uint32) Commit {
	t.Helper()
	tx := begin(t, d, TxOptions{})
	buf := make([]byte, tx.PageSize())
	for _, n := range pages {
		content(buf, n, seed)
		if err := tx.WritePage(n, buf); err != nil {
			t.Fatal(err)
		}
	}
	c, err := tx.Commit(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func begin(t testing.TB, d *Database, o TxOptions) *Tx {
	t.Helper()
	tx, err := d.Begin(o)
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

func snapshot(t testing.TB, d *Database, v Version) *Snapshot {
	t.Helper()
	sn, err := d.Snapshot(v)
	if err != nil {
		t.Fatal(err)
	}
	return sn
}

// wantSeed checks that page n of sn holds what seed means.
func wantSeed(t testing.TB, sn *Snapshot, n uint32, seed uint64) {
	t.Helper()
	got, want := make([]byte, sn.PageSize()), make([]byte, sn.PageSize())
	if err := sn.ReadPage(n, got); err != nil {
		t.Fatal(err)
	}
	if content(want, n, seed); string(got) != string(want) {
		t.Fatalf("%s page %d is of seed %d, want %d", sn, n, seedOf(got), seed)
	}
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func wantSound(t testing.TB, d *Database) {
	t.Helper()
	if found, err := d.Verify(context.Background(), nil); err != nil || len(found) > 0 {
		t.Fatalf("verify %s: %v, %d findings: %v", d.Name(), err, len(found), found[:min(3, len(found))])
	}
}
