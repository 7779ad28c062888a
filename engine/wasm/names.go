package wasm

// The subsections of the name section that have function indices.
const (
	subFunctions = 1
	subLocals    = 2
	subLabels    = 3
)

// FunctionNames returns the names of functions that the name section gives. A
// section that is malformed gives those before the mistake.
func (m *Module) FunctionNames() map[uint32]string {
	names := map[uint32]string{}
	payload, _ := m.Custom("name")
	for pos := 0; pos < len(payload); {
		id := payload[pos]
		size, begin, ok := readU32(payload, pos+1)
		if !ok || uint64(size) > uint64(len(payload)-begin) {
			break
		}
		pos = begin + int(size)
		if id != subFunctions {
			continue
		}
		b := payload[begin:pos]
		n, at, ok := readU32(b, 0)
		for ; ok && n > 0; n-- {
			var index, length uint32
			if index, at, ok = readU32(b, at); !ok {
				break
			}
			if length, at, ok = readU32(b, at); !ok || uint64(length) > uint64(len(b)-at) {
				break
			}
			names[index] = string(b[at : at+int(length)])
			at += int(length)
		}
	}
	return names
}

// renumberNames brings the name section up to date with functions that were
// inserted at index from, named inserted, and others that were appended at the
// end. A name section that is malformed is dropped.
func (m *Module) renumberNames(from uint32, inserted, appended []string) {
	for i := range m.sections {
		s := &m.sections[i]
		if s.id != secCustom || s.name != "name" {
			continue
		}
		payload, ok := renumberedNames(s.payload, from, inserted, m.NumFuncs(), appended)
		if !ok {
			m.RemoveCustom(func(name string) bool { return name == "name" })
			return
		}
		s.payload, s.changed = payload, true
		return
	}
}

// renumberedNames does it. Total is the number of functions with all that were
// added.
func renumberedNames(payload []byte, from uint32, inserted []string, total uint32, appended []string) ([]byte, bool) {
	out := make([]byte, 0, len(payload)+64)
	var scratch []byte
	for pos := 0; pos < len(payload); {
		id := payload[pos]
		size, begin, ok := readU32(payload, pos+1)
		if !ok || uint64(size) > uint64(len(payload)-begin) {
			return nil, false
		}
		end := begin + int(size)
		b := payload[begin:end]
		switch id {
		case subFunctions:
			scratch, ok = renumberMap(scratch[:0], b, from, inserted, total, appended, skipName)
		case subLocals, subLabels:
			shift := make([]string, len(inserted)) // shifts without adding entries
			scratch, ok = renumberMap(scratch[:0], b, from, shift, total, nil, skipNameMap)
		default:
			out = append(out, payload[pos:end]...)
			pos = end
			continue
		}
		if !ok {
			return nil, false
		}
		out = append(out, id)
		out = appendU32(out, uint32(len(scratch)))
		out = append(out, scratch...)
		pos = end
	}
	return out, true
}

// renumberMap rewrites a map from function indices to values that skip passes
// over. Names that are empty are not added.
func renumberMap(out, b []byte, from uint32, inserted []string, total uint32, appended []string, skip func([]byte, int) (int, bool)) ([]byte, bool) {
	n, pos, ok := readU32(b, 0)
	if !ok {
		return nil, false
	}
	entries := make([]byte, 0, len(b)+64)
	count := n
	add := func(index uint32, name string) {
		if name != "" {
			count++
			entries = appendName(appendU32(entries, index), name)
		}
	}
	insert := func() {
		for i, name := range inserted {
			add(from+uint32(i), name)
		}
	}
	done := false
	for range n {
		var index uint32
		if index, pos, ok = readU32(b, pos); !ok {
			return nil, false
		}
		if index >= from {
			if !done {
				insert()
				done = true
			}
			index += uint32(len(inserted))
		}
		value := pos
		if pos, ok = skip(b, pos); !ok {
			return nil, false
		}
		entries = append(appendU32(entries, index), b[value:pos]...)
	}
	if !done {
		insert()
	}
	for i, name := range appended {
		add(total-uint32(len(appended))+uint32(i), name)
	}
	return append(appendU32(out, count), entries...), pos == len(b)
}

func skipName(b []byte, pos int) (int, bool) {
	n, pos, ok := readU32(b, pos)
	if !ok || uint64(n) > uint64(len(b)-pos) {
		return pos, false
	}
	return pos + int(n), true
}

func skipNameMap(b []byte, pos int) (int, bool) {
	n, pos, ok := readU32(b, pos)
	for ; ok && n > 0; n-- {
		if _, pos, ok = readU32(b, pos); ok {
			pos, ok = skipName(b, pos)
		}
	}
	return pos, ok
}
