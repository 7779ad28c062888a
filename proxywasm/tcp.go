package proxywasm

// The callbacks of a TCP connection.

// NewConnection shows a connection that a client made, before the upstream is
// connected to. After Pause, that waits.
func (s *Stream) NewConnection() Action {
	s.tcp = true
	if !s.enter(Downstream) {
		return s.leave(Downstream, Continue, false)
	}
	r, ok := s.vm.call(s.scope, onNewConnection, uint64(s.scope.id))
	action := Continue
	if r != 0 {
		action = Pause
	}
	return s.leave(Downstream, action, ok)
}

// DownstreamData shows what the client sent, with what is held of it; after
// Continue, TakeBody has what goes to the upstream. PauseWatermark holds it:
// callbacks go on with what comes, but no more should be read than
// Limits.Body.
func (s *Stream) DownstreamData(chunk []byte, end bool) Action {
	return s.data(Downstream, onDownstreamData, chunk, end)
}

// UpstreamData shows what the upstream sent.
func (s *Stream) UpstreamData(chunk []byte, end bool) Action {
	return s.data(Upstream, onUpstreamData, chunk, end)
}

// DownstreamClose tells that the client's connection is closed.
func (s *Stream) DownstreamClose(by Peer) { s.close(Downstream, onDownstreamClose, by) }

// UpstreamClose tells that the upstream's connection is closed.
func (s *Stream) UpstreamClose(by Peer) { s.close(Upstream, onUpstreamClose, by) }

func (s *Stream) data(t StreamType, cb callback, chunk []byte, end bool) Action {
	if !s.tcp { // written before the plugin knows the stream, and not again
		s.tcp = true
	}
	entered := s.enter(t)
	h := &s.halves[t]
	s.give(h, chunk)
	if !entered {
		return s.leave(t, Continue, false)
	}
	h.content, h.ended = true, end
	r, ok := s.vm.call(s.scope, cb, uint64(s.scope.id), uint64(h.body.Len()), bit(end))
	action := Continue
	if r != 0 && !h.resume {
		action = PauseWatermark
	}
	s.hold(h, action)
	return s.leave(t, action, ok)
}

func (s *Stream) close(t StreamType, cb callback, by Peer) {
	if s.vm == nil {
		return
	}
	s.vm.acquire()
	defer s.vm.release()
	if s.scope != nil && !s.failed && !s.closed {
		s.vm.call(s.scope, cb, uint64(s.scope.id), uint64(by))
	}
}
