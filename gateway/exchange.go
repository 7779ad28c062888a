package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// errRouteTimeout ends a request whose response did not begin in its route's
// time.
var errRouteTimeout = errors.New("the response did not begin in time")

// progressStep is how much is written at most under one write deadline.
const progressStep = 256 << 10

// drainWithin is how long net/http may read what a handler has left of a body.
const drainWithin = 5 * time.Second

// deadliner is what the connections of net/http and quic-go offer.
type deadliner interface {
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// An exchange is one request and its response: the ResponseWriter that
// handlers see, and what is logged afterwards. It belongs to the goroutine
// that serves the request; what a timer touches is behind mu.
type exchange struct {
	w        http.ResponseWriter
	front    http.ResponseWriter // what passes the filters, while they are asked
	deadline deadliner           // nil where the connection has none
	server   *server
	state    *state
	route    *route
	request  *http.Request
	began    time.Time
	ctx      exchangeContext

	client        string // address, behind trusted proxies
	host          string
	uri           string // as the client sent it
	user          string
	upstream      string
	filter        string // that answered
	filterDetails string
	secure        bool   // TLS, or a trusted proxy says so
	trusted       bool   // the client is a proxy that is believed
	id            string // of a request to an app
	account       Account
	pinCookie     bool       // the cookie of snapshots is to be set, or deleted
	recording     *recording // nil if the request is not recorded
	span          trace.Span

	status   int
	written  int64
	plain    int64 // of it, before it was compressed
	err      error // why the gateway answered with an error
	aborted  bool
	hijacked bool
	body     *body

	encoder     encoder // nil if the response is not compressed
	writeUntil  time.Time
	writeWithin time.Duration

	mu      sync.Mutex
	begun   bool // the response has begun
	timer   *time.Timer
	timeout context.CancelCauseFunc
}

// exchangeContext lets the exchange be found from the request's context
// without another allocation.
type exchangeContext struct {
	context.Context
	e *exchange
}

type exchangeKey struct{}

func (c *exchangeContext) Value(key any) any {
	if _, ok := key.(exchangeKey); ok {
		return c.e
	}
	return c.Context.Value(key)
}

func exchangeOf(ctx context.Context) *exchange {
	e, _ := ctx.Value(exchangeKey{}).(*exchange)
	return e
}

// out is where the gateway's own answers go: through the filters, if there
// are any.
func (e *exchange) out() http.ResponseWriter {
	if e.front != nil {
		return e.front
	}
	return e
}

// Header implements http.ResponseWriter.
func (e *exchange) Header() http.Header { return e.w.Header() }

// begin notes that the response begins, which the route's timeout waits for.
// It reports whether it had not yet.
func (e *exchange) begin() bool {
	if e.timer == nil {
		first := !e.begun
		e.begun = true
		return first
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	first := !e.begun
	e.begun = true
	e.timer.Stop()
	return first
}

// limit ends the request's context if the response has not begun in time.
func (e *exchange) limit(ctx context.Context, d time.Duration) context.Context {
	ctx, e.timeout = context.WithCancelCause(ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.timer = time.AfterFunc(d, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if !e.begun {
			e.timeout(errRouteTimeout)
		}
	})
	return ctx
}

// WriteHeader implements http.ResponseWriter.
func (e *exchange) WriteHeader(status int) {
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		e.w.WriteHeader(status)
		return
	}
	if !e.begin() {
		return
	}
	e.status = status
	h := e.w.Header()
	if r := e.route; r != nil {
		if r.cors != nil {
			r.cors.respond(h, e.request)
		}
		r.response.apply(h)
		r.pin.respond(e, h)
		if e.id != "" {
			h[requestID] = []string{e.id}
		}
		if r.compress && e.server.replay == nil {
			e.encoder = compress(e, h, status)
		}
	}
	if e.request.ProtoMajor < 3 && (e.server.retired.Load() || e.server.gateway.draining.Load()) {
		h.Set("Connection", "close")
	}
	if status != http.StatusSwitchingProtocols {
		e.progress()
	}
	e.w.WriteHeader(status)
}

// progress moves the write deadline.
func (e *exchange) progress() {
	if e.deadline == nil || e.hijacked {
		return
	}
	now := time.Now()
	// Moving it costs something, so it is done when a tenth of it is over.
	if until := now.Add(e.writeWithin); until.Sub(e.writeUntil) > e.writeWithin/10 {
		e.writeUntil = until
		_ = e.deadline.SetWriteDeadline(until)
	}
}

// Write implements http.ResponseWriter.
func (e *exchange) Write(p []byte) (int, error) {
	if !e.begun {
		if h := e.w.Header(); len(h["Content-Type"]) == 0 && h.Get("Content-Encoding") == "" && len(p) > 0 {
			h.Set("Content-Type", http.DetectContentType(p))
		}
		e.WriteHeader(http.StatusOK)
	}
	e.plain += int64(len(p))
	if e.recording != nil {
		e.recording.hash.Write(p)
	}
	if e.encoder != nil {
		return e.encoder.Write(p)
	}
	return e.send(p)
}

// send writes to the client, in steps that each have to make progress.
func (e *exchange) send(p []byte) (n int, err error) {
	for {
		step := p[n:min(len(p), n+progressStep)]
		e.progress()
		m, err := e.w.Write(step)
		n += m
		e.written += int64(m)
		if err != nil || n == len(p) {
			return n, err
		}
	}
}

// ReadFrom implements io.ReaderFrom, so that files are sent by the kernel.
func (e *exchange) ReadFrom(r io.Reader) (n int64, err error) {
	rf, ok := e.w.(io.ReaderFrom)
	// What is small goes out in one piece with the header, which the kernel's
	// way would send before it.
	l, limitedBy := r.(*io.LimitedReader)
	small := limitedBy && l.N <= 32<<10
	if !ok || !e.begun || e.encoder != nil || e.recording != nil || small {
		buffer := copyPool.Get().(*[32 << 10]byte)
		defer copyPool.Put(buffer)
		return io.CopyBuffer(struct{ io.Writer }{e}, struct{ io.Reader }{r}, buffer[:])
	}
	// The steps are cut from the inner reader, since the kernel's way is taken
	// for a file behind at most one limit.
	left := int64(-1)
	if limitedBy {
		r, left = l.R, l.N
	}
	step := io.LimitedReader{R: r}
	for left != 0 {
		step.N = progressStep
		if left > 0 {
			step.N = min(left, progressStep)
		}
		want := step.N
		e.progress()
		m, err := rf.ReadFrom(&step)
		n += m
		e.written += m
		e.plain += m
		if left > 0 {
			left -= m
			l.N = left
		}
		if err != nil || m < want {
			return n, err
		}
	}
	return n, nil
}

// FlushError sends what is buffered; http.ResponseController calls it.
func (e *exchange) FlushError() error {
	if !e.begun {
		e.WriteHeader(http.StatusOK)
	}
	if e.encoder != nil {
		if err := e.encoder.Flush(); err != nil {
			return err
		}
	}
	e.progress()
	return http.NewResponseController(e.w).Flush()
}

// Flush implements http.Flusher.
func (e *exchange) Flush() { _ = e.FlushError() }

// Hijack implements http.Hijacker.
func (e *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(e.w).Hijack()
	if err == nil {
		e.begin()
		e.hijacked = true
		e.status = http.StatusSwitchingProtocols
	}
	return conn, rw, err
}

// Unwrap lets http.ResponseController find what else the connection can do.
func (e *exchange) Unwrap() http.ResponseWriter { return e.w }

// finish ends the response and leaves the connection ready for the next.
func (e *exchange) finish() {
	if e.encoder != nil {
		if !e.aborted {
			if err := e.encoder.Close(); err != nil {
				e.aborted = true
			}
		}
		e.encoder.release()
		e.encoder = nil
	}
	if e.timer != nil {
		e.begin()
		e.timeout(nil)
	}
	if e.hijacked || e.deadline == nil {
		return
	}
	// What is left of a body is read before the next request; a client that does
	// not send it shall not hold the connection.
	e.drain()
	if e.body != nil {
		// net/http closes the connection if too much is left, but with full duplex
		// sees that by a body of its own alone: it would take what is left for
		// the next request.
		e.request.Body = e.body.plain
	}
	switch {
	case e.body.failure() != nil, e.body.bytes() == 0 && e.request.Header["Expect"] != nil:
		_ = e.deadline.SetReadDeadline(time.Now())
	case e.body != nil && !e.body.finished():
		_ = e.deadline.SetReadDeadline(time.Now().Add(drainWithin))
	}
}

// drainBytes is how much of what is left of a body is read; net/http closes the
// connection if there is more.
const drainBytes = 256 << 10

// drain reads what is left of a body that the answer could overtake. net/http
// would do so after the handler, with full duplex takes the body's end for the
// time to watch the connection, and fails as it reads the next request from it.
func (e *exchange) drain() {
	b := e.body
	if b == nil || e.aborted || e.request.ProtoMajor != 1 || e.route.config.App == "" && e.route.config.Upstream == "" {
		return
	}
	if b.finished() || b.failure() != nil || b.bytes() == 0 && e.request.Header["Expect"] != nil || e.request.ContentLength-b.bytes() > drainBytes {
		return
	}
	if e.FlushError() != nil { // the client may wait for the answer before it goes on
		return
	}
	_ = e.deadline.SetReadDeadline(time.Now().Add(drainWithin))
	buffer := copyPool.Get().(*[32 << 10]byte)
	defer copyPool.Put(buffer)
	for left := drainBytes; left > 0; {
		n, err := b.ReadCloser.Read(buffer[:min(left, len(buffer))])
		left -= n
		if err != nil {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.err = err
			return
		}
	}
}

// A body is a request's body whose every read has to make progress. A proxy
// may read it in another goroutine than the handler's.
type body struct {
	io.ReadCloser
	plain  io.ReadCloser // as net/http made it
	e      *exchange
	within time.Duration

	mu      sync.Mutex
	reading bool
	read    int64
	err     error

	keeps bool  // for the recorder
	keep  int64 // bytes, at most
	kept  []byte
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	b.reading = true
	b.mu.Unlock()
	if b.e.deadline != nil {
		_ = b.e.deadline.SetReadDeadline(time.Now().Add(b.within))
	}
	n, err := b.ReadCloser.Read(p)
	if b.e.deadline != nil && (err == nil || err == io.EOF) {
		// A deadline that passed while the response is made would end it:
		// net/http watches the connection for the client going away.
		_ = b.e.deadline.SetReadDeadline(time.Time{})
	}
	b.mu.Lock()
	b.reading = false
	b.read += int64(n)
	if room := b.keep - int64(len(b.kept)); b.keeps && room > 0 {
		b.kept = append(b.kept, p[:min(int64(n), room)]...)
	}
	if err != nil && b.err == nil {
		b.err = err
	}
	b.mu.Unlock()
	return n, err
}

func (b *body) finished() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err == io.EOF
}

// settle waits for a read that is about to end. net/http ends the request's
// context when a read fails, a moment before that read returns.
func (b *body) settle() {
	if b == nil {
		return
	}
	for range 100 {
		b.mu.Lock()
		reading := b.reading
		b.mu.Unlock()
		if !reading {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// failure returns what went wrong with the client's body, or nil.
func (b *body) failure() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == io.EOF || errors.Is(b.err, http.ErrBodyReadAfterClose) {
		return nil
	}
	return b.err
}

func (b *body) bytes() int64 {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.read
}

// bodyStatus is the status that a failure to read the client's body has.
func bodyStatus(err error) int {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return http.StatusRequestEntityTooLarge
	}
	if t, ok := errors.AsType[net.Error](err); ok && t.Timeout() {
		return http.StatusRequestTimeout
	}
	return http.StatusBadRequest
}

// isClientGone reports whether an error means that nobody waits for an answer.
func isClientGone(r *http.Request) bool {
	cause := context.Cause(r.Context())
	return cause != nil && !errors.Is(cause, errRouteTimeout)
}

// scheme is what the client speaks.
func (e *exchange) scheme() string {
	if e.secure {
		return "https"
	}
	return "http"
}

// acceptsJSON reports whether a client would rather have JSON than a page.
func acceptsJSON(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "json") && !strings.Contains(accept, "text/html")
}
