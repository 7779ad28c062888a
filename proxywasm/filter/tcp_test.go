package filter

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand"
	"net"
	"os"
	"path/filepath"
	"runtime"
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

// connections is testdata/tcp.c, compiled once.
var connections = sync.OnceValues(func() (*engine.Module, error) {
	header := "../../guest/c/proxy_wasm.h"
	path, err := guestbuild.CompileC([]string{"-O2", "-mexec-model=reactor", "-I", filepath.Dir(header), "testdata/tcp.c"}, header)
	if err != nil {
		return nil, err
	}
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	e, err := engine.New(engine.Options{
		Hosts:   []func(context.Context, wazero.Runtime) error{wasi.Instantiate, proxywasm.Instantiate},
		Imports: wasi.WithImports,
	})
	if err != nil {
		return nil, err
	}
	return e.Compile(context.Background(), "tcp", source)
})

// lines are the messages of a log.
type lines struct {
	slog.Handler
	mu   sync.Mutex
	list []string
}

func (l *lines) Enabled(context.Context, slog.Level) bool { return true }
func (l *lines) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *lines) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, r.Message)
	return nil
}

func (l *lines) has(t *testing.T, want ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	at := 0
	for _, line := range l.list {
		if at < len(want) && line == want[at] {
			at++
		}
	}
	if at < len(want) {
		t.Errorf("the log lacks %q: %q", want[at:], l.list)
	}
}

// A relay accepts connections and passes them through a chain.
type relay struct {
	*Chain
	net.Listener
	t        *testing.T
	upstream string
	log      lines
	dials    chan struct{}
	ended    chan error
}

// start makes a chain of the plugin, once for each mode, before a server.
func startRelay(t *testing.T, o Options, change func(*proxywasm.Config), upstream func(*net.TCPConn), list ...string) *relay {
	t.Helper()
	m, err := connections()
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{t: t, dials: make(chan struct{}, 5000), ended: make(chan error, 5000)}
	cfg := proxywasm.Config{Module: m, Name: "tcp", Limits: proxywasm.Limits{CPU: 10 * time.Second}, Log: slog.New(&r.log)}
	if change != nil {
		change(&cfg)
	}
	var filters []Filter
	for i, mode := range list {
		cfg.Roots = append(cfg.Roots, proxywasm.Root{Config: []byte(mode)})
		filters = append(filters, Filter{Root: i, Name: mode})
	}
	if len(list) > 0 {
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
		for i := range filters {
			filters[i].Plugin = p
		}
	}
	r.Chain = New(filters, o)
	r.upstream = "127.0.0.1:1"
	if upstream != nil {
		r.upstream = accept(t, upstream).Addr().String()
	}
	r.Listener = accept(t, func(c *net.TCPConn) {
		r.ended <- r.ServeTCP(context.Background(), TCP{Client: c, Connect: func(ctx context.Context) (net.Conn, error) {
			r.dials <- struct{}{}
			var d net.Dialer
			return d.DialContext(ctx, "tcp", r.upstream)
		}})
	})
	return r
}

// accept serves connections until the test ends.
func accept(t *testing.T, serve func(*net.TCPConn)) net.Listener {
	t.Helper()
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
				defer c.Close()
				serve(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		tasks.Wait()
	})
	return l
}

// echo sends back what comes, and then the end.
func echo(c *net.TCPConn) {
	_, _ = io.Copy(c, c)
	_ = c.CloseWrite()
	_, _ = io.Copy(io.Discard, c)
}

func (r *relay) dial() *net.TCPConn {
	r.t.Helper()
	c, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return c.(*net.TCPConn)
}

// exchange sends text and the end, and returns all that comes back.
func (r *relay) exchange(text string) (string, error) {
	r.t.Helper()
	c := r.dial()
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	_ = c.CloseWrite()
	b, err := io.ReadAll(c)
	return string(b), err
}

func (r *relay) end() error {
	r.t.Helper()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(time.Minute):
		r.t.Fatal("the connection does not end")
		return nil
	}
}

func TestTCP(t *testing.T) {
	for _, c := range []struct {
		modes []string
		want  string
	}{
		{nil, "hello"},
		{[]string{"quiet"}, "hello"},
		{[]string{"upper"}, "HELLO"},
		// Down through 1, 2, 3, up through 3, 2, 1.
		{[]string{"tag:1", "tag:2", "tag:3"}, "hello123321"},
		{[]string{"tag:a", "upper"}, "HELLOAa"},
		{[]string{"tick"}, "hello"},
		{[]string{"tick", "tick", "upper"}, "HELLO"},
		{[]string{"tag:1", "tick", "tag:2"}, "hello1221"},
		{[]string{"hold"}, "hello"},
		{[]string{"tag:1", "hold", "tag:2", "hold"}, "hello1221"},
		{[]string{"gather:100"}, "hello"}, // until the end comes
		{[]string{"sniff"}, "hello"},
		{[]string{"quiet", "sniff", "tick", "upper"}, "HELLO"},
	} {
		t.Run(strings.Join(c.modes, " "), func(t *testing.T) {
			r := startRelay(t, Options{}, nil, echo, c.modes...)
			got, err := r.exchange("hello")
			if got != c.want || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
			if err := r.end(); err != nil {
				t.Errorf("it ended with %v", err)
			}
			if len(r.dials) != 1 {
				t.Errorf("%d connections were made", len(r.dials))
			}
		})
	}
}

// TestTCPClosed: plugins hear of everything, in its order.
func TestTCPClosed(t *testing.T) {
	r := startRelay(t, Options{}, nil, echo, "log")
	if got, err := r.exchange("hello"); got != "hello" || err != nil {
		t.Fatal(got, err)
	}
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	r.log.has(t, "log: new", "log: down 5", "log: down end after 0", "log: down closed by 2", "log: over")
	r.log.has(t, "log: new", "log: down 5", "log: up 5", "log: up end after 0", "log: up closed by 2", "log: down closed by 2", "log: over")
}

// TestTCPOneEnds: the upstream ends first, and the client goes on sending.
func TestTCPOneEnds(t *testing.T) {
	got := make(chan string, 1)
	r := startRelay(t, Options{}, nil, func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "bye")
		_ = c.CloseWrite()
		b, _ := io.ReadAll(c)
		got <- string(b)
	}, "upper", "log")
	c := r.dial()
	if b, err := io.ReadAll(c); string(b) != "BYE" || err != nil {
		t.Fatalf("%q, %v", b, err)
	}
	_, _ = io.WriteString(c, "still here")
	_ = c.CloseWrite()
	if s := <-got; s != "STILL HERE" {
		t.Errorf("%q", s)
	}
	if err := r.end(); err != nil {
		t.Error(err)
	}
}

// TestTCPRefused: filters close connections, at any time.
func TestTCPRefused(t *testing.T) {
	for _, c := range []struct {
		mode, want string
		dials      int
	}{
		{"deny", "", 0},
		{"tickclose", "", 0},
		{"close:evil", "good ", 1},
	} {
		t.Run(c.mode, func(t *testing.T) {
			r := startRelay(t, Options{}, nil, echo, "quiet", c.mode)
			conn := r.dial()
			var got []byte
			if c.want != "" {
				_, _ = io.WriteString(conn, c.want)
				got = make([]byte, len(c.want))
				if _, err := io.ReadFull(conn, got); err != nil {
					t.Fatal(err)
				}
				_, _ = io.WriteString(conn, "evil")
			}
			rest, _ := io.ReadAll(conn)
			if string(got)+string(rest) != c.want {
				t.Errorf("got %q, and then %q", got, rest)
			}
			if err := r.end(); !errors.Is(err, ErrClosed) {
				t.Errorf("it ended with %v", err)
			}
			if len(r.dials) != c.dials {
				t.Errorf("%d connections were made", len(r.dials))
			}
			r.log.has(t, c.mode+": down closed by 1")
		})
	}
}

// TestTCPFailure: a plugin that fails takes its connections along, or lets
// them pass.
func TestTCPFailure(t *testing.T) {
	for _, mode := range []string{"crash", "crashdata"} {
		for _, open := range []bool{false, true} {
			r := startRelay(t, Options{}, func(c *proxywasm.Config) { c.FailOpen = open }, echo, mode)
			got, _ := r.exchange("hello")
			err := r.end()
			if open && (got != "hello" || err != nil) || !open && (got != "" || !errors.Is(err, ErrClosed)) {
				t.Errorf("%s, open %v: %q, %v", mode, open, got, err)
			}
		}
	}
}

// TestTCPHeld: what a filter never lets go ends after a while.
func TestTCPHeld(t *testing.T) {
	for _, mode := range []string{"never", "gather:1000000"} {
		r := startRelay(t, Options{Wait: 50 * time.Millisecond}, nil, echo, mode)
		c := r.dial()
		_, _ = io.WriteString(c, "hello")
		if err := r.end(); !errors.Is(err, ErrHeld) {
			t.Errorf("%s ended with %v", mode, err)
		}
	}
}

// TestTCPNoUpstream: a connection that comes to nothing ends the client's.
func TestTCPNoUpstream(t *testing.T) {
	r := startRelay(t, Options{}, nil, nil, "log")
	if got, _ := r.exchange("hello"); got != "" {
		t.Error(got)
	}
	var e *net.OpError
	if err := r.end(); !errors.As(err, &e) || e.Op != "dial" {
		t.Errorf("it ended with %v", err)
	}
	r.log.has(t, "log: new", "log: down closed by 1", "log: over")
}

// TestTCPBig: much goes both ways at once, whole, with filters that change,
// hold and gather.
func TestTCPBig(t *testing.T) {
	for _, modes := range [][]string{nil, {"quiet"}, {"upper", "quiet"}, {"gather:70000"}, {"hold", "quiet"}} {
		size := 2 << 20
		if slices.Contains(modes, "hold") {
			size = 256 << 10
		}
		sent := make([]byte, size)
		for i := range sent {
			sent[i] = byte('A' + rand.Intn(26))
		}
		r := startRelay(t, Options{}, nil, echo, modes...)
		c := r.dial()
		go func() {
			_, _ = c.Write(sent)
			_ = c.CloseWrite()
		}()
		got, err := io.ReadAll(c)
		if !bytes.Equal(got, sent) || err != nil {
			t.Errorf("%v: got %d bytes of %d, %v", modes, len(got), len(sent), err)
		}
		if err := r.end(); err != nil {
			t.Errorf("%v: %v", modes, err)
		}
	}
}

// TestTCPBackPressure: who is not read from by the other side, or whose data
// are held, is not read from here.
func TestTCPBackPressure(t *testing.T) {
	silent := make(chan struct{})
	for _, mode := range []string{"quiet", "gather:100000000"} {
		r := startRelay(t, Options{Wait: 2 * time.Second}, func(c *proxywasm.Config) { c.Limits.Body = 64 << 10 }, func(*net.TCPConn) { <-silent }, mode)
		c := r.dial()
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		part, sent := make([]byte, 64<<10), 0
		var err error
		for err == nil && sent < 256<<20 {
			var n int
			n, err = c.Write(part)
			sent += n
		}
		if err == nil {
			t.Errorf("%s: %d bytes were taken", mode, sent)
		}
		_ = c.Close()
	}
	close(silent)
}

// TestTCPAborts: connections that are cut off anywhere leave nothing behind.
func TestTCPAborts(t *testing.T) {
	n := 300
	if testing.Short() {
		n = 100
	}
	r := startRelay(t, Options{}, nil, echo, "quiet", "hold", "upper")
	if _, err := r.exchange("warm"); err != nil {
		t.Fatal(err)
	}
	_ = r.end()
	before := runtime.NumGoroutine()
	var tasks sync.WaitGroup
	for i := range n {
		c := r.dial()
		tasks.Go(func() {
			if i%3 > 0 {
				_, _ = c.Write(make([]byte, 1000*(i%7)))
			}
			if i%5 == 0 {
				time.Sleep(time.Duration(i%11) * time.Millisecond)
			}
			_ = c.SetLinger(0)
			_ = c.Close()
		})
		if i%50 == 49 {
			tasks.Wait()
		}
	}
	tasks.Wait()
	for range n {
		_ = r.end()
	}
	for range 500 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

// TestTCPCancel: the context ends a connection.
func TestTCPCancel(t *testing.T) {
	r := startRelay(t, Options{}, nil, echo, "quiet")
	client, server := net.Pipe()
	defer client.Close()
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	go cancel(why)
	err := r.ServeTCP(ctx, TCP{Client: server, Connect: func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", r.upstream)
	}})
	if !errors.Is(err, why) && !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("the client's connection is open")
	}
}
