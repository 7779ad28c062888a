package pagestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// maxFindings bounds a report: past it a store is not worth describing.
const maxFindings = 1000

// Verify checks the database's records: that each page record gives a content
// that matches its hash, that versions follow each other without a gap and
// with the hash chain unbroken, that each commit's pages are there and nothing
// else is, that the time index agrees, and that every page of the head is
// found. It returns what is wrong, nil if nothing is; the error is for a check
// that could not be made. progress, if not nil, is told of bytes done.
func (d *Database) Verify(ctx context.Context, progress func(done, total int64)) ([]error, error) {
	if err := d.s.begin(); err != nil {
		return nil, err
	}
	defer d.s.done()
	head, err := d.HeadSnapshot()
	if err != nil {
		return nil, err
	}
	defer head.Close()
	// Trimming and commits go on meanwhile: all of it is read as of one moment.
	// What was trimmed by then is not among the versions kept after it.
	at := d.s.db.NewSnapshot()
	defer at.Close()
	d.mu.Lock()
	horizon := d.rec.horizon
	kept, err := d.protectedLocked(horizon)
	d.mu.Unlock()
	if err != nil {
		return nil, err
	}
	v := verifier{d: d, at: at, head: *head.c, horizon: horizon, kept: kept, progress: progress}
	v.r.s, v.r.from = d.s, at
	defer v.r.close()
	for _, step := range []func(context.Context) error{v.chain, v.times, v.records, v.headPages} {
		if err := step(ctx); err != nil {
			if ctx.Err() != nil {
				return v.found, ctx.Err()
			}
			var f *fatalError
			if errors.As(err, &f) || errors.Is(err, ErrClosed) {
				return v.found, err
			}
			v.add(0, 0, "", err)
		}
	}
	return v.found, nil
}

type verifier struct {
	d        *Database
	at       *pebble.Snapshot
	head     Commit
	horizon  Version
	kept     []Version
	progress func(done, total int64)
	found    []error
	r        pageReader
	known    Version // one past the head that is there, or under way
}

var errEnough = errors.New("too much is damaged to list the rest")

func (v *verifier) add(ver Version, page uint32, detail string, err error) {
	var dmg *DamageError
	if errors.As(err, &dmg) && dmg.Database != "" && detail == "" {
		err = dmg
	} else {
		err = &DamageError{Database: v.d.displayName(), Version: ver, Page: page, Detail: detail, Err: err}
	}
	if len(v.found) < maxFindings {
		v.found = append(v.found, err)
	} else if len(v.found) == maxFindings {
		v.found = append(v.found, errEnough)
	}
}

func (v *verifier) keeps(ver Version) bool {
	if ver >= v.horizon {
		return true
	}
	_, ok := slices.BinarySearch(v.kept, ver)
	return ok
}

// chain checks the commit records and the page records that they list.
func (v *verifier) chain(ctx context.Context) error {
	it, err := v.d.s.newIterFrom(v.at, dbKey(keyCommit, v.d.id), versionKey(keyCommit, v.d.id, v.head.Version+1))
	if err != nil {
		return err
	}
	defer it.Close()
	var last *commitRecord
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		ver := keyVersion(it.Key())
		if !v.keeps(ver) { // about to be swept
			continue
		}
		b, err := it.ValueAndErr()
		if err != nil {
			return wrapDamage(err)
		}
		r, err := decodeCommit(ver, b)
		if err != nil {
			v.add(ver, 0, "commit record", err)
			continue
		}
		switch {
		case last == nil && v.horizon == 0 && ver != 0:
			v.add(0, 0, "its first versions are missing", nil)
		case last != nil && ver != last.Version+1 && ver > v.horizon:
			v.add(last.Version+1, 0, fmt.Sprintf("versions up to %d are missing", ver-1), nil)
		case last != nil && ver == last.Version+1 && ver > 0 && r.Prev != last.Hash:
			v.add(ver, 0, "it does not follow the version before: the hash chain is broken", nil)
		}
		if last != nil && !r.Time.After(last.Time) {
			v.add(ver, 0, "its time is not after that of the version before", nil)
		}
		if err := v.commit(r); err != nil {
			return err
		}
		if b, err := getFrom(v.at, timeKey(v.d.id, r.Time.UnixNano())); err != nil {
			v.add(ver, 0, "the time index has no entry for it", err)
		} else if at, n := binary.Uvarint(b); n <= 0 || Version(at) != ver {
			v.add(ver, 0, fmt.Sprintf("the time index names version %d at its time", at), nil)
		}
		last = r
	}
	if err := it.Error(); err != nil {
		return wrapDamage(err)
	}
	if last == nil || last.Version != v.head.Version {
		v.add(v.head.Version, 0, "the newest version's record is missing", nil)
	} else if last.Hash != v.head.Hash {
		v.add(v.head.Version, 0, "the newest version's record has changed", nil)
	}
	return nil
}

// commit recomputes one commit's hash from the headers of its page records.
func (v *verifier) commit(r *commitRecord) error {
	if r.Version == 0 {
		return nil
	}
	pages, err := r.pages()
	if err != nil {
		v.add(r.Version, 0, "commit record", err)
		return nil
	}
	if pages.Len() != int(r.Changed) {
		v.add(r.Version, 0, fmt.Sprintf("it lists %d pages but changed %d", pages.Len(), r.Changed), nil)
	}
	ch := newChain(&r.Commit)
	for n := range pages.All() {
		b, err := getFrom(v.at, appendPageKey(nil, v.d.id, n, r.Version))
		if err != nil {
			if errors.Is(err, pebble.ErrNotFound) {
				v.add(r.Version, n, "the page is missing", nil)
				return nil
			}
			v.add(r.Version, n, "", err)
			return nil
		}
		rec, err := decodePage(b)
		if err != nil {
			v.add(r.Version, n, "", err)
			return nil
		}
		ch.page(n, rec.hash)
	}
	if ch.sum() != r.Hash {
		v.add(r.Version, 0, "its hash does not match its content", nil)
	}
	return nil
}

// times checks that the time index names nothing that is not there.
func (v *verifier) times(ctx context.Context) error {
	it, err := v.d.s.newIterFrom(v.at, dbKey(keyTime, v.d.id), dbEnd(keyTime, v.d.id))
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, err := it.ValueAndErr()
		if err != nil {
			return wrapDamage(err)
		}
		ver, n := binary.Uvarint(b)
		if n <= 0 {
			v.add(0, 0, "time index", errRecord)
			continue
		}
		if Version(ver) > v.head.Version || !v.keeps(Version(ver)) {
			continue
		}
		if _, err := getFrom(v.at, versionKey(keyCommit, v.d.id, Version(ver))); err != nil {
			v.add(Version(ver), 0, "the time index names it, but its record is missing", err)
		}
	}
	return wrapDamage(it.Error())
}

// records reconstructs every page record and checks it against its hash. The
// records of a page come newest first: deltas are held until the whole content
// that they build on is reached.
func (v *verifier) records(ctx context.Context) error {
	lower, upper := dbKey(keyPage, v.d.id), dbEnd(keyPage, v.d.id)
	var total, done int64
	if v.progress != nil {
		n, err := v.d.s.db.EstimateDiskUsage(lower, upper)
		if err != nil {
			return wrapDamage(err)
		}
		total = int64(n)
	}
	it, err := v.d.s.newIterFrom(v.at, lower, upper)
	if err != nil {
		return err
	}
	defer it.Close()
	var held []heldRecord
	buf := make([]byte, 65536)
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		page, ver := pageKeyPage(it.Key()), pageKeyVersion(it.Key())
		val, err := it.ValueAndErr()
		if err != nil {
			return wrapDamage(err)
		}
		if n++; n%1024 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			if v.progress != nil {
				v.progress(min(done, total), total)
			}
		}
		done += int64(len(val))
		if ver > v.head.Version {
			if known, err := v.underWay(ver); err != nil {
				return err
			} else if !known {
				v.add(ver, page, "the page belongs to a version that is not there", nil)
			}
			continue
		}
		rec, err := decodePage(val)
		if err != nil {
			v.add(ver, page, "", err)
			held = held[:0]
			continue
		}
		if len(held) > 0 && (held[len(held)-1].page != page || held[len(held)-1].below() != ver) {
			h := held[len(held)-1]
			v.add(h.v, h.page, fmt.Sprintf("version %d of it, which it builds on, is missing", h.below()), nil)
			held = held[:0]
		}
		rec.payload = slices.Clone(rec.payload)
		held = append(held, heldRecord{page, ver, rec})
		if rec.kind == pageDelta {
			if len(held) > maxDepth+1 {
				v.add(ver, page, "it is built on too many deltas", nil)
				held = held[:0]
			}
			continue
		}
		if err := v.release(held, buf); err != nil {
			return err
		}
		held = held[:0]
	}
	if len(held) > 0 {
		h := held[len(held)-1]
		v.add(h.v, h.page, fmt.Sprintf("version %d of it, which it builds on, is missing", h.below()), nil)
	}
	if v.progress != nil {
		v.progress(total, total)
	}
	return wrapDamage(it.Error())
}

type heldRecord struct {
	page uint32
	v    Version
	pageRecord
}

func (h *heldRecord) below() Version {
	if h.base > h.v {
		return openEnd
	}
	return h.v - h.base
}

// release checks the records of one page from the whole one, the last, up.
func (v *verifier) release(held []heldRecord, buf []byte) error {
	last := held[len(held)-1]
	size, err := v.pageSizeAt(last)
	if err != nil {
		v.add(last.v, last.page, "", err)
		return nil
	}
	data := buf[:size]
	for i := len(held) - 1; i >= 0; i-- {
		h := &held[i]
		if h.kind == pageBranch {
			if v.d.parent.id == 0 {
				v.add(h.v, h.page, "it builds on a branch's beginning, but this is no branch", nil)
				return nil
			}
			if err := v.r.readParent(v.d, h.page, data); err != nil {
				v.add(h.v, h.page, "", err)
				return nil
			}
		}
		if err := h.apply(data); err != nil {
			v.add(h.v, h.page, "", err)
			return nil
		}
		if err := checkPage(data, h.hash); err != nil {
			v.add(h.v, h.page, "", err)
			return nil
		}
	}
	return nil
}

// pageSizeAt returns the page size of a record: its length if it is whole,
// else that of its version or, if that was trimmed, of the next one kept.
func (v *verifier) pageSizeAt(h heldRecord) (int, error) {
	if h.kind == pageFull {
		return len(h.payload), checkPageSize(len(h.payload))
	}
	if v.head.Version == h.v {
		return v.head.PageSize, nil
	}
	it, err := v.d.s.newIterFrom(v.at, versionKey(keyCommit, v.d.id, h.v), dbEnd(keyCommit, v.d.id))
	if err != nil {
		return 0, err
	}
	defer it.Close()
	if !it.First() {
		return 0, errors.Join(errMissing, wrapDamage(it.Error()))
	}
	b, err := it.ValueAndErr()
	if err != nil {
		return 0, wrapDamage(err)
	}
	r, err := decodeCommit(keyVersion(it.Key()), b)
	if err != nil {
		return 0, err
	}
	return r.PageSize, nil
}

// underWay reports whether a version past the head was committed, or was being
// staged, at the moment of the check.
func (v *verifier) underWay(ver Version) (bool, error) {
	if ver == v.known {
		return true, nil
	}
	if _, err := getFrom(v.at, versionKey(keyCommit, v.d.id, ver)); !errors.Is(err, pebble.ErrNotFound) {
		v.known = ver
		return err == nil, err
	}
	it, err := v.d.s.newIterFrom(v.at, versionKey(keyStaged, v.d.id, ver), versionKey(keyStaged, v.d.id, ver+1))
	if err != nil {
		return false, err
	}
	defer it.Close()
	if it.First() {
		v.known = ver
		return true, nil
	}
	return false, wrapDamage(it.Error())
}

// headPages checks that each page of the head is found.
func (v *verifier) headPages(ctx context.Context) error {
	for n := uint64(1); n <= uint64(v.head.PageCount); n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if _, err := v.r.hash(v.d, v.head.Version, uint32(n)); err != nil {
			v.add(v.head.Version, uint32(n), "", err)
			if !errors.Is(err, errMissing) {
				return nil
			}
		}
	}
	return nil
}
