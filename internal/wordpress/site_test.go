package wordpress

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hako-run/hako/config"
)

func TestCreate(t *testing.T) {
	tgz, hash := packageOf(t)
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(tgz) }))
	defer registry.Close()
	fetched := Source{Registry: Registry{URL: registry.URL, Cache: t.TempDir(), hash: hash}}

	// WordPress as wordpress.org has it is in a folder of its own.
	below := map[string]string{}
	for name, text := range core {
		below["wordpress/"+name] = text
	}
	own := filepath.Join(t.TempDir(), "wordpress.zip")
	if err := os.WriteFile(own, zipOf(t, below), 0o644); err != nil {
		t.Fatal(err)
	}
	integrated := t.TempDir()
	for name, text := range core {
		if err := writeFile(integrated, name, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range plugin {
		_, name, _ = strings.Cut(name, "/")
		if err := writeFile(integrated, "wp-content/plugins/sqlite-database-integration/"+name, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	none := Registry{URL: "http://127.0.0.1:1", Cache: t.TempDir()}
	var secrets []string
	for name, source := range map[string]Source{
		"fetched":             fetched,
		"own, plugin fetched": {Core: own, Registry: fetched.Registry},
		"own, with plugin":    {Core: integrated, Registry: none},
	} {
		dir := filepath.Join(t.TempDir(), "site")
		o := Options{Name: "blog", Listen: ":8081", URL: "https://example.com", PHP: []byte("php"), CLI: []byte("cli"), Source: source}
		if err := Create(t.Context(), dir, o); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for file, want := range map[string]string{
			"wordpress/index.php":                                     "<?php",
			"wordpress/wp-includes/version.php":                       "wp_version",
			"wordpress/wp-config.php":                                 "DB_DIR",
			"wordpress/hako-warm.php":                                 "warm",
			"wordpress/wp-content":                                    "",
			"wordpress/wordpress-remote-asset-paths":                  "",
			"wp-content/themes/one/style.css":                         "body",
			"wp-content/uploads/2024/photo.jpg":                       "kept",
			"wp-content/database/.ht.sqlite":                          "",
			"wp-content/plugins/hello.php":                            "<?php",
			"wp-content/plugins/sqlite-database-integration/load.php": "",
			"wp-content/db.php":                                       "PDO",
			"wp-content/mu-plugins/hako.php":                          "SMTP_URL",
			"wp-content/" + integration + "/load.php":                 "<?php",
			"wp-content/" + integration + "/tests/x.php":              "",
			"php-hako.wasm":                                           "php",
			"php.wasm":                                                "cli",
			"wordpress/wp-config-sample.php":                          "",
		} {
			b, err := os.ReadFile(filepath.Join(dir, file))
			if want == "" && err == nil || want != "" && !strings.Contains(string(b), want) {
				t.Errorf("%s: %s holds %.50q, %v; want %q", name, file, b, err, want)
			}
		}
		c, err := config.Load(filepath.Join(dir, "hako.toml"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		a := c.App("blog")
		if a.Env["WP_HOME"] != "https://example.com" || a.Env["WP_SELF"] != "127.0.0.1:8081" || a.Cron[0].Host != "example.com" ||
			a.Network[0] != "127.0.0.1:8081" || a.Dirs[0].Write || !a.Dirs[1].Write || a.Databases[0].Guest != "/db/site.sqlite" ||
			c.Server.Listen[0].Address != ":8081" {
			t.Errorf("%s: %+v", name, a)
		}
		b, err := os.ReadFile(filepath.Join(dir, "wordpress/wp-config.php"))
		if err != nil {
			t.Fatal(err)
		}
		keys := regexp.MustCompile(`define\( '\w+_(?:KEY|SALT)', '([^'\\]{64})' \);`).FindAllStringSubmatch(string(b), -1)
		if len(keys) != len(salts) {
			t.Errorf("%s: %d keys\n%s", name, len(keys), b)
		}
		for _, k := range keys {
			secrets = append(secrets, k[1])
		}
		if info, err := os.Stat(filepath.Join(dir, "wordpress/wp-config.php")); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: the mode of wp-config.php is %v, %v", name, info.Mode(), err)
		}
		if err := Create(t.Context(), dir, o); !errors.Is(err, ErrExists) {
			t.Errorf("%s: once more: %v", name, err)
		}
		if name == "fetched" {
			two, err := os.ReadFile(filepath.Join(dir, "wp-content/themes/two/style.css"))
			if _, third := os.Stat(filepath.Join(dir, "wp-content/themes/twentytwentytwo")); string(two) != "two{}" || third == nil {
				t.Errorf("the second theme: %q, %v; the third: %v", two, err, third)
			}
		}
	}
	seen := map[string]bool{}
	for _, s := range secrets {
		if seen[s] {
			t.Errorf("the key %q is there twice", s)
		}
		seen[s] = true
	}

	empty := t.TempDir()
	for name, o := range map[string]Options{
		"no WordPress":         {Listen: ":1", Source: Source{Core: empty}},
		"no plugin":            {Listen: ":1", Source: Source{Core: own, Integration: empty}},
		"no archive":           {Listen: ":1", Source: Source{Core: filepath.Join(integrated, "index.php")}},
		"no file":              {Listen: ":1", Source: Source{Core: filepath.Join(empty, "none")}},
		"no address":           {Listen: "1", Source: Source{Core: own}},
		"no URL":               {Listen: ":1", URL: "example.com", Source: Source{Core: own}},
		"a URL with PHP in it": {Listen: ":1", URL: "http://a'.x/", Source: Source{Core: own}},
	} {
		dir := filepath.Join(t.TempDir(), "site")
		err := Create(t.Context(), dir, o)
		lacks := name == "no WordPress" || name == "no plugin"
		if err == nil || lacks != errors.Is(err, ErrNoWordPress) {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%s leaves %v", name, left)
		}
	}
}
