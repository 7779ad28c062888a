package php

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hako-run/hako/app"
	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite/vfscore"
	"github.com/hako-run/hako/wasi"
)

// world is what the tests share: PHP is compiled once.
type world struct {
	store  *pagestore.Store
	runner *app.Runner
	worker *engine.Module
}

var theWorld = sync.OnceValues(func() (*world, error) {
	dir, err := Build()
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(dir, Worker))
	if err != nil {
		return nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	data, err := os.MkdirTemp("", "hako-php-")
	if err != nil {
		return nil, err
	}
	cleanups = append(cleanups, func() { os.RemoveAll(data) })
	w := &world{}
	if w.store, err = pagestore.Open(data, pagestore.Options{}); err != nil {
		return nil, err
	}
	if w.runner, err = app.NewRunner(filepath.Join(cache, "hako", "compiled"), vfscore.New(w.store, vfscore.Options{})); err != nil {
		return nil, err
	}
	if w.worker, err = w.runner.Engine().Compile(context.Background(), Worker, b); err != nil {
		return nil, err
	}
	cleanups = append(cleanups, func() {
		for _, close := range []func() error{w.worker.Close, w.runner.Close, w.store.Close} {
			if err := close(); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
	})
	return w, nil
})

var cleanups []func()

func TestMain(m *testing.M) {
	code := m.Run()
	for i := len(cleanups) - 1; i >= 0; i-- {
		cleanups[i]()
	}
	os.Exit(code)
}

// A syncBuffer is a log that is read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// A site is a folder of scripts that is served.
type site struct {
	t       testing.TB
	root    string // on the host; /srv to PHP
	data    string // on the host; /data to PHP, writable
	url     string
	log     *syncBuffer
	service *app.Service
}

// files are written to the root of a site.
type files map[string]string

// serve serves files with the usual grants, which change alters.
func serve(t *testing.T, files files, change func(c *app.ServiceConfig)) *site {
	t.Helper()
	return open(t, files, change)
}

// open is serve for other than tests.
func open(t testing.TB, files files, change func(c *app.ServiceConfig)) *site {
	t.Helper()
	w, err := theWorld()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, root: t.TempDir(), data: t.TempDir(), log: &syncBuffer{}}
	for name, text := range files {
		s.write(name, text)
	}
	c := app.ServiceConfig{
		Name: "site", Protocol: app.ProtocolWorker, Instances: 8, QueueLength: 200, QueueWait: time.Minute,
		Spec: app.Spec{
			Args:   []string{"php-hako"},
			Dirs:   []app.DirGrant{{Host: s.root, Guest: "/srv", ReadOnly: true}, {Host: s.data, Guest: "/data"}},
			Tmp:    []wasi.Tmp{{Guest: "/tmp", Size: 64 << 20}},
			Limits: engine.Limits{Memory: 256 << 20, CPU: time.Minute, Wall: 2 * time.Minute, Output: 1 << 30},
		},
		Log: newLog(s.log),
	}
	if change != nil {
		change(&c)
	}
	if s.service, err = w.runner.Serve(context.Background(), w.worker, c); err != nil {
		t.Fatalf("%v\n%s", err, s.log)
	}
	server := httptest.NewServer(s.service)
	s.url = server.URL
	t.Cleanup(func() {
		server.Close()
		if err := s.service.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *site) write(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// An answer is a response with its body.
type answer struct {
	*http.Response
	body string
}

var client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// do makes a request; header has names and values by turns.
func (s *site) do(method, path string, body io.Reader, header ...string) (answer, error) {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp, string(b)}, err
}

// get makes a GET request that must be answered.
func (s *site) get(path string, header ...string) answer {
	s.t.Helper()
	a, err := s.do("GET", path, nil, header...)
	if err != nil {
		s.t.Fatalf("GET %s: %v\n%s", path, err, s.log)
	}
	return a
}

// want makes a GET request that must be answered so.
func (s *site) want(path string, status int, body string) answer {
	s.t.Helper()
	a := s.get(path)
	if a.StatusCode != status || a.body != body {
		s.t.Errorf("GET %s: %d\n%s\nwant %d\n%s\n%s", path, a.StatusCode, a.body, status, body, s.log)
	}
	return a
}

// logged waits until the log has a text: a guest may go on after its answer.
func (s *site) logged(text string) {
	s.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !strings.Contains(s.log.String(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Errorf("the log lacks %q:\n%s", text, s.log)
			return
		}
	}
}

func newLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
