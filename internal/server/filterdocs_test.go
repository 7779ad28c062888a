package server

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hako-run/hako/internal/guestbuild"
)

// TestFilterDocs serves the configuration in docs/filters.md.
func TestFilterDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/filters.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```toml\n(.*?)```").FindSubmatch(text)
	if block == nil {
		t.Fatal("docs/filters.md has no configuration")
	}
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "shop") }))
	defer up.Close()
	header := "../../guest/c/proxy_wasm.h"
	module := guestbuild.C(t, []string{"-O2", "-mexec-model=reactor", "-I", filepath.Dir(header), "../../examples/filters/c/greeting.c"}, header)
	own := string(bytes.TrimSpace(block[1]))
	for shown, ours := range map[string]string{
		"[server]\nlisten = [\"127.0.0.1:8080\"]\n": "", "bin/greeting-c.wasm": module, "http://127.0.0.1:9000": up.URL,
	} {
		if strings.Count(own, shown) != 1 {
			t.Fatalf("the configuration has no %q, or several", shown)
		}
		own = strings.Replace(own, shown, ours, 1)
	}
	s := &filterSite{t: t, dir: t.TempDir(), up: up.URL, log: &lockedBuffer{}, access: &lockedBuffer{}}
	s.start(own)
	for _, c := range []struct {
		path, greeting string
		status         int
	}{{"/", "good day", 200}, {"/evening/x", "good evening", 200}, {"/plain/x", "", 200}, {"/private", "good day", 403}} {
		res, err := http.Get(s.url + c.path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if got := res.Header.Get("X-Greeting"); res.StatusCode != c.status || got != c.greeting {
			t.Errorf("%s: %d %q %s", c.path, res.StatusCode, got, body)
		}
	}
}
