package proxywasm

import (
	"context"
	"errors"
	"sync"
)

// A Stream is one HTTP exchange, or one TCP connection, as one plugin sees
// it. Its callbacks are made by one goroutine at a time, in the order in
// which things happen; [Stream.Close] comes last.
type Stream struct {
	plugin *Plugin
	root   int
	host   StreamHost
	vm     *vm    // nil if there was none to be had
	scope  *scope // nil before the first callback, else &own
	own    scope

	// Under the VM's lock.
	halves    [maxStreamType + 1]half
	inside    StreamType // the direction of the callback under way
	isInside  bool
	local     *LocalResponse
	routes    bool // the route is to be chosen anew
	answering bool // response headers came, or a local response
	tcp       bool
	started   bool // the request headers came
	closed    bool
	failed    bool
	gone      bool // let go of

	// What Wait sees.
	mu       sync.Mutex
	paused   [maxStreamType + 1]bool
	stopped  error
	untold   int  // responses and resets that the host is still to be told of
	answered bool // by a response in the response's own phase
	changed  chan struct{}
}

// half is one direction of a stream.
type half struct {
	body Buffer
	// What the plugin may change: headers and trailers until they go on, the
	// body in its callback and while it is held.
	headers, trailers, content bool
	held                       bool  // the next chunk goes behind body
	ended                      bool  // the body callback had the end
	resume                     bool  // proxy_continue_stream in the callback under way
	spools                     bool  // what is held goes to spool
	spool                      Spool // nil while nothing is held there
}

var (
	// ErrAnswered is why a stream goes no further whose plugin, or its host,
	// gave the response.
	ErrAnswered = errors.New("the plugin answered")
	// ErrReset is why a stream goes no further that a plugin closed, or that
	// failed.
	ErrReset = errors.New("the plugin closed the stream")
)

// A note is something to tell an embedder when the VM's lock is free.
type note struct {
	s    *Stream
	what noteKind
	dir  StreamType
	r    *LocalResponse
	data []byte // to be injected
	end  bool
}

type noteKind int

const (
	noteResume noteKind = iota
	noteReset
	noteRespond
	noteRoute
	noteInject
)

func (n note) tell() {
	switch n.what {
	case noteResume:
		n.s.host.Resume(n.dir)
	case noteReset:
		n.s.host.Reset(n.dir)
	case noteRespond:
		n.s.host.Respond(n.r)
	case noteRoute:
		n.s.host.ClearRouteCache()
	case noteInject:
		n.s.host.(Injector).Inject(n.data, n.end)
	}
}

// enter begins a callback: it takes the VM's lock and makes the context known
// to the plugin if it is not yet. False means that the callback is not made,
// with the lock held all the same if there is a VM.
func (s *Stream) enter(t StreamType) bool {
	if t <= Response && !s.started {
		// The plugin did not see the request headers: another answered. As in
		// Envoy, it sees nothing of what follows either.
		if s.vm != nil {
			s.vm.acquire()
		}
		return false
	}
	if s.vm == nil {
		s.failWithout()
		return false
	}
	s.vm.acquire()
	for range 3 {
		if s.scope != nil || s.vm.failure == nil {
			break
		}
		// It failed before the plugin knew of the stream: another will do.
		s.vm.release()
		if s.vm = s.plugin.pick(); s.vm == nil {
			s.failWithout()
			return false
		}
		s.vm.acquire()
	}
	if s.failed || s.closed {
		return false
	}
	s.create()
	s.inside, s.isInside = t, true
	return s.vm.failure == nil
}

// create makes the context.
func (s *Stream) create() {
	if s.scope != nil || s.vm.failure != nil {
		if s.vm.failure != nil {
			s.fail()
		}
		return
	}
	root := s.vm.roots[s.root]
	s.scope = &s.own
	s.own = scope{id: s.vm.newID(), vm: s.vm, root: root, config: root.config, stream: s}
	s.vm.contexts[s.scope.id] = s.scope
	s.vm.call(s.scope, onContextCreate, uint64(s.scope.id), uint64(root.id))
}

// leave ends a callback. Ok is false if it was not made or the VM failed.
func (s *Stream) leave(t StreamType, action Action, ok bool) Action {
	if s.vm == nil {
		return s.idle(t)
	}
	s.isInside = false
	h := &s.halves[t]
	if s.vm.failure != nil && !s.failed && !s.closed {
		s.pause(t, false)
		s.fail()
	}
	switch {
	case s.failed:
		action = s.idle(t)
	case !ok || h.resume:
		action = Continue
	}
	h.resume = false
	if s.over(t) {
		if action == Continue {
			action = Pause
		}
	} else {
		s.pause(t, action != Continue)
	}
	if action == Continue {
		h.headers, h.trailers, h.content, h.held = false, false, false, false
	} else {
		s.plugin.stats.pauses.Add(1)
	}
	routes := s.routes
	s.routes = false
	s.vm.release()
	if routes {
		s.host.ClearRouteCache()
	}
	return action
}

// idle is the action of streams that have no plugin any more: the response
// that was given in its place passes.
func (s *Stream) idle(t StreamType) Action {
	if s.plugin.cfg.FailOpen || t == Response && !s.over(t) {
		return Continue
	}
	return Pause
}

func (s *Stream) note(what noteKind, t StreamType, r *LocalResponse) {
	s.vm.notes = append(s.vm.notes, note{s: s, what: what, dir: t, r: r})
	if what == noteRespond || what == noteReset {
		s.mu.Lock()
		s.untold++
		s.mu.Unlock()
	}
}

// told is called when the host has a note.
func (s *Stream) told(what noteKind) {
	if what != noteRespond && what != noteReset {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.untold--
	s.wake()
}

// pause changes what Wait sees.
func (s *Stream) pause(t StreamType, paused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused[t] == paused {
		return
	}
	s.paused[t] = paused
	s.wake()
}

// stop ends the stream for Wait. What the host is to be told of it is noted
// before: Wait returns after that was told.
func (s *Stream) stop(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped == nil {
		s.stopped = why
		s.wake()
	}
}

// over tells whether a direction goes no further. A response that a plugin
// gave in the request's phase passes as any other.
func (s *Stream) over(t StreamType) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.overLocked(t) != nil
}

func (s *Stream) overLocked(t StreamType) error {
	if s.stopped != nil && errors.Is(s.stopped, ErrAnswered) && t == Response && !s.answered {
		return nil
	}
	return s.stopped
}

func (s *Stream) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// Wait waits until a direction is not held: nil then. Otherwise the error
// wraps ErrAnswered, ErrReset, or it is the end of ctx. A response that a
// plugin gave in the request's phase is no end of the response: it passes the
// response callbacks, and is waited for as any other.
func (s *Stream) Wait(ctx context.Context, t StreamType) error {
	for {
		s.mu.Lock()
		paused, over, untold := s.paused[t], s.overLocked(t), s.untold > 0
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		switch {
		case over != nil && !untold:
			return over
		case over == nil && !paused:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// TakeBody returns what is held of a direction's body and forgets it: after
// Continue, that of a body callback or of trailers, and when a direction was
// resumed. It is the caller's.
func (s *Stream) TakeBody(t StreamType) []byte {
	if s.vm != nil {
		s.vm.acquire()
		defer s.vm.release()
	}
	h := &s.halves[t]
	b := h.body.Bytes()
	h.body, h.held, h.spool = Buffer{}, false, nil
	return b
}

// Close is the end of a stream, whole or not: the plugin is told that it is
// done, logs it, and forgets it. The host is not called any more, but for its
// maps if the plugin's log comes later (a proxy_on_done that returned false);
// a host with a method Released() is called there, in which it must not call
// the plugin, when that is over.
func (s *Stream) Close() {
	if s.scope == nil {
		if !s.closed { // the plugin knows nothing of it
			s.closed = true
			s.released()
			s.plugin.streamEnded()
		}
		return
	}
	s.vm.acquire()
	defer s.vm.release()
	if s.closed {
		return
	}
	s.closed = true
	defer s.plugin.streamEnded()
	s.stop(ErrReset)
	switch {
	case s.vm.failure != nil:
		s.scope.forget()
		s.released()
	default:
		s.scope.finish()
	}
}

// released lets go of the host.
func (s *Stream) released() {
	if s.gone {
		return
	}
	s.gone = true
	if r, ok := s.host.(interface{ Released() }); ok {
		r.Released()
	}
}

// fail is for a stream whose VM failed: it passes, or it ends. The VM's lock
// is held.
func (s *Stream) fail() {
	if s.failed || s.closed {
		return
	}
	s.failed = true
	if s.plugin.cfg.FailOpen {
		for t := range s.halves {
			s.resume(StreamType(t))
		}
		return
	}
	s.end(func(what noteKind, t StreamType, r *LocalResponse) { s.note(what, t, r) })
}

// end answers with 503, or resets what cannot be answered any more. A response
// that the plugin gave before goes on without it.
func (s *Stream) end(tell func(noteKind, StreamType, *LocalResponse)) {
	switch {
	case s.tcp:
		tell(noteReset, Downstream, nil)
		s.stop(ErrReset)
	case s.over(Response): // the plugin ended it before
	case s.local != nil:
		s.resume(Response)
	case s.answering && !s.halves[Response].headers:
		tell(noteReset, Response, nil)
		s.stop(ErrReset)
	default:
		s.mu.Lock()
		s.answered = s.answering
		s.mu.Unlock()
		s.answering = true
		tell(noteRespond, 0, &LocalResponse{Status: 503, Details: "wasm_fail_stream", Headers: &Headers{}, GRPCStatus: -1})
		s.stop(ErrAnswered)
	}
}

// failWithout is fail for a stream that never had a VM.
func (s *Stream) failWithout() {
	if s.failed || s.plugin.cfg.FailOpen {
		return
	}
	s.failed = true
	s.end(func(what noteKind, t StreamType, r *LocalResponse) { note{s: s, what: what, dir: t, r: r}.tell() })
}

// resume lets a direction go on that is held.
func (s *Stream) resume(t StreamType) {
	h := &s.halves[t]
	if s.isInside && s.inside == t {
		h.resume = true
		return
	}
	h.headers, h.trailers, h.content = false, false, false
	s.mu.Lock()
	paused := s.paused[t]
	s.mu.Unlock()
	if paused {
		s.pause(t, false)
		s.note(noteResume, t, nil)
	}
}

// Paused tells whether a direction is held.
func (s *Stream) Paused(t StreamType) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.paused[t]
}
