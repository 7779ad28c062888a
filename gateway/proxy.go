package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"
)

// errNoServer is why a request was not passed on to any server.
var errNoServer = errors.New("no server of the upstream is healthy")

// A proxy passes requests on to an upstream. The rules of passing on (which
// headers are for one hop only, trailers, 1xx, upgrades, flushing of streams)
// are those of httputil.ReverseProxy; which server it goes to and whether
// another is tried is decided here, in RoundTrip.
type proxy struct {
	upstream *upstream
	reverse  httputil.ReverseProxy
}

func newProxy(u *upstream) *proxy {
	p := &proxy{upstream: u}
	p.reverse = httputil.ReverseProxy{
		Rewrite:      p.rewrite,
		Transport:    p,
		BufferPool:   copyBuffers{},
		ErrorHandler: p.failed,
		ErrorLog:     log.New(io.Discard, "", 0), // failures are in the access log
	}
	return p
}

// copyBuffers lends the buffers that bodies are copied through.
type copyBuffers struct{}

var copyPool = sync.Pool{New: func() any { return new([32 << 10]byte) }}

func (copyBuffers) Get() []byte { return copyPool.Get().(*[32 << 10]byte)[:] }

func (copyBuffers) Put(b []byte) {
	if cap(b) >= 32<<10 {
		copyPool.Put((*[32 << 10]byte)(b[:32<<10]))
	}
}

// ServeHTTP implements http.Handler.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := exchangeOf(r.Context())
	e.upstream = p.upstream.name
	p.reverse.ServeHTTP(w, r)
}

// rewrite makes the request that is passed on. ReverseProxy has dropped
// Forwarded and X-Forwarded-* from it.
func (p *proxy) rewrite(r *httputil.ProxyRequest) {
	e := exchangeOf(r.In.Context())
	out := r.Out
	out.Host = e.host
	out.Trailer = r.In.Trailer // filled when the body has been read
	h := out.Header
	// What is left of it in the original came from a trusted proxy.
	if before := r.In.Header["X-Forwarded-For"]; len(before) > 0 {
		h["X-Forwarded-For"] = before
	}
	if peer, _, err := net.SplitHostPort(r.In.RemoteAddr); err == nil {
		value := peer
		if before := r.In.Header["X-Forwarded-For"]; len(before) > 0 {
			value = joined(before) + ", " + peer
		}
		h["X-Forwarded-For"] = []string{value}
	}
	h["X-Forwarded-Proto"] = []string{e.scheme()}
	h["X-Forwarded-Host"] = []string{e.host}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = nil // or the transport sends its own
	}
	if e.span != nil {
		inject(out.Context(), h)
	}
}

func joined(list []string) string {
	s := list[0]
	for _, v := range list[1:] {
		s += ", " + v
	}
	return s
}

// RoundTrip implements http.RoundTripper: it chooses a server, and another
// one where the first failed in a way that cannot have had an effect.
func (p *proxy) RoundTrip(r *http.Request) (*http.Response, error) {
	u := p.upstream
	e := exchangeOf(r.Context())
	var guard *bodyGuard
	if r.Body != nil {
		guard = &bodyGuard{body: r.Body}
	}
	var tried *target
	for attempt := 0; ; attempt++ {
		t := u.pick(tried)
		if t == nil {
			return nil, errNoServer
		}
		response, err := p.send(t, r, guard)
		if err == nil {
			t.succeeded()
			if e != nil {
				e.upstream = t.label
			}
			return response, nil
		}
		if r.Context().Err() != nil || errors.Is(err, errClientBody) {
			return nil, err // not the server's fault
		}
		t.failed(err)
		if attempt >= u.config.Retries || !retriable(r, guard, err) || len(u.targets) < 2 {
			return nil, fmt.Errorf("%s: %w", t.label, err)
		}
		if guard != nil && !guard.detach() {
			return nil, fmt.Errorf("%s: %w", t.label, err)
		}
		if guard != nil {
			guard = &bodyGuard{body: guard.body}
		}
		u.metrics.retries.Inc()
		tried = t
	}
}

// errClientBody marks failures that came from reading the client's body.
var errClientBody = errors.New("the client's body could not be read")

func (p *proxy) send(t *target, r *http.Request, guard *bodyGuard) (*http.Response, error) {
	// The transport wants the server in the URL; the request is ReverseProxy's
	// and is not to be changed.
	out := *r
	url := *r.URL
	url.Scheme, url.Host = t.scheme, t.host
	out.URL = &url
	if p.upstream.config.Host == "server" {
		out.Host = t.host
	}
	if guard != nil {
		out.Body = guard
	}
	t.open.Add(1)
	began := time.Now()
	response, err := t.transport.RoundTrip(&out)
	if err != nil {
		t.open.Add(-1)
		if guard.readFailed() {
			err = fmt.Errorf("%w: %w", errClientBody, err)
		}
		return nil, err
	}
	t.metrics.latency.Observe(time.Since(began).Seconds())
	if response.StatusCode != http.StatusSwitchingProtocols {
		response.Body = &openBody{ReadCloser: response.Body, target: t}
	} else {
		t.open.Add(-1)
	}
	return response, nil
}

// openBody counts a response as open until its body is closed.
type openBody struct {
	io.ReadCloser
	target *target
	once   sync.Once
}

func (b *openBody) Close() error {
	b.once.Do(func() { b.target.open.Add(-1) })
	return b.ReadCloser.Close()
}

// A bodyGuard knows whether a body was touched, and keeps it from being closed
// or read on by a transport whose attempt has failed.
type bodyGuard struct {
	mu       sync.Mutex
	body     io.ReadCloser
	touched  bool
	detached bool
	bad      bool
}

func (g *bodyGuard) Read(p []byte) (int, error) {
	g.mu.Lock()
	if g.detached {
		g.mu.Unlock()
		return 0, errors.New("this attempt to pass the request on has ended")
	}
	g.touched = true
	g.mu.Unlock()
	n, err := g.body.Read(p)
	if err != nil && err != io.EOF {
		g.mu.Lock()
		g.bad = true
		g.mu.Unlock()
	}
	return n, err
}

// Close leaves the body open: ReverseProxy closes it when the request ends.
func (g *bodyGuard) Close() error { return nil }

// detach ends the guard's use and reports whether the body is as it was.
func (g *bodyGuard) detach() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.detached = true
	return !g.touched
}

func (g *bodyGuard) readFailed() bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.bad
}

func isConnect(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// retriable reports whether a failed request may be sent again: no connection
// came about, or its method has the same effect twice, it has no body, and
// the server did not take its time over it.
func retriable(r *http.Request, guard *bodyGuard, err error) bool {
	if isConnect(err) {
		return true
	}
	if t, ok := errors.AsType[net.Error](err); guard != nil || ok && t.Timeout() {
		return false
	}
	if r.Header["Upgrade"] != nil {
		return false
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete, http.MethodTrace:
		return true
	}
	return false
}

// failed answers where no response could be had.
func (p *proxy) failed(_ http.ResponseWriter, r *http.Request, err error) {
	e := exchangeOf(r.Context())
	if r.Context().Err() != nil {
		e.body.settle()
	}
	bad := e.body.failure()
	timeout, isTimeout := errors.AsType[net.Error](err)
	switch {
	case errors.Is(context.Cause(r.Context()), errRouteTimeout):
		e.fail(http.StatusGatewayTimeout, errRouteTimeout)
	case bad != nil:
		e.failBody(bad)
	case isClientGone(r):
		e.status, e.err = statusClientGone, err
		panic(http.ErrAbortHandler)
	case errors.Is(err, errNoServer):
		e.out().Header().Set("Retry-After", "5")
		e.fail(http.StatusServiceUnavailable, err)
	case isTimeout && timeout.Timeout():
		e.fail(http.StatusGatewayTimeout, err)
	default:
		e.fail(http.StatusBadGateway, err)
	}
}
