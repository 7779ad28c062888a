package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func upstreamTo(more string, urls ...string) string {
	return "[[upstream]]\nname = 'u'\nurl = ['" + strings.Join(urls, "', '") + "']\n" + more + "\n[[route]]\nupstream = 'u'\n"
}

// faulty accepts connections and does with each what f says.
func faulty(t *testing.T, f func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var tasks sync.WaitGroup
	tasks.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			tasks.Go(func() {
				defer func() { _ = c.Close() }()
				f(c)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); tasks.Wait() })
	return "http://" + l.Addr().String()
}

func refused(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	return "http://" + l.Addr().String()
}

func readRequest(c net.Conn) *http.Request {
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return nil
	}
	return r
}

func reset(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }

func TestUpstreamFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		f      func(net.Conn)
		status int // 0: the connection breaks
	}{
		{"closed at once", func(net.Conn) {}, 502},
		{"reset", func(c net.Conn) { readRequest(c); reset(c) }, 502},
		{"hangs", func(c net.Conn) { readRequest(c); _, _ = io.Copy(io.Discard, c) }, 504},
		{"no HTTP", func(c net.Conn) { readRequest(c); _, _ = io.WriteString(c, "SSH-2.0\r\n\r\n") }, 502},
		{"bad header", func(c net.Conn) { readRequest(c); _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nno colon\r\n\r\n") }, 502},
		{"header too large", func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nA: "+strings.Repeat("x", 2<<20)+"\r\n\r\n")
		}, 502},
		{"two lengths", func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy")
		}, 502},
		{"less than its length", func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
		}, 0},
		{"reset in the body", func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n")
			reset(c)
		}, 0},
		{"bad chunk", func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nshort\r\n")
		}, 0},
		{"more than its length", func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nshortHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
		}, 200},
		{"204 with a body", func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nshort")
		}, 204},
		{"early hints first", func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nshort")
		}, 200},
		{"1xx without end", func(c net.Conn) {
			readRequest(c)
			for {
				if _, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"); err != nil {
					return
				}
			}
		}, 504},
		{"switches unasked", func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
		}, 502},
	} {
		t.Run(c.name, func(t *testing.T) {
			patience := "20s" // a machine that is shared may stand still for a while
			if c.status == 504 {
				patience = "300ms"
			}
			h := start(t, upstreamTo("timeouts.response = '"+patience+"'", faulty(t, c.f)))
			for range 2 { // the second would meet what the first has left behind
				r, err := h.client.Get("http://" + h.addr() + "/")
				if err != nil {
					if c.status != 0 {
						t.Error(err)
					}
					continue // cut off before anything was sent on
				}
				text, err := io.ReadAll(r.Body)
				_ = r.Body.Close()
				switch {
				case c.status == 0 && err == nil:
					t.Errorf("a response that was cut off looks whole: %d %q", r.StatusCode, text)
				case c.status != 0 && (err != nil || r.StatusCode != c.status):
					t.Errorf("%d, want %d: %v", r.StatusCode, c.status, err)
				case c.status == 200 && string(text) != "short":
					t.Errorf("%q", text)
				}
			}
		})
	}
}

func TestRetries(t *testing.T) {
	var seen atomic.Int64
	good := backend(t, func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(b)
	})
	t.Run("connect errors, also with a body", func(t *testing.T) {
		h := start(t, upstreamTo("eject.failures = 0", refused(t), good.URL))
		for range 6 {
			if r, text := h.do("POST", "/", strings.NewReader("body")); r.StatusCode != 200 || text != "body" {
				t.Errorf("%d %q", r.StatusCode, text)
			}
		}
	})
	broken := faulty(t, func(c net.Conn) { readRequest(c); reset(c) })
	t.Run("answerless, only where nothing can happen twice", func(t *testing.T) {
		h := start(t, upstreamTo("eject.failures = 0", broken, good.URL))
		failed := 0
		for range 6 {
			if r, _ := h.get("/"); r.StatusCode != 200 {
				t.Errorf("GET: %d", r.StatusCode)
			}
			if r, _ := h.do("POST", "/", strings.NewReader("x")); r.StatusCode == 502 {
				failed++
			}
			if r, _ := h.do("POST", "/", nil); r.StatusCode == 502 {
				failed++
			}
		}
		if failed == 0 {
			t.Error("a POST was sent again after a server had it")
		}
	})
	t.Run("no more than configured", func(t *testing.T) {
		h := start(t, upstreamTo("eject.failures = 0\nretries = 0", refused(t), good.URL))
		codes := map[int]int{}
		for range 4 {
			r, _ := h.get("/")
			codes[r.StatusCode]++
		}
		if codes[200] != 2 || codes[502] != 2 {
			t.Errorf("%v", codes)
		}
	})
}

func TestEjection(t *testing.T) {
	var bad atomic.Bool
	var first, second atomic.Int64
	a := faulty(t, func(c net.Conn) {
		r := readRequest(c)
		if r == nil {
			return
		}
		first.Add(1)
		if bad.Load() {
			reset(c)
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	})
	b := backend(t, func(http.ResponseWriter, *http.Request) { second.Add(1) })
	h := start(t, upstreamTo("eject = { failures = 2, for = '300ms' }", a, b.URL))
	bad.Store(true)
	for range 20 {
		if r, _ := h.get("/"); r.StatusCode != 200 {
			t.Errorf("%d", r.StatusCode)
		}
	}
	if n := first.Load(); n != 2 {
		t.Errorf("a server that fails got %d requests before it was taken out, want 2", n)
	}
	bad.Store(false)
	eventually(t, "the server is back", func() bool {
		h.get("/")
		return first.Load() > 4
	})
	if !strings.Contains(h.log.String(), "is taken out") || !strings.Contains(h.log.String(), "is back") {
		t.Errorf("the log tells nothing of it")
	}
}

func TestHealthChecks(t *testing.T) {
	var sick atomic.Bool
	sick.Store(true)
	server := func(name string, sick *atomic.Bool) string {
		return backend(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/health" && sick.Load() {
				w.WriteHeader(500)
			}
			_, _ = io.WriteString(w, name)
		}).URL
	}
	var never atomic.Bool
	h := start(t, upstreamTo("health = { path = '/health', interval = '20ms', fail = 2, pass = 2 }", server("a", &sick), server("b", &never)))
	from := func() map[string]int {
		n := map[string]int{}
		for range 10 {
			_, text := h.get("/")
			n[text]++
		}
		return n
	}
	eventually(t, "the sick server gets nothing", func() bool { n := from(); return n["a"] == 0 && n["b"] == 10 })
	never.Store(true)
	eventually(t, "there is no server", func() bool {
		r, _ := h.get("/")
		return r.StatusCode == 503 && r.Header.Get("Retry-After") != ""
	})
	sick.Store(false)
	never.Store(false)
	eventually(t, "both are back", func() bool { n := from(); return n["a"] == 5 && n["b"] == 5 })
}

func TestLeastConnections(t *testing.T) {
	var open [2]atomic.Int64
	hold := make(chan struct{})
	server := func(i int) string {
		return backend(t, func(w http.ResponseWriter, r *http.Request) {
			open[i].Add(1)
			if r.URL.Path == "/hold" {
				<-hold
			}
		}).URL
	}
	h := start(t, upstreamTo("balance = 'least'", server(0), server(1)))
	var wait sync.WaitGroup
	wait.Go(func() { h.get("/hold") })
	eventually(t, "one server is busy", func() bool { return open[0].Load()+open[1].Load() == 1 })
	busy := 0
	if open[1].Load() == 1 {
		busy = 1
	}
	for range 5 {
		h.get("/")
	}
	if open[1-busy].Load() != 5 {
		t.Errorf("the idle server got %d of 5", open[1-busy].Load())
	}
	close(hold)
	wait.Wait()
}

func TestForwardedHeaders(t *testing.T) {
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s|%s|%s|%s|%s|%s|%v", r.Host, r.Header["X-Forwarded-For"], r.Header["X-Forwarded-Proto"], r.Header["X-Forwarded-Host"],
			r.Header["Forwarded"], r.Header["User-Agent"], r.Header["Keep-Alive"])
	})
	h := start(t, upstreamTo("", b.URL))
	headers := []string{"Host", "site.test", "X-Forwarded-For", "6.6.6.6", "Forwarded", "for=6.6.6.6", "X-Forwarded-Proto", "https", "User-Agent", "", "Keep-Alive", "1"}
	if _, text := h.get("/", headers...); text != "site.test|[127.0.0.1]|[http]|[site.test]|[]|[]|[]" {
		t.Errorf("from anybody: %s", text)
	}
	h = start(t, "server.trusted = '127.0.0.1'\n"+upstreamTo("host = 'server'", b.URL))
	if _, text := h.get("/", headers...); text != strings.TrimPrefix(b.URL, "http://")+"|[6.6.6.6, 127.0.0.1]|[https]|[site.test]|[]|[]|[]" {
		t.Errorf("from a trusted proxy: %s", text)
	}
}

func TestStreamingBothWays(t *testing.T) {
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		_ = c.EnableFullDuplex()
		w.Header().Set("Trailer", "X-Sum")
		w.WriteHeader(200)
		_ = c.Flush()
		line := bufio.NewReader(r.Body)
		n := 0
		for {
			s, err := line.ReadString('\n')
			if err != nil {
				break
			}
			n++
			_, _ = io.WriteString(w, "got "+s)
			_ = c.Flush()
		}
		w.Header().Set("X-Sum", fmt.Sprint(n, r.Trailer.Get("X-Mine")))
	})
	for _, c := range []struct{ name, listen string }{{"http1", "http1"}, {"h2c", "h2c"}} {
		t.Run(c.name, func(t *testing.T) {
			h := start(t, "server.h2c = true\n"+upstreamTo("", b.URL))
			transport := &http.Transport{Protocols: new(http.Protocols)}
			defer transport.CloseIdleConnections()
			transport.Protocols.SetHTTP1(c.name == "http1")
			transport.Protocols.SetUnencryptedHTTP2(c.name == "h2c")
			pr, pw := io.Pipe()
			r, _ := http.NewRequest("POST", "http://"+h.addr()+"/", pr)
			r.Trailer = http.Header{"X-Mine": nil}
			response, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = response.Body.Close() }()
			lines := bufio.NewReader(response.Body)
			for i := range 5 {
				_, _ = fmt.Fprintf(pw, "line %d\n", i)
				if s, err := lines.ReadString('\n'); s != fmt.Sprintf("got line %d\n", i) {
					t.Fatalf("%q %v", s, err)
				}
			}
			r.Trailer.Set("X-Mine", "yes")
			_ = pw.Close()
			if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
				t.Errorf("%q %v", rest, err)
			}
			if s := response.Trailer.Get("X-Sum"); s != "5yes" {
				t.Errorf("the trailer is %q", s)
			}
		})
	}
}

func TestUpgrade(t *testing.T) {
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "echo" || r.Header.Get("Connection") != "Upgrade" {
			t.Errorf("the upstream sees %v", r.Header)
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = c.Close() }()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
		_, _ = io.Copy(c, rw)
	})
	h := start(t, "server.timeouts.write = '100ms'\n"+upstreamTo("", b.URL))
	c, err := net.Dial("tcp", h.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	lines := bufio.NewReader(c)
	response, err := http.ReadResponse(lines, nil)
	if err != nil || response.StatusCode != 101 {
		t.Fatalf("%v %v", response, err)
	}
	for i := range 3 {
		_, _ = fmt.Fprintf(c, "%d\n", i)
		if s, err := lines.ReadString('\n'); s != fmt.Sprintf("%d\n", i) {
			t.Fatalf("%q %v", s, err)
		}
		time.Sleep(150 * time.Millisecond) // longer than the write timeout, which is not for tunnels
	}
	// It ends with the gateway, and is logged then.
	h.stop()
	if _, err := lines.ReadByte(); err == nil {
		t.Error("the tunnel outlives the gateway")
	}
	<-h.ended
	h.ended <- nil
	if !strings.Contains(h.access.String(), `"status":101`) {
		t.Errorf("access log: %s", h.access)
	}
}

func TestClientGoneEndsTheUpstreamRequest(t *testing.T) {
	entered, ended := make(chan struct{}), make(chan struct{})
	b := backend(t, func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		close(ended)
	})
	h := start(t, upstreamTo("", b.URL))
	ctx, cancel := context.WithCancel(t.Context())
	r, _ := http.NewRequestWithContext(ctx, "GET", "http://"+h.addr()+"/", nil)
	go func() {
		<-entered
		cancel()
	}()
	if _, err := h.client.Do(r); err == nil {
		t.Error("there is an answer")
	}
	<-ended
	eventually(t, "it is logged", func() bool { return strings.Contains(h.access.String(), `"status":499`) })
}

func TestUpstreamProtocols(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %v", r.Proto, r.TLS != nil)
	})
	plain := httptest.NewUnstartedServer(handler)
	plain.Config.Protocols = new(http.Protocols)
	plain.Config.Protocols.SetUnencryptedHTTP2(true)
	plain.Start()
	defer plain.Close()
	secure := httptest.NewUnstartedServer(handler)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	defer secure.Close()
	dir := t.TempDir()
	write(t, dir, "ca.pem", string(pemOf(secure.Certificate().Raw)))
	l, err := net.Listen("unix", dir+"/u.sock")
	if err != nil {
		t.Fatal(err)
	}
	unix := &http.Server{Handler: handler}
	go func() { _ = unix.Serve(l) }()
	defer func() { _ = unix.Close() }()
	for _, c := range []struct{ more, url, want string }{
		{"protocol = 'h2c'", plain.URL, "HTTP/2.0 false"},
		{"protocol = 'h2'\ntls.ca = 'ca.pem'\ntls.name = 'example.com'", secure.URL, "HTTP/2.0 true"},
		{"tls.ca = 'ca.pem'", secure.URL, "HTTP/1.1 true"},
		{"", "unix:u.sock", "HTTP/1.1 false"},
	} {
		h := startIn(t, dir, upstreamTo(c.more, c.url), Options{})
		if r, text := h.get("/"); r.StatusCode != 200 || text != c.want {
			t.Errorf("%s: %d %q, want %q", c.more, r.StatusCode, text, c.want)
		}
	}
	h := startIn(t, dir, upstreamTo("", secure.URL), Options{})
	if r, _ := h.get("/"); r.StatusCode != 502 {
		t.Errorf("a certificate of nobody known: %d", r.StatusCode)
	}
}
