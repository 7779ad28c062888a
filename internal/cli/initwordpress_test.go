package cli

import (
	"os"
	"path/filepath"
	"testing"
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
	h.fails(exitFailed, "docs/php.md", "init", "wordpress", in("other"))
	h.fails(exitFailed, "https://example.com", append(args[:len(args)-1], "--url", "example.com", in("other"))...)
}
