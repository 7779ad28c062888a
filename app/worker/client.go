package worker

import (
	"net/http"
	"os"
	"sync"
	"time"
)

// A Client is the client of a request, as far as a guest may have to wait for
// it: such waits can be interrupted, as long as the request's handler has not
// returned. From then on the connection belongs to another request, and a
// stream of HTTP/2 must not be touched at all.
type Client struct {
	control *http.ResponseController

	mu      sync.Mutex
	read    sync.Cond // that a read is over
	reading bool
	writing bool
	late    bool // interrupted
	over    bool // ended
}

// NewClient returns the client that w answers.
func NewClient(w http.ResponseWriter) *Client {
	c := &Client{control: http.NewResponseController(w)}
	c.read.L = &c.mu
	return c
}

// Reading calls f, which reads from the client. There is one such call at a
// time. Once the client was interrupted or ended, f is not called and the
// error is [os.ErrDeadlineExceeded] or [http.ErrBodyReadAfterClose].
func (c *Client) Reading(f func()) error {
	return c.waits(&c.reading, f)
}

// Writing is as Reading, for writes.
func (c *Client) Writing(f func()) error {
	return c.waits(&c.writing, f)
}

func (c *Client) waits(under *bool, f func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.over:
		return http.ErrBodyReadAfterClose
	case c.late:
		return os.ErrDeadlineExceeded
	}
	*under = true
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		*under = false
		c.read.Broadcast()
	}()
	f()
	return nil
}

// Interrupt makes a wait under way end with an error, and those that would
// follow. The direction that was waited for is of no use afterwards; an answer
// can still be written where only reading was interrupted. It returns when
// nothing waits any more.
func (c *Client) Interrupt() {
	// Who writes in several steps may move the deadline between two of them.
	for pause := time.Millisecond; c.interrupt(); pause = min(2*pause, 100*time.Millisecond) {
		time.Sleep(pause)
	}
}

// interrupt reports whether it has to be done again.
func (c *Client) interrupt() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late = true
	if c.over {
		return false
	}
	read := c.pass(c.reading, c.control.SetReadDeadline)
	write := c.pass(c.writing, c.control.SetWriteDeadline)
	return read || write
}

// pass lets a deadline pass for those that wait.
func (c *Client) pass(waiting bool, set func(time.Time) error) bool {
	return waiting && set(time.Unix(1, 0)) == nil
}

// End is to be called before the handler returns: a read that another
// goroutine is in is interrupted and waited for, and from then on Interrupt
// does nothing.
func (c *Client) End() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.pass(c.reading, c.control.SetReadDeadline) {
		for c.reading {
			c.read.Wait()
		}
	}
}
