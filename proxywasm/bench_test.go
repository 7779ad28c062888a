package proxywasm

import (
	"net/http"
	"testing"

	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/internal/guestbuild"
)

func benchHeaders() *Headers {
	return MakeHeaders(":method", "GET", ":path", "/shop/item?id=4711", ":authority", "example.com", ":scheme", "https",
		"user-agent", "Mozilla/5.0 (X11; Linux x86_64)", "accept", "text/html", "accept-encoding", "gzip, br", "accept-language", "en",
		"cookie", "session=0123456789abcdef", "x-forwarded-for", "10.0.0.1", "authorization", "Bearer abc", "x-seen", "none")
}

func benchModule(t testing.TB) *engine.Module {
	return compileFile(t, guestbuild.C(t, []string{"-O3", "-nostdlib", "-Wl,--no-entry", "testdata/probe/bench.c"}))
}

func benchPlugin(b *testing.B, cfg Config) *Plugin {
	cfg.Module = benchModule(b)
	cfg.Name = "bench"
	p, err := Load(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		p.Close()
		<-p.Done()
	})
	return p
}

// cpu reports the processor time of b's loop, which other work on the machine
// does not change as it does the time on the wall.
func cpu(b *testing.B) (report func()) {
	before := processCPU()
	return func() { b.ReportMetric(float64(processCPU()-before)/float64(b.N), "cpu-ns/op") }
}

// BenchmarkRequestHeaders is proxy_on_request_headers with ten look-ups and
// one replacement.
func BenchmarkRequestHeaders(b *testing.B) {
	p := benchPlugin(b, Config{VMs: 1})
	x := &Exchange{RequestHeaders: benchHeaders()}
	s := p.NewStream(0, x)
	defer s.Close()
	b.ReportAllocs()
	defer cpu(b)()
	for b.Loop() {
		if a := s.RequestHeaders(true); a != Continue {
			b.Fatal(a)
		}
	}
	if x.RequestHeaders.Value("x-seen") == "none" {
		b.Fatal("the plugin did nothing")
	}
}

// BenchmarkStream is a whole stream around it.
func BenchmarkStream(b *testing.B) {
	p := benchPlugin(b, Config{VMs: 1})
	x := &Exchange{RequestHeaders: benchHeaders()}
	b.ReportAllocs()
	defer cpu(b)()
	for b.Loop() {
		s := p.NewStream(0, x)
		s.RequestHeaders(true)
		s.Close()
	}
}

// BenchmarkNative is the same in Go.
func BenchmarkNative(b *testing.B) {
	h := http.Header{}
	for f := range benchHeaders().All() {
		h.Set(f.Name, f.Value)
	}
	b.ReportAllocs()
	seen := uint32(0)
	defer cpu(b)()
	for b.Loop() {
		for _, key := range []string{":method", ":path", ":authority", "user-agent", "accept", "accept-encoding", "cookie", "x-forwarded-for", "authorization", "x-not-there"} {
			if v := h.Get(key); v != "" {
				seen += uint32(v[len(v)-1])
			}
		}
		var digits [8]byte
		for i := range digits {
			digits[i] = 'a' + byte(seen>>(4*i)&15)
		}
		h.Set("x-seen", string(digits[:]))
	}
}
