package wasm

func (d *decoder) funcType() FuncType {
	at := d.pos
	switch c := d.byte(); c {
	case 0x60:
	case 0x4e, 0x4f, 0x50, 0x5e, 0x5f:
		d.refuseAt(at, "garbage collection")
	case 0x5d:
		d.refuseAt(at, "stack switching")
	default:
		d.failAt(at, "no such type: %#x", c)
	}
	t := FuncType{Params: d.valTypes(), Results: d.valTypes()}
	t.raw = d.b[at:d.pos]
	return t
}

func (d *decoder) valTypes() []ValType {
	n := d.count(1)
	if n == 0 {
		return nil
	}
	list := make([]ValType, n)
	for i := range list {
		list[i] = d.valType()
	}
	return list
}

func (d *decoder) imp() Import {
	at := d.pos
	im := Import{Module: d.name(), Name: d.name()}
	kindAt := d.pos
	im.Kind = Kind(d.byte())
	switch im.Kind {
	case FuncKind:
		im.Type = d.u32()
		d.m.importTypes = append(d.m.importTypes, im.Type)
	case TableKind:
		im.Table = d.table()
	case MemoryKind:
		im.Memory = d.memory()
	case GlobalKind:
		im.Global = d.globalType()
	case TagKind:
		im.Type = d.tag().typ
	default:
		d.failAt(kindAt, "no such kind of import: %#x", byte(im.Kind))
		return im
	}
	if d.err == nil {
		d.m.imported[im.Kind]++
	}
	im.raw = d.b[at:d.pos]
	return im
}

func (d *decoder) limits(memory bool) Limits {
	at := d.pos
	flag := d.byte()
	switch {
	case flag >= 0x10:
		d.failAt(at, "no such limits: %#x", flag)
	case flag&8 != 0:
		d.refuseAt(at, "custom page sizes")
	case flag&4 != 0:
		d.refuseAt(at, "memory64 (sizes of 64 bits)")
	case flag&2 != 0 && !memory:
		d.refuseAt(at, "shared tables (shared-everything threads)")
	}
	l := Limits{Min: d.u32(), Shared: flag&2 != 0}
	if flag&1 != 0 {
		l.Max, l.HasMax = d.u32(), true
	}
	return l
}

func (d *decoder) memory() Memory {
	at := d.pos
	mem := Memory{Limits: d.limits(true)}
	mem.raw = d.b[at:d.pos]
	return mem
}

func (d *decoder) table() Table {
	at := d.pos
	if d.pos < d.end && d.b[d.pos] == 0x40 {
		d.refuseAt(at, "tables with an initializer (typed function references)")
	}
	t := Table{Elem: d.valType()}
	if d.err == nil && !isRefType(byte(t.Elem)) {
		d.failAt(at, "a table of %v", t.Elem)
	}
	t.Limits = d.limits(false)
	t.raw = d.b[at:d.pos]
	return t
}

func (d *decoder) tag() rawTag {
	at := d.pos
	if c := d.byte(); c != 0 {
		d.failAt(at, "no such kind of tag: %#x", c)
	}
	t := rawTag{typ: d.u32()}
	t.raw = d.b[at:d.pos]
	return t
}

func (d *decoder) globalType() GlobalType {
	t := GlobalType{Type: d.valType()}
	at := d.pos
	switch c := d.byte(); c {
	case 0, 1:
		t.Mutable = c == 1
	case 2, 3:
		d.refuseAt(at, "shared globals (shared-everything threads)")
	default:
		d.failAt(at, "a global is neither mutable nor constant: %#x", c)
	}
	return t
}

func (d *decoder) global() Global {
	at := d.pos
	g := Global{GlobalType: d.globalType(), init: d.expr()}
	g.raw = d.b[at:d.pos]
	return g
}

func (d *decoder) export() Export {
	at := d.pos
	e := Export{Name: d.name()}
	kindAt := d.pos
	if e.Kind = Kind(d.byte()); e.Kind > TagKind {
		d.failAt(kindAt, "no such kind of export: %#x", byte(e.Kind))
	}
	e.Index = d.u32()
	e.raw = d.b[at:d.pos]
	return e
}

func (d *decoder) element() Element {
	at := d.pos
	e := Element{flag: d.u32()}
	if e.flag > 7 {
		d.failAt(at, "no such element segment: %#x", e.flag)
	}
	switch {
	case e.flag&1 == 0:
		if e.flag&2 != 0 {
			e.Table = d.u32()
		}
		e.offset = d.expr()
	case e.flag&2 != 0:
		e.Mode = 2
	default:
		e.Mode = 1
	}
	if e.flag&3 != 0 {
		kindAt := d.pos
		if e.flag&4 != 0 {
			d.valType()
		} else if c := d.byte(); c != 0 {
			d.failAt(kindAt, "no such kind of elements: %#x", c)
		}
		e.kind = d.b[kindAt:d.pos]
	}
	e.Count = d.count(1)
	items := d.pos
	for i := 0; i < e.Count && d.err == nil; i++ {
		if e.flag&4 != 0 {
			d.expr()
		} else {
			d.u32()
		}
	}
	e.items = d.b[items:d.pos]
	e.raw = d.b[at:d.pos]
	return e
}

func (d *decoder) dataSegment() Data {
	at := d.pos
	flag := d.u32()
	s := Data{Passive: flag == 1}
	switch flag {
	case 0:
	case 1:
	case 2:
		if d.u32() != 0 {
			d.refuseAt(at, "multiple memories")
		}
	default:
		d.failAt(at, "no such data segment: %#x", flag)
	}
	if !s.Passive {
		s.offset = d.expr()
	}
	s.Init = d.bytes(d.u32())
	s.raw = d.b[at:d.pos]
	return s
}

func (d *decoder) body() Body {
	at := d.pos
	size := d.u32()
	begin := d.pos
	code := d.bytes(size)
	if d.err != nil {
		return Body{}
	}
	after := d.pos
	outer := d.end
	d.pos, d.end = begin, after
	body := Body{raw: d.b[at:after:after], at: at}
	body.groups = d.u32()
	localsAt := d.pos
	if uint64(body.groups)*2 > uint64(d.end-d.pos) {
		d.failAt(localsAt, "%d declarations of locals announced, the body has %d bytes left", body.groups, d.end-d.pos)
	}
	var sum uint64
	for i := uint32(0); i < body.groups && d.err == nil; i++ {
		sum += uint64(d.u32())
		d.valType()
		if sum > MaxLocals {
			d.refuseAt(localsAt, "a function with more than 50000 locals")
		}
	}
	body.count = uint32(sum)
	if d.err == nil {
		body.locals = d.b[localsAt:d.pos]
		body.code = code[d.pos-begin:]
		d.code(&body, d.pos)
		d.pos = after
	}
	if d.end = outer; d.err != nil {
		d.pos = outer
	}
	return body
}
