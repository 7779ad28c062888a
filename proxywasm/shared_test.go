package proxywasm

import (
	"fmt"
	"strings"
	"testing"
)

func TestSharedData(t *testing.T) {
	shared := NewShared()
	inRequest(t, Config{VMID: "a", Shared: shared}, get(), func(c *probeCall) {
		const set, read = "proxy_set_shared_data", "proxy_get_shared_data"
		c.expect(t, StatusNotFound, read, "k", c.out(0), c.out(1), c.out(2))
		c.expect(t, StatusOK, set, "k", "v1", 99) // a new key takes any number
		c.gives3(t, "v1", read, "k")
		first := c.out32(2)
		c.expect(t, StatusOK, set, "k", "v2", 0)
		c.expect(t, StatusCASMismatch, set, "k", "v3", int(first))
		c.gives3(t, "v2", read, "k")
		if c.out32(2) == first || c.out32(2) == 0 {
			t.Errorf("the number is %d, as before", first)
		}
		c.expect(t, StatusOK, set, "k", "", int(c.out32(2)))
		c.gives3(t, "", read, "k")
		c.expect(t, StatusInvalidMemoryAccess, set, "k", 0xfffffff0, 32, 0)
		c.expect(t, StatusInvalidMemoryAccess, set, 0xfffffff0, 32, "v", 0)
		for _, bad := range []int{0, 1, 2} {
			out := []any{"k", c.out(0), c.out(1), c.out(2)}
			out[1+bad] = 0xfffffffe
			c.expect(t, StatusInvalidMemoryAccess, read, out...)
		}
		c.expect(t, StatusOK, set, "k", "for all", 0)
	})
	for id, want := range map[string]Status{"a": StatusOK, "b": StatusNotFound} {
		inRequest(t, Config{VMID: id, Shared: shared}, get(), func(c *probeCall) {
			c.expect(t, want, "proxy_get_shared_data", "k", c.out(0), c.out(1), c.out(2))
		})
	}
	shared.Delete("a")
	if _, _, status := shared.Get("a", "k"); status != StatusNotFound || shared.size != 0 {
		t.Errorf("%v, %d bytes", status, shared.size)
	}
}

func (c *probeCall) gives3(t *testing.T, want, name string, args ...any) {
	t.Helper()
	c.expect(t, StatusOK, name, append(args, c.out(0), c.out(1), c.out(2))...)
	if got := c.given(); got != want {
		t.Errorf("%s(%v) gave %q, want %q", name, args, got, want)
	}
}

// TestSharedBound: the data of all plugins has an end.
func TestSharedBound(t *testing.T) {
	s := NewShared()
	large := make([]byte, 64<<20)
	for i := range 5 {
		want := StatusOK
		if i > 2 {
			want = StatusInternalFailure
		}
		if got := s.Set("a", fmt.Sprint(i), large, 0); got != want {
			t.Errorf("%d: %v", i, got)
		}
	}
	token := s.register("a", "q", nil, nil)
	if got := s.enqueue(token, large); got != StatusInternalFailure {
		t.Errorf("queue: %v", got)
	}
}

// TestQueues: an item tells the last that registered the queue, once the
// callback is over; another VM id is used if that is allowed.
func TestQueues(t *testing.T) {
	shared := NewShared()
	var token uint32
	const register, resolve, put, take = "proxy_register_shared_queue", "proxy_resolve_shared_queue", "proxy_enqueue_shared_queue", "proxy_dequeue_shared_queue"
	owner := newProbe(t)
	owner.on(onConfigure, func(c *probeCall) uint32 {
		c.expect(t, StatusOK, register, "q", c.out(0))
		token = c.out32(0)
		c.expect(t, StatusOK, register, "q", c.out(0))
		if token == 0 || c.out32(0) != token {
			t.Errorf("the queue is %d, then %d", token, c.out32(0))
		}
		c.expect(t, StatusInvalidMemoryAccess, register, "q", 0xfffffffe)
		c.expect(t, StatusInvalidMemoryAccess, register, 0xfffffff0, 32, c.out(0))
		c.expect(t, StatusNotFound, resolve, "", "none", c.out(0))
		c.expect(t, StatusOK, resolve, "", "q", c.out(0))
		c.expect(t, StatusEmpty, take, int(token), c.out(0), c.out(1))
		c.expect(t, StatusNotFound, take, 4711, c.out(0), c.out(1))
		c.expect(t, StatusNotFound, put, 4711, "x")
		return 1
	})
	if err := owner.load(Config{VMID: "owner", Shared: shared}); err != nil {
		t.Fatal(err)
	}
	owner.do(onQueueReady, func(c *probeCall) {
		c.gives(t, "item", take, int(c.args[1]))
		c.expect(t, StatusEmpty, take, int(c.args[1]), c.out(0), c.out(1))
	})
	if forked, why := owner.plugin.Forked(); !forked {
		t.Fatal(why)
	}
	inRequest(t, Config{VMID: "friend", Shared: shared, Allow: []string{"queue:owner"}}, get(), func(c *probeCall) {
		c.expect(t, StatusOK, resolve, "owner", "q", c.out(0))
		if c.out32(0) != token {
			t.Errorf("resolved %d", c.out32(0))
		}
		c.expect(t, StatusInvalidMemoryAccess, resolve, "owner", "q", 0xfffffffe)
		c.expect(t, StatusInvalidMemoryAccess, put, int(token), 0xfffffff0, 32)
		c.expect(t, StatusInvalidMemoryAccess, take, int(token), 0xfffffffe, c.out(0))
		c.expect(t, StatusOK, put, int(token), "item")
	})
	waitFor(t, "the item", func() bool { return owner.has(fmt.Sprintf("queue_ready(1,%d)", token)) })
	inRequest(t, Config{VMID: "stranger", Shared: shared}, get(), func(c *probeCall) {
		c.expect(t, StatusNotFound, resolve, "owner", "q", c.out(0))
		c.expect(t, StatusNotFound, put, int(token), "item")
		c.expect(t, StatusNotFound, take, int(token), c.out(0), c.out(1))
	})
	// The owner enqueues for itself: it is told afterwards. Another that
	// registers the queue takes it over, with what lies in it.
	owner.do(onRequestHeaders, func(c *probeCall) {
		owner.calls()
		c.expect(t, StatusOK, put, int(token), "item")
		if owner.calls() != "" {
			t.Error("it was told within the callback")
		}
	})
	s := owner.plugin.NewStream(0, get())
	s.RequestHeaders(true)
	s.Close()
	waitFor(t, "the item", func() bool { return owner.has(fmt.Sprintf("queue_ready(1,%d)", token)) })
	owner.calls()
	heir := loadProbe(t, Config{VMID: "owner", Shared: shared})
	heir.do(onRequestHeaders, func(c *probeCall) {
		c.expect(t, StatusOK, register, "q", c.out(0))
		c.expect(t, StatusOK, put, int(token), "one")
	})
	s = heir.plugin.NewStream(0, get())
	s.RequestHeaders(true)
	s.Close()
	waitFor(t, "the item", func() bool { return heir.has(fmt.Sprintf("queue_ready(1,%d)", token)) })
	if got := owner.calls(); got != "" {
		t.Errorf("the former owner was told: %s", got)
	}
	heir.plugin.Close()
	<-heir.plugin.Done()
	shared.mu.Lock()
	if q := shared.queues[token]; q.owner != nil || q.ready != nil {
		t.Error("the queue keeps a VM that has ended")
	}
	shared.mu.Unlock()
	if got := shared.enqueue(token, []byte("x")); got != StatusOK {
		t.Errorf("a queue that nobody owns: %v", got)
	}
}

func TestMetrics(t *testing.T) {
	p := newProbe(t)
	ids := map[string]uint32{}
	const define, inc, record, read = "proxy_define_metric", "proxy_increment_metric", "proxy_record_metric", "proxy_get_metric"
	p.on(onConfigure, func(c *probeCall) uint32 {
		for kind, name := range []string{"count", "gauge", "histogram"} {
			c.expect(t, StatusOK, define, kind, name, c.out(0))
			ids[name] = c.out32(0)
			if c.out32(0)&3 != uint32(kind) {
				t.Errorf("%s has the number %d", name, c.out32(0))
			}
			c.expect(t, StatusOK, define, kind, name, c.out(1))
			if c.out32(1) != c.out32(0) {
				t.Errorf("%s again has the number %d", name, c.out32(1))
			}
		}
		c.expect(t, StatusBadArgument, define, 3, "x", c.out(0))
		c.expect(t, StatusInvalidMemoryAccess, define, 0, "x", 0xfffffffe)
		c.expect(t, StatusInvalidMemoryAccess, define, 0, 0xfffffff0, 32, c.out(0))
		return 1
	})
	p.do(onRequestHeaders, func(c *probeCall) {
		count, gauge, histogram := int(ids["count"]), int(ids["gauge"]), int(ids["histogram"])
		value := func(id int, want uint64) {
			c.expect(t, StatusOK, read, id, c.out(0))
			if c.out64(0) != want {
				t.Errorf("metric %d is %d, want %d", id, c.out64(0), want)
			}
		}
		c.expect(t, StatusOK, inc, count, 3)
		c.expect(t, StatusBadArgument, inc, count, ^uint64(0))
		c.expect(t, StatusOK, record, count, 4)
		value(count, 7)
		c.expect(t, StatusOK, inc, count, 0)
		value(count, 7)
		c.expect(t, StatusOK, record, gauge, uint64(1<<63))
		c.expect(t, StatusOK, inc, gauge, uint64(1<<63)) // the least number
		value(gauge, 0)
		c.expect(t, StatusOK, record, gauge, 10)
		c.expect(t, StatusOK, inc, gauge, ^uint64(0)-2) // -3
		value(gauge, 7)
		c.expect(t, StatusBadArgument, inc, histogram, 1)
		c.expect(t, StatusOK, record, histogram, 5)
		c.expect(t, StatusBadArgument, read, histogram, c.out(0))
		for _, unknown := range []int{0, 4000, 4001, 4002, 3} {
			c.expect(t, StatusNotFound, inc, unknown, 1)
			c.expect(t, StatusNotFound, record, unknown, 1)
			c.expect(t, StatusNotFound, read, unknown, c.out(0))
		}
		c.expect(t, StatusInvalidMemoryAccess, read, count, 0xfffffffc)
	})
	if err := p.load(Config{}); err != nil {
		t.Fatal(err)
	}
	s := p.plugin.NewStream(0, get())
	s.RequestHeaders(true)
	s.Close()
	var got []string
	for _, m := range p.plugin.Metrics().(*Registry).All() {
		got = append(got, fmt.Sprint(m.Name, " ", m.Type, " ", m.Value()))
		if m.Type == Histogram {
			if n, less := m.Observations(); n != 1 || less[2] != 0 || less[3] != 1 {
				t.Errorf("%d observations, %v", n, less)
			}
		}
	}
	if s := strings.Join(got, ", "); s != "count counter 7, gauge gauge 7, histogram histogram 5" {
		t.Error(s)
	}
}

func TestMetricsBound(t *testing.T) {
	inRequest(t, Config{Limits: Limits{CPU: 1e10}}, get(), func(c *probeCall) {
		n := 0
		for c.used = 0; n <= maxMetrics && c.with("proxy_define_metric", 0, fmt.Sprint("m", n), c.out(0)) == StatusOK; c.used = 0 {
			n++
		}
		if n != maxMetrics {
			t.Errorf("%d metrics", n)
		}
		c.expect(t, StatusBadArgument, "proxy_define_metric", 0, strings.Repeat("x", maxMetricName+1), c.out(0))
	})
}

func TestTCP(t *testing.T) {
	p := loadProbe(t, Config{})
	x := &Exchange{}
	p.on(onNewConnection, func(*probeCall) uint32 { return 1 })
	p.on(onDownstreamData, func(c *probeCall) uint32 {
		c.gives(t, "hello "[:c.args[1]], "proxy_get_buffer_bytes", 2, 0, 100)
		c.expect(t, StatusNotFound, "proxy_get_buffer_bytes", 3, 0, 100, c.out(0), c.out(1))
		c.expect(t, StatusBadArgument, "proxy_continue_stream", 0)
		if c.args[1] < 6 {
			return 1
		}
		c.expect(t, StatusOK, "proxy_set_buffer_bytes", 2, 100, 0, "world")
		return 0
	})
	p.on(onUpstreamData, func(c *probeCall) uint32 {
		c.expect(t, StatusBadArgument, "proxy_send_local_response", 403, "", "", "", 0)
		c.expect(t, StatusOK, "proxy_set_buffer_bytes", 3, 0, 100, "changed")
		return 1
	})
	s := p.plugin.NewStream(0, x)
	if a := s.NewConnection(); a != Pause || !s.Paused(Downstream) {
		t.Errorf("connection: %v", a)
	}
	p.do(onTick, func(c *probeCall) {
		c.expect(t, StatusOK, "proxy_set_effective_context", 2)
		c.expect(t, StatusOK, "proxy_continue_stream", 2)
	})
	p.tick(t)
	if err := s.Wait(t.Context(), Downstream); err != nil {
		t.Fatal(err)
	}
	if a := s.DownstreamData([]byte("hel"), false); a != PauseWatermark {
		t.Error(a)
	}
	if a := s.DownstreamData([]byte("lo "), false); a != Continue {
		t.Error(a)
	}
	if got := string(s.TakeBody(Downstream)); got != "hello world" {
		t.Errorf("to the upstream: %q", got)
	}
	if a := s.UpstreamData([]byte("x"), true); a != PauseWatermark {
		t.Error(a)
	}
	p.do(onTick, func(c *probeCall) {
		c.expect(t, StatusOK, "proxy_set_effective_context", 2)
		c.expect(t, StatusOK, "proxy_continue_stream", 3)
		c.expect(t, StatusOK, "proxy_close_stream", 2)
	})
	p.tick(t)
	waitFor(t, "the close", func() bool { return x.WasReset(Downstream) && x.Resumed(Upstream) == 1 })
	if got := string(s.TakeBody(Upstream)); got != "changed" {
		t.Errorf("to the client: %q", got)
	}
	p.calls()
	s.UpstreamClose(PeerLocal)
	s.DownstreamClose(PeerRemote)
	s.Close()
	if got := p.calls(); got != "upstream_connection_close(2,1) downstream_connection_close(2,2) done(2) log(2) delete(2)" {
		t.Error(got)
	}
}
