package gateway

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hako-run/hako/config"
)

// A filedApp says which requests reached it.
type filedApp struct {
	files *AppFiles
}

func (a *filedApp) Files() *AppFiles { return a.files }

func (a *filedApp) ServeApp(w http.ResponseWriter, r *http.Request, acc *Account) {
	acc.Pinned = acc.Pin
	fmt.Fprintf(w, "app %s", r.URL.Path)
}

// The app's files are sent without it; whatever it runs, hides or keeps for
// itself is not.
func TestAppFiles(t *testing.T) {
	dir := t.TempDir()
	css := strings.Repeat("body { color: red }\n", 200)
	for name, text := range map[string]string{
		"core/index.php": "<?php secret", "core/wp-config.php": "<?php secret", "core/style.css": css, "core/a b.txt": "0123456789",
		"core/.htaccess": "secret", "core/.well-known/x.txt": "contact", "core/wp-content/shadowed.txt": "secret", "core/tmp/x.txt": "secret",
		"core/SHOUT.PHP": "secret", "core/x.phtml": "secret", "core/x.php5": "secret", "core/wp-config.php~": "secret", "core/wp-config.php.bak": "secret",
		"core/dump.sql": "secret", "core/dump.sql.gz": "secret", "core/site.sqlite3": "secret", "core/debug.LOG": "secret", "core/notes.inc": "secret",
		"core/private/x.txt": "secret", "core/sub/index.html": "index", "core/pack.js": css, "core/pack.js.gz": "packed",
		"content/uploads/photo.jpg": "jpeg", "content/uploads/evil.php": "<?php secret", "content/uploads/font.woff2": "font",
		"content/uploads/php.jpg": "jpeg", "content/evil.php/x.jpg": "secret", "content/.ht.sqlite": "secret",
		"secret.txt": "secret",
	} {
		write(t, dir, name, text)
	}
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(filepath.Join(dir, "core/pack.js.gz"), later, later); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"core/inside.txt": "a b.txt", "core/out.txt": "../secret.txt", "content/up": "..", "content/core": "../core"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	c := &config.AppFiles{Root: "/srv", Scripts: []string{".php"}, Deny: []config.FilePattern{"/private/*"}, CacheControl: "max-age=60"}
	files, err := OpenAppFiles(c, []Mount{
		{"/srv/wp-content", filepath.Join(dir, "content")}, {"/srv", filepath.Join(dir, "core")}, {"/srv/tmp", ""}, {"/etc", dir},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	a := &filedApp{files: files}
	h := startIn(t, dir, "[[app]]\nname = 'site'\nimage = 'x.wasm'\n[[route]]\napp = 'site'\npin = ['query', 'cookie']\n",
		Options{Apps: func(string) (App, error) { return a, nil }})
	for _, c := range []struct {
		method, path string
		status       int
		body         string // "app": the app answers
	}{
		{"GET", "/style.css", 200, css}, {"HEAD", "/style.css", 200, ""}, {"GET", "/a%20b.txt", 200, "0123456789"}, {"GET", "/style.css?ver=1", 200, css},
		{"GET", "/.well-known/x.txt", 200, "contact"}, {"GET", "/wp-content/uploads/photo.jpg", 200, "jpeg"}, {"GET", "//wp-content//uploads/photo.jpg", 200, "jpeg"},
		{"GET", "/wp-content/uploads/php.jpg", 200, "jpeg"}, {"GET", "/inside.txt", 200, "0123456789"},
		{"POST", "/style.css", 200, "app"}, {"OPTIONS", "/style.css", 200, "app"},
		{"GET", "/", 200, "app"}, {"GET", "/index.php", 200, "app"}, {"GET", "/sub/", 200, "app"}, {"GET", "/sub", 200, "app"}, {"GET", "/style.css/", 200, "app"},
		{"GET", "/some/permalink/", 200, "app"}, {"GET", "/none.css", 200, "app"}, {"GET", "/wp-config.php", 200, "app"}, {"GET", "/wp-config.php/x.css", 200, "app"},
		{"GET", "/wp-content/uploads/evil.php", 200, "app"}, {"GET", "/wp-content/evil.php/x.jpg", 200, "app"}, {"GET", "/.htaccess", 200, "app"},
		{"GET", "/wp-content/.ht.sqlite", 200, "app"}, {"GET", "/%2ehtaccess", 200, "app"}, {"GET", "/wp-content/shadowed.txt", 200, "app"},
		{"GET", "/tmp/x.txt", 200, "app"}, {"GET", "/out.txt", 200, "app"}, {"GET", "/wp-content/up/secret.txt", 200, "app"},
		{"GET", "/wp-content/core/style.css", 200, "app"}, {"GET", "/../secret.txt", 200, "app"}, {"GET", "/%2e%2e/etc/secret.txt", 200, "app"},
		{"GET", "/secret.txt", 200, "app"}, {"GET", "/none.sql", 200, "app"}, {"GET", "/a%5cb.txt", 200, "app"},
		{"GET", "/SHOUT.PHP", 404, ""}, {"GET", "/x.phtml", 404, ""}, {"GET", "/x.php5", 404, ""}, {"GET", "/wp-config.php~", 404, ""},
		{"GET", "/wp-config.php.bak", 404, ""}, {"GET", "/dump.sql", 404, ""}, {"POST", "/dump.sql", 404, ""}, {"GET", "/dump.sql.gz", 404, ""},
		{"GET", "/site.sqlite3", 404, ""}, {"GET", "/debug.LOG", 404, ""}, {"GET", "/notes.inc", 404, ""}, {"GET", "/private/x.txt", 404, ""},
		{"GET", "/..%2fsecret.txt", 400, ""}, {"GET", "/a%00b", 400, ""},
	} {
		r, text := h.do(c.method, c.path, nil)
		if c.body == "app" {
			if r.StatusCode != 200 || !strings.HasPrefix(text, "app ") && c.method != "HEAD" {
				t.Errorf("%s %s: %d %.60q, want the app's answer", c.method, c.path, r.StatusCode, text)
			}
			continue
		}
		if r.StatusCode != c.status || c.status == 200 && text != c.body || strings.Contains(text, "secret") {
			t.Errorf("%s %s: %d %.60q, want %d %.40q", c.method, c.path, r.StatusCode, text, c.status, c.body)
		}
	}
	r, _ := h.get("/wp-content/uploads/font.woff2")
	tag, modified := r.Header.Get("Etag"), r.Header.Get("Last-Modified")
	if tag == "" || modified == "" || r.Header.Get("Content-Type") != "font/woff2" || r.Header.Get("Cache-Control") != "max-age=60" || r.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%v", r.Header)
	}
	for _, c := range []struct {
		headers []string
		status  int
		body    string
	}{
		{[]string{"Range", "bytes=1-2"}, 206, "on"}, {[]string{"If-None-Match", tag}, 304, ""}, {[]string{"If-Modified-Since", modified}, 304, ""},
	} {
		if r, text := h.get("/wp-content/uploads/font.woff2", c.headers...); r.StatusCode != c.status || text != c.body {
			t.Errorf("%v: %d %q", c.headers, r.StatusCode, text)
		}
	}
	if r, text := h.get("/style.css", "Accept-Encoding", "gzip"); r.Header.Get("Content-Encoding") != "gzip" || len(text) > len(css)/2 {
		t.Errorf("compressed: %v", r.Header)
	}
	if r, text := h.get("/pack.js", "Accept-Encoding", "gzip"); r.Header.Get("Content-Encoding") != "gzip" || text != "packed" {
		t.Errorf("compressed before: %v, %q", r.Header, text)
	}
	// A browser that looks at an old page stays there though the page's files
	// are those of today.
	if r, _ := h.get("/style.css", "Cookie", "hako-snapshot=shop%401"); len(r.Header["Set-Cookie"]) > 0 || r.Header.Get("Cache-Control") != "max-age=60" {
		t.Errorf("pinned: %v", r.Header)
	}
	if r, _ := h.get("/page", "Cookie", "hako-snapshot=shop%401"); r.Header.Get("X-Hako-Snapshot") != "shop@1" {
		t.Errorf("pinned page: %v", r.Header)
	}
	if strings.Contains(h.log.String(), "level=ERROR") {
		t.Errorf("%s", h.log)
	}
}

func TestOpenAppFiles(t *testing.T) {
	if _, err := OpenAppFiles(&config.AppFiles{Root: "/srv"}, []Mount{{"/srv", t.TempDir()}, {"/srv/x", "/none/at/all"}}); err == nil {
		t.Error("a folder that is not there is taken")
	}
}

// FuzzAppFiles looks for a path under which a file is sent that must not be.
func FuzzAppFiles(f *testing.F) {
	dir := f.TempDir()
	for _, name := range []string{"a.css", "b.php", "c.PHP", ".d", "sub/e.php", "sub/.f", "g.sql", "private/h"} {
		text := "secret"
		if name == "a.css" {
			text = "open"
		}
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			f.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			f.Fatal(err)
		}
	}
	files, err := OpenAppFiles(&config.AppFiles{Root: "/srv", Scripts: []string{".php"}, Deny: []config.FilePattern{"/private/*"}}, []Mount{{"/srv", dir}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { files.Close() })
	for _, seed := range []string{"/a.css", "/b.php", "/c.PHP", "/.d", "/sub/../.d", "/sub/./e.php", "//private//h", "/g.sql", "/b.php/", "/b.php\x00.css", "/sub\\.f"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		name = "/" + strings.TrimLeft(name, "/")
		if hidden(name[1:]) || files.script(name) || files.denied(name) {
			return
		}
		file, info, err := files.open(name)
		if err != nil {
			return
		}
		defer file.Close()
		if info.Mode().IsRegular() && filepath.Base(file.Name()) != "a.css" {
			t.Errorf("%q opens %s", name, file.Name())
		}
	})
}
