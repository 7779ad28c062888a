package filter

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hako-run/hako/proxywasm"
)

// TCP is a connection that is to pass a chain.
type TCP struct {
	// Client is the connection that was accepted. Here and in what Connect
	// returns, a method CloseWrite passes on that the other side sends no
	// more; without it, that is kept to oneself.
	Client net.Conn
	// Connect connects to the upstream. It is called once, when all filters
	// let the connection pass, and not again.
	Connect func(ctx context.Context) (net.Conn, error)
	// Describe fills in what is known of the connection beside its addresses
	// and TLS.
	Describe func(info *proxywasm.Info)
}

var (
	// ErrClosed is returned for a connection that a filter closed, or that was
	// closed for a filter that failed.
	ErrClosed = errors.New("a filter closed the connection")
	// ErrHeld is returned for a connection that a filter held for longer than
	// Options.Wait, while nothing came that it had not seen.
	ErrHeld = errors.New("a filter held the connection for too long")
)

// ServeTCP passes data between a client and its upstream until both sides have
// sent their last, and then returns nil. It closes both connections.
//
// The client's data pass the filters in their order, the upstream's in the
// reverse one. A filter that holds data goes on to be shown what comes, up to
// the least Limits.Body of the chain; then no more is read until it lets go.
// The upstream is connected to when every filter let the new connection pass;
// one that holds it is shown the client's data meanwhile, as in Envoy, and may
// let it pass by those. The end of ctx ends the connection, with its cause.
func (c *Chain) ServeTCP(ctx context.Context, conn TCP) error {
	t := newTunnel(ctx, c, conn)
	defer t.close()
	if err := t.down.run(); err != nil {
		t.cancel(err)
	}
	t.up.tasks.Wait()
	return context.Cause(t.ctx)
}

// A tunnel is one connection on its way through a chain. Each direction has a
// goroutine that makes its callbacks and writes, and one that reads.
type tunnel struct {
	tcp    TCP
	ctx    context.Context
	cancel context.CancelCauseFunc
	wait   time.Duration
	limit  int // bytes that a direction holds
	hops   []hop
	state  proxywasm.FilterState
	calls  sync.Mutex // held in a callback
	down   flow
	up     flow

	mu       sync.Mutex
	info     proxywasm.Info
	upstream net.Conn // nil before it is connected
}

// A hop is one filter of a tunnel, and the StreamHost of its stream.
type hop struct {
	t        *tunnel
	stream   *proxywasm.Stream
	opened   bool // it was shown the new connection
	down, up side
	snapshot proxywasm.Info // under tunnel.mu
}

// A side is what a hop holds of one direction.
type side struct {
	holding bool
	size    int  // bytes that came since then
	end     bool // the end came too
	opening bool // the new connection is held, and early is what came before it was shown
	early   []byte
}

func newTunnel(ctx context.Context, c *Chain, conn TCP) *tunnel {
	t := &tunnel{tcp: conn, wait: c.options.Wait}
	t.ctx, t.cancel = context.WithCancelCause(ctx)
	context.AfterFunc(t.ctx, t.hangUp)
	t.down = flow{t: t, dir: proxywasm.Downstream, from: conn.Client, wake: make(chan struct{}, 1)}
	t.up = flow{t: t, dir: proxywasm.Upstream, to: conn.Client, wake: make(chan struct{}, 1)}
	t.info = proxywasm.Info{Start: time.Now(), Source: addrPort(conn.Client.RemoteAddr()), Destination: addrPort(conn.Client.LocalAddr())}
	if secure, ok := conn.Client.(interface{ ConnectionState() tls.ConnectionState }); ok {
		state := secure.ConnectionState()
		t.info.TLS = &state
	}
	if conn.Describe != nil {
		conn.Describe(&t.info)
	}
	t.hops = make([]hop, len(c.filters))
	for i := range t.hops {
		h := &t.hops[i]
		f := c.filters[i]
		h.t, h.stream = t, f.Plugin.NewStream(f.Root, h)
		if most := f.Plugin.Limits().Body; t.limit == 0 || most < t.limit {
			t.limit = most
		}
	}
	return t
}

// hangUp closes the connections.
func (t *tunnel) hangUp() {
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.tcp.Client.Close()
	if t.upstream != nil {
		_ = t.upstream.Close()
	}
}

// connect reaches the upstream and has its direction begin.
func (t *tunnel) connect() error {
	conn, err := t.tcp.Connect(t.ctx)
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.upstream = conn
	t.info.Upstream, t.info.UpstreamLocal, t.info.UpstreamAttempts = addrPort(conn.RemoteAddr()), addrPort(conn.LocalAddr()), 1
	t.mu.Unlock()
	if t.ctx.Err() != nil {
		t.hangUp()
		return context.Cause(t.ctx)
	}
	t.down.to, t.up.from = conn, conn
	t.up.tasks.Go(func() {
		if err := t.up.run(); err != nil {
			t.cancel(err)
		}
	})
	return nil
}

// close ends the connections, and then the streams.
func (t *tunnel) close() {
	t.cancel(nil)
	t.hangUp()
	t.down.tasks.Wait()
	t.up.tasks.Wait()
	client := proxywasm.PeerLocal
	if t.down.ended {
		client = proxywasm.PeerRemote
	}
	for i := range t.hops {
		h := &t.hops[i]
		if h.opened {
			if t.upstream != nil && !t.up.ended {
				h.stream.UpstreamClose(proxywasm.PeerLocal)
			} else if t.upstream != nil && !h.up.end {
				h.stream.UpstreamClose(proxywasm.PeerRemote)
			}
			h.stream.DownstreamClose(client)
		}
		h.stream.Close()
	}
}

// A flow is one direction.
type flow struct {
	t        *tunnel
	dir      proxywasm.StreamType
	from, to net.Conn
	wake     chan struct{}  // a filter lets go
	tasks    sync.WaitGroup // of its reader, and of the flow itself for that of the upstream
	held     int
	ended    bool // from has sent its last, or failed
	over     bool // to was told
}

// run passes data on until the end was passed on.
func (f *flow) run() error {
	if f.dir == proxywasm.Downstream {
		if err := f.pass(0, nil, false); err != nil {
			return err
		}
	}
	reads, next := make(chan read), make(chan struct{}, 1)
	f.tasks.Go(func() { f.read(reads, next) })
	late := time.NewTimer(f.t.wait)
	defer late.Stop()
	for !f.over {
		input, expired := reads, late.C
		if f.held >= f.t.limit && f.held > 0 {
			input = nil
		}
		if f.holds() {
			late.Reset(f.t.wait)
		} else {
			expired = nil
		}
		var err error
		select {
		case r := <-input:
			f.ended = r.err != nil
			if f.ended && r.err != io.EOF {
				return r.err
			}
			err = f.pass(0, r.data, f.ended)
			next <- struct{}{}
		case <-f.wake:
			err = f.resume()
		case <-expired:
			err = ErrHeld
		case <-f.t.ctx.Done():
			err = context.Cause(f.t.ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// read reads a chunk at a time, each when the one before was dealt with.
func (f *flow) read(to chan<- read, next <-chan struct{}) {
	buffer := make([]byte, chunk)
	for {
		n, err := f.from.Read(buffer)
		for _, r := range [2]read{{data: buffer[:n]}, {err: err}} {
			if len(r.data) == 0 && r.err == nil {
				continue
			}
			select {
			case to <- r:
			case <-f.t.ctx.Done():
				return
			}
			select {
			case <-next:
			case <-f.t.ctx.Done():
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// hop returns the filter that sees this direction as the i-th, and what it
// holds of it.
func (f *flow) hop(i int) (*hop, *side) {
	if f.dir == proxywasm.Downstream {
		h := &f.t.hops[i]
		return h, &h.down
	}
	h := &f.t.hops[len(f.t.hops)-1-i]
	return h, &h.up
}

func (f *flow) holds() bool {
	for i := range f.t.hops {
		if _, s := f.hop(i); s.holding {
			return true
		}
	}
	return false
}

// pass shows data, if there are some, to the filters from the i-th on.
func (f *flow) pass(i int, data []byte, end bool) error {
	for ; i < len(f.t.hops); i++ {
		h, s := f.hop(i)
		if f.dir == proxywasm.Downstream && !h.opened {
			h.opened = true
			if f.call(h.stream.NewConnection) != proxywasm.Continue {
				*s = side{holding: true, size: len(data), end: end, opening: true, early: append([]byte(nil), data...)}
				f.held += s.size
				return nil
			}
		}
		if len(data) == 0 && !end {
			if s.holding {
				return nil
			}
			continue
		}
		if s.opening {
			data = append(s.early, data...)
			f.drop(s)
		}
		if f.show(h, data, end) != proxywasm.Continue {
			s.holding, s.end = true, end
			s.size += len(data)
			f.held += len(data)
			return nil
		}
		data = h.stream.TakeBody(f.dir)
		f.drop(s)
		s.end = end
	}
	return f.deliver(data, end)
}

// show makes the callback of data.
func (f *flow) show(h *hop, data []byte, end bool) proxywasm.Action {
	if f.dir == proxywasm.Downstream {
		return f.call(func() proxywasm.Action { return h.stream.DownstreamData(data, end) })
	}
	return f.call(func() proxywasm.Action {
		a := h.stream.UpstreamData(data, end)
		if end {
			h.stream.UpstreamClose(proxywasm.PeerRemote)
		}
		return a
	})
}

func (f *flow) call(callback func() proxywasm.Action) proxywasm.Action {
	f.t.calls.Lock()
	defer f.t.calls.Unlock()
	return callback()
}

// drop forgets that a filter holds something.
func (f *flow) drop(s *side) {
	f.held -= s.size
	*s = side{}
}

// resume passes on what filters hold no more; what is nearest to the other
// end goes first.
func (f *flow) resume() error {
	for i := len(f.t.hops) - 1; i >= 0; i-- {
		h, s := f.hop(i)
		if !s.holding || h.stream.Paused(f.dir) {
			continue
		}
		was := *s
		f.drop(s)
		s.end = was.end
		next, data := i+1, was.early
		switch {
		case !was.opening:
			data = h.stream.TakeBody(f.dir)
		case was.size > 0 || was.end:
			next = i // it has not been shown these
		}
		if err := f.pass(next, data, was.end); err != nil {
			return err
		}
	}
	return nil
}

// deliver sends what all filters have let pass.
func (f *flow) deliver(data []byte, end bool) error {
	if f.to == nil {
		if err := f.t.connect(); err != nil {
			return err
		}
	}
	if len(data) > 0 {
		if _, err := f.to.Write(data); err != nil {
			return err
		}
	}
	if end {
		f.over = true
		if c, ok := f.to.(interface{ CloseWrite() error }); ok {
			return c.CloseWrite()
		}
	}
	return nil
}

// Headers implements proxywasm.StreamHost: there are none.
func (h *hop) Headers(proxywasm.MapType) *proxywasm.Headers { return nil }

// AddTrailers implements proxywasm.StreamHost.
func (h *hop) AddTrailers(proxywasm.MapType) *proxywasm.Headers { return nil }

// Info implements proxywasm.StreamHost.
func (h *hop) Info() *proxywasm.Info {
	h.t.mu.Lock()
	defer h.t.mu.Unlock()
	h.snapshot = h.t.info
	return &h.snapshot
}

// FilterState implements proxywasm.StreamHost.
func (h *hop) FilterState() *proxywasm.FilterState { return &h.t.state }

// Resume implements proxywasm.StreamHost.
func (h *hop) Resume(dir proxywasm.StreamType) {
	f := &h.t.down
	if dir == proxywasm.Upstream {
		f = &h.t.up
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Reset implements proxywasm.StreamHost. Either side takes the other along.
func (h *hop) Reset(proxywasm.StreamType) { h.t.cancel(ErrClosed) }

// Respond implements proxywasm.StreamHost. A connection has no response.
func (h *hop) Respond(*proxywasm.LocalResponse) { h.t.cancel(ErrClosed) }

// ClearRouteCache implements proxywasm.StreamHost.
func (h *hop) ClearRouteCache() {}

// addrPort returns an address of TCP, or none.
func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort()
	}
	return netip.AddrPort{}
}
