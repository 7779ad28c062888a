package proxywasm

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hako-run/hako/engine"
)

// TestHostileCallbacks: a plugin that traps, spins, or wants all memory in any
// callback ends, and nothing else does.
func TestHostileCallbacks(t *testing.T) {
	m := probeSource(t, ABI021)
	for _, way := range []string{"trap", "spin", "bomb"} {
		for cb := range callbackCount {
			if cb == onVMStart || cb == onConfigure {
				continue // TestExit
			}
			d := &fakeDispatcher{}
			foreign := &Foreign{}
			foreign.Register("back", func(c *ForeignCall, _ []byte) ([]byte, Status) { c.Callback(1, nil); return nil, StatusOK })
			p := loadProbe(t, Config{Module: m, Limits: Limits{Memory: 16 << 20, CPU: 20 * time.Millisecond}, Dispatcher: d, Foreign: foreign,
				Allow: []string{"http_call:*", "grpc_call:*", "redis:*", "foreign:*"}})
			p.do(cb, func(c *probeCall) { c.guest(way) })
			everyCallback(t, p, d, cb)
			crashed := way != "bomb" // which only gets no more
			st := p.plugin.Stats()
			if (st.Crashes > 0) != crashed {
				t.Errorf("%s in %s: %d crashes: %s", way, callbackTypes[cb].name, st.Crashes, p.log)
			}
			if st.Memory > 17<<20 {
				t.Errorf("%s in %s: %d bytes", way, callbackTypes[cb].name, st.Memory)
			}
			// The next stream has a VM that works.
			p.do(cb, func(*probeCall) {})
			p.on(onDone, func(*probeCall) uint32 { return 1 })
			p.clock.advance(time.Hour)
			waitFor(t, "a VM", func() bool { return p.plugin.Stats().VMs == 1 })
			x := get()
			s := p.plugin.NewStream(0, x)
			if a := s.RequestHeaders(true); a != Continue || x.Local() != nil {
				t.Errorf("after %s in %s: %v, %v", way, callbackTypes[cb].name, a, x.Local())
			}
			s.Close()
		}
	}
}

// everyCallback has a probe go through what brings a callback about.
func everyCallback(t *testing.T, p *probe, d *fakeDispatcher, cb callback) {
	asked := map[callback]func(*probeCall) Status{
		onTick: func(c *probeCall) Status { return c.with("proxy_set_tick_period_milliseconds", 1) },
		onQueueReady: func(c *probeCall) Status {
			c.with("proxy_register_shared_queue", "q", c.out(0))
			return c.with("proxy_enqueue_shared_queue", int(c.out32(0)), "x")
		},
		onHTTPCallResponse: func(c *probeCall) Status {
			return c.with("proxy_http_call", "at once", callPairs, "", "", 0, c.out(0))
		},
		onRedisResponse: func(c *probeCall) Status { return c.with("proxy_redis_call", "cache", "*1\r\n", c.out(0)) },
		onForeign:       func(c *probeCall) Status { return c.with("proxy_call_foreign_function", "back", "", 0, 0) },
	}
	for _, of := range []callback{onGRPCInitialMetadata, onGRPCReceive, onGRPCTrailingMetadata, onGRPCClose} {
		asked[of] = func(c *probeCall) Status { return c.with("proxy_grpc_stream", "g", "s", "m", "", c.out(0)) }
	}
	begin := onRequestHeaders
	if onNewConnection <= cb && cb <= onUpstreamClose {
		begin = onNewConnection
	}
	if ask := asked[cb]; ask != nil {
		p.do(begin, func(c *probeCall) {
			if status := ask(c); status != StatusOK {
				t.Errorf("what leads to %s: %v", callbackTypes[cb].name, status)
			}
		})
	}
	x := get()
	x.ResponseHeaders, x.RequestTrailers, x.ResponseTrailers = MakeHeaders(":status", "200"), &Headers{}, &Headers{}
	s := p.plugin.NewStream(0, x)
	defer s.Close()
	if begin == onNewConnection {
		s.NewConnection()
		s.DownstreamData([]byte("x"), false)
		s.UpstreamData([]byte("x"), false)
		s.UpstreamClose(PeerRemote)
		s.DownstreamClose(PeerRemote)
		return
	}
	s.RequestHeaders(false)
	if asked[cb] != nil {
		p.clock.advance(time.Millisecond)
		for _, e := range d.events {
			e.InitialMetadata(&Headers{})
			e.Message([]byte("x"))
			e.TrailingMetadata(&Headers{})
			e.Close(14, "")
		}
		for _, done := range d.redis {
			done(nil, nil)
		}
		waitFor(t, callbackTypes[cb].name, func() bool {
			return p.plugin.Stats().Crashes > 0 || p.saw(cb)
		})
	}
	s.RequestMetadata(1)
	s.RequestBody([]byte("x"), false)
	s.RequestTrailers()
	s.ResponseHeaders(false)
	s.ResponseMetadata(1)
	s.ResponseBody([]byte("x"), false)
	s.ResponseTrailers()
}

// TestFailure: the streams of a VM that fails pass, or get a 503, or are reset.
func TestFailure(t *testing.T) {
	for _, open := range []bool{false, true} {
		p := loadProbe(t, Config{FailOpen: open})
		p.on(onRequestHeaders, func(*probeCall) uint32 { return 1 })
		waiting, answered, tcp, fresh := get(), get(), &Exchange{}, get()
		s1, s2, s3, s4 := p.plugin.NewStream(0, waiting), p.plugin.NewStream(0, answered), p.plugin.NewStream(0, tcp), p.plugin.NewStream(0, fresh)
		if a := s1.RequestHeaders(false); a != Pause {
			t.Fatal(a)
		}
		p.on(onRequestHeaders, func(*probeCall) uint32 { return 0 })
		s2.RequestHeaders(true)
		answered.ResponseHeaders = MakeHeaders(":status", "200")
		s2.ResponseHeaders(false)
		s3.NewConnection()
		p.do(onResponseBody, func(c *probeCall) { c.guest("trap") })
		a := s2.ResponseBody([]byte("x"), false)
		if open {
			if a != Continue || string(s2.TakeBody(Response)) != "x" || waiting.Resumed(Request) != 1 || s1.Paused(Request) || answered.WasReset(Response) {
				t.Errorf("open: %v", a)
			}
			if a := s1.RequestBody([]byte("body"), true); a != Continue || string(s1.TakeBody(Request)) != "body" {
				t.Errorf("open: %v", a)
			}
			if a := s3.DownstreamData([]byte("x"), false); a != Continue || string(s3.TakeBody(Downstream)) != "x" {
				t.Errorf("open: %v", a)
			}
			if err := s1.Wait(t.Context(), Request); err != nil {
				t.Error(err)
			}
		} else {
			r := waiting.Local()
			if a == Continue || !answered.WasReset(Response) || !tcp.WasReset(Downstream) || r == nil || r.Status != 503 || r.Details != "wasm_fail_stream" {
				t.Errorf("closed: %v, %v", a, r)
			}
			if err := s1.Wait(t.Context(), Request); !errors.Is(err, ErrAnswered) {
				t.Error(err)
			}
			if a := s1.RequestBody([]byte("x"), true); a == Continue {
				t.Error("closed: the body goes on")
			}
			if a := s3.DownstreamData([]byte("x"), false); a == Continue {
				t.Error("closed: data goes on")
			}
		}
		// One that had not begun has another VM.
		p.calls()
		if a := s4.RequestHeaders(true); a != Continue || fresh.Local() != nil || !p.has("request_headers(2,5,1)") {
			t.Errorf("a stream that had not begun: %v", a)
		}
		for _, s := range []*Stream{s1, s2, s3, s4} {
			s.Close()
			s.Close()
		}
		if st := p.plugin.Stats(); st.Open != 0 || st.Crashes != 1 || st.VMs != 1 {
			t.Errorf("%+v", st)
		}
	}
}

// TestBackoff: the first VM that fails is replaced at once, others later and
// later; meanwhile streams fail as configured.
func TestBackoff(t *testing.T) {
	p := loadProbe(t, Config{})
	p.do(onRequestHeaders, func(c *probeCall) { c.guest("trap") })
	crash := func() bool {
		x := get()
		s := p.plugin.NewStream(0, x)
		defer s.Close()
		before := p.plugin.Stats().Crashes
		if a := s.RequestHeaders(true); a == Continue || x.Local() == nil || x.Local().Status != 503 {
			t.Errorf("%v, %v", a, x.Local())
		}
		return p.plugin.Stats().Crashes > before
	}
	for i, wait := range []time.Duration{0, 0, firstBackoff, 2 * firstBackoff, 4 * firstBackoff} {
		if wait > 0 {
			if crash() {
				t.Errorf("crash %d: there was a VM at once", i)
			}
			p.clock.advance(wait - time.Millisecond)
			if p.plugin.Stats().VMs != 0 {
				t.Errorf("crash %d: there was a VM before %v", i, wait)
			}
			p.clock.advance(time.Millisecond)
		}
		if p.plugin.Stats().VMs != 1 || !crash() {
			t.Fatalf("crash %d: no VM after %v", i, wait)
		}
	}
	p.clock.advance(time.Minute)
	p.do(onRequestHeaders, func(*probeCall) {})
	x := get()
	s := p.plugin.NewStream(0, x)
	if a := s.RequestHeaders(true); a != Continue {
		t.Errorf("%v", a)
	}
	s.Close()
}

// TestManyCalls: ten million host calls are fine, or too long, but no harm.
func TestManyCalls(t *testing.T) {
	times := uint64(200_000)
	if *long {
		times = 10_000_000
	} else if testing.Short() {
		times = 20_000
	}
	inRequest(t, Config{Limits: Limits{CPU: time.Minute}}, get(), func(c *probeCall) {
		key, size := c.put(":method")
		at := uint32(c.guest("args_at"))
		for i, a := range []uint64{0, key, size, c.out(0), c.out(1)} {
			c.mem.WriteUint64Le(at+8*uint32(i), a)
		}
		if got := c.guest("many", times); got != 0 {
			t.Errorf("%d", got)
		}
	})
	p := loadProbe(t, Config{Limits: Limits{CPU: 20 * time.Millisecond}})
	p.do(onRequestHeaders, func(c *probeCall) { c.guest("many", 1<<32-1) })
	x := get()
	s := p.plugin.NewStream(0, x)
	s.RequestHeaders(true)
	s.Close()
	if x.Local() == nil || !strings.Contains(p.log.String(), "cpu") {
		t.Errorf("%v: %s", x.Local(), p.log)
	}
}

// TestExit: a plugin that exits has failed.
func TestExit(t *testing.T) {
	x := get()
	p := inRequest(t, Config{}, x, func(c *probeCall) { c.call("proc_exit", 3) })
	if x.Local() == nil || p.plugin.Stats().Crashes != 1 {
		t.Errorf("%v", x.Local())
	}
	for _, cb := range []callback{onInitialize, onMain, onVMStart, onConfigure, onContextCreate} {
		p := newProbe(t)
		p.do(cb, func(c *probeCall) { c.guest("trap") })
		var trap *engine.TrapError
		if err := p.load(Config{}); !errors.As(err, &trap) {
			t.Errorf("%d: %v", cb, err)
		}
	}
}

// TestForks: what a plugin did when it was configured is there in every VM,
// and not done again.
func TestForks(t *testing.T) {
	for _, never := range []bool{false, true} {
		var mu sync.Mutex
		configured, inside := 0, 0
		p := newProbe(t)
		p.on(onConfigure, func(c *probeCall) uint32 {
			mu.Lock()
			defer mu.Unlock()
			configured++
			c.mem.WriteUint32Le(c.heap(), 4711)
			return 1
		})
		if err := p.load(Config{VMs: 3, NoFork: never}); err != nil {
			t.Fatal(err)
		}
		gate := make(chan bool)
		p.do(onRequestHeaders, func(c *probeCall) {
			if v, _ := c.mem.ReadUint32Le(c.heap()); v != 4711 {
				t.Errorf("a VM was not configured: %d", v)
			}
			mu.Lock()
			inside++
			mu.Unlock()
			<-gate
		})
		var streams sync.WaitGroup
		for n := 1; n <= 3; n++ {
			streams.Go(func() {
				s := p.plugin.NewStream(0, get())
				s.RequestHeaders(true)
				s.Close()
			})
			waitFor(t, "a stream in its own VM", func() bool {
				mu.Lock()
				defer mu.Unlock()
				return inside >= n
			})
			if n < 3 {
				// The next stream finds all busy, and has another made.
				s := p.plugin.NewStream(0, get())
				s.Close()
				waitFor(t, "another VM", func() bool { return p.plugin.Stats().VMs == n+1 })
			}
		}
		close(gate)
		streams.Wait()
		forked, why := p.plugin.Forked()
		want := 1
		if never {
			want = 3
		}
		if forked == never || (why == nil) == never || configured != want {
			t.Errorf("forked %v (%v), configured %d times", forked, why, configured)
		}
	}
}

// TestQueueWhileConfiguring: items that a plugin gives itself as it is
// configured are there in every VM; one that fails of them is not loaded.
func TestQueueWhileConfiguring(t *testing.T) {
	p := newProbe(t)
	p.on(onConfigure, func(c *probeCall) uint32 {
		c.expect(t, StatusOK, "proxy_register_shared_queue", "q", c.out(0))
		c.expect(t, StatusOK, "proxy_enqueue_shared_queue", int(c.out32(0)), "x")
		return 1
	})
	p.do(onQueueReady, func(c *probeCall) { c.mem.WriteUint32Le(c.heap(), 4711) })
	if err := p.load(Config{}); err != nil {
		t.Fatal(err)
	}
	if forked, why := p.plugin.Forked(); !forked {
		t.Error(why)
	}
	p.do(onRequestHeaders, func(c *probeCall) {
		if v, _ := c.mem.ReadUint32Le(c.heap()); v != 4711 {
			t.Errorf("the item was lost: %d", v)
		}
	})
	s := p.plugin.NewStream(0, get())
	s.RequestHeaders(true)
	s.Close()
	p.do(onQueueReady, func(c *probeCall) { c.guest("trap") })
	var trap *engine.TrapError
	if err := p.load(Config{}); !errors.As(err, &trap) {
		t.Errorf("%v", err)
	}
}

// TestNotForked: calls under way as it is configured keep a plugin from being
// forked; it works all the same.
func TestNotForked(t *testing.T) {
	d := &fakeDispatcher{}
	p := newProbe(t)
	p.on(onConfigure, func(c *probeCall) uint32 {
		c.expect(t, StatusOK, "proxy_http_call", "a", callPairs, "", "", 0, c.out(0))
		return 1
	})
	if err := p.load(Config{Dispatcher: d, Allow: []string{"http_call:a"}}); err != nil {
		t.Fatal(err)
	}
	if forked, why := p.plugin.Forked(); forked || !strings.Contains(why.Error(), "calls") {
		t.Errorf("%v %v", forked, why)
	}
	d.done[0](&HTTPResponse{Headers: MakeHeaders(":status", "200")}, nil)
	waitFor(t, "the answer", func() bool { return p.has("http_call_response(1,1,1,0,0)") })
}

// TestSwap: new streams take the new plugin, old ones end with the old.
func TestSwap(t *testing.T) {
	var slot Slot
	if _, ok := slot.NewStream(0, get()); ok {
		t.Error("an empty slot has streams")
	}
	old := loadProbe(t, Config{})
	next := loadProbe(t, Config{})
	slot.Swap(old.plugin)
	s1, _ := slot.NewStream(0, get())
	s1.RequestHeaders(false)
	if got := slot.Swap(next.plugin); got != old.plugin || slot.Plugin() != next.plugin {
		t.Error("swapped")
	}
	s2, _ := slot.NewStream(0, get())
	s2.RequestHeaders(false)
	if a := s1.RequestBody([]byte("x"), true); a != Continue || !old.has("request_body(2,1,1)") || !next.has("request_headers(2,5,0)") {
		t.Errorf("%v: %s; %s", a, old.calls(), next.calls())
	}
	select {
	case <-old.plugin.Done():
		t.Error("the old plugin ended under its stream")
	case <-time.After(20 * time.Millisecond):
	}
	s1.Close()
	<-old.plugin.Done()
	s2.Close()
	slot.Swap(nil)
	<-next.plugin.Done()
	s3 := next.plugin.NewStream(0, get())
	if a := s3.RequestHeaders(true); a != Pause {
		t.Errorf("a stream of a closed plugin: %v", a)
	}
	s3.Close()
}

// TestSwapUnderLoad: no stream fails while plugins come and go, and nothing
// is left of them.
func TestSwapUnderLoad(t *testing.T) {
	swaps := 50
	if *long {
		swaps = 1000
	} else if testing.Short() {
		swaps = 10
	}
	m := probeSource(t, ABI021)
	var slot Slot
	p := newProbe(t)
	load := func() *Plugin {
		name := fmt.Sprintf("%s/%p", t.Name(), p)
		probes.Store(name, p)
		plugin, err := Load(t.Context(), Config{Module: m, Name: name, VMs: 2})
		if err != nil {
			t.Fatal(err)
		}
		return plugin
	}
	p.do(onRequestHeaders, func(c *probeCall) {})
	slot.Swap(load())
	stop := make(chan bool)
	var work sync.WaitGroup
	var failed, streams int64
	var mu sync.Mutex
	for range 4 {
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				x := get()
				s, _ := slot.NewStream(0, x)
				a := s.RequestHeaders(false)
				b := s.RequestBody([]byte("x"), true)
				s.Close()
				mu.Lock()
				streams++
				if a != Continue || b != Continue || x.Local() != nil {
					failed++
				}
				mu.Unlock()
			}
		})
	}
	var old []*Plugin
	for range swaps {
		old = append(old, slot.Swap(load()))
		p.calls()
	}
	close(stop)
	work.Wait()
	old = append(old, slot.Swap(nil))
	for _, plugin := range old {
		<-plugin.Done()
	}
	if failed > 0 || streams == 0 {
		t.Errorf("%d of %d streams failed", failed, streams)
	}
	waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() < 20 })
}

// TestChaos: everything at once, for the race detector.
func TestChaos(t *testing.T) {
	d := &fakeDispatcher{}
	p := newProbe(t)
	p.do(onRequestHeaders, func(c *probeCall) {
		c.with("proxy_http_call", "at once", callPairs, "", "", 0, c.out(0))
		c.with("proxy_register_shared_queue", "q", c.out(0))
		c.with("proxy_enqueue_shared_queue", int(c.out32(0)), "x")
		c.with("proxy_set_tick_period_milliseconds", 1)
		if c.args[0]%50 == 0 {
			c.guest("trap")
		}
		if c.args[0]%7 == 0 {
			c.with("proxy_send_local_response", 403, "", "", "", 0)
		}
	})
	p.do(onHTTPCallResponse, func(c *probeCall) {
		if c.with("proxy_set_effective_context", 3) == StatusOK {
			c.with("proxy_continue_stream", 0)
		}
	})
	p.on(onRequestBody, func(c *probeCall) uint32 { return c.args[0] % 4 })
	p.on(onDone, func(c *probeCall) uint32 { return c.args[0] % 2 })
	if err := p.load(Config{VMs: 3, FailOpen: true, Dispatcher: d, Allow: []string{"http_call:*"}, Clock: realClock{}, Grace: 10 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	for w := range 8 {
		work.Go(func() {
			for i := range 60 {
				x := get()
				s := p.plugin.NewStream(0, x)
				if i%5 != w%5 {
					s.RequestHeaders(false)
					for n := range i % 4 {
						s.RequestBody([]byte("chunk"), n == 3)
					}
					s.TakeBody(Request)
				}
				s.Close()
			}
		})
	}
	work.Wait()
	p.plugin.Close()
	<-p.plugin.Done()
	if st := p.plugin.Stats(); st.Open != 0 || st.VMs != 0 {
		t.Errorf("%+v", st)
	}
}
