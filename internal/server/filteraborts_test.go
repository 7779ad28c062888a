package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// abortRoutes have filters that hold bodies and headers, ask an upstream, and
// answer: clients leave them in the middle of each.
const abortRoutes = `
[[filter]]
name = "hold"
MODULE
config = "hold"
[[filter]]
name = "tick"
MODULE
config = "tick"
[[filter]]
name = "call"
MODULE
config = "call:up"
allow = ["http_call:up"]
[[filter]]
name = "buffer"
MODULE
config = "buffer"
[[filter]]
name = "late"
MODULE
config = "denylate"
[[route]]
match = { path = "/hold" }
filters = ["hold", "tick"]
upstream = "up"
[[route]]
match = { path = "/call" }
filters = ["call", "hold"]
upstream = "up"
[[route]]
match = { path = "/buffer" }
filters = ["tick", "buffer"]
upstream = "up"
[[route]]
match = { path = "/late" }
filters = ["late", "buffer"]
upstream = "up"
`

var abortPaths = []string{"/hold", "/call", "/buffer", "/late"}

// An aborter is a client that mostly does not see its requests through.
type aborter struct {
	*rand.Rand
	address string
	client  *http.Client
}

// request makes one request. Its error says that one that was to succeed
// did not.
func (a *aborter) request() error {
	path := abortPaths[a.IntN(len(abortPaths))]
	body := strings.Repeat("x", a.IntN(3)*a.IntN(40_000))
	switch way := a.IntN(8); way {
	case 0: // to the end
		return a.whole(context.Background(), path, body)
	case 1: // until it has waited for too long
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(a.IntN(30_000))*time.Microsecond)
		defer cancel()
		_ = a.whole(ctx, path, body)
	default:
		a.raw(way, path, body)
	}
	return nil
}

func (a *aborter) whole(ctx context.Context, path, body string) error {
	r, err := http.NewRequestWithContext(ctx, "POST", "http://"+a.address+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("X-Key", "yes")
	res, err := a.client.Do(r)
	if path == "/late" {
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		return nil // its filter breaks the response off
	}
	if err != nil {
		return err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != 200 || !strings.Contains(string(got), body)) {
		err = fmt.Errorf("status %d, %d bytes", res.StatusCode, len(got))
	}
	return err
}

// raw sends some of a request by a connection of its own, reads some of the
// answer, and closes the connection, at times with a reset.
func (a *aborter) raw(way int, path, body string) {
	conn, err := net.Dial("tcp", a.address)
	if err != nil {
		return
	}
	defer conn.Close()
	if way%2 == 0 {
		_ = conn.(*net.TCPConn).SetLinger(0)
	}
	key := []string{"yes", "no"}[a.IntN(2)]
	text := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\nX-Key: %s\r\n", path, key)
	if a.IntN(2) == 0 {
		text += fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
	} else {
		text += fmt.Sprintf("Transfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n%x\r\n%s\r\n0\r\nX-End: 1\r\n\r\n", max(len(body), 1), body+strings.Repeat("y", max(1-len(body), 0)))
	}
	if way < 5 { // within the request, its headers included
		text = text[:a.IntN(len(text))]
	}
	_, _ = io.WriteString(conn, text)
	switch {
	case a.IntN(2) == 0: // at once
	case way < 5:
		time.Sleep(time.Duration(a.IntN(10_000)) * time.Microsecond)
	default: // within the response
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		_, _ = io.CopyN(io.Discard, conn, int64(1+a.IntN(2*len(text))))
	}
}

// TestFilterAborts: streams that clients leave anywhere leave nothing behind.
func TestFilterAborts(t *testing.T) {
	requests := 500
	if *long {
		requests = 100_000
	}
	s := newFilterSite(t)
	s.start(abortRoutes)
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	var failed atomic.Int64
	round := func(requests int, seed uint64) {
		var clients sync.WaitGroup
		for c := range uint64(8) {
			clients.Go(func() {
				a := &aborter{rand.New(rand.NewPCG(seed, c)), s.Addresses()[0], &http.Client{Transport: transport}}
				for range requests / 8 {
					if err := a.request(); err != nil && failed.Add(1) < 10 {
						t.Errorf("a request that was seen through: %v", err)
					}
				}
			})
		}
		clients.Wait()
		transport.CloseIdleConnections()
		waitUntil(t, "the streams to end", func() bool { return s.openStreams() == 0 })
	}
	began := time.Now()
	round(requests/5, 1)
	before := s.settled()
	round(requests-requests/5, 2)
	after := s.settled()
	var streams int64
	for _, p := range s.filters.plugins {
		st := p.plugin.Stats()
		streams += st.Streams
		if st.Crashes != 0 {
			t.Errorf("%d instances of %s crashed", st.Crashes, p.name)
		}
	}
	t.Logf("%d requests, %d streams of filters, %v; after a fifth of them %v; at the end %v", requests, streams, time.Since(began).Round(time.Second), before, after)
	if streams < int64(requests) {
		t.Errorf("only %d streams", streams)
	}
	// Connections to upstreams that wait for another request come and go. A
	// fifth of few requests has not made yet all that is made once, and the
	// race detector has memory of its own.
	more := uint64(96 << 20)
	if *long {
		more = 24 << 20
	}
	if after.heap > before.heap+4<<20 || after.resident > before.resident+more || after.goroutines > before.goroutines+100 || after.files > before.files+100 {
		t.Errorf("it had %v and has %v", before, after)
	}
	s.want("/buffer", 200, "/buffer")
}

func (s *filterSite) openStreams() (n int64) {
	s.filters.mu.Lock()
	defer s.filters.mu.Unlock()
	for _, p := range s.filters.plugins {
		n += p.plugin.Stats().Open
	}
	return n
}

// A footprint is what a server at rest has. What its system does not tell is 0.
type footprint struct {
	heap, resident    uint64
	goroutines, files int
}

func (f footprint) String() string {
	return fmt.Sprintf("heap %d KiB, resident %d KiB, %d goroutines, %d files", f.heap>>10, f.resident>>10, f.goroutines, f.files)
}

// settled is the footprint once nothing more goes.
func (s *filterSite) settled() (f footprint) {
	s.t.Helper()
	f.goroutines = runtime.NumGoroutine()
	waitUntil(s.t, "goroutines to end", func() bool {
		last := f.goroutines
		time.Sleep(100 * time.Millisecond)
		f.goroutines = runtime.NumGoroutine()
		return f.goroutines == last
	})
	s.memory()
	debug.FreeOSMemory()
	f.heap = s.memory().HeapAlloc
	res, err := http.Get("http://" + s.gate.MetricsAddress() + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		switch name, value, _ := strings.Cut(lines.Text(), " "); name {
		case "process_resident_memory_bytes":
			n, _ := strconv.ParseFloat(value, 64)
			f.resident = uint64(n)
		case "process_open_fds":
			n, _ := strconv.ParseFloat(value, 64)
			f.files = int(n)
		}
	}
	return f
}
