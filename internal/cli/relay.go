package cli

import (
	"fmt"
	"io"
	"os"
	"sync"

	hakoapp "github.com/hako-run/hako/app"
)

// A plainReader hides that a stream is a terminal.
type plainReader struct{ io.Reader }

// A relay makes files of streams, for another process to use: a stream that
// is a file as it is, any other through a pipe.
type relay struct {
	in, out, err *os.File
	ours         []*os.File // the other ends' counterparts that are to be closed
	copies       sync.WaitGroup
}

func newRelay(s hakoapp.Streams) (*relay, error) {
	r := &relay{}
	fail := func(err error) (*relay, error) {
		r.close()
		return nil, fmt.Errorf("make a pipe for a stream: %w", err)
	}
	var err error
	if r.out, err = r.output(s.Stdout); err != nil {
		return fail(err)
	}
	if r.err, err = r.output(s.Stderr); err != nil {
		return fail(err)
	}
	if s.Stdin == nil {
		return r, nil
	}
	if f, ok := s.Stdin.(*os.File); ok {
		r.in = f
		return r, nil
	}
	read, write, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	r.in = read
	r.ours = append(r.ours, read)
	go func() { // ends with the stream, or when the guest reads no more
		_, _ = io.Copy(write, s.Stdin)
		write.Close()
	}()
	return r, nil
}

func (r *relay) output(w io.Writer) (*os.File, error) {
	if f, ok := w.(*os.File); ok {
		return f, nil
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	r.ours = append(r.ours, write)
	r.copies.Add(1)
	go func() {
		defer r.copies.Done()
		_, _ = io.Copy(w, read)
		read.Close()
	}()
	return write, nil
}

// close waits until all that the other process wrote has been passed on.
func (r *relay) close() {
	for _, f := range r.ours {
		f.Close()
	}
	r.copies.Wait()
}
