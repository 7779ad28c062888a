package pagestore

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func FuzzPageRecord(f *testing.F) {
	f.Add([]byte("the old content of a page"), []byte("the new content of a page"), uint8(3), uint64(7))
	f.Add(make([]byte, 512), bytes.Repeat([]byte{1, 0}, 256), uint8(15), uint64(0))
	f.Add(bytes.Repeat([]byte{9}, 512), make([]byte, 512), uint8(0), uint64(1))
	f.Fuzz(func(t *testing.T, old, data []byte, depth uint8, distance uint64) {
		base, page := make([]byte, 512), make([]byte, 512)
		copy(base, old)
		copy(page, data)
		for _, below := range [][]byte{base, nil} {
			h := hashPage(page)
			b, d := appendPageRecord(nil, page, h, below, depth%(maxDepth+1), Version(distance))
			if len(b) > pageHeader+512 {
				t.Fatalf("a record of %d bytes for a page of 512", len(b))
			}
			r, err := decodePage(b)
			if err != nil {
				t.Fatal(err)
			}
			if r.depth != d || r.hash != h || r.kind == pageDelta && r.base != Version(distance) {
				t.Fatalf("decoded %+v", r)
			}
			got := slices.Clone(base)
			if err := r.apply(got); err != nil || !bytes.Equal(got, page) {
				t.Fatalf("kind %d: applied to the base it gives something else: %v", r.kind, err)
			}
		}
	})
}

// FuzzHostilePageRecord feeds the decoder what no encoder wrote.
func FuzzHostilePageRecord(f *testing.F) {
	b, _ := appendPageRecord(nil, bytes.Repeat([]byte("ab"), 256), PageHash{}, make([]byte, 512), 2, 9)
	f.Add(b)
	f.Add(append([]byte{pageDelta, 1}, bytes.Repeat([]byte{0xff}, 40)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodePage(b)
		if err != nil {
			return
		}
		dst := make([]byte, 512)
		r.apply(dst) // must not panic
	})
}

func FuzzCommitRecord(f *testing.F) {
	r := commitRecord{Commit: Commit{Time: time.Unix(1, 2), PageSize: 4096, PageCount: 9, Changed: 2, Stored: 100, Meta: []byte("m"), Note: "n"}}
	r.setPages(slices.Values([]uint32{1, 2, 9}))
	f.Add(r.encode())
	r.since = []byte{}
	f.Add(r.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeCommit(5, b)
		if err != nil {
			return
		}
		again, err := decodeCommit(5, r.encode())
		if err != nil {
			t.Fatalf("decoded, encoded, and then: %v", err)
		}
		if again.Time != r.Time || again.PageCount != r.PageCount || again.Note != r.Note || !bytes.Equal(again.runs, r.runs) ||
			!bytes.Equal(again.since, r.since) || (again.since == nil) != (r.since == nil) {
			t.Fatalf("%+v became %+v", r, again)
		}
		n := 0
		eachRun(r.runs, func(first, last uint32) error {
			if last < first {
				t.Fatalf("run from %d to %d", first, last)
			}
			if n++; n > 1000 {
				return errRuns
			}
			return nil
		})
	})
}

func FuzzDatabaseRecord(f *testing.F) {
	r := dbRecord{name: "shop", pageSize: 4096, created: time.Unix(5, 6).UTC(), parent: point{3, 4}, depth: 8, skip: point{1, 2},
		retain: Retention{Age: time.Hour}, horizon: 5, swept: 4, deleted: true}
	f.Add(r.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeDB(7, b)
		if err != nil {
			return
		}
		again, err := decodeDB(7, r.encode())
		if err != nil || *again != *r {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}

func TestPageSet(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var p PageSet
		want := map[uint32]bool{}
		for range rng.IntN(300) {
			n := rng.Uint32N(20000)
			if rng.IntN(20) == 0 {
				n = 1<<32 - 1 - rng.Uint32N(3)
			}
			if rng.IntN(4) == 0 {
				p.Remove(n)
				delete(want, n)
			} else {
				p.Add(n)
				want[n] = true
			}
		}
		if p.Len() != len(want) {
			t.Fatalf("%d pages, want %d", p.Len(), len(want))
		}
		got := slices.Collect(p.All())
		if !slices.IsSorted(got) || len(got) != len(want) {
			t.Fatal("not in order, or not all")
		}
		var q PageSet
		if err := q.addRuns(appendRuns(nil, p.All())); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(slices.Collect(q.All()), got) {
			t.Fatal("runs do not give the set again")
		}
	}
}

func BenchmarkPageRecord(b *testing.B) {
	old := make([]byte, 4096)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range old {
		old[i] = byte(rng.Uint32())
	}
	page := slices.Clone(old)
	copy(page[1000:], bytes.Repeat([]byte("x"), 100))
	copy(page[8:], "12345678")
	var buf []byte
	b.Run("delta", func(b *testing.B) {
		b.SetBytes(4096)
		for range b.N {
			buf, _ = appendPageRecord(buf[:0], page, PageHash{}, old, 0, 1)
		}
	})
	b.Run("hash", func(b *testing.B) {
		b.SetBytes(4096)
		for range b.N {
			hashPage(page)
		}
	})
}
