package wasm

import "slices"

// Module is a decoded module. Its methods that return slices return its own:
// they are to be read. A Module is not safe for use by several goroutines
// while an operation changes it.
type Module struct {
	sections []section

	types     []FuncType
	imports   []Import
	funcs     []uint32 // types of defined functions
	tables    []Table
	memories  []Memory
	tags      []rawTag
	globals   []Global
	exports   []Export
	start     int64 // function index, -1 if there is none
	elements  []Element
	dataCount int64 // -1 if there is none
	data      []Data
	bodies    []Body

	imported    [5]uint32 // imports by kind
	importTypes []uint32  // types of imported functions
	use         Use
	interrupted bool
}

type rawTag struct {
	typ uint32
	raw []byte
}

// section is one section of the file.
type section struct {
	id      byte
	name    string // of a custom section
	raw     []byte // with id and size; of an added section, nil
	at      int    // where its contents begin in the file
	payload []byte // of a custom section, what follows the name
	changed bool   // to be encoded from what Module holds; of a custom section, from payload
}

// The ids of sections.
const (
	secCustom    = 0
	secType      = 1
	secImport    = 2
	secFunction  = 3
	secTable     = 4
	secMemory    = 5
	secGlobal    = 6
	secExport    = 7
	secStart     = 8
	secElement   = 9
	secCode      = 10
	secData      = 11
	secDataCount = 12
	secTag       = 13
)

var sectionNames = [...]string{
	"custom", "type", "import", "function", "table", "memory", "global", "export", "start", "element", "code", "data", "data count", "tag",
}

// sectionRank is the place of each section id in a file.
var sectionRank = [...]int{
	secType: 1, secImport: 2, secFunction: 3, secTable: 4, secMemory: 5, secTag: 6, secGlobal: 7,
	secExport: 8, secStart: 9, secElement: 10, secDataCount: 11, secCode: 12, secData: 13,
}

// touch marks a section as changed, adding it if need be.
func (m *Module) touch(id byte) {
	after := 0
	for i := range m.sections {
		s := &m.sections[i]
		if s.id == id {
			s.changed = true
			return
		}
		if s.id != secCustom && sectionRank[s.id] < sectionRank[id] {
			after = i + 1
		}
	}
	m.sections = slices.Insert(m.sections, after, section{id: id, changed: true})
}

// remove drops the sections that the function tells to.
func (m *Module) remove(drop func(*section) bool) {
	kept := m.sections[:0:0]
	for i := range m.sections {
		if !drop(&m.sections[i]) {
			kept = append(kept, m.sections[i])
		}
	}
	m.sections = kept
}

// Types returns the function types.
func (m *Module) Types() []FuncType { return m.types }

// Imports returns the imports in the order of the file.
func (m *Module) Imports() []Import { return m.imports }

// Exports returns the exports in the order of the file.
func (m *Module) Exports() []Export { return m.exports }

// Tables returns the tables that the module defines.
func (m *Module) Tables() []Table { return m.tables }

// Memories returns the memories that the module defines: at most one.
func (m *Module) Memories() []Memory { return m.memories }

// Globals returns the globals that the module defines.
func (m *Module) Globals() []Global { return m.globals }

// Elements returns the element segments.
func (m *Module) Elements() []Element { return m.elements }

// Data returns the data segments.
func (m *Module) Data() []Data { return m.data }

// Bodies returns the code of the functions that the module defines.
func (m *Module) Bodies() []Body { return m.bodies }

// Imported returns the number of imports of a kind, which is the index of the
// first thing of that kind that the module defines.
func (m *Module) Imported(k Kind) uint32 {
	if int(k) >= len(m.imported) {
		return 0
	}
	return m.imported[k]
}

// NumFuncs returns the number of functions, imported ones included.
func (m *Module) NumFuncs() uint32 { return m.imported[FuncKind] + uint32(len(m.funcs)) }

// Start returns the index of the start function, which runs at instantiation.
func (m *Module) Start() (index uint32, ok bool) { return uint32(m.start), m.start >= 0 }

// FuncType returns the type of the function with this index; ok is false if
// the module has no such function or type.
func (m *Module) FuncType(index uint32) (t FuncType, ok bool) {
	typ, ok := m.funcTypeIndex(index)
	if !ok || uint64(typ) >= uint64(len(m.types)) {
		return FuncType{}, false
	}
	return m.types[typ], true
}

func (m *Module) funcTypeIndex(index uint32) (typ uint32, ok bool) {
	if n := m.imported[FuncKind]; index >= n {
		if index -= n; uint64(index) < uint64(len(m.funcs)) {
			return m.funcs[index], true
		}
		return 0, false
	}
	return m.importTypes[index], true
}

// Custom returns the contents of the first custom section of this name.
func (m *Module) Custom(name string) (payload []byte, ok bool) {
	for i := range m.sections {
		if s := &m.sections[i]; s.id == secCustom && s.name == name {
			return s.payload, true
		}
	}
	return nil, false
}

// RemoveCustom removes the custom sections whose name the function accepts.
func (m *Module) RemoveCustom(drop func(name string) bool) {
	m.remove(func(s *section) bool { return s.id == secCustom && drop(s.name) })
}
