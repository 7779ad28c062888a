package pagestore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// scratchMemory is how much of a Scratch stays in memory, in bytes.
const scratchMemory = 1 << 20

// A Scratch is a temporary file: in memory at first, then in an unnamed file
// in the store's directory. It belongs to one goroutine at a time.
type Scratch struct {
	dir  string
	mem  []byte
	file *os.File
	size int64
	done func()
	once sync.Once
}

// NewScratch returns an empty temporary file. It must be closed.
func (s *Store) NewScratch() *Scratch { return &Scratch{dir: s.tmp} }

// Size returns the file's length in bytes.
func (f *Scratch) Size() int64 { return f.size }

// ReadAt reads like io.ReaderAt: io.EOF if fewer bytes than asked for are
// there.
func (f *Scratch) ReadAt(p []byte, off int64) (int, error) {
	if off >= f.size {
		return 0, io.EOF
	}
	n := len(p)
	var err error
	if int64(n) > f.size-off {
		n, err = int(f.size-off), io.EOF
	}
	if f.file == nil {
		copy(p[:n], f.mem[off:])
		return n, err
	}
	m, rerr := f.file.ReadAt(p[:n], off)
	if rerr != nil && rerr != io.EOF {
		return m, fmt.Errorf("read temporary file: %w", rerr)
	}
	clear(p[m:n]) // a hole at the end of the file
	return n, err
}

// WriteAt writes p at off; a gap before off reads as zeros.
func (f *Scratch) WriteAt(p []byte, off int64) (int, error) {
	end := off + int64(len(p))
	if f.file == nil && end > scratchMemory {
		if err := f.spill(); err != nil {
			return 0, err
		}
	}
	if f.file == nil {
		if end > int64(len(f.mem)) {
			if end > int64(cap(f.mem)) {
				grown := make([]byte, end, min(max(2*end, 64<<10), scratchMemory))
				copy(grown, f.mem)
				f.mem = grown
			} else {
				old := len(f.mem)
				f.mem = f.mem[:end]
				clear(f.mem[old:])
			}
		}
		copy(f.mem[off:], p)
	} else if _, err := f.file.WriteAt(p, off); err != nil {
		return 0, fmt.Errorf("write temporary file: %w", wrapDiskFull(err))
	}
	f.size = max(f.size, end)
	return len(p), nil
}

func (f *Scratch) spill() error {
	file, err := os.CreateTemp(f.dir, "scratch-*")
	if err != nil {
		return fmt.Errorf("create temporary file: %w", wrapDiskFull(err))
	}
	unlinked := os.Remove(file.Name()) == nil // Windows cannot: then Close does it
	if !unlinked {
		name := file.Name()
		f.done = func() { os.Remove(name) }
	}
	if _, err := file.WriteAt(f.mem, 0); err != nil {
		file.Close()
		if f.done != nil {
			f.done()
		}
		return fmt.Errorf("write temporary file: %w", wrapDiskFull(err))
	}
	f.file, f.mem = file, nil
	return nil
}

// Truncate sets the length; growing adds zeros.
func (f *Scratch) Truncate(n int64) error {
	switch {
	case f.file != nil:
		if err := f.file.Truncate(n); err != nil {
			return fmt.Errorf("truncate temporary file: %w", wrapDiskFull(err))
		}
	case n <= int64(len(f.mem)):
		f.mem = f.mem[:n]
	case n > scratchMemory:
		if err := f.spill(); err != nil {
			return err
		}
		return f.Truncate(n)
	default:
		grown := make([]byte, n)
		copy(grown, f.mem)
		f.mem = grown
	}
	f.size = n
	return nil
}

// Close gives the file's space back.
func (f *Scratch) Close() error {
	var err error
	f.once.Do(func() {
		f.mem, f.size = nil, 0
		if f.file != nil {
			err = f.file.Close()
			f.file = nil
			if f.done != nil {
				f.done()
			}
		}
	})
	return err
}

func wrapDiskFull(err error) error {
	if err != nil && isDiskFull(err) && !errors.Is(err, ErrDiskFull) {
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return err
}
