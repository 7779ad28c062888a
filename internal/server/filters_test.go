package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hako-run/hako/config"
	"github.com/hako-run/hako/internal/guestbuild"
)

// A filterSite is a server whose routes have the filters of
// proxywasm/filter/testdata/modes.c.
type filterSite struct {
	*Server
	t      *testing.T
	dir    string
	module string
	up     string // an upstream that answers with the tags it saw
	log    *lockedBuffer
	access *lockedBuffer
	url    string
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// drop forgets what was written.
func (l *lockedBuffer) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = bytes.Buffer{}
}

func newFilterSite(t *testing.T) *filterSite {
	t.Helper()
	header := "../../guest/c/proxy_wasm.h"
	module := guestbuild.C(t, []string{"-O2", "-mexec-model=reactor", "-I", filepath.Dir(header), "../../proxywasm/filter/testdata/modes.c"}, header)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/may" && r.Header.Get("X-Key") != "yes" {
			w.WriteHeader(401)
			return
		}
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %s", r.Host, r.URL.Path, strings.Join(r.Header["X-Tag"], ","), body)
	}))
	t.Cleanup(up.Close)
	return &filterSite{t: t, dir: t.TempDir(), module: module, up: up.URL, log: &lockedBuffer{}, access: &lockedBuffer{}}
}

// config makes a configuration of one. MODULE and UPSTREAM stand for theirs.
func (s *filterSite) config(rest string) *config.Config {
	s.t.Helper()
	file := filepath.Join(s.dir, "hako.toml")
	text := "[server]\nlisten = [\"127.0.0.1:0\"]\nmetrics = \"127.0.0.1:0\"\n" +
		"[[upstream]]\nname = \"up\"\nurl = [\"" + s.up + "\"]\n" +
		strings.ReplaceAll(rest, "MODULE", fmt.Sprintf("module = %q", s.module))
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	c, err := config.Load(file)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *filterSite) start(rest string) {
	s.t.Helper()
	data := s.t.TempDir()
	guestbuild.ShareCompiled(s.t, data)
	var err error
	s.Server, err = Start(s.t.Context(), s.config(rest), Options{Data: data, Log: slog.New(slog.NewTextHandler(s.log, nil)), AccessLog: s.access})
	if err != nil {
		s.t.Fatal(err)
	}
	s.url = "http://" + s.Addresses()[0]
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	s.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
		if err := s.Close(); err != nil {
			s.t.Error(err)
		}
	})
}

// memory is what is in use beside what the test itself keeps.
func (s *filterSite) memory() (m runtime.MemStats) {
	s.access.drop()
	s.log.drop()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}

func (s *filterSite) get(path string, header ...string) (int, string) {
	r, err := http.NewRequest("GET", s.url+path, nil)
	if err != nil {
		return 0, err.Error()
	}
	r.Host = "example.com"
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(b)
}

func (s *filterSite) want(path string, status int, text string, header ...string) {
	s.t.Helper()
	code, body := s.get(path, header...)
	if code != status || !strings.Contains(body, text) {
		s.t.Errorf("%s: %d %q, not %d %q\n%s", path, code, body, status, text, s.log)
	}
}

const filterRoutes = `
[server.node]
REGION = "eu"
[[filter]]
name = "tags"
MODULE
config = "tag:own"
[[filter]]
name = "gate"
MODULE
config = "call:up"
allow = ["http_call:up"]
[[filter]]
name = "not"
MODULE
config = "call:up"
[[filter]]
name = "open"
MODULE
config = "crash"
fail = "open"
[[filter]]
name = "slow"
MODULE
config = "spin"
limits = { cpu = "20ms" }
[[route]]
match = { path = "/one/*" }
filters = ["tags", { name = "tags", config = "tag:one" }]
upstream = "up"
strip = "/one"
[[route]]
match = { path = "/two/*" }
filters = [{ name = "tags", config = "tag:two" }]
upstream = "up"
[[route]]
match = { path = "/gate" }
filters = ["gate"]
upstream = "up"
[[route]]
match = { path = "/not" }
filters = ["not"]
upstream = "up"
[[route]]
match = { path = "/open" }
filters = ["tags", "open"]
upstream = "up"
[[route]]
match = { path = "/slow" }
filters = ["slow"]
upstream = "up"
[[route]]
match = { path = "/deny" }
filters = [{ name = "tags", config = "deny" }]
upstream = "up"
[[route]]
match = { path = "/path" }
filters = [{ name = "tags", config = "path" }]
upstream = "up"
[[route]]
match = { path = "/elsewhere", method = ["PUT"] }
static = "."
[[route]]
match = { path = "/gone" }
filters = [{ name = "tags", config = "tag:gone" }]
static = "."
`

func TestFilters(t *testing.T) {
	s := newFilterSite(t)
	s.start(filterRoutes)
	s.want("/one/x", 200, "example.com /x own,one")
	s.want("/two/x", 200, "/two/x two")
	s.want("/gate", 200, "/gate", "X-Key", "yes")
	s.want("/gate", 403, "not allowed")
	s.want("/not", 500, "no call") // calls are denied unless allowed
	s.want("/open", 200, "own")
	s.want("/slow", 503, "")
	s.want("/deny", 403, "no")
	// A filter sends the request to another route: a folder, which takes no PUT.
	s.want("/path", 405, "405")
	// The gateway's own errors pass the filters.
	r, err := http.Get(s.url + "/gone")
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != 404 || r.Header.Get("X-Tag") != "gone" {
		t.Errorf("%d %v", r.StatusCode, r.Header)
	}

	res, err := http.Get("http://" + s.gate.MetricsAddress() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	metrics, _ := io.ReadAll(res.Body)
	for _, want := range []string{
		`hako_filter_streams_total{filter="gate"} 2`,
		`hako_filter_local_responses_total{filter="tags"} 1`,
		`hako_filter_crashes_total{filter="open"} 1`,
		`hako_filter_crashes_total{filter="slow"} 1`,
		`hako_filter_callback_duration_seconds_count{callback="proxy_on_request_headers",filter="gate"} 2`,
		`hako_filter_callback_cpu_seconds_count{callback="proxy_on_request_headers",filter="gate"} 2`,
		`hako_filter_pauses_total{filter="gate"} 2`,
		`hako_filter_forks_total{filter="tags"} `,
		`hako_filter_instances{filter="tags"} `,
		`hako_filter_instances_memory_bytes{filter="tags"} `,
		`hako_filter_streams_open{filter="slow"} `,
		`wasmcustom_modes_configured{filter="tags"} `,
	} {
		if !bytes.Contains(metrics, []byte(want)) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	waitUntil(t, "the access log", func() bool {
		return strings.Contains(s.access.String(), `"filter":"slow"`) && strings.Contains(s.access.String(), `"filter":"tags"`)
	})
	if !strings.Contains(s.log.String(), "cpu") {
		t.Errorf("the log does not tell of the limit:\n%s", s.log)
	}
}

func waitUntil(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited for %s", what)
		}
	}
}

// A plugin that refuses its configuration leaves what is in force as it is.
func TestFilterRefused(t *testing.T) {
	s := newFilterSite(t)
	const site = "[[filter]]\nname = \"f\"\nMODULE\nconfig = %q\n[[route]]\nmatch = { path = \"/*\" }\nfilters = [\"f\"]\nupstream = \"up\"\n"
	s.start(fmt.Sprintf(site, "tag:first"))
	if err := s.Reload(t.Context(), s.config(fmt.Sprintf(site, "refuse"))); err == nil || !strings.Contains(err.Error(), "filter f") {
		t.Errorf("%v", err)
	}
	s.want("/", 200, "first")
	if err := s.Reload(t.Context(), s.config(fmt.Sprintf(site, "tag:second"))); err != nil {
		t.Fatal(err)
	}
	s.want("/", 200, "second")
	waitUntil(t, "the old plugins to end", func() bool {
		s.filters.mu.Lock()
		defer s.filters.mu.Unlock()
		return len(s.filters.plugins) == 1
	})
}

// TestFilterSwap swaps a plugin under load: no request fails, each is seen by
// one of the two, and nothing stays behind.
func TestFilterSwap(t *testing.T) {
	swaps := 40
	if *long {
		swaps = 1000
	}
	s := newFilterSite(t)
	const site = "[[filter]]\nname = \"f\"\nMODULE\nconfig = \"tag:%d\"\n[[route]]\nmatch = { path = \"/*\" }\nfilters = [\"f\"]\nupstream = \"up\"\n"
	s.start(fmt.Sprintf(site, 0))
	var failed, asked atomic.Int64
	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				code, body := s.get("/")
				asked.Add(1)
				if f := strings.Fields(body); code != 200 || len(f) != 3 {
					failed.Add(1)
					t.Errorf("%d %q", code, body)
					return
				}
			}
		})
	}
	var before runtime.MemStats
	var goroutines int
	for i := range swaps {
		if i == swaps/4 {
			before, goroutines = s.memory(), runtime.NumGoroutine()
		}
		if err := s.Reload(t.Context(), s.config(fmt.Sprintf(site, i+1))); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	load.Wait()
	s.want("/", 200, fmt.Sprintf("/ %d", swaps))
	waitUntil(t, "the old plugins to end", func() bool {
		s.filters.mu.Lock()
		defer s.filters.mu.Unlock()
		return len(s.filters.plugins) == 1
	})
	after := s.memory()
	t.Logf("%d swaps, %d requests; heap %d KiB, then %d KiB", swaps, asked.Load(), before.HeapAlloc>>10, after.HeapAlloc>>10)
	if after.HeapAlloc > before.HeapAlloc+(4<<20) || runtime.NumGoroutine() > goroutines+20 {
		t.Errorf("memory was %d and is %d, goroutines %d and %d", before.HeapAlloc, after.HeapAlloc, goroutines, runtime.NumGoroutine())
	}
}
