package wordpress

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func zipOf(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, text := range files {
		f, err := w.Create(name)
		if err == nil {
			_, err = f.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tgzOf(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, text := range files {
		err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg})
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// core is as much of WordPress as is looked at.
var core = map[string]string{
	"index.php":                         "<?php",
	"wp-config.php":                     "not ours",
	"wp-config-sample.php":              "not ours",
	"wp-includes/version.php":           "<?php $wp_version = '1';",
	"wp-content/themes/one/style.css":   "body{}",
	"wp-content/database/.ht.sqlite":    "not ours",
	"wp-content/plugins/hello.php":      "<?php",
	"wordpress-remote-asset-paths":      "not ours",
	"wp-content/uploads/2024/photo.jpg": "kept",
}

var plugin = map[string]string{
	"sqlite-database-integration-main/load.php":                  "<?php",
	"sqlite-database-integration-main/tests/x.php":               "left out",
	"sqlite-database-integration-main/wp-includes/sqlite/db.php": "<?php",
}

func packageOf(t testing.TB) (tgz []byte, hash string) {
	t.Helper()
	tgz = tgzOf(t, map[string]string{
		"package/" + partCore: string(zipOf(t, core)),
		"package/" + partOlder: string(zipOf(t, map[string]string{
			"wp-includes/version.php": "older", "wp-content/themes/two/style.css": "two{}",
		})),
		"package/" + partAssets + "wp-content/themes/twentytwentytwo/a.png": "left out",
		"package/" + partIntegration:                                        string(zipOf(t, plugin)),
		"package/" + partAssets + "wp-includes/js/a.js":                     "a()",
		"package/src/other":                                                 "left out",
	})
	sum := sha512.Sum512(tgz)
	return tgz, base64.StdEncoding.EncodeToString(sum[:])
}

func TestRegistry(t *testing.T) {
	tgz, hash := packageOf(t)
	requests := 0
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		if want := "/npm/@wp-playground/wordpress-builds/-/wordpress-builds-" + packVersion + ".tgz"; r.URL.Path != want {
			t.Errorf("asked for %s, want %s", r.URL.Path, want)
		}
		_, _ = w.Write(tgz)
	}))
	defer registry.Close()
	cache := t.TempDir()
	bad := Registry{URL: registry.URL + "/npm/", Cache: cache}
	if _, err := bad.fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "SHA-512") {
		t.Errorf("another package: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "*")); len(left) > 0 {
		t.Errorf("another package leaves %q", left)
	}
	var done int64
	r := Registry{URL: registry.URL + "/npm", Cache: cache, hash: hash, Progress: func(n, _ int64) { done = n }}
	for range 2 {
		dir, err := r.fetch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(dir, keptAssets, "wp-includes/js/a.js")); string(b) != "a()" {
			t.Errorf("assets: %q, %v", b, err)
		}
	}
	if requests != 2 || done != int64(len(tgz)) {
		t.Errorf("%d requests, %d bytes of %d", requests, done, len(tgz))
	}
	registry.Close()
	absent := Registry{URL: registry.URL, Cache: t.TempDir()}
	if _, err := absent.fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "fetch WordPress") {
		t.Errorf("no registry: %v", err)
	}
}

func TestRegistryURL(t *testing.T) {
	home := t.TempDir()
	if got := RegistryURL(nil, home); got != "https://registry.npmjs.org/" {
		t.Errorf("by default: %s", got)
	}
	if err := os.WriteFile(filepath.Join(home, ".npmrc"), []byte("a=b\nregistry = \"http://npm.example.com/r/\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := RegistryURL([]string{"NPM_CONFIG_REGISTRY="}, home); got != "http://npm.example.com/r/" {
		t.Errorf("from .npmrc: %s", got)
	}
	if got := RegistryURL([]string{"NPM_Config_Registry=http://x"}, home); got != "http://x" {
		t.Errorf("from the environment: %s", got)
	}
}

// No archive makes a file outside of its folder.
func FuzzTakeParts(f *testing.F) {
	tgz, _ := packageOf(f)
	f.Add(tgz)
	f.Add(tgzOf(f, map[string]string{"package/" + partAssets + "../../../out": "x"}))
	f.Add(tgzOf(f, map[string]string{"package/" + partAssets + "/out": "x"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		top := t.TempDir()
		dir := filepath.Join(top, "a", "b")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		_ = takeParts(bytes.NewReader(b), dir)
		for _, at := range []string{top, filepath.Join(top, "a")} {
			if list, err := os.ReadDir(at); err != nil || len(list) != 1 {
				t.Errorf("%s holds %v, %v", at, list, err)
			}
		}
	})
}

func TestCancelled(t *testing.T) {
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "this is no archive") }))
	defer registry.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := Registry{URL: registry.URL, Cache: t.TempDir()}
	if _, err := r.fetch(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := r.fetch(t.Context()); !errors.Is(err, gzip.ErrHeader) {
		t.Errorf("no archive: %v", err)
	}
}
