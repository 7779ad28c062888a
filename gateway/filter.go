package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/hako-run/hako/config"
)

// A FilterRoute is a route whose requests are to pass filters.
type FilterRoute struct {
	Config *config.Route
	// Next is what answers, with the path still whole.
	Next http.Handler

	state *state
	route *route
}

// Reroute returns what answers a request whose host, method or path a filter
// has changed: that of the route that it has now. The filters stay those of the
// first route.
func (f FilterRoute) Reroute(r *http.Request) http.Handler {
	match, _, ok := cleanPath(r.URL)
	if !ok {
		return failure(http.StatusBadRequest)
	}
	rt, otherMethod := f.state.routes.find(hostOf(r.Host), r.Method, match)
	switch {
	case rt != nil:
		return &behind{rt, f.route}
	case otherMethod:
		return failure(http.StatusMethodNotAllowed)
	}
	return failure(http.StatusNotFound)
}

// Gateway is where the route is.
func (f FilterRoute) Gateway() *Gateway { return f.state.gateway }

// SetPath gives a request another path and query, with the care that those of
// clients get.
func (f FilterRoute) SetPath(r *http.Request, path string) error {
	u, err := url.ParseRequestURI(path)
	if err != nil || path[0] != '/' {
		return errors.New("a filter asks for a path that is none")
	}
	match, raw, ok := cleanPath(u)
	if !ok {
		return errors.New("a filter asks for a path that has a zero byte, or dot segments hidden by escapes")
	}
	setPath(u, match, raw)
	u.Scheme, u.Host = "", ""
	r.URL = u
	return nil
}

// failure answers with a status.
func failure(status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := exchangeOf(r.Context())
		e.front = w
		defer func() { e.front = nil }()
		e.fail(status, nil)
	})
}

// behind is what answers behind the filters of the route first.
type behind struct {
	route, first *route
}

func (h *behind) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := exchangeOf(r.Context())
	e.front = w
	defer func() { e.front = nil }()
	if r.Host != e.request.Host {
		if !validHost(r.Host) {
			e.fail(http.StatusBadRequest, errors.New("a filter asks for a host that is none"))
			return
		}
		e.host = r.Host
	}
	if h.route != h.first {
		e.route = h.route
		if h.route.auth != nil && !h.route.auth.allow(e, r) {
			return
		}
		if h.route.config.App != "" && e.id == "" {
			e.name(r)
		}
	}
	if h.route.strip != "" {
		u := *r.URL
		r2 := *r
		r2.URL = &u
		if !stripPrefix(&u, h.route.strip) {
			e.fail(http.StatusNotFound, nil)
			return
		}
		r = &r2
	}
	h.route.behind.ServeHTTP(w, r)
}

// Client returns the address of a request's client, behind trusted proxies too,
// and Route the name of its route. They are for filters.
func Client(r *http.Request) string {
	if e := exchangeOf(r.Context()); e != nil {
		return e.client
	}
	return r.RemoteAddr
}

// Connection returns the number of the client's connection, which no other
// connection of this server has had. It is for filters.
func Connection(r *http.Request) uint64 {
	if c, ok := r.Context().Value(connKey{}).(*connContext); ok {
		return c.id
	}
	return 0
}

// connContext has the number of a connection.
type connContext struct {
	context.Context
	id uint64
}

type connKey struct{}

func (c *connContext) Value(key any) any {
	if _, ok := key.(connKey); ok {
		return c
	}
	return c.Context.Value(key)
}

func newConnContext(ctx context.Context) context.Context { return &connContext{ctx, connIDs.Add(1)} }

// Route returns the name of the route that a request has, or "".
func Route(r *http.Request) string {
	if e := exchangeOf(r.Context()); e != nil && e.route != nil {
		return e.route.name
	}
	return ""
}

// Answered notes for the access log that a filter answered a request, and why.
func Answered(r *http.Request, filter, details string) {
	if e := exchangeOf(r.Context()); e != nil {
		e.filter, e.filterDetails = filter, details
	}
}

// FilterSpan adds what a filter did for a request to its trace.
func FilterSpan(r *http.Request, filter string, began time.Time, busy time.Duration, calls int) {
	e := exchangeOf(r.Context())
	if e == nil || e.span == nil || !e.span.IsRecording() {
		return
	}
	_, span := e.state.tracer.tracer.Start(trace.ContextWithSpan(r.Context(), e.span), "filter "+filter,
		trace.WithTimestamp(began), trace.WithAttributes(
			attribute.String("hako.filter", filter),
			attribute.Int("hako.filter.callbacks", calls),
			attribute.Int64("hako.filter.busy_us", busy.Microseconds()),
		))
	span.End()
}

// RoundTrip sends a request of a filter to an upstream of the configuration in
// force, as a route to it would. It fails with ErrUnknownUpstream if there is
// none, and with ErrClosed. Before New has returned it waits.
func (g *Gateway) RoundTrip(upstream string, r *http.Request) (*http.Response, error) {
	for g.state.Load() == nil {
		select {
		case <-r.Context().Done():
			return nil, context.Cause(r.Context())
		case <-g.base.Done():
			return nil, ErrClosed
		case <-time.After(10 * time.Millisecond):
		}
	}
	s := g.acquire()
	if s == nil {
		return nil, ErrClosed
	}
	u := s.upstreams[upstream]
	if u == nil {
		s.done()
		return nil, ErrUnknownUpstream
	}
	response, err := (&proxy{upstream: u}).RoundTrip(r)
	if err != nil {
		s.done()
		return nil, err
	}
	response.Body = &heldState{ReadCloser: response.Body, done: s.done}
	return response, nil
}

// ErrUnknownUpstream is returned for an upstream that is not configured.
var ErrUnknownUpstream = errors.New("no such upstream")

// heldState keeps a configuration's connections until a response is read.
type heldState struct {
	io.ReadCloser
	once sync.Once
	done func()
}

func (h *heldState) Close() error {
	defer h.once.Do(h.done)
	return h.ReadCloser.Close()
}
