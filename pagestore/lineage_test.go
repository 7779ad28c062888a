package pagestore

import (
	"context"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestSkipSpan(t *testing.T) {
	for depth, want := range map[uint32]uint32{0: 0, 1: 0, 7: 0, 8: 8, 9: 0, 16: 8, 56: 8, 64: 64, 72: 8, 128: 64, 448: 64, 512: 512,
		576: 64, 1024: 512, 4096: 4096, 1 << 30: 1 << 30, 1<<31 + 1<<30: 1 << 30, 1<<32 - 8: 8} {
		if got := skipSpan(depth); got != want {
			t.Errorf("depth %d: span %d, want %d", depth, got, want)
		}
	}
}

// TestDeepBranches makes a chain of 600 branches, each changing a few pages,
// some of them trimmed, shrunk, grown or deleted on the way. At every depth
// every page is what a plain copy says, and is found within the look-ups that
// lineage.go promises.
func TestDeepBranches(t *testing.T) {
	depths := 600
	if testing.Short() {
		depths = 130 // past two levels of skip maps
	}
	fs := vfs.NewMem()
	opt := Options{PageCache: 64 << 10}
	s := openTest(t, fs, opt)
	rng := rand.New(rand.NewPCG(1, 6))
	ctx := context.Background()
	type level struct {
		name  string
		pages []uint64 // seeds at the head
	}
	d := create(t, s, "d0", 512)
	pages := make([]uint64, 24)
	change := func(d *Database, pages []uint64, n int) []uint64 {
		t.Helper()
		tx := begin(t, d, TxOptions{})
		pages = append([]uint64(nil), pages...)
		buf := make([]byte, 512)
		if rng.IntN(10) == 0 {
			cut := 18 + rng.IntN(6)
			tx.Truncate(uint32(cut))
			tx.Truncate(24)
			clear(pages[cut:])
		}
		for range n {
			i, seed := rng.IntN(len(pages)), rng.Uint64()|1
			content(buf, uint32(i+1), seed)
			tx.WritePage(uint32(i+1), buf)
			pages[i] = seed
		}
		if _, err := tx.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		return pages
	}
	tx := begin(t, d, TxOptions{})
	tx.Truncate(24)
	if _, err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	pages = change(d, pages, 100)
	levels := []level{{"d0", pages}}
	for i := 1; i <= depths; i++ {
		sn, err := d.HeadSnapshot()
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("d%d", i)
		b, err := s.Branch(sn, name)
		if err != nil {
			t.Fatal(err)
		}
		sn.Close()
		switch at := d.Head().Version; { // what comes after the branch is none of its business
		case i%5 == 0:
			levels[i-1].pages = change(d, levels[i-1].pages, 2)
		case i%7 == 0 && at > 1:
			if _, err := d.Trim(ctx, TrimOptions{Before: at, NoCompact: true}); err != nil {
				t.Fatal(err)
			}
		case i%11 == 0:
			if err := s.Delete(d.Name()); err != nil {
				t.Fatal(err)
			}
			levels[i-1].name = ""
		}
		d = b
		for range 1 + rng.IntN(2) {
			pages = change(d, pages, 1+rng.IntN(2))
		}
		if d.depth != uint32(i) || (d.skip.id != 0) != (i%8 == 0) {
			t.Fatalf("%s has depth %d, skip %v", name, d.depth, d.skip)
		}
		levels = append(levels, level{name, pages})
		if i%150 == 0 {
			if err := s.TrimAll(ctx); err != nil { // takes from the deleted what is not shared
				t.Fatal(err)
			}
		}
	}
	most, sum, reads := 0, 0, 0
	check := func() {
		t.Helper()
		for depth, l := range levels {
			if l.name == "" {
				continue
			}
			d, err := s.Database(l.name)
			if err != nil {
				t.Fatal(err)
			}
			sn, err := d.HeadSnapshot()
			if err != nil {
				t.Fatal(err)
			}
			digits := (bits.Len(uint(depth)) + 2) / 3
			for n, seed := range l.pages {
				wantSeed(t, sn, uint32(n+1), seed)
				looks := lookUps(t, s, d, sn.Version(), uint32(n+1))
				if looks > 7+14*digits {
					t.Fatalf("%s page %d: %d look-ups", sn, n+1, looks)
				}
				most, sum, reads = max(most, looks), sum+looks, reads+1
			}
			sn.Close()
		}
	}
	check()
	closeStore(t, s)
	s = openTest(t, fs, opt)
	check()
	if d, err := s.Database(fmt.Sprintf("d%d", depths)); err != nil {
		t.Fatal(err)
	} else {
		wantSound(t, d)
	}
	closeStore(t, s)
	t.Logf("at most %d look-ups, %.1f on average", most, float64(sum)/float64(reads))
	if most < 10 {
		t.Error("no page was far away: the test tests nothing")
	}
}

// lookUps counts the seeks and gets that it takes to find a page without the
// cache.
func lookUps(t *testing.T, s *Store, d *Database, v Version, n uint32) int {
	t.Helper()
	r := pageReader{s: s}
	defer r.close()
	if err := r.fresh(); err != nil {
		t.Fatal(err)
	}
	at := point{d.id, v}
	for looks := 1; ; looks++ {
		_, ok, err := r.find(at.id, n, at.v)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			return looks
		}
		cur, err := s.load(at.id)
		if err != nil {
			t.Fatal(err)
		}
		if cur.skip.id != 0 {
			looks++
		}
		next, more, err := s.above(cur, n)
		if err != nil || !more {
			t.Fatalf("page %d of %s@%d is nowhere: %v", n, d.Name(), v, err)
		}
		at = next
	}
}

// TestDeepDeltas writes small changes to one page at each level and version of
// a chain: the deltas over branch points stay within maxDepth.
func TestDeepDeltas(t *testing.T) {
	s := openTest(t, vfs.NewMem(), Options{PageCache: 64 << 10})
	defer closeStore(t, s)
	d := create(t, s, "d0", 4096)
	page := make([]byte, 4096)
	for i := range page {
		page[i] = byte(i * 7)
	}
	deepest := uint8(0)
	for i := range 120 {
		tx := begin(t, d, TxOptions{})
		page[i*8]++
		tx.WritePage(1, page)
		c, err := tx.Commit(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.get(appendPageKey(nil, d.id, 1, c.Version))
		if err != nil {
			t.Fatal(err)
		}
		r, err := decodePage(b)
		if err != nil {
			t.Fatal(err)
		}
		deepest = max(deepest, r.depth)
		if i%2 == 1 {
			sn := snapshot(t, d, c.Version)
			b, err := s.Branch(sn, fmt.Sprintf("d%d", i))
			if err != nil {
				t.Fatal(err)
			}
			sn.Close()
			if _, err := d.Trim(context.Background(), TrimOptions{Before: c.Version, NoCompact: true}); err != nil {
				t.Fatal(err)
			}
			wantSound(t, d)
			d = b
		}
		sn, err := d.HeadSnapshot()
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 4096)
		if err := sn.ReadPage(1, got); err != nil || string(got) != string(page) {
			t.Fatalf("%s: %v", sn, err)
		}
		sn.Close()
	}
	if deepest != maxDepth {
		t.Errorf("the deepest delta is at %d, want %d", deepest, maxDepth)
	}
}

// TestBranchOfBeginning branches from version 0 of a branch, which is a
// snapshot of that one's parent.
func TestBranchOfBeginning(t *testing.T) {
	s := openTest(t, vfs.NewMem(), Options{})
	defer closeStore(t, s)
	root := create(t, s, "root", 512)
	put(t, root, 1, 1, 2, 3)
	sn := snapshot(t, root, 1)
	a, err := s.Branch(sn, "a")
	if err != nil {
		t.Fatal(err)
	}
	sn.Close()
	put(t, root, 2, 1)
	put(t, a, 3, 2)
	zero := snapshot(t, a, 0)
	b, err := s.Branch(zero, "b")
	if err != nil {
		t.Fatal(err)
	}
	zero.Close()
	if b.depth != 1 || b.parent != (point{root.id, 1}) || b.Head().Hash != a.parentHash(t) {
		t.Errorf("b begins at %v, depth %d", b.parent, b.depth)
	}
	zero = snapshot(t, a, 0)
	if err := s.Delete("a"); err != nil { // what it shares with b is root's
		t.Fatal(err)
	}
	wantSeed(t, zero, 2, 1)
	zero.Close()
	if _, err := root.Trim(context.Background(), TrimOptions{Before: 2}); err != nil {
		t.Fatal(err)
	}
	sn = snapshot(t, b, 0)
	for n := uint32(1); n <= 3; n++ {
		wantSeed(t, sn, n, 1)
	}
	sn.Close()
	empty := create(t, s, "empty", 512)
	sn = snapshot(t, empty, 0)
	c, err := s.Branch(sn, "c")
	if err != nil {
		t.Fatal(err)
	}
	sn.Close()
	put(t, c, 9, 2)
	sn = snapshot(t, c, 1)
	wantSeed(t, sn, 1, 0)
	wantSeed(t, sn, 2, 9)
	sn.Close()
	for _, d := range []*Database{root, b, c, empty} {
		wantSound(t, d)
	}
}

func (d *Database) parentHash(t *testing.T) Hash {
	t.Helper()
	p, err := d.s.load(d.parent.id)
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.commitAt(d.parent.v)
	if err != nil {
		t.Fatal(err)
	}
	return c.Hash
}
