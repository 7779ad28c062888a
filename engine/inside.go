package engine

import (
	"reflect"

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
	// maxReferences is how many references a guest may make, of 40 bytes.
	maxReferences = 1 << 20
)

// path is how to get at a field: indices of fields, one struct after another.
type path []int

// find follows names of fields from a value through pointers and interfaces.
func find(v reflect.Value, names ...string) (path, bool) {
	var p path
	for _, name := range names {
		for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			return nil, false
		}
		field, ok := v.Type().FieldByName(name)
		if !ok || len(field.Index) != 1 {
			return nil, false
		}
		p = append(p, field.Index[0])
		v = v.Field(field.Index[0])
	}
	return p, true
}

func (p path) of(v reflect.Value) reflect.Value {
	for _, i := range p {
		for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}

// inside knows where the fields are.
type inside struct {
	stack, handlers, handlerStack path
	references                    path
	ok                            bool
}

// look finds the fields in a function and its module.
func look(fn api.Function, mod api.Module) (in inside) {
	f := reflect.ValueOf(fn)
	var ok [4]bool
	in.stack, ok[0] = find(f, "stack")
	if in.handlers, ok[1] = find(f, "tryHandlers"); ok[1] {
		handlers := in.handlers.of(f)
		if handlers.Kind() != reflect.Slice || handlers.Type().Elem().Kind() != reflect.Struct {
			return inside{}
		}
		in.handlerStack, ok[2] = find(reflect.New(handlers.Type().Elem()), "stack")
	}
	in.references, ok[3] = find(reflect.ValueOf(mod), "Engine", "localFunctionInstances")
	if in.ok = ok == [4]bool{true, true, true, true}; !in.ok {
		return inside{}
	}
	in.ok = in.stack.of(f).Kind() == reflect.Slice && in.references.of(reflect.ValueOf(mod)).Kind() == reflect.Slice
	return in
}

// stacks is the size of a function's call stack with its copies, about: of
// many copies, some are measured.
func (in *inside) stacks(fn api.Function) int {
	f := reflect.ValueOf(fn)
	total := in.stack.of(f).Len()
	handlers := in.handlers.of(f)
	n := handlers.Len()
	const measured = 64
	step := n/measured + 1
	for i := n - 1; i >= 0; i -= step {
		total += in.handlerStack.of(handlers.Index(i)).Len() * step
	}
	return total
}

// made is how many references a module's functions have made.
func (in *inside) made(mod api.Module) int {
	return in.references.of(reflect.ValueOf(mod)).Len()
}
