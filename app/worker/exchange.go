package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/hako-run/hako/wasi"
	"golang.org/x/net/http/httpguts"
)

// An Exchange is one request and the response that a guest makes of it. The
// guest's calls come from one goroutine; [Exchange.Abandon] and the methods
// that report may be called from others.
type Exchange struct {
	// ID names the request in logs and is seen by the guest.
	ID string
	// Prefix is the part of the path that led to the app, for guests that
	// make links: "/shop" where the route is /shop/*.
	Prefix string
	// Scheme is http or https; that of the connection unless given.
	Scheme string
	// Output bounds the bytes of the response's body, and those of what the
	// guest logs; 0 does not.
	Output int64
	// Head is called with the response's header before it is sent. It must
	// not use the exchange. nil does nothing.
	Head func(h http.Header)
	// End is called by the guest's goroutine when the guest finishes its
	// response, before Finished is closed. nil does nothing.
	End func()
	// Persist is called by the guest's goroutine when the guest asks not to be
	// ended where its client goes away. nil does nothing.
	Persist func()
	// Log receives what the guest logs. nil drops it.
	Log func(level slog.Level, text string)

	client *Client
	logged int64 // bytes; of the guest's goroutine

	mu       sync.Mutex
	w        http.ResponseWriter // nil once the exchange is over
	r        *http.Request
	status   int  // the final status sent; 0 before
	bodyDone bool // the request's body was read to its end
	finished bool // by the guest
	interim  int  // informational responses sent
	trailing int  // bytes of trailers
	written  int64
	read     int64
	done     chan struct{} // closed when finished
	fail     error         // the first error of the client's connection
	left     bool          // the client has gone
}

// NewExchange returns an exchange that answers r on w.
func NewExchange(w http.ResponseWriter, r *http.Request) *Exchange {
	// A guest may write before it has read all; without this, net/http would
	// swallow the rest of the body first. HTTP/2 is so anyway.
	client := NewClient(w)
	_ = client.control.EnableFullDuplex()
	return &Exchange{client: client, w: w, r: r, done: make(chan struct{})}
}

// Finished is closed when the guest has said that its response is complete,
// which may be before it returns. The handler of the request may return then.
func (x *Exchange) Finished() <-chan struct{} { return x.done }

// Status returns the status sent to the client, 0 if none was yet, and the
// bytes of body read and written.
func (x *Exchange) Status() (status int, read, written int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.status, x.read, x.written
}

// Abandon ends the guest's access to the request and its response: the
// handler is about to return. Calls of the guest fail from then on. The guest
// must not be in one that waits for the client.
func (x *Exchange) Abandon() {
	x.client.End()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.w, x.r = nil, nil
}

// Left tells the guest, by its calls, that the client has gone.
func (x *Exchange) Left() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.left = true
}

// head returns what the guest is told of the request.
func (x *Exchange) head() ([]field, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	r := x.r
	if r == nil {
		return nil, errOver
	}
	scheme := x.Scheme
	if scheme == "" {
		scheme = "http"
		if r.TLS != nil {
			scheme = "https"
		}
	}
	target := r.RequestURI
	if x.Prefix != "" || !strings.HasPrefix(target, "/") && target != "*" {
		target = r.URL.RequestURI() // without the prefix
	}
	fields := make([]field, 0, 8+len(r.Header))
	fields = append(fields,
		field{":method", r.Method}, field{":scheme", scheme}, field{":authority", r.Host}, field{":target", target},
		field{":protocol", r.Proto}, field{":remote", r.RemoteAddr}, field{":prefix", x.Prefix}, field{":id", x.ID})
	if r.ContentLength == 0 {
		fields = append(fields, field{":body", "none"})
	} else {
		fields = append(fields, field{":body", "some"})
	}
	if r.ContentLength > 0 || r.ContentLength == 0 && r.Header.Get("Content-Length") != "" {
		fields = append(fields, field{"content-length", fmt.Sprint(r.ContentLength)})
	}
	return appendHeader(fields, r.Header), nil
}

func appendHeader(fields []field, h http.Header) []field {
	for name, values := range h {
		if name == "Content-Length" || name == "Host" {
			continue // told above, as the server understood it
		}
		name = strings.ToLower(name)
		for _, v := range values {
			fields = append(fields, field{name, v})
		}
	}
	return fields
}

// body reads from the request's body: 0 and no error at its end.
func (x *Exchange) body(p []byte) (int, error) {
	x.mu.Lock()
	r, done := x.r, x.bodyDone
	x.mu.Unlock()
	switch {
	case r == nil:
		return 0, errOver
	case done || len(p) == 0:
		return 0, nil
	}
	// Not under the lock: it blocks for as long as the client likes.
	var n int
	var err error
	late := x.client.Reading(func() {
		for n == 0 && err == nil {
			n, err = r.Body.Read(p)
		}
	})
	if late != nil {
		err = late
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.read += int64(n)
	switch {
	case n > 0:
		return n, nil // an error comes again
	case err == io.EOF:
		x.bodyDone = true
		return 0, nil
	}
	return 0, x.failed(err)
}

// requestTrailers returns the trailers, which there are when the body was
// read to its end.
func (x *Exchange) requestTrailers() ([]field, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.r == nil {
		return nil, errOver
	}
	if !x.bodyDone {
		return nil, errOrder
	}
	return appendHeader(nil, x.r.Trailer), nil
}

// hopByHop are the fields that belong to the connection, which is not the
// guest's (RFC 9110, section 7.6.1).
var hopByHop = map[string]bool{
	"connection": true, "keep-alive": true, "proxy-connection": true, "te": true,
	"trailer": true, "transfer-encoding": true, "upgrade": true,
}

const (
	maxInterim  = 64       // informational responses
	maxTrailers = 64 << 10 // bytes of trailers, in all
)

// validLength tells whether a Content-Length is one number. net/http would
// send what is none, and several, of which whoever is behind it may believe
// another one.
func validLength(fields []field) bool {
	told := false
	for _, f := range fields {
		if !strings.EqualFold(f.name, "Content-Length") {
			continue
		}
		if _, err := strconv.ParseUint(f.value, 10, 63); err != nil || told {
			return false
		}
		told = true
	}
	return true
}

// respond sends the response's head.
func (x *Exchange) respond(status int, fields []field) error {
	for _, f := range fields {
		if !httpguts.ValidHeaderFieldName(f.name) || !httpguts.ValidHeaderFieldValue(f.value) {
			return fmt.Errorf("%w: header %.100q", errFields, f.name)
		}
	}
	if !validLength(fields) {
		return fmt.Errorf("%w: Content-Length", errFields)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.w == nil:
		return errOver
	case x.status != 0:
		return errOrder
	case status < 100 || status > 999 || status == http.StatusSwitchingProtocols:
		return fmt.Errorf("%w: status %d", errFields, status)
	}
	h := x.w.Header()
	interim := status < 200
	var before http.Header // what others have set, for a guest may name the same
	if interim {
		if x.interim++; x.interim > maxInterim {
			return errOrder
		}
		before = h.Clone()
	}
	for _, f := range fields {
		if name := strings.ToLower(f.name); !hopByHop[name] {
			h.Add(f.name, f.value)
		}
	}
	if !interim {
		x.begin(status)
		return nil
	}
	err := x.client.Writing(func() { x.w.WriteHeader(status) })
	clear(h)
	maps.Copy(h, before)
	return x.failed(err)
}

// begin sends the final status. The lock is held.
func (x *Exchange) begin(status int) {
	x.status = status
	if x.Head != nil {
		x.Head(x.w.Header())
	}
	x.w.WriteHeader(status)
}

// write sends a part of the body.
func (x *Exchange) write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.w == nil:
		return 0, errOver
	case x.left:
		return 0, errLeft
	}
	if x.Output > 0 && x.written+int64(len(p)) > x.Output {
		return 0, &wasi.LimitError{Limit: wasi.LimitOutput, Max: x.Output}
	}
	if x.status == 0 {
		x.begin(http.StatusOK)
	}
	var n int
	var err error
	if late := x.client.Writing(func() { n, err = x.w.Write(p) }); late != nil {
		err = late
	}
	x.written += int64(n)
	if errors.Is(err, http.ErrBodyNotAllowed) {
		return len(p), nil // the answer to HEAD, a 304: the body is dropped
	}
	return n, x.failed(err)
}

func (x *Exchange) flush() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.w == nil:
		return errOver
	case x.left:
		return errLeft
	}
	if x.status == 0 {
		x.begin(http.StatusOK)
	}
	var err error
	if late := x.client.Writing(func() { err = x.client.control.Flush() }); late != nil {
		err = late
	}
	if !errors.Is(err, http.ErrNotSupported) {
		return x.failed(err)
	}
	return nil
}

// trailers adds trailers, which are sent when the response ends.
func (x *Exchange) trailers(fields []field) error {
	for _, f := range fields {
		if !httpguts.ValidTrailerHeader(f.name) || !httpguts.ValidHeaderFieldName(f.name) || !httpguts.ValidHeaderFieldValue(f.value) {
			return fmt.Errorf("%w: trailer %.100q", errFields, f.name)
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.w == nil:
		return errOver
	case x.status == 0:
		return errOrder
	}
	size := x.trailing
	for _, f := range fields {
		size += len(f.name) + len(f.value) + len(": \r\n")
	}
	if size > maxTrailers {
		return fmt.Errorf("%w: trailers of %d bytes, at most %d are sent", errFields, size, maxTrailers)
	}
	x.trailing = size
	for _, f := range fields {
		x.w.Header().Add(http.TrailerPrefix+f.name, f.value)
	}
	return nil
}

// finish ends the response; the guest may go on without its client.
func (x *Exchange) finish() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.finished {
		return nil
	}
	if x.w == nil {
		return errOver
	}
	if x.status == 0 {
		x.begin(http.StatusOK)
	}
	x.finished = true
	x.client.End()
	if x.End != nil {
		x.End()
	}
	x.w, x.r = nil, nil
	close(x.done)
	return nil
}

// failed remembers the first error of the connection. The lock is held.
func (x *Exchange) failed(err error) error {
	if err != nil && x.fail == nil {
		x.fail = err
	}
	return err
}

// Err returns the first error that reading from or writing to the client had.
func (x *Exchange) Err() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.fail
}

var (
	errOver  = errors.New("the exchange is over")
	errOrder = errors.New("the call is out of order")
	errLeft  = errors.New("the client has gone")
)

type contextKey struct{}

// NewContext returns a context for calling a guest that is to answer x.
func NewContext(ctx context.Context, x *Exchange) context.Context {
	return context.WithValue(ctx, contextKey{}, x)
}

// Key is the key under which [NewContext] keeps the exchange, for callers
// that carry several such values in a context of their own.
var Key any = contextKey{}
