package wasm_test

import "bytes"

// A little assembler for modules in tests. Bytes are written as they are in
// the binary format.

type code []byte

func uleb(v uint32) []byte {
	var b []byte
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func sleb(v int64) []byte {
	var b []byte
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func str(s string) []byte { return append(uleb(uint32(len(s))), s...) }

// cat joins bytes, numbers below 256 and strings of bytes.
func cat(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = append(b, byte(p))
		case []byte:
			b = append(b, p...)
		case code:
			b = append(b, p...)
		case string:
			b = append(b, p...)
		default:
			panic("cat")
		}
	}
	return b
}

func i32c(v int) code { return append(code{0x41}, sleb(int64(v))...) }

func vec(items ...[]byte) []byte {
	b := uleb(uint32(len(items)))
	for _, it := range items {
		b = append(b, it...)
	}
	return b
}

func sec(id byte, content []byte) []byte {
	return cat(int(id), uleb(uint32(len(content))), content)
}

const header = "\x00asm\x01\x00\x00\x00"

// function is a function of a module to build.
type function struct {
	typ    uint32 // index in types
	locals int    // of type i32
	code   []byte // without the last end
	export string
}

// Types that all built modules begin with.
const (
	tNone  = 0 // ()
	tInt   = 1 // () i32
	tInts  = 2 // (i32) i32
	tThree = 3 // (i32 i32 i32)
	tMany  = 4 // (i32 x many) i32 x many
)

const many = 100

var stdTypes = [][]byte{
	{0x60, 0, 0},
	{0x60, 0, 1, 0x7f},
	{0x60, 1, 0x7f, 1, 0x7f},
	{0x60, 3, 0x7f, 0x7f, 0x7f, 0},
	cat(0x60, many, bytes.Repeat([]byte{0x7f}, many), many, bytes.Repeat([]byte{0x7f}, many)),
}

// spec is a module to build. Functions begin at index 0 if nothing is
// imported.
type spec struct {
	funcs   []function
	imports []byte // contents of the section
	memory  []byte // contents of the section
	table   bool   // a table with all functions, in order
	globals []byte
	tags    bool // one tag without parameters
	start   int  // index of the start function and 1
	exports [][]byte
	data    []byte
	count   int // data count and 1
	custom  []byte
}

func (s spec) build() []byte {
	out := []byte(header)
	add := func(id byte, content []byte) {
		if len(content) > 0 {
			out = append(out, sec(id, content)...)
		}
	}
	add(1, vec(stdTypes...))
	add(2, s.imports)
	types, bodies, exports := [][]byte{}, [][]byte{}, s.exports
	base := 0
	if len(s.imports) > 0 {
		base = int(s.imports[0])
	}
	var refs [][]byte
	for i, f := range s.funcs {
		types = append(types, uleb(f.typ))
		body := cat(1, uleb(uint32(f.locals)), 0x7f, f.code, 0x0b)
		bodies = append(bodies, cat(uleb(uint32(len(body))), body))
		if f.export != "" {
			exports = append(exports, cat(str(f.export), 0, uleb(uint32(base+i))))
		}
		refs = append(refs, uleb(uint32(base+i)))
	}
	add(3, vec(types...))
	if s.table {
		add(4, cat(1, 0x70, 0, uleb(uint32(len(s.funcs)))))
	}
	add(5, s.memory)
	if s.tags {
		add(13, []byte{1, 0, 0})
	}
	add(6, s.globals)
	add(7, vec(exports...))
	if s.start > 0 {
		add(8, uleb(uint32(s.start-1)))
	}
	if s.table {
		add(9, cat(1, 0, 0x41, 0, 0x0b, vec(refs...)))
	}
	if s.count > 0 {
		add(12, uleb(uint32(s.count-1)))
	}
	add(10, vec(bodies...))
	add(11, s.data)
	return append(out, s.custom...)
}
