package proxywasm

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// The tests here are of what the reference hosts' tests show and no other test
// of this package does: docs/proxy-wasm.md has the list.

// TestStreamNotBegun: without request headers a plugin sees nothing of a
// stream, and all of it passes.
func TestStreamNotBegun(t *testing.T) {
	p := loadProbe(t, Config{})
	p.calls()
	x := get()
	x.RequestTrailers, x.ResponseHeaders, x.ResponseTrailers = &Headers{}, MakeHeaders(":status", "200"), &Headers{}
	s := p.plugin.NewStream(0, x)
	s.RequestMetadata(1)
	s.ResponseMetadata(1)
	actions := []Action{s.RequestBody([]byte("data"), false), s.RequestTrailers(), s.ResponseHeaders(false), s.ResponseBody([]byte("data"), false), s.ResponseTrailers()}
	if got := fmt.Sprint(actions); got != fmt.Sprint(make([]Action, 5)) {
		t.Error(got)
	}
	if a, b := string(s.TakeBody(Request)), string(s.TakeBody(Response)); a != "data" || b != "data" {
		t.Errorf("the bodies are %q and %q", a, b)
	}
	s.Close()
	if got := p.calls(); got != "" {
		t.Errorf("the plugin saw %s", got)
	}
}

// TestHeldThenStreamed: of a body that goes on in its middle, the plugin sees
// what was held as one, and then each part for itself, in both directions; and
// trailers of both are held.
func TestHeldThenStreamed(t *testing.T) {
	p := loadProbe(t, Config{})
	x := get()
	x.RequestTrailers, x.ResponseHeaders, x.ResponseTrailers = &Headers{}, MakeHeaders(":status", "200"), &Headers{}
	s := p.plugin.NewStream(0, x)
	defer s.Close()
	s.RequestHeaders(false)
	for _, dir := range []struct {
		t        StreamType
		body, tr callback
		give     func([]byte, bool) Action
		trailers func() Action
	}{
		{Request, onRequestBody, onRequestTrailers, s.RequestBody, s.RequestTrailers},
		{Response, onResponseBody, onResponseTrailers, s.ResponseBody, s.ResponseTrailers},
	} {
		n := 0
		var seen []string
		p.on(dir.body, func(c *probeCall) uint32 {
			c.expect(t, StatusOK, "proxy_get_buffer_bytes", int(dir.t), 0, 100, c.out(0), c.out(1))
			seen = append(seen, c.given())
			if n++; n < 3 {
				return 1
			}
			return 0
		})
		p.on(dir.tr, func(*probeCall) uint32 { return 1 })
		if dir.t == Response {
			s.ResponseHeaders(false)
		}
		var went []string
		for _, part := range []string{"one", "two", "three", "four", "five"} {
			if dir.give([]byte(part), false) == Continue {
				went = append(went, string(s.TakeBody(dir.t)))
			}
		}
		if got := strings.Join(seen, " "); got != "one onetwo onetwothree four five" {
			t.Errorf("%v: the plugin saw %s", dir.t, got)
		}
		if got := strings.Join(went, " "); got != "onetwothree four five" {
			t.Errorf("%v: %s went on", dir.t, got)
		}
		if a := dir.trailers(); a != Pause || !s.Paused(dir.t) {
			t.Errorf("%v: trailers: %v", dir.t, a)
		}
	}
}

// TestOneResponse: whatever a plugin does after it has answered, the client
// gets that answer and no other.
func TestOneResponse(t *testing.T) {
	for name, after := range map[string]func(*testing.T, *probeCall){
		"again": func(t *testing.T, c *probeCall) {
			c.expect(t, StatusBadArgument, "proxy_send_local_response", 500, "", "second", "", 0xffffffff)
		},
		"trap": func(_ *testing.T, c *probeCall) { c.guest("trap") },
	} {
		for _, when := range []callback{onRequestHeaders, onResponseHeaders, onResponseBody} {
			t.Run(name+" in "+callbackTypes[when].name, func(t *testing.T) {
				p := loadProbe(t, Config{})
				x := get()
				p.do(when, func(c *probeCall) { after(t, c) })
				p.do(onRequestHeaders, func(c *probeCall) {
					c.expect(t, StatusOK, "proxy_send_local_response", 403, "", "first", "", 0xffffffff)
					if when == onRequestHeaders {
						after(t, c)
					}
				})
				s := p.plugin.NewStream(0, x)
				defer s.Close()
				if a := s.RequestHeaders(false); a == Continue {
					t.Error("the request goes on")
				}
				if err := s.Wait(t.Context(), Request); !errors.Is(err, ErrAnswered) {
					t.Error(err)
				}
				x.ResponseHeaders = MakeHeaders(":status", "403")
				if a, b := s.ResponseHeaders(false), s.ResponseBody([]byte("first"), true); a != Continue || b != Continue || string(s.TakeBody(Response)) != "first" {
					t.Errorf("the answer: %v, %v", a, b)
				}
				if err := s.Wait(t.Context(), Response); err != nil {
					t.Error(err)
				}
				if x.Local() == nil || x.Local().Status != 403 || x.WasReset(Request) || x.WasReset(Response) {
					t.Errorf("%+v", x.Local())
				}
			})
		}
	}
}

// TestClosedAndFailed: a stream that a plugin closed before it failed is reset,
// and not answered.
func TestClosedAndFailed(t *testing.T) {
	p := loadProbe(t, Config{})
	x := get()
	p.do(onRequestHeaders, func(c *probeCall) {
		c.expect(t, StatusOK, "proxy_close_stream", 0)
		c.guest("trap")
	})
	s := p.plugin.NewStream(0, x)
	defer s.Close()
	if a := s.RequestHeaders(true); a == Continue || !x.WasReset(Request) || x.Local() != nil {
		t.Errorf("%v, %+v", a, x.Local())
	}
	if err := s.Wait(t.Context(), Request); !errors.Is(err, ErrReset) {
		t.Error(err)
	}
}

// TestFailureByPhase: a plugin that fails before the response headers went on
// leaves a 503, and afterwards a reset.
func TestFailureByPhase(t *testing.T) {
	for _, when := range []callback{onRequestHeaders, onRequestBody, onRequestTrailers, onResponseHeaders, onResponseBody, onResponseTrailers} {
		for _, held := range []bool{false, true} {
			if held && when != onResponseBody {
				continue
			}
			m := probeSource(t, ABI021)
			p := loadProbe(t, Config{Module: m, HeadersMayStop: held})
			x := get()
			x.RequestTrailers, x.ResponseTrailers = &Headers{}, &Headers{}
			p.on(onResponseHeaders, func(*probeCall) uint32 { return uint32(bit(held)) })
			p.do(when, func(c *probeCall) { c.guest("trap") })
			s := p.plugin.NewStream(0, x)
			var dir StreamType
			for _, step := range []struct {
				cb callback
				f  func() Action
			}{
				{onRequestHeaders, func() Action { return s.RequestHeaders(false) }},
				{onRequestBody, func() Action { return s.RequestBody([]byte("x"), false) }},
				{onRequestTrailers, s.RequestTrailers},
				{onResponseHeaders, func() Action {
					dir = Response
					x.ResponseHeaders = MakeHeaders(":status", "200")
					return s.ResponseHeaders(false)
				}},
				{onResponseBody, func() Action { return s.ResponseBody([]byte("x"), false) }},
				{onResponseTrailers, s.ResponseTrailers},
			} {
				a := step.f()
				if (a == Continue) != (step.cb != when) && !held {
					t.Errorf("trap in %s: %s: %v", callbackTypes[when].name, callbackTypes[step.cb].name, a)
				}
				if step.cb == when {
					break
				}
			}
			want := error(ErrAnswered)
			if when >= onResponseBody && !held {
				want = ErrReset
			}
			if err := s.Wait(t.Context(), dir); !errors.Is(err, want) {
				t.Errorf("trap in %s, headers held %v: %v, want %v", callbackTypes[when].name, held, err, want)
			}
			if r := x.Local(); (r != nil && r.Status == 503 && r.Details == "wasm_fail_stream") != (want == ErrAnswered) || x.WasReset(Response) != (want == ErrReset) {
				t.Errorf("trap in %s, headers held %v: %+v", callbackTypes[when].name, held, r)
			}
			s.Close()
		}
	}
}

// TestLogEverywhere: a plugin may log in every callback of a stream's life, and
// logs a stream that its client left without a response.
func TestLogEverywhere(t *testing.T) {
	p := loadProbe(t, Config{})
	for _, cb := range []callback{onContextCreate, onRequestHeaders, onDone, onLog, onDelete} {
		p.on(cb, func(c *probeCall) uint32 {
			c.expect(t, StatusOK, "proxy_log", 2, "in "+callbackTypes[cb].name)
			if cb == onLog {
				c.gives(t, "/a?b=c", "proxy_get_header_map_value", 0, ":path")
				c.expect(t, StatusBadArgument, "proxy_get_header_map_value", 2, ":status", c.out(0), c.out(1))
			}
			return bitOf(cb == onDone)
		})
	}
	s := p.plugin.NewStream(0, get())
	s.RequestHeaders(false)
	s.Close()
	log, at := p.log.String(), 0
	for _, cb := range []callback{onContextCreate, onRequestHeaders, onDone, onLog, onDelete} {
		i := strings.Index(log[at:], "in "+callbackTypes[cb].name)
		if i < 0 {
			t.Fatalf("%s is not in its place:\n%s", callbackTypes[cb].name, log)
		}
		at += i
	}
}

func bitOf(b bool) uint32 { return uint32(bit(b)) }

// TestResponseKeepsRoute: changes of the response choose no other route, and of
// the request's each callback one.
func TestResponseKeepsRoute(t *testing.T) {
	p := loadProbe(t, Config{})
	x := get()
	x.ResponseHeaders = MakeHeaders(":status", "200")
	p.do(onRequestHeaders, func(c *probeCall) {
		c.expect(t, StatusOK, "proxy_add_header_map_value", 0, "x-a", "1")
		c.expect(t, StatusOK, "proxy_replace_header_map_value", 0, "x-one", "2")
	})
	p.do(onResponseHeaders, func(c *probeCall) { c.expect(t, StatusOK, "proxy_add_header_map_value", 2, "x-b", "1") })
	s := p.plugin.NewStream(0, x)
	defer s.Close()
	s.RequestHeaders(true)
	if n := x.RoutesCleared(); n != 1 {
		t.Errorf("by the request, the route was cleared %d times", n)
	}
	s.ResponseHeaders(true)
	if n := x.RoutesCleared(); n != 1 || x.ResponseHeaders.Value("x-b") != "1" {
		t.Errorf("by the response, the route was cleared %d times", n-1)
	}
}

// TestSharedConcurrent: of those that change one value at a time, none is lost,
// nor an item of those that fill and empty one queue.
func TestSharedConcurrent(t *testing.T) {
	const each = 100
	shared := NewShared()
	var told sync.WaitGroup
	told.Add(2 * each)
	token := shared.register("a", "q", t, func(uint32) { told.Done() })
	shared.Set("a", "k", nil, 0)
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for range each {
				for {
					v, cas, _ := shared.Get("a", "k")
					if shared.Set("a", "k", append(v[:len(v):len(v)], 'a'), cas) == StatusOK {
						break
					}
				}
				shared.enqueue(token, []byte("x"))
			}
		})
	}
	workers.Wait()
	told.Wait()
	if v, _, _ := shared.Get("a", "k"); len(v) != 2*each {
		t.Errorf("%d of %d changes are there", len(v), 2*each)
	}
	var taken [2]int
	for i := range taken {
		workers.Go(func() {
			for {
				if _, status := shared.dequeue(token); status != StatusOK {
					return
				}
				taken[i]++
			}
		})
	}
	workers.Wait()
	if taken[0]+taken[1] != 2*each {
		t.Errorf("%v items were taken", taken)
	}
	// What one VM id has, ends without the other's.
	other := shared.register("b", "q", t, nil)
	shared.Delete("a")
	if shared.resolve("a", "q") != 0 || shared.resolve("b", "q") != other {
		t.Error("the wrong queue was deleted")
	}
}
