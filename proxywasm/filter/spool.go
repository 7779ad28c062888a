package filter

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/hako-run/hako/proxywasm"
)

// A spool keeps a part of a body that a filter holds in a file without a name,
// to be read once it has been written.
type spool struct {
	file        *os.File
	name        string // of a file that must be removed when it is closed
	size, limit int64
	read        int64
	err         error // why there is no file
	all         *Spools
}

// Spools counts what bodies take in files. Its zero value has no limit; it is
// safe for concurrent use.
type Spools struct{ used, limit atomic.Int64 }

// SetLimit sets how many bytes all bodies together may take, 0 for no limit.
// What is there already stays.
func (a *Spools) SetLimit(bytes int64) { a.limit.Store(bytes) }

// Used is how many bytes they take.
func (a *Spools) Used() int64 { return a.used.Load() }

func (a *Spools) take(n int64) error {
	if a == nil {
		return nil
	}
	if used, limit := a.used.Add(n), a.limit.Load(); limit > 0 && used > limit && n > 0 {
		a.used.Add(-n)
		return fmt.Errorf("bodies that filters hold take %d bytes of the %d that all together may (server.limits.spool)", used-n, limit)
	}
	return nil
}

// Spool implements proxywasm.Spooler.
func (s *step) Spool(t proxywasm.StreamType) proxywasm.Spool {
	c := s.x.chain
	limit := c.filters[s.index].Spool
	if limit <= 0 || t > proxywasm.Response {
		return nil
	}
	f, err := os.CreateTemp(c.options.SpoolDir, "hako-body-*")
	p := &spool{file: f, limit: limit, err: err, all: c.options.Spools}
	if err == nil && os.Remove(f.Name()) != nil {
		p.name = f.Name()
	}
	s.spools[t] = p
	return p
}

// takeSpool returns what is kept of a direction, nil if nothing is.
func (s *step) takeSpool(t proxywasm.StreamType) *spool {
	p := s.spools[t]
	s.spools[t] = nil
	if p != nil && p.size == 0 {
		p.close()
		return nil
	}
	return p
}

// dropSpools gives back what nobody has taken.
func (s *step) dropSpools() {
	for _, p := range s.spools {
		p.close()
	}
	for _, p := range s.stash {
		p.from.close()
	}
}

// Write implements io.Writer.
func (p *spool) Write(b []byte) (int, error) {
	switch {
	case p.err != nil:
		return 0, p.err
	case p.size+int64(len(b)) > p.limit:
		return 0, fmt.Errorf("%d bytes: %w", p.limit, proxywasm.ErrSpoolFull)
	}
	if err := p.all.take(int64(len(b))); err != nil {
		return 0, err
	}
	n, err := p.file.WriteAt(b, p.size)
	_ = p.all.take(int64(n - len(b)))
	p.size += int64(n)
	return n, err
}

// ReadAt implements io.ReaderAt.
func (p *spool) ReadAt(b []byte, at int64) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	return p.file.ReadAt(b, at)
}

// next returns the next part, in memory of its own, and closes the file behind
// the last. It returns io.EOF then.
func (p *spool) next() ([]byte, error) {
	left := p.size - p.read
	if left == 0 {
		p.close()
		return nil, io.EOF
	}
	b := make([]byte, min(left, chunk))
	n, err := p.file.ReadAt(b, p.read)
	p.read += int64(n)
	if err != nil && (!errors.Is(err, io.EOF) || n < len(b)) {
		return nil, fmt.Errorf("read a body that a filter held: %w", err)
	}
	return b, nil
}

func (p *spool) close() {
	if p == nil || p.file == nil {
		return
	}
	_ = p.file.Close()
	_ = p.all.take(-p.size)
	if p.name != "" {
		_ = os.Remove(p.name)
	}
	p.file = nil
}
