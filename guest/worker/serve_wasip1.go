package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
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

//go:wasmexport hako_http_v1_serve
func serve() int32 {
	r, err := readRequest()
	if err != nil {
		logf("%v", err)
		return 1
	}
	return answer(&response{header: http.Header{}}, r)
}

// answer runs the handler. Not 0 is returned if it panicked.
func answer(w *response, r *http.Request) (code int32) {
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

func readRequest() (*http.Request, error) {
	block, err := ask(hostHead, make([]byte, 4096))
	if err != nil {
		return nil, err
	}
	r := &http.Request{Header: make(http.Header, 16), ProtoMajor: 1, ProtoMinor: 1}
	var prefix, id, hasBody string
	err = rangeFields(block, func(name, value string) {
		switch name {
		case ":method":
			r.Method = value
		case ":authority":
			r.Host = value
		case ":target":
			r.RequestURI = value
		case ":protocol":
			r.Proto = value
		case ":remote":
			r.RemoteAddr = value
		case ":body":
			hasBody = value
		case ":prefix":
			prefix = value
		case ":id":
			id = value
		case "content-length":
			r.ContentLength, _ = strconv.ParseInt(value, 10, 64)
			r.Header.Set("Content-Length", value)
		default:
			if !strings.HasPrefix(name, ":") {
				r.Header.Add(textproto.CanonicalMIMEHeaderKey(name), value)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	if id != "" { // what the host calls it, whatever the client said
		r.Header.Set("X-Request-Id", id)
	}
	if r.URL, err = url.ParseRequestURI(r.RequestURI); err != nil {
		return nil, err
	}
	r.ProtoMajor, r.ProtoMinor, _ = http.ParseHTTPVersion(r.Proto)
	r = r.WithContext(context.WithValue(context.Background(), prefixKey{}, prefix))
	r.Body = &body{r: r}
	if _, told := r.Header["Content-Length"]; !told {
		r.ContentLength = -1
	}
	if hasBody == "none" {
		r.ContentLength, r.Body = 0, http.NoBody
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
	head     http.Header // as it was at WriteHeader
	sent     bool        // the head went to the host
	status   int         // as set by WriteHeader, 0 before
	buffer   bytes.Buffer
	err      error
	declared []string // the trailers that the header announced
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
		w.respond(status, w.header)
		return
	}
	w.status = status
	w.head = w.header.Clone()
	for _, value := range w.header["Trailer"] {
		for name := range strings.SplitSeq(value, ",") {
			name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))
			w.declared = append(w.declared, name)
			w.head.Del(name)
		}
	}
}

func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.err != nil {
		return 0, w.err
	}
	if w.buffer.Len()+len(p) <= bufferSize {
		return w.buffer.Write(p)
	}
	w.drain(p)
	if w.write(p); w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

func (w *response) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

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
		if w.head["Content-Type"] == nil && bodyAllowed(w.status) && w.head.Get("Content-Encoding") == "" {
			if start := append(w.buffer.Bytes(), next[:min(len(next), 512)]...); len(start) > 0 {
				w.head.Set("Content-Type", http.DetectContentType(start))
			}
		}
		w.respond(w.status, w.head)
	}
	w.write(w.buffer.Bytes())
	w.buffer.Reset()
}

func bodyAllowed(status int) bool { return status >= 200 && status != 204 && status != 304 }

func (w *response) respond(status int, header http.Header) {
	fields := make([]string, 0, 2*len(header))
	for name, values := range header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			continue
		}
		for _, v := range values {
			fields = append(fields, name, v)
		}
	}
	block := appendBlock(nil, fields)
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
	if !w.sent && len(fields) == 0 && w.head["Content-Length"] == nil && bodyAllowed(w.status) {
		w.head.Set("Content-Length", strconv.Itoa(w.buffer.Len()))
	}
	w.drain(nil)
	if len(fields) > 0 && w.err == nil {
		block := appendBlock(nil, fields)
		if _, err := check(hostAppend(pointer(block), uint32(len(block)))); err != nil && !errors.Is(err, ErrOrder) {
			logf("trailers: %v", err)
		}
	}
}
