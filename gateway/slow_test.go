package gateway

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Who is too slow is told so, once, and who has nothing to say is not.
func TestSlowClientsAreTold(t *testing.T) {
	dir := t.TempDir()
	issue(t, dir, "a", "a.test")
	gaveUp := func(_ http.ResponseWriter, r *http.Request, _ *Account) {
		if _, err := io.ReadAll(r.Body); err != nil {
			panic(http.ErrAbortHandler) // as an app does whose client has gone
		}
	}
	h := startIn(t, dir, "[server]\nlisten = ['127.0.0.1:0', 'https://127.0.0.1:0']\ntls.certificates = [{ cert = 'a.pem', key = 'a.key' }]\ntimeouts.header = '2s'\ntimeouts.body = '2s'\ntimeouts.idle = '2s'\n[[app]]\nname = 'a'\nimage = 'x.wasm'\n[[route]]\napp = 'a'\nmax_body = '1KiB'", Options{
		Apps: func(string) (App, error) { return appFunc(gaveUp), nil },
	})
	const okay = "HTTP/1.1 200 OK"
	const late = "HTTP/1.1 408 Request Timeout"
	var clients sync.WaitGroup
	for i, address := range h.Addresses() {
		for _, c := range []struct {
			text string
			want []string // status lines
		}{
			{"", nil},
			{"G", []string{late}},
			{"GET / HTTP/1.1\r\nHost: a\r\n", []string{late}},
			{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", []string{okay}}, // then it is idle
			{"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", []string{okay, okay}},
			// What came along with the request before is not taken for a beginning.
			{"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a", []string{okay}},
			{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc", []string{late}},
			{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", []string{late}},
			{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n", []string{okay, okay}},
			{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" + strings.Repeat("x", 2000) + "\r\n0\r\n\r\n", []string{"HTTP/1.1 413 Request Entity Too Large"}},
		} {
			clients.Go(func() {
				var conn net.Conn
				var err error
				if i == 1 {
					conn, err = tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
				} else {
					conn, err = net.Dial("tcp", address)
				}
				if err != nil {
					t.Error(err)
					return
				}
				_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
				if _, err := io.WriteString(conn, c.text); err != nil {
					t.Error(err)
				}
				answer, _ := io.ReadAll(conn)
				_ = conn.Close()
				var got []string
				for line := range strings.Lines(string(answer)) {
					if strings.HasPrefix(line, "HTTP/") {
						got = append(got, strings.TrimSpace(line))
					}
				}
				if strings.Join(got, "|") != strings.Join(c.want, "|") {
					t.Errorf("listener %d, %.70q: answered %q, want %q", i, c.text, got, c.want)
				}
			})
		}
	}
	clients.Wait()
}

// A body that nobody wants does not harm the requests that follow it.
func TestUnreadBody(t *testing.T) {
	h := startIn(t, t.TempDir(), "[[route]]\nmatch.path = '/text'\napp = 'text'\n[[route]]\napp = 'show'", Options{})
	body := strings.Repeat("x", 1000)
	for _, path := range []string{"/text", "/"} {
		for _, rest := range []string{
			"Content-Length: 1000\r\n\r\n" + body,
			"Transfer-Encoding: chunked\r\n\r\n3e8\r\n" + body + "\r\n0\r\n\r\n",
		} {
			for _, late := range []int{0, 10, 1000} {
				conn, err := net.Dial("tcp", h.addr())
				if err != nil {
					t.Fatal(err)
				}
				_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
				in := bufio.NewReader(conn)
				for i := range 3 {
					text := "POST " + path + " HTTP/1.1\r\nHost: a\r\n" + rest
					if _, err := io.WriteString(conn, text[:len(text)-late]); err != nil {
						t.Fatal(err)
					}
					if late > 0 {
						// The answer begins before all was sent.
						if _, err := in.Peek(1); err != nil {
							t.Fatalf("%s, %d bytes late: %v", path, late, err)
						}
						_, _ = io.WriteString(conn, text[len(text)-late:])
					}
					r, err := http.ReadResponse(in, nil)
					if err != nil {
						t.Fatalf("%s, %d bytes late, answer %d: %v", path, late, i, err)
					}
					if _, err := io.Copy(io.Discard, r.Body); err != nil || r.StatusCode != 200 || r.Close {
						t.Errorf("%s, %d bytes late, answer %d: %d, closes %t, %v", path, late, i, r.StatusCode, r.Close, err)
					}
				}
				_ = conn.Close()
			}
		}
	}
	if strings.Contains(h.log.String(), "invalid") {
		t.Error("net/http complains")
	}
}
