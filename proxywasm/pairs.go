package proxywasm

import "encoding/binary"

// Bounds of serialised maps that plugins give, as in the C++ host: what is
// larger counts as malformed.
const (
	maxPairsBytes = 1 << 20
	maxPairs      = 1024
)

var le = binary.LittleEndian

// pairsSize is the size of fields when serialised; 0 if there are none.
func pairsSize(fields []Field) int {
	if len(fields) == 0 {
		return 0
	}
	size := 4
	for _, f := range fields {
		size += 8 + len(f.Name) + 1 + len(f.Value) + 1
	}
	return size
}

// appendPairs serialises fields: their number, the lengths of each name and
// value, then these, each with a NUL behind it. No fields give nothing.
func appendPairs(dst []byte, fields []Field) []byte {
	if len(fields) == 0 {
		return dst
	}
	dst = le.AppendUint32(dst, uint32(len(fields)))
	for _, f := range fields {
		dst = le.AppendUint32(dst, uint32(len(f.Name)))
		dst = le.AppendUint32(dst, uint32(len(f.Value)))
	}
	for _, f := range fields {
		dst = append(append(dst, f.Name...), 0)
		dst = append(append(dst, f.Value...), 0)
	}
	return dst
}

// parsePairs reads what appendPairs writes. Nothing, a zero byte and a zero
// count are the empty map. The fields are copies.
func parsePairs(b []byte) ([]Field, bool) {
	if len(b) == 0 || len(b) == 1 && b[0] == 0 {
		return nil, true
	}
	if len(b) < 4 || len(b) > maxPairsBytes {
		return nil, false
	}
	n := int(le.Uint32(b))
	if n > maxPairs || 4+8*n > len(b) {
		return nil, false
	}
	text := string(b[4+8*n:])
	fields := make([]Field, n)
	for i := range fields {
		for part := range 2 {
			size := le.Uint32(b[4+8*i+4*part:])
			if uint64(size) >= uint64(len(text)) || text[size] != 0 {
				return nil, false
			}
			if part == 0 {
				fields[i].Name = text[:size]
			} else {
				fields[i].Value = text[:size]
			}
			text = text[size+1:]
		}
	}
	return fields, text == ""
}

// ParsePairs reads a header map as plugins and hosts exchange it: what host
// functions get or give, as [Event] has it. It reports false for what is none.
func ParsePairs(b []byte) ([]Field, bool) { return parsePairs(b) }
