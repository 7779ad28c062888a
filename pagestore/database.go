package pagestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// A Database is a named sequence of versions. It is valid for as long as its
// store is open.
type Database struct {
	s      *Store
	id     uint32
	parent point // what a branch began from; id 0: no branch
	skip   point // see lineage.go
	depth  uint32
	writer writerQueue

	// head is the newest version that readers see. pending equals its number,
	// but while a commit is under way that commit's: content read meanwhile
	// must not enter the cache as valid from now on.
	head    atomic.Pointer[Commit]
	pending atomic.Uint64

	commitMu sync.Mutex // held while a commit is made; after Store.catalog, before mu
	minTime  int64      // guarded by commitMu: the next commit's time lies past it
	dirty    bool       // guarded by commitMu: staged pages of a failed commit remain

	mu      sync.Mutex
	rec     dbRecord
	pins    map[Version]int
	commits map[Version]*Commit // some that were read
	changes changeRing
	txs     int  // open transactions
	held    bool // open snapshots held back versions from the last trimming
	freed   bool // something that protected versions before the horizon is gone since
	purged  bool // deleted, and its data removed
}

const maxCommitsKept = 1024

// Name returns the database's name.
func (d *Database) Name() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rec.name
}

// Store returns the store that the database lies in.
func (d *Database) Store() *Store { return d.s }

// Head returns the newest version.
func (d *Database) Head() Commit { return *d.head.Load() }

// Info describes a database.
type Info struct {
	Name     string
	ID       uint32
	Created  time.Time
	Head     Commit
	Oldest   Version // the first of the versions kept without a gap up to the head
	Retain   Retention
	Parent   string // the snapshot that a branch began from, or ""
	Branches int    // branches that began from this database
}

// Info describes the database.
func (d *Database) Info() (Info, error) {
	if err := d.s.begin(); err != nil {
		return Info{}, err
	}
	defer d.s.done()
	d.mu.Lock()
	rec := d.rec
	d.mu.Unlock()
	head := d.Head()
	i := Info{Name: rec.name, ID: d.id, Created: rec.created, Head: head, Oldest: min(rec.horizon, head.Version), Retain: rec.retain}
	if rec.parent.id != 0 {
		p, err := d.s.load(rec.parent.id)
		if err != nil {
			return Info{}, err
		}
		i.Parent = fmt.Sprintf("%s@%d", p.displayName(), rec.parent.v)
	}
	points, err := d.branchPoints()
	if err != nil {
		return Info{}, err
	}
	for _, n := range points {
		i.Branches += n
	}
	return i, nil
}

func (d *Database) displayName() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rec.deleted {
		return "(deleted " + d.rec.name + ")"
	}
	return d.rec.name
}

// inUse tells what of the database is open; d.mu is held.
func (d *Database) inUse() string {
	n := 0
	for _, c := range d.pins {
		n += c
	}
	switch {
	case d.txs > 0:
		return fmt.Sprintf("%d open transactions", d.txs)
	case n > 0:
		return fmt.Sprintf("%d open snapshots", n)
	case d.writer.isHeld():
		return "its writer lock held"
	}
	return ""
}

// load returns the database with that id, reading it when it is first asked
// for.
func (s *Store) load(id uint32) (*Database, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.dbs[id]; d != nil {
		return d, nil
	}
	b, err := s.get(dbKey(keyDB, id))
	if err != nil {
		return nil, &DamageError{Detail: fmt.Sprintf("the record of database %d is missing", id), Err: err}
	}
	rec, err := decodeDB(id, b)
	if err != nil {
		return nil, &DamageError{Detail: fmt.Sprintf("the record of database %d", id), Err: err}
	}
	head, err := s.lastCommit(rec)
	if err != nil {
		return nil, err
	}
	return s.add(*rec, head), nil
}

// add enters a database into the table of loaded ones; s.mu is held.
func (s *Store) add(rec dbRecord, head *Commit) *Database {
	d := &Database{s: s, id: rec.id, parent: rec.parent, skip: rec.skip, depth: rec.depth, rec: rec, pins: make(map[Version]int), commits: make(map[Version]*Commit)}
	d.head.Store(head)
	d.pending.Store(uint64(head.Version))
	s.dbs[rec.id] = d
	return d
}

func (s *Store) lastCommit(rec *dbRecord) (*Commit, error) {
	it, err := s.newIter(dbKey(keyCommit, rec.id), dbEnd(keyCommit, rec.id))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	if !it.Last() {
		return nil, &DamageError{Database: rec.name, Detail: "no version is there", Err: wrapDamage(it.Error())}
	}
	v, err := it.ValueAndErr()
	if err != nil {
		return nil, wrapDamage(err)
	}
	ver := keyVersion(it.Key())
	r, err := decodeCommit(ver, v)
	if err != nil {
		return nil, &DamageError{Database: rec.name, Version: ver, Detail: "commit record", Err: err}
	}
	c := r.Commit
	return &c, nil
}

// Database returns the database of that name, or an UnknownDatabaseError.
func (s *Store) Database(name string) (*Database, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.done()
	for {
		b, err := s.get(nameKey(name))
		if errors.Is(err, pebble.ErrNotFound) {
			return nil, &UnknownDatabaseError{Name: name, Nearest: s.nearest(name)}
		}
		if err != nil {
			return nil, err
		}
		if len(b) != idLen {
			return nil, &DamageError{Database: name, Detail: "its name record is malformed"}
		}
		id := binary.BigEndian.Uint32(b)
		d, err := s.load(id)
		if err == nil || s.named(name, id) {
			return d, err
		} // else it was deleted or renamed between the two look-ups
	}
}

// named reports whether the database with that id still has the name, or that
// cannot be told.
func (s *Store) named(name string, id uint32) bool {
	b, err := s.get(nameKey(name))
	if errors.Is(err, pebble.ErrNotFound) {
		return false
	}
	return err != nil || len(b) != idLen || binary.BigEndian.Uint32(b) == id
}

// eachName calls f with all names in order.
func (s *Store) eachName(f func(name string, id uint32) error) error {
	it, err := s.newIter([]byte{keyName}, []byte{keyName + 1})
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return wrapDamage(err)
		}
		if len(v) != idLen {
			return &DamageError{Database: string(it.Key()[1:]), Detail: "its name record is malformed"}
		}
		if err := f(string(it.Key()[1:]), binary.BigEndian.Uint32(v)); err != nil {
			return err
		}
	}
	return wrapDamage(it.Error())
}

// Databases describes all databases, by name.
func (s *Store) Databases() ([]Info, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.done()
	var all []Info
	err := s.eachName(func(name string, id uint32) error {
		d, err := s.load(id)
		if err == nil {
			var i Info
			if i, err = d.Info(); err == nil {
				all = append(all, i)
			}
		}
		if err != nil && s.named(name, id) {
			return err
		}
		return nil
	})
	return all, err
}

// Names returns the names of all databases, in order.
func (s *Store) Names() ([]string, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.done()
	var all []string
	err := s.eachName(func(name string, _ uint32) error {
		all = append(all, name)
		return nil
	})
	return all, err
}

// commitAt returns the commit record of a version that is there. d.mu is not
// held.
func (d *Database) commitAt(v Version) (*Commit, error) {
	if h := d.head.Load(); h.Version == v {
		return h, nil
	}
	d.mu.Lock()
	c := d.commits[v]
	d.mu.Unlock()
	if c != nil {
		return c, nil
	}
	r, err := d.commitRecord(v)
	if err != nil {
		return nil, err
	}
	c = new(Commit)
	*c = r.Commit
	d.mu.Lock()
	defer d.mu.Unlock()
	for old := range d.commits {
		if len(d.commits) < maxCommitsKept {
			break
		}
		delete(d.commits, old)
	}
	d.commits[v] = c
	return c, nil
}

func (d *Database) commitRecord(v Version) (*commitRecord, error) {
	b, err := d.s.get(versionKey(keyCommit, d.id, v))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, &DamageError{Database: d.Name(), Version: v, Detail: "its commit record is missing"}
	}
	if err != nil {
		return nil, err
	}
	r, err := decodeCommit(v, b)
	if err != nil {
		return nil, &DamageError{Database: d.Name(), Version: v, Detail: "commit record", Err: err}
	}
	return r, nil
}

// LogOptions limit a log.
type LogOptions struct {
	Since time.Time // leave out what is older
	From  Version   // begin here instead of at the head; 0: the head
	Limit int       // at most so many; 0: all
}

// Log iterates over the versions that can be read, newest first. Version 0 is
// among them in a branch, where it is the snapshot that the branch began from.
func (d *Database) Log(o LogOptions) iter.Seq2[Commit, error] {
	return func(yield func(Commit, error) bool) {
		from := d.head.Load().Version
		if o.From > 0 {
			from = min(from, o.From)
		}
		for n := 0; ; { // in pieces, so that nothing is held while the caller works
			piece := 256
			if o.Limit > 0 {
				piece = min(piece, o.Limit-n)
			}
			commits, more, err := d.logPiece(from, piece)
			for _, c := range commits {
				if c.Time.Before(o.Since) || !yield(c, nil) {
					return
				}
			}
			if err != nil {
				yield(Commit{}, err)
				return
			}
			if n += len(commits); !more || o.Limit > 0 && n >= o.Limit {
				return
			}
			from = commits[len(commits)-1].Version - 1
		}
	}
}

// logPiece returns up to n commits, newest first, from a version down, and
// whether there are more.
func (d *Database) logPiece(from Version, n int) (commits []Commit, more bool, err error) {
	if err := d.s.begin(); err != nil {
		return nil, false, err
	}
	defer d.s.done()
	d.mu.Lock()
	horizon, branch := d.rec.horizon, d.rec.parent.id != 0
	protected, err := d.protectedLocked(horizon)
	d.mu.Unlock()
	if err != nil {
		return nil, false, err
	}
	it, err := d.s.newIter(dbKey(keyCommit, d.id), versionKey(keyCommit, d.id, from+1))
	if err != nil {
		return nil, false, err
	}
	defer it.Close()
	for ok := it.Last(); ok; ok = it.Prev() {
		v := keyVersion(it.Key())
		if v == 0 && !branch {
			break
		}
		if v < horizon {
			if _, keep := slices.BinarySearch(protected, v); !keep {
				continue
			}
		}
		b, err := it.ValueAndErr()
		if err != nil {
			return commits, false, wrapDamage(err)
		}
		r, err := decodeCommit(v, b)
		if err != nil {
			return commits, false, &DamageError{Database: d.displayName(), Version: v, Detail: "commit record", Err: err}
		}
		commits = append(commits, r.Commit)
		if len(commits) == n {
			return commits, v > 0, nil
		}
	}
	return commits, false, wrapDamage(it.Error())
}

// versionAt returns the newest version that was committed at or before t. It
// waits for a commit under way that may lie before t, so that the answer is
// the same whenever it is asked for.
func (d *Database) versionAt(t time.Time) (Version, error) {
	now := d.s.opts.Now()
	head := d.head.Load()
	if t.After(now) && t.After(head.Time) {
		return 0, fmt.Errorf("%s at %s: %w: it is now %s", d.Name(), FormatTime(t), ErrFuture,
			FormatTime(now))
	}
	if t.Year() < 1970 { // which may not fit into nanoseconds
		return 0, d.tooEarly(t)
	}
	ns := t.UnixNano()
	if ns >= head.Time.UnixNano() {
		d.commitMu.Lock()
		defer d.commitMu.Unlock()
		d.minTime = max(d.minTime, ns)
		if head := d.head.Load(); ns >= head.Time.UnixNano() {
			return head.Version, nil
		}
	}
	it, err := d.s.newIter(dbKey(keyTime, d.id), timeKey(d.id, ns+1))
	if err != nil {
		return 0, err
	}
	defer it.Close()
	if !it.Last() {
		if err := it.Error(); err != nil {
			return 0, wrapDamage(err)
		}
		return 0, d.tooEarly(t)
	}
	b, err := it.ValueAndErr()
	if err != nil {
		return 0, wrapDamage(err)
	}
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, &DamageError{Database: d.Name(), Detail: "time index", Err: errRecord}
	}
	// What was the head then may be gone while an older, protected one stays:
	// that one is not the answer.
	d.mu.Lock()
	horizon := d.rec.horizon
	d.mu.Unlock()
	at := int64(binary.BigEndian.Uint64(it.Key()[1+idLen:]) ^ 1<<63)
	if Version(v) < horizon && at != ns {
		next, err := d.nextKept(Version(v))
		if err != nil {
			return 0, err
		}
		if next != Version(v)+1 {
			return 0, d.tooEarly(t)
		}
	}
	return Version(v), nil
}

// nextKept returns the first version after v that has a commit record.
func (d *Database) nextKept(v Version) (Version, error) {
	it, err := d.s.newIter(versionKey(keyCommit, d.id, v+1), dbEnd(keyCommit, d.id))
	if err != nil {
		return 0, err
	}
	defer it.Close()
	if !it.First() {
		return v, wrapDamage(it.Error())
	}
	return keyVersion(it.Key()), nil
}

func (d *Database) tooEarly(t time.Time) error {
	d.mu.Lock()
	rec := d.rec
	d.mu.Unlock()
	at := FormatTime(t)
	if t.Before(rec.created) {
		return fmt.Errorf("%s at %s: %w: it was created at %s", rec.name, at, ErrBeforeStart, FormatTime(rec.created))
	}
	c, err := d.commitAt(min(rec.horizon, d.head.Load().Version))
	if err != nil {
		return err
	}
	return fmt.Errorf("%s at %s: %w: history is kept from version %d at %s", rec.name, at, ErrTrimmed, c.Version,
		FormatTime(c.Time))
}

// update changes the database's record.
func (d *Database) update(change func(*dbRecord)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.purged { // its record must not come back
		return ErrDeleted
	}
	rec := d.rec
	change(&rec)
	b := d.s.db.NewBatch()
	defer d.s.closeBatch(b)
	b.Set(dbKey(keyDB, d.id), rec.encode(), nil)
	if err := d.s.free(b, pebble.Sync); err != nil {
		return err
	}
	d.rec = rec
	return nil
}

// SetRetention changes how much history trimming leaves.
func (d *Database) SetRetention(r Retention) error {
	if err := d.s.begin(); err != nil {
		return err
	}
	defer d.s.done()
	if err := d.usable(); err != nil {
		return err
	}
	return d.update(func(rec *dbRecord) { rec.retain = r })
}

// Commit is Store.Commit; see there.
func (t *Tx) Commit(ctx context.Context) (Commit, error) {
	c, err := t.d.s.Commit(ctx, t)
	if err != nil {
		return Commit{}, err
	}
	return c[0], nil
}
