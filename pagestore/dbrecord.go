package pagestore

import (
	"encoding/binary"
	"fmt"
	"time"
)

// dbRecord is what is stored about a database itself.
type dbRecord struct {
	id       uint32
	name     string
	pageSize int // of version 0 in a database that is no branch
	created  time.Time
	parent   point // parent.id 0: no branch
	depth    uint32
	skip     point // see lineage.go; skip.id 0: none
	retain   Retention
	horizon  Version // versions before it are readable only if protected
	swept    Version // trimming was completed up to this horizon
	deleted  bool
}

// A point is a version of a database, by id.
type point struct {
	id uint32
	v  Version
}

const dbFormat = 1

func (r *dbRecord) encode() []byte {
	b := []byte{dbFormat}
	b = appendBytes(b, []byte(r.name))
	b = append(b, byte(log2(r.pageSize)))
	b = binary.AppendVarint(b, r.created.UnixNano())
	b = binary.AppendUvarint(b, uint64(r.parent.id))
	b = binary.AppendUvarint(b, uint64(r.parent.v))
	b = binary.AppendUvarint(b, uint64(r.depth))
	b = binary.AppendUvarint(b, uint64(r.skip.id))
	b = binary.AppendUvarint(b, uint64(r.skip.v))
	b = binary.AppendUvarint(b, uint64(r.retain.Age))
	b = binary.AppendUvarint(b, r.retain.Count)
	b = binary.AppendUvarint(b, uint64(r.horizon))
	b = binary.AppendUvarint(b, uint64(r.swept))
	deleted := byte(0)
	if r.deleted {
		deleted = 1
	}
	return append(b, deleted)
}

func decodeDB(id uint32, b []byte) (*dbRecord, error) {
	d := decoder{b: b}
	if f := d.byte(); d.err == nil && f != dbFormat {
		return nil, fmt.Errorf("%w: database record format %d", ErrFormat, f)
	}
	r := &dbRecord{id: id}
	r.name = string(d.bytes())
	r.pageSize = 1 << (d.byte() & 31)
	r.created = time.Unix(0, d.varint()).UTC()
	r.parent = point{d.uint32(), Version(d.uvarint())}
	r.depth = d.uint32()
	r.skip = point{d.uint32(), Version(d.uvarint())}
	r.retain.Age = time.Duration(d.uvarint())
	r.retain.Count = d.uvarint()
	r.horizon = Version(d.uvarint())
	r.swept = Version(d.uvarint())
	r.deleted = d.byte() != 0
	if d.err == nil && (len(d.b) > 0 || checkPageSize(r.pageSize) != nil || CheckName(r.name) != nil) {
		d.err = errRecord
	}
	if d.err != nil {
		return nil, d.err
	}
	return r, nil
}
