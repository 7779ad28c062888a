package proxywasm

import (
	"errors"
	"strings"
	"sync"
	"testing"
)

// tape is a Recorder that keeps everything.
type tape struct {
	mu     sync.Mutex
	events []*Event
}

func (r *tape) Record(e *Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e.Clone())
}

// TestRecord: what is recorded of a call.
func TestRecord(t *testing.T) {
	tape := &tape{}
	p := newProbe(t)
	p.do(onRequestHeaders, func(c *probeCall) {
		c.gives(t, "GET", "proxy_get_header_map_value", 0, ":method")
		c.expect(t, StatusNotFound, "proxy_get_header_map_value", 0, "none", c.out(0), c.out(1))
		c.expect(t, StatusOK, "proxy_log", 2, "hello")
		c.guest("trap")
	})
	p.do(onAllocate, func(c *probeCall) { c.with("proxy_log", 2, "within") })
	if err := p.load(Config{Recorder: tape}); err != nil {
		t.Fatal(err)
	}
	s := p.plugin.NewStream(0, get())
	s.RequestHeaders(true)
	s.Close()
	p.plugin.Close()
	<-p.plugin.Done()
	var got []string
	for _, e := range tape.events {
		in, out := "", ""
		for _, b := range e.In {
			in += " " + string(b.Data)
		}
		for _, o := range e.Out {
			out += " " + string(o.Data)
		}
		got = append(got, strings.TrimSpace(strings.Repeat(">", e.Depth)+string(e.Kind)+" "+e.Name+in+" ="+Status(e.Result).String()+out))
		if e.Kind == Leave && e.Name == "proxy_on_request_headers" && !strings.Contains(e.Err, "unreachable") {
			t.Errorf("its end was recorded as %q", e.Err)
		}
	}
	want := `enter proxy_on_context_create =OK
leave proxy_on_context_create =OK
enter proxy_on_vm_start =OK
leave proxy_on_vm_start =NOT_FOUND
enter proxy_on_configure =OK
leave proxy_on_configure =NOT_FOUND
enter proxy_on_context_create =OK
leave proxy_on_context_create =OK
enter proxy_on_request_headers =OK
>call proxy_log within =OK
call proxy_get_header_map_value :method =OK GET
call proxy_get_header_map_value none =NOT_FOUND
call proxy_log hello =OK
leave proxy_on_request_headers =OK
enter proxy_on_done =OK
leave proxy_on_done =NOT_FOUND
enter proxy_on_delete =OK
leave proxy_on_delete =OK`
	if s := strings.Join(got, "\n"); s != want {
		t.Errorf("recorded:\n%s", s)
	}
}

// TestReplay: a plugin runs from a recording as it ran, without its hosts, and
// another plugin is seen to be another.
func TestReplay(t *testing.T) {
	tape := &tape{}
	cfg := Config{Recorder: tape, VMs: 1, Name: "bench", Module: benchModule(t)}
	p, err := Load(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	x := &Exchange{RequestHeaders: benchHeaders()}
	for range 3 {
		s := p.NewStream(0, x)
		s.RequestHeaders(true)
		s.Close()
	}
	p.Close()
	<-p.Done()
	if n := len(tape.events); n != 3*13 {
		t.Fatalf("%d events", n)
	}
	if err := Replay(t.Context(), Config{Module: cfg.Module}, tape.events); err != nil {
		t.Error(err)
	}
	// The plugin shows what it saw in the last call: change that.
	for _, change := range []func([]*Event){
		func(e []*Event) { e[1].Out[0].Data = []byte("GEX") },
		func(e []*Event) { e[1].Name = "proxy_log" },
		func(e []*Event) { e[12].Result = 1 },
		func(e []*Event) { e[1].Kind = Leave },
	} {
		var changed []*Event
		for _, e := range tape.events {
			changed = append(changed, e.Clone())
		}
		change(changed)
		err := Replay(t.Context(), Config{Module: cfg.Module}, changed)
		if !errors.Is(err, ErrReplay) {
			t.Errorf("a changed recording: %v", err)
		}
	}
}
