package wasi

import (
	"context"
	"io"
	"io/fs"
	"os"

	"github.com/mattn/go-isatty"
)

// stream is one of the three standard streams. The host's side of it is never
// closed by the guest.
type stream struct {
	in   *Input    // to read from, nil if the stream is for writing or empty
	out  io.Writer // to write to, nil to swallow
	file *os.File  // what in or out is, if it is one
	typ  FileType
	// regular: a file of the host with a position that is shared with the
	// host, which may be read and written without anything to wait for.
	regular bool
}

// isTerminal tells whether a guest may take v for a terminal.
func isTerminal(v any) bool {
	switch v := v.(type) {
	case interface{ IsTerminal() bool }:
		return v.IsTerminal()
	case *os.File:
		conn, err := v.SyscallConn()
		if err != nil {
			return false
		}
		is := false
		conn.Control(func(fd uintptr) { is = isatty.IsTerminal(fd) || isatty.IsCygwinTerminal(fd) })
		return is
	}
	return false
}

func newStream(v any) (*stream, uint64) {
	st := &stream{typ: TypeUnknown}
	rights := streamRights
	if isTerminal(v) {
		st.typ = TypeCharacterDevice
	}
	if f, ok := v.(*os.File); ok {
		st.file = f
		if info, err := f.Stat(); err == nil && st.typ == TypeUnknown {
			st.typ = typeOf(info.Mode())
			st.regular = info.Mode().IsRegular()
			if st.regular || st.typ == TypeCharacterDevice {
				// wasi-libc takes a character device that seeks for no terminal.
				rights |= rightSeek | rightTell
			}
			if info.Mode()&fs.ModeSocket != 0 {
				st.typ = TypeUnknown // no sock_ function works on it
			}
		}
	}
	return st, rights
}

// emptyStream is what is not granted: it behaves as /dev/null.
func emptyStream() (*stream, uint64) {
	return &stream{typ: TypeCharacterDevice}, streamRights | rightSeek | rightTell
}

func (s *System) stdin() *descriptor {
	var st *stream
	var rights uint64
	switch r := s.c.Stdin.(type) {
	case nil:
		st, rights = emptyStream()
	case *Input:
		st, rights = newStream(r.r)
		st.in = r
	default:
		st, rights = newStream(r)
		if !st.regular {
			s.input = NewInput(r)
			st.in = s.input
		}
	}
	return &descriptor{stream: st, rights: rights | rightRead}
}

func (s *System) stdout(w io.Writer) *descriptor {
	var st *stream
	var rights uint64
	if w == nil {
		st, rights = emptyStream()
	} else {
		st, rights = newStream(w)
		st.out = w
	}
	return &descriptor{stream: st, rights: rights | rightWrite}
}

// stat makes up what a stream has none of.
func (st *stream) stat() (Stat, error) {
	if st.file == nil {
		return Stat{Type: st.typ, Nlink: 1}, nil
	}
	info, err := st.file.Stat()
	if err != nil {
		return Stat{}, err
	}
	s := statOf(info)
	s.Type = st.typ
	return s, nil
}

func (st *stream) read(ctx context.Context, p []byte, nonblock bool) (int, Errno) {
	switch {
	case st.in != nil:
		return st.in.readContext(ctx, p, nonblock)
	case st.file != nil && len(p) > 0:
		n, err := st.file.Read(p)
		if err == io.EOF {
			err = nil
		}
		return n, errnoOf(err)
	}
	return 0, Success
}

// write writes p, or a part of it if the stream is full and nonblock is set.
// A writer that is no *os.File is waited for however long it takes.
func (st *stream) write(ctx context.Context, p []byte, nonblock bool) (int, Errno) {
	if st.out == nil {
		return len(p), Success
	}
	if st.file == nil || st.regular {
		n, err := st.out.Write(p)
		return n, errnoOf(err)
	}
	done := 0
	for done < len(p) {
		if !writable(st.file, 0) {
			if nonblock {
				break
			}
			Wait(ctx, func() {
				for !writable(st.file, pollSlice) {
					stopped(ctx)
				}
			})
		}
		// As much as a pipe that can be written to takes without blocking.
		n, err := st.out.Write(p[done:min(len(p), done+atomicWrite)])
		done += n
		if err != nil {
			if done > 0 {
				break
			}
			return 0, errnoOf(err)
		}
	}
	if done == 0 && len(p) > 0 {
		return 0, EAGAIN
	}
	return done, Success
}

// seek moves the position of a stream that is a regular file of the host.
func (st *stream) seek(offset int64, whence int) (int64, Errno) {
	switch {
	case st.regular:
		n, err := st.file.Seek(offset, whence)
		return n, errnoOf(err)
	case st.file == nil && st.in == nil && st.out == nil:
		return 0, Success
	}
	return 0, ESPIPE
}
