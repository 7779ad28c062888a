package wasi_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/hako-run/hako/wasi"
)

func network(t testing.TB, grants ...string) *wasi.Network {
	t.Helper()
	n, err := wasi.ParseNetwork(grants, names{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// names resolves from a table, so that tests ask no name server.
type names struct{}

func (names) LookupNetIP(_ context.Context, _, name string) ([]netip.Addr, error) {
	addrs, ok := map[string][]string{
		"db.internal":     {"10.0.0.5", "2001:db8::5"},
		"localhost":       {"127.0.0.1", "::1"},
		"evil.internal":   {"127.0.0.1", "169.254.169.254", "10.6.6.6"},
		"a.example.com":   {"203.0.113.7"},
		"mapped.internal": {"::ffff:10.0.0.9"},
	}[name]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	var all []netip.Addr
	for _, a := range addrs {
		all = append(all, netip.MustParseAddr(a))
	}
	return all, nil
}

// echo serves TCP connections that get back what they send.
func echo(t testing.TB, address string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func TestSocketClient(t *testing.T) {
	addresses := []string{"127.0.0.1:0"}
	if l, err := net.Listen("tcp", "[::1]:0"); err == nil { // a machine may have no IPv6
		l.Close()
		addresses = append(addresses, "[::1]:0")
	}
	for _, address := range addresses {
		at := echo(t, address)
		out, code := run(t, guest(t, "sockets"), wasi.Config{
			Args:    []string{"sockets", "client", at.Addr().String(), strconv.Itoa(int(at.Port()))},
			Network: network(t, at.String()),
		})
		want := `sock_recv(fd, &v, 1, 0, &n, &oflags): ENOTCONN
got hello
got second
peer is the server: 1 1 1
second form: 1 1 1
sock_setsockopt(fd, 0, 14, "eth0", 4): EPERM
sock_recv(fd, &v, 1, 0, &n, &oflags): EAGAIN
read(fd, b, 1): EAGAIN
wait_for(fd, POLLIN, 10): 0
wait_for(fd, POLLOUT, 1000) & POLLOUT: 2
lseek(fd, 0, SEEK_CUR): ESPIPE
sock_shutdown(fd, 0): EINVAL
poll(&pf, 1, 5000): 1
read(fd, b, 1): 0
fstat(fd, &st): 0
`
		if out != want || code != 0 {
			t.Errorf("%s: code %d, got\n%s\nwant\n%s", address, code, out, want)
		}
	}
}

func TestSocketRefused(t *testing.T) {
	at := echo(t, "127.0.0.1:0")
	port := strconv.Itoa(int(at.Port()))
	for _, grants := range [][]string{
		nil,
		{"*:*"},
		{"0.0.0.0/0:*", "[::]/0:*"},
		{"127.0.0.1:1"},
		{"127.0.0.2:" + port},
		{"127.0.0.1:" + port + "/udp"},
		{"evil.internal:" + port},
	} {
		out, _ := run(t, guest(t, "sockets"), wasi.Config{
			Args:    []string{"sockets", "client", "127.0.0.1", port},
			Network: network(t, grants...),
		})
		if !strings.HasSuffix(out, "connect: EACCES\n") {
			t.Errorf("grants %q: the guest got\n%s", grants, out)
		}
	}
	out, _ := run(t, guest(t, "sockets"), wasi.Config{Args: []string{"sockets", "client", "127.0.0.1", port}})
	if !strings.HasSuffix(out, "connect: EACCES\n") {
		t.Errorf("no network: the guest got\n%s", out)
	}
	// Granted, but nobody is there.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := l.Addr().(*net.TCPAddr)
	l.Close()
	out, _ = run(t, guest(t, "sockets"), wasi.Config{
		Args:    []string{"sockets", "client", "127.0.0.1", strconv.Itoa(gone.Port)},
		Network: network(t, "127.0.0.0/8:*"),
	})
	if !strings.HasSuffix(out, "connect: ECONNREFUSED\n") {
		t.Errorf("nobody listens: the guest got\n%s", out)
	}
}

// published makes grants with ports 80/tcp and 53/udp on free ports of loopback.
func published(t testing.TB, preopened bool) (*wasi.Grants, netip.AddrPort, netip.AddrPort) {
	t.Helper()
	free := netip.MustParseAddrPort("127.0.0.1:0")
	g := grants(t, wasi.GrantConfig{Listeners: []wasi.Listener{
		{Guest: 80, Host: free, Network: "tcp", Preopened: preopened},
		{Guest: 53, Host: free, Network: "udp"},
	}})
	tcp, ok := g.Addr("tcp", 80)
	udp, okUDP := g.Addr("udp", 53)
	if !ok || !okUDP || tcp.Port() == 0 || udp.Port() == 0 {
		t.Fatalf("published ports lie on %s and %s", tcp, udp)
	}
	return g, tcp, udp
}

// serve runs a program of testdata in the background until it says that it is
// ready; rest returns all that it has written when it has ended.
func serve(t testing.TB, program string, c wasi.Config) (rest func() string) {
	t.Helper()
	return serveModule(t, guest(t, program), c)
}

func serveModule(t testing.TB, m wazero.CompiledModule, c wasi.Config) (rest func() string) {
	t.Helper()
	r, w := io.Pipe()
	c.Stdout = w
	s := newSystem(t, c)
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		code, err := start(ctx, t, m, s)
		if err == nil && code != 0 {
			err = errors.New("exit code " + strconv.Itoa(int(code)))
		}
		s.Close()
		w.Close()
		done <- err
	}()
	b := bufio.NewReader(r)
	before := ""
	for {
		line, err := b.ReadString('\n')
		if before += line; err != nil {
			t.Fatalf("the server did not get ready: %v\n%s", <-done, before)
		}
		if line == "ready\n" {
			break
		}
	}
	drained := make(chan string, 1)
	go func() {
		after, _ := io.ReadAll(b)
		drained <- string(after)
	}()
	return func() string {
		after := <-drained
		if err := <-done; err != nil {
			t.Errorf("the server failed: %v", err)
		}
		return before + after
	}
}

func TestSocketServer(t *testing.T) {
	g, tcp, _ := published(t, false)
	rest := serve(t, "sockets", wasi.Config{Args: []string{"sockets", "server"}, Grants: g})
	c, err := net.Dial("tcp", tcp.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	text := strings.Repeat("back and forth ", 1000)
	go func() {
		io.WriteString(c, text)
		c.(*net.TCPConn).CloseWrite()
	}()
	back, err := io.ReadAll(c)
	if err != nil || string(back) != text {
		t.Errorf("%d bytes came back, %v", len(back), err)
	}
	want := `sock_listen(fd, 5): EACCES
sock_bind(fd, &addr, 81): EACCES
sock_bind(fd, &addr, 80): EINVAL
local port 80
sock_accept(fd, 0, &conn): EAGAIN
ready
of the connection 80
ended
`
	if got := rest(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// The port stays published when a guest is gone: the next one takes over.
func TestSocketFirstForms(t *testing.T) {
	g, tcp, _ := published(t, false)
	for range 2 {
		rest := serve(t, "first", wasi.Config{Grants: g})
		c, err := net.Dial("tcp", tcp.String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "words")
		if got, want := rest(), "ready\ngot words from 127\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		c.Close()
	}
}

func TestSocketUDP(t *testing.T) {
	server, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	stranger, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	go func() {
		b := make([]byte, 100)
		for {
			n, from, err := server.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			stranger.WriteToUDPAddrPort([]byte("not for you"), from)
			server.WriteToUDPAddrPort(b[:n], from)
		}
	}()
	at := server.LocalAddr().(*net.UDPAddr)
	out, _ := run(t, guest(t, "sockets"), wasi.Config{
		Args:    []string{"sockets", "udp", "127.0.0.1", strconv.Itoa(at.Port)},
		Network: network(t, at.String()+"/udp"),
	})
	want := `sock_send(fd, parts, 2, 0, &n): EDESTADDRREQ
sock_send_to(fd, parts, 2, &addr, port + 1, 0, &n): EACCES
got ping of one cut off: 1, from the server: 1 1
got 4: pi ng
`
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}

	g, _, udp := published(t, false)
	rest := serve(t, "sockets", wasi.Config{Args: []string{"sockets", "udpserver"}, Grants: g})
	c, err := net.Dial("udp", udp.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "question")
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 100)
	if n, err := c.Read(b); err != nil || string(b[:n]) != "question" {
		t.Errorf("answer %q, %v", b[:n], err)
	}
	if got := rest(); got != "sock_send_to(fd, &s, 1, &addr, 9, 0, &n): EACCES\nready\n" {
		t.Errorf("the server said %q", got)
	}
}

func TestSocketLookup(t *testing.T) {
	out, _ := run(t, guest(t, "sockets"), wasi.Config{
		Args: []string{"sockets", "lookup", "db.internal", "DB.internal.", "other.internal", "localhost", "192.0.2.1",
			"mapped.internal", "evil.internal", "none.internal", "a.example.com", "example.com", "a b", "169.254.169.254"},
		Network: network(t, "db.internal:5432", "evil.internal:1-2", "mapped.internal:*", "none.internal:1", "*.example.com:443"),
	})
	want := `db.internal: ok 10.0.0.5:5432 six ending in 5:5432
DB.internal.: ok 10.0.0.5:5432 six ending in 5:5432
other.internal: no such name
localhost: no such name
192.0.2.1: ok 192.0.2.1:5432
mapped.internal: ok 10.0.0.9:5432
evil.internal: ok 10.6.6.6:5432
none.internal: no such name
a.example.com: ok 203.0.113.7:5432
example.com: no such name
a b: no such name
169.254.169.254: ok 169.254.169.254:5432
`
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
}

func TestSocketMistakes(t *testing.T) {
	out, _ := run(t, guest(t, "sockets"), wasi.Config{Args: []string{"sockets", "other"}, Network: network(t, "*:*")})
	want := `sock_open(7, STREAM, &fd): EAFNOSUPPORT
sock_open(INET4, 9, &fd): EINVAL
sock_send(1, &v, 1, 0, &n): ENOTSOCK
sock_listen(99, 1): EBADF
sock_connect(fd, &odd, 80): EINVAL
21
sock_connect(fd, &addr, 70000): EINVAL
fstat(fd, &st): 0
ftruncate(fd, 0): EINVAL
sock_listen(fd, 1): EBADF
`
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
}

// Whatever a guest waits for, it ends with its context.
func TestSocketEndsWithContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts or answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	g, _, _ := published(t, false)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	m := guest(t, "sockets")
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, how := range []string{"accept", "pollaccept", "recv", "poll", "send"} {
		t.Run(how, func(t *testing.T) {
			stop := errors.New("stopped by the test")
			ctx, cancel := context.WithCancelCause(context.Background())
			time.AfterFunc(50*time.Millisecond, func() { cancel(stop) })
			s := newSystem(t, wasi.Config{
				Args:    []string{"sockets", "hang", how, "127.0.0.1", port},
				Grants:  g,
				Network: network(t, l.Addr().String()),
				Stdin:   r,
			})
			if _, err := start(ctx, t, m, s); !errors.Is(err, stop) {
				t.Errorf("error %v, want %v", err, stop)
			}
		})
	}
}
