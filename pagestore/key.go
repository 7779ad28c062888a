package pagestore

import (
	"bytes"
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"
)

// The kinds of keys, by first byte. docs/storage-format.md describes each.
const (
	keyMeta    = 'm' // m name -> store-wide value
	keyName    = 'n' // n name -> database id
	keyDB      = 'd' // d id -> database record
	keyCommit  = 'v' // v id version -> commit record
	keyTime    = 't' // t id time -> version
	keyTag     = 'g' // g id tag -> version
	keyBranch  = 'b' // b id version child -> (empty): child began from id@version
	keyPage    = 'p' // p id page ^version -> page record
	keySkip    = 'k' // k id page -> owner, version: see lineage.go
	keyStaged  = 's' // s id version sequence -> page numbers staged, not yet committed
	keyDeleted = 'x' // x id -> (empty): deleted, kept for its branches or open snapshots
)

const (
	idLen         = 4
	pagePrefixLen = 1 + idLen + 4
	pageKeyLen    = pagePrefixLen + 8
)

func appendDB(b []byte, kind byte, id uint32) []byte {
	b = append(b, kind)
	return binary.BigEndian.AppendUint32(b, id)
}

func dbKey(kind byte, id uint32) []byte { return appendDB(make([]byte, 0, 24), kind, id) }

// dbEnd is the first key after all keys of that kind and database.
func dbEnd(kind byte, id uint32) []byte {
	if id == 1<<32-1 {
		return []byte{kind + 1}
	}
	return dbKey(kind, id+1)
}

func versionKey(kind byte, id uint32, v Version) []byte {
	return binary.BigEndian.AppendUint64(dbKey(kind, id), uint64(v))
}

func timeKey(id uint32, ns int64) []byte {
	return binary.BigEndian.AppendUint64(dbKey(keyTime, id), uint64(ns)^1<<63)
}

func nameKey(name string) []byte { return append([]byte{keyName}, name...) }

func metaKey(name string) []byte { return append([]byte{keyMeta}, name...) }

func tagKey(id uint32, tag string) []byte { return append(dbKey(keyTag, id), tag...) }

func branchKey(id uint32, v Version, child uint32) []byte {
	return binary.BigEndian.AppendUint32(versionKey(keyBranch, id, v), child)
}

func skipKey(id, page uint32) []byte {
	return binary.BigEndian.AppendUint32(dbKey(keySkip, id), page)
}

func stagedKey(id uint32, v Version, seq uint32) []byte {
	return binary.BigEndian.AppendUint32(versionKey(keyStaged, id, v), seq)
}

func appendPagePrefix(b []byte, id, page uint32) []byte {
	return binary.BigEndian.AppendUint32(appendDB(b, keyPage, id), page)
}

// appendPageKey appends the key of a page's record. Versions are inverted, so
// that seeking to a version finds the newest record that is not newer.
func appendPageKey(b []byte, id, page uint32, v Version) []byte {
	return binary.BigEndian.AppendUint64(appendPagePrefix(b, id, page), ^uint64(v))
}

func pageKeyPage(k []byte) uint32 { return binary.BigEndian.Uint32(k[1+idLen:]) }

func pageKeyVersion(k []byte) Version {
	return Version(^binary.BigEndian.Uint64(k[pagePrefixLen:]))
}

// splitKey gives the length of the part of a key that bloom filters hold: a
// page record's key without its version, any other key whole.
func splitKey(k []byte) int {
	if len(k) == pageKeyLen && k[0] == keyPage {
		return pagePrefixLen
	}
	return len(k)
}

// comparer orders keys bytewise. Separators and successors are not shortened:
// one cut inside a version would get another prefix than the key it came from.
var comparer = func() *pebble.Comparer {
	c := *pebble.DefaultComparer
	c.Name = "hako.1"
	c.Split = splitKey
	c.ComparePointSuffixes = bytes.Compare
	c.CompareRangeSuffixes = bytes.Compare
	c.Separator = func(dst, a, _ []byte) []byte { return append(dst, a...) }
	c.Successor = func(dst, a []byte) []byte { return append(dst, a...) }
	c.ImmediateSuccessor = func(dst, prefix []byte) []byte {
		n := len(dst)
		dst = append(dst, prefix...)
		if len(prefix) != pagePrefixLen || prefix[0] != keyPage {
			return append(dst, 0)
		}
		for i := len(dst) - 1; i >= n; i-- {
			if dst[i]++; dst[i] != 0 {
				break
			}
		}
		return dst
	}
	return &c
}()
