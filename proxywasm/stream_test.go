package proxywasm

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
)

// TestBufferWrite: where set_buffer_bytes puts data, by start and size.
func TestBufferWrite(t *testing.T) {
	for _, v := range []struct {
		start, size uint32
		data, want  string
	}{
		{0, 0, "AB", "ABhello"}, {5, 0, "AB", "helloAB"}, {math.MaxUint32, 0, "AB", "helloAB"}, {9, 9, "AB", "helloAB"},
		{0, 5, "AB", "AB"}, {0, math.MaxUint32, "AB", "AB"}, {0, 5, "", ""}, {1, 3, "AB", "hABo"}, {2, 0, "AB", "heABllo"},
		{3, math.MaxUint32, "AB", "helAB"}, {4, 1, "", "hell"}, {0, 1, "AB", "ABello"}, {0, 1, "", "ello"},
	} {
		source := []byte("hello, world")[:5]
		b := Buffer{}
		b.Set(source)
		if !b.write(v.start, v.size, []byte(v.data)) || string(b.Bytes()) != v.want {
			t.Errorf("%d, %d, %q: %q, want %q", v.start, v.size, v.data, b.Bytes(), v.want)
		}
		if string(source[:12]) != "hello, world" {
			t.Errorf("%d, %d: what the buffer was set to became %q", v.start, v.size, source[:12])
		}
	}
}

func TestBuffers(t *testing.T) {
	p := loadProbe(t, Config{VMConfig: []byte("vm"), Roots: []Root{{Config: []byte("plugin")}}})
	p.do(onRequestHeaders, func(c *probeCall) {
		for id, want := range []Status{0: StatusNotFound, 1: StatusNotFound, 2: StatusNotFound, 3: StatusNotFound, 4: StatusNotFound,
			5: StatusNotFound, 6: StatusOK, 7: StatusNotFound, 8: StatusNotFound, 9: StatusBadArgument} {
			c.expect(t, want, "proxy_get_buffer_bytes", id, 0, 10, c.out(0), c.out(1))
			c.expect(t, want, "proxy_get_buffer_status", id, c.out(0), c.out(1))
			if want == StatusOK {
				want = StatusBadArgument // it cannot be changed
			}
			c.expect(t, want, "proxy_set_buffer_bytes", id, 0, 0, "x")
		}
		c.gives(t, "vm", "proxy_get_buffer_bytes", 6, 0, 10)
	})
	p.do(onRequestBody, func(c *probeCall) {
		c.gives(t, "hello", "proxy_get_buffer_bytes", 0, 0, 0xffffffff)
		c.gives(t, "ell", "proxy_get_buffer_bytes", 0, 1, 3)
		c.gives(t, "ello", "proxy_get_buffer_bytes", 0, 1, 0xffffffff)
		c.gives(t, "", "proxy_get_buffer_bytes", 0, 5, 1)
		c.gives(t, "", "proxy_get_buffer_bytes", 0, 0xffffffff, 0xffffffff)
		if c.out32(0) != 0 {
			t.Error("nothing has an address")
		}
		c.expect(t, StatusInvalidMemoryAccess, "proxy_get_buffer_bytes", 0, 0, 5, 0xfffffffe, c.out(1))
		c.expect(t, StatusInvalidMemoryAccess, "proxy_set_buffer_bytes", 0, 0, 5, 0xfffffff0, 32)
		c.expect(t, StatusInvalidMemoryAccess, "proxy_get_buffer_status", 0, 0xfffffffe, c.out(1))
		c.expect(t, StatusOK, "proxy_get_buffer_status", 0, c.out(0), c.out(1))
		if c.out32(0) != 5 || c.out32(1) != 0 {
			t.Errorf("status %d, %d", c.out32(0), c.out32(1))
		}
		c.expect(t, StatusOK, "proxy_set_buffer_bytes", 0, 1, 3, "ipp")
		c.gives(t, "hippo", "proxy_get_buffer_bytes", 0, 0, 10)
	})
	s := p.plugin.NewStream(0, get())
	defer s.Close()
	s.RequestHeaders(false)
	chunk := []byte("hello")
	if a := s.RequestBody(chunk, true); a != Continue || string(s.TakeBody(Request)) != "hippo" || string(chunk) != "hello" {
		t.Errorf("%v, chunk %q", a, chunk)
	}
}

// TestBufferGrows: a plugin cannot make a body larger than its own memory may
// be.
func TestBufferGrows(t *testing.T) {
	p := loadProbe(t, Config{Limits: Limits{Memory: 8 << 20, CPU: 1e10}})
	n := 0
	p.do(onRequestBody, func(c *probeCall) {
		at, size := c.put(strings.Repeat("x", 1<<20))
		for n < 20 && c.with("proxy_set_buffer_bytes", 0, 0, 0, at, size) == StatusOK {
			n++
		}
	})
	s := p.plugin.NewStream(0, get())
	s.RequestHeaders(false)
	s.RequestBody([]byte("x"), true)
	s.Close()
	if n != 7 { // and what came of the body
		t.Errorf("it could be made larger %d times", n)
	}
}

// TestConfigurationBuffer: it is there while the plugin is configured.
func TestConfigurationBuffer(t *testing.T) {
	for _, abi := range []ABI{ABI010, ABI021} {
		p := newProbe(t)
		p.on(onVMStart, func(c *probeCall) uint32 {
			c.gives(t, "vm", "proxy_get_buffer_bytes", 6, 0, 10)
			c.gives(t, "vm", "proxy_get_configuration")
			c.expect(t, StatusNotFound, "proxy_get_buffer_bytes", 7, 0, 10, c.out(0), c.out(1))
			return 1
		})
		p.on(onConfigure, func(c *probeCall) uint32 {
			c.gives(t, "plugin", "proxy_get_buffer_bytes", 7, 0, 10)
			c.gives(t, "plugin", "proxy_get_configuration")
			c.expect(t, StatusBadArgument, "proxy_set_buffer_bytes", 7, 0, 0, "x")
			return 1
		})
		if err := p.load(Config{Module: probeSource(t, abi), VMConfig: []byte("vm"), Roots: []Root{{Config: []byte("plugin")}}}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBodyHeld: a body that is held grows, can be changed, and goes on whole;
// the embedder's chunks are its own.
func TestBodyHeld(t *testing.T) {
	p := loadProbe(t, Config{})
	var sizes []uint32
	p.on(onRequestBody, func(c *probeCall) uint32 {
		sizes = append(sizes, c.args[1])
		if c.args[2] == 1 {
			c.expect(t, StatusOK, "proxy_set_buffer_bytes", 0, 0, 0, "<")
			c.expect(t, StatusOK, "proxy_set_buffer_bytes", 0, 100, 0, ">")
			return 0
		}
		return 1
	})
	s := p.plugin.NewStream(0, get())
	defer s.Close()
	s.RequestHeaders(false)
	for i := range 3 {
		chunk := []byte("abc")
		if a := s.RequestBody(chunk, false); a != PauseBuffer || !s.Paused(Request) {
			t.Errorf("chunk %d: %v", i, a)
		}
		copy(chunk, "xyz")
	}
	if a := s.RequestBody([]byte("abc"), true); a != Continue || s.Paused(Request) {
		t.Errorf("end: %v", a)
	}
	if got := string(s.TakeBody(Request)); got != "<abcabcabcabc>" || fmt.Sprint(sizes) != "[3 6 9 12]" {
		t.Errorf("%q, sizes %v", got, sizes)
	}
}

// TestActions: what plugins return, beyond 0 and 1.
func TestActions(t *testing.T) {
	headers := map[ABI][]Action{
		ABI010:   {Continue, Pause, Continue, Pause, Pause, Pause},
		ABI021:   {Continue, Pause, Continue, Pause, Pause, Pause},
		ABI02100: {Continue, PauseHeaders, Continue, Pause, Pause, Pause},
	}
	for abi, want := range headers {
		p := loadProbe(t, Config{Module: probeSource(t, abi)})
		for r, want := range append(want, Pause) {
			if r == 6 {
				r = math.MaxUint32
			}
			for _, cb := range []callback{onRequestHeaders, onResponseHeaders} {
				p.on(cb, func(*probeCall) uint32 { return uint32(r) })
			}
			s := p.plugin.NewStream(0, get())
			if a, b := s.RequestHeaders(false), s.ResponseHeaders(false); a != want || b != want {
				t.Errorf("%v: headers %d: %v, %v, want %v", abi, r, a, b, want)
			}
			s.Close()
		}
	}
	p := loadProbe(t, Config{})
	for r, want := range []Action{Continue, PauseBuffer, PauseWatermark, PauseDrop, PauseDrop} {
		p.on(onRequestBody, func(*probeCall) uint32 { return uint32(r) })
		p.on(onRequestTrailers, func(*probeCall) uint32 { return uint32(r) })
		s := p.plugin.NewStream(0, get())
		s.RequestHeaders(false)
		if a := s.RequestBody([]byte("x"), false); a != want {
			t.Errorf("body %d: %v", r, a)
		}
		if got := string(s.TakeBody(Request)); got != "x" && want != PauseDrop {
			t.Errorf("body %d left %q", r, got)
		}
		if a := s.RequestTrailers(); (a == Continue) != (r == 0) {
			t.Errorf("trailers %d: %v", r, a)
		}
		s.Close()
	}
}

func TestContinueInsideAndLater(t *testing.T) {
	p := loadProbe(t, Config{})
	x := get()
	// In the callback itself, it wins over the action.
	p.on(onRequestHeaders, func(c *probeCall) uint32 {
		c.expect(t, StatusOK, "proxy_continue_stream", 0)
		return 1
	})
	s := p.plugin.NewStream(0, x)
	if a := s.RequestHeaders(false); a != Continue || x.Resumed(Request) != 0 {
		t.Errorf("%v, resumed %d", a, x.Resumed(Request))
	}
	// The other direction, from a callback.
	p.on(onResponseHeaders, func(*probeCall) uint32 { return 1 })
	x.ResponseHeaders = MakeHeaders(":status", "200")
	if a := s.ResponseHeaders(false); a != Pause {
		t.Errorf("response headers: %v", a)
	}
	p.on(onRequestBody, func(c *probeCall) uint32 {
		c.expect(t, StatusOK, "proxy_continue_stream", 1)
		c.expect(t, StatusBadArgument, "proxy_continue_stream", 2)
		c.expect(t, StatusBadArgument, "proxy_continue_stream", 4)
		c.expect(t, StatusBadArgument, "proxy_close_stream", 3)
		c.expect(t, StatusBadArgument, "proxy_close_stream", 4)
		return 1
	})
	if a := s.RequestBody([]byte("x"), false); a != PauseBuffer || x.Resumed(Response) != 1 || s.Paused(Response) {
		t.Errorf("%v, resumed %d", a, x.Resumed(Response))
	}
	// From a tick, by the effective context: it is restored afterwards.
	id := s.scope.id
	p.do(onTick, func(c *probeCall) {
		c.expect(t, StatusOK, "proxy_continue_stream", 0) // of the root: nothing
		c.expect(t, StatusBadArgument, "proxy_set_effective_context", 4711)
		c.expect(t, StatusOK, "proxy_set_effective_context", int(id))
		c.gives(t, "GET", "proxy_get_header_map_value", 0, ":method")
		c.expect(t, StatusOK, "proxy_set_buffer_bytes", 0, 1, 0, "yz")
		c.expect(t, StatusOK, "proxy_continue_stream", 0)
		c.expect(t, StatusOK, "proxy_set_effective_context", 0)
		c.expect(t, StatusBadArgument, "proxy_get_header_map_value", 0, ":method", c.out(0), c.out(1))
	})
	p.tick(t)
	waitFor(t, "the tick", func() bool { return x.Resumed(Request) == 1 })
	for range 2 { // the choice ends with the callback
		done := make(chan bool)
		p.do(onTick, func(c *probeCall) {
			defer close(done)
			c.expect(t, StatusBadArgument, "proxy_get_header_map_value", 0, ":method", c.out(0), c.out(1))
			c.expect(t, StatusOK, "proxy_set_effective_context", int(id))
			c.gives(t, "GET", "proxy_get_header_map_value", 0, ":method")
		})
		p.tick(t)
		<-done
	}
	if err := s.Wait(context.Background(), Request); err != nil {
		t.Error(err)
	}
	if got := string(s.TakeBody(Request)); got != "xyz" {
		t.Errorf("body %q", got)
	}
	s.Close()
	// 0.1.0 has functions of its own.
	p = loadProbe(t, Config{Module: probeSource(t, ABI010)})
	p.on(onRequestHeaders, func(c *probeCall) uint32 {
		c.expect(t, StatusOK, "proxy_continue_request")
		return 1
	})
	p.on(onResponseHeaders, func(c *probeCall) uint32 {
		c.expect(t, StatusOK, "proxy_continue_response")
		return 1
	})
	s = p.plugin.NewStream(0, x)
	if a, b := s.RequestHeaders(false), s.ResponseHeaders(false); a != Continue || b != Continue {
		t.Errorf("0.1.0: %v, %v", a, b)
	}
	s.Close()
	if got := p.calls(); !strings.Contains(got, "request_headers(2,5,0)") {
		t.Errorf("0.1.0 saw %s", got)
	}
}

// tick has the root's tick come once.
func (p *probe) tick(t *testing.T) {
	t.Helper()
	v := p.plugin.vms[0]
	v.post(func() { v.call(v.roots[0], onTick, uint64(v.roots[0].id)) })
}

func TestLocalResponse(t *testing.T) {
	for _, from := range []callback{onRequestHeaders, onRequestBody, onRequestTrailers, onResponseHeaders} {
		p := loadProbe(t, Config{})
		x := get()
		x.ResponseHeaders, x.RequestTrailers = MakeHeaders(":status", "200"), MakeHeaders("t", "1")
		p.do(from, func(c *probeCall) {
			const pairs = "\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00A\x00z\x00"
			c.expect(t, StatusInvalidMemoryAccess, "proxy_send_local_response", 403, "why", 0xfffffff0, 32, pairs, 7)
			c.expect(t, StatusBadArgument, "proxy_send_local_response", 403, "why", "no", pairs+"?", 7)
			c.expect(t, StatusBadArgument, "proxy_send_local_response", 99, "why", "no", pairs, 7)
			if x.Local() != nil {
				t.Error("it was told before the callback was over")
			}
			c.expect(t, StatusOK, "proxy_send_local_response", 403, "why", "no", pairs, 7)
			c.expect(t, StatusBadArgument, "proxy_send_local_response", 200, "", "second", "", 0xffffffff)
			if x.Local() != nil {
				t.Error("it was told before the callback was over")
			}
		})
		s := p.plugin.NewStream(0, x)
		var a Action
		dir := Request
		switch from {
		case onRequestHeaders:
			a = s.RequestHeaders(false)
		case onRequestBody:
			s.RequestHeaders(false)
			a = s.RequestBody([]byte("x"), false)
		case onRequestTrailers:
			s.RequestHeaders(false)
			a = s.RequestTrailers()
		case onResponseHeaders:
			s.RequestHeaders(true)
			dir = Response
			a = s.ResponseHeaders(false)
		}
		r := x.Local()
		if a == Continue || r == nil || r.Status != 403 || r.Details != "why" || string(r.Body) != "no" || r.Headers.Value("a") != "z" || r.GRPCStatus != 7 {
			t.Fatalf("%s: %v, %+v\n%s", callbackTypes[from].name, a, r, p.log)
		}
		if err := s.Wait(context.Background(), dir); !errors.Is(err, ErrAnswered) {
			t.Errorf("%s: waiting: %v", callbackTypes[from].name, err)
		}
		if dir == Request {
			// The response passes the response callbacks.
			p.calls()
			if a := s.ResponseHeaders(true); a != Continue || !p.has("response_headers(2,1,1)") {
				t.Errorf("%s: the response: %v", callbackTypes[from].name, a)
			}
			if err := s.Wait(context.Background(), Response); err != nil {
				t.Errorf("%s: %v", callbackTypes[from].name, err)
			}
		}
		s.Close()
		if n := p.plugin.Stats().LocalResponses; n != 1 {
			t.Errorf("%d local responses are counted", n)
		}
	}
}

// TestLocalResponseLate: once response headers went on, all that is left is
// to reset the stream; and roots have none.
func TestLocalResponseLate(t *testing.T) {
	p := loadProbe(t, Config{})
	x := get()
	x.ResponseHeaders = MakeHeaders(":status", "200")
	p.do(onResponseBody, func(c *probeCall) {
		c.expect(t, StatusOK, "proxy_send_local_response", 403, "", "", "", 0)
		c.expect(t, StatusBadArgument, "proxy_send_local_response", 403, "", "", "", 0)
	})
	s := p.plugin.NewStream(0, x)
	s.RequestHeaders(true)
	s.ResponseHeaders(false)
	if a := s.ResponseBody([]byte("x"), true); a == Continue || x.Local() != nil || !x.WasReset(Response) {
		t.Errorf("%v %v", a, x.Local())
	}
	done := make(chan bool)
	p.do(onTick, func(c *probeCall) {
		defer close(done)
		c.expect(t, StatusOK, "proxy_send_local_response", 403, "", "", "", 0)
	})
	p.tick(t)
	<-done
	s.Close()
}

// TestPausedLocalResponse: a stream that waits is answered from a tick.
func TestPausedLocalResponse(t *testing.T) {
	p := loadProbe(t, Config{})
	x := get()
	p.on(onRequestHeaders, func(*probeCall) uint32 { return 1 })
	s := p.plugin.NewStream(0, x)
	defer s.Close()
	if a := s.RequestHeaders(true); a != Pause {
		t.Fatal(a)
	}
	p.do(onTick, func(c *probeCall) {
		c.expect(t, StatusOK, "proxy_set_effective_context", int(s.scope.id))
		c.expect(t, StatusOK, "proxy_replace_header_map_value", 0, "x-late", "1")
		c.expect(t, StatusOK, "proxy_send_local_response", 401, "", "", "", 0xffffffff)
	})
	p.tick(t)
	if err := s.Wait(context.Background(), Request); !errors.Is(err, ErrAnswered) {
		t.Fatal(err)
	}
	waitFor(t, "the response", func() bool { return x.Local() != nil })
	if x.Local().Status != 401 || x.Local().GRPCStatus != -1 || x.RoutesCleared() != 1 || x.RequestHeaders.Value("x-late") != "1" {
		t.Errorf("%+v, %d", x.Local(), x.RoutesCleared())
	}
}

func TestCloseStream(t *testing.T) {
	p := loadProbe(t, Config{})
	x := get()
	p.do(onRequestHeaders, func(c *probeCall) { c.expect(t, StatusOK, "proxy_close_stream", 0) })
	s := p.plugin.NewStream(0, x)
	defer s.Close()
	if a := s.RequestHeaders(true); a == Continue || !x.WasReset(Request) {
		t.Errorf("%v", a)
	}
	if err := s.Wait(context.Background(), Request); !errors.Is(err, ErrReset) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s2 := p.plugin.NewStream(0, get())
	defer s2.Close()
	p.on(onRequestHeaders, func(*probeCall) uint32 { return 1 })
	s2.RequestHeaders(true)
	if err := s2.Wait(ctx, Request); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestBodyTooLarge: what is held has a limit: 413, and 500 for a response.
func TestBodyTooLarge(t *testing.T) {
	p := loadProbe(t, Config{Limits: Limits{Body: 10}})
	for _, cb := range []callback{onRequestBody, onResponseBody} {
		p.on(cb, func(*probeCall) uint32 { return 1 })
	}
	x := get()
	s := p.plugin.NewStream(0, x)
	s.RequestHeaders(false)
	if a := s.RequestBody(make([]byte, 10), false); a != PauseBuffer || x.Local() != nil {
		t.Errorf("%v %v", a, x.Local())
	}
	if s.RequestBody(make([]byte, 1), false); x.Local() == nil || x.Local().Status != 413 {
		t.Errorf("%v", x.Local())
	}
	s.Close()
	x = get()
	x.ResponseHeaders = MakeHeaders(":status", "200")
	p.on(onResponseHeaders, func(*probeCall) uint32 { return 0 })
	s = p.plugin.NewStream(0, x)
	s.RequestHeaders(true)
	s.ResponseHeaders(false)
	if s.ResponseBody(make([]byte, 11), false); !x.WasReset(Response) || x.Local() != nil {
		t.Errorf("%v", x.Local())
	}
	s.Close()
	// With its headers held (0.2.100), the response can be another.
	p = loadProbe(t, Config{Limits: Limits{Body: 10}, Module: probeSource(t, ABI02100)})
	p.on(onResponseHeaders, func(*probeCall) uint32 { return 1 })
	p.on(onResponseBody, func(*probeCall) uint32 { return 1 })
	s = p.plugin.NewStream(0, x)
	s.RequestHeaders(true)
	if a := s.ResponseHeaders(false); a != PauseHeaders {
		t.Error(a)
	}
	if s.ResponseBody(make([]byte, 11), false); x.Local() == nil || x.Local().Status != 500 {
		t.Errorf("%v", x.Local())
	}
	s.Close()
}

// TestOthersResponse: a plugin that did not see the request does not see the
// response that another gave; and one that failed lets its own pass.
func TestOthersResponse(t *testing.T) {
	p := loadProbe(t, Config{})
	x := get()
	x.ResponseHeaders = MakeHeaders(":status", "403")
	s := p.plugin.NewStream(0, x)
	if a, b := s.ResponseHeaders(false), s.ResponseBody([]byte("no"), true); a != Continue || b != Continue || string(s.TakeBody(Response)) != "no" {
		t.Errorf("%v, %v", a, b)
	}
	s.Close()
	if got := p.calls(); strings.Contains(got, "response") {
		t.Error(got)
	}
	p.do(onRequestHeaders, func(c *probeCall) { c.guest("trap") })
	s = p.plugin.NewStream(0, x)
	if a := s.RequestHeaders(true); a != Pause || x.Local() == nil {
		t.Errorf("%v", a)
	}
	if a, b := s.ResponseHeaders(false), s.ResponseBody([]byte("503"), true); a != Continue || b != Continue || string(s.TakeBody(Response)) != "503" {
		t.Errorf("%v, %v", a, b)
	}
	if err := s.Wait(t.Context(), Response); err != nil {
		t.Error(err)
	}
	s.Close()
}

// TestMetadata: HTTP/2 metadata is counted to plugins.
func TestMetadata(t *testing.T) {
	p := loadProbe(t, Config{})
	s := p.plugin.NewStream(0, get())
	s.RequestMetadata(1) // of a stream that has not begun: nothing
	s.RequestHeaders(false)
	s.RequestMetadata(2)
	s.ResponseMetadata(3)
	s.Close()
	if got := p.calls(); !strings.Contains(got, "request_headers(2,5,0) request_metadata(2,2) response_metadata(2,3) done(2)") {
		t.Error(got)
	}
}
