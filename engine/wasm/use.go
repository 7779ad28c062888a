package wasm

// Use tells which parts of WebAssembly a module's code uses that matter to a
// host which carries instances over, limits them or stops them.
type Use struct {
	// TableWrites: code can change a table (table.set, table.grow,
	// table.fill, table.copy, table.init). A frozen instance's tables then
	// may not be what a fresh instance's are.
	TableWrites bool
	// TableGrows: among them, table.grow or table.fill.
	TableGrows bool
	// ElemDrops and DataDrops: code can drop passive segments, so that a
	// later table.init or memory.init of them traps.
	ElemDrops, DataDrops bool
	// MemoryInits: code reads passive data segments by memory.init.
	MemoryInits bool
	// MemoryGrows: code has memory.grow.
	MemoryGrows bool
	// AtomicWaits: code has memory.atomic.wait, which blocks its thread in
	// the runtime, where no check of [Module.Interrupt] ends it.
	AtomicWaits bool
	// IndirectCalls, TailCalls, Exceptions, SIMD, Threads: code has such
	// instructions.
	IndirectCalls, TailCalls, Exceptions, SIMD, Threads bool
}

func (u *Use) note(in *instr) {
	switch in.op {
	case opCallIndirect:
		u.IndirectCalls = true
	case opReturnCallIndirect:
		u.IndirectCalls, u.TailCalls = true, true
	case opReturnCall:
		u.TailCalls = true
	case opThrow, opThrowRef:
		u.Exceptions = true
	case opTableSet, opTableInit, opTableCopy:
		u.TableWrites = true
	case opTableGrow, opTableFill:
		u.TableWrites, u.TableGrows = true, true
	case opElemDrop:
		u.ElemDrops = true
	case opDataDrop:
		u.DataDrops = true
	case opMemoryInit:
		u.MemoryInits = true
	case opMemoryGrow:
		u.MemoryGrows = true
	case opMemoryWait32, opMemoryWait64:
		u.AtomicWaits, u.Threads = true, true
	default:
		switch in.op >> 8 {
		case 0xfd:
			u.SIMD = true
		case 0xfe:
			u.Threads = true
		}
	}
}

// Use tells what the module's code uses, as it was decoded.
func (m *Module) Use() Use { return m.use }

// Carried tells what a host has to know before it makes instances out of the
// memory and globals of another one: each field that is set is state outside
// of them.
type Carried struct {
	// Tables: a table may differ from what instantiation makes of it,
	// because code, the host or another module can change it.
	Tables bool
	// Segments: passive segments can be dropped, and are not in a fresh
	// instance.
	Segments bool
	// ImportedMemory, ImportedTable and ImportedGlobals: the module shares
	// these with whoever provides them.
	ImportedMemory, ImportedTable, ImportedGlobals bool
	// SharedMemory: threads.
	SharedMemory bool
	// References: a mutable global holds a reference or a vector, which a
	// host cannot copy.
	References bool
}

// Carried tells what state a module has beside its memory and numeric globals.
func (m *Module) Carried() Carried {
	c := Carried{
		Tables:         m.use.TableWrites && len(m.tables) > 0,
		ImportedMemory: m.imported[MemoryKind] > 0,
		ImportedTable:  m.imported[TableKind] > 0,
	}
	for i := range m.exports {
		c.Tables = c.Tables || m.exports[i].Kind == TableKind
	}
	for i := range m.data {
		if m.data[i].Passive && len(m.data[i].Init) > 0 && m.use.DataDrops {
			c.Segments = true
		}
	}
	for i := range m.elements {
		if m.elements[i].Mode == 1 && m.elements[i].Count > 0 && m.use.ElemDrops {
			c.Segments = true
		}
	}
	for i := range m.memories {
		c.SharedMemory = c.SharedMemory || m.memories[i].Shared
	}
	for i := range m.imports {
		im := &m.imports[i]
		c.SharedMemory = c.SharedMemory || im.Kind == MemoryKind && im.Memory.Shared
		c.ImportedGlobals = c.ImportedGlobals || im.Kind == GlobalKind && im.Global.Mutable
	}
	for i := range m.globals {
		if g := &m.globals[i]; g.Mutable && (g.Type == V128 || isRefType(byte(g.Type))) {
			c.References = true
		}
	}
	return c
}
