package wasm

// Encode returns the module's bytes.
func (m *Module) Encode() []byte {
	size := 8
	for i := range m.sections {
		size += len(m.sections[i].raw) + 16
	}
	out := make([]byte, 0, size+size/2)
	out = append(out, "\x00asm\x01\x00\x00\x00"...)
	var scratch []byte
	for i := range m.sections {
		s := &m.sections[i]
		if !s.changed {
			out = append(out, s.raw...)
			continue
		}
		scratch = m.contents(scratch[:0], s)
		out = append(out, s.id)
		out = appendU32(out, uint32(len(scratch)))
		out = append(out, scratch...)
	}
	return out
}

// contents appends the contents of a changed section.
func (m *Module) contents(b []byte, s *section) []byte {
	switch s.id {
	case secCustom:
		return append(appendName(b, s.name), s.payload...)
	case secType:
		return appendItems(b, m.types, func(t *FuncType) []byte { return t.raw })
	case secImport:
		return appendItems(b, m.imports, func(im *Import) []byte { return im.raw })
	case secFunction:
		b = appendU32(b, uint32(len(m.funcs)))
		for _, typ := range m.funcs {
			b = appendU32(b, typ)
		}
		return b
	case secTable:
		return appendItems(b, m.tables, func(t *Table) []byte { return t.raw })
	case secMemory:
		return appendItems(b, m.memories, func(mem *Memory) []byte { return mem.raw })
	case secTag:
		return appendItems(b, m.tags, func(t *rawTag) []byte { return t.raw })
	case secGlobal:
		return appendItems(b, m.globals, func(g *Global) []byte { return g.raw })
	case secExport:
		return appendItems(b, m.exports, func(e *Export) []byte { return e.raw })
	case secStart:
		return appendU32(b, uint32(m.start))
	case secElement:
		return appendItems(b, m.elements, func(e *Element) []byte { return e.raw })
	case secDataCount:
		return appendU32(b, uint32(m.dataCount))
	case secCode:
		return appendItems(b, m.bodies, func(body *Body) []byte { return body.raw })
	case secData:
		return appendItems(b, m.data, func(d *Data) []byte { return d.raw })
	}
	return b
}

func appendItems[T any](b []byte, items []T, raw func(*T) []byte) []byte {
	b = appendU32(b, uint32(len(items)))
	for i := range items {
		b = append(b, raw(&items[i])...)
	}
	return b
}
