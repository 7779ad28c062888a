// Package phpapp tests the PHP application beside it.
package phpapp

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hako-run/hako/config"
	"github.com/hako-run/hako/internal/server"
	"github.com/hako-run/hako/php"
)

var token = regexp.MustCompile(`name="token" value="([0-9a-f]+)"`)

// A visitor is a browser.
type visitor struct {
	t    *testing.T
	base string
	http.Client
}

func newVisitor(t *testing.T, base string) *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, base: base, Client: http.Client{Jar: jar}}
}

// see makes a request and looks for texts in the answer.
func (v *visitor) see(path string, form url.Values, status int, want ...string) (*http.Response, string) {
	v.t.Helper()
	var resp *http.Response
	var err error
	if form == nil {
		resp, err = v.Get(v.base + path)
	} else {
		resp, err = v.PostForm(v.base+path, form)
	}
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status {
		v.t.Errorf("%s: %d, %v, want %d\n%s", path, resp.StatusCode, err, status, b)
	}
	for _, w := range want {
		if !strings.Contains(string(b), w) {
			v.t.Errorf("%s lacks %q:\n%s", path, w, b)
		}
	}
	return resp, string(b)
}

func TestNotes(t *testing.T) {
	dir, err := php.Build()
	if err != nil {
		t.Fatal(err)
	}
	data, sessions := t.TempDir(), t.TempDir()
	// What is compiled is kept from one run of the test to the next.
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	compiled := filepath.Join(cache, "hako", "compiled")
	if err := os.MkdirAll(compiled, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(compiled, filepath.Join(data, "compiled")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("hako.toml")
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"PORT": "0", "HAKO_DATA": data, "PHP": filepath.Join(dir, php.Worker), "SESSIONS": sessions}
	c, err := config.Parse(filepath.Join(here, "hako.toml"), text, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s, err := server.Start(ctx, c, server.Options{Data: data, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), AccessLog: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	base := "http://" + s.Addresses()[0]

	ann := newVisitor(t, base)
	_, page := ann.see("/", nil, 200, "There is nothing here yet")
	found := token.FindStringSubmatch(page)
	if found == nil {
		t.Fatalf("no token in\n%s", page)
	}
	ann.see("/notes", url.Values{"title": {"A <b>title</b> ä"}, "text": {"of\nlines"}, "token": {found[1]}}, 200, "A &lt;b&gt;title&lt;/b&gt; ä", "of<br />")
	ann.see("/notes", url.Values{"title": {"second"}, "token": {found[1]}}, 200, "second")
	ann.see("/notes", url.Values{"title": {""}, "token": {found[1]}}, 422, "A note needs a title")
	ann.see("/?q=title", nil, 200, "A &lt;b&gt;")
	ann.see("/notes/99", nil, 404, "There is no such page")
	ann.see("/some/where", nil, 404, "There is no such page")
	// Another's session has another token, and none has none.
	bob := newVisitor(t, base)
	bob.see("/notes", url.Values{"title": {"x"}, "token": {found[1]}}, 403, "too old")
	resp, body := bob.see("/api/notes", nil, 200)
	var api struct {
		Version int
		Notes   []struct{ Title string }
	}
	if err := json.Unmarshal([]byte(body), &api); err != nil || api.Version != 3 || len(api.Notes) != 2 {
		t.Errorf("%v, %s", err, body)
	}
	if v := resp.Header.Get("X-Hako-Version"); v != "notes@3" {
		t.Errorf("version %q", v)
	}
	ann.see("/notes/1/delete", url.Values{"token": {found[1]}}, 200, "second")
	ann.see("/notes/1", nil, 404)
	if resp, _ := ann.see("/assets/style.css", nil, 200, "font:"); resp.Header.Get("Cache-Control") != "max-age=3600" {
		t.Errorf("%v", resp.Header)
	}
	ann.see("/index.php/x", nil, 404)
	ann.see("/../src/App.php", nil, 404)
}
