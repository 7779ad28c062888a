package pagestore

import (
	"fmt"
	"sync"
	"time"
)

// A Snapshot is a database at one version. Its content never changes, and
// trimming keeps it until it is closed. It is safe for concurrent use.
type Snapshot struct {
	d *Database
	c *Commit

	mu     sync.Mutex
	r      pageReader // opened at the first read that the cache cannot serve
	idle   *time.Timer
	closed bool
	ahead  readAhead
}

// HeadSnapshot opens the newest version.
func (d *Database) HeadSnapshot() (*Snapshot, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.openable(); err != nil {
		return nil, err
	}
	c := d.head.Load()
	d.pins[c.Version]++
	return &Snapshot{d: d, c: c}, nil
}

// Snapshot opens version v, or fails with a VersionError.
func (d *Database) Snapshot(v Version) (*Snapshot, error) {
	if err := d.s.begin(); err != nil {
		return nil, err
	}
	defer d.s.done()
	if err := d.pin(v); err != nil {
		return nil, err
	}
	c, err := d.commitAt(v)
	if err != nil {
		d.unpin(v)
		return nil, err
	}
	return &Snapshot{d: d, c: c}, nil
}

// openable returns why no snapshot can be opened, if none can; d.mu is held.
// Those of a deleted database that are open already go on.
func (d *Database) openable() error {
	if err := d.s.check(); err != nil {
		return err
	}
	if d.rec.deleted {
		return fmt.Errorf("%s: %w", d.rec.name, ErrDeleted)
	}
	return nil
}

// pin protects version v from trimming if it can be read.
func (d *Database) pin(v Version) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.openable(); err != nil {
		return err
	}
	head := d.head.Load().Version
	if v > head {
		return &VersionError{Database: d.rec.name, Version: v, Head: head}
	}
	if v < d.rec.horizon && d.pins[v] == 0 {
		kept, err := d.protectedLocked(d.rec.horizon)
		if err != nil {
			return err
		}
		found := false
		for _, k := range kept {
			found = found || k == v
		}
		if !found {
			return &VersionError{Database: d.rec.name, Version: v, Head: head, Trimmed: true, Oldest: min(d.rec.horizon, head), Kept: kept}
		}
	}
	d.pins[v]++
	return nil
}

func (d *Database) unpin(v Version) {
	d.mu.Lock()
	if d.pins[v]--; d.pins[v] <= 0 {
		delete(d.pins, v)
		d.freed = d.freed || v < d.rec.horizon
	}
	purge := d.rec.deleted && !d.purged && len(d.pins) == 0
	d.mu.Unlock()
	if purge && d.s.begin() == nil {
		defer d.s.done()
		if err := d.s.purgeIfFree(d); err != nil {
			d.s.log.Error("store: remove a deleted database", "id", d.id, "error", err)
		}
	}
}

// resolve finds the version that r picks.
func (s *Store) resolve(r Ref) (*Database, Version, error) {
	d, err := s.Database(r.Database)
	if err != nil {
		return nil, 0, err
	}
	switch r.Kind {
	case RefHead:
		return d, d.head.Load().Version, nil
	case RefVersion:
		return d, r.Version, nil
	case RefTime:
		v, err := d.versionAt(r.Time)
		return d, v, err
	case RefAgo:
		v, err := d.versionAt(s.opts.Now().Add(-r.Ago))
		return d, v, err
	case RefTag:
		v, err := d.tagged(r.Tag)
		return d, v, err
	}
	return nil, 0, fmt.Errorf("%w: kind %d", ErrSyntax, r.Kind)
}

// Snapshot opens the snapshot that r names.
func (s *Store) Snapshot(r Ref) (*Snapshot, error) {
	snaps, err := s.Snapshots(r)
	if err != nil {
		return nil, err
	}
	return snaps[0], nil
}

// Snapshots opens several snapshots. Those named by head are from one common
// moment: what one commit changed in several databases is visible in all of
// them or in none. So are those named by one and the same time.
func (s *Store) Snapshots(refs ...Ref) (snaps []*Snapshot, err error) {
	defer func() {
		if err != nil {
			for _, sn := range snaps {
				if sn != nil {
					sn.Close()
				}
			}
			snaps = nil
		}
	}()
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.done()
	now := s.opts.Now()
	snaps = make([]*Snapshot, len(refs))
	var heads []int
	for i, r := range refs {
		if r.Kind == RefAgo { // one "now" for all
			r = Ref{Database: r.Database, Kind: RefTime, Time: now.Add(-r.Ago)}
		}
		d, v, err := s.resolve(r)
		if err != nil {
			return snaps, err
		}
		if r.Kind == RefHead {
			heads = append(heads, i)
			snaps[i] = &Snapshot{d: d, closed: true}
			continue
		}
		if snaps[i], err = d.Snapshot(v); err != nil {
			return snaps, err
		}
	}
	s.publish.Lock()
	defer s.publish.Unlock()
	for _, i := range heads {
		if snaps[i], err = snaps[i].d.HeadSnapshot(); err != nil {
			return snaps, err
		}
	}
	return snaps, nil
}

// Database returns the database that the snapshot is of.
func (s *Snapshot) Database() *Database { return s.d }

// Commit describes the snapshot's version.
func (s *Snapshot) Commit() Commit { return *s.c }

// Version returns the snapshot's version.
func (s *Snapshot) Version() Version { return s.c.Version }

// PageSize returns the size of the snapshot's pages in bytes.
func (s *Snapshot) PageSize() int { return s.c.PageSize }

// PageCount returns the number of the snapshot's pages.
func (s *Snapshot) PageCount() uint32 { return s.c.PageCount }

// String returns the snapshot's name, as in shop@42.
func (s *Snapshot) String() string { return fmt.Sprintf("%s@%d", s.d.displayName(), s.c.Version) }

// ReadPage reads page n, from 1 to PageCount, into dst, which must be PageSize
// bytes long.
func (s *Snapshot) ReadPage(n uint32, dst []byte) error {
	if n == 0 || n > s.c.PageCount || len(dst) != s.c.PageSize {
		return fmt.Errorf("read page %d of %s into %d bytes: it has pages 1 to %d of %d bytes", n, s, len(dst), s.c.PageCount, s.c.PageSize)
	}
	if _, _, ok := s.d.s.cache.get(cacheKey{s.d.id, n}, s.c.Version, dst); ok {
		s.hit(n)
		return nil
	}
	_, err := s.read(n, dst)
	return err
}

func (s *Snapshot) read(n uint32, dst []byte) (pagePlace, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return pagePlace{}, fmt.Errorf("read page %d of %s: snapshot: %w", n, s, ErrClosed)
	}
	if err := s.d.s.check(); err != nil {
		return pagePlace{}, err
	}
	s.r.s = s.d.s
	s.ahead.wait(n)
	p, err := s.r.read(s.d, s.c.Version, n, dst)
	if err != nil {
		err = s.d.readError(s.c.Version, n, err)
	} else {
		s.missed(n)
	}
	s.rest()
	return p, err
}

// PageHash returns the hash of page n's content without reading that.
func (s *Snapshot) PageHash(n uint32) (PageHash, error) {
	if n == 0 || n > s.c.PageCount {
		return PageHash{}, fmt.Errorf("hash page %d of %s: it has pages 1 to %d", n, s, s.c.PageCount)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return PageHash{}, fmt.Errorf("hash page %d of %s: snapshot: %w", n, s, ErrClosed)
	}
	if err := s.d.s.check(); err != nil {
		return PageHash{}, err
	}
	s.r.s = s.d.s
	h, err := s.r.hash(s.d, s.c.Version, n)
	if err != nil {
		err = s.d.readError(s.c.Version, n, err)
	}
	s.rest()
	return h, err
}

// Clone opens the same snapshot again.
func (s *Snapshot) Clone() (*Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("clone %s: snapshot: %w", s, ErrClosed)
	}
	s.d.mu.Lock()
	s.d.pins[s.c.Version]++
	s.d.mu.Unlock()
	return &Snapshot{d: s.d, c: s.c}, nil
}

// Close ends the snapshot's protection from trimming.
func (s *Snapshot) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	if s.idle != nil {
		s.idle.Stop()
	}
	s.ahead.close()
	err := s.r.close()
	s.mu.Unlock()
	s.d.unpin(s.c.Version)
	return err
}

// maxIterAge bounds how long a snapshot holds on to files that compactions have
// replaced.
const maxIterAge = 5 * time.Second

// rest sees to it that the iterators are closed if the snapshot is not read
// from for a while; s.mu is held.
func (s *Snapshot) rest() {
	if s.idle == nil {
		s.idle = time.AfterFunc(maxIterAge, s.closeIdle)
	}
}

func (s *Snapshot) closeIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.idle = nil
	reader, ahead := s.r.closeIdle(), s.ahead.closeIdle()
	if reader || ahead {
		s.rest()
	}
}
