package sqlhost

import (
	"encoding/binary"
	"fmt"
	"math"
)

// The types of values in blocks, with SQLite's numbers.
const (
	typeInteger = 1
	typeFloat   = 2
	typeText    = 3
	typeBlob    = 4
	typeNull    = 5
)

// An argument is a value for a parameter. name is empty if it is for the one
// at its place.
type argument struct {
	name  string
	kind  byte
	bits  uint64 // of an integer or a float
	bytes []byte // of a text or a blob; the guest's memory
}

// maxArguments is the highest number of a parameter in SQLite.
const maxArguments = 32766

// parseArguments reads a block of arguments: their number, of 32 bits, and for
// each its type, the length of its name, the name and the value.
func parseArguments(b []byte) ([]argument, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if len(b) < 4 {
		return nil, misuse("the block of arguments has %d bytes", len(b))
	}
	count := binary.LittleEndian.Uint32(b)
	b = b[4:]
	if count > maxArguments {
		return nil, misuse("there are %d arguments: a statement has no more than %d parameters", count, maxArguments)
	}
	if uint64(count)*2 > uint64(len(b)) {
		return nil, misuse("%d arguments do not fit in a block of %d bytes", count, len(b)+4)
	}
	list := make([]argument, count)
	for i := range list {
		cut := func(n int) (part []byte, ok bool) {
			if n < 0 || n > len(b) {
				return nil, false
			}
			part, b = b[:n], b[n:]
			return part, true
		}
		a := &list[i]
		head, ok := cut(2)
		if !ok {
			return nil, short(i)
		}
		a.kind = head[0]
		name, ok := cut(int(head[1]))
		if !ok {
			return nil, short(i)
		}
		a.name = string(name)
		switch a.kind {
		case typeInteger, typeFloat:
			v, ok := cut(8)
			if !ok {
				return nil, short(i)
			}
			a.bits = binary.LittleEndian.Uint64(v)
		case typeText, typeBlob:
			v, ok := cut(4)
			if !ok {
				return nil, short(i)
			}
			n := binary.LittleEndian.Uint32(v)
			if n > math.MaxInt32 {
				return nil, short(i)
			}
			if a.bytes, ok = cut(int(n)); !ok {
				return nil, short(i)
			}
		case typeNull:
		default:
			return nil, misuse("argument %d has the type %d", i+1, a.kind)
		}
	}
	if len(b) > 0 {
		return nil, misuse("%d bytes follow the last argument", len(b))
	}
	return list, nil
}

func short(i int) error {
	return &Error{Code: 21, Text: fmt.Sprintf("argument %d reaches past the end of its block", i+1)}
}

// A block is the part of a guest's memory that takes a result. What does not
// fit is not written, but counted.
type block struct {
	to   []byte
	size int
}

func (b *block) room(n int) []byte {
	at := b.size
	b.size += n
	if b.size > len(b.to) {
		return nil
	}
	return b.to[at:b.size]
}

func (b *block) u8(v byte) {
	if p := b.room(1); p != nil {
		p[0] = v
	}
}

func (b *block) u16(v int) {
	if p := b.room(2); p != nil {
		binary.LittleEndian.PutUint16(p, uint16(v))
	}
}

func (b *block) u32(v int) {
	if p := b.room(4); p != nil {
		binary.LittleEndian.PutUint32(p, uint32(v))
	}
}

func (b *block) u64(v uint64) {
	if p := b.room(8); p != nil {
		binary.LittleEndian.PutUint64(p, v)
	}
}

func (b *block) bytes(v []byte) {
	if p := b.room(len(v)); p != nil {
		copy(p, v)
	}
}

func (b *block) fits() bool { return b.size <= len(b.to) }
