package proxywasm_test

import (
	"fmt"
	"testing"

	pw "github.com/hako-run/hako/proxywasm"
)

// A higressHost serves what Higress' plugins may ask of a host beyond Envoy's.
type higressHost struct {
	pw.Exchange
	injected string
	ended    bool
	chosen   string
}

func (h *higressHost) Inject(data []byte, end bool) {
	h.injected, h.ended = h.injected+string(data), end
}

func (h *higressHost) UpstreamHosts() *pw.Headers {
	return pw.MakeHeaders("10.0.0.1:80", "load 1", "10.0.0.2:80", "")
}

func (h *higressHost) OverrideUpstream(address string) bool {
	h.chosen = address
	return true
}

func TestHigress(t *testing.T) {
	hits := 0
	p, _ := load(t, higressGuest(t), pw.Config{
		Roots: root("", "store"), Allow: []string{"redis:store"},
		Dispatcher: &calls{redis: func(query string) (string, error) {
			if query != "*2\r\n$4\r\nINCR\r\n$4\r\nhits\r\n" {
				return "", fmt.Errorf("query %q", query)
			}
			hits++
			return fmt.Sprintf(":%d\r\n", hits), nil
		}},
	})
	if abi := p.Profile().ABI; abi != pw.ABI02100 {
		t.Errorf("the ABI is %v", abi)
	}
	got := exchange(t, p, 0, get("/refuse"), answer("200"))
	expect(t, got.client.headers, ":status", "418")
	if d := got.x.Local().Details; d != "higress.refused" {
		t.Errorf("the details are %q", d)
	}
	got = exchange(t, p, 0, get("/count"), answer("200"))
	expect(t, got.x.RequestHeaders, "x-hits", ":1")
	// A pause in the headers' callback holds them, and the body still comes.
	got = exchange(t, p, 0, post("/", []string{"bo", "dy"}), answer("200"))
	if got.upstream == nil || got.upstream.text() != "body" {
		t.Fatalf("the upstream got %v", got.upstream)
	}
	expect(t, got.upstream.headers, "x-body", "body")

	// A host that has no choice of upstreams says so.
	got = exchange(t, p, 0, get("/hosts"), answer("200"))
	expect(t, got.x.RequestHeaders, "x-hosts", "none")

	h := &higressHost{Exchange: pw.Exchange{RequestHeaders: get("/hosts").headers}}
	s := p.NewStream(0, h)
	defer s.Close()
	if a := s.RequestHeaders(true); a != pw.Continue {
		t.Errorf("the request: %v", a)
	}
	expect(t, h.RequestHeaders, "x-hosts", "10.0.0.1:80")
	expect(t, h.RequestHeaders, "x-override")
	if h.chosen != "10.0.0.2:80" {
		t.Errorf("the upstream chosen is %q", h.chosen)
	}
	h.ResponseHeaders = answer("200").headers
	s.ResponseHeaders(false)
	if a := s.ResponseBody([]byte("text"), true); a == pw.Continue || h.injected != "injected" || !h.ended {
		t.Errorf("the response: %v, with %q injected, ended: %v", a, h.injected, h.ended)
	}
}
