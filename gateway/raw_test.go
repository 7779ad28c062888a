package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMalformed sends requests byte for byte. For each it holds the status
// lines that come back, and what an upstream behind the gateway gets to see:
// nothing that the gateway has not matched itself.
func TestMalformed(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		s := fmt.Sprintf("%s %s %q %v", r.Method, r.URL.RequestURI(), body, err)
		for _, name := range []string{"X-A", "X-B"} {
			if v, ok := r.Header[name]; ok {
				s += fmt.Sprintf(" %s=%q", name, v)
			}
		}
		mu.Lock()
		seen = append(seen, s)
		mu.Unlock()
	})
	h := start(t, "[server]\nlisten = '127.0.0.1:0'\nlimits.header = '8KiB'\ntimeouts.body = '200ms'\ntimeouts.idle = '100ms'\ntimeouts.header = '300ms'\n[[upstream]]\nname = 'u'\nurl = '"+b.URL+"'\n[[route]]\nupstream = 'u'\nmax_body = '1KiB'\n")
	const ok, bad = "HTTP/1.1 200 OK", "HTTP/1.1 400 Bad Request"
	for _, c := range []struct {
		name, text string
		want       string // the status line that comes first, or "" for none
		seen       string // by the upstream, joined by "; "
	}{
		{"plain", "GET /a HTTP/1.1\r\nHost: a\r\n\r\n", ok, `GET /a "" <nil>`},
		{"1.0", "GET /a HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK", `GET /a "" <nil>`},
		{"pipelined", "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n", ok, `GET /a "" <nil>; GET /b "" <nil>`},
		{"leading empty lines", "\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n", bad, ""},
		// Transfer-Encoding wins (RFC 9112, 6.1), and nothing is left over to
		// be taken for a second request.
		{"CL.TE", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", "", `POST /a "" <nil>`},
		{"TE.CL", "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n1\r\nx\r\n0\r\n\r\n", ok, `POST /a "x" <nil>`},
		{"TE obfuscated", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: xchunked\r\n\r\nabc", "HTTP/1.1 501 Not Implemented", ""},
		{"TE with tab", "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n", ok, `POST /a "" <nil>`},
		{"TE twice", "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", "HTTP/1.1 501 Not Implemented", ""},
		{"TE chunked, chunked", "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 501 Not Implemented", ""},
		{"TE identity", "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.1 501 Not Implemented", ""},
		{"space before colon", "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", bad, ""},
		{"TE in 1.0", "POST /a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.1 400 Bad Request|HTTP/1.0 200 OK", ""},
		{"CL twice, different", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy", bad, ""},
		{"CL twice, the same", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", ok, `POST /a "x" <nil>`},
		{"CL list", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx", bad, ""},
		{"CL signed", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", bad, ""},
		{"CL negative", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nx", bad, ""},
		{"CL too large for a number", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nx", bad, ""},
		{"CL of a GET is its body", "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 27\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n", ok, `GET /a "GET /b HTTP/1.1\r\nHost: a\r\n\r" <nil>`},
		{"chunk size not hexadecimal", "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", bad, ""},
		{"chunk size negative", "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n", bad, ""},
		{"chunk size overflows", "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000001\r\nx\r\n0\r\n\r\n", bad, ""},
		{"chunk longer than its size", "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n0\r\n\r\n", bad, ""},
		{"chunk line ends in a bare LF", "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n", bad, ""},
		{"chunk extensions", "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\nx\r\n0\r\n\r\n", ok, `POST /a "x" <nil>`},
		// Folded lines are joined by spaces before anybody looks at them
		// (RFC 9112, 5.2).
		{"obs-fold", "GET /a HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n 2\r\n\r\n", ok, `GET /a "" <nil> X-A=["1 2"]`},
		{"obs-fold hides no header", "GET /a HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n X-B: 2\r\n\r\n", ok, `GET /a "" <nil> X-A=["1 X-B: 2"]`},
		{"obs-fold first", "GET /a HTTP/1.1\r\n X-A: 1\r\nHost: a\r\n\r\n", bad, ""},
		{"bare LF between lines", "GET /a HTTP/1.1\nHost: a\n\n", ok, `GET /a "" <nil>`}, // RFC 9112, 2.2
		{"bare CR in a value", "GET /a HTTP/1.1\r\nHost: a\r\nX-A: 1\rX-B: 2\r\n\r\n", bad, ""},
		{"NUL in a value", "GET /a HTTP/1.1\r\nHost: a\r\nX-A: 1\x002\r\n\r\n", bad, ""},
		{"NUL in the path", "GET /a\x00 HTTP/1.1\r\nHost: a\r\n\r\n", bad, ""},
		{"no name", "GET /a HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", bad, ""},
		{"no colon", "GET /a HTTP/1.1\r\nHost: a\r\nX-A\r\n\r\n", bad, ""},
		{"no host", "GET /a HTTP/1.1\r\n\r\n", bad, ""},
		{"two hosts", "GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", bad, ""},
		{"host with a path", "GET /a HTTP/1.1\r\nHost: a/b\r\n\r\n", bad, ""},
		{"bad version", "GET /a HTTP/1.12\r\nHost: a\r\n\r\n", bad, ""},
		{"version 3", "GET /a HTTP/3.0\r\nHost: a\r\n\r\n", "HTTP/1.1 505 HTTP Version Not Supported", ""},
		{"no version", "GET /a\r\n\r\n", bad, ""},
		{"two spaces", "GET  /a HTTP/1.1\r\nHost: a\r\n\r\n", bad, ""},
		{"bad method", "G@T /a HTTP/1.1\r\nHost: a\r\n\r\n", bad, ""},
		{"TLS on a plain port", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", bad + "|HTTP/1.1 408 Request Timeout", ""},
		{"HTTP/2 preface without h2c", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", bad + "|HTTP/1.1 505 HTTP Version Not Supported", ""},
		{"absolute form", "GET http://b/a?x HTTP/1.1\r\nHost: a\r\n\r\n", ok, `GET /a?x "" <nil>`},
		{"authority form", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", "HTTP/1.1 501 Not Implemented", ""},
		{"asterisk form", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", ok, ""},
		{"asterisk with GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", bad, ""},
		{"relative path", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", bad, ""},
		{"bad escape", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", bad, ""},
		{"dots", "GET /a/../../b HTTP/1.1\r\nHost: a\r\n\r\n", ok, `GET /b "" <nil>`},
		{"fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", ok, `GET /a%23b "" <nil>`},
		{"header too large", "GET /a HTTP/1.1\r\nHost: a\r\nX-A: " + strings.Repeat("x", 9000) + "\r\n\r\n", "HTTP/1.1 431 Request Header Fields Too Large", ""},
		{"path too long", "GET /" + strings.Repeat("x", 9000) + " HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 431 Request Header Fields Too Large", ""},
		{"many headers", "GET /a HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("A: b\r\n", 2000) + "\r\n", "HTTP/1.1 431 Request Header Fields Too Large", ""},
		{"body too large", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n" + strings.Repeat("x", 2000), "HTTP/1.1 413 Request Entity Too Large", ""},
		{"chunked body too large", "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" + strings.Repeat("x", 2000) + "\r\n0\r\n\r\n", "HTTP/1.1 413 Request Entity Too Large", ""},
		{"expect, then body", "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.1 100 Continue", `POST /a "x" <nil>`},
		{"expect something else", "POST /a HTTP/1.1\r\nHost: a\r\nExpect: more\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.1 417 Expectation Failed", ""},
		{"expect, too large", "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2000\r\n\r\n", "HTTP/1.1 413 Request Entity Too Large", ""},
		{"header never ends", "GET /a HTTP/1.1\r\nHost: a\r\n", "HTTP/1.1 408 Request Timeout", ""},
		{"line never ends", "GE", "HTTP/1.1 408 Request Timeout", ""},
		{"second header never ends", "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHo", ok, `GET /a "" <nil>`},
		{"body never ends", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc", "HTTP/1.1 408 Request Timeout", ""},
		{"chunks never end", "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", "HTTP/1.1 408 Request Timeout", ""},
		{"trailer", "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n0\r\nX-A: 1\r\n\r\n", ok, `POST /a "" <nil>`},
		{"hop-by-hop named", "GET /a HTTP/1.1\r\nHost: a\r\nConnection: X-A\r\nX-A: 1\r\n\r\n", ok, `GET /a "" <nil>`},
		{"connection names what matters", "GET /a HTTP/1.1\r\nHost: a\r\nConnection: X-Forwarded-For, Host\r\n\r\n", ok, `GET /a "" <nil>`},
	} {
		t.Run(c.name, func(t *testing.T) {
			mu.Lock()
			seen = nil
			mu.Unlock()
			answer := h.raw(c.text)
			line, _, _ := strings.Cut(answer, "\r\n")
			line, _, _ = strings.Cut(line, ": ") // net/http says more after it
			if c.want != "" && !strings.Contains("|"+c.want+"|", "|"+line+"|") {
				t.Errorf("the answer is %q, want %s", answer, c.want)
			}
			var whole []string
			mu.Lock()
			defer mu.Unlock()
			for _, s := range seen {
				if strings.Contains(s, "<nil>") { // what ended halfway is no request
					whole = append(whole, s)
				}
			}
			if got := strings.Join(whole, "; "); got != c.seen && !strings.Contains(c.want, "|") {
				t.Errorf("the upstream sees %s, want %s", got, c.seen)
			}
		})
	}
}

// TestHalfClosed holds that a client that has sent everything and closed its
// side still gets its answer.
func TestHalfClosed(t *testing.T) {
	h := start(t, "[[route]]\napp = 'echo'")
	c, err := net.Dial("tcp", h.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc")
	_ = c.(*net.TCPConn).CloseWrite()
	if b, _ := io.ReadAll(c); !strings.HasSuffix(string(b), "\r\n\r\nabc") {
		t.Errorf("%q", b)
	}
}

// TestSlowReader holds that a client that takes nothing is given up, and one
// that takes a little at a time is not.
func TestSlowReader(t *testing.T) {
	entered := make(chan error, 1)
	pour := func(w http.ResponseWriter, _ *http.Request, _ *Account) {
		chunk := make([]byte, 1<<20)
		for range 64 {
			if _, err := w.Write(chunk); err != nil {
				entered <- err
				return
			}
		}
		entered <- nil
	}
	h := startIn(t, t.TempDir(), "[server]\nlisten = '127.0.0.1:0'\ntimeouts.write = '1s'\n[[app]]\nname = 'a'\nimage = 'x.wasm'\n[[route]]\napp = 'a'", Options{
		Apps: func(string) (App, error) { return appFunc(pour), nil },
	})
	dial := func() net.Conn {
		c, err := net.Dial("tcp", h.addr())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.(*net.TCPConn).SetReadBuffer(64 << 10)
		_, _ = io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
		return c
	}
	c := dial()
	if err := <-entered; err == nil {
		t.Error("64 MiB were written to a client that takes nothing")
	}
	_ = c.Close()

	c = dial()
	defer func() { _ = c.Close() }()
	total, buf := 0, make([]byte, 8<<20)
	for {
		n, err := io.ReadFull(c, buf)
		total += n
		if err != nil {
			break
		}
		time.Sleep(250 * time.Millisecond) // longer than a second in all
	}
	if err := <-entered; err != nil || total < 64<<20 {
		t.Errorf("a slow client got %d bytes: %v", total, err)
	}
}

// TestUnreadBodyIsDrained is for handlers that answer without
// reading: net/http reads the rest before the next request.
func TestUnreadBodyIsDrained(t *testing.T) {
	h := start(t, "[[route]]\nredirect = '/x'")
	c, err := net.Dial("tcp", h.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"+strings.Repeat("x", 1000)+"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	r := bufio.NewReader(c)
	for range 2 {
		response, err := http.ReadResponse(r, nil)
		if err != nil || response.StatusCode != 308 {
			t.Fatalf("%v", err)
		}
	}
}

// TestConnectionLimit holds that connections beyond the limit wait and come in
// when others leave.
func TestConnectionLimit(t *testing.T) {
	h := start(t, "[server]\nlisten = '127.0.0.1:0'\nlimits.connections = 2\n[[route]]\nredirect = '/x'")
	var conns []net.Conn
	for range 2 {
		c, err := net.Dial("tcp", h.addr())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	eventually(t, "both are accepted", func() bool {
		h.slots.mu.Lock()
		defer h.slots.mu.Unlock()
		return h.slots.used == 2
	})
	answer := make(chan string)
	go func() { answer <- h.raw("GET / HTTP/1.0\r\n\r\n") }()
	select {
	case a := <-answer:
		t.Errorf("a connection too many is answered: %q", a)
	case <-time.After(100 * time.Millisecond):
	}
	_ = conns[0].Close()
	if a := <-answer; !strings.HasPrefix(a, "HTTP/1.0 308") {
		t.Errorf("%q", a)
	}
	_ = conns[1].Close()
}
