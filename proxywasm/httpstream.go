package proxywasm

import "time"

// A StreamDispatcher is a Dispatcher of HTTP calls whose bodies come and go in
// pieces (the foreign functions hako_http_open and so on).
type StreamDispatcher interface {
	Dispatcher
	// HTTPStream opens a call, of which Headers, Upstream and Timeout count.
	// What comes is given to events: headers and the end in order, Readable
	// between them, Writable at any time.
	HTTPStream(call *HTTPCall, events HTTPEvents) (HTTPStream, error)
}

// An HTTPStream is a call under way. It holds a bounded part of each body;
// its methods return at once.
type HTTPStream interface {
	// Write takes as much of the request's body as there is room for. If
	// that is not all, HTTPEvents.Writable tells when there is some again.
	// End says that the body ends with p; it counts if all of p was taken.
	Write(p []byte, end bool) int
	// Read returns up to limit bytes of what came of the response's body.
	// When it has returned all, HTTPEvents.Readable tells of more. The bytes
	// are the caller's.
	Read(limit int) []byte
	// Cancel ends the call. Events that come later are dropped.
	Cancel()
}

// HTTPEvents takes what comes of an HTTPStream.
type HTTPEvents interface {
	Headers(*Headers) // of the response; :status is there
	Readable()
	Writable()
	// Close is the last: the response's body has been read, or the call
	// failed. Trailers may be nil.
	Close(trailers *Headers, err error)
}

// HTTPEventFunction is the number that proxy_on_foreign_function is called
// with for what comes of hako_http_open: "hako" in little-endian. The buffer of
// the arguments has the call, the event, and what it brings.
const HTTPEventFunction = 0x6f6b6168

// The events. Headers and trailers come as pairs, a failure as text.
const (
	httpHeaders  = 1
	httpReadable = 2
	httpWritable = 3
	httpEnd      = 4
	httpFailed   = 5
)

// httpOpen takes the timeout in milliseconds, 0 for none, whether there is no
// body, the length of the upstream's name, it, and headers as pairs. It returns
// the call. It needs http_call:NAME, as proxy_http_call does.
func httpOpen(h hostCall, args []byte) ([]byte, Status) {
	if len(args) < 12 || uint64(le.Uint32(args[8:])) > uint64(len(args)-12) {
		return nil, StatusBadArgument
	}
	name, pairs := string(args[12:12+le.Uint32(args[8:])]), args[12+le.Uint32(args[8:]):]
	fields, ok := parseFields(pairs)
	if !ok {
		return nil, StatusBadArgument
	}
	plugin := h.vm.plugin
	call := &HTTPCall{Plugin: plugin.cfg.Name, Upstream: name, Headers: &Headers{}, Timeout: milliseconds(le.Uint32(args))}
	call.Headers.Replace(fields)
	if !callable(call.Headers) || call.Timeout > time.Duration(1<<31)*time.Millisecond {
		return nil, StatusBadArgument
	}
	d, ok := plugin.cfg.Dispatcher.(StreamDispatcher)
	switch {
	case !ok || !h.vm.profile.has(onForeign):
		return nil, StatusUnimplemented
	case !plugin.allow.may("http_call", name):
		plugin.say(LogWarn, h.scope(), []byte("hako_http_open: the upstream "+name+" is not allowed"))
		return nil, StatusBadArgument
	}
	root := h.scope().root
	oc, status := root.newCall(&root.vm.nextHTTP, 1)
	if status != StatusOK {
		return nil, status
	}
	s, err := d.HTTPStream(call, httpEvents{oc})
	if status := oc.dispatched(nil, err, StatusBadArgument); status != StatusOK {
		return nil, status
	}
	oc.http, oc.cancel = s, s.Cancel
	oc.within(call.Timeout, func() { oc.httpClosed(nil, errTimeout) })
	if le.Uint32(args[4:]) != 0 {
		s.Write(nil, true)
	}
	return le.AppendUint32(nil, oc.token), StatusOK
}

// callable tells whether headers have what a request needs.
func callable(h *Headers) bool {
	for _, name := range []string{":method", ":path", ":authority"} {
		if h.Value(name) == "" {
			return false
		}
	}
	return true
}

// httpStream finds the call that arguments begin with.
func (h hostCall) httpStream(args []byte, size int) (*outcall, Status) {
	if len(args) < size {
		return nil, StatusBadArgument
	}
	oc := h.scope().root.calls[le.Uint32(args)]
	if oc == nil || oc.http == nil {
		return nil, StatusNotFound
	}
	return oc, StatusOK
}

// httpWrite takes the call, whether it is the end, and data. It returns how
// many bytes were taken.
func httpWrite(h hostCall, args []byte) ([]byte, Status) {
	oc, status := h.httpStream(args, 8)
	if status != StatusOK {
		return nil, status
	}
	n := oc.http.Write(args[8:], le.Uint32(args[4:]) != 0)
	return le.AppendUint32(nil, uint32(n)), StatusOK
}

// httpRead takes the call and how many bytes to return at most.
func httpRead(h hostCall, args []byte) ([]byte, Status) {
	oc, status := h.httpStream(args, 8)
	if status != StatusOK {
		return nil, status
	}
	return oc.http.Read(int(min(le.Uint32(args[4:]), 1<<30))), StatusOK
}

// httpClose takes the call.
func httpClose(h hostCall, args []byte) ([]byte, Status) {
	oc, status := h.httpStream(args, 4)
	if status != StatusOK {
		return nil, status
	}
	oc.forget()
	oc.cancel()
	return nil, StatusOK
}

// httpEvents gives what comes of a call to the plugin.
type httpEvents struct{ oc *outcall }

func (e httpEvents) post(event uint32, data func() []byte) {
	e.oc.root.vm.post(func() {
		if e.oc.live() {
			e.oc.httpEvent(event, data())
		}
	})
}

func nothing() []byte { return nil }

func (e httpEvents) Headers(h *Headers) {
	e.post(httpHeaders, func() []byte { return appendPairs(nil, h.fields) })
}
func (e httpEvents) Readable() { e.post(httpReadable, nothing) }
func (e httpEvents) Writable() { e.post(httpWritable, nothing) }
func (e httpEvents) Close(trailers *Headers, err error) {
	e.oc.root.vm.post(func() { e.oc.httpClosed(trailers, err) })
}

// httpClosed is the end of a call.
func (oc *outcall) httpClosed(trailers *Headers, err error) {
	switch {
	case !oc.live():
	case err != nil:
		oc.forget()
		oc.httpEvent(httpFailed, []byte(err.Error()))
	default:
		oc.forget()
		if trailers == nil {
			trailers = &Headers{}
		}
		oc.httpEvent(httpEnd, appendPairs(nil, trailers.fields))
	}
}

func (oc *outcall) httpEvent(event uint32, data []byte) {
	b := le.AppendUint32(le.AppendUint32(make([]byte, 0, 8+len(data)), oc.token), event)
	oc.root.foreign(HTTPEventFunction, append(b, data...))
}

// foreign calls proxy_on_foreign_function of a root.
func (c *scope) foreign(function uint32, data []byte) {
	c.arguments = &Buffer{b: data}
	c.vm.call(c, onForeign, uint64(c.id), uint64(function), uint64(len(data)))
	c.arguments = nil
}
