package filter

// Pairs are a count, the lengths of each name and value, and then these, with
// a zero byte behind each.

func appendPairs(b []byte, pairs [][2]string) []byte {
	b = le.AppendUint32(b, uint32(len(pairs)))
	for _, p := range pairs {
		b = le.AppendUint32(le.AppendUint32(b, uint32(len(p[0]))), uint32(len(p[1])))
	}
	for _, p := range pairs {
		b = append(append(append(append(b, p[0]...), 0), p[1]...), 0)
	}
	return b
}

// parsePairs reads what the host wrote; nil if that is malformed.
func parsePairs(b []byte) [][2]string {
	if len(b) < 4 {
		return nil
	}
	n := uint64(le.Uint32(b))
	if n*8 > uint64(len(b)-4) {
		return nil
	}
	lengths, text := b[4:4+8*n], b[4+8*n:]
	pairs := make([][2]string, n)
	for i := range pairs {
		for j := range 2 {
			size := uint64(le.Uint32(lengths[8*i+4*j:]))
			if size+1 > uint64(len(text)) {
				return nil
			}
			pairs[i][j], text = string(text[:size]), text[size+1:]
		}
	}
	return pairs
}
