package worker

import (
	"encoding/binary"
	"errors"
)

var errFields = errors.New("worker: the host sent a malformed block of fields")

// rangeFields calls f for each field of a block.
func rangeFields(b []byte, f func(name, value string)) error {
	if len(b) < 4 {
		return errFields
	}
	count := int(binary.LittleEndian.Uint32(b))
	lengths := b[4:]
	if count < 0 || count > len(lengths)/8 {
		return errFields
	}
	text := string(lengths[8*count:])
	for i := range count {
		n := int(binary.LittleEndian.Uint32(lengths[8*i:]))
		m := int(binary.LittleEndian.Uint32(lengths[8*i+4:]))
		if n < 0 || m < 0 || n > len(text) || m > len(text)-n {
			return errFields
		}
		f(text[:n], text[n:n+m])
		text = text[n+m:]
	}
	return nil
}

// appendBlock appends the block of some fields, given as name and value in turn.
func appendBlock(b []byte, fields []string) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(fields)/2))
	for _, s := range fields {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
	}
	for _, s := range fields {
		b = append(b, s...)
	}
	return b
}
