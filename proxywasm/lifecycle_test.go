package proxywasm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func get() *Exchange {
	return &Exchange{RequestHeaders: MakeHeaders(":method", "GET", ":path", "/a?b=c", ":authority", "example.com", ":scheme", "https", "x-one", "1")}
}

// TestLifecycle: what is called, in which order, from the start to the end.
func TestLifecycle(t *testing.T) {
	p := newProbe(t)
	var before []string
	for cb, name := range map[callback]string{onInitialize: "_initialize", onMain: "main"} {
		p.do(cb, func(*probeCall) { before = append(before, name) })
	}
	if err := p.load(Config{VMConfig: []byte("vmc"), Roots: []Root{{Config: []byte("first")}, {RootID: "b", Config: []byte("second!")}}}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(before, " "); got != "_initialize main" {
		t.Errorf("started by %q", got)
	}
	want := "context_create(1,0) vm_start(1,3) configure(1,5) context_create(2,0) vm_start(2,3) configure(2,7)"
	if got := p.calls(); got != want {
		t.Errorf("loading called\n%s, want\n%s", got, want)
	}
	x := get()
	s := p.plugin.NewStream(1, x)
	if got := p.calls(); got != "" {
		t.Errorf("a new stream called %s", got)
	}
	if a := s.RequestHeaders(false); a != Continue {
		t.Errorf("headers: %v", a)
	}
	if a := s.RequestBody([]byte("hello"), true); a != Continue || string(s.TakeBody(Request)) != "hello" {
		t.Errorf("body: %v", a)
	}
	x.ResponseHeaders = MakeHeaders(":status", "200")
	s.ResponseHeaders(false)
	s.ResponseBody([]byte("by"), false)
	s.ResponseBody([]byte("e"), false)
	x.ResponseTrailers = MakeHeaders("x-t", "1")
	s.ResponseTrailers()
	s.Close()
	want = "context_create(3,2) request_headers(3,5,0) request_body(3,5,1) response_headers(3,1,0) response_body(3,2,0) response_body(3,1,0) response_trailers(3,1) done(3) log(3) delete(3)"
	if got := p.calls(); got != want {
		t.Errorf("a stream called\n%s, want\n%s", got, want)
	}
	p.plugin.Close()
	<-p.plugin.Done()
	if got := p.calls(); got != "done(1) delete(1) done(2) delete(2)" {
		t.Errorf("the end called %s", got)
	}
	if st := p.plugin.Stats(); st.Open != 0 || st.VMs != 0 || st.Streams != 1 {
		t.Errorf("stats: %+v", st)
	}
}

func TestRefusedConfiguration(t *testing.T) {
	for _, cb := range []callback{onVMStart, onConfigure} {
		p := newProbe(t)
		p.on(cb, func(*probeCall) uint32 { return 0 })
		if err := p.load(Config{}); !errors.Is(err, ErrConfigure) {
			t.Errorf("%s: %v", callbackTypes[cb].name, err)
		}
	}
}

// TestLoadCancelled: whoever waits for a plugin to start can stop waiting,
// whatever it does meanwhile.
func TestLoadCancelled(t *testing.T) {
	m := probeSource(t, ABI021)
	for _, cb := range []callback{onInitialize, onMain, onVMStart, onConfigure} {
		ctx, cancel := context.WithCancel(t.Context())
		p := newProbe(t)
		p.do(cb, func(c *probeCall) {
			cancel()
			c.guest("spin")
		})
		name := fmt.Sprintf("%s/%p", t.Name(), p)
		probes.Store(name, p)
		if _, err := Load(ctx, Config{Module: m, Name: name, Limits: Limits{Start: time.Hour}}); !errors.Is(err, context.Canceled) {
			t.Errorf("%d: %v", cb, err)
		}
	}
}

// TestVoidCallbacks: callbacks without a result agree to everything.
func TestVoidCallbacks(t *testing.T) {
	p := loadProbe(t, Config{Module: probeSource(t, ABI020, "VOID")})
	s := p.plugin.NewStream(0, get())
	a, b := s.RequestHeaders(false), s.RequestBody([]byte("x"), true)
	if a != Continue || b != Continue || string(s.TakeBody(Request)) != "x" {
		t.Errorf("%v, %v", a, b)
	}
	s.Close()
	if got := p.calls(); !strings.HasSuffix(got, "done(2) log(2) delete(2)") {
		t.Error(got)
	}
	s = p.plugin.NewStream(0, &Exchange{})
	if a, b := s.NewConnection(), s.DownstreamData([]byte("x"), true); a != Continue || b != Continue {
		t.Errorf("%v, %v", a, b)
	}
	s.Close()
}
