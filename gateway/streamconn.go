package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// connIDs counts the connections of clients, those of streams included.
var connIDs atomic.Uint64

// A streamConn is a connection of a stream, from its beginning to its line in
// the log.
type streamConn struct {
	gateway *Gateway
	stream  *stream
	began   time.Time
	raw     net.Conn // the client's, below TLS
	ctx     context.Context
	cancel  context.CancelCauseFunc

	received, sent atomic.Int64 // from the client, and to it
	moved          atomic.Int64 // when something did last, since began
	broken         atomic.Bool

	mu       sync.Mutex
	client   net.Conn // as the upstream sees it
	upstream net.Conn // nil before it is connected
	target   *target  // the last that was tried
	dialing  time.Duration
	failed   error // to connect
	timer    *time.Timer
}

// serve passes a connection on until it ends. The stream's state is held; it
// is let go of when the connection needs nothing of it any more.
func (s *stream) serve(conn net.Conn) {
	g := s.state.gateway
	c := &streamConn{gateway: g, stream: s, began: time.Now(), raw: conn, client: conn}
	leave := sync.OnceFunc(s.state.done)
	defer leave()
	c.ctx, c.cancel = context.WithCancelCause(g.base)
	stop := context.AfterFunc(c.ctx, c.hangUp)
	s.metrics.open.Inc()
	err := c.run(leave)
	if stop() {
		c.hangUp()
	}
	s.metrics.open.Dec()
	if cause := context.Cause(c.ctx); cause != nil {
		if err = cause; errors.Is(cause, context.Canceled) {
			err = errShutdown
		}
	}
	c.cancel(nil)
	if c.target != nil && c.upstream != nil {
		c.target.open.Add(-1)
	}
	c.record(err)
}

func (c *streamConn) run(leave func()) error {
	s := c.stream
	defer s.open.Add(-1)
	if n := s.open.Add(1); s.config.MaxConnections > 0 && n > int64(s.config.MaxConnections) {
		return errFull
	}
	var state *tls.ConnectionState
	if s.tls != nil {
		secure := tls.Server(c.raw, s.tls)
		ctx, cancel := context.WithTimeout(c.ctx, s.shake)
		err := secure.HandshakeContext(ctx)
		cancel()
		if err != nil {
			return fmt.Errorf("%w: %w", errHandshake, err)
		}
		st := secure.ConnectionState()
		state = &st
		c.mu.Lock()
		c.client = secure
		c.mu.Unlock()
	}
	defer c.watch()()
	if s.filter != nil {
		return s.filter.ServeStream(c.ctx, &StreamConn{
			Client: &meter{Conn: c.client, c: c, in: &c.received, out: &c.sent},
			ID:     connIDs.Add(1),
			TLS:    state,
			Connect: func(ctx context.Context) (net.Conn, error) {
				conn, err := c.connect(ctx, leave)
				if err != nil {
					return nil, err
				}
				return &meter{Conn: conn, c: c}, nil
			},
		})
	}
	up, err := c.connect(c.ctx, leave)
	if err != nil {
		return err
	}
	var back sync.WaitGroup
	back.Go(func() {
		if err := c.pump(c.client, up, &c.sent, c.stream.metrics.sent.Add); err != nil {
			c.cancel(err)
		}
	})
	if err := c.pump(up, c.client, &c.received, c.stream.metrics.received.Add); err != nil {
		c.cancel(err)
	}
	back.Wait()
	return nil
}

// connect reaches the upstream.
func (c *streamConn) connect(ctx context.Context, leave func()) (net.Conn, error) {
	began := time.Now()
	conn, t, err := c.stream.dial(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.target, c.dialing = t, time.Since(began)
	if err != nil {
		c.failed = err
		return nil, err
	}
	if c.ctx.Err() != nil {
		_ = conn.Close()
		return nil, context.Cause(c.ctx)
	}
	c.stream.metrics.connect.Observe(c.dialing.Seconds())
	c.upstream = conn
	t.open.Add(1)
	c.touch()
	leave()
	return conn, nil
}

// hangUp closes both connections.
func (c *streamConn) hangUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client != c.raw && !c.broken.Load() {
		_ = c.client.Close() // which tells the client by TLS
	}
	_ = c.raw.Close()
	if c.upstream != nil {
		_ = c.upstream.Close()
	}
}

// broke has both connections end with a reset, so that nobody takes what came
// for whole.
func (c *streamConn) broke() {
	if c.broken.Swap(true) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range [...]net.Conn{c.raw, c.upstream} {
		if t, ok := conn.(*net.TCPConn); ok {
			_ = t.SetLinger(0)
		}
	}
}

func (c *streamConn) touch() { c.moved.Store(int64(time.Since(c.began))) }

// watch ends the connection when nothing has moved for too long, until the
// function that it returns is called.
//
// What goes through the kernel alone is not seen while it goes: a read
// deadline that has passed has pump look how much it was, at each beat.
func (c *streamConn) watch() (stop func()) {
	idle := c.stream.config.Timeouts.Idle.D()
	beat := min(idle/4, 15*time.Second)
	c.touch()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(beat, func() {
		if time.Since(c.began)-time.Duration(c.moved.Load()) > idle+beat {
			c.cancel(errIdle)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.timer != nil {
			c.nudge()
			c.timer.Reset(beat)
		}
	})
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.timer.Stop()
		c.timer = nil
	}
}

// nudge interrupts pump in its reads. c.mu is held.
func (c *streamConn) nudge() {
	if c.stream.filter != nil {
		return // meters see everything
	}
	if c.upstream == nil {
		return
	}
	now := time.Now()
	_ = c.client.SetReadDeadline(now)
	_ = c.upstream.SetReadDeadline(now)
}

// spliced is how much is moved within the kernel before it is counted.
const spliced = 256 << 10

// pump passes on what one side sends, and its end.
func (c *streamConn) pump(to, from net.Conn, total *atomic.Int64, count func(float64)) error {
	step := c.copier(to, from)
	for {
		n, err := step()
		if n > 0 {
			total.Add(n)
			count(float64(n))
			c.touch()
		}
		switch {
		case err == nil:
		case err == io.EOF:
			if w, ok := to.(interface{ CloseWrite() error }); ok {
				return c.lost(w.CloseWrite())
			}
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			_ = from.SetReadDeadline(time.Time{}) // it was nudged
		default:
			return c.lost(err)
		}
	}
}

// lost notes an error of a connection.
func (c *streamConn) lost(err error) error {
	if err != nil && c.ctx.Err() == nil {
		c.broke()
	}
	return err
}

// copier returns what moves some data, or fails with io.EOF at the end: within
// the kernel where that can be (splice).
func (c *streamConn) copier(to, from net.Conn) func() (int64, error) {
	out, ok := to.(*net.TCPConn)
	switch from.(type) {
	case *net.TCPConn, *net.UnixConn:
		if ok {
			limited := &io.LimitedReader{R: from}
			return func() (int64, error) {
				limited.N = spliced
				n, err := out.ReadFrom(limited)
				if err == nil && n < spliced {
					err = io.EOF
				}
				return n, err
			}
		}
	}
	buffer := make([]byte, 32<<10)
	return func() (int64, error) {
		n, err := from.Read(buffer)
		if n > 0 {
			if n, err := to.Write(buffer[:n]); err != nil {
				return int64(n), err
			}
		}
		return int64(n), err
	}
}

// A meter is a connection that filters read and write.
type meter struct {
	net.Conn
	c       *streamConn
	in, out *atomic.Int64 // nil where nothing is counted
}

// Read implements net.Conn.
func (m *meter) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	m.note(n, err, m.in)
	if m.in != nil {
		m.c.stream.metrics.received.Add(float64(n))
	}
	return n, err
}

// Write implements net.Conn.
func (m *meter) Write(p []byte) (int, error) {
	n, err := m.Conn.Write(p)
	m.note(n, err, m.out)
	if m.out != nil {
		m.c.stream.metrics.sent.Add(float64(n))
	}
	return n, err
}

func (m *meter) note(n int, err error, total *atomic.Int64) {
	if n > 0 {
		m.c.touch()
		if total != nil {
			total.Add(int64(n))
		}
	}
	if err != nil && err != io.EOF && !errors.Is(err, net.ErrClosed) {
		_ = m.c.lost(err)
	}
}

// CloseWrite passes on that no more comes.
func (m *meter) CloseWrite() error {
	if w, ok := m.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// why says why a connection ended with an error, or without.
func (c *streamConn) why(err error) streamEnd {
	switch {
	case err == nil:
		return endDone
	case errors.Is(err, errShutdown):
		return endShutdown
	case errors.Is(err, errIdle):
		return endIdle
	case errors.Is(err, errFull):
		return endLimit
	case errors.Is(err, errHandshake):
		return endTLS
	case c.failed != nil:
		return endUpstream
	case c.broken.Load(), c.stream.filter == nil:
		return endBroken
	}
	return endFilter
}

// record notes a connection that has ended in metrics and log.
func (c *streamConn) record(err error) {
	took, end := time.Since(c.began), c.why(err)
	m := c.stream.metrics
	m.ends[end].Inc()
	m.duration.Observe(took.Seconds())
	if end == endUpstream {
		c.gateway.log.Warn("no server of an upstream took a connection", "stream", c.stream.config.Name, "upstream", c.stream.upstream.name, "error", err)
	}
	state := c.gateway.acquire()
	if state == nil {
		return
	}
	defer state.done()
	l := state.log
	if l == nil {
		return
	}
	if l.combined {
		_, _ = l.Write(c.appendCombined(nil, end))
		return
	}
	a := []slog.Attr{
		slog.String("client", c.raw.RemoteAddr().String()),
		slog.String("stream", c.stream.config.Name),
		slog.String("end", string(end)),
		slog.Int64("received", c.received.Load()),
		slog.Int64("bytes", c.sent.Load()),
		slog.Float64("ms", float64(took.Microseconds())/1000),
	}
	if c.target != nil {
		a = append(a, slog.String("upstream", c.target.label), slog.Float64("connect_ms", float64(c.dialing.Microseconds())/1000))
	}
	if err != nil {
		a = append(a, slog.String("error", err.Error()))
	}
	l.json.LogAttrs(context.Background(), slog.LevelInfo, "connection", a...)
}

// appendCombined appends the line that a connection has among those of
// requests.
func (c *streamConn) appendCombined(b []byte, end streamEnd) []byte {
	b = append(b, c.raw.RemoteAddr().String()...)
	b = append(b, " - - ["...)
	b = c.began.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, "] \"TCP "...)
	b = appendEscaped(b, c.stream.config.Name)
	b = append(b, "\" "...)
	b = strconv.AppendInt(b, int64(end.status()), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, c.sent.Load(), 10)
	return append(b, " \"-\" \"-\"\n"...)
}
