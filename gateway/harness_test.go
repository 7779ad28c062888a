package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hako-run/hako/config"
)

// A harness is a gateway that serves on free ports of this machine.
type harness struct {
	*Gateway
	t      testing.TB
	dir    string
	access *buffer
	log    *buffer
	client *http.Client
	stop   context.CancelFunc
	ended  chan error
}

// A buffer is what several goroutines write to and a test reads.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// appFunc is an App of a function.
type appFunc func(http.ResponseWriter, *http.Request, *Account)

func (f appFunc) ServeApp(w http.ResponseWriter, r *http.Request, a *Account) { f(w, r, a) }

// testApps are the apps that a configuration of these tests may name; it need
// not define them.
var testApps = map[string]appFunc{
	"echo": func(w http.ResponseWriter, r *http.Request, _ *Account) {
		w.Header().Set("Content-Type", "application/octet-stream")
		if r.ContentLength >= 0 {
			w.Header().Set("Content-Length", fmt.Sprint(r.ContentLength))
		}
		_, _ = io.Copy(w, r.Body)
	},
	"show": func(w http.ResponseWriter, r *http.Request, a *Account) {
		a.CPU, a.Instance, a.Versions = time.Millisecond, "i1", []DatabaseAt{{Name: "shop", Version: 42}, {Name: "blog", Version: 7, Wrote: true, Before: 5}}
		if a.Pin == "gone@1" {
			a.Refused = "gone is gone"
			http.Error(w, a.Refused, http.StatusGone)
			return
		}
		if a.Pin != "" {
			a.Pinned = strings.ReplaceAll(a.Pin, "@-1d", "@3")
			w.Header().Set("Cache-Control", "public")
			w.Header().Set("Expires", "tomorrow")
		}
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintf(w, "%s %s host=%s from=%s scheme=%s\n", r.Method, r.URL.RequestURI(), r.Host, r.RemoteAddr, Scheme(r))
		_ = r.Header.Write(w)
	},
	"slow": func(_ http.ResponseWriter, r *http.Request, _ *Account) { <-r.Context().Done() },
	"crash": func(w http.ResponseWriter, r *http.Request, _ *Account) {
		if r.URL.Query().Has("late") {
			_, _ = io.WriteString(w, "something")
			w.(http.Flusher).Flush()
		}
		panic("on purpose")
	},
	"text": func(w http.ResponseWriter, _ *http.Request, _ *Account) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Etag", `"tag"`)
		_, _ = io.WriteString(w, strings.Repeat("well compressible text ", 400))
	},
}

func parse(t testing.TB, dir, text string) *config.Config {
	t.Helper()
	if !strings.Contains(text, "listen =") {
		text = "server.listen = '127.0.0.1:0'\n" + text
	}
	for name := range testApps {
		if strings.Contains(text, "app = '"+name+"'") {
			text += "\n[[app]]\nname = '" + name + "'\nimage = 'x.wasm'\n"
		}
	}
	c, err := config.Parse(filepath.Join(dir, "hako.toml"), []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func start(t testing.TB, text string) *harness {
	t.Helper()
	return startIn(t, t.TempDir(), text, Options{})
}

func startIn(t testing.TB, dir, text string, o Options) *harness {
	t.Helper()
	h := &harness{t: t, dir: dir, access: &buffer{}, log: &buffer{}, ended: make(chan error, 1)}
	checkLeaks(t)
	o.AccessLog = h.access
	o.Logger = slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if o.Apps == nil {
		o.Apps = func(name string) (App, error) {
			if a := testApps[name]; a != nil {
				return a, nil
			}
			return nil, fmt.Errorf("there is no test app %q", name)
		}
	}
	var err error
	if h.Gateway, err = New(parse(t, dir, text), o); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	h.stop = stop
	go func() { h.ended <- h.Run(ctx) }()
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}
	h.client = &http.Client{Transport: transport, Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		stop()
		select {
		case err := <-h.ended:
			if err != nil && err != ErrClosed {
				t.Errorf("the gateway ended with %v", err)
			}
		case <-time.After(20 * time.Second):
			buf := make([]byte, 1<<20)
			t.Fatalf("the gateway does not end\n%s", buf[:runtime.Stack(buf, true)])
		}
		if t.Failed() {
			t.Logf("log:\n%s\naccess log:\n%s", h.log, h.access)
		}
	})
	return h
}

var leakChecked sync.Map

// checkLeaks fails the test if it leaves goroutines of this package behind.
func checkLeaks(t testing.TB) {
	if _, again := leakChecked.LoadOrStore(t.Name(), true); again {
		return // what is registered first is cleaned up last
	}
	t.Cleanup(func() {
		leakChecked.Delete(t.Name())
		var stacks string
		for range 100 {
			buf := make([]byte, 1<<20)
			all := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
			stacks = ""
			for _, s := range all[1:] {
				if strings.Contains(s, "hako/gateway.") && !strings.Contains(s, "gateway.faulty") && !strings.Contains(s, "gateway.names") && !strings.Contains(s, "testing.tRunner") && !strings.Contains(s, "testing.(*") {
					stacks += s + "\n\n"
				}
			}
			if stacks == "" {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Errorf("goroutines are left:\n%s", stacks)
	})
}

func (h *harness) addr() string { return h.Addresses()[0] }

// do sends a request to the first listener.
func (h *harness) do(method, path string, body io.Reader, headers ...string) (*http.Response, string) {
	h.t.Helper()
	r, err := http.NewRequest(method, "http://"+h.addr()+path, body)
	if err != nil {
		h.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	response, err := h.client.Do(r)
	if err != nil {
		h.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		h.t.Fatalf("%s %s: read the response: %v", method, path, err)
	}
	return response, string(text)
}

func (h *harness) get(path string, headers ...string) (*http.Response, string) {
	h.t.Helper()
	return h.do(http.MethodGet, path, nil, headers...)
}

// raw sends bytes and returns everything that comes back until the server
// closes the connection, or for two seconds.
func (h *harness) raw(text string) string {
	conn, err := net.Dial("tcp", h.addr())
	if err != nil {
		panic(err) // a fuzz target may not use the fuzz test's own testing.F
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	go func() { _, _ = io.WriteString(conn, text) }()
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

// eventually waits for something that another goroutine brings about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("it did not come about that %s", what)
}

// backend is an upstream's server.
func backend(t testing.TB, f http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(f)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func rename(t testing.TB, dir, from, to string) {
	t.Helper()
	if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
		t.Fatal(err)
	}
}
