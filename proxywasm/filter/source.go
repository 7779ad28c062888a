package filter

import (
	"io"
	"net/http"
	"time"

	"github.com/hako-run/hako/proxywasm"
)

// chunk is how much of a body is read at once.
const chunk = 32 << 10

// A source reads the request's body from the client. While a filter holds
// some of it, that happens in a goroutine of the source's own, so that the
// filter may let go of what it holds before more comes.
type source struct {
	x        *exchange
	holders  int // steps that hold a part
	buffer   []byte
	reading  chan read // of a read under way
	trailers *proxywasm.Headers
	err      error
	over     bool
}

type read struct {
	data []byte
	err  error
}

// next returns the next part, or errWake.
func (s *source) next() (part, error) {
	if s.over {
		return part{}, io.ErrUnexpectedEOF // somebody asks behind the end
	}
	var r read
	switch {
	case s.holders == 0 && s.reading == nil:
		if s.buffer == nil {
			s.buffer = make([]byte, chunk)
		}
		r.data, r.err = s.read(s.buffer)
	default:
		s.start()
		select {
		case r = <-s.reading:
			s.reading = nil
		case <-s.x.wake:
			return part{}, errWake
		case <-s.x.ctx.Done():
			return part{}, errEnded
		}
	}
	s.x.count(func(i *proxywasm.Info) {
		i.RequestSize += int64(len(r.data))
		i.RequestTotalSize += int64(len(r.data))
	})
	switch {
	case r.err == nil:
		return part{data: r.data}, nil
	case r.err != io.EOF:
		return part{}, r.err
	}
	s.over = true
	if len(s.x.r.Trailer) > 0 {
		s.trailers = &proxywasm.Headers{}
		addFields(s.trailers, s.x.r.Trailer)
		s.x.count(func(i *proxywasm.Info) { i.RequestTotalSize += s.trailers.Size() })
		if s.trailers.Len() > 0 {
			return part{trailers: true, end: true}, nil
		}
	}
	return part{end: true}, nil
}

// start reads a chunk in another goroutine, if that is not under way.
func (s *source) start() {
	if s.reading != nil {
		return
	}
	s.reading = make(chan read, 1)
	go func(to chan<- read) {
		data, err := s.read(make([]byte, chunk))
		to <- read{data, err}
	}(s.reading)
}

// ahead reads a chunk while a filter holds the headers: net/http sees that a
// client has gone only when its body has been read. Who waits to be asked for
// the body is not asked.
func (s *source) ahead() {
	if s.x.incoming && s.x.r.Header["Expect"] == nil {
		s.start()
	}
}

// read reads something or fails, not both.
func (s *source) read(into []byte) ([]byte, error) {
	if s.err != nil {
		return nil, s.err
	}
	for {
		n, err := s.x.r.Body.Read(into)
		s.err = err
		if n > 0 {
			return into[:n], nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// stop ends a read that nobody waits for any more.
func (s *source) stop() {
	if s.reading == nil {
		return
	}
	defer func() { s.reading = nil }()
	control := http.NewResponseController(s.x.w)
	for {
		select {
		case <-s.reading:
			return
		case <-time.After(time.Millisecond):
			// Again and again, since the reader may set a deadline of its own.
			_ = control.SetReadDeadline(time.Now())
		}
	}
}
