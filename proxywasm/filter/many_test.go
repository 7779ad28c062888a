package filter

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/hako-run/hako/proxywasm"
)

// A gate is a Dispatcher whose calls wait until they are let go.
type gate struct {
	mu    sync.Mutex
	calls []func(*proxywasm.HTTPResponse, error)
}

func (g *gate) HTTP(_ *proxywasm.HTTPCall, done func(*proxywasm.HTTPResponse, error)) (func(), error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = append(g.calls, done)
	return func() {}, nil
}

func (g *gate) GRPC(*proxywasm.GRPCCall, proxywasm.GRPCEvents) (proxywasm.GRPCStream, error) {
	return nil, errors.ErrUnsupported
}

func (g *gate) waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.calls)
}

// open answers all calls, in any order.
func (g *gate) open(status string) {
	g.mu.Lock()
	calls := g.calls
	g.calls = nil
	g.mu.Unlock()
	rand.Shuffle(len(calls), func(i, j int) { calls[i], calls[j] = calls[j], calls[i] })
	for _, done := range calls {
		done(&proxywasm.HTTPResponse{Headers: proxywasm.MakeHeaders(":status", status)}, nil)
	}
}

// TestManyHeld: 500 streams that one VM holds keep neither each other nor
// others from going on, and clients that leave meanwhile are let go.
func TestManyHeld(t *testing.T) {
	const streams, leavers = 500, 100
	g := &gate{}
	c := chain(t, Options{}, func(cfg *proxywasm.Config) {
		cfg.VMs, cfg.Dispatcher, cfg.Allow = 1, g, []string{"http_call:auth"}
	}, "tag:a", "call:auth")
	held := c.Handler(http.HandlerFunc(seen))
	free := New(c.filters[:1], Options{}).Handler(http.HandlerFunc(seen))
	ask := func(ctx context.Context, h http.Handler) (status int) {
		w := httptest.NewRecorder()
		w.Code = 0
		h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "http://example.com/", nil))
		return w.Code
	}
	for _, answer := range []struct {
		status string
		want   int
	}{{"200", 200}, {"401", 403}} {
		ctx, leave := context.WithCancel(t.Context())
		var wait, left sync.WaitGroup
		for i := range streams {
			if i < leavers {
				left.Go(func() {
					if got := ask(ctx, held); got != 0 {
						t.Errorf("a client that left got %d", got)
					}
				})
				continue
			}
			wait.Go(func() {
				if got := ask(t.Context(), held); got != answer.want {
					t.Errorf("a held request got %d, not %d", got, answer.want)
				}
			})
		}
		for end := time.Now().Add(time.Minute); g.waiting() < streams; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d of %d streams are held", g.waiting(), streams)
			}
		}
		for range 20 {
			if got := ask(t.Context(), free); got != 200 {
				t.Errorf("a request beside the held ones got %d", got)
			}
		}
		leave()
		left.Wait()
		g.open(answer.status)
		wait.Wait()
	}
	if s := c.filters[0].Plugin.Stats(); s.VMs != 1 || s.Crashes != 0 {
		t.Errorf("%+v", s)
	}
}
