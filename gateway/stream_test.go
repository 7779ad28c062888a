package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// tcpServer serves connections of TCP until the test ends.
func tcpServer(t testing.TB, serve func(*net.TCPConn)) string {
	t.Helper()
	checkLeaks(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var tasks sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	tasks.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			tasks.Go(func() {
				serve(c.(*net.TCPConn))
				_ = c.Close()
				mu.Lock()
				delete(open, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		tasks.Wait()
	})
	return l.Addr().String()
}

// echo sends back what comes, and then the end.
func echo(c *net.TCPConn) {
	_, _ = io.Copy(c, c)
	_ = c.CloseWrite()
	_, _ = io.Copy(io.Discard, c)
}

// named sends a name first.
func named(name string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		_, _ = io.WriteString(c, name)
		echo(c)
	}
}

// noHTTP is what stands before tcp where nothing else is said of the server.
const noHTTP = "server.listen = '127.0.0.1:0'\n"

// tcp is a configuration of one stream to servers, with further lines.
func tcp(lines string, servers ...string) string {
	list := ""
	for _, s := range servers {
		list += "'tcp://" + s + "', "
	}
	return "[[upstream]]\nname = 'u'\nurl = [" + list + "]\n[[stream]]\nname = 's'\nlisten = '127.0.0.1:0'\nupstream = 'u'\n" + lines
}

// dialTCP connects to the i-th address of streams.
func (h *harness) dialTCP(i int) *net.TCPConn {
	h.t.Helper()
	c, err := net.Dial("tcp", h.StreamAddresses()[i])
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return c.(*net.TCPConn)
}

// talk sends text and expects an answer.
func talk(t testing.TB, c net.Conn, text, want string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(want))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != want {
		t.Fatalf("got %q, %v, want %q", b, err, want)
	}
}

type tcpLine struct {
	Msg, Client, Stream, End, Upstream, Error string
	Received, Bytes                           int64
	MS                                        float64
}

// line waits for the n-th line of the access log that tells of a connection.
func (h *harness) line(n int) tcpLine {
	h.t.Helper()
	var l tcpLine
	eventually(h.t, "the access log has a line", func() bool {
		var lines []string
		for _, s := range strings.Split(h.access.String(), "\n") {
			if strings.Contains(s, `"connection"`) {
				lines = append(lines, s)
			}
		}
		return len(lines) > n && json.Unmarshal([]byte(lines[n]), &l) == nil
	})
	return l
}

func TestStream(t *testing.T) {
	h := start(t, noHTTP+tcp("", tcpServer(t, echo)))
	c := h.dialTCP(0)
	talk(t, c, "hello", "hello")
	talk(t, c, "again", "again")
	_ = c.CloseWrite()
	if b, err := io.ReadAll(c); len(b) > 0 || err != nil {
		t.Fatalf("%q, %v", b, err)
	}
	l := h.line(0)
	if l.Stream != "s" || l.End != "done" || l.Received != 10 || l.Bytes != 10 || l.Client != c.LocalAddr().String() || !strings.HasPrefix(l.Upstream, "tcp://127.0.0.1:") || l.Error != "" {
		t.Errorf("%+v", l)
	}
}

// TestStreamHalfClose: the server ends first, and the client goes on sending.
func TestStreamHalfClose(t *testing.T) {
	got := make(chan string, 1)
	h := start(t, noHTTP+tcp("", tcpServer(t, func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "bye")
		_ = c.CloseWrite()
		b, _ := io.ReadAll(c)
		got <- string(b)
	})))
	c := h.dialTCP(0)
	if b, err := io.ReadAll(c); string(b) != "bye" || err != nil {
		t.Fatalf("%q, %v", b, err)
	}
	_, _ = io.WriteString(c, "still here")
	_ = c.Close()
	if s := <-got; s != "still here" {
		t.Errorf("%q", s)
	}
	if l := h.line(0); l.End != "done" || l.Received != 10 || l.Bytes != 3 {
		t.Errorf("%+v", l)
	}
}

// TestStreamBig: much goes both ways at once, over TCP, TLS and a unix socket.
func TestStreamBig(t *testing.T) {
	size := 64 << 20
	if testing.Short() {
		size = 8 << 20
	}
	dir := t.TempDir()
	issue(t, dir, "a", "example.com")
	addr := tcpServer(t, echo)
	h := startIn(t, dir, "[server]\nlisten = '127.0.0.1:0'\n[server.tls]\ncertificates = [{ cert = 'a.pem', key = 'a.key' }]\n"+
		tcp("", addr)+"[[stream]]\nlisten = '127.0.0.1:0'\nupstream = 'u'\ntls = true\n[[stream]]\nlisten = 'unix:s.sock'\nupstream = 'u'\n", Options{})
	for i, a := range h.StreamAddresses() {
		var c net.Conn
		var err error
		switch path, unix := strings.CutPrefix(a, "unix:"); {
		case unix:
			c, err = net.Dial("unix", path)
		case i == 1:
			c, err = tls.Dial("tcp", a, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "postgresql"}})
		default:
			c, err = net.Dial("tcp", a)
		}
		if err != nil {
			t.Fatal(err)
		}
		sent := bytes.Repeat([]byte(fmt.Sprintf("%d well known text.", i)), size/18)
		go func() {
			_, _ = c.Write(sent)
			_ = c.(interface{ CloseWrite() error }).CloseWrite()
		}()
		got, err := io.ReadAll(c)
		if !bytes.Equal(got, sent) || err != nil {
			t.Errorf("%s: got %d bytes of %d, %v", a, len(got), len(sent), err)
		}
		_ = c.Close()
		if l := h.line(i); l.Received != int64(len(sent)) || l.Bytes != int64(len(sent)) || l.End != "done" {
			t.Errorf("%+v", l)
		}
	}
}

// TestStreamBackPressure: the server is not read from when the client does not
// read.
func TestStreamBackPressure(t *testing.T) {
	var wrote atomic.Int64
	h := start(t, noHTTP+tcp("", tcpServer(t, func(c *net.TCPConn) {
		part := make([]byte, 64<<10)
		for wrote.Load() < 256<<20 {
			n, err := c.Write(part)
			wrote.Add(int64(n))
			if err != nil {
				return
			}
		}
	})))
	c := h.dialTCP(0)
	last := int64(-1)
	eventually(t, "the server has to wait", func() bool {
		time.Sleep(100 * time.Millisecond)
		now := wrote.Load()
		defer func() { last = now }()
		return now > 0 && now == last
	})
	if n := wrote.Load(); n >= 256<<20 {
		t.Errorf("%d bytes were taken from the server", n)
	}
	_ = c.Close()
	if l := h.line(0); l.End != "broken" {
		t.Errorf("%+v", l)
	}
}

// TestStreamServers: connections go to each in turn, and around one that does
// not take them.
func TestStreamServers(t *testing.T) {
	a, b := tcpServer(t, named("a")), tcpServer(t, named("b"))
	h := start(t, "[server]\nlisten = '127.0.0.1:0'\nmetrics = '127.0.0.1:0'\n"+tcp("", a, "127.0.0.1:1", b))
	seen := map[string]int{}
	for range 12 {
		c := h.dialTCP(0)
		_ = c.CloseWrite()
		s, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		seen[string(s)]++
	}
	if seen["a"] < 3 || seen["b"] < 3 || seen["a"]+seen["b"] != 12 {
		t.Errorf("%v", seen)
	}
	h.line(11)
	r, err := h.client.Get("http://" + h.MetricsAddress() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	text, _ := io.ReadAll(r.Body)
	for _, want := range []string{
		`hako_stream_connections{stream="s"} 0`, `hako_stream_connections_total{end="done",stream="s"} 12`, `hako_stream_sent_bytes_total{stream="s"} 12`,
		`hako_stream_connect_seconds_count{stream="s"} 12`, `hako_upstream_healthy{server="tcp://127.0.0.1:1",upstream="u"} 0`,
	} {
		if !strings.Contains(string(text), want+"\n") {
			t.Errorf("/metrics has no %s", want)
		}
	}
}

// TestStreamFails: what ends a connection before it was over is told.
func TestStreamFails(t *testing.T) {
	dies := func(c *net.TCPConn) {
		_, _ = io.ReadFull(c, make([]byte, 5))
		_, _ = io.WriteString(c, "half")
		_, _ = c.Read(make([]byte, 1))
		_ = c.SetLinger(0)
	}
	for _, c := range []struct {
		name, lines string
		server      func(*net.TCPConn)
		end         string
	}{
		{"no server", "", nil, "upstream"},
		{"dies", "", dies, "broken"},
		{"idle", "timeouts.idle = '200ms'\n", echo, "idle"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := "127.0.0.1:1"
			if c.server != nil {
				server = tcpServer(t, c.server)
			}
			h := start(t, noHTTP+tcp(c.lines, server))
			conn := h.dialTCP(0)
			_, _ = io.WriteString(conn, "hello")
			if c.name == "dies" {
				talk(t, conn, "", "half")
				_, _ = io.WriteString(conn, "!")
			}
			_, err := io.ReadAll(conn)
			if c.name == "dies" && err == nil {
				t.Error("what broke off looks whole")
			}
			if l := h.line(0); l.End != c.end || l.Error == "" {
				t.Errorf("%+v", l)
			}
		})
	}
}

// TestStreamNotIdle: a connection on which something moves now and then stays.
func TestStreamNotIdle(t *testing.T) {
	h := start(t, noHTTP+tcp("timeouts.idle = '1500ms'\n", tcpServer(t, echo)))
	c := h.dialTCP(0)
	for range 12 {
		talk(t, c, "x", "x")
		time.Sleep(250 * time.Millisecond)
	}
	_ = c.Close()
	if l := h.line(0); l.End != "done" || l.Received != 12 {
		t.Errorf("%+v", l)
	}
}

func TestStreamLimit(t *testing.T) {
	h := start(t, noHTTP+tcp("max_connections = 2\n", tcpServer(t, echo)))
	a, b := h.dialTCP(0), h.dialTCP(0)
	talk(t, a, "a", "a")
	talk(t, b, "b", "b")
	c := h.dialTCP(0)
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a third connection was taken")
	}
	if l := h.line(0); l.End != "limit" {
		t.Errorf("%+v", l)
	}
	_ = a.Close()
	h.line(1)
	talk(t, h.dialTCP(0), "d", "d")
}

func TestStreamTLS(t *testing.T) {
	dir := t.TempDir()
	issue(t, dir, "a", "example.com")
	h := startIn(t, dir, "[server]\nlisten = '127.0.0.1:0'\n[server.tls]\ncertificates = [{ cert = 'a.pem', key = 'a.key' }]\n"+tcp("tls = true\n", tcpServer(t, echo)), Options{})
	c := tls.Client(h.dialTCP(0), &tls.Config{InsecureSkipVerify: true, ServerName: "example.com"})
	talk(t, c, "hello", "hello")
	_ = c.CloseWrite()
	if b, err := io.ReadAll(c); len(b) > 0 || err != nil {
		t.Errorf("%q, %v", b, err) // without close_notify there would be an error
	}
	h.line(0)
	plain := h.dialTCP(0)
	_, _ = io.WriteString(plain, "GET / HTTP/1.0\r\n\r\n")
	_, _ = io.ReadAll(plain)
	if l := h.line(1); l.End != "tls" {
		t.Errorf("%+v", l)
	}
}

// TestStreamReload: what is open goes on, sockets that stay are the same ones.
func TestStreamReload(t *testing.T) {
	a, b := tcpServer(t, named("a")), tcpServer(t, named("b"))
	h := start(t, noHTTP+tcp("", a)+"[[stream]]\nname = 'other'\nlisten = '127.0.0.1:0'\nupstream = 'u'\n")
	addresses := h.StreamAddresses()
	first, second := h.dialTCP(0), h.dialTCP(1)
	talk(t, first, "", "a")
	talk(t, second, "", "a")

	if err := h.Reload(parse(t, h.dir, noHTTP+tcp("", b))); err != nil {
		t.Fatal(err)
	}
	if now := h.StreamAddresses(); len(now) != 1 || now[0] != addresses[0] {
		t.Fatalf("%v became %v", addresses, now)
	}
	talk(t, h.dialTCP(0), "", "b")
	talk(t, first, "x", "x")
	talk(t, second, "y", "y")
	if c, err := net.Dial("tcp", addresses[1]); err == nil {
		_ = c.Close()
		t.Error("the address of a stream that is gone takes connections")
	}
	eventually(t, "the state before is let go of", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, s := range h.old {
			if !s.isReleased() {
				return false
			}
		}
		return true
	})

	bad := parse(t, h.dir, noHTTP+strings.Replace(tcp("", b), "127.0.0.1:0", addresses[0], 1)+"[[stream]]\nlisten = 'unix:/nowhere/s.sock'\nupstream = 'u'\n")
	if err := h.Reload(bad); err == nil {
		t.Error("a stream that cannot listen was taken")
	}
	talk(t, h.dialTCP(0), "", "b")
}

// TestStreamShutdown: connections have time to end, and are cut off then.
func TestStreamShutdown(t *testing.T) {
	h := start(t, "server.timeouts.shutdown = '1s'\n"+"server.listen = '127.0.0.1:0'\n"+tcp("", tcpServer(t, echo)))
	a, b := h.dialTCP(0), h.dialTCP(0)
	talk(t, a, "a", "a")
	talk(t, b, "b", "b")
	h.stop()
	eventually(t, "nothing is accepted", func() bool {
		c, err := net.Dial("tcp", h.StreamAddresses()[0])
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	talk(t, a, "still", "still")
	_ = a.CloseWrite()
	if rest, err := io.ReadAll(a); len(rest) > 0 || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
	if _, err := b.Read(make([]byte, 1)); err == nil {
		t.Error("a connection outlives the server")
	}
	for c, want := range map[net.Conn]string{a: "done", b: "shutdown"} {
		eventually(t, "the access log tells why it ended", func() bool {
			return strings.Contains(h.access.String(), fmt.Sprintf(`"client":"%s","stream":"s","end":"%s"`, c.LocalAddr(), want))
		})
	}
}

// TestStreamAborts: a thousand connections that are cut off anywhere leave
// nothing behind.
func TestStreamAborts(t *testing.T) {
	h := start(t, noHTTP+tcp("", tcpServer(t, echo)))
	talk(t, h.dialTCP(0), "warm", "warm")
	descriptors := func() int {
		d, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(d)
	}
	before, files := runtime.NumGoroutine(), descriptors()
	var tasks sync.WaitGroup
	for i := range 1000 {
		tasks.Go(func() {
			c, err := net.Dial("tcp", h.StreamAddresses()[0])
			if err != nil {
				t.Error(err)
				return
			}
			if i%3 > 0 {
				_, _ = c.Write(make([]byte, 10000*(i%7)))
			}
			if i%2 > 0 {
				_ = c.(*net.TCPConn).SetLinger(0)
			}
			_ = c.Close()
		})
		if i%50 == 49 {
			tasks.Wait()
		}
	}
	tasks.Wait()
	h.line(999)
	eventually(t, "goroutines and descriptors are given back", func() bool {
		runtime.GC() // which frees the pipes of splice that are kept for the next
		return runtime.NumGoroutine() <= before+2 && descriptors() <= files+8
	})
}

// rot13 is a StreamFilter.
type rot13 struct{ released atomic.Int32 }

func (f *rot13) Release() { f.released.Add(1) }

func (f *rot13) ServeStream(ctx context.Context, c *StreamConn) error {
	defer func() { _ = c.Client.Close() }()
	first := make([]byte, 1)
	if _, err := io.ReadFull(c.Client, first); err != nil {
		return err
	}
	if first[0] == '!' {
		return errors.New("no exclamations")
	}
	up, err := c.Connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = up.Close() }()
	turn := func(b []byte) []byte {
		return bytes.Map(func(r rune) rune { return 'a' + (r-'a'+13)%26 }, b)
	}
	if _, err := up.Write(turn(first)); err != nil {
		return err
	}
	b, err := io.ReadAll(c.Client)
	if err != nil {
		return err
	}
	if _, err = up.Write(turn(b)); err != nil {
		return err
	}
	if err := up.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(c.Client, up)
	return err
}

func TestStreamFilters(t *testing.T) {
	f := &rot13{}
	text := noHTTP + tcp("filters = ['f']\n", tcpServer(t, echo)) + "[[filter]]\nname = 'f'\nmodule = 'f.wasm'\n"
	h := startIn(t, t.TempDir(), text, Options{StreamFilters: func(r StreamRoute) (StreamFilter, error) {
		if r.Config.Name != "s" || r.Gateway() == nil {
			t.Errorf("%+v", r)
		}
		return f, nil
	}})
	c := h.dialTCP(0)
	_, _ = io.WriteString(c, "hello")
	_ = c.CloseWrite()
	if b, err := io.ReadAll(c); string(b) != "uryyb" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if l := h.line(0); l.End != "done" || l.Received != 5 || l.Bytes != 5 {
		t.Errorf("%+v", l)
	}
	c = h.dialTCP(0)
	_, _ = io.WriteString(c, "!")
	_, _ = io.ReadAll(c)
	if l := h.line(1); l.End != "filter" || l.Error != "no exclamations" {
		t.Errorf("%+v", l)
	}
	if err := h.Reload(parse(t, h.dir, noHTTP)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the filter is released", func() bool { return f.released.Load() == 1 })

	if _, err := New(parse(t, t.TempDir(), text), Options{}); err == nil || !strings.Contains(err.Error(), `take filter "f" out`) {
		t.Errorf("%v", err)
	}
}

// TestStreamCombined: the line among those of requests.
func TestStreamCombined(t *testing.T) {
	h := start(t, "server.log.access = 'combined'\nserver.listen = '127.0.0.1:0'\n"+tcp("", tcpServer(t, echo)))
	c := h.dialTCP(0)
	_, _ = io.WriteString(c, "hello")
	_ = c.CloseWrite()
	_, _ = io.ReadAll(c)
	eventually(t, "it is there", func() bool { return strings.Contains(h.access.String(), `] "TCP s" 200 5 "-" "-"`+"\n") })
}
