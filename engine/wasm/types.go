package wasm

import "fmt"

// ValType is the type of a value, as its byte in the binary format.
type ValType byte

// The value types.
const (
	I32       ValType = 0x7f
	I64       ValType = 0x7e
	F32       ValType = 0x7d
	F64       ValType = 0x7c
	V128      ValType = 0x7b
	FuncRef   ValType = 0x70
	ExternRef ValType = 0x6f
	ExnRef    ValType = 0x69
)

func (t ValType) String() string {
	switch t {
	case I32:
		return "i32"
	case I64:
		return "i64"
	case F32:
		return "f32"
	case F64:
		return "f64"
	case V128:
		return "v128"
	case FuncRef:
		return "funcref"
	case ExternRef:
		return "externref"
	case ExnRef:
		return "exnref"
	}
	return fmt.Sprintf("type %#x", byte(t))
}

func isValType(c byte) bool { return c >= 0x7b && c <= 0x7f || isRefType(c) }

func isRefType(c byte) bool {
	return c == byte(FuncRef) || c == byte(ExternRef) || c == byte(ExnRef)
}

// Kind tells what an import or export is.
type Kind byte

// The kinds of imports and exports.
const (
	FuncKind   Kind = 0
	TableKind  Kind = 1
	MemoryKind Kind = 2
	GlobalKind Kind = 3
	TagKind    Kind = 4
)

func (k Kind) String() string {
	switch k {
	case FuncKind:
		return "function"
	case TableKind:
		return "table"
	case MemoryKind:
		return "memory"
	case GlobalKind:
		return "global"
	case TagKind:
		return "tag"
	}
	return fmt.Sprintf("kind %d", byte(k))
}

// FuncType is the type of a function.
type FuncType struct {
	Params, Results []ValType
	raw             []byte
}

// Import is something that the host provides.
type Import struct {
	Module, Name string
	Kind         Kind
	Type         uint32 // of a function or tag: the index of its type
	Table        Table
	Memory       Memory
	Global       GlobalType
	raw          []byte
}

// Limits bound the size of a memory, in pages of 64 KiB, or of a table, in
// elements.
type Limits struct {
	Min    uint32
	Max    uint32 // meaningful if HasMax
	HasMax bool
	Shared bool // of memories: usable by several threads
}

// Memory is a memory's type.
type Memory struct {
	Limits
	raw []byte
}

// Table is a table's type.
type Table struct {
	Elem ValType
	Limits
	raw []byte
}

// GlobalType is the type of a global.
type GlobalType struct {
	Type    ValType
	Mutable bool
}

// Global is a global that the module defines.
type Global struct {
	GlobalType
	init expr
	raw  []byte
	// own is set of the globals that a rewrite has added.
	own bool
}

// Export is something that the host can use.
type Export struct {
	Name  string
	Kind  Kind
	Index uint32 // in the index space of its kind, imports first
	raw   []byte
}

// Element is an element segment: what a table is filled with.
type Element struct {
	// Mode is 0 for active (filled in at instantiation), 1 for passive,
	// 2 for declarative.
	Mode  byte
	Table uint32
	// Count is the number of elements.
	Count int

	flag   uint32
	offset expr
	kind   []byte // the element kind or reference type as it is in the file
	// items are function indices, or constant expressions if flag has bit 2.
	items []byte
	raw   []byte
}

// Data is a data segment: what a memory is filled with.
type Data struct {
	Passive bool
	Init    []byte // part of the module's bytes, not to be changed
	offset  expr
	raw     []byte
}

// Body is the code of a function that the module defines.
type Body struct {
	raw    []byte // with its size
	at     int    // where raw begins in the file, for errors
	groups uint32 // number of local declarations
	locals []byte // the local declarations
	count  uint32 // locals, without parameters
	code   []byte // the instructions, with the last end
}

// Size is the number of bytes of a body's instructions.
func (b *Body) Size() int { return len(b.code) }
