package pagestore

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// A pagePlace tells where a page's content was found: the database that
// stores it, the record's version there and its depth.
type pagePlace struct {
	owner *Database
	v     Version
	depth uint8
}

// A pageReader reads pages at versions. It keeps one Pebble iterator, and so
// belongs to one goroutine at a time.
type pageReader struct {
	s      *Store
	from   *pebble.Snapshot // what to read; nil: the newest state
	it     *pebble.Iterator
	opened time.Time
	used   time.Time
	key    []byte
	chain  []byte // payloads of a delta chain, one after the other
}

func (r *pageReader) close() error {
	if r.it == nil {
		return nil
	}
	err := r.it.Close()
	r.it = nil
	return err
}

// fresh makes the iterator one that sees everything committed by now.
func (r *pageReader) fresh() error {
	r.close()
	it, err := r.s.newIterFrom(r.from, []byte{keyPage}, []byte{keyPage + 1})
	if err != nil {
		return err
	}
	r.it, r.opened = it, time.Now()
	return nil
}

func (r *pageReader) ready() error {
	r.used = time.Now()
	if r.it != nil && r.used.Sub(r.opened) < maxIterAge {
		return nil
	}
	return r.fresh()
}

// closeIdle closes the iterator if it was not used for a while. It reports
// whether there still is one.
func (r *pageReader) closeIdle() bool {
	if r.it != nil && time.Since(r.used) >= maxIterAge {
		r.close()
	}
	return r.it != nil
}

// find moves to the newest record of a page in one database that is not newer
// than v. The iterator is in prefix mode: Next gives older records of the page.
func (r *pageReader) find(id, page uint32, v Version) (Version, bool, error) {
	r.key = appendPageKey(r.key[:0], id, page, v)
	if !r.it.SeekPrefixGE(r.key) {
		return 0, false, wrapDamage(r.it.Error())
	}
	if !bytes.Equal(r.it.Key()[:pagePrefixLen], r.key[:pagePrefixLen]) {
		return 0, false, nil
	}
	return pageKeyVersion(r.it.Key()), true, nil
}

// locate moves to the record that holds page n of d at version v, in d or in
// its ancestors.
func (r *pageReader) locate(d *Database, v Version, n uint32) (*Database, Version, error) {
	at := point{d.id, v}
	if r, ok := r.s.cache.redirect(cacheKey{d.id, n}, v); ok {
		at = r
	}
	for {
		found, ok, err := r.find(at.id, n, at.v)
		if err != nil {
			return nil, 0, err
		}
		cur := d
		if at.id != d.id {
			if cur, err = r.s.load(at.id); err != nil {
				return nil, 0, err
			}
		}
		if ok {
			return cur, found, nil
		}
		next, more, err := r.s.above(cur, n)
		if err != nil {
			return nil, 0, err
		}
		if !more {
			return nil, 0, errMissing
		}
		at = next
	}
}

var errMissing = errors.New("the page is missing")

// read reads page n of d at version v into dst and enters it in the cache.
func (r *pageReader) read(d *Database, v Version, n uint32, dst []byte) (pagePlace, error) {
	key := cacheKey{d.id, n}
	if from, depth, ok := r.s.cache.get(key, v, dst); ok {
		return pagePlace{d, from, depth}, nil
	}
	if at, ok := r.s.cache.redirect(key, v); ok {
		if from, depth, ok := r.s.cache.get(cacheKey{at.id, n}, at.v, dst); ok {
			owner, err := r.s.load(at.id)
			return pagePlace{owner, from, depth}, err
		}
	}
	before := d.pending.Load()
	if err := r.ready(); err != nil {
		return pagePlace{}, err
	}
	owner, found, err := r.locate(d, v, n)
	if err != nil {
		return pagePlace{}, err
	}
	ownerBefore := owner.pending.Load()
	depth, err := r.reconstruct(owner, n, found, dst)
	if err != nil {
		return pagePlace{}, err
	}
	if owner == d {
		r.s.cache.put(key, found, v, depth, dst, func() bool { return stillHead(d, before, v) })
	} else {
		r.s.cache.put(cacheKey{owner.id, n}, found, found, depth, dst, func() bool { return stillHead(owner, ownerBefore, found) })
		r.s.cache.putRedirect(key, v, point{owner.id, found}, func() bool { return stillHead(d, before, v) })
	}
	return pagePlace{owner, found, depth}, nil
}

// stillHead reports whether v was d's head at the time that pending was read,
// and no commit has begun since.
func stillHead(d *Database, pending uint64, v Version) bool {
	return pending == uint64(v) && d.pending.Load() == pending
}

// reconstruct reads the content of the record that the iterator is at.
func (r *pageReader) reconstruct(d *Database, n uint32, v Version, dst []byte) (uint8, error) {
	val, err := r.it.ValueAndErr()
	if err != nil {
		return 0, wrapDamage(err)
	}
	rec, err := decodePage(val)
	if err != nil {
		return 0, err
	}
	depth, hash := rec.depth, rec.hash
	if rec.kind == pageFull || rec.kind == pageSparse {
		// Pebble has checked its block's checksum: the hash, which takes longer
		// than all the rest, is for what is put together, and for Verify.
		return depth, rec.apply(dst)
	}

	// Collect the deltas down to something whole, then apply them upwards.
	var ends [maxDepth + 2]int
	chain, steps := r.chain[:0], 0
	defer func() { r.chain = chain }()
	at := v
	for whole := false; !whole; {
		switch rec.kind {
		case pageDelta, pageBranch:
			if steps > maxDepth {
				return 0, fmt.Errorf("%w: a chain of more than %d deltas", errPageRecord, maxDepth)
			}
			chain = append(chain, rec.payload...)
			steps++
			ends[steps] = len(chain)
		default:
			if err := rec.apply(dst); err != nil {
				return 0, err
			}
			whole = true
			continue
		}
		if rec.kind == pageBranch {
			if err := r.readParent(d, n, dst); err != nil {
				return 0, err
			}
			break
		}
		if rec.base > at {
			return 0, errPageRecord
		}
		at -= rec.base
		if _, _, ok := r.s.cache.get(cacheKey{d.id, n}, at, dst); ok {
			break
		}
		if !r.it.Next() {
			return 0, errors.Join(fmt.Errorf("version %d of it, which a later one builds on, is missing", at), wrapDamage(r.it.Error()))
		}
		if got := pageKeyVersion(r.it.Key()); got != at || pageKeyPage(r.it.Key()) != n {
			return 0, fmt.Errorf("it builds on version %d, but %d is there", at, got)
		}
		if val, err = r.it.ValueAndErr(); err != nil {
			return 0, wrapDamage(err)
		}
		if rec, err = decodePage(val); err != nil {
			return 0, err
		}
	}
	for i := steps; i > 0; i-- {
		if err := applyRanges(dst, chain[ends[i-1]:ends[i]]); err != nil {
			return 0, err
		}
	}
	return depth, checkPage(dst, hash)
}

// readParent reads page n as it was in the snapshot that d began from.
func (r *pageReader) readParent(d *Database, n uint32, dst []byte) error {
	p, err := r.s.load(d.parent.id)
	if err != nil {
		return err
	}
	sub := pageReader{s: r.s}
	defer sub.close()
	_, err = sub.read(p, d.parent.v, n, dst)
	return err
}

var errHash = errors.New("its content does not match its hash")

func checkPage(data []byte, h PageHash) error {
	if hashPage(data) != h {
		return errHash
	}
	return nil
}

// hash reads the hash of page n of d at version v.
func (r *pageReader) hash(d *Database, v Version, n uint32) (PageHash, error) {
	if err := r.ready(); err != nil {
		return PageHash{}, err
	}
	if _, _, err := r.locate(d, v, n); err != nil {
		return PageHash{}, err
	}
	val, err := r.it.ValueAndErr()
	if err != nil {
		return PageHash{}, wrapDamage(err)
	}
	rec, err := decodePage(val)
	return rec.hash, err
}

// readError adds where to a failed read, and damage to what can only be that.
func (d *Database) readError(v Version, n uint32, err error) error {
	var f *fatalError
	var dmg *DamageError
	switch {
	case errors.As(err, &f), errors.Is(err, ErrClosed):
		return err
	case errors.As(err, &dmg) && dmg.Database != "":
		return err
	case errors.As(err, &dmg), errors.Is(err, errMissing), errors.Is(err, errHash), errors.Is(err, errPageRecord):
		return &DamageError{Database: d.displayName(), Version: v, Page: n, Err: err}
	}
	return fmt.Errorf("read page %d of %s@%d: %w", n, d.displayName(), v, err)
}
