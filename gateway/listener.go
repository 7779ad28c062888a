package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hako-run/hako/config"
)

// A listener is one address of server.listen. The http.Server behind it is made
// anew when settings that it cannot change have changed. Connections of the one
// before are served on and asked to close.
type listener struct {
	*acceptor
	quic *quicListener // nil without HTTP/3

	mu       sync.Mutex
	settings serverSettings
	front    *front // in force; nil before the first configure
	fronts   []*front
	started  bool
	tasks    sync.WaitGroup
}

// serverSettings are what an http.Server keeps for its lifetime.
type serverSettings struct {
	header, idle time.Duration
	headerBytes  int
	streams      int
	h2c          bool
	tls          bool
	minTLS       uint16
	altSvc       string
}

// A front is an http.Server with the connections that were given to it. When
// another is in force and its last connection has ended, it is closed.
type front struct {
	server *server
	http   *http.Server
	tls    bool
	conns  chan net.Conn
	open   atomic.Int64 // connections
	addr   net.Addr
	closed chan struct{}
	once   sync.Once
}

// Accept implements net.Listener.
func (f *front) Accept() (net.Conn, error) {
	select {
	case c := <-f.conns:
		return c, nil
	case <-f.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (f *front) Close() error {
	f.once.Do(func() { close(f.closed) })
	return nil
}

// Addr implements net.Listener.
func (f *front) Addr() net.Addr { return f.addr }

// openListeners returns the listeners of a configuration in its order: those
// of g that stay, and new ones, which opened has again.
func (g *Gateway) openListeners(c *config.Config) (all, opened []*listener, err error) {
	for _, want := range c.Server.Listen {
		kept := len(all)
		for _, l := range g.listeners { // systemd may have passed several
			if l.config.Network == want.Network && l.config.Address == want.Address && !slices.Contains(all, l) {
				all = append(all, l)
				if want.Network != "systemd" { // as port 0 may be asked for twice
					break
				}
			}
		}
		if len(all) > kept {
			continue
		}
		sockets, err := g.acceptors(want)
		if err != nil {
			return nil, opened, err
		}
		for _, a := range sockets {
			l := &listener{acceptor: a}
			all, opened = append(all, l), append(opened, l)
		}
	}
	for _, l := range opened {
		if c.Server.HTTP3 && l.config.TLS && l.config.Network == "tcp" {
			if l.quic, err = openQUIC(g, l.socket.Addr().String()); err != nil {
				return nil, opened, err
			}
		}
	}
	return all, opened, nil
}

// listen opens the sockets of an address; those from systemd may be several.
func (g *Gateway) listen(l config.Listen) ([]net.Listener, error) {
	switch l.Network {
	case "systemd":
		return g.inherited.take(l.Address)
	case "unix":
		removeStale(l.Address)
	}
	socket, err := net.Listen(l.Network, l.Address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", l, err)
	}
	return []net.Listener{socket}, nil
}

// removeStale removes a socket file that nobody listens on any more.
func removeStale(path string) {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&os.ModeSocket == 0 {
		return
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = conn.Close()
		return // in use: listening will say so
	}
	_ = os.Remove(path)
}

// configure puts settings in force, with a new http.Server where they differ.
func (l *listener) configure(c *config.Server) {
	l.mu.Lock()
	defer l.mu.Unlock()
	secure := l.config.TLS
	for _, want := range c.Listen {
		if want.Network == l.config.Network && want.Address == l.config.Address {
			if secure = want.TLS; secure == l.config.TLS { // port 0 may be asked for with and without
				break
			}
		}
	}
	l.config.TLS = secure
	s := serverSettings{
		header: c.Timeouts.Header.D(), idle: c.Timeouts.Idle.D(), headerBytes: int(c.Limits.Header), streams: c.Limits.Streams, h2c: c.H2C,
	}
	if l.quic != nil {
		_, port, _ := net.SplitHostPort(l.socket.Addr().String())
		s.altSvc = `h3=":` + port + `"; ma=86400`
	}
	if l.config.TLS {
		s.tls, s.minTLS = true, minTLS(c.TLS)
	}
	old := l.front
	if old != nil && s == l.settings {
		return
	}
	l.settings = s
	l.front = l.newFront(s)
	l.fronts = append(l.fronts, l.front)
	if l.started {
		l.serve(l.front)
	}
	if old != nil {
		old.server.retired.Store(true)
		if old.open.Load() == 0 {
			l.drop(old)
		}
	}
}

// drop ends a front without connections. l.mu is held.
func (l *listener) drop(f *front) {
	_ = f.Close()
	l.fronts = slices.DeleteFunc(slices.Clone(l.fronts), func(other *front) bool { return other == f })
}

// connState takes connections that have ended from a front's count; accept
// adds them.
func (l *listener) connState(f *front) func(net.Conn, http.ConnState) {
	return func(conn net.Conn, state http.ConnState) {
		if state == http.StateActive {
			answerSlow(conn)
			return
		}
		if state != http.StateClosed && state != http.StateHijacked {
			return
		}
		if f.open.Add(-1) == 0 && f.server.retired.Load() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if f != l.front && f.open.Load() == 0 {
				l.drop(f)
			}
		}
	}
}

func (l *listener) newFront(s serverSettings) *front {
	g := l.gateway
	_, unix := l.socket.(*net.UnixListener)
	srv := &server{gateway: g, tls: s.tls, unix: unix, altSvc: s.altSvc}
	f := &front{server: srv, tls: s.tls, conns: make(chan net.Conn), addr: l.socket.Addr(), closed: make(chan struct{})}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(s.tls)
	protocols.SetUnencryptedHTTP2(s.h2c && !s.tls)
	f.http = &http.Server{
		Handler:           g.certs.challenges(srv),
		ReadHeaderTimeout: s.header,
		IdleTimeout:       s.idle,
		MaxHeaderBytes:    max(s.headerBytes-4096, 1024), // net/http allows 4 KiB more
		Protocols:         protocols,
		BaseContext:       func(net.Listener) context.Context { return g.base },
		ConnContext:       func(ctx context.Context, _ net.Conn) context.Context { return newConnContext(ctx) },
		ErrorLog:          slog.NewLogLogger(g.log.Handler(), slog.LevelDebug), // what clients do wrong
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: s.streams,
			SendPingTimeout:      s.idle,
			PingTimeout:          15 * time.Second,
			WriteByteTimeout:     30 * time.Second,
		},
	}
	f.http.ConnState = l.connState(f)
	if s.tls {
		f.http.TLSConfig = g.certs.tlsConfig(s.minTLS)
		f.http.Handler = srv
	}
	if s.tls || s.h2c {
		countFrames(f.http, s.tls, g.metrics.floods.Inc)
	}
	return f
}

// start begins to accept. It may be called again.
func (l *listener) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.started {
		return
	}
	l.started = true
	l.serve(l.front)
	l.tasks.Go(func() { l.each(l.accept) })
	if l.quic != nil {
		l.quic.start(l.front.server)
	}
}

func (l *listener) serve(f *front) {
	l.tasks.Go(func() {
		var err error
		if f.tls {
			err = f.http.ServeTLS(f, "", "")
		} else {
			err = f.http.Serve(f)
		}
		if !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			l.gateway.log.Error("a listener has ended", "listen", l.address(), "error", err)
		}
	})
}

// accept hands a connection to the front that is in force.
func (l *listener) accept(conn net.Conn) {
	conn = l.gateway.slots.wrap(conn, l.gateway.metrics.connections.Dec)
	for {
		l.mu.Lock()
		f := l.front
		f.open.Add(1)
		l.mu.Unlock()
		select {
		case f.conns <- conn:
			return
		case <-f.closed: // the listener ends
			f.open.Add(-1)
			select {
			case <-l.stopped:
				_ = conn.Close()
				return
			default:
			}
		}
	}
}

// retire ends a listener that is configured no more, when the last request of
// it has ended.
func (l *listener) retire() {
	l.mu.Lock()
	for _, f := range l.fronts {
		f.server.retired.Store(true)
	}
	l.mu.Unlock()
	l.stopAccepting()
	g := l.gateway
	limit := g.Config().Server.Timeouts.Shutdown.D()
	g.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(g.base, limit)
		defer cancel()
		_ = l.shutdown(ctx)
		l.close()
	})
}

// shutdown waits until all requests have ended.
func (l *listener) shutdown(ctx context.Context) error {
	l.stopAccepting()
	l.mu.Lock()
	fronts := l.fronts
	l.mu.Unlock()
	var err error
	if l.quic != nil {
		err = l.quic.shutdown(ctx)
	}
	for _, f := range fronts {
		_ = f.Close()
		if e := f.http.Shutdown(ctx); e != nil {
			err = e
		}
	}
	return err
}

// close ends the listener and its connections at once.
func (l *listener) close() {
	l.stopAccepting()
	l.mu.Lock()
	fronts := l.fronts
	l.mu.Unlock()
	if l.quic != nil {
		l.quic.close()
	}
	for _, f := range fronts {
		_ = f.Close()
		_ = f.http.Close()
	}
	l.tasks.Wait()
}

// slots bound how many connections there are on all listeners.
type slots struct {
	mu    sync.Mutex
	limit int
	used  int
	freed chan struct{} // closed and made anew whenever one may be free
}

func newSlots() *slots { return &slots{freed: make(chan struct{})} }

func (s *slots) setLimit(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = n
	close(s.freed)
	s.freed = make(chan struct{})
}

// take waits for a free slot, and reports false if stop is closed before.
func (s *slots) take(stop <-chan struct{}) bool {
	for {
		s.mu.Lock()
		if s.used < s.limit {
			s.used++
			s.mu.Unlock()
			return true
		}
		freed := s.freed
		s.mu.Unlock()
		select {
		case <-freed:
		case <-stop:
			return false
		}
	}
}

func (s *slots) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used--; s.used == s.limit-1 {
		close(s.freed)
		s.freed = make(chan struct{})
	}
}

func minTLS(c *config.TLS) uint16 {
	if c != nil && c.MinVersion == "1.3" {
		return tls.VersionTLS13
	}
	return tls.VersionTLS12
}

// portOf returns the port of an address, or 0.
func portOf(address string) int {
	_, port, _ := net.SplitHostPort(address)
	n, _ := strconv.Atoi(port)
	return n
}
