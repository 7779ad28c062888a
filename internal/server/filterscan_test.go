package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hako-run/hako/internal/guestbuild"
)

// slow yields size bytes, and says what they hash to.
type slow struct {
	left int
	next byte
}

func (s *slow) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), s.left)
	for i := range p[:n] {
		p[i] = s.next
		s.next = s.next*5 + 1
	}
	s.left -= n
	return n, nil
}

// scanned starts a server whose uploads examples/filters/c/scan.c, or another
// plugin that does the same, has looked at by a service.
func scanned(t *testing.T, module, more string) (s *filterSite, uploads *atomic.Int64) {
	t.Helper()
	uploads = &atomic.Int64{}
	scanner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("X-Path") {
		case "/early":
			http.Error(w, "not even read", http.StatusForbidden)
			return
		case "/broken":
			panic(http.ErrAbortHandler)
		case "/hang":
			_, _ = io.Copy(io.Discard, r.Body) // without which net/http does not see that the client has gone
			<-r.Context().Done()
			return
		}
		// A scanner that is slow, so that the plugin has to wait.
		hash, buffer, bad := sha256.New(), make([]byte, 100_000), false
		for n := 0; ; n++ {
			size, err := r.Body.Read(buffer)
			hash.Write(buffer[:size])
			bad = bad || bytes.Contains(buffer[:size], []byte("EICAR"))
			if err != nil {
				break
			}
			if n%16 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		if bad {
			w.WriteHeader(http.StatusForbidden)
		}
		fmt.Fprintf(w, "%x", hash.Sum(nil))
	}))
	t.Cleanup(scanner.Close)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		uploads.Add(1)
		hash := sha256.New()
		n, err := io.Copy(hash, r.Body)
		if err != nil {
			return
		}
		fmt.Fprintf(w, "%d %d %x", r.ContentLength, n, hash.Sum(nil))
	}))
	t.Cleanup(up.Close)
	s = &filterSite{t: t, dir: t.TempDir(), module: module, up: up.URL, log: &lockedBuffer{}, access: &lockedBuffer{}}
	s.start(fmt.Sprintf(`
[[upstream]]
name = "scanner"
url = [%q]
[[filter]]
name = "scan"
MODULE
config = "scanner"
headers_may_stop = true
allow = ["http_call:scanner"]
limits = { cpu = "10s", memory = "16MiB", spool = "64MiB" }
%s
[[route]]
filters = ["scan"]
upstream = "up"
max_body = "1GiB"
`, scanner.URL, more))
	return s, uploads
}

func scanC(t *testing.T) string {
	headers := []string{"../../guest/c/proxy_wasm_hako.h", "../../guest/c/proxy_wasm.h"}
	return guestbuild.C(t, []string{"-O2", "-mexec-model=reactor", "-I", filepath.Dir(headers[0]), "../../examples/filters/c/scan.c"}, headers...)
}

// scanGo is the same in Go, with package guest/filter.
func scanGo(t *testing.T) string {
	return guestbuild.Go(t, "../../examples/filters/scan", "-buildmode=c-shared")
}

// TestFilterScans: uploads larger than a plugin may hold are looked at by a
// service, and go on afterwards, from a file.
func TestFilterScans(t *testing.T) {
	for name, module := range map[string]func(*testing.T) string{"C": scanC, "Go": scanGo} {
		t.Run(name, func(t *testing.T) { testScans(t, module(t)) })
	}
}

func testScans(t *testing.T, module string) {
	s, uploads := scanned(t, module, "")
	const size = 24 << 20 // more than the plugin's memory
	send := func(path string, body io.Reader, length int64) (int, string) {
		t.Helper()
		r, err := http.NewRequest("POST", s.url+path, body)
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = length
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
	whole, _ := io.ReadAll(&slow{left: size})
	sum := sha256.Sum256(whole)
	hash := hex.EncodeToString(sum[:])
	for _, length := range []int64{size, -1} {
		status, text := send("/", &slow{left: size}, length)
		if want := fmt.Sprintf("%d %d %s", size, size, hash); status != 200 || text != want {
			t.Errorf("length %d: %d %s, not %s", length, status, text, want)
		}
	}
	small := sha256.Sum256([]byte("hello"))
	if status, text := send("/", strings.NewReader("hello"), 5); status != 200 || text != fmt.Sprintf("5 5 %x", small) {
		t.Errorf("%d %s", status, text)
	}
	n := uploads.Load()
	eicar := append(bytes.Repeat([]byte("x"), 200_000), "EICAR"...)
	bad := sha256.Sum256(eicar)
	if status, text := send("/", bytes.NewReader(eicar), int64(len(eicar))); status != 403 || text != hex.EncodeToString(bad[:]) {
		t.Errorf("a bad upload: %d %s", status, text)
	}
	if status, text := send("/early", strings.NewReader("hello"), 5); status != 403 || text != "not even read\n" {
		t.Errorf("refused at once: %d %s", status, text)
	}
	if status, _ := send("/broken", strings.NewReader("hello"), 5); status != 503 {
		t.Errorf("a scanner that breaks: %d", status)
	}
	if status, _ := send("/", &slow{left: 65 << 20}, 65<<20); status != 413 {
		t.Errorf("more than may be kept: %d", status)
	}
	// What is left of such a body is not taken for the next request.
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", 65<<20)
		_, _ = io.Copy(conn, &slow{left: 65 << 20})
	}()
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	if b, _ := io.ReadAll(conn); strings.Count(string(b), "HTTP/1.1 ") != 1 || !strings.HasPrefix(string(b), "HTTP/1.1 413") {
		t.Errorf("one request got\n%s", b)
	}
	// A client that leaves ends the call.
	client := &http.Client{Timeout: 100 * time.Millisecond}
	if res, err := client.Post(s.url+"/hang", "", strings.NewReader("hello")); err == nil {
		text, _ := io.ReadAll(res.Body)
		t.Errorf("%s: %s\n%s", res.Status, text, s.log)
		res.Body.Close()
	}
	if got := uploads.Load() - n; got != 0 {
		t.Errorf("%d refused uploads went on", got)
	}
	// Nothing is left open, and no file.
	p := s.filters.plugins[0].plugin
	for end := time.Now().Add(20 * time.Second); p.Stats().Open > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%+v", p.Stats())
		}
	}
	if n := s.filters.spools.Used(); n != 0 {
		t.Errorf("%d bytes of bodies are said to be kept still", n)
	}
	if st := p.Stats(); st.Crashes > 0 {
		t.Errorf("%d crashes\n%s", st.Crashes, s.log)
	}
	if left, _ := filepath.Glob(filepath.Join(s.o.Data, "hako-body-*")); len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
}
