package pagestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/cockroachdb/pebble/v2"
)

// TrimOptions say what to trim. Exactly one of Before and Retain is used:
// Before if it is not 0.
type TrimOptions struct {
	Before   Version   // drop versions before it
	Retain   Retention // drop what this does not keep
	DryRun   bool      // only count
	Progress func(done, total int64)
	// NoCompact leaves it to the background to give the space back.
	NoCompact bool
}

// A TrimResult tells what trimming dropped, or would.
type TrimResult struct {
	Versions int64 // versions dropped
	Pages    int64 // page records dropped
	Bytes    int64 // their size before compression
	Oldest   Version
	Kept     []Version // protected ones before Oldest
}

// protectedLocked returns the versions before horizon that tags, branches and
// open snapshots protect, ascending; d.mu is held.
func (d *Database) protectedLocked(horizon Version) ([]Version, error) {
	if horizon == 0 {
		return nil, nil
	}
	var all []Version
	for v := range d.pins {
		all = append(all, v)
	}
	points, err := d.branchPoints()
	if err != nil {
		return nil, err
	}
	for v := range points {
		all = append(all, v)
	}
	if !d.rec.deleted { // whose tags nobody can name
		it, err := d.s.newIter(dbKey(keyTag, d.id), dbEnd(keyTag, d.id))
		if err != nil {
			return nil, err
		}
		defer it.Close()
		for ok := it.First(); ok; ok = it.Next() {
			b, err := it.ValueAndErr()
			if err != nil {
				return nil, wrapDamage(err)
			}
			v, n := binary.Uvarint(b)
			if n <= 0 { // what it protects cannot be told
				return nil, &DamageError{Database: d.rec.name, Detail: "tag " + string(it.Key()[1+idLen:]), Err: errRecord}
			}
			all = append(all, Version(v))
		}
		if err := it.Error(); err != nil {
			return nil, wrapDamage(err)
		}
	}
	all = slices.DeleteFunc(all, func(v Version) bool { return v >= horizon })
	slices.Sort(all)
	return slices.Compact(all), nil
}

// horizonFor returns the first version that o keeps.
func (d *Database) horizonFor(o TrimOptions) (Version, error) {
	head := d.head.Load()
	if o.Before > 0 {
		if o.Before > head.Version {
			return 0, &VersionError{Database: d.Name(), Version: o.Before, Head: head.Version}
		}
		return o.Before, nil
	}
	switch r := o.Retain; {
	case r.Count > 0:
		if uint64(head.Version) < r.Count {
			return 0, nil
		}
		return head.Version - Version(r.Count) + 1, nil
	case r.Age > 0:
		v, err := d.versionAt(d.s.opts.Now().Add(-r.Age))
		if errors.Is(err, ErrBeforeStart) || errors.Is(err, ErrTrimmed) {
			return 0, nil
		}
		return v, err
	}
	return 0, nil
}

// Trim drops old versions. The newest version, tagged ones, those that
// branches began from and open snapshots stay. It can be cancelled; what is
// left undone is done by the next Trim.
func (d *Database) Trim(ctx context.Context, o TrimOptions) (TrimResult, error) {
	if err := d.s.begin(); err != nil {
		return TrimResult{}, err
	}
	defer d.s.done()
	horizon, err := d.horizonFor(o)
	if err != nil {
		return TrimResult{}, fmt.Errorf("trim: %w", err)
	}
	d.s.trimmer.mu.Lock() // one at a time
	defer d.s.trimmer.mu.Unlock()
	res, err := d.trim(ctx, horizon, o)
	if err != nil {
		return res, fmt.Errorf("trim %s: %w", d.Name(), err)
	}
	return res, nil
}

func (d *Database) trim(ctx context.Context, horizon Version, o TrimOptions) (TrimResult, error) {
	// From the moment that the horizon is stored, what lies before it and is
	// not protected cannot be opened any more; then its data may go.
	d.mu.Lock()
	horizon = max(horizon, d.rec.horizon)
	if d.purged {
		d.mu.Unlock()
		return TrimResult{}, ErrDeleted
	}
	deleted := d.rec.deleted
	if deleted {
		horizon = d.head.Load().Version + 1
	}
	kept, err := d.protectedLocked(horizon)
	if !o.DryRun {
		d.held, d.freed = false, false
	}
	if err == nil && !o.DryRun && horizon > d.rec.horizon {
		rec := d.rec
		rec.horizon = horizon
		b := d.s.db.NewBatch()
		b.Set(dbKey(keyDB, d.id), rec.encode(), nil)
		if err = d.s.free(b, pebble.Sync); err == nil {
			d.rec = rec
		}
		d.s.closeBatch(b)
	}
	d.mu.Unlock()
	if err != nil {
		return TrimResult{}, err
	}
	s := sweep{d: d, horizon: horizon, kept: kept, deleted: deleted, dry: o.DryRun, progress: o.Progress}
	s.res.Oldest, s.res.Kept = min(horizon, d.head.Load().Version), kept
	if horizon == 0 {
		return s.res, nil
	}
	if err := s.run(ctx); err != nil || o.DryRun {
		d.mu.Lock()
		defer d.mu.Unlock()
		if err != nil && d.purged { // what it missed went with the database
			err = ErrDeleted
		}
		return s.res, err
	}
	if err := d.swept(horizon, kept); err != nil {
		return s.res, err
	}
	if s.res.Pages > 0 && !o.NoCompact {
		return s.res, d.s.compact(ctx, d.id)
	}
	return s.res, nil
}

// swept notes that trimming up to a horizon is complete. While open snapshots
// hold versions back it is not: when they are closed there is more to drop.
func (d *Database) swept(horizon Version, kept []Version) error {
	return d.update(func(rec *dbRecord) {
		d.held = slices.ContainsFunc(kept, func(v Version) bool { return d.pins[v] > 0 })
		if !d.held && !d.freed {
			rec.swept = max(rec.swept, horizon)
		} else if rec.swept == rec.horizon {
			rec.swept--
		}
	})
}

// unswept makes a record that tells trimming to look again for what version v
// alone had protected.
func (r *dbRecord) unswept(v Version) bool {
	if v >= r.horizon || r.swept < r.horizon {
		return false
	}
	r.swept = r.horizon - 1
	return true
}

// compact gives the space of dropped records back to the file system.
func (s *Store) compact(ctx context.Context, id uint32) error {
	for _, kind := range []byte{keyPage, keyCommit, keyTime} {
		if err := s.compactRange(ctx, dbKey(kind, id), dbEnd(kind, id)); err != nil {
			return err
		}
	}
	// Files that were replaced are removed in the background, which the end of
	// the process would leave to the next Open.
	return s.guard(func() error {
		s.db.TestOnlyWaitForCleaning()
		return nil
	})
}

func (s *Store) compactRange(ctx context.Context, lower, upper []byte) error {
	if s.refusal != nil {
		return fmt.Errorf("compact: %w", s.refusal)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	err := s.guard(func() error { return s.db.Compact(ctx, lower, upper, false) })
	if err != nil && s.closed.Load() {
		return fmt.Errorf("compact: %w", ErrClosed)
	}
	return wrapDamage(err)
}

// Compact rewrites the store's files so that they hold nothing superfluous. It
// happens in the background anyway; this waits for it.
func (s *Store) Compact(ctx context.Context) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.done()
	return s.compactRange(ctx, []byte{0}, []byte{0xff})
}

// A sweep removes the records that no kept version needs.
type sweep struct {
	d        *Database
	horizon  Version
	kept     []Version // before horizon, ascending
	last     Version   // the head when it began: what is newer is left alone
	deleted  bool
	dry      bool
	progress func(done, total int64)
	res      TrimResult
	batch    *pebble.Batch
	sizes    []sizeChange
	least    uint32 // smallest page count of a kept version
	r        pageReader
}

// A sizeChange is a kept version from which on the page count is count.
type sizeChange struct {
	v     Version
	count uint32
}

func (s *sweep) run(ctx context.Context) error {
	s.last = s.d.head.Load().Version
	if err := s.readSizes(); err != nil {
		return err
	}
	s.batch = s.d.s.db.NewBatch()
	defer func() { s.d.s.closeBatch(s.batch) }()
	s.r.s = s.d.s
	defer s.r.close()
	if err := s.pages(ctx); err != nil {
		return err
	}
	return s.commits(ctx)
}

// readSizes collects the page counts of the kept versions.
func (s *sweep) readSizes() error {
	it, err := s.d.s.newIter(dbKey(keyCommit, s.d.id), dbEnd(keyCommit, s.d.id))
	if err != nil {
		return err
	}
	defer it.Close()
	s.least = 1<<32 - 1
	for ok := it.First(); ok; ok = it.Next() {
		v := keyVersion(it.Key())
		if !s.keeps(v, v+1) {
			continue
		}
		b, err := it.ValueAndErr()
		if err != nil {
			return wrapDamage(err)
		}
		r, err := decodeCommit(v, b)
		if err != nil {
			return &DamageError{Database: s.d.displayName(), Version: v, Detail: "commit record", Err: err}
		}
		if n := len(s.sizes); n == 0 || s.sizes[n-1].count != r.PageCount {
			s.sizes = append(s.sizes, sizeChange{v, r.PageCount})
		}
		s.least = min(s.least, r.PageCount)
	}
	return wrapDamage(it.Error())
}

// keeps reports whether a kept version lies in [from, to).
func (s *sweep) keeps(from, to Version) bool {
	if s.deleted { // whose head is not kept for its own sake
		to = min(to, s.horizon)
	}
	if to > s.horizon && to > from {
		return true
	}
	i, _ := slices.BinarySearch(s.kept, from)
	return i < len(s.kept) && s.kept[i] < to
}

// needs reports whether a kept version in [from, to) has the page.
func (s *sweep) needs(page uint32, from, to Version) bool {
	if !s.keeps(from, to) {
		return false
	}
	if page <= s.least {
		return true
	}
	i := sort.Search(len(s.sizes), func(i int) bool { return s.sizes[i].v > from }) - 1
	for i = max(i, 0); i < len(s.sizes) && s.sizes[i].v < to; i++ {
		if s.sizes[i].count < page {
			continue
		}
		end := openEnd
		if i+1 < len(s.sizes) {
			end = s.sizes[i+1].v
		}
		if s.keeps(max(from, s.sizes[i].v), min(to, end)) {
			return true
		}
	}
	return false
}

// pages removes page records. A record that is built on one that goes is
// rewritten to stand alone, in the same batch.
func (s *sweep) pages(ctx context.Context) error {
	it, err := s.d.s.newIter(dbKey(keyPage, s.d.id), dbEnd(keyPage, s.d.id))
	if err != nil {
		return err
	}
	defer it.Close()
	var total int64
	if s.progress != nil {
		disk, err := s.d.s.db.EstimateDiskUsage(dbKey(keyPage, s.d.id), dbEnd(keyPage, s.d.id))
		if err != nil {
			return wrapDamage(err)
		}
		total = int64(disk)
	}
	var page uint32     // of the record before
	var newer Version   // its version
	var newerNeeds bool // it is kept and a delta to the record next below it
	var seen, records int64
	for ok := it.First(); ok; ok = it.Next() {
		n, v := pageKeyPage(it.Key()), pageKeyVersion(it.Key())
		if n != page {
			page, newer, newerNeeds = n, openEnd, false
		}
		val, err := it.ValueAndErr()
		if err != nil {
			return wrapDamage(err)
		}
		rec, err := decodePage(val)
		if err != nil {
			return &DamageError{Database: s.d.displayName(), Version: v, Page: n, Err: err}
		}
		if v > s.last { // of a later commit, perhaps still under way
			continue
		}
		seen += int64(len(it.Key()) + len(val))
		if s.needs(n, v, newer) {
			newerNeeds = rec.kind == pageDelta
		} else {
			s.res.Pages++
			s.res.Bytes += int64(len(it.Key()) + len(val))
			if !s.dry {
				if newerNeeds {
					if err := s.rewrite(n, newer); err != nil {
						return err
					}
				}
				s.batch.Delete(it.Key(), nil)
			}
			newerNeeds = false
		}
		newer = v
		if s.batch.Len() >= 1<<20 {
			if err := s.flush(); err != nil {
				return err
			}
		}
		if records++; records%4096 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			if s.progress != nil {
				s.progress(min(seen, total), total)
			}
		}
	}
	if s.progress != nil {
		s.progress(total, total)
	}
	return wrapDamage(it.Error())
}

// rewrite stores the page at version v as a record of its own.
func (s *sweep) rewrite(page uint32, v Version) error {
	c, err := s.d.commitAt(v)
	if err != nil { // v itself may be dropped while a later kept version has its page
		c, err = s.sizedLike(v)
	}
	if err != nil {
		return err
	}
	data := make([]byte, c.PageSize)
	if err := s.r.ready(); err != nil {
		return err
	}
	found, ok, err := s.r.find(s.d.id, page, v)
	if err != nil {
		return err
	}
	if !ok || found != v {
		return &DamageError{Database: s.d.displayName(), Version: v, Page: page, Err: errMissing}
	}
	if _, err := s.r.reconstruct(s.d, page, v, data); err != nil {
		return s.d.readError(v, page, err)
	}
	rec, _ := appendPageRecord(nil, data, hashPage(data), nil, 0, 0)
	return s.batch.Set(appendPageKey(nil, s.d.id, page, v), rec, nil)
}

// sizedLike returns a commit with the page size that version v had, whose own
// record is gone: the next kept version's, since a page is never kept across
// a change of the page size.
func (s *sweep) sizedLike(v Version) (*Commit, error) {
	next, err := s.d.nextKept(v)
	if err != nil {
		return nil, err
	}
	return s.d.commitAt(next)
}

// flush applies the batch, unless the database's data were removed meanwhile:
// nothing of it must come back.
func (s *sweep) flush() error {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if s.d.purged {
		return ErrDeleted
	}
	if err := s.d.s.free(s.batch, pebble.NoSync); err != nil {
		return err
	}
	s.batch.Reset()
	return nil
}

// commits removes the commit records and times of dropped versions. The next
// kept version remembers which pages they changed.
func (s *sweep) commits(ctx context.Context) error {
	it, err := s.d.s.newIter(dbKey(keyCommit, s.d.id), dbEnd(keyCommit, s.d.id))
	if err != nil {
		return err
	}
	defer it.Close()
	var since PageSet
	dropped := false
	for ok := it.First(); ok; ok = it.Next() {
		v := keyVersion(it.Key())
		keep := s.keeps(v, v+1)
		if keep && !dropped {
			if v >= s.horizon {
				break
			}
			continue
		}
		b, err := it.ValueAndErr()
		if err != nil {
			return wrapDamage(err)
		}
		r, err := decodeCommit(v, b)
		if err == nil && !keep {
			err = errors.Join(since.addRuns(r.runs), since.addRuns(r.since))
		}
		if err != nil {
			return &DamageError{Database: s.d.displayName(), Version: v, Detail: "commit record", Err: err}
		}
		if keep {
			if !s.dry {
				if err := since.addRuns(r.since); err != nil {
					return err
				}
				r.since = appendRuns([]byte{}, since.All())
				s.batch.Set(it.Key(), r.encode(), nil)
				// What was dropped and what remembers it must change together.
				if err := s.flush(); err != nil {
					return err
				}
			}
			since, dropped = PageSet{}, false
			continue
		}
		dropped = true
		s.res.Versions++
		s.res.Bytes += int64(len(it.Key()) + len(b))
		if !s.dry {
			s.batch.Delete(it.Key(), nil)
			s.batch.Delete(timeKey(s.d.id, r.Time.UnixNano()), nil)
			s.d.mu.Lock()
			delete(s.d.commits, v)
			s.d.mu.Unlock()
		}
		if s.res.Versions%4096 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	if err := it.Error(); err != nil {
		return wrapDamage(err)
	}
	if s.dry {
		return nil
	}
	return s.flush() // trim's record of it syncs
}
