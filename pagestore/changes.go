package pagestore

// A changeRing keeps the page lists of the newest commits in memory, so that
// validating optimistic commits seldom reads them from the store. The
// database's mu guards it. The zero value is empty and takes no memory.
type changeRing struct {
	lists []changeList
}

type changeList struct {
	v     Version
	pages []uint32 // ascending
}

const (
	changesKept    = 256  // commits
	changesMaxList = 1024 // pages of a commit that is worth keeping
)

func (r *changeRing) add(v Version, pages []uint32) {
	if len(pages) > changesMaxList {
		return
	}
	if r.lists == nil {
		r.lists = make([]changeList, changesKept)
	}
	r.lists[v%changesKept] = changeList{v, pages}
}

func (r *changeRing) get(v Version) ([]uint32, bool) {
	if len(r.lists) == 0 {
		return nil, false
	}
	e := r.lists[v%changesKept]
	return e.pages, e.v == v && v > 0
}

// eachChanged calls f with the pages that the commits after version a and up
// to the head, b, changed: those of one commit ascending, some more than once.
func (d *Database) eachChanged(a, b Version, f func(page uint32)) error {
	for v := a + 1; v <= b; v++ {
		d.mu.Lock()
		pages, ok := d.changes.get(v)
		d.mu.Unlock()
		if !ok {
			// Some of these versions may have been trimmed.
			var set PageSet
			if err := d.changedBetween(&set, v-1, b); err != nil {
				return err
			}
			for n := range set.All() {
				f(n)
			}
			return nil
		}
		for _, n := range pages {
			f(n)
		}
	}
	return nil
}

// changedBetween adds to p the pages that commits after version a and up to b
// changed. Where versions between were trimmed, the next one kept remembers
// what they changed.
func (d *Database) changedBetween(p *PageSet, a, b Version) error {
	if a >= b {
		return nil
	}
	it, err := d.s.newIter(versionKey(keyCommit, d.id, a+1), versionKey(keyCommit, d.id, b+1))
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		val, err := it.ValueAndErr()
		if err != nil {
			return wrapDamage(err)
		}
		r, err := decodeCommit(0, val)
		if err == nil {
			err = p.addRuns(r.runs)
		}
		if err == nil && r.since != nil {
			err = p.addRuns(r.since)
		}
		if err != nil {
			return &DamageError{Database: d.displayName(), Detail: "commit record", Err: err}
		}
	}
	return wrapDamage(it.Error())
}

// ChangedPages returns the pages in which two snapshots may differ: all others
// are the same bytes in both. It reads the commits between them, not the
// databases. If the snapshots are not related it returns false, and every page
// may differ.
func (s *Store) ChangedPages(a, b *Snapshot) (*PageSet, bool, error) {
	p := &PageSet{}
	if err := s.begin(); err != nil {
		return nil, false, err
	}
	defer s.done()
	if a.c.PageSize != b.c.PageSize || a.d.s != s || b.d.s != s {
		return p, false, nil
	}
	pa, pb := point{a.d.id, a.c.Version}, point{b.d.id, b.c.Version}
	da, db := a.d, b.d
	// Go up from the deeper side until both are in one database, collecting
	// what changed on the way; pages past the end count as changed.
	for da != db {
		if da.depth >= db.depth && da.parent.id != 0 {
			if err := da.changedBetween(p, 0, pa.v); err != nil {
				return nil, false, err
			}
			pa = da.parent
			next, err := s.load(pa.id)
			if err != nil {
				return nil, false, err
			}
			da = next
			continue
		}
		if db.parent.id == 0 {
			return p, false, nil
		}
		if err := db.changedBetween(p, 0, pb.v); err != nil {
			return nil, false, err
		}
		pb = db.parent
		next, err := s.load(pb.id)
		if err != nil {
			return nil, false, err
		}
		db = next
	}
	if err := da.changedBetween(p, min(pa.v, pb.v), max(pa.v, pb.v)); err != nil {
		return nil, false, err
	}
	lo, hi := min(a.c.PageCount, b.c.PageCount), max(a.c.PageCount, b.c.PageCount)
	if hi > lo {
		p.AddRange(lo+1, hi)
	}
	return p, true, nil
}
