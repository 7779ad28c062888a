package wasm

import (
	"errors"
	"fmt"
)

var (
	// ErrMalformed is wrapped by errors about bytes that are no module.
	ErrMalformed = errors.New("malformed module")
	// ErrUnsupported is wrapped by errors about modules that use a part of
	// WebAssembly that is not read here.
	ErrUnsupported = errors.New("unsupported module")
	// ErrComponent is wrapped, beside ErrUnsupported, by the error about a
	// component (the layer above modules, WASI preview 2).
	ErrComponent = errors.New("this is a component, not a module")
)

// Error tells what is wrong with a module and where.
type Error struct {
	Offset  int    // of the offending byte in the file
	Section string // as "code" or "custom \"name\"", empty in the file's header
	Reason  string
	Kind    error // ErrMalformed, or wraps ErrUnsupported
}

func (e *Error) Error() string {
	where := "header"
	if e.Section != "" {
		where = e.Section + " section"
	}
	return fmt.Sprintf("%v: %s (%s, offset %#x)", e.Kind, e.Reason, where, e.Offset)
}

func (e *Error) Unwrap() error { return e.Kind }

// componentError is the kind of the error about components.
type componentError struct{}

func (componentError) Error() string { return ErrUnsupported.Error() }
func (componentError) Is(target error) bool {
	return target == ErrUnsupported || target == ErrComponent
}
