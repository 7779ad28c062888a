package wasm

// code goes through the instructions of a body, which begin at the given
// offset in the file, and notes what they use. All indices are checked: a
// rewrite adds functions and globals, which code must not reach that was
// invalid without them.
func (d *decoder) code(body *Body, offset int) {
	params, ok := d.params(d.bodies)
	d.bodies++
	if !ok {
		d.failAt(body.at, "a body without a function, or a function without a type")
		return
	}
	locals := uint32(params) + body.count
	w := walker{code: body.code}
	use := &d.m.use
	depth := uint32(1)
	for depth > 0 && w.next() {
		in := &w.in
		switch in.op {
		case opLocalGet, opLocalSet, opLocalTee:
			if in.index >= locals {
				w.fail(in.pos, "no local %d", in.index)
			}
			continue
		case opEnd:
			depth--
			continue
		case opBr, opBrIf:
			if in.index >= depth {
				w.fail(in.pos, "no label %d", in.index)
			}
			continue
		case opBlock, opLoop, opIf:
			if depth++; depth > MaxNesting {
				w.refuse(in.pos, "blocks nested more than 50000 deep")
			}
			d.blockType(&w, in.args)
			continue
		}
		if space := spaceOf(in.op); space != noSpace {
			d.index(&w, space, in.index)
		}
		switch in.op {
		case opBrTable:
			pos, label := in.args, uint32(0)
			for range uint64(in.second) + 1 {
				if label, pos, _ = readU32(w.code, pos); label >= depth {
					w.fail(in.pos, "no label %d", label)
					break
				}
			}
		case opTryTable:
			use.Exceptions = true
			pos, c := in.clauses, catch{}
			for range in.second {
				c, pos, _ = readCatch(w.code, pos)
				if c.label >= depth {
					w.fail(in.pos, "no label %d", c.label)
				}
				if c.kind < 2 {
					d.index(&w, tagSpace, c.tag)
				}
			}
			if depth++; depth > MaxNesting {
				w.refuse(in.pos, "blocks nested more than 50000 deep")
			}
			d.blockType(&w, in.args)
		case opCallIndirect, opReturnCallIndirect, opTableInit, opTableCopy:
			d.index(&w, tableSpace, in.second)
			use.note(in)
		case opMemoryInit, opMemoryCopy, opMemoryFill:
			if len(d.m.memories)+int(d.m.imported[MemoryKind]) == 0 {
				w.fail(in.pos, "no memory")
			}
			use.note(in)
		default:
			use.note(in)
		}
	}
	switch {
	case w.err != nil:
		w.err.Offset += offset
		w.err.Section = d.section
		d.err = w.err
	case depth > 0:
		d.failAt(offset+len(body.code), "a function's code ends within a block")
	case w.in.end != len(body.code):
		d.failAt(offset+w.in.end, "a function's code goes on after its end")
	}
}

// params returns the number of parameters of the n-th defined function.
func (d *decoder) params(n int) (count int, ok bool) {
	if n >= len(d.m.funcs) || uint64(d.m.funcs[n]) >= uint64(len(d.m.types)) {
		return 0, false
	}
	return len(d.m.types[d.m.funcs[n]].Params), true
}

// space is an index space.
type space byte

const (
	noSpace space = iota
	funcSpace
	typeSpace
	tableSpace
	globalSpace
	tagSpace
	elementSpace
	dataSpace
)

var spaceNames = [...]string{"", "function", "type", "table", "global", "tag", "element segment", "data segment"}

// spaceOf tells what the first index of an instruction refers to.
func spaceOf(o op) space {
	switch o {
	case opCall, opReturnCall, opRefFunc:
		return funcSpace
	case opCallIndirect, opReturnCallIndirect:
		return typeSpace
	case opGlobalGet, opGlobalSet:
		return globalSpace
	case opTableGet, opTableSet, opTableGrow, opTableSize, opTableFill, opTableCopy:
		return tableSpace
	case opThrow:
		return tagSpace
	case opTableInit, opElemDrop:
		return elementSpace
	case opMemoryInit, opDataDrop:
		return dataSpace
	}
	return noSpace
}

// size is the number of things in an index space.
func (m *Module) size(s space) uint64 {
	switch s {
	case funcSpace:
		return uint64(m.imported[FuncKind]) + uint64(len(m.funcs))
	case typeSpace:
		return uint64(len(m.types))
	case tableSpace:
		return uint64(m.imported[TableKind]) + uint64(len(m.tables))
	case globalSpace:
		return uint64(m.imported[GlobalKind]) + uint64(len(m.globals))
	case tagSpace:
		return uint64(m.imported[TagKind]) + uint64(len(m.tags))
	case elementSpace:
		return uint64(len(m.elements))
	case dataSpace:
		return uint64(max(m.dataCount, 0))
	}
	return 0
}

func (d *decoder) index(w *walker, s space, index uint32) {
	if uint64(index) >= d.m.size(s) && w.err == nil {
		w.fail(w.in.pos, "no %s %d", spaceNames[s], index)
	}
}

// blockType checks that the type of a block, read already, exists.
func (d *decoder) blockType(w *walker, pos int) {
	if c := w.code[pos]; c == 0x40 || isValType(c) {
		return
	}
	v, _, _ := readS64(w.code, pos, 33)
	d.index(w, typeSpace, uint32(v))
}

// references checks the indices outside of code.
func (d *decoder) references() {
	m := d.m
	d.section = sectionNames[secFunction]
	for i, typ := range m.funcs {
		if uint64(typ) >= uint64(len(m.types)) {
			d.failAt(len(d.b), "function %d has no type", i)
		}
	}
	d.section = sectionNames[secImport]
	for i := range m.imports {
		im := &m.imports[i]
		if (im.Kind == FuncKind || im.Kind == TagKind) && uint64(im.Type) >= uint64(len(m.types)) {
			d.failAt(len(d.b), "import %d has no type", i)
		}
	}
	d.section = sectionNames[secTag]
	for i := range m.tags {
		if uint64(m.tags[i].typ) >= uint64(len(m.types)) {
			d.failAt(len(d.b), "tag %d has no type", i)
		}
	}
	d.section = sectionNames[secStart]
	if m.start >= 0 && uint64(m.start) >= m.size(funcSpace) {
		d.failAt(len(d.b), "no function %d", m.start)
	}
	d.section = sectionNames[secExport]
	for i := range m.exports {
		e := &m.exports[i]
		size := uint64(m.imported[MemoryKind]) + uint64(len(m.memories))
		if e.Kind != MemoryKind {
			size = m.size([...]space{FuncKind: funcSpace, TableKind: tableSpace, GlobalKind: globalSpace, TagKind: tagSpace}[e.Kind])
		}
		if uint64(e.Index) >= size {
			d.failAt(len(d.b), "export %q: no %v %d", e.Name, e.Kind, e.Index)
		}
	}
	d.section = sectionNames[secGlobal]
	for i := range m.globals {
		d.refs(m.globals[i].init)
	}
	d.section = sectionNames[secElement]
	for i := range m.elements {
		e := &m.elements[i]
		d.refs(e.offset)
		if e.flag&4 != 0 {
			d.refs(e.items)
			continue
		}
		for pos := 0; pos < len(e.items); {
			var f uint32
			if f, pos, _ = readU32(e.items, pos); uint64(f) >= m.size(funcSpace) {
				d.failAt(len(d.b), "no function %d", f)
			}
		}
	}
	d.section = sectionNames[secData]
	for i := range m.data {
		d.refs(m.data[i].offset)
	}
}

// refs checks the indices in constant expressions.
func (d *decoder) refs(exprs []byte) {
	w := walker{code: exprs}
	for w.next() {
		if s := spaceOf(w.in.op); s != noSpace && uint64(w.in.index) >= d.m.size(s) {
			d.failAt(len(d.b), "no %s %d", spaceNames[s], w.in.index)
		}
	}
}
