package proxywasm

import (
	"errors"
	"time"
)

// ErrUpstream is wrapped by what a [Dispatcher] returns for an upstream that
// it does not know. The plugin gets BAD_ARGUMENT, of gRPC PARSE_FAILURE; for
// other errors it gets INTERNAL_FAILURE.
var ErrUpstream = errors.New("no such upstream")

// A Dispatcher makes the calls of plugins. Upstreams that Config.Allow does
// not name never reach it. Its methods return at once; the call goes on in
// the embedder's goroutines. They are called while the plugin runs, so what
// completes at once is delivered afterwards.
type Dispatcher interface {
	// HTTP sends a request and calls done once, from any goroutine, even
	// before it returns. It ends the call, without calling done any more,
	// when the function that it returns is called.
	HTTP(call *HTTPCall, done func(*HTTPResponse, error)) (cancel func(), err error)
	// GRPC opens a call or stream. What comes is given to events, in order,
	// from one goroutine at a time.
	GRPC(call *GRPCCall, events GRPCEvents) (GRPCStream, error)
}

// A RedisDispatcher is a Dispatcher that serves the Redis calls of ABI
// 0.2.100 as well.
type RedisDispatcher interface {
	Dispatcher
	// RedisInit readies an upstream.
	RedisInit(upstream, username, password string, timeout time.Duration) error
	// Redis sends a query in Redis' protocol and gives what comes back to
	// done, once, as HTTP does.
	Redis(upstream string, query []byte, done func(response []byte, err error)) (cancel func(), err error)
}

// An HTTPCall is a request of a plugin. It belongs to the Dispatcher.
type HTTPCall struct {
	Plugin   string
	Upstream string
	Headers  *Headers // :method, :path and :authority are there
	Body     []byte
	Trailers *Headers      // nil if there are none
	Timeout  time.Duration // 0 for none; the plugin's host keeps to it, too
}

// An HTTPResponse is the answer to an HTTPCall. Headers has :status.
type HTTPResponse struct {
	Headers  *Headers
	Body     []byte
	Trailers *Headers
}

// A GRPCCall is a call or stream of a plugin.
type GRPCCall struct {
	Plugin          string
	Upstream        string
	Service, Method string
	Metadata        *Headers
	// Stream tells a stream, which gets its messages by GRPCStream, from a
	// call, whose only message is Message.
	Stream  bool
	Message []byte
	Timeout time.Duration // of a call, 0 for none
}

// GRPCEvents takes what comes of a gRPC call. Close is the last.
type GRPCEvents interface {
	InitialMetadata(*Headers)
	Message([]byte)
	TrailingMetadata(*Headers)
	// Close ends the call with a status of gRPC, 0 being success.
	Close(status uint32, message string)
}

// A GRPCStream is a call under way.
type GRPCStream interface {
	// Send sends a message; end says that it is the last, and may come with
	// no message (nil).
	Send(message []byte, end bool) error
	// Cancel ends the call. Events that come later are dropped.
	Cancel()
}
