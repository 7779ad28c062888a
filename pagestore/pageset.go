package pagestore

import (
	"encoding/binary"
	"errors"
	"iter"
	"math/bits"
	"slices"
)

// A PageSet is a set of page numbers. It takes a bit for each page in the
// groups of 4,096 pages that it touches. The zero value is empty.
type PageSet struct {
	groups map[uint32]*pageGroup
	n      int
}

type pageGroup [64]uint64

// Add puts page n into the set.
func (p *PageSet) Add(n uint32) {
	g := p.groups[n>>12]
	if g == nil {
		if p.groups == nil {
			p.groups = make(map[uint32]*pageGroup)
		}
		g = new(pageGroup)
		p.groups[n>>12] = g
	}
	w, bit := n>>6&63, uint64(1)<<(n&63)
	if g[w]&bit == 0 {
		g[w] |= bit
		p.n++
	}
}

// AddRange puts the pages from first to last, both included, into the set.
func (p *PageSet) AddRange(first, last uint32) {
	for n := uint64(first); n <= uint64(last); n++ {
		p.Add(uint32(n))
	}
}

// Remove takes page n out of the set.
func (p *PageSet) Remove(n uint32) {
	g := p.groups[n>>12]
	if g == nil {
		return
	}
	w, bit := n>>6&63, uint64(1)<<(n&63)
	if g[w]&bit != 0 {
		g[w] &^= bit
		p.n--
	}
}

// Contains reports whether page n is in the set.
func (p *PageSet) Contains(n uint32) bool {
	g := p.groups[n>>12]
	return g != nil && g[n>>6&63]&(1<<(n&63)) != 0
}

// Len returns the number of pages in the set.
func (p *PageSet) Len() int { return p.n }

// Union puts all of q's pages into p.
func (p *PageSet) Union(q *PageSet) {
	for n := range q.All() {
		p.Add(n)
	}
}

// All returns the pages in ascending order.
func (p *PageSet) All() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		keys := make([]uint32, 0, len(p.groups))
		for k := range p.groups {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			g := p.groups[k]
			for w, word := range g {
				for word != 0 {
					if !yield(k<<12 | uint32(w)<<6 | uint32(bits.TrailingZeros64(word))) {
						return
					}
					word &= word - 1
				}
			}
		}
	}
}

// appendRuns appends ascending page numbers as runs: for each run the distance
// from the end of the one before and its length less one, as uvarints.
func appendRuns(b []byte, pages iter.Seq[uint32]) []byte {
	var first, next uint64 // the run is [first, next)
	var end uint64         // of the run before
	for n := range pages {
		switch p := uint64(n); {
		case next == 0:
			first, next = p, p+1
		case p == next:
			next++
		default:
			b = binary.AppendUvarint(b, first-end)
			b = binary.AppendUvarint(b, next-first-1)
			end, first, next = next, p, p+1
		}
	}
	if next != 0 {
		b = binary.AppendUvarint(b, first-end)
		b = binary.AppendUvarint(b, next-first-1)
	}
	return b
}

var errRuns = errors.New("page list is malformed")

// eachRun calls f with the first and last page of each run that appendRuns
// wrote.
func eachRun(b []byte, f func(first, last uint32) error) error {
	var end uint64
	for len(b) > 0 {
		gap, n := binary.Uvarint(b)
		if n <= 0 {
			return errRuns
		}
		length, m := binary.Uvarint(b[n:])
		if m <= 0 {
			return errRuns
		}
		b = b[n+m:]
		first := end + gap
		last := first + length
		if gap > 1<<32 || length > 1<<32 || last > 1<<32-1 {
			return errRuns
		}
		if err := f(uint32(first), uint32(last)); err != nil {
			return err
		}
		end = last + 1
	}
	return nil
}

func (p *PageSet) addRuns(b []byte) error {
	return eachRun(b, func(first, last uint32) error {
		p.AddRange(first, last)
		return nil
	})
}
