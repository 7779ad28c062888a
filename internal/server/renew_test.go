package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hako-run/hako/config"
	"github.com/hako-run/hako/internal/guestbuild"
)

// An app that asks for it gets a new template, and loses no request by it.
func TestRenew(t *testing.T) {
	data := t.TempDir()
	guestbuild.ShareCompiled(t, data)
	text := fmt.Sprintf(`
[server]
listen = ["127.0.0.1:0"]
[[app]]
name = "counter"
image = %q
template = { warm = ["/"] }
[[route]]
match = { path = "/*" }
app = "counter"
`, guestbuild.C(t, []string{"-O1", "-mexec-model=reactor", "-I../../guest/c", "testdata/counter.c"}, "../../guest/c/hako_http.h"))
	c, err := config.Parse(filepath.Join(data, "hako.toml"), []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	s, err := Start(t.Context(), c, Options{Data: data, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), AccessLog: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	get := func(path string) (requests int, template string) {
		resp, err := http.Get("http://" + s.Addresses()[0] + path)
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		defer resp.Body.Close()
		if _, err := fmt.Fscan(resp.Body, &requests, &template); err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %d, %v", path, resp.StatusCode, err)
		}
		return requests, template
	}
	_, first := get("/")
	if _, again := get("/"); again != first {
		t.Errorf("two forks are of two templates: %s and %s", first, again)
	}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if n, _ := get("/"); n != 2 {
						t.Errorf("a fork is asked for the %d. time", n)
						return
					}
				}
			}
		})
	}
	template := first
	for range 2 {
		get("/renew")
		get("/renew")
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			if _, now := get("/"); now != template {
				template = now
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("there is no new template")
			}
		}
	}
	get("/renew") // which the end comes before
	close(stop)
	clients.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
