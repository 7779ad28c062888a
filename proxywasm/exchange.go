package proxywasm

import (
	"crypto/tls"
	"net/netip"
	"sync"
	"time"
)

// A StreamHost is the embedder's side of one stream: what a plugin reads of
// it and does to it.
//
// The first group of methods is called while the plugin runs, in the
// goroutine that called the [Stream], or, when a plugin acts on a stream from
// a tick, the answer of a call or a queue, in one of the plugin's own while
// no other callback runs. They return at once and do not call the Stream.
//
// The second group is called when the callback is over, from the same
// goroutines; these may call the Stream.
type StreamHost interface {
	// Headers returns a map of the stream (not one of calls), or nil if it
	// is not there, or not yet.
	Headers(MapType) *Headers
	// AddTrailers makes trailers for a message that ended without, when a
	// plugin adds some in the last body callback. Nil refuses.
	AddTrailers(MapType) *Headers
	// Info is what the properties request.*, source.* and so on tell.
	Info() *Info
	// FilterState has the properties that plugins set. All plugins of a
	// stream share one.
	FilterState() *FilterState

	// Resume says that a direction that an Action or a failure held goes
	// on. Stream.TakeBody has what was held.
	Resume(StreamType)
	// Reset says that a plugin closes the stream.
	Reset(StreamType)
	// Respond says that a plugin answers in the upstream's place. The
	// response passes the response callbacks.
	Respond(*LocalResponse)
	// ClearRouteCache says that a plugin changed request headers, or asked
	// for it: what depends on the route has to be chosen anew.
	ClearRouteCache()
}

// A LocalResponse is an answer that a plugin, or the host in its place, gives.
type LocalResponse struct {
	Status  int      // of HTTP
	Details string   // why, for logs
	Headers *Headers // without :status
	Body    []byte
	// GRPCStatus is the status of gRPC, negative if there is none.
	GRPCStatus int32
}

// FilterState is what plugins of one stream tell each other by properties.
// The zero value is empty. It is safe for concurrent use.
type FilterState struct {
	mu     sync.Mutex
	values map[string][]byte
	size   int
}

// maxFilterState bounds what plugins may set for one stream, in bytes.
const maxFilterState = 1 << 20

// Get returns what was set under a path, whose parts are divided by NUL.
func (s *FilterState) Get(path string) ([]byte, bool) {
	if s == nil {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[path]
	return v, ok
}

// Set sets a copy of value under a path. It reports false if the stream has
// too much set already.
func (s *FilterState) Set(path string, value []byte) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, known := s.values[path]
	size := s.size - len(old) + len(value)
	if !known {
		size += len(path)
	}
	if size > maxFilterState {
		return false
	}
	if s.values == nil {
		s.values = map[string][]byte{}
	}
	s.size, s.values[path] = size, append([]byte(nil), value...)
	return true
}

// Info is what is known of a stream beside its headers. What is zero is not
// known: its property is not found.
type Info struct {
	Start    time.Time // of the stream
	Protocol string    // as "HTTP/1.1"
	ID       string    // of the request; x-request-id if ""

	ConnectionID        uint64
	Source, Destination netip.AddrPort
	TLS                 *tls.ConnectionState // of the client's connection
	LocalCertificate    *tls.Certificate     // shown to the client

	// Bytes of bodies so far, and with those of headers and trailers.
	RequestSize, RequestTotalSize   int64
	ResponseSize, ResponseTotalSize int64
	ResponseCode                    int
	ResponseCodeDetails             string
	ResponseFlags                   uint64
	GRPCStatus                      *int32

	Upstream, UpstreamLocal  netip.AddrPort
	UpstreamTLS              *tls.ConnectionState
	UpstreamTransportFailure string
	UpstreamAttempts         int

	RouteName, ClusterName string
	// Extra has further properties by their first name, as "metadata":
	// strings, numbers, times, []byte, *Headers, and maps and slices of
	// these (map[string]any, []any).
	Extra map[string]any
}

// An Exchange is a StreamHost in memory, for embedders that ask the Stream
// what to do ([Stream.Wait]) rather than being told, and for tests: set its
// maps before the callback that shows them.
type Exchange struct {
	RequestHeaders, RequestTrailers   *Headers
	ResponseHeaders, ResponseTrailers *Headers
	Attributes                        Info
	State                             FilterState

	mu      sync.Mutex
	local   *LocalResponse
	resets  [maxStreamType + 1]bool
	resumed [maxStreamType + 1]int
	routes  int
}

// Headers returns one of the maps.
func (e *Exchange) Headers(t MapType) *Headers {
	switch t {
	case RequestHeaders:
		return e.RequestHeaders
	case RequestTrailers:
		return e.RequestTrailers
	case ResponseHeaders:
		return e.ResponseHeaders
	case ResponseTrailers:
		return e.ResponseTrailers
	}
	return nil
}

// AddTrailers makes trailers.
func (e *Exchange) AddTrailers(t MapType) *Headers {
	h := &Headers{}
	switch t {
	case RequestTrailers:
		e.RequestTrailers = h
	case ResponseTrailers:
		e.ResponseTrailers = h
	default:
		return nil
	}
	return h
}

// Info returns the attributes.
func (e *Exchange) Info() *Info { return &e.Attributes }

// FilterState returns the state.
func (e *Exchange) FilterState() *FilterState { return &e.State }

// Resume counts.
func (e *Exchange) Resume(t StreamType) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.resumed[t]++
}

// Reset remembers it.
func (e *Exchange) Reset(t StreamType) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.resets[t] = true
}

// Respond remembers the response.
func (e *Exchange) Respond(r *LocalResponse) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.local = r
}

// ClearRouteCache counts.
func (e *Exchange) ClearRouteCache() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.routes++
}

// Local is the response that a plugin gave, or nil.
func (e *Exchange) Local() *LocalResponse {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.local
}

// WasReset tells whether a plugin closed a direction.
func (e *Exchange) WasReset(t StreamType) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.resets[t]
}

// Resumed is how often a direction was resumed.
func (e *Exchange) Resumed(t StreamType) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.resumed[t]
}

// RoutesCleared is how often a route had to be chosen anew.
func (e *Exchange) RoutesCleared() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.routes
}
