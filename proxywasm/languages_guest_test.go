package proxywasm_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/hako-run/hako/internal/guestbuild"
	pw "github.com/hako-run/hako/proxywasm"
)

// Plugins in C choose routes by header.
func TestCRouting(t *testing.T) {
	p, _ := load(t, cGuest(t, "testdata/c/routing.c"), pw.Config{})
	got := exchange(t, p, 0, get("/", "x-version", "beta"), answer("200"))
	expect(t, got.upstream.headers, ":authority", "beta.test")
	if got.x.RoutesCleared() == 0 {
		t.Error("the route was not chosen anew")
	}
	if v, ok := got.x.State.Get("chosen\x00version"); !ok || string(v) != "beta" {
		t.Errorf("the property is %q", v)
	}
	got = exchange(t, p, 0, get("/"), answer("200"))
	expect(t, got.upstream.headers, ":authority", "shop.test")
	if got.x.RoutesCleared() != 0 {
		t.Error("the route was chosen anew without need")
	}
}

// An oracle answers gRPC calls and streams.
type oracle struct {
	call   *pw.GRPCCall
	events pw.GRPCEvents
	mu     sync.Mutex
	heard  []string
}

func (o *oracle) answer() {
	o.events.InitialMetadata(pw.MakeHeaders("x-greeting", "hello "+o.call.Metadata.Value("x-plugin")))
	for _, text := range o.heard {
		o.events.Message([]byte("re " + text))
	}
	o.events.TrailingMetadata(pw.MakeHeaders("x-farewell", o.call.Service+"/"+o.call.Method))
	if o.call.Stream {
		o.events.Close(0, "")
	} else {
		o.events.Close(0, "fine")
	}
}

func (o *oracle) Send(message []byte, end bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.heard = append(o.heard, string(message))
	if end {
		go o.answer()
	}
	return nil
}

func (o *oracle) Cancel() {}

func TestCGRPC(t *testing.T) {
	fail := false
	dispatcher := &calls{grpc: func(call *pw.GRPCCall, events pw.GRPCEvents) (pw.GRPCStream, error) {
		if call.Upstream != "oracle" {
			return nil, fmt.Errorf("%w: %s", pw.ErrUpstream, call.Upstream)
		}
		o := &oracle{call: call, events: events}
		switch {
		case fail:
			go events.Close(14, "unavailable")
		case !call.Stream:
			o.heard = []string{string(call.Message)}
			go o.answer()
		}
		return o, nil
	}}
	p, _ := load(t, cGuest(t, "testdata/c/grpc.c"), pw.Config{Dispatcher: dispatcher, Allow: []string{"grpc_call:oracle"}, VMs: 1})
	// A call ends with its message, or is closed if it fails.
	got := exchange(t, p, 0, get("/call"), answer("200"))
	expect(t, got.x.RequestHeaders, "x-grpc", "initial hello grpc.c, message re ping")
	got = exchange(t, p, 0, get("/stream"), answer("200"))
	expect(t, got.x.RequestHeaders, "x-grpc",
		"initial hello grpc.c, message re one, message re two, trailing test.Oracle/Talk, closed 0/0 ")
	fail = true
	got = exchange(t, p, 0, get("/call"), answer("200"))
	expect(t, got.x.RequestHeaders, "x-grpc", ", closed 14/14 unavailable")

	refused, _ := load(t, cGuest(t, "testdata/c/grpc.c"), pw.Config{Dispatcher: dispatcher})
	got = exchange(t, refused, 0, get("/call"), answer("200"))
	expect(t, got.client.headers, ":status", "503")
}

func TestCPPPhases(t *testing.T) {
	path := guestbuild.CXX(t, []string{"-I", "../guest/c"}, "testdata/c/phases.cc", header)
	p, log := load(t, path, pw.Config{VMs: 1})
	request := post("/", []string{"some", "thing"})
	request.trailers = pw.MakeHeaders("x-end", "1")
	got := exchange(t, p, 0, request, answer("200", "fine"))
	expect(t, got.client.headers, "x-seen", "headers:4 body:4 body:5 trailers:1")
	log.waitFor("no streams left")

	got = exchange(t, p, 0, get("/"), answer("500", "stack trace"))
	expect(t, got.client.headers, ":status", "503")
	expect(t, got.client.headers, "x-seen", "headers:4.")
	expect(t, got.client.headers, "retry-after", "5")
	if got.client.text() != "sorry\n" {
		t.Errorf("the client got %q", got.client.text())
	}
}

// authority answers calls by the header authorization.
func authority(call *pw.HTTPCall) (*pw.HTTPResponse, error) {
	switch call.Headers.Value("authorization") {
	case "good":
		return &pw.HTTPResponse{Headers: pw.MakeHeaders(":status", "200"), Body: []byte("bob")}, nil
	case "late":
		return nil, errors.New("timeout")
	}
	return &pw.HTTPResponse{Headers: pw.MakeHeaders(":status", "403", "x-why", "unknown")}, nil
}

func TestRustAuth(t *testing.T) {
	path := guestbuild.Rust(t, "testdata/rust/auth.rs", "../guest/rust/proxy_wasm.rs")
	cfg := pw.Config{
		Allow:      []string{"http_call:auth"},
		Dispatcher: &calls{http: map[string]func(*pw.HTTPCall) (*pw.HTTPResponse, error){"auth": authority}},
	}
	p, _ := load(t, path, cfg)
	for i, c := range []struct{ token, status string }{{"good", "200"}, {"bad", "401"}, {"late", "503"}, {"good", "200"}} {
		got := exchange(t, p, 0, get("/", "authorization", c.token), answer("200", "abc", "déf"))
		expect(t, got.client.headers, ":status", c.status)
		switch {
		case c.status != "200":
			expect(t, got.client.headers, "x-refused", "1")
			// The refusal, "no", passes the response callbacks as any response.
			if got.client.text() != "on" {
				t.Errorf("the client got %q", got.client.text())
			}
		case got.client.text() != "fédcba":
			t.Errorf("the client got %q", got.client.text())
		default:
			expect(t, got.upstream.headers, "x-user", "bob")
			expect(t, got.upstream.headers, "x-allowed", map[int]string{0: "1", 3: "2"}[i])
		}
	}
}

// A panic in Rust ends the VM, and its message is in the log; the next stream
// has another VM.
func TestRustPanic(t *testing.T) {
	path := guestbuild.Rust(t, "testdata/rust/auth.rs", "../guest/rust/proxy_wasm.rs")
	p, log, err := tryLoad(t, path, pw.Config{
		VMs: 1, Allow: []string{"http_call:auth"},
		Dispatcher: &calls{http: map[string]func(*pw.HTTPCall) (*pw.HTTPResponse, error){"auth": authority}},
	})
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, p, 0, get("/", "authorization", "good", "x-panic", "1"), answer("200"))
	eventually(t, "the crash", func() bool { return p.Stats().Crashes == 1 })
	eventually(t, "the panic's message", func() bool { return len(log.matching("as asked for by stream")) > 0 })
	got := exchange(t, p, 0, get("/", "authorization", "good"), answer("200"))
	expect(t, got.client.headers, ":status", "200")
}

func TestAssemblyScriptAuth(t *testing.T) {
	p, log := load(t, guestbuild.AssemblyScript(t, "testdata/as/auth.ts"), pw.Config{
		Roots: root("auth", "some configuration"), Allow: []string{"http_call:auth"},
		Dispatcher: &calls{http: map[string]func(*pw.HTTPCall) (*pw.HTTPResponse, error){"auth": authority}},
	})
	for _, c := range []struct{ token, status string }{{"good", "200"}, {"bad", "401"}, {"late", "503"}} {
		got := exchange(t, p, 0, get("/", "authorization", c.token), answer("200"))
		expect(t, got.client.headers, ":status", c.status)
		if got.upstream != nil {
			expect(t, got.upstream.headers, "x-user", "known")
		} else {
			expect(t, got.client.headers, "x-refused", "1")
		}
	}
	eventually(t, "three streams to end", func() bool { return log.count("deleted") == 3 })
}

// The table of the C header keeps what belongs to many streams that come and
// go.
func TestCTable(t *testing.T) {
	p, _ := load(t, cGuest(t, "../examples/filters/c/greeting.c"), pw.Config{
		VMs: 1, Roots: []pw.Root{{Config: []byte("even")}, {Name: "odd", Config: []byte("odd")}},
	})
	names := [...]string{"even", "odd"}
	type open struct {
		s *pw.Stream
		x *pw.Exchange
	}
	streams := map[int]open{}
	finish := func(i int) {
		o := streams[i]
		delete(streams, i)
		o.x.ResponseHeaders = answer("200").headers
		o.s.ResponseHeaders(true)
		expect(t, o.x.ResponseHeaders, "x-greeting", names[i%2])
		o.s.Close()
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 2000 {
		x := &pw.Exchange{RequestHeaders: get("/").headers}
		s := p.NewStream(i%2, x)
		s.RequestHeaders(true)
		streams[i] = open{s, x}
		for len(streams) > 300 || len(streams) > 0 && random.IntN(3) == 0 {
			for j := range streams { // any
				finish(j)
				break
			}
		}
	}
	for len(streams) > 0 {
		for j := range streams {
			finish(j)
		}
	}
}
