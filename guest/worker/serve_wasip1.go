package worker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"unsafe"
)

// ListenAndServe does nothing in a guest: the host calls it.
func ListenAndServe() error { return nil }

type prefixKey struct{}

// Prefix returns the part of the path that led to this app: "/shop" where it
// is served under /shop/*. Links have to begin with it.
func Prefix(r *http.Request) string {
	prefix, _ := r.Context().Value(prefixKey{}).(string)
	return prefix
}

// Finish ends the response: the client has it all, and the handler may go on
// for as long as its limits allow.
func Finish(w http.ResponseWriter) error {
	for {
		switch v := w.(type) {
		case *response:
			if v.over {
				return ErrOrder
			}
			v.send()
			_, err := check(hostFinish())
			return err
		case interface{ Unwrap() http.ResponseWriter }:
			w = v.Unwrap()
		default:
			return http.ErrNotSupported
		}
	}
}

// init makes what net/http makes when it first meets a header, so that forks
// need not.
func init() { textproto.CanonicalMIMEHeaderKey("x") }

//go:wasmexport hako_freezing
func freezing() {
	// Forks do not collect what the start-up left, nor do they begin near the
	// size at which the heap is collected.
	runtime.GC()
	prime()
}

//go:wasmexport hako_http_v1_serve
func serve() int32 {
	r, err := readRequest()
	if err != nil {
		logf("%v", err)
		return 1
	}
	w := &response{header: http.Header{}}
	code := answer(w, r)
	// A goroutine that the handler left behind must not reach the next request.
	w.over, w.sent, w.err = true, true, ErrOrder
	if b, ok := w.body.(*body); ok {
		b.err = http.ErrBodyReadAfterClose
	}
	return code
}

// answer runs the handler. Not 0 is returned if it panicked.
func answer(w *response, r *http.Request) (code int32) {
	w.body = r.Body
	defer func() {
		if v := recover(); v != nil {
			if v != http.ErrAbortHandler {
				logf("panic serving %s: %v\n%s", r.RequestURI, v, debug.Stack())
			}
			code = 1
		}
	}()
	handler.ServeHTTP(w, r)
	w.end()
	return 0
}

func logf(format string, args ...any) {
	text := fmt.Appendf(nil, format, args...)
	hostLog(8, pointer(text), uint32(len(text)))
}

// Buffers of the request under way: there is one at a time. They are no part
// of the heap, so that a fork that uses them writes to few pages.
var (
	headBuffer    [4096]byte
	respondBuffer [1024]byte
	bodyBuffer    [bufferSize]byte
)

func readRequest() (*http.Request, error) {
	block, err := ask(hostHead, headBuffer[:])
	if err != nil {
		return nil, err
	}
	r := &http.Request{ProtoMajor: 1, ProtoMinor: 1}
	var prefix, id string
	var told, empty bool
	var values []string // of one allocation, for all fields
	err = rangeFields(block, func(name, value string) {
		switch name {
		case ":method":
			r.Method = value
			return
		case ":authority":
			r.Host = value
			return
		case ":target":
			r.RequestURI = value
			return
		case ":protocol":
			r.Proto = value
			return
		case ":remote":
			r.RemoteAddr = value
			return
		case ":body":
			empty = value == "none"
			return
		case ":prefix":
			prefix = value
			return
		case ":id":
			id = value
			return
		case "content-length":
			r.ContentLength, _ = strconv.ParseInt(value, 10, 64)
			told = true
		default:
			if strings.HasPrefix(name, ":") {
				return
			}
		}
		if r.Header == nil {
			n := int(binary.LittleEndian.Uint32(block))
			r.Header, values = make(http.Header, min(n, 16)), make([]string, 0, n)
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		if before := r.Header[name]; before != nil {
			r.Header[name] = append(before, value)
			return
		}
		values = append(values, value)
		r.Header[name] = values[len(values)-1 : len(values) : len(values)]
	})
	if err != nil {
		return nil, err
	}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	if id != "" { // what the host calls it, whatever the client said
		r.Header["X-Request-Id"] = []string{id}
	}
	if r.URL, err = url.ParseRequestURI(r.RequestURI); err != nil {
		return nil, err
	}
	r.ProtoMajor, r.ProtoMinor, _ = http.ParseHTTPVersion(r.Proto)
	if prefix != "" {
		r = r.WithContext(context.WithValue(context.Background(), prefixKey{}, prefix))
	}
	switch {
	case empty:
		r.ContentLength, r.Body = 0, http.NoBody
	default:
		if !told {
			r.ContentLength = -1
		}
		r.Body = &body{r: r}
	}
	return r, nil
}

// A body reads the request's body from the host.
type body struct {
	r      *http.Request
	err    error
	closed bool
}

func (b *body) Read(p []byte) (int, error) {
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	if len(p) == 0 {
		return 0, nil
	}
	return b.read(p)
}

func (b *body) read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := check(hostRead(pointer(p), uint32(len(p))))
	switch {
	case err != nil:
		b.err = err
	case n == 0:
		b.err = io.EOF
		block, err := ask(hostTrailers, make([]byte, 512))
		if err == nil {
			err = rangeFields(block, func(name, value string) {
				if b.r.Trailer == nil {
					b.r.Trailer = http.Header{}
				}
				b.r.Trailer.Add(textproto.CanonicalMIMEHeaderKey(name), value)
			})
		}
		if err != nil {
			b.err = err
		}
	}
	if n > 0 {
		return n, nil
	}
	return 0, b.err
}

func (b *body) Close() error {
	b.closed = true
	return nil
}

// A response writes through a buffer to the host.
type response struct {
	header   http.Header // the handler's: trailers come into it after the head
	fields   []string    // as they were at WriteHeader: name and value in turn
	typed    bool        // the head has a Content-Type, or may have none
	measured bool        // the head has a Content-Length
	sent     bool        // the head went to the host
	status   int         // as set by WriteHeader, 0 before
	buffer   []byte      // in bodyBuffer
	err      error
	declared []string  // the trailers that the header announced
	body     io.Reader // the request's
	over     bool      // the request was answered
}

// bufferSize is how much is gathered before it goes to the host.
const bufferSize = 16 << 10

func (w *response) Header() http.Header { return w.header }

func (w *response) WriteHeader(status int) {
	if w.status != 0 {
		logf("WriteHeader(%d) after WriteHeader(%d)", status, w.status)
		return
	}
	if status >= 100 && status < 200 {
		w.respond(status, w.list())
		return
	}
	w.status = status
	w.typed = !bodyAllowed(status)
	for _, value := range w.header["Trailer"] {
		for name := range strings.SplitSeq(value, ",") {
			w.declared = append(w.declared, textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)))
		}
	}
	w.fields = w.list()
	for i := 0; i < len(w.fields); i += 2 {
		switch w.fields[i] {
		case "Content-Type":
			w.typed = true
		case "Content-Encoding":
			w.typed = w.typed || w.fields[i+1] != ""
		case "Content-Length":
			w.measured = true
		}
	}
}

// list returns the header as it is, without trailers.
func (w *response) list() []string {
	fields := make([]string, 0, 2*len(w.header)+4) // two may be added
	for name, values := range w.header {
		if strings.HasPrefix(name, http.TrailerPrefix) || slices.Contains(w.declared, name) {
			continue
		}
		for _, v := range values {
			fields = append(fields, name, v)
		}
	}
	return fields
}

func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.err != nil {
		return 0, w.err
	}
	if len(w.buffer)+len(p) <= bufferSize {
		w.buffer = append(w.buffer, p...)
		return len(p), nil
	}
	w.drain(p)
	if w.write(p); w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// WriteString is Write without a copy of its own.
func (w *response) WriteString(s string) (int, error) {
	return w.Write(unsafe.Slice(unsafe.StringData(s), len(s)))
}

// Flush sends what there is to the client.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError is Flush with the error.
func (w *response) FlushError() error {
	w.send()
	if w.err == nil {
		_, w.err = check(hostFlush())
	}
	return w.err
}

// send brings all that was written so far to the host.
func (w *response) send() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.drain(nil)
}

// drain sends the head, if it was not, and the buffer. next is the body's
// part that comes after it.
func (w *response) drain(next []byte) {
	if !w.sent {
		w.sent = true
		if !w.typed {
			start := w.buffer
			if len(start) < 512 {
				start = append(slices.Clip(start), next[:min(len(next), 512)]...)
			}
			if len(start) > 0 {
				w.fields = append(w.fields, "Content-Type", http.DetectContentType(start))
			}
		}
		w.respond(w.status, w.fields)
	}
	w.write(w.buffer)
	w.buffer = w.buffer[:0]
}

func bodyAllowed(status int) bool { return status >= 200 && status != 204 && status != 304 }

func (w *response) respond(status int, fields []string) {
	block := appendBlock(respondBuffer[:0], fields)
	if _, err := check(hostRespond(int32(status), pointer(block), uint32(len(block)))); err != nil && w.err == nil {
		w.err = err
	}
}

func (w *response) write(p []byte) {
	for len(p) > 0 && w.err == nil {
		n, err := check(hostWrite(pointer(p), uint32(len(p))))
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		w.err = err
		p = p[n:]
	}
}

// end sends what is left, with the trailers.
func (w *response) end() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	var fields []string
	for name, values := range w.header {
		name, prefixed := strings.CutPrefix(name, http.TrailerPrefix)
		if !prefixed && !slices.Contains(w.declared, name) {
			continue
		}
		for _, v := range values {
			fields = append(fields, name, v)
		}
	}
	if !w.sent && len(fields) == 0 && !w.measured && bodyAllowed(w.status) {
		w.fields = append(w.fields, "Content-Length", strconv.Itoa(len(w.buffer)))
	}
	w.drain(nil)
	if len(fields) > 0 && w.err == nil {
		block := appendBlock(nil, fields)
		if _, err := check(hostAppend(pointer(block), uint32(len(block)))); err != nil && !errors.Is(err, ErrOrder) {
			logf("trailers: %v", err)
		}
	}
}
