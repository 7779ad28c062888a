package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hako-run/hako/config"
	"github.com/hako-run/hako/internal/guestbuild"
	"github.com/hako-run/hako/pagestore"
)

// visits are the guests of these tests: each kind of SQL by each protocol.
func visits(t *testing.T) map[string]string {
	t.Helper()
	b, err := exec.Command("../../sqlite/guest/build.sh").Output()
	if err != nil {
		t.Fatal(err)
	}
	lib := strings.TrimSpace(string(b))
	c := func(flags ...string) string {
		return guestbuild.C(t, append(flags, "-O1", "-I"+lib, "-I../../guest/c", "testdata/visits.c", filepath.Join(lib, "libhakosqlite.a")), "../../guest/c/hako_http.h")
	}
	own, sql := c("-mexec-model=reactor"), guestbuild.Go(t, "testdata/visits", "-buildmode=c-shared")
	return map[string]string{
		"own fork": own, "own session": own, "own cgi": c("-DCGI"),
		"sql fork": sql, "sql session": sql, "sql cgi": guestbuild.Go(t, "testdata/visits"),
	}
}

// A site is a server with one app.
type site struct {
	t *testing.T
	*Server
	access *lines
}

// lines is a log.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// serve serves a guest of visits, with more for its configuration.
func serve(t *testing.T, kind, guest, route, rest string) *site {
	t.Helper()
	protocol, fork := "worker", "request"
	if strings.HasSuffix(kind, "cgi") {
		protocol = "cgi"
	}
	if strings.HasSuffix(kind, "session") {
		fork = "session"
	}
	text := fmt.Sprintf(`
server.listen = ["127.0.0.1:0"]
[[database]]
name = "shop"
[[database]]
name = "other"
[[app]]
name = "visits"
image = %q
protocol = %q
databases = ["shop", { name = "other", guest = "/db/other.sqlite" }, { name = "shop@0", guest = "/db/empty.sqlite" }]
template = { fork = %q }
[[route]]
app = "visits"
%s
`, guest, protocol, fork, route) + rest
	data := t.TempDir()
	guestbuild.ShareCompiled(t, data)
	c, err := config.Parse(filepath.Join(data, "hako.toml"), []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, access: &lines{}}
	s.Server, err = Start(t.Context(), c, Options{Data: data, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), AccessLog: s.access})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// get requests a path, pinned if snapshot is not "".
func (s *site) get(path, snapshot string) (*http.Response, string) {
	s.t.Helper()
	r, err := http.NewRequest("GET", "http://"+s.Addresses()[0]+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if snapshot != "" {
		r.Header.Set("X-Hako-Snapshot", snapshot)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp, strings.TrimSpace(string(b))
}

func TestPinnedRequests(t *testing.T) {
	for kind, guest := range visits(t) {
		t.Run(kind, func(t *testing.T) {
			s := serve(t, kind, guest, `pin = ["header", "query", "cookie"]`, "")
			shop, err := s.Store().Database("shop")
			if err != nil {
				t.Fatal(err)
			}
			want := func(path, snapshot string, status int, body, version, pinned string) {
				t.Helper()
				r, text := s.get(path, snapshot)
				if r.StatusCode != status || !strings.Contains(text, body) || strings.Join(r.Header["X-Hako-Version"], " ") != version ||
					r.Header.Get("X-Hako-Snapshot") != pinned || r.Header.Get("Cache-Control") == "no-store" != (snapshot != "" || strings.Contains(path, "?")) {
					t.Errorf("%s on %q: %d %q\n%v\nwant %d %q, version %q, pinned to %q", path, snapshot, r.StatusCode, text, r.Header, status, body, version, pinned)
				}
			}
			want("/add", "", 200, "count=1 rc=0 pinned=", "shop@2", "")
			want("/add", "", 200, "count=2 rc=0 pinned=", "shop@3", "")
			want("/list", "", 200, "count=2 rc=0 pinned=", "shop@3", "")
			for range 2 { // nothing of it stays
				want("/list", "shop@2", 200, "count=1 rc=0 pinned=shop@2", "shop@2", "shop@2")
				want("/list", "", 200, "count=2 rc=0 pinned=", "shop@3", "")
			}
			if err := shop.Tag(2, "first"); err != nil {
				t.Fatal(err)
			}
			want("/list", "shop@first, other@head", 200, "count=1 rc=0 pinned=shop@2, other@0", "shop@2", "shop@2, other@0")
			want("/list", "*@head", 200, "count=2 rc=0", "shop@3", "shop@3, other@0")
			want("/list", "shop@2, *@head", 200, "count=1 rc=0", "shop@2", "shop@2, other@0")
			want("/list", "shop@-0s", 200, "count=2 rc=0", "shop@3", "shop@3")
			want("/list?hako-snapshot=shop@2", "", 200, "count=1 rc=0", "shop@2", "shop@2")
			want("/list", "shop@0", 200, "count= rc=1", "shop@0", "shop@0") // there is no table

			// A pinned database is not written.
			want("/add", "shop@2", 200, "count= rc=8 pinned=shop@2", "shop@2", "shop@2")
			want("/add", "shop@head", 200, "count= rc=8 pinned=shop@3", "shop@3", "shop@3")
			if head := shop.Head().Version; head != 3 {
				t.Errorf("the head is %d", head)
			}

			for snapshot, c := range map[string]struct {
				status int
				text   string
			}{
				"shop@99": {400, "no version 99"}, "shop@nosuch": {400, "unknown tag"}, "secret@1": {400, `no database "secret"`}, "shop": {400, "is written as"},
				"shop@": {400, "nothing follows"}, "shop@2, shop@3": {400, "named twice"}, "*@1y@": {400, "cannot pin"}, "*@-1d, *@2": {400, "two stars"},
				",": {400, "is written as"}, "shop@-20000d": {400, "before"}, "shop@2999-01-01T00:00:00Z": {400, "future"}, "other@3": {400, "version 3"},
			} {
				r, text := s.get("/list", snapshot)
				if r.StatusCode != c.status || !strings.Contains(text, c.text) || r.Header.Get("X-Hako-Snapshot") != "" || r.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%q: %d %q %v; want %d %q", snapshot, r.StatusCode, text, r.Header, c.status, c.text)
				}
			}
			if strings.HasPrefix(kind, "own") { // it is the same for all
				want("/add", "", 200, "count=3", "shop@4", "")
				if _, err := shop.Trim(t.Context(), pagestore.TrimOptions{Retain: pagestore.Retention{Count: 1}}); err != nil {
					t.Fatal(err)
				}
				if r, text := s.get("/list", "shop@3"); r.StatusCode != 410 || !strings.Contains(text, "trimmed") {
					t.Errorf("a trimmed version: %d %q", r.StatusCode, text)
				}
				want("/list", "shop@2", 200, "count=1", "shop@2", "shop@2") // the tag keeps it
			}
		})
	}
}

// Pinned requests and others do not get in each other's way.
func TestPinnedAmongOthers(t *testing.T) {
	for kind, guest := range visits(t) {
		if strings.HasSuffix(kind, "cgi") {
			continue
		}
		t.Run(kind, func(t *testing.T) {
			s := serve(t, kind, guest, `pin = "header"`, "")
			for range 3 {
				s.get("/add", "")
			}
			var wg sync.WaitGroup
			for i := range 4 {
				wg.Add(1)
				go func() {
					defer wg.Done()
					for n := range 10 {
						version := 2 + (i+n)%3
						want := fmt.Sprintf("count=%d rc=0 pinned=shop@%d", version-1, version)
						if _, text := s.get("/list", fmt.Sprintf("shop@%d", version)); text != want {
							t.Errorf("%q, want %q", text, want)
						}
						if _, text := s.get("/list", ""); text != "count=3 rc=0 pinned=" {
							t.Errorf("%q", text)
						}
					}
				}()
			}
			wg.Wait()
		})
	}
}
