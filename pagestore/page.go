package pagestore

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// A page record is what one version of one page is stored as:
//
//	kind (1 byte), depth (1 byte), page hash (16 bytes), then by kind
//	pageFull:   the content
//	pageSparse: byte ranges over a page of zeros
//	pageDelta:  uvarint distance to the version of the record below, ranges over its content
//	pageBranch: ranges over the page's content at the snapshot the branch began from
//
// depth is at least the number of records below that must be read first.
const (
	pageFull = iota
	pageSparse
	pageDelta
	pageBranch
)

const (
	pageHeader = 2 + len(PageHash{})

	// maxDepth bounds the records read for one page: one in 16 is whole.
	maxDepth = 15

	// gapMin is the shortest run of equal bytes that ends a range: a range
	// costs two bytes or more.
	gapMin = 4
)

type pageRecord struct {
	kind    byte
	depth   uint8
	hash    PageHash
	base    Version // distance, for pageDelta
	payload []byte  // aliases the record
}

var errPageRecord = errors.New("page record is malformed")

func decodePage(b []byte) (r pageRecord, err error) {
	if len(b) < pageHeader || b[0] > pageBranch || b[1] > maxDepth {
		return r, errPageRecord
	}
	r.kind, r.depth = b[0], b[1]
	copy(r.hash[:], b[2:])
	r.payload = b[pageHeader:]
	if r.kind == pageDelta {
		d, n := binary.Uvarint(r.payload)
		if n <= 0 || d == 0 {
			return r, errPageRecord
		}
		r.base, r.payload = Version(d), r.payload[n:]
	}
	return r, nil
}

// apply writes the page's content to dst, which for pageDelta and pageBranch
// holds the content below.
func (r *pageRecord) apply(dst []byte) error {
	switch r.kind {
	case pageFull:
		if len(r.payload) != len(dst) {
			return errPageRecord
		}
		copy(dst, r.payload)
		return nil
	case pageSparse:
		clear(dst)
	}
	return applyRanges(dst, r.payload)
}

// appendPageRecord appends the smallest sensible record for data. base is the
// content below it (nil: none, or no delta is wanted), baseDepth its depth,
// and distance that of its version, 0 if it lies in the snapshot that the
// branch began from. It returns the record's depth.
func appendPageRecord(b []byte, data []byte, h PageHash, base []byte, baseDepth uint8, distance Version) ([]byte, uint8) {
	start := len(b)
	b = append(b, 0, 0)
	b = append(b, h[:]...)
	if base != nil && baseDepth < maxDepth {
		kind := byte(pageBranch)
		if distance > 0 {
			kind = pageDelta
			b = binary.AppendUvarint(b, uint64(distance))
		}
		if out, ok := appendRanges(b, data, base, len(data)/4); ok {
			out[start], out[start+1] = kind, baseDepth+1
			return out, baseDepth + 1
		}
		b = b[:start+pageHeader]
	}
	if out, ok := appendRanges(b, data, nil, len(data)-len(data)/8); ok {
		out[start] = pageSparse
		return out, 0
	}
	b = append(b, data...)
	b[start] = pageFull
	return b, 0
}

// appendRanges appends the byte ranges in which data differs from base (nil
// means zeros), each as the uvarint distance from the end of the one before,
// its uvarint length, and its bytes. It gives up past limit bytes.
func appendRanges(b, data, base []byte, limit int) ([]byte, bool) {
	start := len(b)
	end := 0 // of the last range written
	for i := 0; ; {
		i = nextDiff(data, base, i)
		if i >= len(data) {
			return b, true
		}
		j := i + 1 // one past the last differing byte
		for k := j; k < len(data) && k-j < gapMin; k++ {
			if base == nil && data[k] != 0 || base != nil && data[k] != base[k] {
				j = k + 1
			}
		}
		if len(b)-start+j-i+2 > limit {
			return b, false
		}
		b = binary.AppendUvarint(b, uint64(i-end))
		b = binary.AppendUvarint(b, uint64(j-i))
		b = append(b, data[i:j]...)
		end, i = j, j
	}
}

// nextDiff returns the first index from i on at which data and base differ.
func nextDiff(data, base []byte, i int) int {
	if base == nil {
		for ; i+8 <= len(data); i += 8 {
			if x := binary.LittleEndian.Uint64(data[i:]); x != 0 {
				return i + bits.TrailingZeros64(x)/8
			}
		}
		for ; i < len(data) && data[i] == 0; i++ {
		}
		return i
	}
	base = base[:len(data)]
	for ; i+8 <= len(data); i += 8 {
		x := binary.LittleEndian.Uint64(data[i:]) ^ binary.LittleEndian.Uint64(base[i:])
		if x != 0 {
			return i + bits.TrailingZeros64(x)/8
		}
	}
	for ; i < len(data) && data[i] == base[i]; i++ {
	}
	return i
}

// applyRanges writes what appendRanges wrote over dst.
func applyRanges(dst, b []byte) error {
	at := 0
	for len(b) > 0 {
		gap, n := binary.Uvarint(b)
		if n <= 0 || gap > uint64(len(dst)-at) {
			return errPageRecord
		}
		b = b[n:]
		at += int(gap)
		length, n := binary.Uvarint(b)
		if n <= 0 || length > uint64(len(b)-n) || length > uint64(len(dst)-at) {
			return errPageRecord
		}
		copy(dst[at:], b[n:n+int(length)])
		at += int(length)
		b = b[n+int(length):]
	}
	return nil
}
