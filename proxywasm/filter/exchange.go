package filter

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hako-run/hako/proxywasm"
)

// An exchange is one request and its response on their way through a chain.
//
// The goroutine of the handler makes the callbacks of headers and of the
// response, and whoever reads the request's body those of the body. Filters
// act on their own at any time, through step.
type exchange struct {
	chain  *Chain
	w      http.ResponseWriter
	r      *http.Request // as it came
	ctx    context.Context
	cancel context.CancelCauseFunc
	steps  []step
	only   [1]step // steps, of a chain of one
	state  proxywasm.FilterState
	calls  sync.Mutex // held in a callback

	// trailer is that of the handler's request. net/http fills r's own when the
	// body has been read, which may be ahead of the handler (source.ahead).
	trailer http.Header

	source   source
	trace    httptrace.ClientTrace
	heads    [2]proxywasm.Headers // of the request and the response, as they came
	writer   responseWriter
	incoming bool // there is a request body, or may be
	sent     bool // the response's head is with the client
	done     bool // under calls: no callback any more
	rerouted atomic.Bool

	// out sends the response through the filters; of the goroutine that has
	// the lock.
	out      sync.Mutex
	flushing sync.WaitGroup
	shown    bool // some filter has seen a response of the handler
	bodyless bool

	mu      sync.Mutex
	info    proxywasm.Info
	local   *proxywasm.LocalResponse
	localBy int
	reset   bool
	held    bool // for too long
	ended   bool // a wait came to nothing
	closed  bool
	wake    chan struct{} // a held request body goes on; nil if there is none
}

// A step is one filter of an exchange, and the StreamHost of its stream.
//
// Each has headers of its own, for a filter may look at them while the next
// one changes what it was given.
type step struct {
	x       *exchange
	index   int
	stream  *proxywasm.Stream
	started bool

	// Under exchange.calls, if Options.Timed.
	began  time.Time
	busy   time.Duration
	called int

	// The request.
	base    int    // changes of its headers before the filter saw them
	stash   []part // of the body, what comes before anything that is still to be read
	holding bool
	taken   int // bytes that were shown since it holds some

	spools [2]*spool // what is kept of the request and of the response

	// The response.
	keeps atomic.Bool // holds some of the body
	kept  int         // bytes that were shown since it does
	head  bool        // holds the headers while the body is shown

	// Under exchange.mu.
	maps     [4]*proxywasm.Headers // by MapType
	snapshot proxywasm.Info
}

// errEnded ends what a handler does for an exchange that a filter took over.
var errEnded = errors.New("a filter ended the exchange")

func newExchange(c *Chain, w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{chain: c, w: w, r: r, trailer: r.Trailer.Clone()}
	x.ctx, x.cancel = context.WithCancelCause(r.Context())
	if x.incoming = r.Body != nil && r.Body != http.NoBody; x.incoming {
		x.wake = make(chan struct{}, 1)
	}
	x.source.x, x.writer.x = x, x
	x.describe()
	if x.steps = x.only[:]; len(c.filters) > 1 {
		x.steps = make([]step, len(c.filters))
	}
	for i := range x.steps {
		s := &x.steps[i]
		s.x, s.index = x, i
		s.stream = c.filters[i].Plugin.NewStream(c.filters[i].Root, s)
	}
	return x
}

// describe collects what is known of the request.
func (x *exchange) describe() {
	r := x.r
	x.info.Start = time.Now()
	x.info.Protocol = r.Proto
	x.info.TLS = r.TLS
	x.info.Source, _ = netip.ParseAddrPort(r.RemoteAddr)
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		x.info.Destination = a.AddrPort()
	}
	if x.chain.options.Describe != nil {
		x.chain.options.Describe(r, &x.info)
	}
}

// close is the end of the exchange, whatever came of it.
func (x *exchange) close() {
	x.mu.Lock()
	x.closed = true
	x.mu.Unlock()
	x.cancel(errEnded)
	x.flushing.Wait()
	x.source.stop()
	x.calls.Lock()
	x.done = true
	x.calls.Unlock()
	for i := range x.steps {
		s := &x.steps[i]
		s.stream.Close()
		s.dropSpools()
		if s.called > 0 {
			x.chain.options.Timed(x.r, x.chain.filters[i].Name, s.began, s.busy, s.called)
		}
	}
}

// over tells whether a filter took the exchange over.
func (x *exchange) over() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.local != nil || x.reset || x.ended
}

// call makes a callback of a step.
func (x *exchange) call(s *step, f func() proxywasm.Action) proxywasm.Action {
	x.calls.Lock()
	defer x.calls.Unlock()
	if x.done {
		return proxywasm.Pause
	}
	if x.chain.options.Timed == nil {
		return f()
	}
	began := time.Now()
	if s.called == 0 {
		s.began = began
	}
	action := f()
	s.called++
	s.busy += time.Since(began)
	return action
}

// wait waits for a filter that holds a direction. False means that there is
// nothing to go on with.
func (x *exchange) wait(s *step, t proxywasm.StreamType) bool {
	ctx, cancel := context.WithTimeoutCause(x.ctx, x.chain.options.Wait, errHeld)
	defer cancel()
	err := s.stream.Wait(ctx, t)
	if err == nil {
		return true
	}
	x.mu.Lock()
	x.ended = true
	x.held = errors.Is(err, errHeld)
	x.mu.Unlock()
	x.cancel(errEnded)
	return false
}

// count changes what plugins may ask for.
func (x *exchange) count(f func(*proxywasm.Info)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f(&x.info)
}

// setMap gives a step a map.
func (s *step) setMap(t proxywasm.MapType, h *proxywasm.Headers) {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	s.maps[t] = h
}

// Headers implements proxywasm.StreamHost.
func (s *step) Headers(t proxywasm.MapType) *proxywasm.Headers {
	if int(t) >= len(s.maps) {
		return nil
	}
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	return s.maps[t]
}

// AddTrailers implements proxywasm.StreamHost.
func (s *step) AddTrailers(t proxywasm.MapType) *proxywasm.Headers {
	if t != proxywasm.RequestTrailers && t != proxywasm.ResponseTrailers {
		return nil
	}
	h := &proxywasm.Headers{}
	s.setMap(t, h)
	return h
}

// Info implements proxywasm.StreamHost.
func (s *step) Info() *proxywasm.Info {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	s.snapshot = s.x.info
	return &s.snapshot
}

// FilterState implements proxywasm.StreamHost.
func (s *step) FilterState() *proxywasm.FilterState { return &s.x.state }

// Resume implements proxywasm.StreamHost.
func (s *step) Resume(t proxywasm.StreamType) {
	switch {
	case t == proxywasm.Request:
		select {
		case s.x.wake <- struct{}{}:
		default:
		}
	case s.keeps.Load():
		s.x.flushHeld(s)
	}
}

// Reset implements proxywasm.StreamHost.
func (s *step) Reset(proxywasm.StreamType) {
	x := s.x
	x.mu.Lock()
	x.reset = true
	x.mu.Unlock()
	x.cancel(errEnded)
}

// Respond implements proxywasm.StreamHost.
func (s *step) Respond(l *proxywasm.LocalResponse) {
	x := s.x
	x.mu.Lock()
	first := x.local == nil
	if first {
		x.local, x.localBy = l, s.index
		x.info.ResponseCodeDetails = l.Details
	}
	x.mu.Unlock()
	if first {
		x.cancel(errEnded)
	}
}

// ClearRouteCache implements proxywasm.StreamHost.
func (s *step) ClearRouteCache() { s.x.rerouted.Store(true) }
