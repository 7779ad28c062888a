package filter

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestGRPCAnswers: a client of gRPC is answered in gRPC's way, by a filter and
// in place of one that failed.
func TestGRPCAnswers(t *testing.T) {
	for mode, want := range map[string][2]string{"deny": {"7", "no"}, "crash": {"14", ""}, "crashlate": {"14", ""}} {
		s := serve(t, chain(t, Options{}, nil, mode), seen)
		r, err := http.NewRequestWithContext(t.Context(), "POST", s.URL, strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/grpc+proto")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Errorf("%s: %v", mode, err)
			continue
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		h := res.Header
		if err != nil || res.StatusCode != 200 || len(body) > 0 || h.Get("Content-Type") != "application/grpc" ||
			h.Get("Grpc-Status") != want[0] || h.Get("Grpc-Message") != want[1] {
			t.Errorf("%s: status %d, %v, body %q, %v", mode, res.StatusCode, h, body, err)
		}
	}
}
