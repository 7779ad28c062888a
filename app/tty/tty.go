// Package tty tells guests about the terminal that their standard streams
// are, and lets them read its keys one at a time: WASI has neither. Guests
// import the module hako_tty_v1, as guest/c/hako_tty.h declares it.
//
// [Instantiate] registers the imports once for a wazero runtime. Each instance
// has a [State] in the context that it is called with ([NewContext]); closing
// it puts the terminal back as the guest found it.
package tty

import (
	"context"
	"os"
	"sync"

	"github.com/mattn/go-isatty"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"golang.org/x/term"
)

// Module is the name that guests import from.
const Module = "hako_tty_v1"

// What the imports return: numbers of errors as WASI has them.
const (
	codeFault = 21 // the address is not in the guest's memory
	codeIO    = 29 // the terminal has gone
	codeNoSys = 52 // not on this system
	codeNoTTY = 59 // not a terminal, or not the guest's
)

// A State is the terminals that one guest has. It is safe for concurrent use;
// nil is none.
type State struct {
	files [3]*os.File // those of the standard streams that are terminals

	mu      sync.Mutex
	restore [3]func() error // of streams whose keys come one at a time
	closed  bool
}

// New returns the state of a guest with these standard streams, in their
// order. Those that are no terminals are left out.
func New(streams ...any) *State {
	s := &State{}
	for i, stream := range streams[:min(len(streams), len(s.files))] {
		if f, ok := stream.(*os.File); ok && f != nil && isatty.IsTerminal(f.Fd()) {
			s.files[i] = f
		}
	}
	return s
}

// Close puts terminals back as they were.
func (s *State) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for i := range s.restore {
		s.cook(i)
	}
	return nil // a terminal that has gone needs nothing
}

// cook undoes raw. The caller holds mu.
func (s *State) cook(i int) error {
	restore := s.restore[i]
	if restore == nil {
		return nil
	}
	s.restore[i] = nil
	return restore()
}

func (s *State) file(fd uint32) *os.File {
	if s == nil || fd >= uint32(len(s.files)) {
		return nil
	}
	return s.files[fd]
}

// size returns columns and rows.
func (s *State) size(fd uint32) (columns, rows int, code uint64) {
	f := s.file(fd)
	if f == nil {
		return 0, 0, codeNoTTY
	}
	columns, rows, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0, 0, codeIO
	}
	return columns, rows, 0
}

// raw turns reading by the key on or off.
func (s *State) raw(fd uint32, on bool) (code uint64) {
	f := s.file(fd)
	if f == nil {
		return codeNoTTY
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	switch {
	case s.closed:
		return codeIO
	case !on:
		err = s.cook(int(fd))
	case s.restore[fd] == nil:
		s.restore[fd], err = byKey(int(f.Fd()))
	}
	switch {
	case err == errUnsupported:
		return codeNoSys
	case err != nil:
		return codeIO
	}
	return 0
}

type stateKey struct{}

// NewContext returns a context in which guests find s.
func NewContext(ctx context.Context, s *State) context.Context {
	return context.WithValue(ctx, stateKey{}, s)
}

// Instantiate registers the imports in a runtime.
func Instantiate(ctx context.Context, r wazero.Runtime) error {
	i32 := []api.ValueType{api.ValueTypeI32}
	two := append(i32, api.ValueTypeI32)
	_, err := r.NewHostModuleBuilder(Module).
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, m api.Module, stack []uint64) {
		s, _ := ctx.Value(stateKey{}).(*State)
		columns, rows, code := s.size(uint32(stack[0]))
		at := uint32(stack[1])
		if code == 0 && !m.Memory().WriteUint64Le(at, uint64(uint32(columns))|uint64(uint32(rows))<<32) {
			code = codeFault
		}
		stack[0] = code
	}), two, i32).Export("size").
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, _ api.Module, stack []uint64) {
		s, _ := ctx.Value(stateKey{}).(*State)
		stack[0] = s.raw(uint32(stack[0]), uint32(stack[1]) != 0)
	}), two, i32).Export("raw").
		Instantiate(ctx)
	return err
}
