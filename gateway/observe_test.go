package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestAccessLog(t *testing.T) {
	h := start(t, "[[route]]\nmatch.path = '/show'\napp = 'show'\n[[route]]\nmatch.path = '/slow'\napp = 'slow'\ntimeout = '10ms'\n[[route]]\nmatch.path = '/echo'\napp = 'echo'\nauth.users.ann = '"+annHash+"'")
	h.get("/show?a=b", "User-Agent", "x\"", "Referer", "r")
	h.get("/slow")
	h.get("/none")
	h.do("POST", "/echo", strings.NewReader("12345"), "Authorization", "Basic YW5uOnNlY3JldA==")
	eventually(t, "four lines are written", func() bool { return strings.Count(h.access.String(), "\n") == 4 })
	var lines []map[string]any
	for line := range strings.Lines(h.access.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		lines = append(lines, m)
	}
	for i, want := range []map[string]any{
		{"method": "GET", "uri": "/show?a=b", "status": 200.0, "client": "127.0.0.1", "route": "show /show", "proto": "HTTP/1.1", "referer": "r"},
		{"status": 504.0, "route": "slow /slow", "error": errRouteTimeout.Error()},
		{"status": 404.0, "uri": "/none"},
		{"status": 200.0, "received": 5.0, "bytes": 5.0, "user": "ann"},
	} {
		for key, value := range want {
			if lines[i][key] != value {
				t.Errorf("line %d: %s is %v, want %v", i, key, lines[i][key], value)
			}
		}
	}
	app, _ := lines[0]["app"].(map[string]any)
	if app["name"] != "show" || app["cpu_ms"] != 1.0 || app["instance"] != "i1" ||
		fmt.Sprint(app["databases"]) != "map[blog:7 shop:42]" || fmt.Sprint(app["before"]) != "map[blog:5]" {
		t.Errorf("the app's account is %v", app)
	}
	if s := h.access.String(); strings.Contains(s, "YW5uOnNlY3JldA") || strings.Contains(s, "secret") {
		t.Error("the log has a password")
	}
}

func TestCombinedLog(t *testing.T) {
	h := start(t, "[server]\nlisten = '127.0.0.1:0'\nlog.access = 'combined'\n[[route]]\nredirect = '/x'")
	h.raw("GET /a\"b HTTP/1.1\r\nHost: a\r\nUser-Agent: x\"y\\\xff\r\nConnection: close\r\n\r\n")
	eventually(t, "a line is written", func() bool { return strings.HasSuffix(h.access.String(), "\n") })
	want := `^127\.0\.0\.1 - - \[\d\d/\w+/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /a\\x22b HTTP/1\.1" 308 0 "-" "x\\x22y\\x5c\\xff"` + "\n$"
	if got := h.access.String(); !regexp.MustCompile(want).MatchString(got) {
		t.Errorf("%q", got)
	}
}

func TestLogFileIsOpenedAnew(t *testing.T) {
	dir := t.TempDir()
	text := "[server]\nlisten = '127.0.0.1:0'\nlog.file = 'access.log'\n[[route]]\nredirect = '/x'"
	h := startIn(t, dir, text, Options{})
	h.get("/one")
	rename(t, dir, "access.log", "old.log")
	if err := h.Reload(parse(t, dir, text)); err != nil {
		t.Fatal(err)
	}
	h.get("/two")
	eventually(t, "both files have their line", func() bool {
		return strings.Contains(read(t, dir, "old.log"), `"/one"`) && strings.Contains(read(t, dir, "access.log"), `"/two"`)
	})
	if strings.Contains(read(t, dir, "access.log"), `"/one"`) {
		t.Error("a line is in the wrong file")
	}
}

func TestMetricsAndHealth(t *testing.T) {
	var ready atomic.Bool
	h := startIn(t, t.TempDir(), "[server]\nlisten = '127.0.0.1:0'\nmetrics = '127.0.0.1:0'\n[[route]]\napp = 'show'", Options{Ready: func() error {
		if !ready.Load() {
			return errors.New("not yet")
		}
		return nil
	}})
	for range 3 {
		h.get("/")
	}
	get := func(path string) (int, string) {
		r, err := h.client.Get("http://" + h.MetricsAddress() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Body.Close() }()
		b, _ := io.ReadAll(r.Body)
		return r.StatusCode, string(b)
	}
	if code, _ := get("/health/live"); code != 200 {
		t.Errorf("live: %d", code)
	}
	if code, text := get("/health/ready"); code != 503 || !strings.Contains(text, "not yet") {
		t.Errorf("not ready: %d %s", code, text)
	}
	ready.Store(true)
	if code, _ := get("/health/ready"); code != 200 {
		t.Errorf("ready: %d", code)
	}
	want := []string{
		`hako_http_requests_total{app="show",code="2xx",route="show"} 3`, `hako_http_request_duration_seconds_count{app="show",route="show"} 3`,
		`hako_app_cpu_seconds_total{app="show",route="show"} 0.003`, `hako_app_queue_seconds_count{app="show",route="show"} 3`, "hako_http_requests_in_flight 0",
	}
	eventually(t, "the metrics are there", func() bool {
		_, text := get("/metrics")
		for _, w := range want {
			if !strings.Contains(text, w) {
				return false
			}
		}
		return true
	})
}

func TestTracing(t *testing.T) {
	var mu sync.Mutex
	var got []otlpSpan
	collector := backend(t, func(w http.ResponseWriter, r *http.Request) {
		var traces otlpTraces
		if err := json.NewDecoder(r.Body).Decode(&traces); err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("X-Key") != "k" {
			t.Errorf("the collector is sent %s %v: %v", r.URL, r.Header, err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, s := range traces.ResourceSpans[0].ScopeSpans {
			got = append(got, s.Spans...)
		}
	})
	var seen string
	b := backend(t, func(_ http.ResponseWriter, r *http.Request) { seen = r.Header.Get("Traceparent") })
	h := start(t, "[server]\nlisten = '127.0.0.1:0'\ntracing = { endpoint = '"+collector.URL+"', headers = { X-Key = 'k' } }\n"+upstreamTo("", b.URL))
	const trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	h.get("/", "Traceparent", "00-"+trace+"-"+parent+"-01")
	eventually(t, "the span is sent", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(got) == 1
	})
	s := got[0]
	if s.TraceID != trace || s.ParentID != parent || s.Kind != 2 || s.Name != "GET u" || seen != "00-"+trace+"-"+s.SpanID+"-01" {
		t.Errorf("%+v; the upstream saw %s", s, seen)
	}
	attributes := map[string]any{}
	for _, a := range s.Attributes {
		for _, v := range a.Value {
			attributes[a.Key] = v
		}
	}
	if attributes["http.response.status_code"] != "200" || attributes["http.request.method"] != "GET" {
		t.Errorf("%v", attributes)
	}
	if !strings.Contains(h.accessLater(), trace) {
		t.Error("the access log does not name the trace")
	}
	// Not sampled by the client: passed on, not sent.
	h.get("/", "Traceparent", "00-"+trace+"-"+parent+"-00")
	if !strings.HasPrefix(seen, "00-"+trace+"-") || !strings.HasSuffix(seen, "-00") {
		t.Errorf("the upstream saw %s", seen)
	}
}

func (h *harness) accessLater() string {
	time.Sleep(2 * flushEvery)
	return h.access.String()
}

// A watchedApp is an App that tells what it does.
type watchedApp struct{ appFunc }

func (watchedApp) Now() Now { return Now{Running: 1, Waiting: 2, Instances: 3, Memory: 4 << 20} }

func TestMetricsOfApps(t *testing.T) {
	var mu sync.Mutex
	var tapped []string
	account := func(_ http.ResponseWriter, r *http.Request, a *Account) {
		a.Memory, a.Forked, a.Queued = 2<<20, true, 3*time.Millisecond
		switch r.URL.Path {
		case "/limit":
			a.Limit = "memory"
		case "/shed":
			a.Shed = true
		case "/crash":
			a.Crashed = true
		}
	}
	h := startIn(t, t.TempDir(), "[server]\nlisten = '127.0.0.1:0'\nmetrics = '127.0.0.1:0'\nlog.file = 'access.log'\n[[app]]\nname = 'a'\nimage = 'x.wasm'\n[[route]]\nname = 'one'\nmatch.path = '/one'\napp = 'a'\n[[route]]\nname = 'rest'\napp = 'a'", Options{
		Apps: func(string) (App, error) { return watchedApp{account}, nil },
		AccessTap: func(line []byte) {
			mu.Lock()
			defer mu.Unlock()
			tapped = append(tapped, string(line))
		},
	})
	for _, path := range []string{"/one", "/limit", "/shed", "/crash"} {
		h.get(path)
	}
	for _, want := range []string{
		`hako_http_requests_total{app="a",code="2xx",route="one"} 1`, `hako_http_request_duration_seconds_count{app="a",route="rest"} 3`,
		`hako_app_forks_total{app="a",route="one"} 1`, `hako_app_forks_total{app="a",route="rest"} 3`,
		`hako_app_queue_seconds_bucket{app="a",route="rest",le="0.0025"} 0`, `hako_app_queue_seconds_bucket{app="a",route="rest",le="0.005"} 3`,
		`hako_app_memory_bytes_sum{app="a",route="one"} 2.097152e+06`,
		`hako_app_limits_total{app="a",limit="memory",route="rest"} 1`, `hako_app_shed_total{app="a",route="rest"} 1`, `hako_app_crashes_total{app="a",route="rest"} 1`,
		`hako_app_requests_running{app="a"} 1`, `hako_app_requests_waiting{app="a"} 2`, `hako_app_instances{app="a"} 3`, `hako_app_instances_memory_bytes{app="a"} 4.194304e+06`,
	} {
		eventually(t, want, func() bool {
			r, err := h.client.Get("http://" + h.MetricsAddress() + "/metrics")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = r.Body.Close() }()
			b, _ := io.ReadAll(r.Body)
			return strings.Contains(string(b), want)
		})
	}
	eventually(t, "four lines are tapped", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(tapped) == 4
	})
	for _, line := range tapped {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil || m["msg"] != "request" || strings.HasSuffix(line, "\n") {
			t.Errorf("tapped %q, %v", line, err)
		}
	}
}
