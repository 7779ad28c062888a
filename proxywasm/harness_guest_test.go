package proxywasm_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/internal/guestbuild"
	pw "github.com/hako-run/hako/proxywasm"
	"github.com/hako-run/hako/wasi"
)

// guestEngine compiles guests for all tests of this package: those of Go are
// large, and compiled once.
var guestEngine = sync.OnceValues(func() (*engine.Engine, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	if own := os.Getenv("HAKO_CACHE"); own != "" {
		dir = own
	} else {
		dir = filepath.Join(dir, "hako")
	}
	return engine.New(engine.Options{
		CacheDir: filepath.Join(dir, "guest-tests"),
		Hosts:    []func(context.Context, wazero.Runtime) error{wasi.Instantiate, pw.Instantiate},
		Imports:  pw.WithImports,
	})
})

var guestModules = struct {
	sync.Mutex
	byPath map[string]*engine.Module
}{byPath: map[string]*engine.Module{}}

// guestModule compiles the module at path, once.
func guestModule(t testing.TB, path string) *engine.Module {
	t.Helper()
	guestModules.Lock()
	defer guestModules.Unlock()
	if m := guestModules.byPath[path]; m != nil {
		return m
	}
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
	guestModules.byPath[path] = m
	return m
}

const header = "../guest/c/proxy_wasm.h"

// The guests, by language. Each is built once for a process, too.
var (
	goGuest      = once(func(t testing.TB) string { return guestbuild.Go(t, "testdata/go", "-buildmode=c-shared") })
	higressGuest = once(func(t testing.TB) string { return guestbuild.Go(t, "testdata/higress", "-buildmode=c-shared") })
)

func once(build func(testing.TB) string) func(testing.TB) string {
	var mu sync.Mutex
	var path string
	return func(t testing.TB) string {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if path == "" {
			path = build(t)
		}
		return path
	}
}

func cGuest(t testing.TB, source string) string {
	t.Helper()
	return guestbuild.C(t, []string{"-O2", "-mexec-model=reactor", "-I", filepath.Dir(header), source}, header)
}

// load starts a plugin for a test, with the log kept, and checks at the end of
// the test that it closes and that no VM crashed.
func load(t *testing.T, path string, cfg pw.Config) (*pw.Plugin, *guestLog) {
	t.Helper()
	p, log, err := tryLoad(t, path, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n := p.Stats().Crashes; n != 0 {
			t.Errorf("%d VMs crashed", n)
		}
	})
	return p, log
}

// tryLoad is load for plugins that may fail.
func tryLoad(t *testing.T, path string, cfg pw.Config) (*pw.Plugin, *guestLog, error) {
	t.Helper()
	log := &guestLog{t: t}
	cfg.Module = guestModule(t, path)
	if cfg.Name == "" {
		cfg.Name = "guest"
	}
	if cfg.Limits.CPU == 0 {
		cfg.Limits.CPU = 10 * time.Second // machines of tests are slow at times
	}
	cfg.Log = slog.New(log)
	cfg.LogLevel = pw.LogDebug
	p, err := pw.Load(t.Context(), cfg)
	if err != nil {
		return nil, log, err
	}
	t.Cleanup(func() {
		p.Close()
		select {
		case <-p.Done():
		case <-time.After(30 * time.Second):
			t.Error("the plugin does not come to its end")
		}
	})
	return p, log, nil
}

// A guestLog keeps what plugins log.
type guestLog struct {
	t  *testing.T
	mu sync.Mutex

	lines []string
}

func (l *guestLog) Enabled(context.Context, slog.Level) bool { return true }
func (l *guestLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *guestLog) WithGroup(string) slog.Handler            { return l }
func (l *guestLog) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, r.Message)
	return nil
}

// waitFor waits until a line was logged, and fails the test if it never is.
func (l *guestLog) waitFor(line string) {
	l.t.Helper()
	eventually(l.t, "the log line "+strconv.Quote(line), func() bool { return l.count(line) > 0 })
}

func (l *guestLog) count(line string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, have := range l.lines {
		if have == line {
			n++
		}
	}
	return n
}

// matching returns the lines that have text in them.
func (l *guestLog) matching(text string) (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, have := range l.lines {
		if strings.Contains(have, text) {
			lines = append(lines, have)
		}
	}
	return lines
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// A message is a request or a response.
type message struct {
	headers  *pw.Headers
	body     []string // as chunks
	trailers *pw.Headers
}

func (m *message) text() string {
	var b bytes.Buffer
	for _, part := range m.body {
		b.WriteString(part)
	}
	return b.String()
}

func get(path string, more ...string) message {
	return message{headers: pw.MakeHeaders(append([]string{
		":method", "GET", ":path", path, ":scheme", "http", ":authority", "shop.test"}, more...)...)}
}

func post(path string, body []string, more ...string) message {
	m := get(path, more...)
	m.headers.Set(":method", "POST")
	m.body = body
	return m
}

func answer(status string, body ...string) message {
	return message{headers: pw.MakeHeaders(":status", status, "server", "upstream"), body: body}
}

// An outcome is what came of an exchange.
type outcome struct {
	x        *pw.Exchange
	upstream *message // what the upstream got, nil if nothing
	client   message  // what the client got
}

// exchange does what a gateway does: it passes a request through a plugin to
// an upstream that gives answer, and the response back.
func exchange(t testing.TB, p *pw.Plugin, root int, request, answer message) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	x := &pw.Exchange{
		RequestHeaders: request.headers,
		Attributes: pw.Info{
			Start: time.Now(), Protocol: "HTTP/1.1",
			Source:      netip.MustParseAddrPort("192.0.2.7:4711"),
			Destination: netip.MustParseAddrPort("127.0.0.1:80"),
		},
	}
	s := p.NewStream(root, x)
	defer s.Close()
	way := passage{t: t, ctx: ctx, s: s, x: x}

	out := outcome{x: x}
	passed, err := way.pass(pw.Request, request)
	switch {
	case err == nil:
		out.upstream = &passed
	case errors.Is(err, pw.ErrAnswered):
		answer = localAnswer(x.Local())
	default:
		t.Fatalf("request: %v", err)
	}
	if out.client, err = way.pass(pw.Response, answer); errors.Is(err, pw.ErrAnswered) {
		out.client = localAnswer(x.Local())
	} else if err != nil {
		t.Fatalf("response: %v", err)
	}
	return out
}

// localAnswer is the message for a response that a plugin gave.
func localAnswer(l *pw.LocalResponse) message {
	h := l.Headers.Clone()
	h.Set(":status", strconv.Itoa(l.Status))
	m := message{headers: h}
	if len(l.Body) > 0 {
		m.body = []string{string(l.Body)}
	}
	return m
}

// A passage brings messages through one stream.
type passage struct {
	t   testing.TB
	ctx context.Context
	s   *pw.Stream
	x   *pw.Exchange
}

func (w *passage) pass(direction pw.StreamType, m message) (passed message, err error) {
	headers, data, trailers := w.s.RequestHeaders, w.s.RequestBody, w.s.RequestTrailers
	if direction == pw.Response {
		headers, data, trailers = w.s.ResponseHeaders, w.s.ResponseBody, w.s.ResponseTrailers
		w.x.ResponseHeaders = m.headers
	}
	take := func() {
		if b := w.s.TakeBody(direction); len(b) > 0 {
			passed.body = append(passed.body, string(b))
		}
	}
	switch headers(len(m.body) == 0 && m.trailers == nil) {
	case pw.Continue, pw.PauseHeaders:
	default:
		if err := w.s.Wait(w.ctx, direction); err != nil {
			return passed, err
		}
	}
	for i, chunk := range m.body {
		end := i == len(m.body)-1 && m.trailers == nil
		switch action := data([]byte(chunk), end); {
		case action == pw.Continue:
			take()
		case end || action == pw.Pause || w.x.Local() != nil:
			if err := w.s.Wait(w.ctx, direction); err != nil {
				return passed, err
			}
			take()
		}
	}
	if m.trailers != nil {
		if direction == pw.Response {
			w.x.ResponseTrailers = m.trailers
		} else {
			w.x.RequestTrailers = m.trailers
		}
		if trailers() != pw.Continue {
			if err := w.s.Wait(w.ctx, direction); err != nil {
				return passed, err
			}
		}
		take()
	}
	if err := w.s.Wait(w.ctx, direction); err != nil {
		return passed, err
	}
	passed.headers, passed.trailers = w.x.RequestHeaders, w.x.RequestTrailers
	if direction == pw.Response {
		passed.headers, passed.trailers = w.x.ResponseHeaders, w.x.ResponseTrailers
	}
	return passed, nil
}

// expect fails the test unless a header has these values.
func expect(t testing.TB, h *pw.Headers, name string, values ...string) {
	t.Helper()
	have := h.Values(name)
	same := len(have) == len(values)
	for i := 0; same && i < len(values); i++ {
		same = have[i] == values[i]
	}
	if !same {
		t.Errorf("header %s is %q, want %q", name, have, values)
	}
}

// A calls is a Dispatcher that answers from tables of functions.
type calls struct {
	http  map[string]func(*pw.HTTPCall) (*pw.HTTPResponse, error)
	grpc  func(*pw.GRPCCall, pw.GRPCEvents) (pw.GRPCStream, error)
	redis func(query string) (string, error)
}

func (c *calls) HTTP(call *pw.HTTPCall, done func(*pw.HTTPResponse, error)) (func(), error) {
	f, ok := c.http[call.Upstream]
	if !ok {
		return nil, pw.ErrUpstream
	}
	go func() { done(f(call)) }()
	return func() {}, nil
}

func (c *calls) GRPC(call *pw.GRPCCall, events pw.GRPCEvents) (pw.GRPCStream, error) {
	if c.grpc == nil {
		return nil, pw.ErrUpstream
	}
	return c.grpc(call, events)
}

func (c *calls) RedisInit(upstream, username, password string, timeout time.Duration) error {
	return nil
}

func (c *calls) Redis(upstream string, query []byte, done func([]byte, error)) (func(), error) {
	if c.redis == nil {
		return nil, pw.ErrUpstream
	}
	text := string(query)
	go func() {
		response, err := c.redis(text)
		done([]byte(response), err)
	}()
	return func() {}, nil
}
