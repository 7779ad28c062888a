package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hako-run/hako/app"
	"github.com/hako-run/hako/config"
	"github.com/hako-run/hako/internal/guestbuild"
)

// What runs beside requests: those that the server makes by itself, and
// commands.
func TestBeside(t *testing.T) {
	data := t.TempDir()
	text := fmt.Sprintf(`
[server]
listen = ["127.0.0.1:0"]
[[database]]
name = "shop"
[[app]]
name = "counter"
image = %q
databases = ["shop"]
env = { MODE = "test" }
template = { fork = "session" }
limits = { instances = 1 }
cron = [{ path = "/count?x", every = "1s" }, { path = "/none", every = "1s", host = "example.com:8080" }]
commands = [{ name = "tell", image = %q, args = ["first"] }]
[[route]]
match = { path = "/*" }
app = "counter"
`, guestbuild.C(t, []string{"-O1", "-mexec-model=reactor", "-I../../guest/c", "testdata/counter.c"}, "../../guest/c/hako_http.h"), guestbuild.C(t, []string{"-O1", "testdata/teller.c"}))
	c, err := config.Parse(filepath.Join(data, "hako.toml"), []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.Apps[0].Cron {
		c.Apps[0].Cron[i].Every = config.Duration(10 * time.Millisecond)
	}
	logs, logged := io.Pipe()
	failed := make(chan string, 1)
	go func() {
		var b [4096]byte
		for {
			n, err := logs.Read(b[:])
			if err != nil {
				return
			}
			if line := string(b[:n]); strings.Contains(line, "cron request failed") {
				select {
				case failed <- line:
				default:
				}
			}
		}
	}()
	s, err := Start(t.Context(), c, Options{Data: data, Log: slog.New(slog.NewTextHandler(logged, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()

	// The one instance counts its requests.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get("http://" + s.Addresses()[0] + "/count")
		if err != nil {
			t.Fatal(err)
		}
		var requests int
		_, err = fmt.Fscan(resp.Body, &requests)
		resp.Body.Close()
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%d requests were counted, %v", requests, err)
		}
		if requests > 20 {
			break
		}
	}
	select {
	case line := <-failed:
		for _, want := range []string{"app=counter", "path=/none", "status=404"} {
			if !strings.Contains(line, want) {
				t.Errorf("a failure is logged without %s: %s", want, line)
			}
		}
	case <-time.After(time.Minute):
		t.Error("the failure of a request was not logged")
	}

	in, out := filepath.Join(data, "in"), filepath.Join(data, "out")
	if err := os.WriteFile(in, []byte("input"), 0o600); err != nil {
		t.Fatal(err)
	}
	stdin, err := os.Open(in)
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	h, command, err := s.command("tell")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(command.Image.File)
	if err != nil {
		t.Fatal(err)
	}
	if s.runner.Engine().Cached(b) {
		t.Error("a command was compiled before it was asked for")
	}
	h.compileCommands(ctx)
	if !s.runner.Engine().Cached(b) {
		t.Error("the command was not compiled")
	}
	h.Release()
	code, err := s.Exec(t.Context(), app.Exec{Args: []string{"tell", "second"}, Stdin: stdin, Stdout: stdout, Stderr: stdout})
	if b, _ := os.ReadFile(out); code != 3 || err != nil || string(b) != "tell first second test input" {
		t.Errorf("the command: %d, %v, %q", code, err, b)
	}
	if code, err := s.Exec(t.Context(), app.Exec{Args: []string{"counter/tell"}, Stdout: stdout, Stderr: stdout}); code != 3 || err != nil {
		t.Errorf("the command of an app: %d, %v", code, err)
	}
	for _, args := range [][]string{nil, {"tel"}, {"other/tell"}} {
		if _, err := s.Exec(t.Context(), app.Exec{Args: args}); !errors.Is(err, ErrNoCommand) || !strings.Contains(err.Error(), "name one of tell") {
			t.Errorf("command %q: %v", args, err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.Exec(t.Context(), app.Exec{Args: []string{"tell"}}); !errors.Is(err, ErrNoCommand) {
		t.Errorf("a command of a closed server: %v", err)
	}
}
