package proxywasm

import "math"

// A Buffer holds bytes that a plugin may read and change: the body of a
// message or the data of a connection. The zero value is empty.
type Buffer struct {
	b     []byte
	owned bool // the array is the buffer's own, to be written behind b
}

// Len is the number of bytes.
func (b *Buffer) Len() int { return len(b.b) }

// Bytes returns the content, good until the buffer changes.
func (b *Buffer) Bytes() []byte { return b.b }

// Set makes data the content, without copying it.
func (b *Buffer) Set(data []byte) { b.b, b.owned = data, false }

// Append adds a copy of data behind the content.
func (b *Buffer) Append(data []byte) {
	if !b.owned {
		b.b = b.b[:len(b.b):len(b.b)]
	}
	b.b, b.owned = append(b.b, data...), true
}

// own makes the array the buffer's own.
func (b *Buffer) own() {
	if !b.owned {
		b.b, b.owned = append([]byte(nil), b.b...), true
	}
}

// read returns up to size bytes from start on: none behind the end.
func (b *Buffer) read(start, size uint32) []byte {
	if uint64(start) >= uint64(len(b.b)) {
		return nil
	}
	rest := b.b[start:]
	return rest[:min(uint64(size), uint64(len(rest)))]
}

// write puts a copy of data in the place of size bytes from start on: before
// everything with 0 and 0, behind everything if start is the end or past it.
// It fails if the buffer would exceed 4 GiB, which no plugin could address.
func (b *Buffer) write(start, size uint32, data []byte) bool {
	from := min(uint64(start), uint64(len(b.b)))
	to := min(from+uint64(size), uint64(len(b.b)))
	if uint64(len(b.b))-(to-from)+uint64(len(data)) > math.MaxUint32 {
		return false
	}
	if from == uint64(len(b.b)) {
		b.Append(data)
		return true
	}
	next := make([]byte, 0, uint64(len(b.b))-(to-from)+uint64(len(data)))
	next = append(next, b.b[:from]...)
	next = append(next, data...)
	b.b, b.owned = append(next, b.b[to:]...), true
	return true
}
