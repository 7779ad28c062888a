package dispatch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hako-run/hako/proxywasm"
)

// told gives what comes of a streamed call to one goroutine.
type told struct {
	headers            chan *proxywasm.Headers
	readable, writable chan struct{}
	closed             chan error
	trailers           *proxywasm.Headers
}

func newTold() *told {
	return &told{make(chan *proxywasm.Headers, 1), make(chan struct{}, 1), make(chan struct{}, 1), make(chan error, 1), nil}
}

func (e *told) Headers(h *proxywasm.Headers) { e.headers <- h }
func (e *told) Readable()                    { signal(e.readable) }
func (e *told) Writable()                    { signal(e.writable) }
func (e *told) Close(trailers *proxywasm.Headers, err error) {
	e.trailers = trailers
	e.closed <- err
}

// TestStream sends a body through an upstream that sends it back, while at most
// a window of each is held.
func TestStream(t *testing.T) {
	d := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			<-r.Context().Done()
			return
		}
		w.Header().Set("Trailer", "X-End")
		_, _ = io.Copy(w, r.Body)
		w.Header().Set("X-End", "yes")
	})
	open := func(path string, timeout time.Duration) (*streamCall, *told) {
		t.Helper()
		e := newTold()
		s, err := d.HTTPStream(&proxywasm.HTTPCall{
			Upstream: "up", Headers: proxywasm.MakeHeaders(":method", "POST", ":path", path, ":authority", "echo"), Timeout: timeout,
		}, e)
		if err != nil {
			t.Fatal(err)
		}
		return s.(*streamCall), e
	}
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	c, e := open("/", time.Minute)
	var got []byte
	left, short := sent, 0
	write := func() {
		for len(left) > 0 {
			part := left[:min(len(left), 40_000)]
			n := c.Write(part, len(part) == len(left))
			left = left[n:]
			if n < len(part) {
				short++
				return
			}
		}
	}
	write()
	if short != 1 || len(sent)-len(left) < window {
		t.Errorf("%d bytes of %d were taken without being read", len(sent)-len(left), len(sent))
	}
	deadline := time.After(time.Minute)
	for open := true; open; {
		select {
		case h := <-e.headers:
			if h.Value(":status") != "200" {
				t.Errorf("status %s", h.Value(":status"))
			}
		case <-e.writable:
			write()
		case <-e.readable:
			c.mu.Lock()
			if held := len(c.in); held > window+16<<10 || len(c.out) > window {
				t.Errorf("%d and %d bytes are held", held, len(c.out))
			}
			c.mu.Unlock()
			for b := c.Read(10_000); len(b) > 0; b = c.Read(10_000) {
				got = append(got, b...)
			}
		case err := <-e.closed:
			if err != nil || e.trailers.Value("x-end") != "yes" {
				t.Errorf("%v, trailers %v", err, e.trailers)
			}
			open = false
		case <-deadline:
			t.Fatalf("%d of %d bytes came back", len(got), len(sent))
		}
	}
	if !bytes.Equal(got, sent) || short < 2 {
		t.Errorf("%d bytes of %d came back, %d writes were short", len(got), len(sent), short)
	}
	for name, test := range map[string]struct {
		timeout time.Duration
		end     func(*streamCall)
		want    error
	}{"cancelled": {time.Minute, func(c *streamCall) { c.Cancel() }, context.Canceled}, "late": {20 * time.Millisecond, func(*streamCall) {}, context.DeadlineExceeded}} {
		c, e := open("/hang", test.timeout)
		c.Write([]byte("x"), true)
		test.end(c)
		select {
		case err := <-e.closed:
			if !errors.Is(err, test.want) {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s: it does not end", name)
		}
	}
	if _, err := d.HTTPStream(&proxywasm.HTTPCall{Upstream: "other", Headers: proxywasm.MakeHeaders(":path", "/")}, newTold()); !errors.Is(err, proxywasm.ErrUpstream) {
		t.Errorf("%v", err)
	}
	e = newTold()
	if _, err := d.HTTPStream(&proxywasm.HTTPCall{Upstream: "down", Headers: proxywasm.MakeHeaders(":path", "/")}, e); err != nil {
		t.Error(err)
	}
	if err := <-e.closed; err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
}
