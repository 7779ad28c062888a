package engine

import (
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"github.com/hako-run/hako/engine/wasm"
)

// A TrapKind is what a guest did that WebAssembly does not allow.
type TrapKind int

// The kinds of traps.
const (
	TrapUnknown     TrapKind = iota
	TrapUnreachable          // ran into "unreachable": abort(), a failed assertion, a panic
	TrapOutOfBounds          // read or wrote outside of its memory
	TrapStack                // called too deep
	TrapTable                // called or used a table entry that is empty or not there
	TrapSignature            // called a function through a pointer of another type
	TrapDivide               // divided an integer by zero
	TrapOverflow             // an integer too large for its type
	TrapConversion           // made an integer of a number that is none
	TrapException            // threw an exception that nothing caught
	TrapNull                 // used a null reference
	TrapAtomic               // an unaligned atomic, or waiting on memory that is not shared
	TrapReferences           // made too many references to functions
	TrapHost                 // not the guest's doing: a host function failed
)

var trapTexts = [...]string{
	"trap", "unreachable code", "memory access out of bounds", "call stack exhausted", "empty table entry",
	"indirect call of a function of another type", "integer division by zero", "integer overflow",
	"invalid conversion to an integer", "uncaught exception", "null reference", "invalid atomic operation",
	"too many function references", "host function failed",
}

func (k TrapKind) String() string {
	if k < 0 || int(k) >= len(trapTexts) {
		k = TrapUnknown
	}
	return trapTexts[k]
}

// trapKinds has what wazero says of each kind.
var trapKinds = map[string]TrapKind{
	"unreachable":                   TrapUnreachable,
	"out of bounds memory access":   TrapOutOfBounds,
	"stack overflow":                TrapStack,
	"invalid table access":          TrapTable,
	"indirect call type mismatch":   TrapSignature,
	"integer divide by zero":        TrapDivide,
	"integer overflow":              TrapOverflow,
	"invalid conversion to integer": TrapConversion,
	"uncaught exception":            TrapException,
	"null reference":                TrapNull,
	"unaligned atomic":              TrapAtomic,
	"expected shared memory":        TrapAtomic,
	"too many waiters":              TrapAtomic,
	errReferences.Error():           TrapReferences,
}

// A TrapError is the end of a guest by a mistake of its own, or by one of a
// host function that it called (Kind is TrapHost).
type TrapError struct {
	Kind TrapKind
	// Stack has the names of the guest's functions, the innermost first, as
	// far as the module's name section tells them: at most 30.
	Stack []string
	// Cause is the host function's error if Kind is TrapHost, otherwise the
	// runtime's.
	Cause error
	// GoStack is the stack of a host function that panicked by a Go runtime
	// error, which is a mistake in it.
	GoStack string
}

func (e *TrapError) Error() string {
	var b strings.Builder
	b.WriteString("guest trapped: " + e.Kind.String())
	if e.Kind == TrapUnknown || e.Kind == TrapHost {
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	const shown = 8
	for i, name := range e.Stack {
		if i == shown {
			fmt.Fprintf(&b, "\n\t... and %d more", len(e.Stack)-shown)
			break
		}
		b.WriteString("\n\tin " + name)
	}
	return b.String()
}

func (e *TrapError) Unwrap() error { return e.Cause }

// newTrapError makes a TrapError of an error of wazero's.
func newTrapError(module *compiled, err error) *TrapError {
	e := &TrapError{Kind: TrapHost, Cause: errors.Unwrap(err)}
	if e.Cause == nil {
		// Not wrapped: a stack overflow, or a panic with something that is
		// no error.
		first, _, _ := strings.Cut(err.Error(), " (recovered by wazero)")
		e.Cause = errors.New(first)
		if kind, ok := trapKinds[err.Error()]; ok {
			e.Kind = kind
		}
	} else if kind, ok := trapKinds[e.Cause.Error()]; ok &&
		(strings.HasPrefix(err.Error(), "wasm error: ") || e.Cause == errStacks || e.Cause == errReferences) {
		e.Kind = kind
	}
	text := err.Error()
	if _, isRuntime := e.Cause.(runtime.Error); isRuntime {
		text, e.GoStack, _ = strings.Cut(text, "\n\nGo runtime stack trace:\n")
	}
	_, trace, _ := strings.Cut(text, "\nwasm stack trace:\n\t")
	e.Stack = guestStack(module, trace)
	return e
}

// signature matches the types after a function's name.
var signature = regexp.MustCompile(`\([a-z0-9,]*\)(?: [a-z0-9]+| \([a-z0-9,]+\))?$`)

// guestStack has the functions of a stack as the module's author knows them:
// without the module's name, with their own indices, without those that
// rewriting added.
func guestStack(module *compiled, trace string) []string {
	own := module.code.Name() + "."
	var names []string
	for line := range strings.SplitSeq(trace, "\n\t") {
		if line == "" || strings.HasPrefix(line, "\t") || strings.HasPrefix(line, "...") {
			continue
		}
		name := signature.ReplaceAllString(line, "")
		if name == wasm.CheckModule+"."+wasm.CheckName && len(names) == 0 {
			continue // the check that ended it
		}
		if after, ok := strings.CutPrefix(name, own); ok {
			name = after
			if number, ok := strings.CutPrefix(name, "$"); ok {
				if index, err := strconv.ParseUint(number, 10, 32); err == nil && uint32(index) > module.imported {
					if index--; uint32(index) >= module.imported+module.defined {
						continue
					}
					name = fmt.Sprint("$", index)
				}
			}
		}
		names = append(names, printable(name))
	}
	return names
}

// printable is a name of a module as an error can show it: the module's author
// may have put in lines, or what steers a terminal, or a megabyte.
func printable(name string) string {
	const longest = 200
	if len(name) > longest {
		name = name[:longest] + "..."
	}
	if quoted := strconv.Quote(name); strings.ContainsRune(quoted, '\\') {
		return quoted
	}
	return name
}
