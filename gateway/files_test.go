package gateway

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	page := strings.Repeat("<p>hello</p>\n", 100)
	write(t, dir, "public/index.html", page)
	write(t, dir, "public/sub/index.html", "sub")
	write(t, dir, "public/empty/x", "")
	write(t, dir, "public/a b.txt", "0123456789")
	write(t, dir, "public/.env", "secret")
	write(t, dir, "public/.git/config", "secret")
	write(t, dir, "public/.well-known/security.txt", "contact")
	write(t, dir, "secret.txt", "secret")
	for link, to := range map[string]string{"inside.txt": "a b.txt", "outside.txt": "../secret.txt", "absolute.txt": filepath.Join(dir, "secret.txt"), "up": "..", "loop": "loop"} {
		if err := os.Symlink(to, filepath.Join(dir, "public", link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "public/pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	h := startIn(t, dir, "[[route]]\nmatch.path = '/nolinks/*'\nstrip = '/nolinks'\nstatic = { dir = 'public', symlinks = 'none' }\n"+
		"[[route]]\nmatch.path = '/spa/*'\nstrip = '/spa'\nstatic = { dir = 'public', fallback = 'index.html', cache_control = 'no-cache' }\n"+
		"[[route]]\nstatic = 'public'", Options{})
	for _, c := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/", 200, page}, {"GET", "/index.html", 200, page}, {"GET", "/sub/", 200, "sub"}, {"GET", "/a%20b.txt", 200, "0123456789"},
		{"GET", "/empty/", 404, ""}, {"GET", "/none", 404, ""}, {"GET", "/index.html/", 404, ""}, {"GET", "/index.html/x", 404, ""},
		{"GET", "/.env", 404, ""}, {"GET", "/.git/config", 404, ""}, {"GET", "/sub/../.env", 404, ""}, {"GET", "/%2eenv", 404, ""},
		{"GET", "/.well-known/security.txt", 200, "contact"}, {"GET", "/../secret.txt", 404, ""}, {"GET", "/%2e%2e/secret.txt", 404, ""},
		{"GET", "/..%2fsecret.txt", 400, ""}, {"GET", "/sub%2f..%2f..%2fsecret.txt", 400, ""}, {"GET", "/..%5csecret.txt", 400, ""},
		{"GET", "/inside.txt", 200, "0123456789"}, {"GET", "/outside.txt", 404, ""}, {"GET", "/absolute.txt", 404, ""}, {"GET", "/up/secret.txt", 404, ""},
		{"GET", "/loop", 404, ""}, {"GET", "/pipe", 404, ""}, {"GET", "/" + strings.Repeat("x", 300), 404, ""},
		{"GET", "/nolinks/inside.txt", 404, ""}, {"GET", "/nolinks/sub/", 200, "sub"}, {"GET", "/nolinks/", 200, page},
		{"GET", "/spa/some/route", 200, page}, {"GET", "/spa/none.js", 404, ""}, {"GET", "/spa/.env", 404, ""},
		{"POST", "/", 405, ""}, {"DELETE", "/index.html", 405, ""}, {"HEAD", "/sub/", 200, ""},
	} {
		r, text := h.do(c.method, c.path, nil)
		if r.StatusCode != c.status || c.status == 200 && text != c.body || strings.Contains(text, "secret") {
			t.Errorf("%s %s: %d %.40q, want %d %.40q", c.method, c.path, r.StatusCode, text, c.status, c.body)
		}
	}
	for path, want := range map[string]string{"/sub": "/sub/", "/sub?a=b": "/sub/?a=b", "//sub": "/sub/", "/spa/sub": "/spa/sub/", "/./sub": "/sub/"} {
		if r, _ := h.get(path); r.StatusCode != 308 || r.Header.Get("Location") != want {
			t.Errorf("%s: %d to %q, want %q", path, r.StatusCode, r.Header.Get("Location"), want)
		}
	}
	r, _ := h.get("/a%20b.txt")
	tag, modified := r.Header.Get("Etag"), r.Header.Get("Last-Modified")
	if tag == "" || modified == "" || r.Header.Get("X-Content-Type-Options") != "nosniff" || r.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%v", r.Header)
	}
	for _, c := range []struct {
		headers []string
		status  int
		body    string
	}{
		{[]string{"Range", "bytes=2-4"}, 206, "234"}, {[]string{"Range", "bytes=-2"}, 206, "89"}, {[]string{"Range", "bytes=20-"}, 416, ""},
		{[]string{"If-None-Match", tag}, 304, ""}, {[]string{"If-None-Match", `"other"`}, 200, "0123456789"}, {[]string{"If-Modified-Since", modified}, 304, ""},
		{[]string{"If-Match", `"other"`}, 412, ""}, {[]string{"Range", "bytes=2-4", "If-Range", tag}, 206, "234"},
		{[]string{"Range", "bytes=2-4", "If-Range", `"other"`}, 200, "0123456789"},
	} {
		if r, text := h.get("/a%20b.txt", c.headers...); r.StatusCode != c.status || c.body != "" && text != c.body {
			t.Errorf("%v: %d %q", c.headers, r.StatusCode, text)
		}
	}
	if r, _ := h.get("/spa/x"); r.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("%v", r.Header)
	}
}

func unpack(t *testing.T, encoding, text string) string {
	t.Helper()
	var r io.Reader
	var err error
	switch encoding {
	case "":
		return text
	case "zstd":
		var d *zstd.Decoder
		d, err = zstd.NewReader(strings.NewReader(text))
		defer d.Close()
		r = d
	case "gzip":
		r, err = gzip.NewReader(strings.NewReader(text))
	case "br":
		r = brotli.NewReader(strings.NewReader(text))
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCompression(t *testing.T) {
	dir := t.TempDir()
	page := strings.Repeat("<p>hello</p>\n", 1000)
	write(t, dir, "page.html", page)
	write(t, dir, "small.html", "small")
	write(t, dir, "image.png", page)
	b := backend(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, page)
	})
	h := startIn(t, dir, "[[route]]\nmatch.path = '/app'\napp = 'text'\n[[route]]\nmatch.path = '/plain'\napp = 'text'\ncompress = false\n"+
		"[[upstream]]\nname = 'u'\nurl = '"+b.URL+"'\n[[route]]\nmatch.path = '/up'\nupstream = 'u'\n[[route]]\nmatch.path = '/up-packed'\nupstream = 'u'\ncompress = true\n[[route]]\nstatic = '.'", Options{})
	appText := strings.Repeat("well compressible text ", 400)
	for _, c := range []struct{ path, accept, encoding, body string }{
		{"/page.html", "gzip, br, zstd", "zstd", page}, {"/page.html", "gzip, br", "br", page}, {"/page.html", "gzip", "gzip", page},
		{"/page.html", "gzip;q=0, br;q=0.0", "", page}, {"/page.html", "", "", page}, {"/page.html", "zstd;q=0, GZIP;q=0.5", "gzip", page}, {"/page.html", "identity", "", page},
		{"/small.html", "gzip", "", "small"}, {"/image.png", "gzip", "", page}, {"/app", "br", "br", appText}, {"/plain", "br", "", appText},
		{"/up", "gzip", "", page}, {"/up-packed", "zstd", "zstd", page},
	} {
		r, text := h.get(c.path, "Accept-Encoding", c.accept)
		if got := r.Header.Get("Content-Encoding"); got != c.encoding || unpack(t, got, text) != c.body {
			t.Errorf("%s for %q: %q of %d bytes, want %q", c.path, c.accept, got, len(text), c.encoding)
		}
		if c.encoding != "" && (!strings.HasPrefix(r.Header.Get("Etag"), "W/") && r.Header.Get("Etag") != "" || r.Header.Get("Vary") != "Accept-Encoding" || len(text) > len(c.body)/2) {
			t.Errorf("%s for %q: %v, %d bytes", c.path, c.accept, r.Header, len(text))
		}
	}
	// A tag of the compressed form is known again.
	r, _ := h.get("/page.html", "Accept-Encoding", "gzip")
	if r, _ := h.get("/page.html", "Accept-Encoding", "gzip", "If-None-Match", r.Header.Get("Etag")); r.StatusCode != 304 || r.Header.Get("Vary") == "" {
		t.Errorf("%d %v", r.StatusCode, r.Header)
	}
	if r, text := h.get("/page.html", "Accept-Encoding", "gzip", "Range", "bytes=0-2"); r.StatusCode != 206 || text != "<p>" || r.Header.Get("Content-Encoding") != "" {
		t.Errorf("%d %q %v", r.StatusCode, text, r.Header)
	}
	if r, text := h.do("HEAD", "/page.html", nil, "Accept-Encoding", "gzip"); r.StatusCode != 200 || text != "" || r.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("%d %q %v", r.StatusCode, text, r.Header)
	}
}

func TestPrecompressed(t *testing.T) {
	dir := t.TempDir()
	page := strings.Repeat("<p>hello</p>\n", 1000)
	write(t, dir, "page.html", page)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = io.WriteString(w, page)
	_ = w.Close()
	write(t, dir, "page.html.gz", packed.String())
	h := startIn(t, dir, "[[route]]\nstatic = '.'", Options{})
	r, text := h.get("/page.html", "Accept-Encoding", "gzip")
	if text != packed.String() || r.Header.Get("Content-Encoding") != "gzip" || r.Header.Get("Content-Type") != "text/html; charset=utf-8" ||
		r.Header.Get("Vary") != "Accept-Encoding" || !strings.HasSuffix(r.Header.Get("Etag"), `-gzip"`) {
		t.Errorf("%d bytes, %v", len(text), r.Header)
	}
	if r, text := h.get("/page.html", "Accept-Encoding", "gzip", "Range", "bytes=0-9"); r.StatusCode != 206 || text != packed.String()[:10] {
		t.Errorf("a range of the packed file: %d %q", r.StatusCode, text)
	}
	// One that is older than its file is not taken.
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "page.html.gz"), past, past); err != nil {
		t.Fatal(err)
	}
	if r, text := h.get("/page.html", "Accept-Encoding", "gzip"); strings.HasSuffix(r.Header.Get("Etag"), `-gzip"`) || unpack(t, "gzip", text) != page {
		t.Error("a stale packed file is served")
	}
}
