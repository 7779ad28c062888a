package filter

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/internal/guestbuild"
	"github.com/hako-run/hako/proxywasm"
	"github.com/hako-run/hako/wasi"
)

// modes is testdata/modes.c, compiled once.
var modes = sync.OnceValues(func() (*engine.Module, error) {
	header := "../../guest/c/proxy_wasm.h"
	path, err := guestbuild.CompileC([]string{"-O2", "-mexec-model=reactor", "-I", filepath.Dir(header), "testdata/modes.c"}, header)
	if err != nil {
		return nil, err
	}
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	e, err := engine.New(engine.Options{
		Hosts:   []func(context.Context, wazero.Runtime) error{wasi.Instantiate, proxywasm.Instantiate},
		Imports: proxywasm.WithImports,
	})
	if err != nil {
		return nil, err
	}
	return e.Compile(context.Background(), "modes", source)
})

// chain makes a chain of the plugin, once for each mode.
func chain(t testing.TB, o Options, change func(*proxywasm.Config), list ...string) *Chain {
	t.Helper()
	m, err := modes()
	if err != nil {
		t.Fatal(err)
	}
	cfg := proxywasm.Config{
		Module: m, Name: "modes", HeadersMayStop: slices.Contains(list, "headstop"),
		Limits: proxywasm.Limits{CPU: 10 * time.Second},
		Log:    slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	var filters []Filter
	for _, mode := range list {
		cfg.Roots = append(cfg.Roots, proxywasm.Root{Config: []byte(mode)})
	}
	p, err := proxywasm.Load(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Close()
		select {
		case <-p.Done():
		case <-time.After(30 * time.Second):
			t.Errorf("streams are open: %+v", p.Stats())
		}
	})
	for i, mode := range list {
		filters = append(filters, Filter{Plugin: p, Root: i, Name: mode})
	}
	return New(filters, o)
}

// seen answers with what it was asked.
func seen(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("X-Seen-Tags", strings.Join(r.Header["X-Tag"], ","))
	w.Header().Set("X-Seen-Length", fmt.Sprint(r.ContentLength))
	w.Header().Set("X-Seen-Trailer", strings.Join(r.Trailer["X-End"], ","))
	for _, name := range []string{"X-Length", "X-Route", "X-Told"} {
		w.Header()[name] = r.Header[name]
	}
	fmt.Fprintf(w, "%s %s %s:%s", r.Method, r.Host, r.URL.RequestURI(), body)
}

func serve(t *testing.T, c *Chain, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(c.Handler(h))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

type answer struct {
	status  int
	header  http.Header
	trailer http.Header
	body    string
	err     error
}

func ask(t *testing.T, method, url string, body io.Reader, trailer http.Header) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "example.com"
	r.Trailer = trailer
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, res.Trailer, string(b), err}
}

// TestOrder: requests pass the filters in order, responses in the reverse one.
func TestOrder(t *testing.T) {
	c := chain(t, Options{}, nil, "tag:a", "", "tag:b")
	s := serve(t, c, seen)
	a := ask(t, "POST", s.URL+"/p?q", io.MultiReader(strings.NewReader("body")), http.Header{"X-End": {"client"}})
	if a.status != 200 || a.body != "POST example.com /p?q:body" {
		t.Errorf("%+v", a)
	}
	if got := a.header.Get("X-Seen-Tags"); got != "a,b" {
		t.Errorf("the request had tags %q", got)
	}
	if got := strings.Join(a.header["X-Tag"], ","); got != "b,a" {
		t.Errorf("the response had tags %q", got)
	}
	if got := a.header.Get("X-Seen-Trailer"); got != "client,a,b" {
		t.Errorf("the request had trailers %q", got)
	}
	if got := strings.Join(a.trailer["X-End"], ","); got != "b,a" {
		t.Errorf("the response had trailers %q", got)
	}
}

func TestBodies(t *testing.T) {
	const long = 100_000
	for _, test := range []struct {
		modes []string
		body  string
		want  func(string) string
	}{
		{[]string{"upper"}, "abc", func(b string) string { return strings.ToUpper(b) }},
		{[]string{"buffer"}, "abc", func(b string) string { return "[" + strings.TrimSuffix(b, "abc") + "[abc]]" }},
		{[]string{"upper", "buffer", "property"}, strings.Repeat("a", long), nil},
		{[]string{"headstop"}, "abc", nil},
		{[]string{"property", "headstop", "buffer"}, strings.Repeat("a", long), nil},
		{[]string{"hold", "upper"}, "abc", nil},
		{[]string{"tick", "hold", "hold"}, strings.Repeat("a", long), nil},
		{[]string{"upper", "headstop"}, "", nil},
	} {
		t.Run(strings.Join(test.modes, " "), func(t *testing.T) {
			c := chain(t, Options{}, nil, test.modes...)
			s := serve(t, c, seen)
			a := ask(t, "POST", s.URL+"/", strings.NewReader(test.body), nil)
			want := test.body
			answered := func(b string) string { return "POST example.com /:" + b }
			wrap := func(b string) string { return "[" + b + "]" }
			for _, m := range test.modes {
				switch {
				case m == "upper":
					want = strings.ToUpper(want)
				case m == "buffer" && test.body != "", m == "headstop" && test.body != "":
					want = wrap(want)
				}
			}
			want = answered(want)
			for i := len(test.modes) - 1; i >= 0; i-- {
				switch test.modes[i] {
				case "upper":
					want = strings.ToUpper(want)
				case "buffer", "headstop":
					want = wrap(want)
				}
			}
			if a.err != nil || a.status != 200 || a.body != want {
				t.Errorf("%d %v: %.200q, not %.200q", a.status, a.err, a.body, want)
			}
			if test.modes[0] == "headstop" {
				if a.header.Get("X-Length") != "3" || a.header.Get("X-Seen-Length") != "5" {
					t.Errorf("%v", a.header)
				}
			}
		})
	}
}

// TestHeldLetsGo: what a filter held goes on when it says so, before anything
// else comes, in both directions.
func TestHeldLetsGo(t *testing.T) {
	c := chain(t, Options{}, nil, "hold")
	done := make(chan struct{})
	defer close(done)
	s := serve(t, c, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		lines := bufio.NewReader(r.Body)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			fmt.Fprintf(w, "you said %s", line)
			_ = http.NewResponseController(w).Flush()
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	body, say := io.Pipe()
	r, _ := http.NewRequestWithContext(ctx, "POST", s.URL, body)
	go func() { _, _ = io.WriteString(say, "one\n") }()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	for _, word := range []string{"one", "two", "three"} {
		if word != "one" {
			_, _ = io.WriteString(say, word+"\n")
		}
		if line, err := lines.ReadString('\n'); line != "you said "+word+"\n" {
			t.Fatalf("%q, %v", line, err)
		}
	}
	say.Close()
	if rest, err := io.ReadAll(lines); len(rest) > 0 || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestLocalResponses(t *testing.T) {
	var answered []string
	var mu sync.Mutex
	o := Options{Answered: func(_ *http.Request, filter string, l *proxywasm.LocalResponse) {
		mu.Lock()
		defer mu.Unlock()
		answered = append(answered, fmt.Sprint(filter, l.Status))
	}}
	for _, test := range []struct {
		modes  []string
		status int
		body   string
		tags   string
	}{
		{[]string{"tag:a", "deny", "tag:b"}, 403, "no", "a"},
		{[]string{"upper", "deny"}, 403, "NO", ""},
		{[]string{"tag:a", "denybody", "tag:b"}, 403, "not this body", "b,a"},
		{[]string{"tag:a", "denyresponse", "tag:b"}, 502, "not this response", ""},
		{[]string{"tag:a", "tickdeny"}, 418, "by a tick", "a"},
		{[]string{"tag:a", "denylate"}, 0, "", ""},
		{[]string{"tag:a", "close"}, 0, "", ""},
	} {
		t.Run(strings.Join(test.modes, " "), func(t *testing.T) {
			answered = nil
			s := serve(t, chain(t, o, nil, test.modes...), seen)
			a := ask(t, "POST", s.URL, strings.NewReader("body"), nil)
			if test.status == 0 {
				if a.err == nil {
					t.Errorf("%+v", a)
				}
				return
			}
			if a.status != test.status || a.body != test.body || a.err != nil {
				t.Errorf("%+v", a)
			}
			if got := strings.Join(a.header["X-Tag"], ","); got != test.tags {
				t.Errorf("filters %q saw the answer", got)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(answered) != 1 || !strings.HasSuffix(answered[0], fmt.Sprint(test.status)) {
				t.Errorf("%v", answered)
			}
		})
	}
}

// TestFailure: streams of a VM that crashed fail or pass.
func TestFailure(t *testing.T) {
	for _, test := range []struct {
		mode   string
		open   bool
		status int
	}{
		{"crash", false, 503}, {"crash", true, 200}, {"crashlate", true, 200}, {"crashlate", false, 503},
	} {
		t.Run(fmt.Sprint(test.mode, test.open), func(t *testing.T) {
			c := chain(t, Options{}, func(cfg *proxywasm.Config) { cfg.FailOpen = test.open }, test.mode)
			s := serve(t, c, seen)
			a := ask(t, "POST", s.URL, strings.NewReader("body"), nil)
			if a.status != test.status {
				t.Errorf("%+v", a)
			}
		})
	}
}

func TestRoute(t *testing.T) {
	routed := 0
	o := Options{
		Route: func(r *http.Request) http.Handler {
			routed++
			if r.Host != "other.example" || r.URL.Path != "/elsewhere" {
				return nil
			}
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Elsewhere", "yes")
				seen(w, r)
			})
		},
		Describe: func(_ *http.Request, i *proxywasm.Info) { i.RouteName = "first" },
	}
	s := serve(t, chain(t, o, nil, "property", "path", "told"), seen)
	a := ask(t, "GET", s.URL+"/here", nil, nil)
	if a.body != "PUT other.example /elsewhere?q=1:" || a.header.Get("X-Elsewhere") != "yes" || routed != 1 {
		t.Errorf("%d: %+v", routed, a)
	}
	if a.header.Get("X-Route") != "first" || a.header.Get("X-Told") != "before" {
		t.Errorf("%v", a.header)
	}
}

// TestTimed: what filters took is told once for each.
func TestTimed(t *testing.T) {
	told := make(chan string, 10)
	o := Options{Timed: func(_ *http.Request, filter string, began time.Time, busy time.Duration, calls int) {
		if began.IsZero() || busy <= 0 {
			t.Errorf("%v %v", began, busy)
		}
		told <- fmt.Sprint(filter, " ", calls)
	}}
	s := serve(t, chain(t, o, nil, "", "deny", "upper"), seen)
	ask(t, "GET", s.URL, nil, nil)
	for _, want := range []string{" 3", "deny 3"} {
		if got := <-told; got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
	s.Close()
	if len(told) > 0 {
		t.Errorf("a filter that was not asked: %q", <-told)
	}
}

// TestWaits: a filter that never goes on costs a status, and a client that
// leaves meanwhile costs nothing.
func TestWaits(t *testing.T) {
	s := serve(t, chain(t, Options{Wait: 50 * time.Millisecond}, nil, "pause"), seen)
	if a := ask(t, "GET", s.URL, nil, nil); a.status != 504 {
		t.Errorf("%+v", a)
	}
	s = serve(t, chain(t, Options{}, nil, "tag:a", "pause"), seen)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, "POST", s.URL, strings.NewReader("body"))
	if _, err := http.DefaultClient.Do(r); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestUpgrade(t *testing.T) {
	s := serve(t, chain(t, Options{}, nil, "tag:a", "upper"), func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = rw.Flush()
		line, _ := rw.ReadString('\n')
		_, _ = rw.WriteString(r.Header.Get("X-Tag") + line)
		_ = rw.Flush()
	})
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello\n")
	all, err := io.ReadAll(conn)
	if err != nil || !strings.HasSuffix(string(all), "\r\n\r\nahello\n") {
		t.Errorf("%q, %v", all, err)
	}
}
