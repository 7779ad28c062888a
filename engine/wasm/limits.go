package wasm

import (
	"fmt"
	"slices"
)

// CapMemory lowers the maximum of the module's memory to at most max pages of
// 64 KiB, so that memory.grow past that gives -1. It is an error if the memory
// begins larger than that, or is imported and asks for more.
func (m *Module) CapMemory(max uint32) error {
	for i := range m.memories {
		mem := &m.memories[i]
		if mem.Min > max {
			return fmt.Errorf("cap memory: the module begins with %d pages of 64 KiB, %d are allowed", mem.Min, max)
		}
		if !mem.HasMax || mem.Max > max {
			mem.Max, mem.HasMax = max, true
			mem.raw = mem.append(nil)
			m.touch(secMemory)
		}
	}
	for i := range m.imports {
		if im := &m.imports[i]; im.Kind == MemoryKind && im.Memory.Min > max {
			return fmt.Errorf("cap memory: the module imports a memory of %d pages of 64 KiB, %d are allowed", im.Memory.Min, max)
		}
	}
	return nil
}

// CapTables lowers the maximum of every table that the module defines to at
// most max elements, so that table.grow past that gives -1. An element takes 8
// bytes of the host's memory, which no limit of the memory counts, and the
// time of one table.fill is bounded by nothing else. It is an error if a table
// begins larger than that.
func (m *Module) CapTables(max uint32) error {
	for i := range m.tables {
		t := &m.tables[i]
		if t.Min > max {
			return fmt.Errorf("cap tables: table %d begins with %d elements, %d are allowed", i, t.Min, max)
		}
		if !t.HasMax || t.Max > max {
			t.Max, t.HasMax = max, true
			t.raw = t.append([]byte{byte(t.Elem)})
			m.touch(secTable)
		}
	}
	return nil
}

// DropTableExports takes tables out of the module's exports, for a host that
// has no use for them: a table that only the module's own code can reach is one
// that a compiler may know the elements of.
func (m *Module) DropTableExports() {
	kept := slices.DeleteFunc(m.exports, func(e Export) bool { return e.Kind == TableKind })
	if len(kept) < len(m.exports) {
		m.touch(secExport)
	}
	m.exports = kept
}

func (l Limits) append(b []byte) []byte {
	var flag byte
	if l.HasMax {
		flag |= 1
	}
	if l.Shared {
		flag |= 2
	}
	b = appendU32(append(b, flag), l.Min)
	if l.HasMax {
		b = appendU32(b, l.Max)
	}
	return b
}
