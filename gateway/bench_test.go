package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// BenchmarkRequest measures a request over one kept connection to the gateway,
// client and, for upstream, its server included; direct is the same server
// without a gateway.
func BenchmarkRequest(b *testing.B) {
	answer := func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{"text/plain"}
		_, _ = io.WriteString(w, strings.Repeat("x", 1024))
	}
	dir := b.TempDir()
	write(b, dir, "file.bin", strings.Repeat("x", 1024))
	server := backend(b, answer)
	h := startIn(b, dir, "[server]\nlisten = '127.0.0.1:0'\nlog.access = 'off'\n[[app]]\nname = 'a'\nimage = 'x.wasm'\n[[route]]\nmatch.path = '/app'\napp = 'a'\n"+
		"[[upstream]]\nname = 'u'\nurl = '"+server.URL+"'\n[[route]]\nmatch.path = '/upstream'\nupstream = 'u'\n[[route]]\nstatic = '.'", Options{
		Apps: func(string) (App, error) {
			return appFunc(func(w http.ResponseWriter, r *http.Request, _ *Account) { answer(w, r) }), nil
		},
	})
	for _, c := range []struct{ name, address, path string }{
		{"direct", server.Listener.Addr().String(), "/"}, {"app", h.addr(), "/app"}, {"static", h.addr(), "/file.bin"}, {"upstream", h.addr(), "/upstream"},
	} {
		b.Run(c.name, func(b *testing.B) {
			conn, err := net.Dial("tcp", c.address)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			lines := bufio.NewReader(conn)
			request := []byte("GET " + c.path + " HTTP/1.1\r\nHost: a\r\nUser-Agent: bench\r\n\r\n")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := conn.Write(request); err != nil {
					b.Fatal(err)
				}
				for { // the header, by hand: the client shall cost next to nothing
					line, err := lines.ReadSlice('\n')
					if err != nil {
						b.Fatal(err)
					}
					if len(line) <= 2 {
						break
					}
				}
				if _, err := lines.Discard(1024); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
