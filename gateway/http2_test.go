package gateway

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// An h2Client speaks HTTP/2 frame by frame.
type h2Client struct {
	t      testing.TB
	conn   net.Conn
	framer *http2.Framer
	buf    bytes.Buffer
	enc    *hpack.Encoder
}

func newH2(t testing.TB, h *harness, settings ...http2.Setting) *h2Client {
	t.Helper()
	// With a small buffer here, answers that are not read soon pile up there.
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
	}}
	c, err := d.Dial("tcp", h.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = io.WriteString(c, http2.ClientPreface)
	h2 := &h2Client{t: t, conn: c, framer: http2.NewFramer(c, c)}
	h2.enc = hpack.NewEncoder(&h2.buf)
	h2.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = h2.framer.WriteSettings(settings...)
	return h2
}

func (c *h2Client) block(fields ...string) []byte {
	c.buf.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = c.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return append([]byte(nil), c.buf.Bytes()...)
}

func request(method, path string, more ...string) []string {
	return append([]string{":method", method, ":scheme", "http", ":authority", "a", ":path", path}, more...)
}

func (c *h2Client) headers(stream uint32, end bool, fields ...string) error {
	return c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: c.block(fields...), EndStream: end, EndHeaders: true})
}

// outcome reads until a stream's answer, its reset, or the connection's end,
// and says which.
func (c *h2Client) outcome(stream uint32) string {
	for {
		f, err := c.framer.ReadFrame()
		if err != nil {
			return "closed"
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			if f.StreamID == stream {
				return f.PseudoValue("status")
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == stream {
				return f.ErrCode.String()
			}
		case *http2.GoAwayFrame:
			if f.ErrCode != http2.ErrCodeNo {
				return "GOAWAY " + f.ErrCode.String()
			}
		}
	}
}

const h2c = "[server]\nlisten = '127.0.0.1:0'\nh2c = true\n"

func TestHTTP2Requests(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	b := backend(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			mu.Lock()
			seen = append(seen, fmt.Sprintf("%s %s %q", r.Method, r.URL.RequestURI(), body))
			mu.Unlock()
		}
	})
	h := start(t, h2c+"limits.header = '8KiB'\n"+upstreamTo("", b.URL))
	for _, c := range []struct {
		name   string
		fields []string
		body   string
		want   string // alternatives, divided by "|"
		seen   string
	}{
		{"plain", request("GET", "/a"), "", "200", `GET /a ""`},
		{"body", request("POST", "/a", "content-length", "3"), "abc", "200", `POST /a "abc"`},
		{"no path", []string{":method", "GET", ":scheme", "http", ":authority", "a"}, "", "PROTOCOL_ERROR", ""},
		{"empty path", request("GET", ""), "", "PROTOCOL_ERROR|400", ""},
		{"relative path", request("GET", "a"), "", "PROTOCOL_ERROR|400", ""},
		{"no method", []string{":scheme", "http", ":authority", "a", ":path", "/"}, "", "PROTOCOL_ERROR", ""},
		{"method twice", request("GET", "/", ":method", "POST"), "", "PROTOCOL_ERROR", ""},
		{"pseudo header after others", []string{":method", "GET", ":scheme", "http", "x-a", "b", ":path", "/"}, "", "PROTOCOL_ERROR", ""},
		{"unknown pseudo header", request("GET", "/", ":x", "y"), "", "PROTOCOL_ERROR", ""},
		{"upper case", request("GET", "/", "X-A", "b"), "", "PROTOCOL_ERROR", ""},
		{"transfer-encoding", request("POST", "/a", "transfer-encoding", "chunked"), "0\r\n\r\nGET /evil HTTP/1.1\r\nhost: a\r\n\r\n", "PROTOCOL_ERROR|400", ""},
		{"connection", request("GET", "/", "connection", "close"), "", "PROTOCOL_ERROR|400", ""},
		{"te", request("GET", "/", "te", "gzip"), "", "PROTOCOL_ERROR|400", ""},
		{"line break in a value", request("GET", "/", "x-a", "b\r\nx-evil: 1"), "", "PROTOCOL_ERROR", ""},
		{"line break in a name", request("GET", "/", "x-a: b\r\nx-evil", "1"), "", "PROTOCOL_ERROR", ""},
		{"line break in the path", request("GET", "/ HTTP/1.1\r\nx-evil: 1\r\n"), "", "PROTOCOL_ERROR|400", ""},
		{"space in the method", request("GET /evil HTTP/1.1", "/"), "", "PROTOCOL_ERROR|400", ""},
		{"body longer than its length", request("POST", "/a", "content-length", "1"), "abc", "PROTOCOL_ERROR|200|400|502", ""},
		{"body shorter than its length", request("POST", "/a", "content-length", "5"), "abc", "PROTOCOL_ERROR|400|502", ""},
		{"lengths differ", request("POST", "/a", "content-length", "1", "content-length", "3"), "abc", "PROTOCOL_ERROR|400|200", ""},
		{"header too large", request("GET", "/", "x-a", strings.Repeat("x", 9000)), "", "431|GOAWAY COMPRESSION_ERROR|GOAWAY PROTOCOL_ERROR|closed", ""},
		{"host with a path", []string{":method", "GET", ":scheme", "http", ":authority", "a/b", ":path", "/"}, "", "PROTOCOL_ERROR|400", ""},
		{"CONNECT", []string{":method", "CONNECT", ":authority", "a:80"}, "", "501", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			mu.Lock()
			seen = nil
			mu.Unlock()
			h2 := newH2(t, h)
			if err := h2.headers(1, c.body == "", c.fields...); err != nil {
				t.Fatal(err)
			}
			if c.body != "" {
				_ = h2.framer.WriteData(1, true, []byte(c.body))
			}
			if got := h2.outcome(1); !strings.Contains("|"+c.want+"|", "|"+got+"|") {
				t.Errorf("it ends in %s, want %s", got, c.want)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, s := range seen {
				if strings.Contains(s, "evil") || c.seen != "" && s != c.seen {
					t.Errorf("the upstream sees %s", s)
				}
			}
			if c.seen != "" && len(seen) != 1 {
				t.Errorf("the upstream sees %q", seen)
			}
		})
	}
}

// TestHTTP2Floods sends what has brought servers down. The connection that
// does so is ended where net/http ends it; otherwise it costs what its frames
// cost and no memory. Another one is served all the while.
func TestHTTP2Floods(t *testing.T) {
	var running, most atomic.Int64
	slow := func(_ http.ResponseWriter, r *http.Request, _ *Account) {
		n := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if r.URL.Path == "/wait" {
			<-r.Context().Done()
			time.Sleep(20 * time.Millisecond) // an app does not end at once
		}
	}
	h := startIn(t, t.TempDir(), h2c+"limits.streams = 10\nlimits.header = '16KiB'\n[[app]]\nname = 'a'\nimage = 'x.wasm'\n[[route]]\napp = 'a'", Options{
		Apps: func(string) (App, error) { return appFunc(slow), nil },
	})
	for _, c := range []struct {
		name   string
		frames int
		ends   bool
		frame  func(c *h2Client, i int) error
	}{
		{"rapid reset (CVE-2023-44487)", 300000, true, func(c *h2Client, i int) error {
			stream := uint32(2*i + 1)
			if err := c.headers(stream, true, request("GET", "/wait")...); err != nil {
				return err
			}
			return c.framer.WriteRSTStream(stream, http2.ErrCodeCancel)
		}},
		{"continuation (CVE-2023-45288)", 300000, true, func(c *h2Client, i int) error {
			block := c.block(fmt.Sprintf("x-%d", i), strings.Repeat("y", 1000))
			if i == 0 {
				return c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.block(request("GET", "/")...)})
			}
			return c.framer.WriteContinuation(1, false, block)
		}},
		{"empty continuation", 300000, true, func(c *h2Client, i int) error {
			if i == 0 {
				return c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.block(request("GET", "/")...)})
			}
			return c.framer.WriteContinuation(1, false, nil)
		}},
		{"empty data (CVE-2019-9518)", 300000, true, func(c *h2Client, i int) error {
			if i == 0 {
				return c.headers(1, false, request("POST", "/wait")...)
			}
			return c.framer.WriteData(1, false, nil)
		}},
		{"priority (CVE-2019-9513)", 300000, true, func(c *h2Client, i int) error {
			return c.framer.WritePriority(uint32(2*i%1000+1), http2.PriorityParam{Weight: byte(i)})
		}},
		{"settings (CVE-2019-9515)", 300000, true, func(c *h2Client, _ int) error { return c.framer.WriteSettings() }},
		{"ping (CVE-2019-9512)", 1000000, true, func(c *h2Client, _ int) error { return c.framer.WritePing(false, [8]byte{1}) }},
		{"too many streams", 100000, false, func(c *h2Client, i int) error { return c.headers(uint32(2*i+1), true, request("GET", "/wait")...) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() {
				c.frames /= 5
			}
			most.Store(0)
			before := heap()
			flood := newH2(t, h)
			out := bufio.NewWriterSize(flood.conn, 16<<10)
			flood.framer = http2.NewFramer(out, flood.conn)
			ended, limit := false, uint64(0)
			for i := range c.frames {
				if err := c.frame(flood, i); err != nil {
					ended = true
					break
				}
				if i%20000 == 0 {
					if r, _ := h.get("/"); r.StatusCode != 200 {
						t.Fatalf("another client gets %d", r.StatusCode)
					}
					limit = max(limit, heap())
				}
			}
			if c.ends && !ended && !testing.Short() {
				t.Errorf("%d frames were taken", c.frames)
			}
			if limit > before+64<<20 {
				t.Errorf("the heap grew from %d to %d bytes", before, limit)
			}
			_ = flood.conn.Close()
			if n := most.Load(); n > 12 {
				t.Errorf("%d requests of one connection ran at once, the limit is 10", n)
			}
			eventually(t, "nothing runs any more", func() bool { return running.Load() == 0 })
		})
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestHTTP2ClosedWindow holds that a client that takes no byte of a response
// does not keep the handler.
func TestHTTP2ClosedWindow(t *testing.T) {
	wrote := make(chan error, 1)
	pour := func(w http.ResponseWriter, _ *http.Request, _ *Account) {
		_, err := w.Write(make([]byte, 1<<20))
		wrote <- err
	}
	h := startIn(t, t.TempDir(), h2c+"timeouts.write = '300ms'\n[[app]]\nname = 'a'\nimage = 'x.wasm'\n[[route]]\napp = 'a'", Options{
		Apps: func(string) (App, error) { return appFunc(pour), nil },
	})
	c := newH2(t, h, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	if err := c.headers(1, true, request("GET", "/")...); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-wrote:
		if err == nil {
			t.Error("1 MiB was written into a window of 0")
		}
	case <-time.After(10 * time.Second):
		t.Error("the handler is held")
	}
}

// Over TLS the frames are counted too, and requests know of the TLS.
func TestHTTP2FloodOverTLS(t *testing.T) {
	dir := t.TempDir()
	issue(t, dir, "a", "a.test")
	h := startIn(t, dir, "[server]\nlisten = 'https://127.0.0.1:0'\nmetrics = '127.0.0.1:0'\n[server.tls]\ncertificates = [{ cert = 'a.pem', key = 'a.key' }]\n[[app]]\nname = 'a'\nimage = 'x.wasm'\n[[route]]\napp = 'a'", Options{
		Apps: func(string) (App, error) {
			return appFunc(func(w http.ResponseWriter, r *http.Request, _ *Account) {
				fmt.Fprintf(w, "%d %t %s", r.ProtoMajor, r.TLS != nil && r.TLS.HandshakeComplete, Scheme(r))
			}), nil
		},
	})
	insecure := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}
	transport := &http.Transport{TLSClientConfig: insecure, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	get := func() {
		t.Helper()
		r, err := client.Get("https://" + h.addr() + "/")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Body.Close() }()
		if b, _ := io.ReadAll(r.Body); string(b) != "2 true https" {
			t.Errorf("answered %q", b)
		}
	}
	get()
	conn, err := tls.Dial("tcp", h.addr(), insecure)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	_, _ = io.WriteString(conn, http2.ClientPreface)
	out := bufio.NewWriterSize(conn, 16<<10)
	framer := http2.NewFramer(out, nil)
	ended := false
	for range 300000 {
		if ended = framer.WriteSettings() != nil; ended {
			break
		}
	}
	if !ended {
		t.Error("300000 SETTINGS were taken")
	}
	get()
	r, err := h.client.Get("http://" + h.MetricsAddress() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	if b, _ := io.ReadAll(r.Body); !strings.Contains(string(b), "\nhako_http2_floods_total 1\n") {
		t.Error("the flood is not counted")
	}

	// Who does not begin as HTTP/2 has to is closed.
	other, err := tls.Dial("tcp", h.addr(), insecure)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	_ = other.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = io.WriteString(other, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
	if b, err := io.ReadAll(other); len(b) > 0 {
		t.Errorf("answered %q, %v", b, err)
	}
}

func FuzzFrameCount(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00"), 3)
	f.Add([]byte("\x00\x00\x02\x00\x00\x00\x00\x00\x01ab\x00\x00\x00\x09\x00\x00\x00\x00\x01"), 5)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		// However it is cut, it is counted alike.
		cut = max(0, min(cut, len(b)))
		whole, parts := newFrameCount(), newFrameCount()
		parts.filled = whole.filled
		a := whole.add(b)
		if c := parts.add(b[:cut]) && parts.add(b[cut:]); a != c || a && whole != parts {
			t.Errorf("%t %+v, cut at %d %t %+v", a, whole, cut, c, parts)
		}
	})
}

// Downloads acknowledge, uploads send data: neither is a flood.
func TestFrameCountIsFair(t *testing.T) {
	c := newFrameCount()
	for range 100_000 {
		if !c.add([]byte("\x00\x00\x04\x08\x00\x00\x00\x00\x01abcd")) || !c.add([]byte("\x00\x00\x00\x04\x01\x00\x00\x00\x00")) ||
			!c.add([]byte("\x00\x00\x01\x00\x00\x00\x00\x00\x01x")) || !c.add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x01")) {
			t.Fatal("a connection at work is taken for a flood")
		}
	}
	for i := range 2 * frameBurst {
		if !c.add([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00")) {
			if i < frameBurst/2 {
				t.Errorf("it ends after %d", i)
			}
			return
		}
	}
	t.Error("a flood is not noticed")
}

func BenchmarkFrameCount(b *testing.B) {
	frame := append([]byte("\x00\x40\x00\x00\x00\x00\x00\x00\x01"), make([]byte, 16384)...)
	c := newFrameCount()
	for b.Loop() {
		c.add(frame[:9]) // as net/http reads them
		c.add(frame[9:])
	}
}
