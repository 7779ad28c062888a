package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

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
	// Output bounds the bytes of the response's body; 0 does not.
	Output int64
	// Head is called with the response's header before it is sent. It must
	// not use the exchange. nil does nothing.
	Head func(h http.Header)
	// Log receives what the guest logs. nil drops it.
	Log func(level slog.Level, text string)

	control *http.ResponseController
	over    atomic.Bool // the handler has returned, or is about to

	mu       sync.Mutex
	w        http.ResponseWriter // nil once the exchange is over
	r        *http.Request
	status   int  // the final status sent; 0 before
	bodyDone bool // the request's body was read to its end
	finished bool // by the guest
	written  int64
	read     int64
	done     chan struct{} // closed when finished
	fail     error         // the first error of the client's connection
}

// NewExchange returns an exchange that answers r on w.
func NewExchange(w http.ResponseWriter, r *http.Request) *Exchange {
	// A guest may write before it has read all; without this, net/http would
	// swallow the rest of the body first. HTTP/2 is so anyway.
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex()
	return &Exchange{control: control, w: w, r: r, done: make(chan struct{})}
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
// handler is about to return. Calls of the guest fail from then on.
func (x *Exchange) Abandon() {
	x.over.Store(true)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.w, x.r = nil, nil
}

// interrupt makes a call return that waits for the client. The connection is
// of no use afterwards.
func (x *Exchange) interrupt() {
	if !x.over.Load() {
		_ = x.control.SetReadDeadline(time.Unix(1, 0))
		_ = x.control.SetWriteDeadline(time.Unix(1, 0))
	}
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
	n, err := r.Body.Read(p)
	for n == 0 && err == nil {
		n, err = r.Body.Read(p)
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

// respond sends the response's head.
func (x *Exchange) respond(status int, fields []field) error {
	for _, f := range fields {
		if !httpguts.ValidHeaderFieldName(f.name) || !httpguts.ValidHeaderFieldValue(f.value) {
			return fmt.Errorf("%w: header %.100q", errFields, f.name)
		}
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
	for _, f := range fields {
		if name := strings.ToLower(f.name); !hopByHop[name] {
			h.Add(f.name, f.value)
		}
	}
	if !interim {
		x.begin(status)
		return nil
	}
	x.w.WriteHeader(status)
	for _, f := range fields {
		h.Del(f.name)
	}
	return nil
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
	if x.w == nil {
		return 0, errOver
	}
	if x.status == 0 {
		x.begin(http.StatusOK)
	}
	if x.Output > 0 && x.written+int64(len(p)) > x.Output {
		return 0, &wasi.LimitError{Limit: wasi.LimitOutput, Max: x.Output}
	}
	n, err := x.w.Write(p)
	x.written += int64(n)
	if errors.Is(err, http.ErrBodyNotAllowed) {
		return len(p), nil // the answer to HEAD, a 304: the body is dropped
	}
	return n, x.failed(err)
}

func (x *Exchange) flush() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.w == nil {
		return errOver
	}
	if x.status == 0 {
		x.begin(http.StatusOK)
	}
	if err := x.control.Flush(); !errors.Is(err, http.ErrNotSupported) {
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
	x.over.Store(true)
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
)

type contextKey struct{}

// NewContext returns a context for calling a guest that is to answer x.
func NewContext(ctx context.Context, x *Exchange) context.Context {
	return context.WithValue(ctx, contextKey{}, x)
}

// Key is the key under which [NewContext] keeps the exchange, for callers
// that carry several such values in a context of their own.
var Key any = contextKey{}
