// Package dispatch makes the HTTP and gRPC calls of Proxy-Wasm plugins with
// net/http.
package dispatch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hako-run/hako/proxywasm"
)

// maxResponse bounds the body of an answer to a plugin, and a message of gRPC,
// in bytes.
const maxResponse = 16 << 20

// longest is how long a call may take that has no timeout of its own.
const longest = 5 * time.Minute

// An Upstream sends a request to the upstream of a name. The URL has a path and
// a query only. Errors for names that it does not know wrap
// proxywasm.ErrUpstream if Known has not refused them before.
type Upstream func(name string, r *http.Request) (*http.Response, error)

// A Dispatcher is a proxywasm.Dispatcher. It must be closed.
type Dispatcher struct {
	upstream Upstream
	known    func(name string) bool
	base     context.Context
	end      context.CancelFunc
	calls    sync.WaitGroup
	mu       sync.Mutex
	closed   bool
}

var _ proxywasm.Dispatcher = (*Dispatcher)(nil)

// New makes a Dispatcher. Known tells whether there is an upstream of a name;
// without it, that is found out by calling.
func New(u Upstream, known func(name string) bool) *Dispatcher {
	d := &Dispatcher{upstream: u, known: known}
	d.base, d.end = context.WithCancel(context.Background())
	return d
}

// Close ends the calls under way and waits for them.
func (d *Dispatcher) Close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.end()
	d.calls.Wait()
}

// begin counts a call and gives it its context.
func (d *Dispatcher) begin(upstream string, timeout time.Duration) (context.Context, context.CancelFunc, error) {
	if d.known != nil && !d.known(upstream) {
		return nil, nil, fmt.Errorf("%q: %w", upstream, proxywasm.ErrUpstream)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, nil, errors.New("the server ends")
	}
	d.calls.Add(1)
	if timeout <= 0 {
		timeout = longest
	}
	ctx, cancel := context.WithTimeout(d.base, timeout)
	return ctx, cancel, nil
}

// addFields adds a header's fields.
func addFields(to *proxywasm.Headers, from http.Header) {
	for name, values := range from {
		for _, v := range values {
			to.Add(name, v)
		}
	}
}

// header returns the fields without pseudo-headers and what belongs to a
// connection.
func header(of *proxywasm.Headers) http.Header {
	h := http.Header{}
	for f := range of.All() {
		switch {
		case strings.HasPrefix(f.Name, ":"), f.Name == "host", f.Name == "connection", f.Name == "transfer-encoding", f.Name == "content-length":
		default:
			h.Add(f.Name, f.Value)
		}
	}
	return h
}
