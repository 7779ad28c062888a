package offline_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/internal/guestbuild"
	"github.com/hako-run/hako/proxywasm"
	"github.com/hako-run/hako/proxywasm/offline"
	"github.com/hako-run/hako/wasi"
)

var guestEngine = sync.OnceValues(func() (*engine.Engine, error) {
	dir := os.Getenv("HAKO_CACHE")
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return nil, err
		}
		dir = filepath.Join(user, "hako")
	}
	return engine.New(engine.Options{
		CacheDir: filepath.Join(dir, "guest-tests"),
		Hosts:    []func(context.Context, wazero.Runtime) error{wasi.Instantiate, proxywasm.Instantiate},
		Imports:  proxywasm.WithImports,
	})
})

func compile(t testing.TB, path string) *engine.Module {
	t.Helper()
	e, err := guestEngine()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := e.Compile(t.Context(), filepath.Base(path), source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

const header = "../../guest/c/proxy_wasm.h"

func cPlugin(t testing.TB) *engine.Module {
	return compile(t, guestbuild.C(t, []string{"-O2", "-mexec-model=reactor", "-I", filepath.Dir(header), "../../examples/filters/c/greeting.c"}, header))
}

func goPlugin(t testing.TB) *engine.Module {
	return compile(t, guestbuild.Go(t, "../testdata/go", "-buildmode=c-shared"))
}

func request(t testing.TB, text string) *offline.Message {
	t.Helper()
	m, err := offline.ParseRequest([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func response(t testing.TB, text string) *offline.Message {
	t.Helper()
	m, err := offline.ParseResponse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// told is what Describe says of all events.
func told(r *offline.Result) string {
	var lines []string
	for _, e := range r.Events {
		lines = append(lines, offline.Describe(e))
	}
	return strings.Join(lines, "\n")
}

func options(t testing.TB, m *engine.Module, root, config string) offline.Options {
	return offline.Options{
		Config: proxywasm.Config{
			Module: m, Name: "p", Limits: proxywasm.Limits{CPU: 10 * time.Second},
			Roots: []proxywasm.Root{{RootID: root, Config: []byte(config)}},
		},
		Request:  request(t, "GET /a HTTP/1.1\nHost: shop.test\n"),
		Response: response(t, "HTTP/1.1 200 OK\nContent-Length: 0\n"),
		Wait:     20 * time.Second,
	}
}

// TestRun: what a plugin in C does with a request, in words, and its replay.
func TestRun(t *testing.T) {
	m := cPlugin(t)
	o := options(t, m, "", "hi")
	r, err := offline.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	want := `proxy_on_context_create(context 1, root context 0)
returned
proxy_on_configure(context 1, configuration size 2)
proxy_get_buffer_bytes(plugin configuration, start 0, size 2) = OK, "hi"
proxy_define_metric(counter, "greeting_refused") = OK, 4
returned true
proxy_on_context_create(context 2, root context 1)
returned
proxy_on_request_headers(context 2, headers 4, end true)
proxy_get_header_map_value(request headers, ":path") = OK, "/a"
proxy_get_header_map_value(request headers, "x-key") = NOT_FOUND
returned continue
proxy_on_response_headers(context 2, headers 2, end true)
proxy_add_header_map_value(response headers, "x-greeting", "hi") = OK
returned continue
proxy_on_delete(context 2)
returned
proxy_on_delete(context 1)
returned`
	if got := told(r); got != want {
		t.Errorf("it did:\n%s", got)
	}
	if r.Client == nil || r.Client.Headers.Value("x-greeting") != "hi" || r.Upstream == nil || r.Local != "" || r.Crashed || len(r.Metrics) != 1 {
		t.Errorf("it came to %+v", r)
	}

	var b bytes.Buffer
	if err := offline.Write(&b, r.Events); err != nil {
		t.Fatal(err)
	}
	events, err := offline.Read(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	cfg := proxywasm.Config{Module: m, Name: "p", Limits: o.Config.Limits}
	if err := proxywasm.Replay(t.Context(), cfg, events); err != nil {
		t.Errorf("replayed: %v", err)
	}
	other := strings.Replace(b.String(), `"name":"proxy_add_header_map_value"`, `"name":"proxy_replace_header_map_value"`, 1)
	if events, err = offline.Read(strings.NewReader(other)); err != nil {
		t.Fatal(err)
	}
	if err := proxywasm.Replay(t.Context(), cfg, events); !errors.Is(err, proxywasm.ErrReplay) {
		t.Errorf("a recording of something else: %v", err)
	}
}

// TestRunLocal: a plugin that answers by itself.
func TestRunLocal(t *testing.T) {
	o := options(t, cPlugin(t), "", "hi")
	o.Request = request(t, "GET /private HTTP/1.1\nHost: shop.test\n")
	r, err := offline.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Upstream != nil || r.Local != "request" || r.Client.Headers.Value(":status") != "403" || string(r.Client.Body) != "a key is needed\n" ||
		r.Client.Headers.Value("x-greeting") != "hi" || r.Metrics[0].Value() != 1 {
		t.Errorf("%+v\n%s", r, told(r))
	}
	if text := told(r); !strings.Contains(text, `proxy_send_local_response(status 403, details "", body "a key is needed\n", headers {}, grpc status -1) = OK`) {
		t.Errorf("it did:\n%s", text)
	}
}

// TestRunCalls: a plugin in Go whose call is answered from a message, refused,
// and one that nothing answers.
func TestRunCalls(t *testing.T) {
	m := goPlugin(t)
	o := options(t, m, "auth", "auth")
	o.Request = request(t, "GET /a HTTP/1.1\nHost: shop.test\nAuthorization: token\n")
	o.Calls = map[string]*offline.Message{"auth": response(t, "HTTP/1.1 200 OK\n\nmaria")}
	r, err := offline.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Upstream == nil || r.Upstream.Headers.Value("x-user") != "maria" || r.Upstream.Headers.Value("authorization") != "" {
		t.Fatalf("%+v\n%s", r, told(r))
	}
	for _, line := range []string{
		`proxy_http_call("auth", headers {":method: POST", ":path: /check", ":authority: auth.internal", "authorization: token"}, body "who?", trailers {"x-end: 1"}, timeout 500ms) = OK, 1`,
		`proxy_on_http_call_response(context 1, call 1, headers 1, body size 5, trailers 0)`,
		`returned pause`,
		`proxy_continue_stream(request) = OK`,
	} {
		if text := told(r); !strings.Contains(text, line) {
			t.Errorf("it did:\n%s\nnot %s", text, line)
		}
	}
	if err := proxywasm.Replay(t.Context(), proxywasm.Config{Module: m, Name: "p", Limits: o.Config.Limits}, r.Events); err != nil {
		t.Errorf("replayed: %v", err)
	}

	o.Calls["auth"] = response(t, "HTTP/1.1 403 Forbidden\n\n")
	if r, err = offline.Run(t.Context(), o); err != nil || r.Local != "request" || r.Client.Headers.Value(":status") != "401" {
		t.Errorf("refused: %+v, %v", r, err)
	}
	o.Calls = nil
	if r, err = offline.Run(t.Context(), o); err != nil || r.Client.Headers.Value(":status") != "503" {
		t.Errorf("of no upstream: %+v, %v", r, err)
	}
}

// TestRunBody: bodies in chunks, held and changed.
func TestRunBody(t *testing.T) {
	o := options(t, goPlugin(t), "body", "")
	o.Request = request(t, "POST /a HTTP/1.1\nHost: shop.test\nX-Change: append\n\nhello, world")
	o.Chunk = 5
	r, err := offline.Run(t.Context(), o)
	if err != nil || r.Upstream == nil || string(r.Upstream.Body) != "hello, world calls=3" {
		t.Errorf("%+v, %v\n%s", r, err, told(r))
	}
}

// TestRunProperties: properties are what was given.
func TestRunProperties(t *testing.T) {
	o := options(t, goPlugin(t), "properties", "")
	o.Request = request(t, "GET /a HTTP/1.1\nHost: shop.test\nX-One: 1\n")
	o.Properties = map[string]string{"source.address": "198.51.100.1:7"}
	r, err := offline.Run(t.Context(), o)
	if err != nil || r.Crashed || r.Upstream.Headers.Value("x-port") != "7" {
		t.Fatalf("%+v, %v\n%s", r, err, told(r))
	}
	if text := told(r); !strings.Contains(text, `proxy_get_property("source.address") = OK, "198.51.100.1:7"`) {
		t.Errorf("it did:\n%s", text)
	}
	o.Properties["no.such"] = "x" // at which it panics
	if r, err := offline.Run(t.Context(), o); err != nil || !r.Crashed || !strings.Contains(told(r), `proxy_get_property("no.such") = OK, "x"`) {
		t.Errorf("%+v, %v\n%s", r, err, told(r))
	}
	o.Properties["source.address"] = "nowhere"
	if _, err := offline.Run(t.Context(), o); err == nil {
		t.Error("an address that is none")
	}
}

// TestRunFails: a plugin that does not start, one that holds the request for
// good, and one that crashes: the result tells how far they came.
func TestRunFails(t *testing.T) {
	m := goPlugin(t)
	r, err := offline.Run(t.Context(), options(t, m, "no such root", ""))
	if err == nil || !strings.Contains(told(r), `proxy_get_property("plugin_root_id") = OK, "no such root"`) || !strings.Contains(told(r), "failed: ") {
		t.Errorf("%v\n%s", err, told(r))
	}
	o := options(t, m, "auth", "auth")
	o.Calls = map[string]*offline.Message{"auth": response(t, "HTTP/1.1 200 OK\n\nmaria")}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := offline.Run(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	held := compile(t, guestbuild.C(t, []string{"-O2", "-mexec-model=reactor", "-I", filepath.Dir(header), "testdata/stuck.c"}, header))
	o = options(t, held, "", "")
	o.Wait = 50 * time.Millisecond
	if r, err := offline.Run(t.Context(), o); !errors.Is(err, offline.ErrHeld) || r.Upstream != nil || !strings.Contains(told(r), "returned pause") {
		t.Errorf("held: %v\n%s", err, told(r))
	}
	o.Request = request(t, "GET /crash HTTP/1.1\nHost: shop.test\n")
	if r, err := offline.Run(t.Context(), o); err != nil || !r.Crashed || r.Client.Headers.Value(":status") != "503" || !strings.Contains(told(r), "failed: ") {
		t.Errorf("crashed: %v %+v\n%s", err, r, told(r))
	}
}
