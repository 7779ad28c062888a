package filter

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/hako-run/hako/proxywasm"
)

// A part is a piece of a body, or its trailers, which are the last.
type part struct {
	data     []byte
	from     *spool // where data is, instead
	end      bool   // nothing follows
	trailers bool
}

// errWake says that a filter that held something goes on.
var errWake = errors.New("a filter goes on")

// requestHeads shows the request's headers to the filters. False means that
// the request goes no further.
func (x *exchange) requestHeads() bool {
	first := &x.heads[0]
	first.Grow(len(x.r.Header) + 8)
	first.Add(":method", x.r.Method)
	first.Add(":path", pathOf(x.r))
	first.Add(":authority", x.r.Host)
	first.Add(":scheme", scheme(x.r))
	addFields(first, x.r.Header)
	x.count(func(i *proxywasm.Info) { i.RequestTotalSize += first.Size() })
	end := !x.incoming
	for i := range x.steps {
		s := &x.steps[i]
		h := first
		if i > 0 {
			h = x.steps[i-1].maps[proxywasm.RequestHeaders].Clone()
			if end = !x.incoming; x.incoming {
				end = x.steps[i-1].ended()
			}
		}
		s.setMap(proxywasm.RequestHeaders, h)
		s.base, s.started = h.Changes(), true
		switch x.call(s, func() proxywasm.Action { return s.stream.RequestHeaders(end) }) {
		case proxywasm.Continue:
		case proxywasm.PauseHeaders:
			if end {
				if !x.wait(s, proxywasm.Request) {
					return false
				}
				break
			}
			// The body is shown until the filter lets the headers go.
			s.hold()
			p, err := x.pull(i)
			for errors.Is(err, errWake) {
				if !s.stream.Paused(proxywasm.Request) && !s.holding {
					break
				}
				p, err = x.pull(i)
			}
			switch {
			case errors.Is(err, errWake):
			case err != nil:
				return false
			default:
				s.stash = append([]part{p}, s.stash...)
			}
		default:
			x.source.ahead()
			if !x.wait(s, proxywasm.Request) {
				return false
			}
		}
		if x.over() {
			return false
		}
	}
	return true
}

// ended tells whether nothing comes out of a step any more.
func (s *step) ended() bool {
	return len(s.stash) == 1 && s.stash[0].end && !s.stash[0].trailers && len(s.stash[0].data) == 0
}

// request is what the handler gets.
func (x *exchange) request() (*http.Request, error) {
	last := &x.steps[len(x.steps)-1]
	h := last.maps[proxywasm.RequestHeaders]
	out := x.r.WithContext(x.traced(x.ctx))
	out.Trailer = x.trailer
	changed := false
	for i := range x.steps {
		s := &x.steps[i]
		changed = changed || s.maps[proxywasm.RequestHeaders].Changes() != s.base
	}
	if changed {
		out.Header = header(h)
		if m := h.Value(":method"); m != "" {
			out.Method = m
		}
		if a := h.Value(":authority"); a != "" {
			out.Host = a
		}
		out.Header.Del("Host")
		if path := h.Value(":path"); path != pathOf(x.r) {
			u := *x.r.URL
			out.URL = &u
			if err := x.setPath(out, path); err != nil {
				return nil, err
			}
		}
	}
	if x.incoming {
		out.Body = &requestBody{x: x}
		out.ContentLength = -1
		if n, err := strconv.ParseInt(h.Value("content-length"), 10, 64); err == nil && n >= 0 {
			out.ContentLength = n
		}
		if whole, ok := last.whole(); ok {
			// All of it was held, so its length is known whatever was done to it.
			out.ContentLength, out.TransferEncoding = whole, nil
			if changed || out.Header.Get("Content-Length") != "" {
				out.Header = out.Header.Clone()
				out.Header.Set("Content-Length", strconv.FormatInt(whole, 10))
			}
			if whole == 0 {
				out.Body = http.NoBody
			}
		}
		out.GetBody = nil
	}
	return out, nil
}

// whole returns the length of the body if all of it has passed a step, and no
// trailers follow.
func (s *step) whole() (n int64, ok bool) {
	for _, p := range s.stash {
		n += int64(len(p.data))
		if p.from != nil {
			n += p.from.size - p.from.read
		}
		if p.trailers {
			return 0, false
		}
		ok = p.end
	}
	return n, ok
}

func (x *exchange) setPath(r *http.Request, path string) error {
	if x.chain.options.SetPath != nil {
		return x.chain.options.SetPath(r, path)
	}
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return errors.New("a filter asks for a path that is none")
	}
	r.URL = u
	r.RequestURI = path
	return nil
}

func pathOf(r *http.Request) string {
	if r.RequestURI != "" && r.RequestURI[0] == '/' {
		return r.RequestURI
	}
	return r.URL.RequestURI()
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// pull returns the next part of the request's body that comes out of a step;
// -1 is what the client sends. errWake may be returned while a step before it
// holds something, and means nothing to who does not.
func (x *exchange) pull(i int) (part, error) {
	if i < 0 {
		return x.source.next()
	}
	s := &x.steps[i]
	for {
		if len(s.stash) > 0 {
			p := s.stash[0]
			if p.from != nil {
				data, err := p.from.next()
				if err == io.EOF {
					s.stash = s.stash[1:]
					continue
				}
				return part{data: data}, err
			}
			s.stash = s.stash[1:]
			return p, nil
		}
		p, err := x.pull(i - 1)
		if errors.Is(err, errWake) {
			if s.holding && !s.stream.Paused(proxywasm.Request) {
				s.release()
				if s.goOn(); len(s.stash) > 0 {
					continue
				}
			}
			return part{}, err
		}
		if err != nil {
			return part{}, err
		}
		if err := x.give(s, p); err != nil {
			return part{}, err
		}
	}
}

// give shows a step a part, and stashes what comes out of it.
func (x *exchange) give(s *step, p part) error {
	var action proxywasm.Action
	if p.trailers {
		var before *proxywasm.Headers
		if s.index == 0 {
			before = x.source.trailers
		} else {
			before = x.steps[s.index-1].Headers(proxywasm.RequestTrailers).Clone()
		}
		s.setMap(proxywasm.RequestTrailers, before)
		action = x.call(s, s.stream.RequestTrailers)
	} else {
		action = x.call(s, func() proxywasm.Action { return s.stream.RequestBody(p.data, p.end) })
	}
	last := p.end || p.trailers
	switch {
	case action == proxywasm.Continue:
	case last, action == proxywasm.Pause, action == proxywasm.PauseWatermark && s.taken+len(p.data) >= x.limit(s):
		if !x.wait(s, proxywasm.Request) {
			return errEnded
		}
	default:
		s.hold()
		s.taken += len(p.data)
		return nil
	}
	s.release()
	if from := s.takeSpool(proxywasm.Request); from != nil {
		s.stash = append(s.stash, part{from: from})
	}
	data := s.stream.TakeBody(proxywasm.Request)
	if p.end && s.Headers(proxywasm.RequestTrailers) != nil {
		p.trailers = true // the filter has added some
	}
	if len(data) > 0 || p.end && !p.trailers {
		s.stash = append(s.stash, part{data: data, end: p.end && !p.trailers})
	}
	if p.trailers {
		s.stash = append(s.stash, part{end: true, trailers: true})
	}
	return nil
}

// goOn stashes what a step has held.
func (s *step) goOn() {
	if from := s.takeSpool(proxywasm.Request); from != nil {
		s.stash = append(s.stash, part{from: from})
	}
	if data := s.stream.TakeBody(proxywasm.Request); len(data) > 0 {
		s.stash = append(s.stash, part{data: data})
	}
}

// limit is how many bytes of a body a step may hold.
func (x *exchange) limit(s *step) int { return x.chain.filters[s.index].Plugin.Limits().Body }

func (s *step) hold() {
	if !s.holding {
		s.holding = true
		s.x.source.holders++
	}
}

func (s *step) release() {
	if s.holding {
		s.holding, s.taken = false, 0
		s.x.source.holders--
	}
}

// A requestBody is what the handler reads.
type requestBody struct {
	x    *exchange
	left []byte
	err  error
}

// Read implements io.Reader.
func (b *requestBody) Read(p []byte) (int, error) {
	for len(b.left) == 0 {
		if b.err != nil {
			return 0, b.err
		}
		part, err := b.x.pull(len(b.x.steps) - 1)
		switch {
		case errors.Is(err, errWake):
		case err != nil:
			b.err = err
		default:
			if b.left = part.data; part.trailers {
				b.trailers()
			}
			if part.end {
				b.err = io.EOF
			}
		}
	}
	n := copy(p, b.left)
	b.left = b.left[n:]
	return n, nil
}

// trailers gives the handler's request the trailers.
func (b *requestBody) trailers() {
	last := &b.x.steps[len(b.x.steps)-1]
	h := last.Headers(proxywasm.RequestTrailers)
	if b.x.trailer == nil {
		return // they were not announced, and net/http sends no others
	}
	clear(b.x.trailer)
	for name, values := range header(h) {
		b.x.trailer[name] = values
	}
}

// Close implements io.Closer. What the handler does not read goes nowhere.
func (b *requestBody) Close() error { return nil }
