package proxywasm

// The callbacks of an HTTP exchange. The host's maps must be set before the
// callback that shows them. After Pause, no further callback of that
// direction is made until it is resumed; after the other pauses, those of the
// body go on.

// RequestHeaders shows the request headers; end says that nothing follows.
func (s *Stream) RequestHeaders(end bool) Action {
	return s.headers(Request, onRequestHeaders, RequestHeaders, end)
}

// ResponseHeaders shows the response headers.
func (s *Stream) ResponseHeaders(end bool) Action {
	return s.headers(Response, onResponseHeaders, ResponseHeaders, end)
}

// RequestBody shows a part of the request body, with what is held of it. The
// chunk is the stream's until it returns; after Continue, TakeBody has what
// goes on in its place.
func (s *Stream) RequestBody(chunk []byte, end bool) Action {
	return s.body(Request, onRequestBody, chunk, end)
}

// ResponseBody shows a part of the response body.
func (s *Stream) ResponseBody(chunk []byte, end bool) Action {
	return s.body(Response, onResponseBody, chunk, end)
}

// RequestTrailers shows the request trailers. What is held of the body goes
// on with them.
func (s *Stream) RequestTrailers() Action {
	return s.trailers(Request, onRequestTrailers, RequestTrailers)
}

// ResponseTrailers shows the response trailers.
func (s *Stream) ResponseTrailers() Action {
	return s.trailers(Response, onResponseTrailers, ResponseTrailers)
}

// RequestMetadata tells of n elements of HTTP/2 metadata; plugins see no more
// of them.
func (s *Stream) RequestMetadata(n int) { s.metadata(Request, onRequestMetadata, n) }

// ResponseMetadata tells of n elements of HTTP/2 metadata.
func (s *Stream) ResponseMetadata(n int) { s.metadata(Response, onResponseMetadata, n) }

func (s *Stream) headers(t StreamType, cb callback, m MapType, end bool) Action {
	if t == Request {
		s.started = true
	}
	if !s.enter(t) {
		return s.leave(t, Continue, false)
	}
	h := &s.halves[t]
	h.headers, h.ended = true, end
	if t == Response {
		s.answering = true
	}
	r, ok := s.vm.call(s.scope, cb, uint64(s.scope.id), uint64(s.host.Headers(m).Len()), bit(end))
	return s.leave(t, s.headersAction(r), ok)
}

// headersAction reads what a header callback returns.
func (s *Stream) headersAction(r uint64) Action {
	switch r {
	case 0, 2:
		// 2 was a way to end the stream once, and is as good as 0 in Envoy.
		return Continue
	case 1:
		if s.vm.profile.ABI == ABI02100 || s.plugin.cfg.HeadersMayStop {
			return PauseHeaders
		}
	}
	return Pause
}

func (s *Stream) body(t StreamType, cb callback, chunk []byte, end bool) Action {
	entered := s.enter(t)
	h := &s.halves[t]
	s.give(h, chunk)
	if !entered {
		return s.leave(t, Continue, false)
	}
	h.content, h.ended = true, end
	r, ok := s.vm.call(s.scope, cb, uint64(s.scope.id), uint64(h.body.Len()), bit(end))
	action := [...]Action{Continue, PauseBuffer, PauseWatermark, PauseDrop}[min(r, 3)]
	if h.resume {
		action = Continue
	}
	if h.spools && (action == PauseBuffer || action == PauseWatermark) && s.spool(t, h) {
		if h.spools {
			action = PauseDrop
		}
	}
	s.hold(h, action)
	if action == PauseBuffer && h.body.Len() > s.plugin.cfg.Limits.Body && s.vm.failure == nil {
		s.tooLarge(t)
	}
	return s.leave(t, action, ok)
}

// give puts a chunk where the plugin sees it.
func (s *Stream) give(h *half, chunk []byte) {
	if h.held {
		h.body.Append(chunk)
	} else {
		h.body.Set(chunk)
	}
}

// hold keeps what a body callback left, in memory of its own, or drops it.
func (s *Stream) hold(h *half, action Action) {
	switch action {
	case PauseBuffer, PauseWatermark:
		if !h.held {
			h.body.own()
		}
		h.held = true
	case PauseDrop:
		h.body, h.held = Buffer{}, false
	}
}

// tooLarge ends a stream that holds more of a body than it may.
func (s *Stream) tooLarge(t StreamType) {
	r := &LocalResponse{Status: 413, Details: "request_payload_too_large", Headers: &Headers{}, GRPCStatus: -1}
	if t == Response {
		r.Status, r.Details = 500, "response_payload_too_large"
	}
	s.refuse(t, r)
}

// refuse answers in place of a body that cannot go on.
func (s *Stream) refuse(t StreamType, r *LocalResponse) {
	if s.respond(r) {
		return
	}
	s.note(noteReset, t, nil)
	s.stop(ErrReset)
}

// respond gives a response in the upstream's place, unless there was one
// already. If the upstream's went on, all that is left is to reset the stream,
// as Envoy does.
func (s *Stream) respond(r *LocalResponse) bool {
	if s.closed || s.failed || s.local != nil || s.tcp {
		return false
	}
	if s.answering && !s.halves[Response].headers {
		s.local = r
		s.note(noteReset, Response, nil)
		s.stop(ErrReset)
		return true
	}
	s.local = r
	s.mu.Lock()
	s.answered = s.answering
	s.mu.Unlock()
	s.answering = true
	s.note(noteRespond, 0, r)
	s.stop(ErrAnswered)
	s.plugin.stats.localResponses.Add(1)
	return true
}

func (s *Stream) trailers(t StreamType, cb callback, m MapType) Action {
	if !s.enter(t) {
		return s.leave(t, Continue, false)
	}
	h := &s.halves[t]
	h.trailers, h.content = true, h.held
	r, ok := s.vm.call(s.scope, cb, uint64(s.scope.id), uint64(s.host.Headers(m).Len()))
	action := Continue
	if r != 0 {
		action = Pause
	}
	return s.leave(t, action, ok)
}

func (s *Stream) metadata(t StreamType, cb callback, n int) {
	if s.vm == nil {
		return
	}
	s.vm.acquire()
	defer s.vm.release()
	if s.scope != nil && !s.failed && !s.closed {
		s.vm.call(s.scope, cb, uint64(s.scope.id), uint64(n))
	}
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
