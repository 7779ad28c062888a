package wasm

// appendU32 appends v in the shortest unsigned LEB128 form.
func appendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

// appendS32 appends v in the shortest signed LEB128 form.
func appendS32(b []byte, v int32) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

// appendName appends a length and the bytes of s.
func appendName(b []byte, s string) []byte {
	return append(appendU32(b, uint32(len(s))), s...)
}

// readU32 reads an unsigned LEB128 number of at most 32 bits at b[pos:] and
// returns it with the position after it, or ok == false.
func readU32(b []byte, pos int) (v uint32, next int, ok bool) {
	if pos < len(b) && b[pos] < 0x80 {
		return uint32(b[pos]), pos + 1, true
	}
	for shift := uint(0); shift < 35 && pos < len(b); shift += 7 {
		c := b[pos]
		pos++
		if shift == 28 && c > 0x0f {
			return 0, pos, false
		}
		v |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return v, pos, true
		}
	}
	return 0, pos, false
}

// readS64 reads a signed LEB128 number of at most the given bits (32, 33, 64).
func readS64(b []byte, pos int, bits uint) (v int64, next int, ok bool) {
	for shift := uint(0); shift < bits && pos < len(b); {
		c := b[pos]
		pos++
		v |= int64(c&0x7f) << shift
		shift += 7
		if c >= 0x80 {
			continue
		}
		if shift < 64 {
			v = v << (64 - shift) >> (64 - shift)
		} else if c != 0 && c != 0x7f {
			return 0, pos, false
		}
		if bits < 64 && (v >= 1<<(bits-1) || v < -1<<(bits-1)) {
			return 0, pos, false
		}
		return v, pos, true
	}
	return 0, pos, false
}
