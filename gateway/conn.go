package gateway

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// wrap gives the slot back when the connection is closed. The wrapped
// connection keeps the ways around user space that the kernel has.
func (s *slots) wrap(c net.Conn, closed func()) net.Conn {
	release := sync.OnceFunc(func() {
		s.give()
		closed()
	})
	switch c := c.(type) {
	case *net.TCPConn:
		return &tcpConn{TCPConn: c, release: release}
	case *net.UnixConn:
		return &unixConn{UnixConn: c, release: release}
	}
	return &anyConn{Conn: c, release: release}
}

type tcpConn struct {
	*net.TCPConn
	slow
	release func()
}

func (c *tcpConn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	return n, c.note(err)
}

func (c *tcpConn) SetReadDeadline(t time.Time) error {
	c.forget()
	return c.TCPConn.SetReadDeadline(t)
}

func (c *tcpConn) SetDeadline(t time.Time) error {
	c.forget()
	return c.TCPConn.SetDeadline(t)
}

func (c *tcpConn) Close() error {
	defer c.release()
	return c.TCPConn.Close()
}

type unixConn struct {
	*net.UnixConn
	slow
	release func()
}

func (c *unixConn) Read(p []byte) (int, error) {
	n, err := c.UnixConn.Read(p)
	return n, c.note(err)
}

func (c *unixConn) SetReadDeadline(t time.Time) error {
	c.forget()
	return c.UnixConn.SetReadDeadline(t)
}

func (c *unixConn) SetDeadline(t time.Time) error {
	c.forget()
	return c.UnixConn.SetDeadline(t)
}

func (c *unixConn) Close() error {
	defer c.release()
	return c.UnixConn.Close()
}

type anyConn struct {
	net.Conn
	slow
	release func()
}

func (c *anyConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, c.note(err)
}

func (c *anyConn) SetReadDeadline(t time.Time) error {
	c.forget()
	return c.Conn.SetReadDeadline(t)
}

func (c *anyConn) SetDeadline(t time.Time) error {
	c.forget()
	return c.Conn.SetDeadline(t)
}

func (c *anyConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// A slow knows whether a connection's read deadline has passed in a read, and
// no other was set since.
type slow struct{ late atomic.Bool }

func (s *slow) note(err error) error {
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		s.late.Store(true)
	}
	return err
}

func (s *slow) forget() {
	if s.late.Load() {
		s.late.Store(false)
	}
}

func (s *slow) isSlow() bool { return s.late.Load() }

const slowAnswer = "HTTP/1.1 408 Request Timeout\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n408 Request Timeout\n"

// answerSlow tells a client of HTTP/1 that its header took too long. net/http
// closes such a connection without a word; but before that it tells that the
// connection is active, as it does after a header that was read: by then the
// deadline has passed, and when a header was read another one was set.
func answerSlow(conn net.Conn) {
	below := conn
	if t, ok := conn.(*tls.Conn); ok {
		below = t.NetConn()
	}
	if c, ok := below.(interface{ isSlow() bool }); ok && c.isSlow() {
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = io.WriteString(conn, slowAnswer)
		_ = conn.Close() // net/http takes a part of a line for a malformed one, and would say so too
	}
}
