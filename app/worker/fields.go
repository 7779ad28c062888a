package worker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// A field is a header, a trailer or a pseudo-header.
type field struct{ name, value string }

// maxFields bounds the bytes of a block of fields that a guest sends.
const maxFields = 1 << 20

var errFields = errors.New("the block of fields is malformed")

// A block of fields is, in little-endian 32-bit numbers, how many there are,
// then for each the length of its name and of its value, then the bytes of
// all names and values in that order.

func fieldsSize(fields []field) int {
	n := 4 + 8*len(fields)
	for _, f := range fields {
		n += len(f.name) + len(f.value)
	}
	return n
}

func appendFields(b []byte, fields []field) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(fields)))
	for _, f := range fields {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(f.name)))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(f.value)))
	}
	for _, f := range fields {
		b = append(append(b, f.name...), f.value...)
	}
	return b
}

func parseFields(b []byte) ([]field, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if len(b) < 4 || len(b) > maxFields {
		return nil, fmt.Errorf("%w: it has %d bytes", errFields, len(b))
	}
	count := uint64(binary.LittleEndian.Uint32(b))
	lengths := b[4:]
	if count > uint64(len(lengths))/8 {
		return nil, fmt.Errorf("%w: %d fields do not fit in %d bytes", errFields, count, len(b))
	}
	text := string(lengths[8*count:])
	fields := make([]field, count)
	take := func(n uint32) (s string, ok bool) {
		if n > math.MaxInt32 || int(n) > len(text) {
			return "", false
		}
		s, text = text[:n], text[n:]
		return s, true
	}
	for i := range fields {
		name, ok1 := take(binary.LittleEndian.Uint32(lengths[8*i:]))
		value, ok2 := take(binary.LittleEndian.Uint32(lengths[8*i+4:]))
		if !ok1 || !ok2 {
			return nil, fmt.Errorf("%w: field %d reaches past its end", errFields, i)
		}
		fields[i] = field{name, value}
	}
	if text != "" {
		return nil, fmt.Errorf("%w: %d bytes are left over", errFields, len(text))
	}
	return fields, nil
}
