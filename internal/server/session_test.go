package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/hako-run/hako/config"
	"github.com/hako-run/hako/internal/guestbuild"
)

// What a request leaves open does not keep others from writing.
func TestSessionLeavesTransaction(t *testing.T) {
	data := t.TempDir()
	guestbuild.ShareCompiled(t, data)
	text := fmt.Sprintf(`
[server]
listen = ["127.0.0.1:0"]
[[database]]
name = "shop"
[[app]]
name = "leaver"
image = %q
databases = ["shop"]
limits = { wall = "5s" }
template = { fork = "session" }
[[route]]
match = { path = "/*" }
app = "leaver"
`, guestbuild.Go(t, "testdata/leaver", "-buildmode=c-shared"))
	c, err := config.Parse(filepath.Join(data, "hako.toml"), []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	s, err := Start(t.Context(), c, Options{Data: data, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	get := func(path, want string) {
		t.Helper()
		resp, err := http.Get("http://" + s.Addresses()[0] + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != want {
			t.Errorf("%s: %d %q, %v; want %q", path, resp.StatusCode, b, err, want)
		}
	}
	get("/write", "1 <nil>")
	get("/write", "2 <nil>")
	get("/leave", "<nil>")
	get("/write", "1 <nil>") // by another instance
	get("/write", "2 <nil>")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
