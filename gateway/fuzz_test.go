package gateway

import (
	"io"
	"net"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/hako-run/hako/config"
)

// FuzzPath holds that what is passed on means the path that was matched,
// however the next one reads it, and that cleaning it again changes nothing.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"/", "/a/../b", "/a/%2e%2e/b", "/a%2f..%2fb", "//a//../b", "/a/.", "/%2e", "/a\\..\\b", "/%5c..%5c", "/a%00", "/..%2f", "/a/..;/b", "/%25%32%65"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.ParseRequestURI(text)
		if err != nil || u.Host != "" || u.Opaque != "" {
			return
		}
		match, raw, ok := cleanPath(u)
		if !ok {
			return
		}
		if match == "" || match[0] != '/' || strings.IndexByte(match, 0) >= 0 || strings.Contains(match, "//") {
			t.Fatalf("%q is matched as %q", text, match)
		}
		setPath(u, match, raw)
		sent := u.EscapedPath()
		again, err := url.ParseRequestURI(sent)
		if err != nil {
			t.Fatalf("%q is passed on as %q, which is no path: %v", text, sent, err)
		}
		m2, r2, ok := cleanPath(again)
		if !ok || m2 != match {
			t.Fatalf("%q is matched as %q and passed on as %q, which is matched as %q, %v", text, match, sent, m2, ok)
		}
		setPath(again, m2, r2)
		if again.EscapedPath() != sent {
			t.Fatalf("%q becomes %q and then %q", text, sent, again.EscapedPath())
		}
		// A program that resolves escapes and dot segments in one go gets no
		// further than one that does not.
		if plain := path.Clean(strings.ReplaceAll(again.Path, "\\", "/")); !strings.Contains(again.Path, "\\") && plain != path.Clean(match) {
			t.Fatalf("%q is matched as %q, and could be read as %q", text, match, plain)
		}
	})
}

// FuzzRouter compares the router with trying one route after the other.
func FuzzRouter(f *testing.F) {
	f.Add("a.test", "/x/y", "GET")
	f.Add("b.a.test", "/x", "HEAD")
	f.Add("", "/", "POST")
	var routes []*route
	for _, m := range []config.Match{
		{Host: []config.HostPattern{"a.test", "*.b.test"}, Path: []config.PathPattern{"/x/*"}},
		{Host: []config.HostPattern{"*.a.test"}, Method: []string{"GET"}},
		{Path: []config.PathPattern{"/x", "/y/*"}, Method: []string{"POST", "PUT"}},
		{Host: []config.HostPattern{"a.test"}},
		{Host: []config.HostPattern{"*"}, Path: []config.PathPattern{"/z/*"}},
		{Method: []string{"GET"}},
	} {
		routes = append(routes, &route{config: &config.Route{Match: m}})
	}
	router := newRouter(routes)
	f.Fuzz(func(t *testing.T, host, path, method string) {
		host = hostOf(host)
		var want *route
		for _, r := range routes {
			if r.matchesHost(host) && r.matches(method, path) {
				want = r
				break
			}
		}
		if got, _ := router.find(host, method, path); got != want {
			t.Fatalf("%s %s%s finds %v, want %v", method, host, path, got, want)
		}
	})
}

// FuzzRaw sends bytes to a gateway over a real connection: it neither crashes
// nor answers with anything but HTTP.
func FuzzRaw(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-\r\nAccept-Encoding: zstd\r\n\r\n",
	} {
		f.Add(s)
	}
	dir := f.TempDir()
	write(f, dir, "index.html", strings.Repeat("page ", 1000))
	h := startIn(f, dir, "[server]\nlisten = '127.0.0.1:0'\nh2c = true\ntimeouts = { header = '50ms', body = '50ms', idle = '50ms' }\n[[route]]\nmatch.path = '/echo'\napp = 'echo'\n[[route]]\nstatic = '.'", Options{})
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<16 {
			return
		}
		conn, err := net.Dial("tcp", h.addr())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.WriteString(conn, text)
		_ = conn.(*net.TCPConn).CloseWrite()
		b, _ := io.ReadAll(conn)
		answer := string(b)
		// HTTP/2 answers in frames.
		if answer != "" && !strings.HasPrefix(answer, "HTTP/1.") && !strings.HasPrefix(text, "PRI * HTTP/2.0") {
			t.Fatalf("%q is answered %q", text, answer)
		}
		if log := h.log.String(); strings.Contains(log, "crashed") {
			t.Fatalf("%q makes a handler crash:\n%s", text, log)
		}
	})
}
