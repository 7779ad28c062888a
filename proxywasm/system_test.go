package proxywasm

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestLog(t *testing.T) {
	p := inRequest(t, Config{LogLevel: LogDebug, Roots: []Root{{RootID: "r"}}}, get(), func(c *probeCall) {
		for l := LogTrace; l <= LogCritical; l++ {
			c.expect(t, StatusOK, "proxy_log", int(l), "says "+l.String())
		}
		c.expect(t, StatusBadArgument, "proxy_log", 6, "x")
		c.expect(t, StatusInvalidMemoryAccess, "proxy_log", 0, 0xfffffff0, 32)
		c.expect(t, StatusOK, "proxy_get_log_level", c.out(0))
		if c.out32(0) != uint32(LogDebug) {
			t.Errorf("log level %d", c.out32(0))
		}
		c.expect(t, StatusInvalidMemoryAccess, "proxy_get_log_level", 0xfffffffe)
	})
	log := p.log.String()
	if strings.Contains(log, "says trace") || !strings.Contains(log, `level=WARN msg="says warn"`) || !strings.Contains(log, "root=r vm=2 context=2") {
		t.Errorf("log:\n%s", log)
	}
	if !strings.Contains(log, `level=ERROR+4 msg="says critical"`) {
		t.Errorf("log:\n%s", log)
	}
}

// TestOutput: standard output and error are logs, less one newline; buffers
// of one call are one message.
func TestOutput(t *testing.T) {
	p := inRequest(t, Config{}, get(), func(c *probeCall) {
		a, n := c.put("one ")
		b, m := c.put("two\n\n")
		at := uint32(c.out(4))
		for i, v := range []uint64{a, n, b, m} {
			c.mem.WriteUint32Le(at+4*uint32(i), uint32(v))
		}
		for fd, want := range []Status{1: 0, 2: 0, 3: 8} {
			if got := c.call("fd_write", uint64(fd), uint64(at), 2, c.out(0)); fd > 0 && got != want {
				t.Errorf("fd_write(%d): %d", fd, got)
			}
			if fd > 0 && want == 0 && c.out32(0) != 9 {
				t.Errorf("fd_write: %d bytes", c.out32(0))
			}
		}
	})
	log := p.log.String()
	if !strings.Contains(log, `level=INFO msg="one two\n"`) || !strings.Contains(log, `level=ERROR msg="one two\n"`) {
		t.Errorf("log:\n%s", log)
	}
}

// TestPoll: waiting is over at once, however long it was to be.
func TestPoll(t *testing.T) {
	p := inRequest(t, Config{Env: []string{"A=b"}}, get(), func(c *probeCall) {
		sub := make([]byte, 48)
		le.PutUint32(sub[16:], 1)                 // the monotonic clock
		le.PutUint64(sub[24:], uint64(time.Hour)) // relative
		at, _ := c.put(string(sub))
		if got := c.call("poll_oneoff", at, c.out(8), 1, c.out(0)); got != 0 || c.out32(0) != 1 {
			t.Errorf("poll_oneoff: %d, %d events", got, c.out32(0))
		}
		if got := c.call("clock_time_get", 0, 0, c.out(0)); got != 0 || c.out64(0) != uint64(newFakeClock().Now().Add(time.Hour).UnixNano()) {
			t.Errorf("clock_time_get: %d, %d", got, c.out64(0))
		}
		if got := c.call("environ_sizes_get", c.out(0), c.out(1)); got != 0 || c.out32(0) != 1 || c.out32(1) != 4 {
			t.Errorf("environ_sizes_get: %d", got)
		}
		if got := c.call("args_sizes_get", c.out(0), c.out(1)); got != 0 || c.out32(0) != 0 {
			t.Errorf("args_sizes_get: %d, %d", got, c.out32(0))
		}
		if got := c.call("random_get", c.out(0), 16); got != 0 {
			t.Errorf("random_get: %d", got)
		}
	})
	// The time of day is right again in the next callback.
	p.do(onRequestHeaders, func(c *probeCall) {
		if got := c.call("clock_time_get", 0, 0, c.out(0)); got != 0 || c.out64(0) != uint64(newFakeClock().Now().UnixNano()) {
			t.Errorf("clock_time_get: %d, %d", got, c.out64(0))
		}
	})
	s := p.plugin.NewStream(0, get())
	s.RequestHeaders(true)
	s.Close()
}

func TestTime(t *testing.T) {
	inRequest(t, Config{}, get(), func(c *probeCall) {
		c.expect(t, StatusOK, "proxy_get_current_time_nanoseconds", c.out(0))
		if c.out64(0) != uint64(newFakeClock().Now().UnixNano()) {
			t.Errorf("time %d", c.out64(0))
		}
		c.expect(t, StatusInvalidMemoryAccess, "proxy_get_current_time_nanoseconds", 0xfffffffc)
		c.expect(t, Status(1), "pthread_equal", 7, 7)
		c.expect(t, Status(0), "pthread_equal", 7, 8)
	})
}

func (c *probeCall) out64(n uint32) uint64 {
	v, _ := c.mem.ReadUint64Le(uint32(c.out(n)))
	return v
}

// TestTicks: a timer for each root, which its streams set, too, and that
// forks of a plugin have as well.
func TestTicks(t *testing.T) {
	p := newProbe(t)
	p.on(onConfigure, func(c *probeCall) uint32 {
		if c.args[0] == 1 {
			c.expect(t, StatusOK, "proxy_set_tick_period_milliseconds", 100)
		}
		return 1
	})
	p.do(onRequestHeaders, func(c *probeCall) {
		c.expect(t, StatusOK, "proxy_set_tick_period_milliseconds", 30)
	})
	p.do(onTick, func(c *probeCall) {
		if c.args[0] == 2 {
			c.expect(t, StatusOK, "proxy_set_tick_period_milliseconds", 0)
		}
	})
	if err := p.load(Config{Roots: []Root{{}, {}}}); err != nil {
		t.Fatal(err)
	}
	p.calls()
	p.clock.advance(99 * time.Millisecond)
	p.clock.advance(time.Millisecond)
	waitFor(t, "a tick", func() bool { return p.has("tick(1)") })
	if got := p.calls(); got != "tick(1)" {
		t.Errorf("after 100 ms: %s", got)
	}
	s := p.plugin.NewStream(1, get())
	s.RequestHeaders(true)
	s.Close()
	p.calls()
	p.clock.advance(30 * time.Millisecond)
	waitFor(t, "a tick", func() bool { return p.has("tick(2)") })
	p.clock.advance(30 * time.Millisecond)
	p.clock.advance(40 * time.Millisecond)
	waitFor(t, "a tick", func() bool { return p.has("tick(1)") })
	if got := p.calls(); got != "tick(2) tick(1)" {
		t.Errorf("then: %s", got)
	}
}

// TestDone: a context that is not done waits for proxy_done, and is deleted
// when the callback that calls it is over.
func TestDone(t *testing.T) {
	p := loadProbe(t, Config{})
	p.on(onDone, func(*probeCall) uint32 { return 0 })
	x := &releasing{}
	x.RequestHeaders = MakeHeaders(":path", "/late")
	s := p.plugin.NewStream(0, x)
	p.do(onRequestHeaders, func(c *probeCall) { c.expect(t, StatusNotFound, "proxy_done") })
	s.RequestHeaders(true)
	s.Close()
	p.calls()
	if x.n != 0 {
		t.Error("the host was let go of")
	}
	p.do(onLog, func(c *probeCall) { c.gives(t, "/late", "proxy_get_header_map_value", 0, ":path") })
	p.do(onTick, func(c *probeCall) {
		c.expect(t, StatusNotFound, "proxy_done") // of the root
		c.expect(t, StatusOK, "proxy_set_effective_context", 2)
		c.expect(t, StatusOK, "proxy_done")
		c.expect(t, StatusNotFound, "proxy_done")
		if p.has("delete(2)") {
			t.Error("it was deleted within the callback")
		}
	})
	p.tick(t)
	waitFor(t, "the end of the stream", func() bool { return p.has("delete(2)") })
	if got := p.calls(); got != "tick(1) log(2) delete(2)" {
		t.Error(got)
	}
	waitFor(t, "the release", func() bool { return x.count() == 1 })
	// proxy_done within proxy_on_done counts; and a root that never says it
	// ends after the grace period.
	p.on(onDone, func(c *probeCall) uint32 {
		if c.args[0] == 3 {
			c.expect(t, StatusOK, "proxy_done")
		}
		return 0
	})
	s = p.plugin.NewStream(0, get())
	p.do(onRequestHeaders, func(*probeCall) {})
	p.do(onLog, func(*probeCall) {})
	s.RequestHeaders(true)
	s.Close()
	if got := p.calls(); !strings.HasSuffix(got, "done(3) log(3) delete(3)") {
		t.Error(got)
	}
	p.plugin.Close()
	waitFor(t, "done of the root", func() bool { return p.has("done(1)") })
	select {
	case <-p.plugin.Done():
		t.Error("it ended before the grace period")
	default:
	}
	p.clock.advance(10 * time.Second)
	<-p.plugin.Done()
}

type releasing struct {
	Exchange
	n int
}

func (r *releasing) Released()  { r.mu.Lock(); r.n++; r.mu.Unlock() }
func (r *releasing) count() int { r.mu.Lock(); defer r.mu.Unlock(); return r.n }

// TestTooEarly: as a plugin starts, and in its allocator, only logs and WASI
// are allowed.
func TestTooEarly(t *testing.T) {
	for _, variant := range [][]string{nil, {"COMMAND"}, {"MALLOC"}} {
		m := probeSource(t, ABI020, variant...)
		p := newProbe(t)
		p.do(onInitialize, func(c *probeCall) {
			c.expect(t, StatusOK, "proxy_log", 2, "early")
			c.expect(t, StatusOK, "random_get", c.out(0), 4)
		})
		p.do(onAllocate, func(c *probeCall) { c.expect(t, StatusOK, "proxy_log", 2, "in the allocator") })
		p.do(onRequestHeaders, func(c *probeCall) { c.gives(t, "GET", "proxy_get_header_map_value", 0, ":method") })
		if err := p.load(Config{Module: m}); err != nil {
			t.Fatal(err)
		}
		if p.calls() == "" || !strings.Contains(p.log.String(), "early") {
			t.Errorf("%v: it was not started: %s", variant, p.log)
		}
		s := p.plugin.NewStream(0, get())
		s.RequestHeaders(true)
		s.Close()
		if !strings.Contains(p.log.String(), "in the allocator") {
			t.Errorf("%v: log %s", variant, p.log)
		}
		p = newProbe(t)
		p.do(onInitialize, func(c *probeCall) { c.with("proxy_get_current_time_nanoseconds", c.out(0)) })
		if err := p.load(Config{Module: m}); !errors.Is(err, ErrTooEarly) {
			t.Errorf("%v: %v", variant, err)
		}
		p = newProbe(t)
		p.do(onAllocate, func(c *probeCall) { c.with("proxy_get_current_time_nanoseconds", c.out(0)) })
		p.do(onRequestHeaders, func(c *probeCall) { c.with("proxy_get_header_map_value", 0, ":method", c.out(0), c.out(1)) })
		if err := p.load(Config{Module: m}); err != nil {
			t.Fatal(err)
		}
		x := get()
		s = p.plugin.NewStream(0, x)
		s.RequestHeaders(true)
		s.Close()
		if x.Local() == nil || !strings.Contains(p.log.String(), "must not be called as the plugin starts or allocates") {
			t.Errorf("%v: %v, log %s", variant, x.Local(), p.log)
		}
	}
}

// TestAllocatorRefuses: no memory is INVALID_MEMORY_ACCESS.
func TestAllocatorRefuses(t *testing.T) {
	p := loadProbe(t, Config{})
	p.on(onAllocate, func(*probeCall) uint32 { return 1 })
	p.do(onRequestHeaders, func(c *probeCall) {
		c.expect(t, StatusInvalidMemoryAccess, "proxy_get_header_map_value", 0, ":method", c.out(0), c.out(1))
	})
	s := p.plugin.NewStream(0, get())
	s.RequestHeaders(true)
	s.Close()
}

func TestForeign(t *testing.T) {
	f := &Foreign{}
	var call *ForeignCall
	x := get()
	f.Register("twice", func(c *ForeignCall, args []byte) ([]byte, Status) {
		call = c
		return append(args[:len(args):len(args)], args...), StatusOK
	})
	f.Register("fails", func(*ForeignCall, []byte) ([]byte, Status) { return []byte("x"), StatusParseFailure })
	f.Register("hidden", func(*ForeignCall, []byte) ([]byte, Status) { return nil, StatusOK })
	p := newProbe(t)
	p.do(onRequestHeaders, func(c *probeCall) {
		c.gives(t, "abab", "proxy_call_foreign_function", "twice", "ab")
		c.expect(t, StatusOK, "proxy_call_foreign_function", "twice", "abc", 0, 0)
		c.expect(t, StatusOK, "proxy_call_foreign_function", "twice", "abc", 0, c.out(1))
		if c.out32(1) != 6 {
			t.Errorf("size %d", c.out32(1))
		}
		c.expect(t, StatusOK, "proxy_call_foreign_function", "twice", "a", c.out(0), 0)
		c.expect(t, StatusParseFailure, "proxy_call_foreign_function", "fails", "", c.out(0), c.out(1))
		if c.given() != "x" {
			t.Errorf("a function that fails gave %q", c.given())
		}
		c.expect(t, StatusNotFound, "proxy_call_foreign_function", "none", "", c.out(0), c.out(1))
		c.expect(t, StatusNotFound, "proxy_call_foreign_function", "hidden", "", c.out(0), c.out(1))
		c.expect(t, StatusInvalidMemoryAccess, "proxy_call_foreign_function", "twice", "", 0xfffffffe, c.out(1))
		c.expect(t, StatusInvalidMemoryAccess, "proxy_call_foreign_function", "twice", 0xfffffff0, 32, 0, 0)
		c.expect(t, StatusOK, "proxy_call_foreign_function", "clear_route_cache", "", 0, 0)
	})
	got := ""
	p.do(onForeign, func(c *probeCall) {
		c.with("proxy_get_buffer_bytes", 8, 0, 100, c.out(0), c.out(1))
		got = fmt.Sprintf("%v %s", c.args[:3], c.given())
	})
	if err := p.load(Config{Foreign: f, Allow: []string{"foreign:twice", "foreign:fails"}}); err != nil {
		t.Fatal(err)
	}
	s := p.plugin.NewStream(0, x)
	s.RequestHeaders(true)
	if call == nil || call.Stream != StreamHost(x) || x.RoutesCleared() != 1 {
		t.Errorf("%+v, %d", call, x.RoutesCleared())
	}
	call.Callback(42, []byte("later"))
	waitFor(t, "the callback", func() bool { return p.has("foreign_function(1,42,5)") })
	s.Close()
	if got != "[1 42 5] later" {
		t.Error(got)
	}
}

func TestProperties(t *testing.T) {
	x := get()
	x.RequestHeaders.Add("x-request-id", "id-1")
	x.RequestHeaders.Add("x-many", "1")
	x.RequestHeaders.Add("x-many", "2, 3")
	x.ResponseHeaders = MakeHeaders(":status", "404", "grpc-status", "5")
	start := newFakeClock().Now().Add(-time.Second)
	x.Attributes = Info{
		Start: start, Protocol: "HTTP/1.1", ConnectionID: 9,
		Source: netip.MustParseAddrPort("10.0.0.1:1234"), Destination: netip.MustParseAddrPort("[::1]:443"),
		TLS:         &tls.ConnectionState{Version: tls.VersionTLS13, ServerName: "example.com"},
		RequestSize: 3, ResponseTotalSize: 4, RouteName: "shop", ClusterName: "shops",
		Upstream: netip.MustParseAddrPort("10.0.0.2:80"),
		Extra:    map[string]any{"metadata": map[string]any{"f": 1.5, "list": []any{"a", true}}, "upstream": nil, "listener_direction": 1, "odd": struct{}{}},
	}
	number := func(n int64) string { return string(le.AppendUint64(nil, uint64(n))) }
	cfg := Config{VMID: "vm-1", Roots: []Root{{Name: "plug", RootID: "r"}}, Node: map[string]any{"id": "n1", "metadata": map[string]any{"ROLE": "edge"}}}
	p := inRequest(t, cfg, x, func(c *probeCall) {
		for path, want := range map[string]string{
			"plugin_name": "plug", "plugin_root_id": "r", "plugin_vm_id": "vm-1",
			"node id": "n1", "node metadata ROLE": "edge", "node metadata": "\x01\x00\x00\x00\x04\x00\x00\x00\x04\x00\x00\x00ROLE\x00edge\x00",
			"request path": "/a?b=c", "request url_path": "/a", "request query": "b=c", "request host": "example.com", "request scheme": "https",
			"request method": "GET", "request headers x-one": "1", "request headers x-many": "1,2, 3", "request headers_bytes": number(x.RequestHeaders.Size()), "response headers_bytes": number(22),
			"xds route_name": "shop", "xds cluster_name": "shops", "xds node id": "n1", "xds listener_direction": number(1), "request id": "id-1", "request protocol": "HTTP/1.1", "request path ": "/a?b=c",
			"request time": number(start.UnixNano()), "request duration": number(int64(time.Second)), "request size": number(3), "request total_size": number(0),
			"response code": number(404), "response total_size": number(4), "response grpc_status": number(5), "response flags": number(0),
			"source address": "10.0.0.1:1234", "source port": number(1234), "destination address": "[::1]:443", "destination port": number(443),
			"connection id": number(9), "connection_id": number(9), "connection mtls": "\x00", "connection tls_version": "TLSv1.3", "connection requested_server_name": "example.com",
			"upstream address": "10.0.0.2:80", "upstream port": number(80), "route_name": "shop", "cluster_name": "shops",
			"metadata f": "\x00\x00\x00\x00\x00\x00\xf8?", "metadata list 0": "a", "metadata list 1": "\x01",
			"metadata list": "\x02\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00a\x00\x00\x01\x00\x00",
		} {
			c.used = 0
			c.gives(t, want, "proxy_get_property", strings.ReplaceAll(path, " ", "\x00"))
		}
		for _, path := range []string{"", "none", "request none", "request path x", "request referer", "xds", "xds none", "xds plugin_name", "connection peer_certificate", "response trailers", "node none x", "upstream tls_version",
			"metadata list 2", "metadata list -1", "request headers none", "own"} {
			c.expect(t, StatusNotFound, "proxy_get_property", strings.ReplaceAll(path, " ", "\x00"), c.out(0), c.out(1))
		}
		c.expect(t, StatusSerializationFailure, "proxy_get_property", "odd", c.out(0), c.out(1))
		c.expect(t, StatusInvalidMemoryAccess, "proxy_get_property", 0xfffffff0, 32, c.out(0), c.out(1))
		c.expect(t, StatusOK, "proxy_set_property", "own", "\x00value")
		c.gives(t, "\x00value", "proxy_get_property", "own")
		c.gives(t, "\x00value", "proxy_get_property", "filter_state\x00wasm.own")
		c.expect(t, StatusOK, "proxy_set_property", "request\x00path", "other")
		c.gives(t, "/a?b=c", "proxy_get_property", "request\x00path")
		c.expect(t, StatusInvalidMemoryAccess, "proxy_set_property", "own", 0xfffffff0, 32)
		large := strings.Repeat("x", maxFilterState)
		c.expect(t, StatusBadArgument, "proxy_set_property", "large", large)
	})
	// All plugins of a stream share what is set; roots have no stream.
	if v, ok := x.State.Get("own"); !ok || string(v) != "\x00value" {
		t.Errorf("%q", v)
	}
	done := make(chan bool)
	p.do(onTick, func(c *probeCall) {
		defer close(done)
		c.gives(t, "r", "proxy_get_property", "plugin_root_id")
		c.expect(t, StatusNotFound, "proxy_get_property", "request\x00path", c.out(0), c.out(1))
		c.expect(t, StatusNotFound, "proxy_set_property", "a", "b")
	})
	p.tick(t)
	<-done
}

// TestCertificateProperties: what certificates tell, of both sides of both
// connections.
func TestCertificateProperties(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	make := func(name string) *x509.Certificate {
		id, _ := url.Parse("spiffe://example.com/" + name)
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name + ".example.com", "other"}, URIs: []*url.URL{id}}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	client, server, upstream := make("client"), make("server"), make("upstream")
	x := get()
	x.Attributes = Info{
		TLS:              &tls.ConnectionState{Version: tls.VersionTLS12, PeerCertificates: []*x509.Certificate{client}, VerifiedChains: [][]*x509.Certificate{{client}}},
		LocalCertificate: &tls.Certificate{Certificate: [][]byte{server.Raw}},
		UpstreamTLS:      &tls.ConnectionState{Version: tls.VersionTLS13, PeerCertificates: []*x509.Certificate{upstream}},
	}
	digest := func(c *x509.Certificate) string { sum := sha256.Sum256(c.Raw); return hex.EncodeToString(sum[:]) }
	escaped := func(c *x509.Certificate) string {
		return strings.ReplaceAll(url.QueryEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))), "+", "%20")
	}
	inRequest(t, Config{}, x, func(c *probeCall) {
		for path, want := range map[string]string{
			"connection mtls": "\x01", "connection tls_version": "TLSv1.2", "upstream tls_version": "TLSv1.3",
			"connection subject_peer_certificate": "CN=client", "connection dns_san_peer_certificate": "client.example.com",
			"connection uri_san_peer_certificate": "spiffe://example.com/client", "connection sha256_peer_certificate_digest": digest(client),
			"connection peer_certificate": escaped(client), "connection subject_local_certificate": "CN=server",
			"connection dns_san_local_certificate": "server.example.com", "connection uri_san_local_certificate": "spiffe://example.com/server",
			"upstream subject_peer_certificate": "CN=upstream", "upstream dns_san_peer_certificate": "upstream.example.com",
			"upstream uri_san_peer_certificate": "spiffe://example.com/upstream", "upstream sha256_peer_certificate_digest": digest(upstream),
			"upstream peer_certificate": escaped(upstream),
		} {
			c.used = 0
			c.gives(t, want, "proxy_get_property", strings.ReplaceAll(path, " ", "\x00"))
		}
		for _, path := range []string{"connection requested_server_name", "upstream subject_local_certificate", "connection none"} {
			c.expect(t, StatusNotFound, "proxy_get_property", strings.ReplaceAll(path, " ", "\x00"), c.out(0), c.out(1))
		}
	})
}

func TestAllow(t *testing.T) {
	for _, entry := range []string{"http_call", "http_call:", "files:x", ":x"} {
		if _, err := parseAllow([]string{entry}); err == nil {
			t.Errorf("%q passed", entry)
		}
	}
	a, err := parseAllow([]string{"http_call:a", "redis:*"})
	if err != nil || !a.may("http_call", "a") || a.may("http_call", "b") || !a.may("redis", "b") || a.may("queue", "b") {
		t.Errorf("%v, %v", a, err)
	}
}
