package diff

import (
	"iter"
	"maps"
	"math/bits"
	"slices"
)

const pageSetBits = 4096

// pageSet is a set of page numbers; the zero value is empty.
type pageSet struct {
	blocks map[uint32]*[pageSetBits / 64]uint64
	n      int64
}

// add reports whether p was not in the set before.
func (s *pageSet) add(p uint32) bool {
	b := s.blocks[p/pageSetBits]
	if b == nil {
		if s.blocks == nil {
			s.blocks = map[uint32]*[pageSetBits / 64]uint64{}
		}
		b = new([pageSetBits / 64]uint64)
		s.blocks[p/pageSetBits] = b
	}
	w, bit := &b[p%pageSetBits/64], uint64(1)<<(p%64)
	if *w&bit != 0 {
		return false
	}
	*w |= bit
	s.n++
	return true
}

func (s *pageSet) remove(p uint32) {
	if s.contains(p) {
		s.blocks[p/pageSetBits][p%pageSetBits/64] &^= 1 << (p % 64)
		s.n--
	}
}

func (s *pageSet) contains(p uint32) bool {
	b := s.blocks[p/pageSetBits]
	return b != nil && b[p%pageSetBits/64]&(1<<(p%64)) != 0
}

// all yields the pages in ascending order; pages may be removed meanwhile.
func (s *pageSet) all() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for _, k := range slices.Sorted(maps.Keys(s.blocks)) {
			for i, w := range s.blocks[k] {
				for ; w != 0; w &= w - 1 {
					if !yield(k*pageSetBits + uint32(i*64+bits.TrailingZeros64(w))) {
						return
					}
				}
			}
		}
	}
}
