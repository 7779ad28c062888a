package proxywasm

import (
	"errors"
	"time"
)

// callFunctions make calls to upstreams.
var callFunctions = []hostFunction{
	{name: "proxy_http_call", params: "iiiiiiiiii", call: httpCall},
	{name: "proxy_grpc_call", params: "iiiiiiiiiiii", call: grpcCall},
	{name: "proxy_grpc_stream", params: "iiiiiiiii", call: grpcStream},
	{name: "proxy_grpc_send", params: "iiii", call: grpcSend},
	{name: "proxy_grpc_cancel", params: "i", call: grpcCancel},
	{name: "proxy_grpc_close", params: "i", call: grpcClose},
}

func milliseconds(n uint32) time.Duration { return time.Duration(n) * time.Millisecond }

// texts reads strings, whose pointers and sizes are in p.
func (h hostCall) texts(p ...uint64) ([]string, bool) {
	texts := make([]string, len(p)/2)
	for i := range texts {
		b, ok := h.bytes(p[2*i], p[2*i+1])
		if !ok {
			return nil, false
		}
		texts[i] = string(b)
	}
	return texts, true
}

func httpCall(h hostCall, p []uint64) Status {
	in, ok := h.texts(p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7])
	if !ok || !h.room(p[9], 4) {
		return StatusInvalidMemoryAccess
	}
	headers, ok := parseFields([]byte(in[1]))
	trailers, ok2 := parseFields([]byte(in[3]))
	call := &HTTPCall{Plugin: h.vm.plugin.cfg.Name, Upstream: in[0], Headers: &Headers{}, Timeout: milliseconds(uint32(p[8]))}
	call.Headers.Replace(headers)
	if !ok || !ok2 || int32(p[8]) < 0 {
		return StatusBadArgument
	}
	if !callable(call.Headers) {
		return StatusBadArgument
	}
	if in[2] != "" {
		call.Body = []byte(in[2])
	}
	if len(trailers) > 0 {
		call.Trailers = &Headers{}
		call.Trailers.Replace(trailers)
	}
	if h.vm.plugin.cfg.Dispatcher == nil || !h.vm.plugin.allow.may("http_call", in[0]) {
		h.vm.plugin.say(LogWarn, h.scope(), []byte("proxy_http_call: the upstream "+in[0]+" is not allowed"))
		return StatusBadArgument
	}
	root := h.scope().root
	oc, status := root.newCall(&root.vm.nextHTTP, 1)
	if status != StatusOK {
		return status
	}
	cancel, err := h.vm.plugin.cfg.Dispatcher.HTTP(call, func(r *HTTPResponse, err error) {
		root.vm.post(func() { oc.answer(r, err) })
	})
	if status := oc.dispatched(cancel, err, StatusBadArgument); status != StatusOK {
		return status
	}
	oc.within(call.Timeout, func() { oc.answer(nil, errTimeout) })
	h.put32(p[9], oc.token)
	return StatusOK
}

// upstreamOf reads the name of an upstream of gRPC: as it is, or in Envoy's
// GrpcService message, which has the name of a cluster in field 1 of its field
// 1.
func (h hostCall) upstreamOf(service string) (string, bool) {
	if h.vm.plugin.allow.may("grpc_call", service) && service != "" && service[0] != 0x0a {
		return service, true
	}
	if envoy, ok := protoField1(service); ok {
		if cluster, ok := protoField1(envoy); ok && h.vm.plugin.allow.may("grpc_call", cluster) {
			return cluster, true
		}
	}
	return "", false
}

// protoField1 returns field 1 of a protocol buffer that begins with it.
func protoField1(b string) (string, bool) {
	if len(b) < 2 || b[0] != 0x0a {
		return "", false
	}
	size, shift := 0, 0
	for i := 1; i < len(b) && shift < 28; i++ {
		size |= int(b[i]&0x7f) << shift
		if shift += 7; b[i] < 0x80 {
			if rest := b[i+1:]; size <= len(rest) {
				return rest[:size], true
			}
			break
		}
	}
	return "", false
}

func grpcCall(h hostCall, p []uint64) Status {
	in, ok := h.texts(p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9])
	if !ok || !h.room(p[11], 4) {
		return StatusInvalidMemoryAccess
	}
	call := &GRPCCall{Service: in[1], Method: in[2], Message: []byte(in[4]), Timeout: milliseconds(uint32(p[10]))}
	if int32(p[10]) < 0 {
		return StatusBadArgument
	}
	return h.startGRPC(call, in[0], in[3], p[11])
}

func grpcStream(h hostCall, p []uint64) Status {
	in, ok := h.texts(p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7])
	if !ok || !h.room(p[8], 4) {
		return StatusInvalidMemoryAccess
	}
	return h.startGRPC(&GRPCCall{Service: in[1], Method: in[2], Stream: true}, in[0], in[3], p[8])
}

func (h hostCall) startGRPC(call *GRPCCall, service, metadata string, token uint64) Status {
	fields, ok := parseFields([]byte(metadata))
	if !ok {
		return StatusBadArgument
	}
	upstream, ok := h.upstreamOf(service)
	if !ok || h.vm.plugin.cfg.Dispatcher == nil {
		h.vm.plugin.say(LogWarn, h.scope(), []byte("a gRPC call: its upstream is not allowed"))
		return StatusParseFailure
	}
	call.Plugin, call.Upstream, call.Metadata = h.vm.plugin.cfg.Name, upstream, &Headers{}
	call.Metadata.Replace(fields)
	// The numbers of calls are odd, those of streams even, as in Envoy.
	root := h.scope().root
	first := uint32(1)
	if call.Stream {
		first = 2
	}
	oc, status := root.newCall(&root.nextGRPC, first)
	if status != StatusOK {
		return status
	}
	oc.grpc, oc.isStream = true, call.Stream
	stream, err := h.vm.plugin.cfg.Dispatcher.GRPC(call, grpcEvents{oc})
	var cancel func()
	if stream != nil {
		oc.stream, cancel = stream, stream.Cancel
	}
	if status := oc.dispatched(cancel, err, StatusParseFailure); status != StatusOK {
		return status
	}
	oc.within(call.Timeout, func() { oc.grpcClosed(grpcDeadlineExceeded, "timeout") })
	h.put32(token, oc.token)
	return StatusOK
}

// grpcDeadlineExceeded is gRPC's status of a timeout.
const grpcDeadlineExceeded = 4

func grpcSend(h hostCall, p []uint64) Status {
	message, ok := h.bytes(p[1], p[2])
	if !ok {
		return StatusInvalidMemoryAccess
	}
	if p[0]&1 == 1 {
		return StatusBadArgument
	}
	oc := h.grpcOf(p[0])
	if oc == nil {
		return StatusNotFound
	}
	if oc.sent {
		return StatusBadArgument
	}
	oc.sent = p[3] != 0
	if err := oc.stream.Send(append([]byte{}, message...), oc.sent); err != nil {
		return StatusInternalFailure
	}
	return StatusOK
}

func (h hostCall) grpcOf(token uint64) *outcall {
	oc := h.scope().root.calls[uint32(token)|grpcBit]
	if oc == nil || !oc.grpc || oc.stream == nil {
		return nil
	}
	return oc
}

func grpcCancel(h hostCall, p []uint64) Status {
	oc := h.grpcOf(p[0])
	if oc == nil {
		return StatusNotFound
	}
	oc.forget()
	oc.drop()
	return StatusOK
}

// grpcClose ends a call, and of a stream the plugin's half.
func grpcClose(h hostCall, p []uint64) Status {
	oc := h.grpcOf(p[0])
	switch {
	case oc == nil:
		return StatusNotFound
	case !oc.isStream:
		return grpcCancel(h, p)
	case !oc.sent:
		oc.sent = true
		_ = oc.stream.Send(nil, true)
	}
	return StatusOK
}

func errorStatus(err error, unknown Status) Status {
	if errors.Is(err, ErrUpstream) {
		return unknown
	}
	return StatusInternalFailure
}
