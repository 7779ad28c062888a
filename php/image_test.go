package php

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hako-run/hako/config"
	"github.com/hako-run/hako/image"
	"github.com/hako-run/hako/internal/server"
)

const dockerfile = `FROM php:8.4-hako
COPY public /srv
ENV GREETING=hello
`

// An application is an image made of php:8.4-hako, and hako up serves it.
func TestImage(t *testing.T) {
	built, err := Build()
	if err != nil {
		t.Fatal(err)
	}
	data, project := t.TempDir(), t.TempDir()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	// What is compiled is kept from one run of the test to the next.
	if err := os.Symlink(filepath.Join(cache, "hako", "compiled"), filepath.Join(data, "compiled")); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(project, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("Dockerfile", dockerfile)
	write("public/index.php", `<?php $f = tempnam(sys_get_temp_dir(), 'x'); file_put_contents($f, 'kept'); echo getenv('GREETING'), ' ', $_SERVER['REQUEST_URI'], ' ', file_get_contents($f), ' ', @file_put_contents('/srv/new', 'x') ? 'w' : 'r';`)
	write("public/x.txt", "text")
	write("public/dump.sql", "secret") // which only the server keeps back
	write("other/index.php", "other")
	write("other/dump.sql", "sent")
	ctx := context.Background()
	store := image.OpenStore(filepath.Join(data, "images"), image.Options{})
	for _, o := range []image.BuildOptions{
		{Dir: built, File: "image/hako.toml", Name: "php:8.4-hako"},
		{Dir: project, Name: "site:1"},
	} {
		b, err := store.Build(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s has %d bytes in %d layers", b.Name, b.Size, b.Layers)
	}
	c, err := config.Parse(filepath.Join(project, "hako.toml"), []byte(`
[server]
listen = ["127.0.0.1:0"]
[[app]]
name     = "site"
image    = "site:1"
limits   = { memory = "256MiB" }
template = { warm = ["/"] }
[[app]]
name     = "other"
image    = "site:1"
args     = ["--root", "/other"]
dirs     = [{ host = "other", guest = "/other" }]
limits   = { memory = "256MiB" }
[[app]]
name     = "files"
image    = "site:1"
args     = ["--root", "/other"]
files    = "/other"
dirs     = [{ host = "other", guest = "/other" }]
limits   = { memory = "256MiB" }
[[route]]
match = { path = "/other/*" }
strip = "/other"
app   = "other"
[[route]]
match = { path = "/files/*" }
strip = "/files"
app   = "files"
[[route]]
app = "site"
`), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	log := &syncBuffer{}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := server.Start(ctx, c, server.Options{Data: data, Log: newLog(log), AccessLog: io.Discard})
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	for path, want := range map[string]string{"/a/b?c": "hello /a/b?c kept r", "/x.txt": "text", "/dump.sql": "404", "/other/dump.sql": "sent", "/other/x.txt": "other", "/files/dump.sql": "404", "/files/x": "other"} {
		resp, err := http.Get("http://" + s.Addresses()[0] + path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 {
			b = fmt.Append(nil, resp.StatusCode)
		}
		if err != nil || strings.TrimSpace(string(b)) != want {
			t.Errorf("%s: %v, %q, want %q\n%s", path, err, b, want, log)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
