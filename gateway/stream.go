package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/hako-run/hako/config"
)

// A StreamRoute is a [[stream]] whose connections are to pass filters.
type StreamRoute struct {
	Config *config.Stream

	state *state
}

// Gateway returns the gateway that the stream is one of.
func (s StreamRoute) Gateway() *Gateway { return s.state.gateway }

// A StreamFilter passes connections through filters.
type StreamFilter interface {
	// ServeStream passes data between c.Client and what c.Connect returns
	// until both sides have sent their last, and then returns nil. It closes
	// both. The end of ctx ends it.
	ServeStream(ctx context.Context, c *StreamConn) error
}

// A StreamConn is a connection of a client that is to pass filters.
type StreamConn struct {
	// Client is the client's connection, with TLS taken off. It has a method
	// CloseWrite, as what Connect returns does.
	Client net.Conn
	// ID differs between all connections of streams of this process.
	ID uint64
	// TLS is what the client's connection was made with, or nil.
	TLS *tls.ConnectionState
	// Connect reaches a server of the upstream. It is called once.
	Connect func(ctx context.Context) (net.Conn, error)
}

// A stream is a [[stream]] made ready.
type stream struct {
	state    *state
	config   *config.Stream
	upstream *upstream
	filter   StreamFilter // nil without filters
	tls      *tls.Config  // nil without TLS
	connect  time.Duration
	shake    time.Duration
	open     *atomic.Int64 // connections of the stream of this name
	metrics  *streamMetrics
}

// newStream makes a stream. g.mu is held.
func (s *state) newStream(c *config.Stream) (*stream, error) {
	g := s.gateway
	u, err := s.upstream(c.Upstream)
	if err != nil {
		return nil, err
	}
	n := &stream{
		state: s, config: c, upstream: u, connect: u.config.Timeouts.Connect.D(), shake: s.config.Server.Timeouts.Header.D(),
		open: g.openStreams[c.Name], metrics: g.metrics.stream(c.Name),
	}
	if n.open == nil {
		n.open = &atomic.Int64{}
		g.openStreams[c.Name] = n.open
	}
	if c.Timeouts.Connect != nil {
		n.connect = c.Timeouts.Connect.D()
	}
	if c.TLS {
		n.tls = g.certs.tlsConfig(minTLS(s.config.Server.TLS))
		n.tls.NextProtos = nil // it is no HTTP
	}
	if len(c.Filters) == 0 {
		return n, nil
	}
	if g.options.StreamFilters == nil {
		return nil, fmt.Errorf("this server runs no filters: take filter %q out", c.Filters[0].Name)
	}
	if n.filter, err = g.options.StreamFilters(StreamRoute{Config: c, state: s}); err != nil {
		return nil, fmt.Errorf("filters: %w", err)
	}
	if rel, ok := n.filter.(Releaser); ok {
		s.closers = append(s.closers, rel.Release)
	}
	return n, nil
}

// dial reaches a server of the upstream: another one where one does not take
// the connection.
func (s *stream) dial(ctx context.Context) (net.Conn, *target, error) {
	u := s.upstream
	dialer := net.Dialer{Timeout: s.connect, KeepAlive: 30 * time.Second}
	var tried *target
	for attempt := 0; ; attempt++ {
		t := u.pick(tried)
		if t == nil {
			return nil, nil, errNoServer
		}
		conn, err := dialer.DialContext(ctx, t.network, t.address)
		if err == nil {
			t.succeeded()
			return conn, t, nil
		}
		if ctx.Err() != nil {
			return nil, t, err // not the server's fault
		}
		t.failed(err)
		if attempt >= u.config.Retries || len(u.targets) < 2 {
			return nil, t, err
		}
		u.metrics.retries.Inc()
		tried = t
	}
}

// A streamEnd says why a connection ended, in metrics and log.
type streamEnd string

const (
	endDone     streamEnd = "done"     // both sides have sent their last
	endBroken   streamEnd = "broken"   // one of them went away before
	endIdle     streamEnd = "idle"     // nothing moved for too long
	endFilter   streamEnd = "filter"   // a filter closed it, held it for too long, or failed
	endUpstream streamEnd = "upstream" // no server took it
	endLimit    streamEnd = "limit"    // there were too many
	endTLS      streamEnd = "tls"      // the handshake failed
	endShutdown streamEnd = "shutdown" // the server ended
)

var streamEnds = [...]streamEnd{endDone, endBroken, endIdle, endFilter, endUpstream, endLimit, endTLS, endShutdown}

// status is what nginx logs for connections: a status as HTTP has them.
func (e streamEnd) status() int {
	switch e {
	case endDone:
		return 200
	case endFilter:
		return 403
	case endTLS:
		return 400
	case endUpstream:
		return 502
	case endLimit, endShutdown:
		return 503
	}
	return 500
}

var (
	errIdle      = errors.New("nothing moved for too long")
	errFull      = errors.New("the stream has as many connections as it may")
	errShutdown  = errors.New("the server ends")
	errHandshake = errors.New("the TLS handshake failed")
)
