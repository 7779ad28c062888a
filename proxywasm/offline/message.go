package offline

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/hako-run/hako/proxywasm"
)

// MaxMessage bounds a message, in bytes.
const MaxMessage = 64 << 20

// ErrMessage says that a text is no HTTP message.
var ErrMessage = errors.New("not an HTTP message")

// A Message is a request or a response.
type Message struct {
	Headers  *proxywasm.Headers // with :method, :path, :scheme and :authority, or :status
	Body     []byte
	Trailers *proxywasm.Headers // nil if there are none
}

// clone copies what a plugin may change.
func (m *Message) clone() *Message {
	c := &Message{Headers: m.Headers.Clone(), Body: bytes.Clone(m.Body)}
	if m.Trailers != nil {
		c.Trailers = m.Trailers.Clone()
	}
	return c
}

// ParseRequest reads a request as HTTP/1.1 writes it. What people write by
// hand is taken as well: lines may end in a line feed alone, and a body needs
// no Content-Length. Errors wrap ErrMessage.
func ParseRequest(text []byte) (*Message, error) {
	r := bufio.NewReader(bytes.NewReader(completed(text)))
	request, err := http.ReadRequest(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	scheme := "http"
	if request.URL.Scheme != "" {
		scheme = request.URL.Scheme
	}
	m := &Message{Headers: proxywasm.MakeHeaders(
		":method", request.Method, ":path", request.URL.RequestURI(), ":scheme", scheme, ":authority", request.Host)}
	if request.Method == http.MethodConnect {
		m.Headers.Remove(":path")
	}
	body := io.Reader(request.Body)
	if request.ContentLength == 0 && len(request.TransferEncoding) == 0 && request.Header.Get("Content-Length") == "" {
		body = r // what follows
	}
	if m.Body, err = readBody(body); err != nil {
		return nil, err
	}
	m.addHeaders(request.Header, request.TransferEncoding)
	m.Trailers = fields(request.Trailer)
	return m, nil
}

// ParseResponse is ParseRequest of a response.
func ParseResponse(text []byte) (*Message, error) {
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(completed(text))), nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	if response.StatusCode < 200 {
		return nil, fmt.Errorf("%w: a status of %d is none of a response", ErrMessage, response.StatusCode)
	}
	m := &Message{Headers: proxywasm.MakeHeaders(":status", strconv.Itoa(response.StatusCode))}
	if m.Body, err = readBody(response.Body); err != nil {
		return nil, err
	}
	m.addHeaders(response.Header, response.TransferEncoding)
	m.Trailers = fields(response.Trailer)
	return m, nil
}

// completed ends the headers of a text that has nothing but these.
func completed(text []byte) []byte {
	if bytes.Contains(text, []byte("\n\r\n")) || bytes.Contains(text, []byte("\n\n")) {
		return text
	}
	return append(bytes.TrimRight(bytes.Clone(text), "\r\n"), "\r\n\r\n"...)
}

func readBody(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxMessage+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: its body: %w", ErrMessage, err)
	case len(b) > MaxMessage:
		return nil, fmt.Errorf("%w: its body has more than %d bytes", ErrMessage, MaxMessage)
	}
	return b, nil
}

func (m *Message) addHeaders(h http.Header, coding []string) {
	for f := range fieldsOf(h) {
		m.Headers.Add(f.Name, f.Value)
	}
	for _, c := range coding {
		m.Headers.Add("transfer-encoding", c)
	}
}

// fieldsOf passes headers by name: the order they were written in is lost.
func fieldsOf(h http.Header) func(yield func(proxywasm.Field) bool) {
	return func(yield func(proxywasm.Field) bool) {
		for _, name := range slices.Sorted(maps.Keys(h)) {
			for _, value := range h[name] {
				if !yield(proxywasm.Field{Name: strings.ToLower(name), Value: value}) {
					return
				}
			}
		}
	}
}

func fields(h http.Header) *proxywasm.Headers {
	if len(h) == 0 {
		return nil
	}
	out := &proxywasm.Headers{}
	for f := range fieldsOf(h) {
		out.Add(f.Name, f.Value)
	}
	return out
}
