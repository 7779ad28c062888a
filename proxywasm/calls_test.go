package proxywasm

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeDispatcher keeps calls for a test to answer.
type fakeDispatcher struct {
	mu       sync.Mutex
	http     []*HTTPCall
	done     []func(*HTTPResponse, error)
	canceled int
	grpc     []*GRPCCall
	events   []GRPCEvents
	sent     []string
	redis    []func([]byte, error)
}

func (d *fakeDispatcher) cancel() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.canceled++
}

func (d *fakeDispatcher) cancels() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.canceled
}

func (d *fakeDispatcher) HTTP(c *HTTPCall, done func(*HTTPResponse, error)) (func(), error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch c.Upstream {
	case "unknown":
		return nil, fmt.Errorf("upstream %s: %w", c.Upstream, ErrUpstream)
	case "broken":
		return nil, errors.New("broken")
	case "at once":
		done(&HTTPResponse{Headers: MakeHeaders(":status", "204")}, nil)
		return func() {}, nil
	}
	d.http, d.done = append(d.http, c), append(d.done, done)
	return d.cancel, nil
}

func (d *fakeDispatcher) GRPC(c *GRPCCall, e GRPCEvents) (GRPCStream, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.Upstream == "unknown" {
		return nil, ErrUpstream
	}
	d.grpc, d.events = append(d.grpc, c), append(d.events, e)
	return fakeGRPC{d}, nil
}

func (d *fakeDispatcher) RedisInit(upstream, user, password string, timeout time.Duration) error {
	if upstream != "cache" || user != "u" || password != "p" || timeout != time.Second {
		return fmt.Errorf("%s %s %s %v: %w", upstream, user, password, timeout, ErrUpstream)
	}
	return nil
}

func (d *fakeDispatcher) Redis(upstream string, query []byte, done func([]byte, error)) (func(), error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.redis = append(d.redis, done)
	return d.cancel, nil
}

type fakeGRPC struct{ d *fakeDispatcher }

func (g fakeGRPC) Send(m []byte, end bool) error {
	g.d.mu.Lock()
	defer g.d.mu.Unlock()
	g.d.sent = append(g.d.sent, fmt.Sprintf("%s %v", m, end))
	return nil
}

func (g fakeGRPC) Cancel() { g.d.cancel() }

const callPairs = "\x03\x00\x00\x00\x07\x00\x00\x00\x03\x00\x00\x00\x05\x00\x00\x00\x01\x00\x00\x00\x0a\x00\x00\x00\x04\x00\x00\x00:method\x00GET\x00:path\x00/\x00:authority\x00auth\x00"

func TestHTTPCall(t *testing.T) {
	d := &fakeDispatcher{}
	p := loadProbe(t, Config{Dispatcher: d, Allow: []string{"http_call:*"}})
	trailers := "\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00t\x001\x00"
	p.on(onRequestHeaders, func(c *probeCall) uint32 {
		const f = "proxy_http_call"
		c.expect(t, StatusBadArgument, f, "unknown", callPairs, "", "", 1000, c.out(0))
		c.expect(t, StatusInternalFailure, f, "broken", callPairs, "", "", 1000, c.out(0))
		c.expect(t, StatusBadArgument, f, "auth", callPairs, "", "", 0x80000000, c.out(0))
		c.expect(t, StatusBadArgument, f, "auth", trailers, "", "", 1000, c.out(0)) // no :method
		c.expect(t, StatusBadArgument, f, "auth", callPairs+"?", "", "", 1000, c.out(0))
		c.expect(t, StatusInvalidMemoryAccess, f, "auth", callPairs, "", "", 1000, 0xfffffffe)
		c.expect(t, StatusInvalidMemoryAccess, f, "auth", callPairs, 0xfffffff0, 32, "", 1000, c.out(0))
		c.expect(t, StatusOK, f, "auth", callPairs, "body", trailers, 1000, c.out(0))
		c.expect(t, StatusOK, f, "auth", callPairs, "", "", 0, c.out(1))
		c.expect(t, StatusOK, f, "auth", callPairs, "", "", 500, c.out(2))
		if a, b, e := c.out32(0), c.out32(1), c.out32(2); a == 0 || b == a || e == b {
			t.Errorf("the calls have the numbers %d, %d and %d", a, b, e)
		}
		return 1
	})
	x := get()
	s := p.plugin.NewStream(0, x)
	defer s.Close()
	if a := s.RequestHeaders(true); a != Pause {
		t.Fatal(a)
	}
	if len(d.http) != 3 || d.http[0].Upstream != "auth" || d.http[0].Headers.Value(":path") != "/" || string(d.http[0].Body) != "body" ||
		d.http[0].Trailers.Value("t") != "1" || d.http[0].Timeout != time.Second || d.http[1].Trailers != nil || d.http[1].Timeout != 0 {
		t.Fatalf("%+v", d.http)
	}
	p.do(onHTTPCallResponse, func(c *probeCall) {
		c.gives(t, "200", "proxy_get_header_map_value", 6, ":status")
		c.gives(t, "1", "proxy_get_header_map_value", 7, "t")
		c.gives(t, "yes", "proxy_get_buffer_bytes", 4, 0, 100)
		c.expect(t, StatusBadArgument, "proxy_set_buffer_bytes", 4, 0, 0, "x")
		c.expect(t, StatusBadArgument, "proxy_add_header_map_value", 6, "a", "b")
		// It comes to the root; the stream's context is chosen.
		c.expect(t, StatusBadArgument, "proxy_get_header_map_value", 0, ":method", c.out(0), c.out(1))
		c.expect(t, StatusOK, "proxy_set_effective_context", int(s.scope.id))
		c.gives(t, "GET", "proxy_get_header_map_value", 0, ":method")
		c.gives(t, "200", "proxy_get_header_map_value", 6, ":status")
		c.expect(t, StatusOK, "proxy_continue_stream", 0)
	})
	p.calls()
	answer := &HTTPResponse{Headers: MakeHeaders(":status", "200", "a", "b"), Body: []byte("yes"), Trailers: MakeHeaders("t", "1")}
	go d.done[0](answer, nil)
	if err := s.Wait(t.Context(), Request); err != nil {
		t.Fatal(err)
	}
	if got := p.calls(); got != "http_call_response(1,3,2,3,1)" {
		t.Error(got)
	}
	d.done[0](answer, nil) // a second answer is dropped
	// Failure and timeout: no headers, and a status.
	status := ""
	p.do(onHTTPCallResponse, func(c *probeCall) {
		c.expect(t, StatusBadArgument, "proxy_get_header_map_value", 6, ":status", c.out(0), c.out(1))
		c.expect(t, StatusNotFound, "proxy_get_buffer_bytes", 4, 0, 100, c.out(0), c.out(1))
		c.expect(t, StatusInvalidMemoryAccess, "proxy_get_status", 0xfffffffe, c.out(0), c.out(1))
		c.expect(t, StatusOK, "proxy_get_status", c.out(2), c.out(0), c.out(1))
		status += fmt.Sprint(c.out32(2), " ", c.given(), ";")
	})
	d.done[1](nil, errors.New("refused"))
	waitFor(t, "the failure", func() bool { return p.has("http_call_response(1,4,0,0,0)") })
	p.clock.advance(500 * time.Millisecond)
	waitFor(t, "the timeout", func() bool { return p.has("http_call_response(1,5,0,0,0)") })
	d.done[2](answer, nil)
	if d.cancels() != 1 || status != "11 refused;11 timeout;" {
		t.Errorf("%d canceled, status %s", d.cancels(), status)
	}
	// What completes at once comes after the callback.
	p.do(onRequestHeaders, func(c *probeCall) {
		c.expect(t, StatusOK, "proxy_http_call", "at once", callPairs, "", "", 0, c.out(0))
		if p.has("http_call_response(1,6,1,0,0)") {
			t.Error("the answer came within the call")
		}
	})
	p.do(onHTTPCallResponse, func(*probeCall) {})
	s2 := p.plugin.NewStream(0, get())
	s2.RequestHeaders(true)
	waitFor(t, "the answer", func() bool { return p.has("http_call_response(1,6,1,0,0)") })
	s2.Close()
}

// TestCallsAllowed: what Config.Allow does not name does not reach the
// Dispatcher, nor does more than Limits.Calls.
func TestCallsAllowed(t *testing.T) {
	d := &fakeDispatcher{}
	cfg := Config{Dispatcher: d, Allow: []string{"http_call:auth", "grpc_call:g"}, Limits: Limits{Calls: 2}}
	inRequest(t, cfg, get(), func(c *probeCall) {
		c.expect(t, StatusBadArgument, "proxy_http_call", "other", callPairs, "", "", 0, c.out(0))
		c.expect(t, StatusParseFailure, "proxy_grpc_call", "other", "s", "m", "", "", 0, c.out(0))
		c.expect(t, StatusParseFailure, "proxy_grpc_stream", "other", "s", "m", "", c.out(0))
		c.expect(t, StatusBadArgument, "proxy_redis_init", "cache", "u", "p", 1000)
		c.expect(t, StatusBadArgument, "proxy_redis_call", "cache", "GET", c.out(0))
		c.expect(t, StatusOK, "proxy_http_call", "auth", callPairs, "", "", 0, c.out(0))
		c.expect(t, StatusOK, "proxy_grpc_call", "g", "s", "m", "", "", 0, c.out(0))
		c.expect(t, StatusInternalFailure, "proxy_http_call", "auth", callPairs, "", "", 0, c.out(0))
	})
	if len(d.http) != 1 || len(d.grpc) != 1 {
		t.Errorf("%d and %d calls", len(d.http), len(d.grpc))
	}
	inRequest(t, Config{Allow: []string{"http_call:*", "grpc_call:*"}}, get(), func(c *probeCall) {
		c.expect(t, StatusBadArgument, "proxy_http_call", "auth", callPairs, "", "", 0, c.out(0))
		c.expect(t, StatusParseFailure, "proxy_grpc_call", "g", "s", "m", "", "", 0, c.out(0))
	})
}

// TestCallsEndWithThePlugin: calls under way are cancelled.
func TestCallsEndWithThePlugin(t *testing.T) {
	d := &fakeDispatcher{}
	p := inRequest(t, Config{Dispatcher: d, Allow: []string{"http_call:*", "grpc_call:*"}}, get(), func(c *probeCall) {
		c.expect(t, StatusOK, "proxy_http_call", "a", callPairs, "", "", 1000, c.out(0))
		c.expect(t, StatusOK, "proxy_grpc_stream", "a", "s", "m", "", c.out(0))
	})
	p.plugin.Close()
	<-p.plugin.Done()
	if d.cancels() != 2 {
		t.Errorf("%d were cancelled", d.cancels())
	}
	d.done[0](nil, nil)
	d.events[0].Message(nil)
}

func TestGRPC(t *testing.T) {
	d := &fakeDispatcher{}
	meta := "\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00m\x001\x00"
	envoy := "\x0a\x07\x0a\x05grpc1\x12\x00"
	p := loadProbe(t, Config{Dispatcher: d, Allow: []string{"grpc_call:grpc1", "grpc_call:unknown"}})
	p.do(onRequestHeaders, func(c *probeCall) {
		c.expect(t, StatusParseFailure, "proxy_grpc_call", "unknown", "svc", "Do", meta, "msg", 100, c.out(0))
		c.expect(t, StatusBadArgument, "proxy_grpc_call", "grpc1", "svc", "Do", meta+"?", "msg", 100, c.out(0))
		c.expect(t, StatusBadArgument, "proxy_grpc_call", "grpc1", "svc", "Do", meta, "msg", 0x80000000, c.out(0))
		c.expect(t, StatusInvalidMemoryAccess, "proxy_grpc_call", "grpc1", "svc", "Do", meta, "msg", 100, 0xfffffffe)
		c.expect(t, StatusInvalidMemoryAccess, "proxy_grpc_stream", "grpc1", "svc", "Do", 0xfffffff0, 32, c.out(0))
		c.expect(t, StatusOK, "proxy_grpc_call", "grpc1", "svc", "Do", meta, "msg", 100, c.out(0))
		c.expect(t, StatusOK, "proxy_grpc_stream", envoy, "svc", "Talk", meta, c.out(1))
		c.expect(t, StatusOK, "proxy_grpc_call", "grpc1", "svc", "Slow", "", "", 100, c.out(2))
		c.expect(t, StatusOK, "proxy_grpc_call", "grpc1", "svc", "Fail", "", "", 0, c.out(3))
		call, stream := int(c.out32(0)), int(c.out32(1))
		if call&1 != 1 || stream&1 != 0 || stream == 0 {
			t.Errorf("a call is %d, a stream %d", call, stream)
		}
		c.expect(t, StatusBadArgument, "proxy_grpc_send", call, "x", 0)
		c.expect(t, StatusNotFound, "proxy_grpc_send", 4712, "x", 0)
		c.expect(t, StatusInvalidMemoryAccess, "proxy_grpc_send", stream, 0xfffffff0, 32, 0)
		c.expect(t, StatusOK, "proxy_grpc_send", stream, "one", 0)
		c.expect(t, StatusOK, "proxy_grpc_close", stream)
		c.expect(t, StatusBadArgument, "proxy_grpc_send", stream, "x", 0)
		c.expect(t, StatusNotFound, "proxy_grpc_cancel", 4712)
		c.expect(t, StatusNotFound, "proxy_grpc_close", 4713)
	})
	s := p.plugin.NewStream(0, get())
	s.RequestHeaders(true)
	defer s.Close()
	if g := d.grpc[1]; g.Upstream != "grpc1" || g.Service != "svc" || g.Method != "Talk" || !g.Stream || g.Metadata.Value("m") != "1" {
		t.Errorf("%+v", g)
	}
	if g := d.grpc[0]; string(g.Message) != "msg" || g.Timeout != 100*time.Millisecond || g.Stream {
		t.Errorf("%+v", g)
	}
	if got := strings.Join(d.sent, ","); got != "one false, true" {
		t.Errorf("sent %s", got)
	}
	p.do(onGRPCInitialMetadata, func(c *probeCall) { c.gives(t, "1", "proxy_get_header_map_value", 4, "i") })
	p.do(onGRPCReceive, func(c *probeCall) { c.gives(t, "hello", "proxy_get_buffer_bytes", 5, 0, 100) })
	p.do(onGRPCTrailingMetadata, func(c *probeCall) { c.gives(t, "1", "proxy_get_header_map_value", 5, "t") })
	var status []string
	p.do(onGRPCClose, func(c *probeCall) {
		c.expect(t, StatusOK, "proxy_get_status", c.out(2), c.out(0), c.out(1))
		status = append(status, fmt.Sprint(c.args[1], " ", c.out32(2), " ", c.given()))
	})
	p.calls()
	stream := d.events[1]
	stream.InitialMetadata(MakeHeaders("i", "1"))
	stream.Message([]byte("hello"))
	stream.Message([]byte("hello"))
	stream.TrailingMetadata(MakeHeaders("t", "1"))
	stream.Close(3, "bad")
	stream.Message([]byte("late"))
	waitFor(t, "the end", func() bool { return p.has("grpc_close(1,6,3)") })
	want := "grpc_receive_initial_metadata(1,6,1) grpc_receive(1,6,5) grpc_receive(1,6,5) grpc_receive_trailing_metadata(1,6,1) grpc_close(1,6,3)"
	if got := p.calls(); got != want {
		t.Error(got)
	}
	// A call that succeeds gives its message, and no more.
	d.events[0].Message([]byte("hello"))
	d.events[0].Close(0, "")
	d.events[3].Close(14, "gone")
	waitFor(t, "the failure", func() bool { return p.has("grpc_close(1,11,14)") })
	if got := p.calls(); got != "grpc_receive(1,3,5) grpc_close(1,11,14)" {
		t.Error(got)
	}
	p.clock.advance(100 * time.Millisecond)
	waitFor(t, "the timeout", func() bool { return p.has("grpc_close(1,9,4)") })
	if got := strings.Join(status, ","); got != "6 3 bad,11 14 gone,9 4 timeout" || d.cancels() != 1 {
		t.Errorf("%s; %d cancelled", got, d.cancels())
	}
	// Cancelling: nothing comes any more.
	p.do(onRequestHeaders, func(c *probeCall) {
		c.expect(t, StatusOK, "proxy_grpc_stream", "grpc1", "svc", "Talk", "", c.out(0))
		c.expect(t, StatusOK, "proxy_grpc_cancel", int(c.out32(0)))
		c.expect(t, StatusNotFound, "proxy_grpc_cancel", int(c.out32(0)))
		c.expect(t, StatusOK, "proxy_grpc_call", "grpc1", "svc", "Do", "", "", 0, c.out(0))
		c.expect(t, StatusOK, "proxy_grpc_close", int(c.out32(0)))
	})
	s2 := p.plugin.NewStream(0, get())
	s2.RequestHeaders(true)
	s2.Close()
	if d.cancels() != 3 {
		t.Errorf("%d cancelled", d.cancels())
	}
}

// TestGRPCMetadata010: 0.1.0's AssemblyScript has the callback by another name.
func TestGRPCMetadata010(t *testing.T) {
	d := &fakeDispatcher{}
	p := inRequest(t, Config{Module: probeSource(t, ABI010), Dispatcher: d, Allow: []string{"grpc_call:*"}}, get(), func(c *probeCall) {
		c.expect(t, StatusOK, "proxy_grpc_stream", "g", "svc", "Talk", "", c.out(0))
	})
	d.events[0].TrailingMetadata(MakeHeaders("t", "1"))
	waitFor(t, "the metadata", func() bool { return p.has("grpc_receive_trailing_metadata(1,2,1)") })
}

func TestRedis(t *testing.T) {
	d := &fakeDispatcher{}
	p := inRequest(t, Config{Module: probeSource(t, ABI02100), Dispatcher: d, Allow: []string{"redis:cache"}}, get(), func(c *probeCall) {
		c.expect(t, StatusOK, "proxy_redis_init", "cache?db=1", "u", "p", 1000)
		c.expect(t, StatusBadArgument, "proxy_redis_init", "cache", "x", "p", 1000)
		c.expect(t, StatusInvalidMemoryAccess, "proxy_redis_init", "cache", "x", 0xfffffff0, 32, 1000)
		c.expect(t, StatusOK, "proxy_redis_call", "cache", "*1\r\n", c.out(0))
		c.expect(t, StatusOK, "proxy_redis_call", "cache", "*1\r\n", c.out(0))
		c.expect(t, StatusInvalidMemoryAccess, "proxy_redis_call", "cache", "*1\r\n", 0xfffffffe)
	})
	p.do(onRedisResponse, func(c *probeCall) {
		if c.args[2] == 0 {
			c.gives(t, ":1\r\n", "proxy_get_buffer_bytes", 9, 0, 100)
		}
	})
	p.calls()
	d.redis[0]([]byte(":1\r\n"), nil)
	d.redis[1](nil, errors.New("gone"))
	waitFor(t, "the answers", func() bool { return p.has("redis_call_response(1,2,11,0)") })
	if got := p.calls(); got != "redis_call_response(1,1,0,4) redis_call_response(1,2,11,0)" {
		t.Error(got)
	}
}
