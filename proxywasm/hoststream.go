package proxywasm

// streamFunctions act on streams and contexts.
var streamFunctions = []hostFunction{
	{name: "proxy_continue_stream", params: "i", call: func(h hostCall, p []uint64) Status { return continueStream(h, p[0]) }},
	{name: "proxy_continue_request", params: "", call: func(h hostCall, _ []uint64) Status { return continueStream(h, uint64(Request)) }},
	{name: "proxy_continue_response", params: "", call: func(h hostCall, _ []uint64) Status { return continueStream(h, uint64(Response)) }},
	{name: "proxy_close_stream", params: "i", call: closeStream},
	{name: "proxy_send_local_response", params: "iiiiiiii", call: sendLocalResponse},
	{name: "proxy_clear_route_cache", params: "", call: clearRouteCache},
	{name: "proxy_set_effective_context", params: "i", call: setEffectiveContext},
	{name: "proxy_done", params: "", call: proxyDone},
	{name: "proxy_get_property", params: "iiii", call: getProperty},
	{name: "proxy_set_property", params: "iiii", call: setProperty},
}

// live returns the stream that a call is about, nil if there is none any
// more.
func (h hostCall) live() *Stream {
	s := h.scope().stream
	if s == nil || s.closed || s.failed {
		return nil
	}
	return s
}

func continueStream(h hostCall, t uint64) Status {
	if t > uint64(maxStreamType) {
		return StatusBadArgument
	}
	s := h.live()
	if s == nil {
		return StatusOK
	}
	if s.tcp != (StreamType(t) >= Downstream) {
		return StatusBadArgument
	}
	s.resume(StreamType(t))
	return StatusOK
}

func closeStream(h hostCall, p []uint64) Status {
	if p[0] > uint64(maxStreamType) {
		return StatusBadArgument
	}
	s := h.live()
	if s == nil {
		return StatusOK
	}
	if s.tcp != (StreamType(p[0]) >= Downstream) {
		return StatusBadArgument
	}
	s.note(noteReset, StreamType(p[0]), nil)
	s.stop(ErrReset)
	return StatusOK
}

func sendLocalResponse(h hostCall, p []uint64) Status {
	details, ok := h.bytes(p[1], p[2])
	body, ok2 := h.bytes(p[3], p[4])
	pairs, ok3 := h.bytes(p[5], p[6])
	if !ok || !ok2 || !ok3 {
		return StatusInvalidMemoryAccess
	}
	fields, ok := parseFields(pairs)
	if !ok || p[0] < 200 || p[0] > 599 {
		return StatusBadArgument
	}
	s := h.scope().stream
	if s == nil {
		h.vm.plugin.say(LogWarn, h.scope(), []byte("proxy_send_local_response: the context is of no stream; nothing is sent"))
		return StatusOK
	}
	r := &LocalResponse{Status: int(p[0]), Details: string(details), Headers: &Headers{}, GRPCStatus: int32(uint32(p[7]))}
	if len(body) > 0 {
		r.Body = append([]byte(nil), body...)
	}
	r.Headers.Replace(fields)
	if !s.respond(r) {
		h.vm.plugin.say(LogWarn, h.scope(), []byte("proxy_send_local_response: there is a response already; this one is not sent"))
		return StatusBadArgument
	}
	return StatusOK
}

func clearRouteCache(h hostCall, _ []uint64) Status {
	if s := h.live(); s != nil {
		s.reroute()
	}
	return StatusOK
}

func setEffectiveContext(h hostCall, p []uint64) Status {
	if p[0] == 0 {
		h.vm.effective = nil
		return StatusOK
	}
	c, ok := h.vm.contexts[uint32(p[0])]
	if !ok {
		return StatusBadArgument
	}
	h.vm.effective = c
	return StatusOK
}

// proxyDone ends a context that waits for it, when the callback is over.
func proxyDone(h hostCall, _ []uint64) Status {
	c := h.scope()
	if !c.parked || c.leaving {
		return StatusNotFound
	}
	c.leaving = true
	h.vm.leaving = append(h.vm.leaving, c)
	return StatusOK
}

func getProperty(h hostCall, p []uint64) Status {
	path, ok := h.bytes(p[0], p[1])
	if !ok {
		return StatusInvalidMemoryAccess
	}
	value, status := h.scope().property(h.vm.value[:0], string(path))
	if cap(value) <= maxPairsBytes {
		h.vm.value = value
	}
	if status != StatusOK {
		return status
	}
	return h.give(view(value), p[2], p[3])
}

func setProperty(h hostCall, p []uint64) Status {
	path, ok := h.bytes(p[0], p[1])
	value, ok2 := h.bytes(p[2], p[3])
	if !ok || !ok2 {
		return StatusInvalidMemoryAccess
	}
	s := h.live()
	if s == nil {
		return StatusNotFound
	}
	if !s.host.FilterState().Set(string(path), value) {
		return StatusBadArgument
	}
	return StatusOK
}
