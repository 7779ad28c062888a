package proxywasm

import (
	"errors"
	"time"
)

// An outcall is a call of a plugin under way. It belongs to a root and is
// used under the lock of its VM.
type outcall struct {
	root     *scope
	token    uint32 // what the plugin knows it by
	key      uint32 // in root.calls
	cancel   func()
	stop     func() // of the timeout
	grpc     bool
	isStream bool
	sent     bool // the plugin's half is closed
	stream   GRPCStream
	http     HTTPStream // nil for calls whose bodies are whole
}

var errTimeout = errors.New("timeout")

// grpcBit keeps the numbers of gRPC apart from those of HTTP.
const grpcBit = 1 << 31

// newCall takes a number, of next on: odd or even as first is, if next counts
// for gRPC.
func (c *scope) newCall(next *uint32, first uint32) (*outcall, Status) {
	if len(c.calls) >= c.vm.plugin.cfg.Limits.Calls {
		return nil, StatusInternalFailure
	}
	step, bits := uint32(1), uint32(0)
	if next == &c.nextGRPC {
		step, bits = 2, grpcBit
		if *next&1 != first&1 {
			*next++
		}
	}
	for {
		token := *next &^ grpcBit
		*next = token + step
		if _, taken := c.calls[token|bits]; token != 0 && !taken {
			oc := &outcall{root: c, token: token, key: token | bits}
			c.calls[oc.key] = oc
			return oc, StatusOK
		}
	}
}

// dispatched is told what came of starting the call.
func (oc *outcall) dispatched(cancel func(), err error, unknown Status) Status {
	if err != nil {
		oc.forget()
		oc.root.vm.plugin.say(LogWarn, oc.root, []byte("a call cannot be made: "+err.Error()))
		return errorStatus(err, unknown)
	}
	oc.cancel = cancel
	return StatusOK
}

// within has f run, as an answer would, if none comes in time.
func (oc *outcall) within(timeout time.Duration, f func()) {
	if timeout > 0 {
		oc.stop = oc.root.vm.plugin.cfg.Clock.AfterFunc(timeout, func() {
			oc.root.vm.post(func() {
				if oc.cancel != nil && oc.live() {
					oc.cancel()
				}
				f()
			})
		})
	}
}

// live tells whether the plugin waits for the call.
func (oc *outcall) live() bool { return oc.root.calls[oc.key] == oc }

// forget makes what still comes of the call be dropped.
func (oc *outcall) forget() {
	if oc.live() {
		delete(oc.root.calls, oc.key)
	}
	if oc.stop != nil {
		oc.stop()
	}
}

// drop ends the call.
func (oc *outcall) drop() {
	if oc.stop != nil {
		oc.stop()
	}
	if oc.cancel != nil {
		oc.cancel()
	}
}

// answer gives an HTTP response to the plugin; none is a failure, which has
// no headers.
func (oc *outcall) answer(r *HTTPResponse, err error) {
	if !oc.live() {
		return
	}
	oc.forget()
	root := oc.root
	root.statusCode, root.statusMessage = 0, ""
	if r == nil || err != nil {
		root.statusCode, root.statusMessage = uint32(StatusBrokenConnection), "reset"
		if err != nil {
			root.statusMessage = err.Error()
		}
		r = &HTTPResponse{}
	} else {
		root.response = r
	}
	root.vm.call(root, onHTTPCallResponse, uint64(root.id), uint64(oc.token),
		uint64(r.Headers.Len()), uint64(len(r.Body)), uint64(r.Trailers.Len()))
	root.response, root.statusMessage = nil, ""
}

// redisAnswer gives an answer of Redis to the plugin.
func (oc *outcall) redisAnswer(response []byte, err error) {
	if !oc.live() {
		return
	}
	oc.forget()
	root, status := oc.root, uint64(0)
	if err != nil {
		status, response = uint64(StatusBrokenConnection), nil
	}
	root.redis = &Buffer{b: response}
	root.vm.call(root, onRedisResponse, uint64(root.id), uint64(oc.token), status, uint64(len(response)))
	root.redis = nil
}

// grpcEvents gives what comes of a gRPC call to the plugin.
type grpcEvents struct{ oc *outcall }

func (e grpcEvents) post(f func(root *scope)) {
	e.oc.root.vm.post(func() {
		if e.oc.live() {
			f(e.oc.root)
		}
	})
}

// InitialMetadata gives the first metadata.
func (e grpcEvents) InitialMetadata(m *Headers) {
	e.post(func(root *scope) {
		root.grpcInitial = m
		root.vm.call(root, onGRPCInitialMetadata, uint64(root.id), uint64(e.oc.token), uint64(m.Len()))
		root.grpcInitial = nil
	})
}

// Message gives a message. It is all there is to a call.
func (e grpcEvents) Message(b []byte) {
	e.post(func(root *scope) {
		if !e.oc.isStream {
			e.oc.forget()
		}
		root.message = &Buffer{b: b}
		root.vm.call(root, onGRPCReceive, uint64(root.id), uint64(e.oc.token), uint64(len(b)))
		root.message = nil
	})
}

// TrailingMetadata gives the last metadata.
func (e grpcEvents) TrailingMetadata(m *Headers) {
	e.post(func(root *scope) {
		root.grpcTrailing = m
		root.vm.call(root, onGRPCTrailingMetadata, uint64(root.id), uint64(e.oc.token), uint64(m.Len()))
		root.grpcTrailing = nil
	})
}

// Close is the end.
func (e grpcEvents) Close(status uint32, message string) {
	e.post(func(*scope) { e.oc.grpcClosed(status, message) })
}

func (oc *outcall) grpcClosed(status uint32, message string) {
	if !oc.live() {
		return
	}
	oc.forget()
	root := oc.root
	root.statusCode, root.statusMessage = status, message
	root.vm.call(root, onGRPCClose, uint64(root.id), uint64(oc.token), uint64(status))
	root.statusMessage = ""
}
