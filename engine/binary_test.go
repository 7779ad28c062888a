package engine

import "encoding/binary"

// Pieces of the binary format, for modules that compilers do not make.

func bin(sections ...[]byte) []byte {
	b := []byte("\x00asm\x01\x00\x00\x00")
	for _, s := range sections {
		b = append(b, s...)
	}
	return b
}

func uleb(n uint64) []byte { return binary.AppendUvarint(nil, n) }

// sec is a section that is a list of items.
func sec(id byte, items ...string) []byte {
	body := uleb(uint64(len(items)))
	for _, item := range items {
		body = append(body, item...)
	}
	return append(append([]byte{id}, uleb(uint64(len(body)))...), body...)
}

// raw is a section of these bytes.
func raw(id byte, body string) []byte {
	return append(append([]byte{id}, uleb(uint64(len(body)))...), body...)
}

// fn is a function's body: its locals and code, without the last end.
func fn(locals, code string) string {
	body := locals + code + "\x0b"
	return string(uleb(uint64(len(body)))) + body
}

func export(name string, kind, index byte) string {
	return string(uleb(uint64(len(name)))) + name + string([]byte{kind, index})
}

const (
	none     = "\x00"         // no locals
	typeVoid = "\x60\x00\x00" // () -> ()
	typeInt  = "\x60\x00\x01\x7f"
)

// one is a module with one exported function f of type () -> () and other
// sections.
func one(code string, before, after [][]byte) []byte {
	sections := [][]byte{sec(1, typeVoid), sec(3, "\x00")}
	sections = append(sections, before...)
	sections = append(sections, sec(7, export("f", 0, 0)))
	sections = append(sections, after...)
	return bin(append(sections, sec(10, fn(none, code)))...)
}
