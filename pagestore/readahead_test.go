package pagestore

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestReadAhead scans snapshots of a database and of a branch of it, from any
// page on, while both are written, trimmed and compacted. Each page is what it
// was at the snapshot's version.
func TestReadAhead(t *testing.T) {
	const pages = 700
	s := openTest(t, vfs.NewMem(), Options{PageCache: 2 << 20, MemTable: 128 << 10, BlockCache: 1 << 20})
	var mu sync.Mutex
	seeds := map[*Database][][]uint64{} // by version and page
	commit := func(rng *rand.Rand, d *Database, n int) {
		tx := begin(t, d, TxOptions{})
		defer tx.Rollback()
		mu.Lock()
		next := append([]uint64{}, seeds[d][len(seeds[d])-1]...)
		mu.Unlock()
		p := make([]byte, 512)
		for range n {
			page := rng.IntN(pages)
			if n == pages { // all but a few holes
				if page = rng.IntN(pages); rng.IntN(20) == 0 {
					continue
				}
			}
			next[page] = rng.Uint64() | 1
			content(p, uint32(page+1), next[page])
			tx.WritePage(uint32(page+1), p)
		}
		mu.Lock()
		seeds[d] = append(seeds[d], next) // before anybody can open it
		mu.Unlock()
		if _, err := tx.Commit(context.Background()); err != nil {
			t.Error(err)
		}
	}
	rng := rand.New(rand.NewPCG(4, 4))
	d := create(t, s, "shop", 512)
	first := begin(t, d, TxOptions{})
	first.Truncate(pages)
	if _, err := first.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	seeds[d] = [][]uint64{make([]uint64, pages), make([]uint64, pages)}
	for range 12 {
		commit(rng, d, pages)
	}
	at := snapshot(t, d, 7)
	branch, err := s.Branch(at, "branch")
	if err != nil {
		t.Fatal(err)
	}
	at.Close()
	seeds[branch] = [][]uint64{seeds[d][7]}
	commit(rng, branch, 100)

	rounds := 60
	if *long {
		rounds = 2000
	} else if testing.Short() {
		rounds = 15
	}
	var done atomic.Bool
	var wg, writers sync.WaitGroup
	for i, db := range []*Database{d, branch} {
		writers.Add(1)
		go func() {
			defer writers.Done()
			rng := rand.New(rand.NewPCG(uint64(i), 8))
			for n := 0; !done.Load(); n++ {
				commit(rng, db, 1+rng.IntN(30))
				if n%20 == 0 {
					if _, err := db.Trim(context.Background(), TrimOptions{Retain: Retention{Count: 10}}); err != nil {
						t.Error(err)
					}
				}
			}
		}()
	}
	var ahead atomic.Int64
	for i := range 2 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			rng := rand.New(rand.NewPCG(uint64(i), 9))
			p, want := make([]byte, 512), make([]byte, 512)
			for range rounds {
				db := d
				if rng.IntN(3) == 0 {
					db = branch
				}
				head := db.Head().Version
				sn, err := db.Snapshot(head - min(head, Version(rng.IntN(8))))
				if errors.Is(err, ErrTrimmed) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				is := seeds[db][sn.Version()]
				mu.Unlock()
				n := uint32(1)
				if rng.IntN(2) == 0 {
					n += rng.Uint32N(pages)
				}
				for end := n + 1 + rng.Uint32N(pages); n < end && n <= pages; n++ { // and may be closed amid a piece
					if err := sn.ReadPage(n, p); err != nil {
						t.Error(err)
						return
					}
					if content(want, n, is[n-1]); string(p) != string(want) {
						t.Errorf("%s page %d is of seed %d, want %d", sn, n, seedOf(p), is[n-1])
						return
					}
					if rng.IntN(40) == 0 {
						n++
					}
				}
				if sn.ahead.end.Load() > 0 {
					ahead.Add(1)
				}
				sn.Close()
			}
		}()
	}
	wg.Wait()
	done.Store(true)
	writers.Wait()
	if ahead.Load() == 0 {
		t.Error("nothing was read ahead: the test tests nothing")
	}
	t.Logf("%d scans read ahead, %d commits", ahead.Load(), len(seeds[d])+len(seeds[branch]))
	wantSound(t, d)
	wantSound(t, branch)
	closeStore(t, s)
}

// TestReadAheadBounds scans a small database with a small cache: a scan reads
// nothing past the end and leaves room in the cache, and random reads read
// nothing ahead.
func TestReadAheadBounds(t *testing.T) {
	fs := vfs.NewMem()
	s := openTest(t, fs, Options{})
	d := create(t, s, "shop", 4096)
	tx := begin(t, d, TxOptions{})
	p := make([]byte, 4096)
	for n := uint32(1); n <= 300; n++ {
		content(p, n, uint64(n))
		tx.WritePage(n, p)
	}
	if _, err := tx.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	s = openTest(t, fs, Options{PageCache: 1 << 20})
	d, err := s.Database("shop")
	if err != nil {
		t.Fatal(err)
	}
	sn := snapshot(t, d, 1)
	for n := uint32(300); n > 0; n -= 7 {
		if err := sn.ReadPage(n, p); err != nil {
			t.Fatal(err)
		}
		if n < 7 {
			break
		}
	}
	if sn.ahead.end.Load() != 0 {
		t.Error("random reads read ahead")
	}
	most := uint32(0)
	for n := uint32(1); n <= 300; n++ {
		wantSeed(t, sn, n, uint64(n))
		if end := sn.ahead.end.Load(); end > n {
			most = max(most, end-n)
		}
		if end := sn.ahead.end.Load(); end > 301 {
			t.Fatalf("page %d is read ahead, of 300", end-1)
		}
	}
	if most == 0 || most > 2*(1<<20/16/4096)+1 {
		t.Errorf("%d pages were read ahead, of a cache of 256", most)
	}

	// Iterators are closed when nobody reads.
	sn.mu.Lock()
	if sn.r.it == nil || sn.idle == nil {
		t.Error("the test tests nothing")
	}
	sn.mu.Unlock()
	sn.ahead.wait(300)
	for pieces := 1; pieces > 0; time.Sleep(time.Millisecond) {
		sn.ahead.mu.Lock()
		pieces = len(sn.ahead.pieces)
		sn.ahead.mu.Unlock()
	}
	long := time.Now().Add(-2 * maxIterAge)
	sn.mu.Lock()
	sn.r.used = long
	sn.mu.Unlock()
	for _, w := range sn.ahead.idle {
		w.run.used, w.single.used = long, long
	}
	sn.closeIdle()
	if sn.r.it != nil || len(sn.ahead.idle) > 0 || sn.idle != nil {
		t.Error("iterators of a snapshot that nobody reads stay open")
	}
	wantSeed(t, sn, 300, 300)
	sn.Close()
	closeStore(t, s)
}
