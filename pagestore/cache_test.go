package pagestore

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestCacheOracle does to a cache what readers and committers do, in random
// order, with commits that fail and readers that are slow; what it gives is
// always what that version holds.
func TestCacheOracle(t *testing.T) {
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 8))
		c, err := newCache(2 * chunkSize)
		if err != nil {
			t.Fatal(err)
		}
		type page struct{ versions []Version } // in which it changed, ascending; 0 is one
		const pages = 12
		var all [pages]page
		for i := range all {
			all[i].versions = []Version{0}
		}
		sizes := []int{512, 4096, 65536}
		at := func(n int, v Version) (found Version) {
			for _, w := range all[n].versions {
				if w <= v {
					found = w
				}
			}
			return found
		}
		size := func(n int) int { return sizes[n%len(sizes)] }
		fill := func(n int, v Version) []byte {
			p := make([]byte, size(n))
			binary.LittleEndian.PutUint64(p, uint64(n)<<32|uint64(v))
			return p
		}
		head, pending := Version(0), Version(0)
		type slow struct {
			n      int
			v      Version
			before Version // pending when it began to read
			data   []byte
			found  Version
		}
		var readers []slow
		hits := 0
		for range 8000 {
			n := rng.IntN(pages)
			k := cacheKey{uint32(n % 2), uint32(n)}
			switch rng.IntN(7) {
			case 0: // a commit begins
				if pending == head {
					pending++
				}
			case 1: // and ends
				if pending == head {
					break
				}
				if rng.IntN(3) == 0 {
					pending = head // it failed
					break
				}
				for i := range all {
					if rng.IntN(4) > 0 {
						continue
					}
					all[i].versions = append(all[i].versions, pending)
					data := fill(i, pending)
					if rng.IntN(4) == 0 {
						data = nil // it went to the scratch file
					}
					c.commit(cacheKey{uint32(i % 2), uint32(i)}, pending, 0, data)
				}
				head = pending
			case 2, 3: // a reader begins to read
				v := head
				if rng.IntN(2) == 0 {
					v = Version(rng.Uint64N(uint64(head) + 1))
				}
				found := at(n, v)
				readers = append(readers, slow{n, v, pending, fill(n, found), found})
			case 4: // another enters what it read
				if len(readers) == 0 {
					break
				}
				i := rng.IntN(len(readers))
				r := readers[i]
				readers = append(readers[:i], readers[i+1:]...)
				c.put(cacheKey{uint32(r.n % 2), uint32(r.n)}, r.found, r.v, 3, r.data, func() bool { return r.before == r.v && pending == r.before })
			default:
				v := head - Version(rng.Uint64N(min(uint64(head)+1, 20)))
				buf := make([]byte, size(n))
				from, _, ok := c.get(k, v, buf)
				if !ok {
					break
				}
				hits++
				if want := at(n, v); from != want || string(buf) != string(fill(n, want)) {
					t.Fatalf("seed %d: page %d at version %d (head %d) is given as that of %d, want %d", seed, n, v, head, from, want)
				}
			}
		}
		if hits == 0 {
			t.Error("no hit: the test tests nothing")
		}
		if st := c.stat(); st.Hits == 0 || st.Pages == 0 || st.Pages > st.Bytes/512 {
			t.Errorf("%+v", st)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if _, _, ok := c.get(cacheKey{0, 1}, 0, make([]byte, 512)); ok {
			t.Error("a closed cache gives content")
		}
		c.put(cacheKey{0, 1}, 0, 0, 0, make([]byte, 512), func() bool { return true })
		c.commit(cacheKey{0, 1}, 1, 0, make([]byte, 512))
	}
}

// TestRedirects reads a branch's pages, unchanged and changed, over and over
// while it commits: what is remembered of where they lie is never wrong.
func TestRedirects(t *testing.T) {
	s := openTest(t, vfs.NewMem(), Options{PageCache: 64 << 10})
	defer closeStore(t, s)
	rng := rand.New(rand.NewPCG(1, 8))
	root := create(t, s, "root", 4096)
	const pages = 60
	var all []uint32
	for n := range uint32(pages) {
		all = append(all, n+1)
	}
	put(t, root, 1, all...)
	type db struct {
		d        *Database
		versions [][pages]uint64
	}
	var first [pages]uint64
	for i := range first {
		first[i] = 1
	}
	dbs := []*db{{root, [][pages]uint64{{}, first}}}
	for i := range 400 {
		x := dbs[rng.IntN(len(dbs))]
		if i%80 == 79 {
			v := rng.IntN(len(x.versions))
			if x.d == root && v == 0 {
				v = 1
			}
			sn := snapshot(t, x.d, Version(v))
			b, err := s.Branch(sn, "b"+string(rune('0'+i/80)))
			if err != nil {
				t.Fatal(err)
			}
			sn.Close()
			dbs = append(dbs, &db{b, [][pages]uint64{x.versions[v]}})
		}
		n := rng.Uint32N(pages)
		state := x.versions[len(x.versions)-1]
		state[n] = uint64(i + 10)
		put(t, x.d, state[n], n+1)
		x.versions = append(x.versions, state)
		for range 30 {
			x := dbs[rng.IntN(len(dbs))]
			v := rng.IntN(len(x.versions))
			if x.d == root && v == 0 {
				continue
			}
			sn := snapshot(t, x.d, Version(v))
			n := rng.Uint32N(pages)
			wantSeed(t, sn, n+1, x.versions[v][n])
			sn.Close()
		}
	}
	for _, x := range dbs {
		wantSound(t, x.d)
	}
	if _, err := root.Trim(context.Background(), TrimOptions{Before: root.Head().Version}); err != nil {
		t.Fatal(err)
	}
	for _, x := range dbs {
		sn := snapshot(t, x.d, x.d.Head().Version)
		for n, seed := range x.versions[len(x.versions)-1] {
			wantSeed(t, sn, uint32(n+1), seed)
		}
		sn.Close()
	}
}
