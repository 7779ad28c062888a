package cli

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

func TestInitWordpress(t *testing.T) {
	h := newHarness(t)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"core/wp-includes/version.php": "<?php", "plugin/wp-includes/sqlite/db.php": "<?php", "php.wasm": "\x00asm\x01\x00\x00\x00",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	site := in("my site")
	args := []string{"init", "wordpress", "--from", in("core"), "--integration", in("plugin"), "--php", in("php.wasm"), "--php-cli", in("php.wasm"), site}
	if out := h.ok(args...); out == "" {
		t.Error("it says nothing")
	}
	h.ok("check", site) // whose app is called my-site
	h.fails(exitFailed, "name another folder", args...)
	h.fails(exitFailed, "hako load -i php.tar", "init", "wordpress", in("other"))
	h.fails(exitFailed, "docs/php.md", "init", "wordpress", in("other"))
	h.fails(exitFailed, "https://example.com", append(args[:len(args)-1], "--url", "example.com", in("other"))...)
}

// PHP may be an image of a registry.
func TestInitWordpressFetchesPHP(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	name := strings.TrimPrefix(server.URL, "http://") + "/acme/php:8"
	h := newHarness(t)
	h.ok("build", "-t", name, imageContext(t))
	h.ok("push", name)
	h.ok("rmi", name)
	dir := t.TempDir()
	for _, file := range []string{"core/wp-includes/version.php", "plugin/wp-includes/sqlite/db.php"} {
		file = filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("<?php"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	site := filepath.Join(dir, "site")
	h.ok("init", "wordpress", "--from", filepath.Join(dir, "core"), "--integration", filepath.Join(dir, "plugin"), "--php", name, "--php-cli", name, site)
	if b, err := os.ReadFile(filepath.Join(site, "php.wasm")); err != nil || !strings.HasPrefix(string(b), "\x00asm") {
		t.Errorf("PHP is %q, %v", b, err)
	}
	h.fails(exitFailed, "acme/none", "init", "wordpress", "--php", strings.Replace(name, "php", "none", 1), filepath.Join(dir, "other"))
}
