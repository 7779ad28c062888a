package gateway

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestRoutes(t *testing.T) {
	h := start(t, `
server.health = "/healthz"
[[route]]
match = { host = "a.test", path = "/x/*" }
redirect = "/a"
[[route]]
match = { host = "*.test", path = "/x/*", method = "GET" }
redirect = "/wild"
[[route]]
match = { path = "/only-post", method = "POST" }
redirect = "/post"
[[route]]
match = { path = "/strip/*" }
strip = "/strip"
app = 'show'
[[route]]
match = { path = "/to/*" }
redirect = { to = "https://{host}{path}{query}", status = 301 }
[[route]]
match = { path = "/shown/*" }
app = 'show'
`)
	for _, c := range []struct {
		method, host, path string
		status             int
		location           string
	}{
		{"GET", "a.test", "/x", 308, "/a"}, {"GET", "A.TEST:80", "/x/y", 308, "/a"}, {"GET", "b.test", "/x/y", 308, "/wild"},
		{"HEAD", "b.test", "/x/y", 308, "/wild"}, {"POST", "b.test", "/x/y", 405, ""}, {"GET", "c.b.test", "/x/y", 404, ""},
		{"GET", "a.test.", "/x/./z/../y", 308, "/a"}, {"GET", "a.test", "/q/%2e%2e/x/y", 308, "/a"}, {"GET", "a.test", "//x//y", 308, "/a"},
		{"GET", "a.test", "/y%2f..%2fx/y", 400, ""}, {"GET", "a.test", "/x%00", 400, ""}, {"GET", "a.test", "/xy", 404, ""},
		{"POST", "z", "/only-post", 308, "/post"}, {"GET", "z", "/only-post", 405, ""}, {"GET", "z", "/healthz", 200, ""},
		{"GET", "z", "/to/x?a=b", 301, "https://z/to/x?a=b"}, {"GET", "z", "/stripped", 404, ""},
	} {
		r, text := h.do(c.method, c.path, nil, "Host", c.host)
		if r.StatusCode != c.status || r.Header.Get("Location") != c.location {
			t.Errorf("%s %s%s: %d %q, want %d %q\n%s", c.method, c.host, c.path, r.StatusCode, r.Header.Get("Location"), c.status, c.location, text)
		}
	}
	for path, want := range map[string]string{
		"/strip/a%2Fb?q=1": "GET /a%2Fb?q=1 ", "/strip": "GET / ", "/shown/a/../b": "GET /shown/b ", "/shown//a": "GET /shown//a ",
		"/shown/%7Ea/%2e/b": "GET /shown/%7Ea/b ",
	} {
		if _, text := h.get(path); !strings.HasPrefix(text, want) {
			t.Errorf("%s is seen as %q, want %q", path, text, want)
		}
	}
}

func TestHeadersThatAreDropped(t *testing.T) {
	h := start(t, `
[[route]]
match = { path = "/pin" }
pin = "header"
app = 'show'
[[route]]
app = 'show'
headers.request = { remove = ["Accept"], set = { x-set = "1" }, add = { x-add = "2" } }
headers.response = { set = { X-Frame-Options = "DENY" } }
`)
	_, text := h.get("/", "X-Forwarded-For", "1.2.3.4", "X-Real-IP", "1.2.3.4", "Forwarded", "for=1.2.3.4", "X_Under", "1", "X-Hako-Snapshot", "a@1",
		"X-Hako-Version", "x", "Accept", "*/*", "X-Forwarded-Host", "evil")
	for _, name := range []string{"Forwarded", "Real-Ip", "X_under", "X_Under", "Hako", "Accept:", "evil", "1.2.3.4"} {
		if strings.Contains(text, name) {
			t.Errorf("the app sees %s:\n%s", name, text)
		}
	}
	if !strings.Contains(text, "X-Set: 1") || !strings.Contains(text, "X-Add: 2") || !strings.Contains(text, "from=127.0.0.1") {
		t.Errorf("the app sees\n%s", text)
	}
	r, text := h.get("/pin", "X-Hako-Snapshot", "shop@1")
	if strings.Contains(text, "Snapshot") || r.Header.Get("X-Hako-Snapshot") != "shop@1" || r.Header.Get("X-Frame-Options") != "" {
		t.Errorf("a route that lets pin shows\n%s", text)
	}
	if r, _ := h.get("/"); r.Header.Get("X-Frame-Options") != "DENY" {
		t.Errorf("the response's header is %q", r.Header)
	}
}

func TestTrustedProxy(t *testing.T) {
	h := start(t, "server.trusted = ['127.0.0.1', '10.0.0.0/8']\n[[route]]\napp = 'show'")
	_, text := h.get("/", "X-Forwarded-For", "6.6.6.6, 9.9.9.9, 10.1.1.1", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "site.test")
	if !strings.Contains(text, "host=site.test from=9.9.9.9 scheme=https") {
		t.Errorf("behind trusted proxies: %s", text)
	}
}

func TestErrorPages(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "errors/404.html", "<p>nowhere")
	h := startIn(t, dir, "server.error_pages = 'errors'\n[[route]]\nmatch.path = '/crash'\napp = 'crash'", Options{})
	if r, text := h.get("/none"); r.StatusCode != 404 || text != "<p>nowhere" {
		t.Errorf("%d %s", r.StatusCode, text)
	}
	if r, text := h.get("/none", "Accept", "application/json"); !strings.Contains(text, `"status":404`) || r.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s", text)
	}
	if r, text := h.get("/crash"); r.StatusCode != 500 || !strings.Contains(text, "500 Internal Server Error") || strings.Contains(text, "purpose") {
		t.Errorf("%d %s", r.StatusCode, text)
	}
	if r, err := h.client.Get("http://" + h.addr() + "/crash?late"); err == nil {
		if _, err := io.ReadAll(r.Body); err == nil {
			t.Error("a response that was cut off looks whole")
		}
	}
}

func TestRouteTimeout(t *testing.T) {
	h := start(t, "[[route]]\napp = 'slow'\ntimeout = '50ms'")
	if r, _ := h.get("/"); r.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("%d", r.StatusCode)
	}
}

func TestCORS(t *testing.T) {
	h := start(t, "[[route]]\napp = 'show'\ncors = { origins = ['https://a.test'], methods = ['PUT'], headers = ['X-A'], credentials = true, expose = 'X-E' }\nauth.users.ann = '"+annHash+"'")
	r, _ := h.do("OPTIONS", "/", nil, "Origin", "https://a.test", "Access-Control-Request-Method", "PUT")
	if r.StatusCode != 204 || r.Header.Get("Access-Control-Allow-Origin") != "https://a.test" || r.Header.Get("Access-Control-Allow-Methods") != "PUT" ||
		r.Header.Get("Access-Control-Allow-Headers") != "X-A" || r.Header.Get("Access-Control-Max-Age") != "600" || r.Header.Get("Vary") != "Origin" {
		t.Errorf("preflight: %d %v", r.StatusCode, r.Header)
	}
	r, _ = h.do("OPTIONS", "/", nil, "Origin", "https://b.test", "Access-Control-Request-Method", "PUT")
	if r.StatusCode != 204 || r.Header.Get("Access-Control-Allow-Origin") != "" || r.Header.Get("Access-Control-Allow-Methods") != "" {
		t.Errorf("preflight of another origin: %d %v", r.StatusCode, r.Header)
	}
	r, _ = h.get("/", "Origin", "https://a.test", "Authorization", "Basic YW5uOnNlY3JldA==")
	if r.StatusCode != 200 || r.Header.Get("Access-Control-Allow-Origin") != "https://a.test" || r.Header.Get("Access-Control-Expose-Headers") != "X-E" ||
		r.Header.Get("Access-Control-Allow-Credentials") != "true" {
		t.Errorf("request: %d %v", r.StatusCode, r.Header)
	}
}

// annHash is the password "secret".
const annHash = "$2a$04$C39R8Zl.hMtH7YsGSssoHuZYP9PcNr1lTBMMH53/GyuPEsS.edL1K"

func TestBasicAuth(t *testing.T) {
	h := start(t, "[[route]]\napp = 'show'\nauth.users.ann = '"+annHash+"'")
	get := func(user, password string) (*http.Response, string) {
		r, _ := http.NewRequest("GET", "http://x/", nil)
		r.SetBasicAuth(user, password)
		return h.get("/", "Authorization", r.Header.Get("Authorization"))
	}
	for range 2 { // compared, and remembered
		if r, text := get("ann", "secret"); r.StatusCode != 200 || strings.Contains(text, "Authorization") {
			t.Errorf("the right password: %d %s", r.StatusCode, text)
		}
	}
	for _, c := range [][2]string{{"ann", "Secret"}, {"bob", "secret"}, {"", ""}, {"ann", strings.Repeat("x", 100)}} {
		if r, _ := get(c[0], c[1]); r.StatusCode != 401 || r.Header.Get("WWW-Authenticate") != `Basic realm="restricted", charset="UTF-8"` {
			t.Errorf("%q: %d %v", c, r.StatusCode, r.Header)
		}
	}
	if r, _ := h.get("/"); r.StatusCode != 401 {
		t.Errorf("no password: %d", r.StatusCode)
	}
}

func TestReloadLosesNothing(t *testing.T) {
	text := func(i int) string {
		s := fmt.Sprintf("[[route]]\nredirect = '/%d'\n[server]\nlisten = '127.0.0.1:0'\n", i)
		return s + fmt.Sprintf("timeouts.idle = '%ds'\n", 100+i%3) // a new http.Server each time
	}
	h := start(t, text(0))
	var stop atomic.Bool
	var answers, failures atomic.Int64
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for !stop.Load() {
				r, err := h.client.Get("http://" + h.addr() + "/")
				if err != nil || r.StatusCode != 308 {
					failures.Add(1)
					t.Errorf("a request was lost: %v", err)
					return
				}
				_ = r.Body.Close()
				answers.Add(1)
			}
		})
	}
	for i := 1; i <= 30; i++ {
		if err := h.Reload(parse(t, h.dir, text(i))); err != nil {
			t.Error(err)
		}
		before := answers.Load()
		eventually(t, "requests are answered after a reload", func() bool { return answers.Load() > before+5 || failures.Load() > 0 })
	}
	stop.Store(true)
	wait.Wait()
	if r, _ := h.get("/"); r.Header.Get("Location") != "/30" {
		t.Errorf("after the last reload: %v", r.Header)
	}
}

// TestReloadLeavesNothingBehind holds that servers whose settings are not in
// force any more end with their connections, and that TLS can be turned on and
// off on an address that stays.
func TestReloadLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	issue(t, dir, "a", "a.test")
	text := func(i int) string {
		scheme := "http"
		if i%2 == 1 {
			scheme = "https"
		}
		return fmt.Sprintf("[server]\nlisten = '%s://127.0.0.1:0'\ntimeouts.idle = '%ds'\n[server.tls]\ncertificates = [{ cert = 'a.pem', key = 'a.key' }]\n[[route]]\nredirect = '/%d'", scheme, 100+i, i)
	}
	h := startIn(t, dir, text(0), Options{})
	address := h.addr()
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, CheckRedirect: h.client.CheckRedirect}
	defer c.CloseIdleConnections()
	for i := range 20 {
		if err := h.Reload(parse(t, dir, text(i))); err != nil {
			t.Fatal(err)
		}
		url := []string{"http://", "https://"}[i%2] + address
		r, err := c.Get(url)
		if err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		_ = r.Body.Close()
		if got := r.Header.Get("Location"); got != fmt.Sprintf("/%d", i) {
			t.Errorf("%d: %s", i, got)
		}
	}
	c.CloseIdleConnections()
	eventually(t, "one server is left", func() bool {
		l := h.listeners[0]
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.fronts) == 1
	})
	eventually(t, "one state is left", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return !slices.ContainsFunc(h.old, func(s *state) bool { return !s.isReleased() })
	})
}

func TestBadReloadLeavesTheOld(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	h := start(t, "[[route]]\nredirect = '/old'")
	before := h.Addresses()
	for what, bad := range map[string]string{
		"listen":          "[server]\nlisten = ['127.0.0.1:0', '" + taken.Addr().String() + "']\n[[route]]\nredirect = '/new'",
		"no filters":      "[[filter]]\nname = 'f'\nmodule = 'x.wasm'\n[[route]]\nfilters = 'f'\nredirect = '/new'",
		"address already": "server.listen = '127.0.0.1:0'\n[[stream]]\nlisten = '" + taken.Addr().String() + "'\nupstream = 'u'\n[[upstream]]\nname = 'u'\nurl = 'tcp://a:1'",
		"open the folder": "[[route]]\nstatic = 'nowhere'",
		"certificate":     "[server.tls]\ncertificates = [{ cert = 'a', key = 'b' }]",
		"test app":        "[[app]]\nname = 'no'\nimage = 'x.wasm'\n[[route]]\napp = 'no'",
	} {
		if err := h.Reload(parse(t, h.dir, bad)); err == nil || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), "in force stays") {
			t.Errorf("%s: %v", what, err)
		}
		if r, _ := h.get("/"); r.Header.Get("Location") != "/old" {
			t.Errorf("%s: the old configuration is not in force", what)
		}
	}
	if after := h.Addresses(); len(after) != 1 || after[0] != before[0] {
		t.Errorf("listeners were %v and are %v", before, after)
	}
}

func TestReloadOfListeners(t *testing.T) {
	dir := t.TempDir()
	h := startIn(t, dir, "[server]\nlisten = ['127.0.0.1:0', 'unix:a.sock']\nmetrics = '127.0.0.1:0'\n[[route]]\napp = 'show'", Options{})
	old := h.addr()
	if err := h.Reload(parse(t, dir, "[server]\nlisten = ['unix:b.sock', 'unix:a.sock']\n[[route]]\napp = 'show'")); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", old); err == nil {
		t.Error("the old address still accepts")
	}
	for _, name := range []string{"a.sock", "b.sock"} {
		c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", dir+"/"+name) }}}
		r, err := c.Get("http://x/")
		if err != nil || r.StatusCode != 200 {
			t.Fatalf("%s: %v", name, err)
		}
		text, _ := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if !strings.Contains(string(text), "from=unix") {
			t.Errorf("%s", text)
		}
	}
	if h.MetricsAddress() != "" {
		t.Error("metrics are still served")
	}
}

func TestGracefulShutdown(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	slow := func(w http.ResponseWriter, _ *http.Request, _ *Account) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "done")
	}
	released := make(chan struct{})
	h := startIn(t, t.TempDir(), "[[app]]\nname = 'a'\nimage = 'x.wasm'\n[[route]]\napp = 'a'", Options{Apps: func(string) (App, error) {
		return releasing{appFunc(slow), released}, nil
	}})
	answer := make(chan string, 1)
	go func() {
		r, err := h.client.Get("http://" + h.addr() + "/")
		if err != nil {
			answer <- err.Error()
			return
		}
		b, _ := io.ReadAll(r.Body)
		_ = r.Body.Close()
		answer <- string(b)
	}()
	<-entered
	h.stop()
	eventually(t, "the listener is closed", func() bool {
		c, err := net.Dial("tcp", h.addr())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	select {
	case <-released:
		t.Error("the app was released while a request used it")
	default:
	}
	close(release)
	if got := <-answer; got != "done" {
		t.Errorf("the running request got %q", got)
	}
	<-released
}

type releasing struct {
	App
	released chan struct{}
}

func (r releasing) Release() { close(r.released) }

func TestShutdownDeadline(t *testing.T) {
	h := start(t, "server.timeouts.shutdown = '100ms'\n[[route]]\napp = 'slow'")
	done := make(chan struct{})
	go func() {
		defer close(done)
		if r, err := h.client.Get("http://" + h.addr() + "/"); err == nil {
			_ = r.Body.Close()
		}
	}()
	eventually(t, "the request runs", func() bool { return h.state.Load().users.Load() == 2 })
	h.stop()
	if err := <-h.ended; err == nil || !strings.Contains(err.Error(), "cut off after 100ms") {
		t.Errorf("%v", err)
	}
	h.ended <- nil
	<-done
}

func TestRunAfterClose(t *testing.T) {
	g, err := New(parse(t, t.TempDir(), ""), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if err := g.Run(t.Context()); err != ErrClosed {
		t.Errorf("run: %v", err)
	}
	if err := g.Reload(parse(t, t.TempDir(), "")); err == nil {
		t.Error("a closed gateway reloads")
	}
}

// TestDescriptors holds that a few hundred connections of every kind of end
// leave no descriptor behind.
func TestDescriptors(t *testing.T) {
	b := backend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	h := start(t, "[[upstream]]\nname = 'u'\nurl = '"+b.URL+"'\n[[route]]\nupstream = 'u'")
	count := func() int {
		d, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("descriptors can be counted on Linux only")
		}
		return len(d)
	}
	round := func() {
		for i := range 50 {
			c, err := net.Dial("tcp", h.addr())
			if err != nil {
				t.Fatal(err)
			}
			switch i % 4 {
			case 0:
				_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n")
			case 1:
				_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
			case 2:
				_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
				_, _ = io.ReadAll(c)
			}
			_ = c.Close()
		}
	}
	round()
	before := count()
	for range 4 {
		round()
	}
	eventually(t, "descriptors are given back", func() bool { return count() <= before+10 })
	eventually(t, "no connection is counted", func() bool {
		h.slots.mu.Lock()
		defer h.slots.mu.Unlock()
		return h.slots.used <= 1 // the one that is waited for
	})
}
