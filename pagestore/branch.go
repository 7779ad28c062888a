package pagestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/hako-run/hako/internal/nearest"
)

// CreateOptions tune a new database. The zero value works.
type CreateOptions struct {
	PageSize int // bytes; 0: 4096
	Retain   Retention

	// Unpublished keeps the name free and the database out of all lists until
	// Publish. A crash before that removes it.
	Unpublished bool
}

// Create makes an empty database.
func (s *Store) Create(name string, o CreateOptions) (*Database, error) {
	if o.PageSize == 0 {
		o.PageSize = defaultPageSize
	}
	if err := checkPageSize(o.PageSize); err != nil {
		return nil, fmt.Errorf("create database %s: %w", name, err)
	}
	rec := dbRecord{name: name, pageSize: o.PageSize, retain: o.Retain}
	zero := &Commit{PageSize: o.PageSize}
	d, err := s.create(&rec, zero, o.Unpublished)
	if err != nil {
		return nil, fmt.Errorf("create database %s: %w", name, err)
	}
	return d, nil
}

// Branch makes a database that begins as the snapshot and shares its pages.
// It takes the same time however large the database is.
func (s *Store) Branch(at *Snapshot, name string) (*Database, error) {
	if at.d.s != s {
		return nil, fmt.Errorf("branch %s from %s: the snapshot is of another store", name, at)
	}
	at, err := at.Clone() // which holds the version until the branch does
	if err != nil {
		return nil, fmt.Errorf("branch %s: %w", name, err)
	}
	defer at.Close()
	p := at.d
	rec := dbRecord{name: name, pageSize: at.c.PageSize, parent: point{p.id, at.c.Version}, depth: p.depth + 1}
	if at.c.Version == 0 && p.parent.id != 0 { // version 0 of a branch is what that one began from
		rec.parent, rec.depth = p.parent, p.depth
	}
	p.mu.Lock()
	rec.retain = p.rec.retain
	p.mu.Unlock()
	zero := *at.c
	zero.Version, zero.Changed, zero.Stored, zero.Prev = 0, 0, 0, Hash{}
	zero.Note = fmt.Sprintf("branch of %s", at)
	d, err := s.create(&rec, &zero, false)
	if err != nil {
		return nil, fmt.Errorf("branch %s from %s: %w", name, at, err)
	}
	return d, nil
}

func (s *Store) create(rec *dbRecord, zero *Commit, unpublished bool) (*Database, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.done()
	if err := CheckName(rec.name); err != nil {
		return nil, err
	}
	s.catalog.Lock()
	defer s.catalog.Unlock()
	if err := s.nameFree(rec.name); err != nil {
		return nil, err
	}
	rec.id = s.nextID
	rec.created = time.Unix(0, s.opts.Now().UnixNano()).UTC()
	zero.Time = rec.created
	b := s.db.NewBatch()
	defer s.closeBatch(b)
	if rec.parent.id != 0 {
		if err := s.addSkipMap(b, rec); err != nil {
			return nil, err
		}
		b.Set(branchKey(rec.parent.id, rec.parent.v, rec.id), nil, nil)
	}
	if unpublished { // on disk it is one that was deleted, which the next Open removes
		gone := *rec
		gone.deleted = true
		b.Set(dbKey(keyDB, rec.id), gone.encode(), nil)
		b.Set(dbKey(keyDeleted, rec.id), nil, nil)
	} else {
		b.Set(nameKey(rec.name), binary.BigEndian.AppendUint32(nil, rec.id), nil)
		b.Set(dbKey(keyDB, rec.id), rec.encode(), nil)
	}
	b.Set(versionKey(keyCommit, rec.id, 0), (&commitRecord{Commit: *zero}).encode(), nil)
	b.Set(timeKey(rec.id, zero.Time.UnixNano()), []byte{0}, nil)
	s.nextID++
	s.setNextID(b)
	if err := s.apply(b, pebble.Sync); err != nil {
		s.nextID--
		return nil, err
	}
	if unpublished {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.add(*rec, zero), nil
	}
	return s.load(rec.id) // somebody may have found the name by now: there is one Database for an id
}

// Publish gives a database that was made unpublished its name, or fails with
// ErrExists if another has got it meanwhile.
func (s *Store) Publish(d *Database) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.done()
	s.catalog.Lock()
	defer s.catalog.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := s.nameFree(d.rec.name); err != nil {
		return fmt.Errorf("publish database %s: %w", d.rec.name, err)
	}
	b := s.db.NewBatch()
	defer s.closeBatch(b)
	b.Set(nameKey(d.rec.name), binary.BigEndian.AppendUint32(nil, d.id), nil)
	b.Set(dbKey(keyDB, d.id), d.rec.encode(), nil)
	b.Delete(dbKey(keyDeleted, d.id), nil)
	if err := s.apply(b, pebble.Sync); err != nil {
		return fmt.Errorf("publish database %s: %w", d.rec.name, err)
	}
	return nil
}

// Discard removes a database that was made unpublished.
func (s *Store) Discard(d *Database) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.done()
	d.mu.Lock()
	d.rec.deleted = true
	d.mu.Unlock()
	return s.purgeIfFree(d)
}

// nameFree returns ErrExists if a database has the name; s.catalog is held.
func (s *Store) nameFree(name string) error {
	_, err := s.get(nameKey(name))
	if err == nil {
		return fmt.Errorf("%w: a database %q exists: choose another, or rename or delete that one", ErrExists, name)
	}
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	return err
}

// Rename gives a database another name. Who has it open goes on.
func (s *Store) Rename(old, name string) error {
	if err := CheckName(name); err != nil {
		return fmt.Errorf("rename %s: %w", old, err)
	}
	if err := s.begin(); err != nil {
		return err
	}
	defer s.done()
	s.catalog.Lock()
	defer s.catalog.Unlock()
	d, err := s.Database(old)
	if err != nil {
		return fmt.Errorf("rename: %w", err)
	}
	if old == name {
		return nil
	}
	if err := s.nameFree(name); err != nil {
		return fmt.Errorf("rename %s: %w", old, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	rec := d.rec
	rec.name = name
	b := s.db.NewBatch()
	defer s.closeBatch(b)
	b.Delete(nameKey(old), nil)
	b.Set(nameKey(name), binary.BigEndian.AppendUint32(nil, d.id), nil)
	b.Set(dbKey(keyDB, d.id), rec.encode(), nil)
	if err := s.apply(b, pebble.Sync); err != nil {
		return fmt.Errorf("rename %s: %w", old, err)
	}
	d.rec = rec
	return nil
}

// Delete removes a database. Its name is free at once. Branches of it go on,
// and what they share with it stays; so do snapshots that are open. Writers
// get ErrDeleted.
func (s *Store) Delete(name string) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.done()
	s.catalog.Lock()
	d, err := s.Database(name)
	if err != nil {
		s.catalog.Unlock()
		return fmt.Errorf("delete: %w", err)
	}
	d.commitMu.Lock() // a commit under way ends first
	d.mu.Lock()
	rec := d.rec
	rec.deleted = true
	b := s.db.NewBatch()
	defer s.closeBatch(b)
	b.Delete(nameKey(name), nil)
	b.Set(dbKey(keyDB, d.id), rec.encode(), nil)
	b.Set(dbKey(keyDeleted, d.id), nil, nil)
	if err = s.free(b, pebble.Sync); err == nil {
		d.rec = rec
	}
	d.mu.Unlock()
	d.commitMu.Unlock()
	s.catalog.Unlock()
	if err == nil {
		err = s.purgeIfFree(d)
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	return nil
}

// purgeIfFree removes a deleted database's data, once no branch and no
// snapshot needs it, and then those of deleted ancestors.
func (s *Store) purgeIfFree(d *Database) error {
	s.catalog.Lock()
	defer s.catalog.Unlock()
	for {
		points, err := d.branchPoints()
		if err != nil {
			return err
		}
		d.mu.Lock()
		if !d.rec.deleted || d.purged || len(d.pins) > 0 || d.txs > 0 || len(points) > 0 {
			d.mu.Unlock()
			return nil
		}
		b := s.db.NewBatch()
		for _, kind := range []byte{keyCommit, keyTime, keyTag, keyPage, keySkip, keyStaged} {
			b.DeleteRange(dbKey(kind, d.id), dbEnd(kind, d.id), nil)
		}
		b.Delete(dbKey(keyDB, d.id), nil)
		b.Delete(dbKey(keyDeleted, d.id), nil)
		if d.parent.id != 0 {
			b.Delete(branchKey(d.parent.id, d.parent.v, d.id), nil)
		}
		err = s.free(b, pebble.Sync)
		s.closeBatch(b)
		if err == nil {
			d.purged = true
		}
		d.mu.Unlock()
		if err != nil {
			return err
		}
		s.mu.Lock()
		delete(s.dbs, d.id)
		s.mu.Unlock()
		if d.parent.id == 0 {
			return nil
		}
		v := d.parent.v
		if d, err = s.load(d.parent.id); err != nil {
			return err
		}
		b = s.db.NewBatch()
		err = d.release(b, v)
		s.closeBatch(b)
		if err != nil {
			return err
		}
	}
}

// purgeDeleted is run when the store is opened: snapshots that kept a deleted
// database are gone.
func (s *Store) purgeDeleted() error {
	it, err := s.newIter([]byte{keyDeleted}, []byte{keyDeleted + 1})
	if err != nil {
		return err
	}
	var ids []uint32
	for ok := it.First(); ok; ok = it.Next() {
		if k := it.Key(); len(k) == 1+idLen {
			ids = append(ids, binary.BigEndian.Uint32(k[1:]))
		}
	}
	if err := errors.Join(wrapDamage(it.Error()), it.Close()); err != nil {
		return err
	}
	for i := len(ids) - 1; i >= 0; i-- { // branches before what they began from
		if _, err := s.get(dbKey(keyDB, ids[i])); errors.Is(err, pebble.ErrNotFound) {
			continue // went with a branch of it
		}
		d, err := s.load(ids[i])
		if err != nil {
			return err
		}
		if err := s.purgeIfFree(d); err != nil {
			return err
		}
	}
	return nil
}

// branchPoints returns the versions that branches began from, and how many
// each.
func (d *Database) branchPoints() (map[Version]int, error) {
	it, err := d.s.newIter(dbKey(keyBranch, d.id), dbEnd(keyBranch, d.id))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	points := make(map[Version]int)
	for ok := it.First(); ok; ok = it.Next() {
		if k := it.Key(); len(k) == 1+idLen+8+idLen {
			points[Version(binary.BigEndian.Uint64(k[1+idLen:]))]++
		}
	}
	return points, wrapDamage(it.Error())
}

// A Tag names a version.
type Tag struct {
	Name    string
	Version Version
}

// Tags returns the tags in the order of their names.
func (d *Database) Tags() ([]Tag, error) {
	if err := d.s.begin(); err != nil {
		return nil, err
	}
	defer d.s.done()
	it, err := d.s.newIter(dbKey(keyTag, d.id), dbEnd(keyTag, d.id))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var tags []Tag
	for ok := it.First(); ok; ok = it.Next() {
		b, err := it.ValueAndErr()
		if err != nil {
			return nil, wrapDamage(err)
		}
		v, n := binary.Uvarint(b)
		name := string(bytes.Clone(it.Key()[1+idLen:]))
		if n <= 0 {
			return nil, &DamageError{Database: d.displayName(), Detail: "tag " + name, Err: errRecord}
		}
		tags = append(tags, Tag{name, Version(v)})
	}
	return tags, wrapDamage(it.Error())
}

func (d *Database) tagged(tag string) (Version, error) {
	b, err := d.s.get(tagKey(d.id, tag))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, d.unknownTag(tag)
	}
	if err != nil {
		return 0, err
	}
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, &DamageError{Database: d.displayName(), Detail: "tag " + tag, Err: errRecord}
	}
	return Version(v), nil
}

func (d *Database) unknownTag(tag string) error {
	tags, err := d.Tags()
	if err != nil {
		return err
	}
	names := make([]string, len(tags))
	for i, t := range tags {
		names[i] = t.Name
	}
	if near := nearest.Of(tag, slices.Values(names)); near != "" {
		return fmt.Errorf("%s: %w %q: did you mean %q?", d.displayName(), ErrUnknownTag, tag, near)
	}
	return fmt.Errorf("%s: %w %q", d.displayName(), ErrUnknownTag, tag)
}

// Tag names version v. A tag that exists is not moved: ErrExists.
func (d *Database) Tag(v Version, tag string) error {
	if err := d.s.begin(); err != nil {
		return err
	}
	defer d.s.done()
	if err := d.usable(); err != nil {
		return err
	}
	if err := CheckTag(tag); err != nil {
		return err
	}
	if err := d.pin(v); err != nil { // readable, and stays so until the tag is there
		return err
	}
	defer d.unpin(v)
	d.s.catalog.Lock()
	defer d.s.catalog.Unlock()
	switch old, err := d.tagged(tag); {
	case err == nil && old == v:
		return nil
	case err == nil:
		return fmt.Errorf("tag %s@%d: %w: %q is version %d: untag that first", d.displayName(), v, ErrExists, tag, old)
	case !errors.Is(err, ErrUnknownTag):
		return err
	}
	b := d.s.db.NewBatch()
	defer d.s.closeBatch(b)
	b.Set(tagKey(d.id, tag), binary.AppendUvarint(nil, uint64(v)), nil)
	return d.s.apply(b, pebble.Sync)
}

// Untag removes a tag, or fails with ErrUnknownTag.
func (d *Database) Untag(tag string) error {
	if err := d.s.begin(); err != nil {
		return err
	}
	defer d.s.done()
	if err := d.usable(); err != nil {
		return err
	}
	d.s.catalog.Lock()
	defer d.s.catalog.Unlock()
	v, err := d.tagged(tag)
	if err != nil {
		return err
	}
	b := d.s.db.NewBatch()
	defer d.s.closeBatch(b)
	b.Delete(tagKey(d.id, tag), nil)
	return d.release(b, v)
}

// release notes, with a batch that may take it away, that what protected a
// version is gone: the next trimming in the background drops that.
func (d *Database) release(b *pebble.Batch, v Version) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	rec := d.rec
	again := !d.purged && rec.unswept(v)
	if again {
		b.Set(dbKey(keyDB, d.id), rec.encode(), nil)
	}
	if err := d.s.free(b, pebble.Sync); err != nil {
		return err
	}
	d.freed = d.freed || v < rec.horizon
	if again {
		d.rec = rec
	}
	return nil
}
