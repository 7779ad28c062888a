package pagestore

import (
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// A branch looks for pages that it has not changed in the snapshot that it
// began from, and so on up. To bound that in long chains of branches, a branch
// whose depth is a multiple of 8 has a skip map: with span the largest power
// of 8 that divides its depth, the map names, for each page changed in the
// span-1 ancestors next above it, the nearest record; for any other page the
// search goes on span levels above. A page at depth n is so found within about
// 7 + 14*log8(n) look-ups.
const skipBase = 8

func skipSpan(depth uint32) uint32 {
	if depth == 0 || depth%skipBase != 0 {
		return 0
	}
	span := uint32(skipBase)
	for span <= depth/skipBase && depth%(span*skipBase) == 0 {
		span *= skipBase
	}
	return span
}

// addSkipMap writes the skip map of a new branch into b and sets rec.skip.
func (s *Store) addSkipMap(b *pebble.Batch, rec *dbRecord) error {
	span := skipSpan(rec.depth)
	if span == 0 {
		return nil
	}
	var seen PageSet
	it, err := s.newIter([]byte{keyPage}, []byte{keyPage + 1})
	if err != nil {
		return err
	}
	defer it.Close()
	at := rec.parent
	for level := uint32(1); level < span; level++ {
		err := eachOwnPage(it, at, func(page uint32) error {
			if seen.Contains(page) {
				return nil
			}
			seen.Add(page)
			v := binary.BigEndian.AppendUint32(nil, at.id)
			v = binary.BigEndian.AppendUint64(v, uint64(at.v))
			return b.Set(skipKey(rec.id, page), v, nil)
		})
		if err != nil {
			return err
		}
		d, err := s.load(at.id)
		if err != nil {
			return err
		}
		at = d.parent
	}
	rec.skip = at
	return nil
}

// eachOwnPage calls f, in order, with the pages that a database stores itself
// at a version.
func eachOwnPage(it *pebble.Iterator, at point, f func(page uint32) error) error {
	end := dbEnd(keyPage, at.id)
	for ok := it.SeekGE(dbKey(keyPage, at.id)); ok && comparer.Compare(it.Key(), end) < 0; {
		page, v := pageKeyPage(it.Key()), pageKeyVersion(it.Key())
		if v > at.v {
			ok = it.SeekGE(appendPageKey(nil, at.id, page, at.v))
			if !ok || pageKeyPage(it.Key()) != page {
				continue
			}
		}
		if err := f(page); err != nil {
			return err
		}
		ok = it.NextPrefix()
	}
	return wrapDamage(it.Error())
}

// above tells where to look for a page that d has not changed itself: in the
// snapshot that d began from, or further up if d has a skip map.
func (s *Store) above(d *Database, page uint32) (point, bool, error) {
	if d.skip.id == 0 {
		return d.parent, d.parent.id != 0, nil
	}
	b, err := s.get(skipKey(d.id, page))
	if errors.Is(err, pebble.ErrNotFound) {
		return d.skip, true, nil
	}
	if err != nil {
		return point{}, false, err
	}
	if len(b) != 12 {
		return point{}, false, &DamageError{Database: d.displayName(), Page: page, Detail: "skip map"}
	}
	return point{binary.BigEndian.Uint32(b), Version(binary.BigEndian.Uint64(b[4:]))}, true, nil
}
