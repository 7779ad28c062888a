package pagestore

// A changeRing keeps the page sets of the newest commits in memory, so that
// validating optimistic commits seldom reads them from the store. The
// database's mu guards it.
type changeRing struct {
	sets [256]struct {
		v     Version
		pages *PageSet
	}
}

func (r *changeRing) add(v Version, p *PageSet) {
	e := &r.sets[v%Version(len(r.sets))]
	e.v, e.pages = v, p
}

func (r *changeRing) get(v Version) *PageSet {
	if e := &r.sets[v%Version(len(r.sets))]; e.v == v {
		return e.pages
	}
	return nil
}

// changed returns the pages that a commit changed.
func (d *Database) changed(v Version) (*PageSet, error) {
	d.mu.Lock()
	p := d.changes.get(v)
	d.mu.Unlock()
	if p != nil {
		return p, nil
	}
	r, err := d.commitRecord(v)
	if err != nil {
		return nil, err
	}
	if p, err = r.pages(); err != nil {
		return nil, &DamageError{Database: d.displayName(), Version: v, Detail: "commit record", Err: err}
	}
	return p, nil
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
	if a.c.PageSize != b.c.PageSize {
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
