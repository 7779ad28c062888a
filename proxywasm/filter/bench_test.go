package filter

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// BenchmarkChain is a request and its response through filters that add a
// header.
func BenchmarkChain(b *testing.B) {
	for _, bench := range []struct {
		name  string
		modes []string
	}{{"one", []string{"tag:a"}}, {"five", []string{"tag:a", "tag:b", "tag:c", "tag:d", "tag:e"}}} {
		b.Run(bench.name, func(b *testing.B) {
			h := chain(b, Options{}, nil, bench.modes...).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Content-Length"] = []string{"2"}
				_, _ = w.Write([]byte("ok"))
			}))
			r := httptest.NewRequest("GET", "http://example.com/page?id=1", nil)
			for _, name := range []string{"User-Agent", "Accept", "Accept-Encoding", "Accept-Language", "Cookie", "X-Forwarded-For"} {
				r.Header.Set(name, "some value")
			}
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}
