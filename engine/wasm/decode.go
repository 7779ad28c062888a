package wasm

import (
	"fmt"
	"unicode/utf8"
)

const (
	// MaxLocals is the greatest number of locals of one function, its
	// parameters not counted, as in browsers.
	MaxLocals = 50_000
	// MaxNesting is the greatest depth of blocks within blocks.
	MaxNesting = 50_000
	// MaxItems is the greatest number of items of any section, as functions
	// or exports, as in browsers. Of imports, MaxImports may be there.
	// MaxSections is the greatest number of sections, custom ones included.
	MaxItems    = 1_000_000
	MaxImports  = 100_000
	MaxSections = 10_000
)

// Decode reads a module. The module keeps b, which must not be changed as
// long as it is used. Errors are of type [*Error].
func Decode(b []byte) (*Module, error) {
	m := &Module{start: -1, dataCount: -1}
	d := &decoder{m: m, b: b}
	if err := d.module(); err != nil {
		return nil, err
	}
	return m, nil
}

// decoder reads b[pos:end], the contents of a section.
type decoder struct {
	m       *Module
	b       []byte
	pos     int
	end     int
	section string
	bodies  int // read so far
	err     *Error
}

// The methods of decoder return zero values once there is an error, so that
// what they read can be used before the error is looked at.

func (d *decoder) failAt(pos int, format string, args ...any) {
	if d.err == nil {
		d.err = &Error{Offset: pos, Section: d.section, Reason: fmt.Sprintf(format, args...), Kind: ErrMalformed}
		d.pos = d.end
	}
}

func (d *decoder) refuseAt(pos int, proposal string) {
	if d.err == nil {
		d.err = &Error{Offset: pos, Section: d.section, Reason: proposal, Kind: ErrUnsupported}
		d.pos = d.end
	}
}

func (d *decoder) u32() uint32 {
	v, next, ok := readU32(d.b[:d.end], d.pos)
	if !ok {
		d.failAt(d.pos, "a number is cut off or too large")
		return 0
	}
	d.pos = next
	return v
}

func (d *decoder) byte() byte {
	if d.pos >= d.end {
		d.failAt(d.pos, "the section ends too early")
		return 0
	}
	c := d.b[d.pos]
	d.pos++
	return c
}

func (d *decoder) bytes(n uint32) []byte {
	if uint64(n) > uint64(d.end-d.pos) {
		d.failAt(d.pos, "%d bytes expected, %d left in the section", n, d.end-d.pos)
		return nil
	}
	b := d.b[d.pos : d.pos+int(n) : d.pos+int(n)]
	d.pos += int(n)
	return b
}

func (d *decoder) name() string {
	at := d.pos
	b := d.bytes(d.u32())
	if !utf8.Valid(b) {
		d.failAt(at, "a name is not valid UTF-8")
	}
	return string(b)
}

// count reads the number of items in a vector, each of at least size bytes.
func (d *decoder) count(size int) int {
	at := d.pos
	n := d.u32()
	if uint64(n)*uint64(size) > uint64(d.end-d.pos) {
		d.failAt(at, "%d items announced, the section has %d bytes left", n, d.end-d.pos)
		return 0
	}
	return int(n)
}

func (d *decoder) valType() ValType {
	at := d.pos
	c := d.byte()
	switch {
	case isValType(c):
	case c == 0x63 || c == 0x64:
		d.refuseAt(at, "typed function references")
	case c >= 0x65 && c <= 0x77:
		d.refuseAt(at, "garbage collection")
	default:
		d.failAt(at, "no such value type: %#x", c)
	}
	return ValType(c)
}

func (d *decoder) module() error {
	b := d.b
	if len(b) < 8 || string(b[:4]) != "\x00asm" {
		return &Error{Reason: "not a Wasm file: it does not begin with \"\\0asm\" and a version", Kind: ErrMalformed}
	}
	if b[4] == 0x0d && b[6] == 1 {
		return &Error{Offset: 4, Reason: "a component, not a module: compile for WASI preview 1 (wasip1)", Kind: componentError{}}
	}
	if b[4] != 1 || b[5] != 0 || b[6] != 0 || b[7] != 0 {
		return &Error{Offset: 4, Reason: fmt.Sprintf("version %x of the format", b[4:8]), Kind: ErrUnsupported}
	}
	rank := 0
	for pos := 8; pos < len(b); {
		id := b[pos]
		d.section = fmt.Sprintf("(id %d)", id)
		if int(id) >= len(sectionNames) {
			d.failAt(pos, "no such section")
			return d.err
		}
		d.section = sectionNames[id]
		size, begin, ok := readU32(b, pos+1)
		if !ok || uint64(size) > uint64(len(b)-begin) {
			d.failAt(pos, "the section is longer than the file")
			return d.err
		}
		end := begin + int(size)
		s := section{id: id, raw: b[pos:end:end], at: begin}
		d.pos, d.end = begin, end
		if id == secCustom {
			s.name = d.name()
			s.payload = b[d.pos:end:end]
			d.pos = end
		} else {
			if sectionRank[id] <= rank {
				d.failAt(pos, "the section is out of order or there twice")
			}
			rank = sectionRank[id]
			d.contents(id)
		}
		if d.err == nil && d.pos != end {
			d.failAt(d.pos, "%d bytes left over", end-d.pos)
		}
		if d.err != nil {
			return d.err
		}
		if len(d.m.sections) == MaxSections {
			d.refuseAt(pos, "a file with more than 10000 sections")
			return d.err
		}
		d.m.sections = append(d.m.sections, s)
		pos = end
	}
	d.section, d.end = "code", len(b)
	if len(d.m.bodies) != len(d.m.funcs) {
		d.failAt(len(b), "%d functions declared, %d bodies", len(d.m.funcs), len(d.m.bodies))
		return d.err
	}
	if d.section = "data"; d.m.dataCount >= 0 && d.m.dataCount != int64(len(d.m.data)) {
		d.failAt(len(b), "%d segments counted, %d there", d.m.dataCount, len(d.m.data))
		return d.err
	}
	if d.references(); d.err != nil {
		return d.err
	}
	return nil
}

// vector reads items, each of at least size bytes.
func vector[T any](d *decoder, size int, item func(*decoder) T) []T {
	at, n := d.pos, d.count(size)
	if n > MaxItems || n > MaxImports && d.section == sectionNames[secImport] {
		d.refuseAt(at, fmt.Sprintf("a section with %d items", n))
		return nil
	}
	list := make([]T, 0, n)
	for i := 0; i < n && d.err == nil; i++ {
		list = append(list, item(d))
	}
	return list
}

func (d *decoder) contents(id byte) {
	m := d.m
	switch id {
	case secType:
		m.types = vector(d, 3, (*decoder).funcType)
	case secImport:
		m.imports = vector(d, 4, (*decoder).imp)
	case secFunction:
		m.funcs = vector(d, 1, (*decoder).u32)
	case secTable:
		m.tables = vector(d, 3, (*decoder).table)
	case secMemory:
		m.memories = vector(d, 2, (*decoder).memory)
	case secTag:
		m.tags = vector(d, 2, (*decoder).tag)
	case secGlobal:
		m.globals = vector(d, 3, (*decoder).global)
	case secExport:
		m.exports = vector(d, 3, (*decoder).export)
	case secStart:
		m.start = int64(d.u32())
	case secElement:
		m.elements = vector(d, 2, (*decoder).element)
	case secDataCount:
		m.dataCount = int64(d.u32())
	case secCode:
		m.bodies = vector(d, 3, (*decoder).body)
	case secData:
		m.data = vector(d, 2, (*decoder).dataSegment)
	}
	if n := len(m.memories) + int(m.imported[MemoryKind]); n > 1 {
		d.refuseAt(d.pos, "multiple memories")
	}
}
