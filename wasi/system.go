package wasi

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Config is what one guest is granted. The zero value grants nothing: the
// streams are empty and swallow what is written.
type Config struct {
	Args []string
	Env  []string // NAME=VALUE, in the order the guest gets them

	// Stdin may be an *Input to share it between Systems; else one is made
	// for what can block. A stream is a terminal to the guest if it is an
	// *os.File that is one, or has a method IsTerminal() bool that says so.
	Stdin          io.Reader
	Stdout, Stderr io.Writer

	// Grants are the directories and listeners. The System does not close
	// them but keeps them open while it is.
	Grants *Grants

	// Tmp are directories in memory that this System alone sees.
	Tmp []Tmp

	// Devices grants /dev with null, zero, full, random and urandom.
	Devices bool

	// Network are the addresses that the guest may connect to; see [ParseNetwork].
	Network *Network

	Clock  Clock     // nil: the host's
	Random io.Reader // nil: crypto/rand
	// CPUTime is what the clocks of process and thread tell, given the call's
	// context. Nil: the time since the System was made.
	CPUTime func(ctx context.Context) time.Duration

	OpenFiles int   // descriptors at a time, grants included; 0: 1024. EMFILE beyond.
	Output    int64 // bytes to Stdout and Stderr; 0: no limit. A LimitError beyond.
}

// Tmp is a directory in memory.
type Tmp struct {
	Guest string
	Size  int64 // bytes; ENOSPC beyond
}

const defaultOpenFiles = 1024

// A System is what one guest sees of the world, and its open descriptors.
type System struct {
	c       Config
	clock   Clock
	random  io.Reader
	table   []*descriptor // by number; nil where none is open
	output  int64         // bytes written to the streams
	input   *Input        // made for this System
	born    int64
	closed  bool
	scratch []byte
}

// NewSystem makes a System. Descriptors 0, 1 and 2 are the streams, and those
// from 3 on the granted directories in their order, then listeners that are
// handed over open.
func NewSystem(c Config) (*System, error) {
	for _, s := range c.Args {
		if strings.IndexByte(s, 0) >= 0 {
			return nil, fmt.Errorf("argument %q has a zero byte in it", s)
		}
	}
	for _, s := range c.Env {
		if strings.IndexByte(s, 0) >= 0 || strings.IndexByte(s, '=') < 1 {
			return nil, fmt.Errorf("variable %q is not of the form NAME=VALUE", s)
		}
	}
	s := &System{c: c, clock: c.Clock, random: c.Random}
	if s.clock == nil {
		s.clock = realClock{}
	}
	if s.random == nil {
		s.random = rand.Reader
	}
	if c.OpenFiles <= 0 {
		s.c.OpenFiles = defaultOpenFiles
	}
	s.born = s.clock.Monotonic()
	if c.Grants != nil {
		if err := c.Grants.use(); err != nil {
			return nil, fmt.Errorf("make a System: %w", err)
		}
	}
	if err := s.open(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// open fills the table.
func (s *System) open() error {
	s.table = make([]*descriptor, 0, 8)
	s.table = append(s.table, s.stdin(), s.stdout(s.c.Stdout), s.stdout(s.c.Stderr))
	if g := s.c.Grants; g != nil {
		for i := range g.mounts {
			s.preopen(g.mounts[i].Guest, g.mounts[i].Dir, true)
		}
	}
	for _, t := range s.c.Tmp {
		s.preopen(t.Guest, NewMemoryFS(t.Size).Root(), false)
	}
	if s.c.Devices {
		s.preopen("/dev", newDevDir(s), false)
	}
	if g := s.c.Grants; g != nil {
		for _, l := range g.listeners {
			if !l.Preopened {
				continue
			}
			d, err := l.descriptor()
			if err != nil {
				return err
			}
			s.table = append(s.table, d)
		}
	}
	if len(s.table) > s.c.OpenFiles {
		return fmt.Errorf("a guest with %d grants and streams cannot be limited to %d open files", len(s.table), s.c.OpenFiles)
	}
	return nil
}

func (s *System) preopen(guest string, dir Dir, shared bool) {
	s.table = append(s.table, &descriptor{
		dir: dir, shared: shared, preopen: guest,
		rights: dirRights, inheriting: dirRights | fileRights,
	})
}

// Close closes all that the guest has open. It must not be called during a
// call of the guest.
func (s *System) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	var errs []error
	for _, d := range s.table {
		if d != nil {
			errs = append(errs, d.close())
		}
	}
	s.table = nil
	if s.input != nil {
		errs = append(errs, s.input.Close())
	}
	if s.c.Grants != nil {
		errs = append(errs, s.c.Grants.release())
	}
	return errors.Join(errs...)
}

// Output is how many bytes the guest has written to its standard streams. It
// may be called during a call of the guest by the same goroutine only.
func (s *System) Output() int64 { return s.output }

// OpenFiles is how many descriptors are open, grants and streams included.
func (s *System) OpenFiles() int {
	n := 0
	for _, d := range s.table {
		if d != nil {
			n++
		}
	}
	return n
}

type contextKey struct{}

// ContextKey is what a System lies under in the context of [NewContext], for
// contexts that have a quicker way to a value than context.WithValue's.
func ContextKey() any { return contextKey{} }

// NewContext returns a context for calls of the guest that s is for.
func NewContext(ctx context.Context, s *System) context.Context {
	return context.WithValue(ctx, contextKey{}, s)
}

// FromContext returns the System of a context, nil if there is none.
func FromContext(ctx context.Context) *System {
	s, _ := ctx.Value(contextKey{}).(*System)
	return s
}

// ErrNoSystem ends a guest that was called without a System.
var ErrNoSystem = errors.New("wasi: the guest was called without a System: call it with the context of wasi.NewContext")

// stopped panics if ctx is done, which ends the guest.
func stopped(ctx context.Context) {
	if ctx.Err() != nil {
		panic(context.Cause(ctx))
	}
}
