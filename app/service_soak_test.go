package app

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/internal/guestbuild"
)

// descriptors returns how many files the process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0 // not on Linux
	}
	return len(list)
}

// Under crashes, timeouts, clients that leave and guests that finish early,
// no answer is another's, and nothing is left behind.
func TestServiceSoak(t *testing.T) {
	guest := guestbuild.Go(t, site, "-buildmode=c-shared")
	for _, mode := range []string{"fork", "session", "http2"} {
		t.Run(mode, func(t *testing.T) {
			s, _, log := serve(t, guest, ServiceConfig{
				Name: "site", Instances: 4, QueueLength: 100, QueueWait: time.Minute, Session: mode == "session",
				Spec: Spec{Limits: engine.Limits{Memory: 64 << 20, CPU: 400 * time.Millisecond, Wall: 20 * time.Second}},
			})
			server := httptest.NewUnstartedServer(s)
			server.Config.ErrorLog = nil
			server.EnableHTTP2 = mode == "http2"
			server.StartTLS()
			defer server.Close()
			client := server.Client()
			// Once before counting, so that what is made lazily is there.
			soak(t, client, server.URL, 8, 200*time.Millisecond)
			settle(t, s)
			client.CloseIdleConnections()
			goroutines, files := runtime.NumGoroutine(), descriptors(t)
			lasts := 2 * time.Second
			if os.Getenv("HAKO_LONG") != "" {
				lasts = time.Minute
			}
			soak(t, client, server.URL, 8, lasts)
			settle(t, s)
			client.CloseIdleConnections()
			deadline := time.Now().Add(20 * time.Second)
			for {
				g, f := runtime.NumGoroutine(), descriptors(t)
				// Some, as the connections of the client, come and go.
				if g <= goroutines+4 && f <= files+4 {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("%d goroutines and %d descriptors, before it was %d and %d", g, f, goroutines, files)
				}
				time.Sleep(10 * time.Millisecond)
			}
			s.mu.Lock()
			idle := len(s.idle)
			s.mu.Unlock()
			if idle > 4 || mode != "session" && idle > 0 {
				t.Errorf("%d instances are kept", idle)
			}
			if s.own != nil {
				if n := s.own.Stats().Live; n != 0 {
					t.Errorf("%d forks live on", n)
				}
			}
			if text := log.String(); strings.Contains(text, "close an instance") {
				t.Errorf("log\n%.2000s", text)
			}
		})
	}
}

// settle waits until nothing runs.
func settle(t *testing.T, s *Service) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		running, waiting := s.Running()
		if running == 0 && waiting == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d requests run and %d wait", running, waiting)
		}
	}
}

func soak(t *testing.T, client *http.Client, url string, clients int, lasts time.Duration) {
	var wg sync.WaitGroup
	var number atomic.Int64
	until := time.Now().Add(lasts)
	for seed := range clients {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(seed)))
			for time.Now().Before(until) && !t.Failed() {
				id := fmt.Sprint("number ", number.Add(1), " ")
				kind := random.IntN(20)
				if err := soakOne(client, url, kind, id, random); err != nil {
					t.Errorf("kind %d, %s: %v", kind, id, err)
				}
			}
		})
	}
	wg.Wait()
}

// soakOne makes one request and checks that the answer is its own.
func soakOne(client *http.Client, url string, kind int, id string, random *rand.Rand) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	do := func(method, path string, body io.Reader) (int, string, error) {
		r, err := http.NewRequestWithContext(ctx, method, url+path, body)
		if err != nil {
			return 0, "", err
		}
		r.Header.Set("X-Number", strings.TrimSpace(id))
		resp, err := client.Do(r)
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		if got := resp.Header.Get("Echo-X-Number"); path == "/echo" && resp.StatusCode == 202 && got != strings.TrimSpace(id) {
			return 0, "", fmt.Errorf("the header is of %q", got)
		}
		b, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b), err
	}
	expect := func(status int, body string, want int, text string, err error) error {
		if err != nil || status != want || !strings.Contains(body, text) {
			return fmt.Errorf("%d %.100q, %v; want %d %.100q", status, body, err, want, text)
		}
		return nil
	}
	switch kind {
	case 0: // a crash before the answer
		status, body, err := do("GET", "/exit", nil)
		return expect(status, body, 500, "The app failed", err)
	case 1:
		status, body, err := do("GET", "/panic?after=1", nil)
		if err == nil {
			return fmt.Errorf("half an answer looks whole: %d %q", status, body)
		}
		return nil
	case 2: // after an answer that is complete
		status, body, err := do("GET", "/finish-exit?id="+strings.Fields(id)[1], nil)
		if err == nil && body != "done "+strings.Fields(id)[1] {
			err = fmt.Errorf("cut")
		}
		return expect(status, body, 200, "done", err)
	case 3:
		if random.IntN(4) > 0 { // it costs much
			return nil
		}
		status, body, err := do("GET", "/spin", nil)
		return expect(status, body, 504, "took too long", err)
	case 4: // the client leaves while the guest waits for its body
		pr, pw := io.Pipe()
		go func() {
			io.WriteString(pw, id)
			time.Sleep(time.Duration(random.IntN(5)) * time.Millisecond)
			cancel()
			pw.Close()
		}()
		_, _, _ = do("POST", "/echo", pr)
		return nil
	case 5: // while it answers
		time.AfterFunc(time.Duration(random.IntN(5000))*time.Microsecond, cancel)
		_, _, _ = do("GET", "/large?n=10000000", nil)
		return nil
	case 6: // or computes
		time.AfterFunc(time.Duration(random.IntN(5000))*time.Microsecond, cancel)
		_, _, _ = do("GET", "/spin", nil)
		return nil
	case 7:
		status, body, err := do("GET", "/finish", nil)
		return expect(status, body, 200, "done", err)
	case 8:
		status, body, err := do("HEAD", "/hello", nil)
		return expect(status, body, 200, "", err)
	default:
		text := strings.Repeat(id, 1+random.IntN(2000))
		status, body, err := do("POST", "/echo", strings.NewReader(text))
		if err == nil && body != text {
			err = fmt.Errorf("the body is not what was sent")
		}
		return expect(status, body, 202, "", err)
	}
}
