package engine

import (
	"errors"
	"fmt"
	"strings"
)

// Sentinel errors, for errors.Is. The errors returned carry details.
var (
	// ErrClosed is returned by what was closed.
	ErrClosed = errors.New("closed")
	// ErrBusy is returned by a second call into an instance while one is
	// under way that it does not come from.
	ErrBusy = errors.New("instance is in a call")
	// ErrEnded is returned by calls into an instance after its guest ended:
	// by exiting, by a trap, by a limit. The memory of such a guest cannot
	// be trusted.
	ErrEnded = errors.New("guest has ended")
	// ErrNoFunction says that a module does not export a function of that
	// name.
	ErrNoFunction = errors.New("no such function")
	// ErrModule says that a module cannot be run here: it is malformed, uses
	// what is not supported, or imports what is not there.
	ErrModule = errors.New("cannot run this module")
	// ErrFreeze says that an instance cannot become a template.
	ErrFreeze = errors.New("cannot freeze this instance")
	// ErrInUse is returned by Engine.Close while instances are open.
	ErrInUse = errors.New("in use")
)

// A ModuleError says why a module cannot be run, and what to do (Is
// ErrModule).
type ModuleError struct {
	Module string // the name it was compiled under, may be empty
	Reason string
	Hint   string // what to do, may be empty
	Cause  error  // what found it, may be nil
}

func (e *ModuleError) Error() string {
	var b strings.Builder
	b.WriteString(ErrModule.Error())
	if e.Module != "" {
		fmt.Fprintf(&b, " (%s)", e.Module)
	}
	b.WriteString(": " + e.Reason)
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

func (e *ModuleError) Is(target error) bool { return target == ErrModule }

func (e *ModuleError) Unwrap() error { return e.Cause }

// A FreezeError says what an instance holds that a template cannot carry (Is
// ErrFreeze).
type FreezeError struct{ Reason string }

func (e *FreezeError) Error() string { return ErrFreeze.Error() + ": " + e.Reason }

func (e *FreezeError) Is(target error) bool { return target == ErrFreeze }

// An endedError is what calls return after the guest ended.
type endedError struct{ how error }

func (e *endedError) Error() string { return ErrEnded.Error() + ": " + e.how.Error() }

func (e *endedError) Unwrap() []error { return []error{ErrEnded, e.how} }

// A starvedError is the end of a guest that had been refused memory before.
type starvedError struct {
	end    error
	wanted uint64
	limit  *LimitError
}

func (e *starvedError) Error() string {
	return fmt.Sprintf("%v; before that it was refused a memory of %d MiB: the limit \"memory\" is %d MiB",
		e.end, (e.wanted+1<<20-1)>>20, e.limit.Max>>20)
}

func (e *starvedError) Unwrap() []error { return []error{e.end, e.limit} }
