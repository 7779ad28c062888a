package filter

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// Events takes what comes of a call. Its methods are called one at a time, with
// the context of the call's stream in effect.
type Events interface {
	// Headers are those of the response; :status is among them.
	Headers(c *Call, headers [][2]string)
	// Readable says that there is something to read. It is told again when
	// Read has returned all and more has come.
	Readable(c *Call)
	// Writable says that there is room, after a Write that did not take all.
	Writable(c *Call)
	// End says that all was read. The call is over.
	End(c *Call, trailers [][2]string)
	// Failed says that the call is over, and why.
	Failed(c *Call, err error)
}

// A Request is a call to be made.
type Request struct {
	Upstream string        // its name; the filter must be allowed http_call:NAME
	Headers  [][2]string   // with :method, :path and :authority
	Timeout  time.Duration // of the whole call, rounded up to milliseconds; none if 0
	NoBody   bool          // nothing will be written
}

// A Call is under way from Open to Events.End or Failed, or to Close.
type Call struct {
	number  uint32
	context uint32
	events  Events
}

// calls are those under way. A plugin has one thread.
var calls = map[uint32]*Call{}

// Open begins a call. Context is the stream that it is about, as the SDK numbers
// it, or 0 for the plugin's own. A stream that ends should close its calls; one
// that does not has them closed when something comes of them.
func Open(context uint32, r Request, events Events) (*Call, error) {
	ms := (r.Timeout + time.Millisecond - 1) / time.Millisecond
	if ms < 0 || ms > math.MaxInt32 {
		return nil, BadArgument
	}
	args := le.AppendUint32(nil, uint32(ms))
	args = le.AppendUint32(args, bit(r.NoBody))
	args = le.AppendUint32(args, uint32(len(r.Upstream)))
	args = appendPairs(append(args, r.Upstream...), r.Headers)
	results, err := foreign("hako_http_open", args)
	if err != nil {
		return nil, err
	}
	if len(results) != 4 {
		return nil, errResults
	}
	c := &Call{le.Uint32(results), context, events}
	calls[c.number] = c
	return c, nil
}

// Write writes a part of the request's body, the last if end, and returns how
// much of it was taken. If that is not all, Events.Writable tells when there is
// room again, and the end is to be said again.
func (c *Call) Write(p []byte, end bool) (taken int, err error) {
	args := le.AppendUint32(le.AppendUint32(nil, c.number), bit(end))
	results, err := foreign("hako_http_write", append(args, p...))
	if err != nil {
		return 0, err
	}
	if len(results) != 4 {
		return 0, errResults
	}
	return int(le.Uint32(results)), nil
}

// Read returns up to limit bytes of the response's body, none if none are there
// yet.
func (c *Call) Read(limit int) ([]byte, error) {
	return foreign("hako_http_read", le.AppendUint32(le.AppendUint32(nil, c.number), clamp(limit)))
}

// Close ends the call, of which nothing comes any more. Closing one that is
// over is no error.
func (c *Call) Close() error {
	if calls[c.number] != c {
		return nil
	}
	delete(calls, c.number)
	_, err := foreign("hako_http_close", le.AppendUint32(nil, c.number))
	return err
}

// A Direction says which body.
type Direction uint32

// The directions.
const (
	RequestBody Direction = iota
	ResponseBody
)

// Spool has what the plugin holds of a body from the next callback on kept
// outside of memory, in the stream whose callback is under way: the plugin sees
// each part once, and all goes on when it lets go.
func Spool(d Direction) error {
	_, err := foreign("hako_body_spool", le.AppendUint32(nil, uint32(d)))
	return err
}

// ReadSpooled returns up to limit bytes, 1 MiB at most, of what is kept of a
// body, from start on; none behind its end. What the callback under way was
// given is not kept yet.
func ReadSpooled(d Direction, start int64, limit int) ([]byte, error) {
	args := le.AppendUint64(le.AppendUint32(nil, uint32(d)), uint64(start))
	return foreign("hako_body_read", le.AppendUint32(args, clamp(limit)))
}

// eventFunction is the number that proxy_on_foreign_function is called with.
const eventFunction = 0x6f6b6168

// deliver tells an event, whose arguments are the call, the kind and what it
// brings.
func deliver(args []byte) {
	if len(args) < 8 {
		return
	}
	c, kind, data := calls[le.Uint32(args)], le.Uint32(args[4:]), args[8:]
	if c == nil {
		return
	}
	if c.context != 0 && !enter(c.context) {
		_ = c.Close() // its stream is gone
		return
	}
	switch kind {
	case 1:
		c.events.Headers(c, parsePairs(data))
	case 2:
		c.events.Readable(c)
	case 3:
		c.events.Writable(c)
	case 4:
		delete(calls, c.number)
		c.events.End(c, parsePairs(data))
	case 5:
		delete(calls, c.number)
		c.events.Failed(c, errors.New(string(data)))
	}
}

var le = binary.LittleEndian

var errResults = errors.New("the host's answer cannot be read: is it another version of Hako?")

func bit(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

func clamp(n int) uint32 { return uint32(min(max(n, 0), math.MaxInt32)) }
