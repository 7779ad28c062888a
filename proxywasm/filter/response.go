package filter

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/hako-run/hako/proxywasm"
)

// A responseWriter is what the handler answers to.
type responseWriter struct {
	x        *exchange
	header   http.Header
	wrote    bool
	hijacked bool
}

// Header implements http.ResponseWriter.
func (rw *responseWriter) Header() http.Header {
	if rw.header == nil {
		rw.header = http.Header{}
	}
	return rw.header
}

// WriteHeader implements http.ResponseWriter.
func (rw *responseWriter) WriteHeader(status int) {
	x := rw.x
	if rw.wrote || rw.hijacked || x.over() {
		return
	}
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		to := x.w.Header()
		for name, values := range rw.header {
			to[name] = values
		}
		x.w.WriteHeader(status)
		for name := range rw.header {
			delete(to, name)
		}
		return
	}
	rw.wrote = true
	x.out.Lock()
	defer x.out.Unlock()
	h := &x.heads[1]
	from := rw.Header()
	h.Grow(len(from) + 4)
	h.Add(":status", statusText(status))
	addFields(h, from)
	for f := range from {
		if strings.HasPrefix(f, http.TrailerPrefix) {
			h.Remove(strings.ToLower(f))
		}
	}
	x.bodyless = x.r.Method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified || status == http.StatusSwitchingProtocols
	end := x.bodyless || from.Get("Content-Length") == "0"
	x.count(func(i *proxywasm.Info) {
		i.ResponseCode = status
		i.ResponseTotalSize += h.Size()
	})
	x.head(len(x.steps)-1, h, end, rw.header)
}

// head shows the response's head to a step and those after it. Plain is its
// header as the handler made it, good while nobody has changed anything.
func (x *exchange) head(i int, h *proxywasm.Headers, end bool, plain http.Header) {
	for ; i >= 0; i-- {
		s := &x.steps[i]
		if !s.started {
			continue
		}
		s.setMap(proxywasm.ResponseHeaders, h)
		x.shown = true
		before := h.Changes()
		action := x.call(s, func() proxywasm.Action { return s.stream.ResponseHeaders(end) })
		switch {
		case action == proxywasm.Continue:
		case action == proxywasm.PauseHeaders && !end:
			s.head = true
			s.keeps.Store(true)
			return
		default:
			if !x.wait(s, proxywasm.Response) {
				return
			}
		}
		if x.over() {
			return
		}
		if h.Changes() != before {
			plain = nil
		}
		if i > 0 {
			h = h.Clone()
		}
	}
	x.send(h, plain)
}

// send sends the head to the client.
func (x *exchange) send(h *proxywasm.Headers, plain http.Header) {
	to := x.w.Header()
	if plain == nil {
		put(to, h)
	}
	for name, values := range plain {
		if !strings.HasPrefix(name, http.TrailerPrefix) {
			to[name] = values
		}
	}
	status := statusOf(h)
	x.sent = true
	x.w.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (rw *responseWriter) Write(p []byte) (int, error) {
	x := rw.x
	if !rw.wrote {
		if h := rw.Header(); len(h["Content-Type"]) == 0 && h.Get("Content-Encoding") == "" && len(p) > 0 {
			h.Set("Content-Type", http.DetectContentType(p))
		}
		rw.WriteHeader(http.StatusOK)
	}
	if x.over() {
		return 0, errEnded
	}
	x.out.Lock()
	defer x.out.Unlock()
	x.count(func(i *proxywasm.Info) {
		i.ResponseSize += int64(len(p))
		i.ResponseTotalSize += int64(len(p))
	})
	if x.bodyless || len(p) == 0 {
		return len(p), nil
	}
	if err := x.push(len(x.steps)-1, p, false); err != nil {
		return 0, err
	}
	return len(p), nil
}

// push shows a part of the response's body to a step and those after it.
func (x *exchange) push(i int, data []byte, end bool) error {
	for ; i >= 0; i-- {
		s := &x.steps[i]
		if !s.started {
			continue
		}
		action := x.call(s, func() proxywasm.Action { return s.stream.ResponseBody(data, end) })
		switch {
		case action == proxywasm.Continue:
		case end, action == proxywasm.Pause, action == proxywasm.PauseWatermark && s.kept+len(data) >= x.limit(s):
			if !x.wait(s, proxywasm.Response) {
				return errEnded
			}
		default:
			s.keeps.Store(true)
			s.kept += len(data)
			if x.over() {
				return errEnded
			}
			return nil
		}
		trailers := s.Headers(proxywasm.ResponseTrailers)
		data = x.letGo(s, end && trailers == nil)
		if x.over() {
			return errEnded
		}
		if end && trailers != nil {
			if err := x.push(i-1, data, false); err != nil {
				return err
			}
			return x.pushTrailers(i-1, trailers)
		}
		if len(data) == 0 && !end {
			return nil
		}
	}
	if len(data) == 0 {
		return nil
	}
	_, err := x.w.Write(data)
	return err
}

// letGo takes what a step holds: the body, which is returned, and the headers,
// which go on. Whole tells that the body is all of it: then its length is
// known.
func (x *exchange) letGo(s *step, whole bool) []byte {
	from := s.takeSpool(proxywasm.Response)
	defer from.close()
	data := s.stream.TakeBody(proxywasm.Response)
	s.kept = 0
	s.keeps.Store(false)
	if s.head {
		s.head = false
		h := s.Headers(proxywasm.ResponseHeaders).Clone()
		size := int64(len(data))
		if from != nil {
			size += from.size
		}
		if _, ok := h.Get("content-length"); ok && whole {
			h.Set("content-length", strconv.FormatInt(size, 10))
		}
		x.head(s.index-1, h, whole && size == 0, nil)
	}
	if from != nil && !x.over() {
		x.pushSpool(s.index-1, from)
	}
	return data
}

// pushSpool shows what was kept in a file to a step and those after it.
func (x *exchange) pushSpool(i int, from *spool) {
	for {
		data, err := from.next()
		if err == io.EOF {
			return
		}
		if err == nil {
			err = x.push(i, data, false)
		}
		if err != nil {
			x.fail()
			return
		}
	}
}

// fail breaks off a response that cannot be sent whole.
func (x *exchange) fail() {
	x.mu.Lock()
	x.reset = x.reset || x.local == nil
	x.mu.Unlock()
	x.cancel(errEnded)
}

// flushHeld sends on what a step has held, when it lets go of it while the
// handler writes nothing. It is called in a callback's wake, and so does its
// work in another goroutine.
func (x *exchange) flushHeld(s *step) {
	x.mu.Lock()
	closed := x.closed
	if !closed {
		x.flushing.Add(1)
	}
	x.mu.Unlock()
	if closed {
		return
	}
	go func() {
		defer x.flushing.Done()
		x.out.Lock()
		defer x.out.Unlock()
		if !s.keeps.Load() || s.stream.Paused(proxywasm.Response) || x.over() {
			return
		}
		data := x.letGo(s, false)
		if x.over() || len(data) > 0 && x.push(s.index-1, data, false) != nil {
			return
		}
		if x.sent {
			_ = http.NewResponseController(x.w).Flush()
		}
	}()
}

// pushTrailers shows the trailers to a step and those after it.
func (x *exchange) pushTrailers(i int, h *proxywasm.Headers) error {
	for ; i >= 0; i-- {
		s := &x.steps[i]
		if !s.started {
			continue
		}
		h = h.Clone()
		s.setMap(proxywasm.ResponseTrailers, h)
		if x.call(s, s.stream.ResponseTrailers) != proxywasm.Continue && !x.wait(s, proxywasm.Response) {
			return errEnded
		}
		data := x.letGo(s, false)
		if x.over() {
			return errEnded
		}
		if len(data) > 0 {
			if err := x.push(i-1, data, false); err != nil {
				return err
			}
		}
	}
	if x.sent {
		// So that net/http does not take it for a message without trailers.
		_ = http.NewResponseController(x.w).Flush()
	}
	to := x.w.Header()
	for name, values := range header(h) {
		to[http.TrailerPrefix+name] = values
	}
	return nil
}

// finish is the end of a response that the handler has made.
func (rw *responseWriter) finish() {
	x := rw.x
	if rw.hijacked {
		return
	}
	if !rw.wrote {
		if x.ctx.Err() != nil {
			return // nothing was answered, and why is the embedder's to say
		}
		rw.WriteHeader(http.StatusOK)
	}
	if x.over() {
		return
	}
	x.out.Lock()
	defer x.out.Unlock()
	if x.bodyless {
		return
	}
	if t := rw.trailers(); t != nil {
		_ = x.pushTrailers(len(x.steps)-1, t)
		return
	}
	_ = x.push(len(x.steps)-1, nil, true)
}

// trailers returns those that the handler has set, nil if there are none.
func (rw *responseWriter) trailers() *proxywasm.Headers {
	found := http.Header{}
	for _, list := range rw.header["Trailer"] {
		for name := range strings.SplitSeq(list, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if v := rw.header[name]; len(v) > 0 {
				found[name] = v
			}
		}
	}
	for name, v := range rw.header {
		if short, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			found[short] = v
		}
	}
	if len(found) == 0 {
		return nil
	}
	h := &proxywasm.Headers{}
	addFields(h, found)
	rw.x.count(func(i *proxywasm.Info) { i.ResponseTotalSize += h.Size() })
	return h
}

// FlushError sends what no filter holds; http.ResponseController calls it.
func (rw *responseWriter) FlushError() error {
	if !rw.wrote {
		rw.WriteHeader(http.StatusOK)
	}
	x := rw.x
	x.out.Lock()
	defer x.out.Unlock()
	if !x.sent || x.over() {
		return nil
	}
	return http.NewResponseController(x.w).Flush()
}

// Flush implements http.Flusher.
func (rw *responseWriter) Flush() { _ = rw.FlushError() }

// Hijack implements http.Hijacker.
func (rw *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if rw.wrote {
		return nil, nil, errors.New("the response has begun")
	}
	conn, buffer, err := http.NewResponseController(rw.x.w).Hijack()
	if err == nil {
		rw.x.out.Lock()
		rw.hijacked, rw.x.sent = true, true
		rw.x.out.Unlock()
	}
	return conn, buffer, err
}

// Unwrap lets http.ResponseController find what else the connection can do.
func (rw *responseWriter) Unwrap() http.ResponseWriter { return rw.x.w }
