package dispatch

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"

	"github.com/hako-run/hako/proxywasm"
)

// window is how much of each body of a streamed call is held, in bytes.
const window = 64 << 10

var errOver = errors.New("the call has ended")

// A streamCall is an HTTP call whose bodies come and go in pieces. The plugin
// fills out and empties in, both at most window long; net/http is at their
// other ends.
type streamCall struct {
	d      *Dispatcher
	over   context.Context
	cancel context.CancelFunc
	events proxywasm.HTTPEvents

	mu       sync.Mutex
	out, in  []byte
	outEnds  bool
	blocked  bool          // a write was cut short: Writable is due
	told     bool          // of what is in in
	outGrows chan struct{} // something happened to out
	inShrank chan struct{}
}

var _ proxywasm.StreamDispatcher = (*Dispatcher)(nil)

// HTTPStream implements proxywasm.StreamDispatcher.
func (d *Dispatcher) HTTPStream(call *proxywasm.HTTPCall, events proxywasm.HTTPEvents) (proxywasm.HTTPStream, error) {
	ctx, cancel, err := d.begin(call.Upstream, call.Timeout)
	if err != nil {
		return nil, err
	}
	c := &streamCall{d: d, over: ctx, cancel: cancel, events: events, outGrows: make(chan struct{}, 1), inShrank: make(chan struct{}, 1)}
	r, err := request(ctx, call)
	if err != nil {
		cancel()
		d.calls.Done()
		return nil, err
	}
	r.Body, r.ContentLength = (*streamBody)(c), -1
	if n, err := strconv.ParseInt(call.Headers.Value("content-length"), 10, 64); err == nil && n >= 0 {
		r.ContentLength = n
	}
	go func() {
		defer d.calls.Done()
		defer cancel()
		events.Close(c.run(call.Upstream, r))
	}()
	return c, nil
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Write implements proxywasm.HTTPStream.
func (c *streamCall) Write(p []byte, end bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outEnds || c.over.Err() != nil {
		return len(p) // nobody wants it any more
	}
	n := min(len(p), window-len(c.out))
	c.out = append(c.out, p[:n]...)
	c.blocked = n < len(p)
	c.outEnds = end && !c.blocked
	signal(c.outGrows)
	return n
}

// Read implements proxywasm.HTTPStream.
func (c *streamCall) Read(limit int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(limit, len(c.in))
	data := append([]byte(nil), c.in[:n]...)
	if c.in = c.in[n:]; len(c.in) == 0 {
		c.in, c.told = nil, false
	}
	signal(c.inShrank)
	return data
}

// Cancel implements proxywasm.HTTPStream.
func (c *streamCall) Cancel() { c.cancel() }

// run sends the request and takes the response.
func (c *streamCall) run(upstream string, r *http.Request) (*proxywasm.Headers, error) {
	response, err := c.d.upstream(upstream, r)
	if err != nil {
		return nil, c.failure(err)
	}
	defer response.Body.Close()
	h := proxywasm.MakeHeaders(":status", strconv.Itoa(response.StatusCode))
	addFields(h, response.Header)
	c.events.Headers(h)
	buffer := make([]byte, 16<<10)
	for {
		n, err := response.Body.Read(buffer)
		if n > 0 {
			c.came(buffer[:n])
		}
		if err != nil && err != io.EOF {
			return nil, c.failure(err)
		}
		left := window - 1
		if err == io.EOF {
			left = 0 // all of it is to be read before the end is told
		}
		if waiting := c.wait(left); waiting != nil {
			return nil, c.failure(waiting)
		}
		if err == io.EOF {
			break
		}
	}
	if len(response.Trailer) == 0 {
		return nil, nil
	}
	trailers := &proxywasm.Headers{}
	addFields(trailers, response.Trailer)
	return trailers, nil
}

// failure is why the call failed: as its time was over, if that is so.
func (c *streamCall) failure(err error) error {
	if c.over.Err() != nil {
		return context.Cause(c.over)
	}
	return err
}

// came keeps a part of the response, and tells of it unless the plugin knows
// that there is something.
func (c *streamCall) came(data []byte) {
	c.mu.Lock()
	c.in = append(c.in, data...)
	tell := !c.told
	c.told = true
	c.mu.Unlock()
	if tell {
		c.events.Readable()
	}
}

// wait waits until no more than n bytes of the response are to be read.
func (c *streamCall) wait(n int) error {
	for {
		c.mu.Lock()
		held := len(c.in)
		c.mu.Unlock()
		if held <= n {
			return nil
		}
		select {
		case <-c.inShrank:
		case <-c.over.Done():
			return errOver
		}
	}
}

// A streamBody is the request's body as net/http reads it.
type streamBody streamCall

// Read implements io.Reader.
func (b *streamBody) Read(p []byte) (int, error) {
	for {
		b.mu.Lock()
		n := copy(p, b.out)
		if b.out = b.out[n:]; len(b.out) == 0 {
			b.out = nil
		}
		writable := n > 0 && b.blocked && len(b.out) <= window/2
		if writable {
			b.blocked = false
		}
		ended := n == 0 && b.outEnds
		b.mu.Unlock()
		switch {
		case writable:
			b.events.Writable()
			return n, nil
		case n > 0:
			return n, nil
		case ended:
			return 0, io.EOF
		}
		select {
		case <-b.outGrows:
		case <-b.over.Done():
			return 0, errOver
		}
	}
}

// Close implements io.Closer: the upstream takes no more of the body, which a
// plugin that writes need not know.
func (b *streamBody) Close() error {
	b.mu.Lock()
	b.outEnds, b.out = true, nil
	blocked := b.blocked
	b.blocked = false
	b.mu.Unlock()
	if blocked {
		b.events.Writable()
	}
	return nil
}
