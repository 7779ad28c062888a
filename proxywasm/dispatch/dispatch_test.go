package dispatch

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hako-run/hako/proxywasm"
)

// upstream sends everything to a test server over HTTP/2 without TLS.
func upstream(t *testing.T, h http.HandlerFunc) *Dispatcher {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	base, _ := url.Parse(s.URL)
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	d := New(func(name string, r *http.Request) (*http.Response, error) {
		if name == "down" {
			return nil, errors.New("connection refused")
		}
		r.URL.Scheme, r.URL.Host = base.Scheme, base.Host
		return transport.RoundTrip(r)
	}, func(name string) bool { return name == "up" || name == "down" })
	t.Cleanup(d.Close)
	return d
}

type result struct {
	r   *proxywasm.HTTPResponse
	err error
}

func TestHTTP(t *testing.T) {
	d := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
			return
		}
		if r.URL.Path == "/large" {
			_, _ = io.Copy(w, io.LimitReader(zeros{}, maxResponse+1))
			return
		}
		w.Header().Set("Trailer", "X-End")
		w.WriteHeader(201)
		fmt.Fprintf(w, "%s %s %s %s %s %s", r.Method, r.Host, r.URL, r.Header.Get("X-A"), body, r.Trailer.Get("X-T"))
		w.Header().Set("X-End", "yes")
	})
	call := func(c *proxywasm.HTTPCall) result {
		t.Helper()
		if c.Upstream == "" {
			c.Upstream = "up"
		}
		done := make(chan result, 1)
		_, err := d.HTTP(c, func(r *proxywasm.HTTPResponse, err error) { done <- result{r, err} })
		if err != nil {
			return result{nil, err}
		}
		select {
		case r := <-done:
			return r
		case <-time.After(time.Minute):
			t.Fatal("no answer")
			return result{}
		}
	}
	heads := func(path string) *proxywasm.Headers {
		return proxywasm.MakeHeaders(":method", "PUT", ":path", path, ":authority", "auth", "x-a", "b", "host", "evil", "content-length", "7")
	}
	got := call(&proxywasm.HTTPCall{Headers: heads("/check?x=1"), Body: []byte("body"), Trailers: proxywasm.MakeHeaders("x-t", "last")})
	if got.err != nil || string(got.r.Body) != "PUT auth /check?x=1 b body last" || got.r.Headers.Value(":status") != "201" || got.r.Trailers.Value("x-end") != "yes" {
		t.Errorf("%+v %v", got.r, got.err)
	}
	if got := call(&proxywasm.HTTPCall{Headers: heads("/slow"), Timeout: 30 * time.Millisecond}); !errors.Is(got.err, context.DeadlineExceeded) {
		t.Errorf("%+v", got)
	}
	if got := call(&proxywasm.HTTPCall{Headers: heads("/large")}); got.err == nil || !strings.Contains(got.err.Error(), "larger") {
		t.Errorf("%v", got.err)
	}
	if got := call(&proxywasm.HTTPCall{Headers: heads("/"), Upstream: "down"}); got.err == nil {
		t.Error("an upstream that is down answered")
	}
	if got := call(&proxywasm.HTTPCall{Headers: heads("/"), Upstream: "other"}); !errors.Is(got.err, proxywasm.ErrUpstream) {
		t.Errorf("%v", got.err)
	}
	if got := call(&proxywasm.HTTPCall{Headers: heads("nowhere")}); got.err == nil {
		t.Error("a path that is none was called")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// events keeps what comes of a call.
type events struct {
	mu   sync.Mutex
	list []string
	done chan struct{}
}

func (e *events) add(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, text)
}
func (e *events) InitialMetadata(h *proxywasm.Headers)  { e.add("initial " + h.Value("x-first")) }
func (e *events) Message(m []byte)                      { e.add("message " + string(m)) }
func (e *events) TrailingMetadata(h *proxywasm.Headers) { e.add("trailing " + h.Value("x-last")) }
func (e *events) Close(status uint32, message string) {
	e.add(fmt.Sprintf("close %d %s", status, message))
	close(e.done)
}

func (e *events) wait(t *testing.T) string {
	t.Helper()
	select {
	case <-e.done:
	case <-time.After(time.Minute):
		t.Fatal("the call does not end")
	}
	return strings.Join(e.list, "; ")
}

// echo is a gRPC server that sends each message back in upper case.
func echo(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Content-Type") != "application/grpc" || r.Header.Get("Te") != "trailers" || r.ProtoMajor != 2 {
		w.WriteHeader(415)
		return
	}
	w.Header().Set("Content-Type", "application/grpc")
	if r.URL.Path == "/s/only" {
		w.Header().Set("Grpc-Status", "5")
		w.Header().Set("Grpc-Message", "not%20here")
		w.Header().Set("X-Last", "z")
		return
	}
	w.Header().Set("X-First", r.Header.Get("X-Meta"))
	w.WriteHeader(200)
	_ = http.NewResponseController(w).Flush()
	if r.URL.Path == "/s/hang" {
		<-r.Context().Done()
		return
	}
	for {
		m, err := readMessage(r.Body)
		if err != nil {
			break
		}
		m = bytes.ToUpper(m)
		if r.URL.Path == "/s/broken" {
			_, _ = w.Write([]byte{0, 0, 0, 0, 9, 'x'})
			return
		}
		_, _ = w.Write(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m))), m...))
		_ = http.NewResponseController(w).Flush()
	}
	w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	w.Header().Set(http.TrailerPrefix+"X-Last", "z")
}

func TestGRPC(t *testing.T) {
	d := upstream(t, echo)
	for _, test := range []struct {
		call   proxywasm.GRPCCall
		drive  func(proxywasm.GRPCStream)
		want   string
		prefix bool
	}{
		{call: proxywasm.GRPCCall{Method: "m", Message: []byte("hello")}, want: "initial one; message HELLO; trailing z; close 0 "},
		{call: proxywasm.GRPCCall{Method: "only"}, want: "initial ; trailing z; close 5 not here"},
		{call: proxywasm.GRPCCall{Method: "hang", Timeout: 50 * time.Millisecond}, want: "close 4 ", prefix: true},
		{call: proxywasm.GRPCCall{Method: "broken", Message: []byte("x")}, want: "initial one; close 13 the answer broke off"},
		{call: proxywasm.GRPCCall{Method: "m", Upstream: "down"}, want: "close 14 ", prefix: true},
		{call: proxywasm.GRPCCall{Method: "m", Stream: true}, drive: func(s proxywasm.GRPCStream) {
			for _, m := range []string{"a", "", "c"} {
				if err := s.Send([]byte(m), m == "c"); err != nil {
					t.Error(err)
				}
			}
		}, want: "initial one; message A; message ; message C; trailing z; close 0 "},
		{call: proxywasm.GRPCCall{Method: "hang", Stream: true}, drive: func(s proxywasm.GRPCStream) { s.Cancel() }, want: "close 1 cancelled", prefix: true},
	} {
		e := &events{done: make(chan struct{})}
		c := test.call
		if c.Upstream == "" {
			c.Upstream = "up"
		}
		c.Service, c.Metadata = "s", proxywasm.MakeHeaders("x-meta", "one")
		s, err := d.GRPC(&c, e)
		if err != nil {
			t.Errorf("%s: %v", c.Method, err)
			continue
		}
		if test.drive != nil {
			test.drive(s)
		}
		got := e.wait(t)
		if got != test.want && !(test.prefix && strings.Contains(got, test.want)) {
			t.Errorf("%s: %q, not %q", c.Method, got, test.want)
		}
	}
}

// TestClose ends what is under way.
func TestClose(t *testing.T) {
	d := upstream(t, echo)
	e := &events{done: make(chan struct{})}
	if _, err := d.GRPC(&proxywasm.GRPCCall{Upstream: "up", Service: "s", Method: "hang", Stream: true}, e); err != nil {
		t.Fatal(err)
	}
	d.Close()
	if got := e.wait(t); !strings.Contains(got, "close 1") {
		t.Error(got)
	}
	if _, err := d.GRPC(&proxywasm.GRPCCall{Upstream: "up"}, e); err == nil {
		t.Error("a closed dispatcher calls")
	}
}
