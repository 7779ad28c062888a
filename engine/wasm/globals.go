package wasm

import (
	"fmt"
	"strings"
)

// ExportedGlobal is a mutable global by the name that a host finds it by.
type ExportedGlobal struct {
	Name  string
	Index uint32 // in the index space of globals
	Type  ValType
	Added bool // the export was added by ExportGlobals
}

// ExportGlobals exports every mutable global that the module defines, and
// returns all of them with their names, in the order of their indices. Those
// that are exported already keep their name; the others get one that begins
// with "hako:g", which no other export begins with. The globals that Interrupt
// adds are left out. Imported globals belong to who provides them.
func (m *Module) ExportGlobals() []ExportedGlobal {
	prefix := m.freePrefix("hako:g")
	names := map[uint32]string{}
	for i := range m.exports {
		if e := &m.exports[i]; e.Kind == GlobalKind {
			if _, there := names[e.Index]; !there {
				names[e.Index] = e.Name
			}
		}
	}
	var list []ExportedGlobal
	for i := range m.globals {
		g := &m.globals[i]
		if !g.Mutable || g.own {
			continue
		}
		index := m.imported[GlobalKind] + uint32(i)
		name, there := names[index]
		if !there {
			name = fmt.Sprintf("%s%d", prefix, index)
			m.addExport(name, GlobalKind, index)
		}
		list = append(list, ExportedGlobal{Name: name, Index: index, Type: g.Type, Added: !there})
	}
	return list
}

// freePrefix returns prefix, or an extension of it, that begins no export's name.
func (m *Module) freePrefix(prefix string) string {
	for {
		taken := false
		for i := range m.exports {
			taken = taken || strings.HasPrefix(m.exports[i].Name, prefix)
		}
		if !taken {
			return prefix
		}
		prefix += "_"
	}
}

func (m *Module) addExport(name string, kind Kind, index uint32) {
	raw := append(appendName(nil, name), byte(kind))
	m.exports = append(m.exports, Export{Name: name, Kind: kind, Index: index, raw: appendU32(raw, index)})
	m.touch(secExport)
}

// DetachStart turns the start function, which runs at instantiation, into an
// export that the host calls when it is ready, after it has written the data
// that [Module.StripData] took out. It returns the export's name; ok is false
// if the module has no start function.
func (m *Module) DetachStart() (name string, ok bool) {
	if m.start < 0 {
		return "", false
	}
	name = m.freePrefix("hako:start")
	m.addExport(name, FuncKind, uint32(m.start))
	m.start = -1
	m.remove(func(s *section) bool { return s.id == secStart })
	return name, true
}
