package wasi

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"time"
)

// An Input reads ahead from a stream that may block, so that a guest can wait
// for it together with other things and be stopped meanwhile. It reads only
// when a guest asks, at most 64 KiB more than was asked for. Systems that
// share an Input take turns: each byte goes to one of them.
//
// While a guest waits, a goroutine of the Input is in Read. It ends when Read
// returns; Close makes it return where the stream has deadlines, as pipes and
// sockets of package os and net do.
type Input struct {
	r      io.Reader
	inline bool // Read never blocks: no goroutine

	mu      sync.Mutex
	buf     []byte // read and not yet taken: room[from:]
	room    []byte
	err     error // what Read ended with
	reading bool
	closed  bool
	wakers  map[waker]struct{}
}

// A waker is told that something it waits for may have happened.
type waker chan struct{}

func newWaker() waker { return make(waker, 1) }

func (w waker) wake() {
	select {
	case w <- struct{}{}:
	default:
	}
}

// NewInput returns an Input that reads from r. Nothing else should read from r.
func NewInput(r io.Reader) *Input {
	in := &Input{r: r}
	switch r.(type) {
	case *bytes.Reader, *bytes.Buffer, *strings.Reader:
		in.inline = true
	}
	return in
}

// Close makes every read give the end of the stream. It does not close what
// the Input reads from.
func (in *Input) Close() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return nil
	}
	in.closed = true
	in.err, in.buf = io.EOF, nil
	if d, ok := in.r.(interface{ SetReadDeadline(time.Time) error }); ok && in.reading {
		d.SetReadDeadline(time.Unix(1, 0)) // fill puts it back
	}
	in.wakeAll()
	return nil
}

func (in *Input) wakeAll() {
	for w := range in.wakers {
		w.wake()
	}
}

// ready tells how many bytes can be taken, or that the end is reached. If
// neither, it sees to it that something is being read and that w is woken.
func (in *Input) ready(w waker) (n int, end bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.buf) == 0 && in.err == nil && !in.reading {
		if in.inline {
			in.fillLocked(in.pull())
		} else {
			in.reading = true
			go in.fill()
		}
	}
	if len(in.buf) > 0 || in.err != nil {
		return len(in.buf), len(in.buf) == 0
	}
	if w != nil {
		if in.wakers == nil {
			in.wakers = map[waker]struct{}{}
		}
		in.wakers[w] = struct{}{}
	}
	return 0, false
}

// forget undoes what ready did for w.
func (in *Input) forget(w waker) {
	in.mu.Lock()
	delete(in.wakers, w)
	in.mu.Unlock()
}

func (in *Input) pull() (int, error) {
	if in.room == nil {
		in.room = make([]byte, 64<<10)
	}
	return in.r.Read(in.room)
}

func (in *Input) fill() {
	n, err := in.pull()
	in.mu.Lock()
	defer in.mu.Unlock()
	in.reading = false
	if in.closed {
		if d, ok := in.r.(interface{ SetReadDeadline(time.Time) error }); ok {
			d.SetReadDeadline(time.Time{})
		}
		return
	}
	in.fillLocked(n, err)
	in.wakeAll()
}

func (in *Input) fillLocked(n int, err error) {
	in.buf = in.room[:n]
	in.err = err
	if n == 0 && err == nil && in.inline {
		in.err = io.EOF
	}
}

// take moves what is there to p.
func (in *Input) take(p []byte) (n int, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.buf) > 0 {
		n = copy(p, in.buf)
		in.buf = in.buf[n:]
		return n, nil
	}
	return 0, in.err
}

// Read makes an Input an io.Reader. It cannot be given up; guests read
// otherwise.
func (in *Input) Read(p []byte) (int, error) {
	n, errno := in.readContext(context.Background(), p, false)
	switch {
	case errno != Success:
		return n, errno
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}

// readContext waits for something to read, until ctx is done.
func (in *Input) readContext(ctx context.Context, p []byte, nonblock bool) (int, Errno) {
	if len(p) == 0 {
		return 0, Success
	}
	var w waker
	for {
		n, end := in.ready(w)
		if n > 0 || end {
			n, err := in.take(p)
			switch {
			case n > 0:
				return n, Success
			case err == io.EOF:
				return 0, Success
			case err != nil:
				return 0, errnoOf(err)
			}
			continue // another System was quicker
		}
		if nonblock {
			return 0, EAGAIN
		}
		if w == nil {
			w = newWaker()
			defer in.forget(w)
			continue // ask again, now to be woken
		}
		Wait(ctx, func() {
			select {
			case <-w:
			case <-ctx.Done():
				panic(context.Cause(ctx))
			}
		})
	}
}
