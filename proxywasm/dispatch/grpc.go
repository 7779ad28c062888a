package dispatch

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/hako-run/hako/proxywasm"
)

// Statuses of gRPC.
const (
	grpcCancelled   = 1
	grpcUnknown     = 2
	grpcDeadline    = 4
	grpcInternal    = 13
	grpcUnavailable = 14
)

// maxQueued is how many messages of a stream may wait to be sent.
const maxQueued = 1024

// A grpcCall is a call or stream under way. Its messages are queued, since
// plugins must not wait.
type grpcCall struct {
	d      *Dispatcher
	cancel context.CancelFunc
	events proxywasm.GRPCEvents
	send   chan []byte // nil ends the plugin's half
	over   context.Context
}

// GRPC implements proxywasm.Dispatcher: gRPC over HTTP/2
// (github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md), without compression.
func (d *Dispatcher) GRPC(call *proxywasm.GRPCCall, events proxywasm.GRPCEvents) (proxywasm.GRPCStream, error) {
	timeout := call.Timeout
	if call.Stream && timeout <= 0 {
		timeout = 365 * 24 * longest // streams live until somebody ends them
	}
	ctx, cancel, err := d.begin(call.Upstream, timeout)
	if err != nil {
		return nil, err
	}
	c := &grpcCall{d: d, cancel: cancel, events: events, send: make(chan []byte, maxQueued), over: ctx}
	body, writer := io.Pipe()
	r := (&http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: "/" + call.Service + "/" + call.Method}, Host: call.Upstream,
		Proto: "HTTP/2.0", ProtoMajor: 2,
		Header: header(call.Metadata), Body: body, ContentLength: -1,
	}).WithContext(ctx)
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("Te", "trailers")
	if call.Timeout > 0 {
		r.Header.Set("Grpc-Timeout", strconv.FormatInt(min(call.Timeout.Milliseconds(), 99_999_999), 10)+"m")
	}
	if !call.Stream {
		c.send <- append([]byte{}, call.Message...)
		c.send <- nil
	}
	d.calls.Add(1)
	go func() {
		defer d.calls.Done()
		c.write(writer)
	}()
	go func() {
		defer d.calls.Done()
		defer cancel()
		status, message := c.run(call.Upstream, r)
		_ = body.Close() // whoever still writes need not wait
		events.Close(status, message)
	}()
	return c, nil
}

// Send implements proxywasm.GRPCStream.
func (c *grpcCall) Send(message []byte, end bool) error {
	if c.over.Err() != nil {
		return errors.New("the stream has ended")
	}
	queue := func(m []byte) error {
		select {
		case c.send <- m:
			return nil
		default:
			return fmt.Errorf("%d messages wait already", maxQueued)
		}
	}
	if message != nil {
		if err := queue(append([]byte{}, message...)); err != nil {
			return err
		}
	}
	if end {
		return queue(nil)
	}
	return nil
}

// Cancel implements proxywasm.GRPCStream.
func (c *grpcCall) Cancel() { c.cancel() }

// write sends the plugin's messages.
func (c *grpcCall) write(to *io.PipeWriter) {
	for {
		select {
		case m := <-c.send:
			if m == nil {
				_ = to.Close()
				return
			}
			frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m)))
			if _, err := to.Write(append(frame, m...)); err != nil {
				return
			}
		case <-c.over.Done():
			_ = to.CloseWithError(c.over.Err())
			return
		}
	}
}

// run sends the request and tells of what comes.
func (c *grpcCall) run(upstream string, r *http.Request) (status uint32, message string) {
	response, err := c.d.upstream(upstream, r)
	if err != nil {
		return c.failure(err)
	}
	defer response.Body.Close()
	initial := &proxywasm.Headers{}
	addFields(initial, response.Header)
	if response.StatusCode != http.StatusOK {
		return grpcUnavailable, "the upstream answered with status " + strconv.Itoa(response.StatusCode)
	}
	// A response of nothing but trailers has them in its head.
	if response.Header.Get("Grpc-Status") != "" {
		c.events.InitialMetadata(&proxywasm.Headers{})
		c.events.TrailingMetadata(initial)
		return outcome(response.Header)
	}
	c.events.InitialMetadata(initial)
	for {
		m, err := readMessage(response.Body)
		if err == io.EOF {
			break
		}
		if err != nil {
			return c.failure(err)
		}
		c.events.Message(m)
	}
	trailing := &proxywasm.Headers{}
	addFields(trailing, response.Trailer)
	c.events.TrailingMetadata(trailing)
	return outcome(response.Trailer)
}

// readMessage reads a length-prefixed message; io.EOF if there is none.
func readMessage(r io.Reader) ([]byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	switch {
	case head[0] != 0:
		return nil, errors.New("a compressed message, which was not asked for")
	case n > maxResponse:
		return nil, fmt.Errorf("a message of %d bytes, at most %d are taken", n, maxResponse)
	}
	m := make([]byte, n)
	if _, err := io.ReadFull(r, m); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	return m, nil
}

func (c *grpcCall) failure(err error) (uint32, string) {
	switch {
	case errors.Is(c.over.Err(), context.DeadlineExceeded):
		return grpcDeadline, "no answer in time"
	case c.over.Err() != nil:
		return grpcCancelled, "cancelled"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return grpcInternal, "the answer broke off"
	}
	return grpcUnavailable, err.Error()
}

// outcome reads the status that ends a call.
func outcome(h http.Header) (uint32, string) {
	n, err := strconv.ParseUint(h.Get("Grpc-Status"), 10, 32)
	if err != nil {
		return grpcUnknown, "the upstream gave no status of gRPC"
	}
	message := h.Get("Grpc-Message")
	if m, err := url.PathUnescape(message); err == nil {
		message = m
	}
	return uint32(n), message
}
