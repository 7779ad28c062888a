package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hako-run/hako/config"
)

func TestRecordAndReplay(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "log/requests-2001-02-03.jsonl", "old\n")
	write(t, dir, "log/keep.txt", "not ours")
	const text = `
[server]
listen = '127.0.0.1:0'
log.record = { dir = "log", max_body = "8", secrets = ["X-Key"] }
[[route]]
match.path = "/echo"
auth.users = { ann = "$2a$04$xLQZ9yDCv9v4xwsTHcZEMOQEjoXzQubrKAZrU1IGzEWEEa6hHhh.u" }
app = 'echo'
[[route]]
match.path = "/text"
app = 'text'
[[route]]
match.path = "/show"
app = 'show'
[[route]]
redirect = "/x"
`
	h := startIn(t, dir, text, Options{})
	r, _ := h.do("POST", "/show?q=1", nil, "X-Key", "k", "Cookie", "c=1", "Authorization", "Bearer s3cret", "X-Auth-Token", "s3cret", "X-Plain", "p")
	id := r.Header.Get("X-Request-Id")
	if len(id) != 16 {
		t.Fatalf("the request is called %q", id)
	}
	var n *Entry
	eventually(t, "it is recorded", func() bool {
		var err error
		if n, err = h.Find(id); err != nil {
			t.Fatal(err)
		}
		return n != nil && n.Recorded
	})
	if n.Method != "POST" || n.URI != "/show?q=1" || n.Client != "127.0.0.1" || n.Status != 200 || n.App.Name != "show" ||
		fmt.Sprint(n.Snapshots()) != "[{blog 5 true 5} {shop 42 false 0}]" || n.Header.Get("X-Key") != "k" || n.Header.Get("X-Plain") != "p" ||
		fmt.Sprint(n.Withheld) != "[Authorization Cookie X-Auth-Token]" || len(n.Hash) != 32 || n.Length() == 0 {
		t.Errorf("recorded is %+v", n)
	}
	names, err := filepath.Glob(filepath.Join(dir, "log", "*"))
	if err != nil || len(names) != 2 {
		t.Errorf("the folder has %q, %v", names, err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".jsonl") {
			if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
			if b, _ := os.ReadFile(name); strings.Contains(string(b), "s3cret") {
				t.Errorf("a secret is recorded:\n%s", b)
			}
		}
	}

	// A body is kept up to its bound.
	for body, cut := range map[string]bool{"12345678": false, "123456789": true, "": false} {
		r, _ := h.do("POST", "/echo", strings.NewReader(body), "Authorization", "Basic YW5uOnNlY3JldA==")
		if r.StatusCode != 200 {
			t.Fatal(r.Status)
		}
		eventually(t, "it is recorded", func() bool {
			n, err := h.Find(r.Header.Get("X-Request-Id"))
			if err != nil {
				t.Fatal(err)
			}
			if n == nil || !n.Recorded {
				return false
			}
			if n.Cut != cut || string(n.Body) != body[:min(8, len(body))] || n.User != "ann" {
				t.Errorf("of %q is recorded %q, cut %v", body, n.Body, n.Cut)
			}
			return true
		})
	}

	// What a client calls its request does not count, unless it is trusted.
	if r, _ := h.get("/show", "X-Request-Id", "mine"); r.Header.Get("X-Request-Id") == "mine" {
		t.Error("a stranger names requests")
	}

	// Compressed or not, the length and the hash are the same.
	var hashes []string
	for _, encoding := range []string{"gzip", "identity"} {
		r, _ := h.get("/text", "Accept-Encoding", encoding)
		eventually(t, "it is recorded", func() bool { n, _ = h.Find(r.Header.Get("X-Request-Id")); return n != nil && n.Recorded })
		hashes = append(hashes, fmt.Sprint(n.Hash, n.Length()))
	}
	if hashes[0] != hashes[1] {
		t.Errorf("%q", hashes)
	}

	// Replay.
	replay := func(method, target, body string, p Replay) (*httptest.ResponseRecorder, *Account, error) {
		r, err := http.NewRequest(method, "http://example.com"+target, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		a, err := h.Replay(w, r, &p)
		return w, a, err
	}
	w, a, err := replay("POST", "/show?q=1&hako-snapshot=x", "", Replay{Of: id, App: "show", Client: "9.8.7.6", Pin: "shop@42", Secure: true})
	if err != nil || w.Code != 200 || a.Pinned != "shop@42" || w.Header().Get("X-Hako-Snapshot") != "shop@42" ||
		!strings.HasPrefix(w.Body.String(), "POST /show?q=1&hako-snapshot=x host=example.com from=9.8.7.6 scheme=https") {
		t.Errorf("%d %v %v %v\n%s", w.Code, w.Header(), a, err, w.Body)
	}
	eventually(t, "it is logged", func() bool { return strings.Contains(h.access.String(), `"replay":"`+id+`"`) })
	if w, _, err := replay("POST", "/echo", "abc", Replay{App: "echo", User: "ann", Pin: "*@head"}); err != nil || w.Body.String() != "abc" {
		t.Errorf("behind basic auth: %d %q, %v", w.Code, w.Body, err)
	}
	if _, _, err := replay("GET", "/elsewhere", "", Replay{App: "show", Pin: "*@head"}); !errors.Is(err, ErrNotReplayed) {
		t.Errorf("a redirect: %v", err)
	}
	if _, _, err := replay("GET", "/text", "", Replay{App: "show", Pin: "*@head"}); err == nil || !strings.Contains(err.Error(), "app text answers") {
		t.Errorf("by another app: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	r2, _ := http.NewRequestWithContext(ctx, "GET", "http://example.com/show", nil)
	if _, err := h.Replay(httptest.NewRecorder(), r2, &Replay{App: "show"}); err != nil { // show does not look
		t.Error(err)
	}
}

// Without a recorder, recent requests and the log's file are looked through.
func TestFind(t *testing.T) {
	h := start(t, "server.log.file = 'access.log'\n[[route]]\napp = 'show'")
	r, _ := h.get("/first")
	first := r.Header.Get("X-Request-Id")
	for range recentEntries {
		h.get("/other")
	}
	eventually(t, "another one is the last", func() bool {
		n := h.Recent(func(n *Entry) bool { return true })
		return n != nil && n.URI == "/other" && h.Recent(func(n *Entry) bool { return n.ID == first }) == nil
	})
	n, err := h.Find(first)
	if err != nil || n == nil || n.URI != "/first" || n.Recorded || n.App.Before["blog"] != 5 {
		t.Errorf("%+v, %v", n, err)
	}
	if n, err := h.Find("nonsense"); n != nil || err != nil {
		t.Errorf("%+v, %v", n, err)
	}
}

func TestRecorderIsBounded(t *testing.T) {
	log := &buffer{}
	r, err := openRecorder(&config.Record{Dir: config.Path(t.TempDir()), MaxSize: 1000, Keep: config.Duration(48 * time.Hour)}, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	day := time.Date(2040, 1, 30, 23, 0, 0, 0, time.UTC)
	for i := range 5 { // days
		for range 20 {
			r.write(&Entry{Time: day.AddDate(0, 0, i), ID: "x", Method: "GET"})
		}
	}
	names, err := recordFiles(string(r.c.Dir))
	if err != nil || len(names) != 3 { // the day, and two before
		t.Errorf("%q, %v", names, err)
	}
	for _, name := range names {
		if info, err := os.Stat(name); err != nil || info.Size() > 1000 || info.Size() < 500 {
			t.Errorf("%v, %v", info.Size(), err)
		}
	}
	if n := strings.Count(log.String(), "max_size is reached"); n != 5 {
		t.Errorf("it was told %d times:\n%s", n, log)
	}
}

func FuzzParseEntry(f *testing.F) {
	f.Add([]byte(`{"time":"2026-11-22T10:00:00Z","msg":"request","id":"a","app":{"name":"x","databases":{"shop":3},"before":{"shop":2}},"body":"YQ=="}`))
	f.Add([]byte(`{"app":{"databases":{"a":1,"b":2}}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		n, err := ParseEntry(line)
		if err != nil {
			return
		}
		if len(n.Snapshots()) != len(n.App.Databases) {
			t.Fatal(n.Snapshots())
		}
		again, err := json.Marshal(n)
		if err != nil {
			if n.Time.Year() > 9999 || n.Time.Year() < 0 {
				return
			}
			t.Fatal(err)
		}
		if _, err := ParseEntry(again); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
	})
}
