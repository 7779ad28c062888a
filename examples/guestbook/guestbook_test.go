package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hako-run/hako/config"
	"github.com/hako-run/hako/internal/guestbuild"
	"github.com/hako-run/hako/internal/server"
)

func TestGuestbook(t *testing.T) {
	guest := guestbuild.Go(t, ".", "-buildmode=c-shared")
	data := t.TempDir()
	guestbuild.ShareCompiled(t, data)
	text := strings.NewReplacer("${PORT:-8080}", "0", "../../bin/guestbook.wasm", guest, "${HAKO_DATA:-../../.hako}", data)
	b := text.Replace(readFile(t, "hako.toml"))
	c, err := config.Parse(filepath.Join(data, "hako.toml"), []byte(b), func(string) (string, bool) { return "", false })
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
	base := "http://" + s.Addresses()[0] + "/"
	page := base
	get := func(version string, want ...string) {
		t.Helper()
		resp, err := http.Get(page)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 || resp.Header.Get("X-Hako-Version") != version {
			t.Errorf("%d, version %q, want %q, %v", resp.StatusCode, resp.Header.Get("X-Hako-Version"), version, err)
		}
		for _, w := range want {
			if !strings.Contains(string(b), w) {
				t.Errorf("the page lacks %q:\n%s", w, b)
			}
		}
	}
	get("guestbook@0", "Nobody was here yet")
	for i, name := range []string{"Ada", "<b>Bob</b>"} {
		resp, err := http.PostForm(base, url.Values{"name": {name}, "text": {"hello"}})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 || resp.Request.Method != "GET" { // after the redirect
			t.Errorf("entry %d: %s", i, resp.Status)
		}
	}
	get("guestbook@2", "Ada", "&lt;b&gt;Bob", "hello", `href="/?hako-snapshot=guestbook%401"`)
	page = base + "?hako-snapshot=guestbook%401"
	get("guestbook@1", "Ada", "as it was at <strong>version 1</strong>", `href="/">Back to now`)
	page = base
	resp, err := http.PostForm(base, url.Values{"name": {"x"}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 400 {
		t.Errorf("no text: %s", resp.Status)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
