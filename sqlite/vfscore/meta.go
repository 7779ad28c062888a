package vfscore

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hako-run/hako/pagestore"
)

// Meta is what each version keeps of page 1's volatile fields. It is stored in
// pagestore.Commit.Meta.
type Meta struct {
	// Base and the version add up to SQLite's change counter, modulo 2^32.
	Base uint32
	// Cookie is the largest schema cookie that any version of the database
	// had. A restore uses a larger one: see Restore in package sqlite.
	Cookie uint32
	// Imported is set in a version that is a file as it was: then the fields
	// below hold what the file had.
	Imported  bool
	Counter   uint32 // bytes 24 to 27: the change counter
	ValidFor  uint32 // bytes 92 to 95: the counter for which the header's page count is valid
	WriteMode byte   // byte 18: 2 for WAL, stored as 1
	ReadMode  byte   // byte 19: the same
}

const (
	metaFormat   = 1
	metaImported = 1
	metaLen      = 2 + 4 + 4
	metaLongLen  = metaLen + 4 + 4 + 2
)

var errMeta = errors.New("malformed SQLite fields of a version")

// AppendMeta appends the stored form of m to b.
func (m Meta) AppendMeta(b []byte) []byte {
	flags := byte(0)
	if m.Imported {
		flags = metaImported
	}
	b = append(b, metaFormat, flags)
	b = binary.BigEndian.AppendUint32(b, m.Base)
	b = binary.BigEndian.AppendUint32(b, m.Cookie)
	if m.Imported {
		b = binary.BigEndian.AppendUint32(b, m.Counter)
		b = binary.BigEndian.AppendUint32(b, m.ValidFor)
		b = append(b, m.WriteMode, m.ReadMode)
	}
	return b
}

// ParseMeta reads the stored form. Nothing at all is a version that SQLite did
// not write, such as version 0, and gives the zero Meta.
func ParseMeta(b []byte) (Meta, error) {
	var m Meta
	if len(b) == 0 {
		return m, nil
	}
	if b[0] != metaFormat {
		return m, fmt.Errorf("%w: %w: format %d", errMeta, pagestore.ErrFormat, b[0])
	}
	if len(b) < metaLen || b[1]&^metaImported != 0 {
		return m, errMeta
	}
	m.Base = binary.BigEndian.Uint32(b[2:])
	m.Cookie = binary.BigEndian.Uint32(b[6:])
	if b[1]&metaImported == 0 {
		if len(b) != metaLen {
			return m, errMeta
		}
		return m, nil
	}
	if len(b) != metaLongLen {
		return m, errMeta
	}
	m.Imported = true
	m.Counter = binary.BigEndian.Uint32(b[10:])
	m.ValidFor = binary.BigEndian.Uint32(b[14:])
	m.WriteMode, m.ReadMode = b[18], b[19]
	return m, nil
}

// MetaOf returns a commit's Meta.
func MetaOf(c pagestore.Commit) (Meta, error) {
	m, err := ParseMeta(c.Meta)
	if err != nil {
		return m, &pagestore.DamageError{Version: c.Version, Detail: "version's SQLite fields", Err: err}
	}
	return m, nil
}

// ChangeCounter returns the change counter that the version shows.
func (m Meta) ChangeCounter(v pagestore.Version) uint32 {
	if m.Imported {
		return m.Counter
	}
	return m.Base + uint32(v)
}

// Next returns the Meta of a commit that follows version v with Meta m and
// whose page 1 has the given schema cookie.
func (m Meta) Next(v pagestore.Version, cookie uint32) Meta {
	return Meta{Base: m.ChangeCounter(v) - uint32(v), Cookie: max(m.Cookie, cookie)}
}
