package gateway

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// Frames of HTTP/2 that cost a client nothing and move no request (CVE-2019-9515,
// CVE-2019-9518, CVE-2019-9513): a connection may send frameBurst of them, and
// more with time and with frames that do move one. net/http itself ends
// connections that flood it with resets, pings or headers.
const (
	frameBurst  = 1000
	frameRefill = 100 // a second
)

var errFrameFlood = errors.New("the client sends too many HTTP/2 frames that move no request")

// Types of frames (RFC 9113, section 6).
const (
	frameData         = 0
	framePriority     = 2
	frameSettings     = 4
	frameContinuation = 9
)

// A frameCount counts the frames in what a client sends, after the preface.
type frameCount struct {
	head   [9]byte // of the frame that is arriving
	have   int     // bytes of head
	skip   int     // bytes of the frame's payload that are still to come
	tokens int
	filled time.Time
}

func newFrameCount() frameCount { return frameCount{tokens: frameBurst, filled: time.Now()} }

// add takes the next bytes, and reports whether the client may go on.
func (c *frameCount) add(p []byte) bool {
	for len(p) > 0 {
		if c.skip > 0 {
			n := min(c.skip, len(p))
			c.skip -= n
			p = p[n:]
			continue
		}
		n := copy(c.head[c.have:], p)
		c.have += n
		p = p[n:]
		if c.have < len(c.head) {
			break
		}
		c.have = 0
		length := int(c.head[0])<<16 | int(c.head[1])<<8 | int(c.head[2])
		c.skip = length
		if !c.frame(c.head[3], c.head[4], length) {
			return false
		}
	}
	return true
}

func (c *frameCount) frame(kind, flags byte, length int) bool {
	switch {
	case kind == frameData && length == 0 && flags&1 == 0, // it ends no stream either
		kind == frameContinuation && length == 0,
		kind == frameSettings && flags&1 == 0, // it acknowledges none
		kind == framePriority, kind > frameContinuation:
	default:
		if c.tokens < frameBurst {
			c.tokens++
		}
		return true
	}
	if c.tokens--; c.tokens >= 0 {
		return true
	}
	now := time.Now()
	c.tokens = min(frameBurst, int(now.Sub(c.filled).Seconds()*frameRefill)) - 1
	c.filled = now
	return c.tokens >= 0
}

// A framedConn is a connection of HTTP/2, past its preface, that ends when the
// client floods it with frames.
type framedConn struct {
	net.Conn
	count frameCount // of the one goroutine that reads
	flood func()
}

func (c *framedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.count.add(p[:n]) {
		c.flood()
		return 0, errFrameFlood
	}
	return n, err
}

// A framedTLS is a framedConn by TLS, which net/http finds out by the method.
type framedTLS struct {
	framedConn
	tls *tls.Conn
}

// ConnectionState returns that of the connection below.
func (c *framedTLS) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// A handover carries a connection in a *tls.Conn to net/http's HTTP/2, as
// net/http itself does with those without TLS.
type handover struct {
	net.Conn
	conn net.Conn
}

// UnencryptedNetConn returns the connection; net/http looks for the method.
func (h handover) UnencryptedNetConn() net.Conn { return h.conn }

func hand(conn net.Conn) *tls.Conn { return tls.Client(handover{conn: conn}, nil) }

// unencrypted is net/http's name for HTTP/2 whose preface has been read.
const unencrypted = "unencrypted_http2"

// An endedListener accepts nothing.
type endedListener struct{ net.Listener }

func (endedListener) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (endedListener) Close() error              { return nil }
func (endedListener) Addr() net.Addr            { return &net.TCPAddr{} }

// countFrames puts the count between a server's connections and net/http's
// HTTP/2, which has to be set up for that: it is when the server begins to
// serve.
func countFrames(s *http.Server, secure bool, flood func()) {
	if secure {
		_ = s.ServeTLS(endedListener{}, "", "")
	} else {
		_ = s.Serve(endedListener{})
	}
	next := s.TLSNextProto[unencrypted]
	if next == nil {
		return // no HTTP/2
	}
	s.TLSNextProto[unencrypted] = func(s *http.Server, c *tls.Conn, h http.Handler) {
		if plain, ok := c.NetConn().(interface{ UnencryptedNetConn() net.Conn }); ok {
			c = hand(&framedConn{plain.UnencryptedNetConn(), newFrameCount(), flood})
		}
		next(s, c, h)
	}
	if !secure {
		return
	}
	within := s.ReadHeaderTimeout
	s.TLSNextProto["h2"] = func(s *http.Server, c *tls.Conn, h http.Handler) {
		const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
		var got [len(preface)]byte
		if within > 0 {
			_ = c.SetReadDeadline(time.Now().Add(within))
		}
		if _, err := io.ReadFull(c, got[:]); err != nil || string(got[:]) != preface {
			return // net/http closes it
		}
		_ = c.SetReadDeadline(time.Time{})
		next(s, hand(&framedTLS{framedConn{c, newFrameCount(), flood}, c}), h)
	}
}
