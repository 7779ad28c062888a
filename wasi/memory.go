package wasi

import (
	"encoding/binary"
	"math"
	"reflect"

	"github.com/tetratelabs/wazero/api"
)

var le = binary.LittleEndian

// memory is a guest's memory for the length of one call. Nothing may keep it:
// the guest may let it grow between calls.
type memory []byte

// memoryOf returns the memory of a module, empty if it has none.
func memoryOf(mod api.Module) memory {
	m := mod.Memory()
	if m == nil || reflect.ValueOf(m).IsNil() { // wazero's nil is one with a type
		return nil
	}
	size := m.Size()
	if size == 0 { // so is the size of 4 GiB
		if pages, _ := m.Grow(0); pages == 0 {
			return nil
		}
		size = math.MaxUint32
	}
	b, _ := m.Read(0, size)
	return b
}

// bytes returns n bytes at ptr.
func (m memory) bytes(ptr, n uint32) ([]byte, Errno) {
	if uint64(ptr)+uint64(n) > uint64(len(m)) {
		return nil, EFAULT
	}
	return m[ptr:][:n:n], Success
}

func (m memory) putUint32(ptr, v uint32) Errno {
	b, errno := m.bytes(ptr, 4)
	if errno == Success {
		le.PutUint32(b, v)
	}
	return errno
}

func (m memory) putUint64(ptr uint32, v uint64) Errno {
	b, errno := m.bytes(ptr, 8)
	if errno == Success {
		le.PutUint64(b, v)
	}
	return errno
}

// A guest may give this many buffers at once, as on Linux, and this long a path.
const (
	maxBuffers = 1024
	maxPath    = 4096
)

// path reads a path: not empty, no zero bytes, not too long, not absolute.
func (m memory) path(ptr, n uint32) (string, Errno) {
	b, errno := m.bytes(ptr, n)
	switch {
	case errno != Success:
		return "", errno
	case n == 0:
		return "", ENOENT
	case n > maxPath:
		return "", ENAMETOOLONG
	}
	for _, c := range b {
		if c == 0 {
			return "", EINVAL
		}
	}
	if b[0] == '/' {
		return "", EPERM
	}
	return string(b), Success
}

// vec is a guest's list of buffers.
type vec struct {
	m    memory
	list []byte
}

// vec reads a list of n buffers and checks them all.
func (m memory) vec(ptr, n uint32) (vec, Errno) {
	if n > maxBuffers {
		return vec{}, EINVAL
	}
	list, errno := m.bytes(ptr, n*8)
	if errno != Success {
		return vec{}, errno
	}
	v := vec{m, list}
	for i := range v.len() {
		if _, errno := m.bytes(le.Uint32(list[i*8:]), le.Uint32(list[i*8+4:])); errno != Success {
			return vec{}, errno
		}
	}
	return v, Success
}

func (v vec) len() int { return len(v.list) / 8 }

// at returns buffer i. Reading into one buffer may have changed the list, if
// the guest has it lie there, so it is checked again.
func (v vec) at(i int) []byte {
	b, _ := v.m.bytes(le.Uint32(v.list[i*8:]), le.Uint32(v.list[i*8+4:]))
	return b
}

// size is the sum of the buffers' lengths.
func (v vec) size() (n int64) {
	for i := range v.len() {
		n += int64(len(v.at(i)))
	}
	return n
}

// one returns the buffers as one: the only one that is not empty, or a copy
// of all in scratch if that has room for them.
func (v vec) one(scratch []byte) ([]byte, bool) {
	var only []byte
	for i := range v.len() {
		if b := v.at(i); len(b) > 0 {
			if only != nil {
				return v.gather(scratch)
			}
			only = b
		}
	}
	return only, true
}

func (v vec) gather(scratch []byte) ([]byte, bool) {
	n := v.size()
	if n > int64(cap(scratch)) {
		return nil, false
	}
	all := scratch[:0]
	for i := range v.len() {
		all = append(all, v.at(i)...)
	}
	return all, true
}
