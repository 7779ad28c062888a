package engine

import (
	"reflect"
	"unsafe"

	"github.com/tetratelabs/wazero/api"
)

// A guest makes wazero allocate in two ways that no limit of its memory
// counts, and wazero does not tell how much: call stacks, of which each
// try_table that is entered keeps a copy until it is left, and references to
// functions, which each ref.func makes anew and nothing frees. Both are seen
// by reading fields of wazero's. A test fails if another version of wazero
// has them no longer; then nothing is counted.

const (
	// maxStacks is how many bytes of call stack, with copies, a guest may
	// have. wazero itself ends guests whose stack alone is more than 50 MB.
	maxStacks = 256 << 20
	// deepStack is the size from which on a guest is looked at more often,
	// for a few copies of its stack are much; deepCount is how often.
	deepStack = 8 << 20
	deepCount = 1 << 11
	// keptStack is the size up to which a stack is kept for the next fork.
	keptStack = 64 << 10
	// maxReferences is how many references a guest may make, of 40 bytes.
	maxReferences = 1 << 20
)

// inside knows where in wazero's structs the fields are.
type inside struct {
	stack        uintptr // of a function, a []byte
	handlers     uintptr // of a function, a slice
	handlerSize  uintptr // of an element of it
	handlerStack uintptr // in such an element, a []byte
	ok           bool
}

// references is where a module's references are counted: the header of a
// slice of pointers.
type references *[]unsafe.Pointer

var bytesType = reflect.TypeFor[[]byte]()

// look finds the fields of functions.
func look(fn api.Function) (in inside) {
	t := reflect.TypeOf(fn)
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return inside{}
	}
	stack, ok1 := t.Elem().FieldByName("stack")
	handlers, ok2 := t.Elem().FieldByName("tryHandlers")
	if !ok1 || !ok2 || stack.Type != bytesType || handlers.Type.Kind() != reflect.Slice || handlers.Type.Elem().Kind() != reflect.Struct {
		return inside{}
	}
	copied, ok := handlers.Type.Elem().FieldByName("stack")
	if !ok || copied.Type != bytesType {
		return inside{}
	}
	return inside{stack.Offset, handlers.Offset, handlers.Type.Elem().Size(), copied.Offset, true}
}

// stacks is the size of a function's call stack with its copies, about: of
// many copies, some are measured.
func (in *inside) stacks(fn api.Function) int {
	f := reflect.ValueOf(fn).UnsafePointer()
	total := len(*(*[]byte)(unsafe.Add(f, in.stack)))
	handlers := *(*[]struct{})(unsafe.Add(f, in.handlers))
	first := unsafe.Pointer(unsafe.SliceData(handlers))
	const measured = 64
	step := len(handlers)/measured + 1
	for i := len(handlers) - 1; i >= 0; i -= step {
		handler := unsafe.Add(first, uintptr(i)*in.handlerSize)
		total += len(*(*[]byte)(unsafe.Add(handler, in.handlerStack))) * step
	}
	return total
}

// wipe clears a function's call stack, if that never had copies and is not larger
// than max.
func (in *inside) wipe(fn api.Function, max int) bool {
	f := reflect.ValueOf(fn).UnsafePointer()
	stack := *(*[]byte)(unsafe.Add(f, in.stack))
	if len(stack) > max || cap(*(*[]struct{})(unsafe.Add(f, in.handlers))) > 0 {
		return false
	}
	clear(stack)
	return true
}

// findReferences finds the references of a module, or nil.
func findReferences(mod api.Module) references {
	e := moduleEngine(mod)
	if !e.IsValid() {
		return nil
	}
	list := e.FieldByName("localFunctionInstances")
	if list.Kind() != reflect.Slice || list.Type().Elem().Kind() != reflect.Pointer {
		return nil
	}
	return references(unsafe.Pointer(list.UnsafeAddr()))
}

// findCode finds the machine code of a module, which is there as long as the
// module is, or nil.
func findCode(mod api.Module) []byte {
	code := moduleEngine(mod)
	for _, name := range []string{"parent", "executables"} {
		if !code.IsValid() {
			return nil
		}
		if code = code.FieldByName(name); code.Kind() != reflect.Pointer || code.Elem().Kind() != reflect.Struct {
			return nil
		}
		code = code.Elem()
	}
	if code = code.FieldByName("executable"); !code.IsValid() || code.Type() != bytesType || code.Len() == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(code.UnsafePointer()), code.Len())
}

// moduleEngine is the struct in which wazero keeps a module's code and
// functions, or the zero Value.
func moduleEngine(mod api.Module) reflect.Value {
	m := reflect.ValueOf(mod)
	if m.Kind() != reflect.Pointer || m.Elem().Kind() != reflect.Struct {
		return reflect.Value{}
	}
	e := m.Elem().FieldByName("Engine")
	if e.Kind() == reflect.Interface {
		e = e.Elem()
	}
	if e.Kind() != reflect.Pointer || e.Elem().Kind() != reflect.Struct {
		return reflect.Value{}
	}
	return e.Elem()
}
