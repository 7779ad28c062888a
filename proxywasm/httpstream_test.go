package proxywasm

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// streamer is a StreamDispatcher that a test works by hand.
type streamer struct {
	fakeDispatcher
	events  HTTPEvents
	call    *HTTPCall
	written []string
	room    int
	body    string
	ended   bool
	stopped int
}

func (d *streamer) HTTPStream(c *HTTPCall, e HTTPEvents) (HTTPStream, error) {
	d.call, d.events = c, e
	return d, nil
}

func (d *streamer) Write(p []byte, end bool) int {
	n := min(len(p), d.room)
	d.written = append(d.written, string(p[:n]))
	d.room -= n
	d.ended = end && n == len(p)
	return n
}

func (d *streamer) Read(limit int) []byte {
	n := min(limit, len(d.body))
	b := d.body[:n]
	d.body = d.body[n:]
	return []byte(b)
}

func (d *streamer) Cancel() { d.stopped++ }

// four is four bytes of a foreign function's arguments.
func four(n uint32) string { return string(le.AppendUint32(nil, n)) }

// TestHTTPStream opens calls by foreign functions, wrongly and rightly.
func TestHTTPStream(t *testing.T) {
	d := &streamer{room: 5}
	p := loadProbe(t, Config{Dispatcher: d, Allow: []string{"http_call:up"}})
	foreign := func(c *probeCall, name, args string) (string, Status) {
		ptr, size := c.put(name)
		at, n := c.put(args)
		status := c.call("proxy_call_foreign_function", ptr, size, at, n, c.out(0), c.out(1))
		if status != StatusOK {
			return "", status
		}
		return c.given(), status
	}
	pairs := string(appendPairs(nil, MakeHeaders(":method", "POST", ":path", "/", ":authority", "a").fields))
	open := func(timeout uint32, name, pairs string) string {
		return four(timeout) + four(0) + four(uint32(len(name))) + name + pairs
	}
	var call string
	var events []string
	p.do(onForeign, func(c *probeCall) {
		if c.args[1] != HTTPEventFunction {
			t.Errorf("function %#x", c.args[1])
		}
		c.expect(t, StatusOK, "proxy_get_buffer_bytes", int(ForeignArguments), 0, 1<<20, c.out(0), c.out(1))
		events = append(events, c.given())
	})
	p.do(onRequestHeaders, func(c *probeCall) {
		for args, want := range map[string]Status{
			"": StatusBadArgument, four(0) + four(0) + four(99): StatusBadArgument,
			open(0, "up", "\xff\xff\xff\xff"): StatusBadArgument, open(0, "up", ""): StatusBadArgument,
			open(0, "other", pairs): StatusBadArgument,
		} {
			if _, got := foreign(c, "hako_http_open", args); got != want {
				t.Errorf("open with %q: %v, not %v", args, got, want)
			}
		}
		for _, name := range []string{"hako_http_write", "hako_http_read", "hako_http_close"} {
			if _, got := foreign(c, name, four(77)+four(0)); got != StatusNotFound {
				t.Errorf("%s of no call: %v", name, got)
			}
			if _, got := foreign(c, name, "x"); got != StatusBadArgument {
				t.Errorf("%s of nothing: %v", name, got)
			}
		}
		call, _ = foreign(c, "hako_http_open", open(1000, "up", pairs))
		taken, _ := foreign(c, "hako_http_write", call+four(1)+"0123456")
		if taken != four(5) || d.ended {
			t.Errorf("%q was taken, end %v", taken, d.ended)
		}
		if _, got := foreign(c, "hako_body_spool", four(0)); got != StatusUnimplemented {
			t.Errorf("a host without files: %v", got)
		}
	})
	s := p.plugin.NewStream(0, get())
	s.RequestHeaders(true)
	s.Close()
	if d.call == nil || d.call.Upstream != "up" || d.call.Timeout != time.Second || strings.Join(d.written, "") != "01234" {
		t.Fatalf("%+v %q", d.call, d.written)
	}
	d.events.Headers(MakeHeaders(":status", "200"))
	d.body = "answer"
	d.events.Readable()
	d.events.Writable()
	d.events.Close(nil, nil)
	d.events.Close(nil, errors.New("too late"))
	d.events.Readable()
	waitFor(t, "the inbox", func() bool { return p.plugin.vms[0].inbox.idle() })
	want := []string{
		call + four(1) + string(appendPairs(nil, MakeHeaders(":status", "200").fields)),
		call + four(2), call + four(3), call + four(4) + string(appendPairs(nil, nil)),
	}
	if strings.Join(events, "|") != strings.Join(want, "|") {
		t.Errorf("%q\nnot %q", events, want)
	}
	// One that takes too long is cancelled, and told of.
	events = nil
	p.do(onRequestHeaders, func(c *probeCall) {
		call, _ = foreign(c, "hako_http_open", open(1000, "up", pairs))
		d.body = "some"
		if got, _ := foreign(c, "hako_http_read", call+four(3)); got != "som" {
			t.Errorf("%q was read", got)
		}
	})
	s = p.plugin.NewStream(0, get())
	s.RequestHeaders(true)
	s.Close()
	p.clock.advance(2 * time.Second)
	waitFor(t, "the timeout", func() bool { return p.plugin.vms[0].inbox.idle() })
	if len(events) != 1 || events[0] != call+four(5)+"timeout" || d.stopped != 1 {
		t.Errorf("%q, cancelled %d times", events, d.stopped)
	}
}

// memorySpool keeps a body in memory.
type memorySpool struct {
	b     []byte
	limit int
	err   error
}

func (m *memorySpool) Write(p []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	if len(m.b)+len(p) > m.limit {
		return 0, ErrSpoolFull
	}
	m.b = append(m.b, p...)
	return len(p), nil
}

func (m *memorySpool) ReadAt(p []byte, at int64) (int, error) {
	if at >= int64(len(m.b)) {
		return 0, io.EOF
	}
	return copy(p, m.b[at:]), nil
}

type spoolHost struct {
	*Exchange
	spool *memorySpool
}

func (h spoolHost) Spool(StreamType) Spool { return h.spool }

// TestSpool holds more of a body than a plugin may, outside of its VM.
func TestSpool(t *testing.T) {
	p := loadProbe(t, Config{Limits: Limits{Body: 10}})
	foreign := func(c *probeCall, name, args string) string {
		ptr, size := c.put(name)
		at, n := c.put(args)
		if status := c.call("proxy_call_foreign_function", ptr, size, at, n, c.out(0), c.out(1)); status != StatusOK {
			t.Errorf("%s: %v", name, status)
		}
		return c.given()
	}
	p.on(onRequestHeaders, func(c *probeCall) uint32 { foreign(c, "hako_body_spool", four(0)); return 0 })
	kept := ""
	p.on(onRequestBody, func(c *probeCall) uint32 {
		kept = foreign(c, "hako_body_read", four(0)+four(0)+four(0)+four(100))
		if c.args[1] != 8 {
			t.Errorf("%d bytes are shown, 8 came", c.args[1])
		}
		return 1 - c.args[2]
	})
	h := spoolHost{get(), &memorySpool{limit: 20}}
	s := p.plugin.NewStream(0, h)
	s.RequestHeaders(false)
	for _, part := range []string{"01234567", "89abcdef"} {
		if a := s.RequestBody([]byte(part), false); a != PauseDrop {
			t.Errorf("%v", a)
		}
	}
	if a := s.RequestBody([]byte("the end."), true); a != Continue || kept != "0123456789abcdef" || string(h.spool.b) != kept || string(s.TakeBody(Request)) != "the end." {
		t.Errorf("%v, %q kept, %q of it seen", a, h.spool.b, kept)
	}
	s.Close()
	// More than the host keeps.
	h = spoolHost{get(), &memorySpool{limit: 8}}
	s = p.plugin.NewStream(0, h)
	s.RequestHeaders(false)
	s.RequestBody([]byte("01234567"), false)
	s.RequestBody([]byte("01234567"), false)
	if l := h.Local(); l == nil || l.Status != 413 {
		t.Errorf("%+v", l)
	}
	s.Close()
	// A host that cannot.
	h = spoolHost{get(), &memorySpool{err: errors.New("the disk is full")}}
	s = p.plugin.NewStream(0, h)
	s.RequestHeaders(false)
	s.RequestBody([]byte("01234567"), false)
	if l := h.Local(); l == nil || l.Status != 503 {
		t.Errorf("%+v", l)
	}
	s.Close()
}

// FuzzHako calls what Hako adds with any arguments, one function after the
// other: a status comes back, the VM goes on, and no call is left.
func FuzzHako(f *testing.F) {
	names := []string{"hako_http_open", "hako_http_write", "hako_http_read", "hako_http_close", "hako_body_spool", "hako_body_read"}
	pairs := string(appendPairs(nil, MakeHeaders(":method", "POST", ":path", "/", ":authority", "a").fields))
	step := func(function int, args string) string { return string([]byte{byte(function), byte(len(args))}) + args }
	open := step(0, four(1000)+four(0)+four(2)+"up"+pairs)
	f.Add([]byte(open + step(1, four(1)+four(1)+"data") + step(2, four(1)+four(100)) + step(3, four(1)) + step(3, four(1))))
	f.Add([]byte(open + open + step(1, four(2)+four(0)) + step(2, four(1)+four(0xffffffff))))
	f.Add([]byte(step(0, four(0xffffffff)+four(1)+four(2)+"up"+pairs) + step(0, four(0)+four(0)+four(0xffffffff)) + step(0, "")))
	f.Add([]byte(step(4, four(0)) + step(4, four(1)) + step(4, four(2)) + step(5, four(0)+four(0)+four(0)+four(9))))
	f.Add([]byte(step(5, four(0)+four(0xffffffff)+four(0xffffffff)+four(0xffffffff)) + step(5, four(1)+four(3)+four(0)+four(1<<20))))
	m := probeSource(f, ABI02100)
	f.Fuzz(func(t *testing.T, b []byte) {
		p := newProbe(t)
		d := &streamer{room: 1 << 10, body: "answer"}
		run := func(c *probeCall) {
			for b := b; len(b) >= 2; {
				name, size := names[int(b[0])%len(names)], min(int(b[1]), len(b)-2)
				ptr, n := c.put(name)
				at, _ := c.put(string(b[2 : 2+size]))
				b = b[2+size:]
				if status := c.call("proxy_call_foreign_function", ptr, n, at, uint64(size), c.out(0), c.out(1)); status > StatusUnimplemented {
					t.Errorf("%s: %v", name, status)
				}
			}
		}
		for _, cb := range []callback{onConfigure, onRequestHeaders, onRequestBody, onLog} {
			held := uint32(1)
			if cb == onRequestHeaders {
				held = 0
			}
			p.on(cb, func(c *probeCall) uint32 { run(c); return held })
		}
		if err := p.load(Config{Module: m, Dispatcher: d, Allow: []string{"http_call:up"}, Limits: Limits{CPU: 10 * time.Second, Calls: 20}}); err != nil {
			t.Fatal(err)
		}
		s := p.plugin.NewStream(0, spoolHost{get(), &memorySpool{limit: 100}})
		s.RequestHeaders(false)
		s.RequestBody([]byte("hello"), false)
		s.RequestBody([]byte("hello"), true)
		s.Close()
		if d.events != nil {
			d.events.Headers(MakeHeaders(":status", "200"))
			d.events.Readable()
			d.events.Close(nil, nil)
		}
		if st := p.plugin.Stats(); st.Crashes > 0 {
			t.Errorf("it crashed: %s", p.log)
		}
	})
}
