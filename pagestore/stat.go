package pagestore

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"
)

// A Stat tells what a database takes.
type Stat struct {
	Versions     int64 // that have a commit record
	PageVersions int64 // page records of its own
	Whole        int64 // of these, stored whole
	Sparse       int64 // stored as ranges over zeros
	Deltas       int64 // stored as ranges over an older content
	HeadBytes    int64 // size of the head as an SQLite file
	HistoryBytes int64 // size of all page versions, each counted whole
	RecordBytes  int64 // size of the page records before compression
	DiskBytes    int64 // estimate of what all its records take on disk
}

// Stat counts what the database stores. It reads all of its records' headers.
func (d *Database) Stat() (Stat, error) {
	if err := d.s.begin(); err != nil {
		return Stat{}, err
	}
	defer d.s.done()
	head := d.Head()
	st := Stat{HeadBytes: int64(head.PageCount) * int64(head.PageSize)}
	var err error
	for _, kind := range []byte{keyPage, keyCommit, keyTime, keyTag, keySkip} {
		n, err := d.s.db.EstimateDiskUsage(dbKey(kind, d.id), dbEnd(kind, d.id))
		if err != nil {
			return Stat{}, wrapDamage(err)
		}
		st.DiskBytes += int64(n)
	}
	st.Versions, err = d.s.count(dbKey(keyCommit, d.id), dbEnd(keyCommit, d.id))
	if err != nil {
		return Stat{}, err
	}
	it, err := d.s.newIter(dbKey(keyPage, d.id), dbEnd(keyPage, d.id))
	if err != nil {
		return Stat{}, err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return Stat{}, wrapDamage(err)
		}
		r, err := decodePage(v)
		if err != nil {
			return Stat{}, d.readError(pageKeyVersion(it.Key()), pageKeyPage(it.Key()), err)
		}
		st.PageVersions++
		st.RecordBytes += int64(len(v))
		switch r.kind {
		case pageFull:
			st.Whole++
		case pageSparse:
			st.Sparse++
		default:
			st.Deltas++
		}
	}
	st.HistoryBytes = st.PageVersions * int64(head.PageSize)
	return st, wrapDamage(it.Error())
}

func (s *Store) count(lower, upper []byte) (int64, error) {
	it, err := s.newIter(lower, upper)
	if err != nil {
		return 0, err
	}
	defer it.Close()
	n := int64(0)
	for ok := it.First(); ok; ok = it.Next() {
		n++
	}
	return n, wrapDamage(it.Error())
}

// A StoreStat tells about the whole store.
type StoreStat struct {
	Databases int64
	DiskBytes int64 // of all files
	Cache     CacheStat
	Pebble    *pebble.Metrics
}

// Stat counts databases and bytes.
func (s *Store) Stat() (StoreStat, error) {
	if err := s.begin(); err != nil {
		return StoreStat{}, err
	}
	defer s.done()
	n, err := s.count([]byte{keyName}, []byte{keyName + 1})
	if err != nil {
		return StoreStat{}, err
	}
	m := s.db.Metrics()
	return StoreStat{Databases: n, DiskBytes: int64(m.DiskSpaceUsage()), Cache: s.cache.stat(), Pebble: m}, nil
}

func keyVersion(k []byte) Version { return Version(binary.BigEndian.Uint64(k[1+idLen:])) }
