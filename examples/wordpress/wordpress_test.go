package wordpress_test

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"fmt"
	"mime/multipart"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hako-run/hako/internal/wordpress/visitor"
)

var nonceField = regexp.MustCompile(`name="_wpnonce" value="(\w+)"`)

// A site does what users of WordPress expect.
func TestSite(t *testing.T) {
	long(t)
	s := newSite(t)
	ctx := within(t, 8*time.Minute)
	v := visitor.New(s.url)
	defer v.Close()
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	page := func(who *visitor.Visitor, path string, want ...string) string {
		t.Helper()
		p, err := who.Read(ctx, path)
		check(path, err)
		for _, w := range want {
			if !strings.Contains(p.Body, w) {
				t.Errorf("%s does not have %q", path, w)
			}
		}
		return p.Body
	}
	check("install", v.Install(ctx, "A site", owner, ownerPassword))
	if v.Login(ctx, owner, "wrong") == nil {
		t.Error("a wrong password logs in")
	}
	check("log in", v.Login(ctx, owner, ownerPassword))
	page(v, "/wp-admin/", "Dashboard")

	// Pretty permalinks, by the form.
	form := page(v, "/wp-admin/options-permalink.php")
	p, err := v.Post(ctx, "/wp-admin/options-permalink.php", url.Values{
		"_wpnonce": {nonceField.FindStringSubmatch(form)[1]}, "selection": {"/%postname%/"}, "permalink_structure": {"/%postname%/"},
		"category_base": {""}, "tag_base": {""}, "submit": {"Save Changes"},
	})
	if check("permalinks", err); p.Status != 302 {
		t.Errorf("permalinks: %d", p.Status)
	}

	// A picture, with thumbnails.
	photo, err := os.ReadFile(picture(t))
	check("picture", err)
	p, err = v.Upload(ctx, "/?rest_route=/wp/v2/media", "image/png", photo, "X-WP-Nonce", nonce(t, v), "Content-Disposition", `attachment; filename="hills.png"`)
	if check("upload", err); p.Status != 201 {
		t.Fatalf("upload: %d %.500s", p.Status, p.Body)
	}
	for _, size := range []string{"150x150", "300x188", "1024x640"} {
		if !strings.Contains(p.Body, "-"+size+".png") {
			t.Errorf("the picture has no copy of %s: %.1500s", size, p.Body)
		}
	}
	var post struct {
		ID   int
		Link string
	}
	check("publish", v.REST(ctx, "POST", "/wp/v2/posts", map[string]any{
		"title": "A walk in the hills", "content": "<!-- wp:paragraph --><p>Zaunkönig & <em>friends</em></p><!-- /wp:paragraph -->", "status": "publish",
	}, &post))
	path := strings.TrimPrefix(post.Link, s.url)
	if path != "/a-walk-in-the-hills/" {
		t.Errorf("the post is at %s", post.Link)
	}
	reader := visitor.New(s.url)
	defer reader.Close()
	page(reader, path, "Zaunkönig &#038; <em>friends</em>") // as wptexturize writes it
	page(reader, "/?s=Zaunk%C3%B6nig", "A walk in the hills")
	if p, err := reader.Get(ctx, "/there-is-none/"); err != nil || p.Status != 404 {
		t.Errorf("a page that is not there: %v, %v", p, err)
	}
	var feed struct {
		Items []struct {
			Title string `xml:"title"`
		} `xml:"channel>item"`
	}
	if err := xml.Unmarshal([]byte(page(reader, "/feed/")), &feed); err != nil || len(feed.Items) != 2 || feed.Items[0].Title != "A walk in the hills" {
		t.Errorf("the feed: %+v, %v", feed, err)
	}
	if p, err := reader.Get(ctx, "/xmlrpc.php"); err != nil || p.Status != 403 {
		t.Errorf("XML-RPC: %v, %v", p, err)
	}
	// Scripts are never sent, those among uploads never run; what plugins leave
	// lying about is nobody's.
	for name, text := range map[string]string{
		"uploads/evil.php": "<?php echo 'has run'; // not to be told", "uploads/evil.PHP": "<?php echo 'has run'; // not to be told", "uploads/evil.phtml": "<?php // not to be told",
		"debug.log": "not to be told", "uploads/backup.sql": "not to be told", "uploads/.htpasswd": "not to be told", "uploads/wc-logs/a.txt": "not to be told", "uploads/fine.txt": "fine",
	} {
		file := filepath.Join(s.dir, "wp-content", name)
		check(name, os.MkdirAll(filepath.Dir(file), 0o755))
		check(name, os.WriteFile(file, []byte(text), 0o644))
	}
	for closed, status := range map[string]int{
		"/wp-config.php": 200, "/wp-content/mu-plugins/hako.php": 200, "/wp-content/db.php": 200, "/wp-content/uploads/evil.php": 403, "/wp-content/uploads/evil.PHP": 404,
		"/wp-content/uploads/evil.phtml": 404, "/wp-content/uploads/evil.php/x.jpg": 403, "/wp-content/debug.log": 404, "/wp-content/uploads/backup.sql": 404,
		"/wp-content/uploads/.htpasswd": 0, "/wp-content/uploads/wc-logs/a.txt": 404, "/wp-content/uploads/": 403, "/hako-warm.php": 404,
	} {
		p, err := reader.Get(ctx, closed)
		if err != nil || status != 0 && p.Status != status || strings.Contains(p.Body, "<?php") || strings.Contains(p.Body, "define(") || strings.Contains(p.Body, "not to be told") || strings.Contains(p.Body, "has run") {
			t.Errorf("%s: %v, %d %.200q, want %d", closed, err, p.Status, p.Body, status)
		}
	}
	page(reader, "/wp-content/uploads/fine.txt", "fine")

	// A plugin from an archive that is uploaded, then switched on.
	form = page(v, "/wp-admin/plugin-install.php?tab=upload", "pluginzip")
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	check("form", w.WriteField("_wpnonce", nonceField.FindStringSubmatch(form)[1]))
	file, err := w.CreateFormFile("pluginzip", "greeter.zip")
	check("form", err)
	_, err = file.Write(plugin(t))
	check("form", err)
	check("form", w.Close())
	p, err = v.Upload(ctx, "/wp-admin/update.php?action=upload-plugin", w.FormDataContentType(), body.Bytes())
	if check("install a plugin", err); !strings.Contains(p.Body, "Plugin installed successfully") {
		t.Errorf("the plugin was not installed: %d", p.Status)
	}
	check("switch a plugin on", v.REST(ctx, "POST", "/wp/v2/plugins/greeter/greeter", map[string]string{"status": "active"}, nil))
	page(reader, path, "greeted by a plugin")

	// Site Health finds nothing critical. What it says of the page cache depends on
	// how busy the machine is.
	page(v, "/wp-admin/site-health.php")
	for _, test := range []string{"loopback-requests", "https-status", "authorization-header", "page-cache"} {
		var found struct{ Status, Label string }
		check(test, v.REST(ctx, "GET", "/wp-site-health/v1/tests/"+test, nil, &found))
		if found.Status == "critical" && test != "page-cache" || test == "loopback-requests" && found.Status != "good" {
			t.Errorf("site health: %s: %+v", test, found)
		}
	}

	// What was changed can be seen, and undone, while the site is served.
	before := s.version()
	number, err := reader.Comment(ctx, post.ID, "bob", "What a view!")
	check("comment", err)
	check("approve", v.REST(ctx, "POST", fmt.Sprintf("/wp/v2/comments/%d", number), map[string]string{"status": "approved"}, nil))
	page(reader, path, "What a view!")
	if diff := s.run("db", "diff", s.name()+"@"+before, s.name()); !strings.Contains(diff, "What a view!") {
		t.Errorf("the difference does not show the comment:\n%.1000s", diff)
	}
	s.run("db", "restore", s.name(), before)
	if strings.Contains(page(reader, path), "What a view!") {
		t.Error("the comment is there after it was undone")
	}

	// Commands beside the site.
	if out := s.run("exec", s.name(), "php", "-r", `require '/srv/wp-load.php'; echo get_option('blogname'), ' ', count(get_posts());`); out != "A site 2" {
		t.Errorf("php says %q", out)
	}
	for _, line := range s.log.errors() {
		t.Errorf("the server logs: %.500s", line)
	}
}

// nonce gets the REST API's nonce.
func nonce(t *testing.T, v *visitor.Visitor) string {
	t.Helper()
	if err := v.REST(t.Context(), "GET", "/wp/v2/users/me", nil, nil); err != nil {
		t.Fatal(err)
	}
	return v.Nonce()
}

// plugin is an archive with a plugin.
func plugin(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create("greeter/greeter.php")
	if err != nil {
		t.Fatal(err)
	}
	// As some plugins do, it declares functions of scripts that are not loaded.
	const text = "<?php\n/* Plugin Name: Greeter */\nfunction get_blog_option() {}\nfunction export_wp() {}\nadd_action('wp_footer', function () { echo '<p>greeted by a plugin</p>'; });\n"
	if _, err := f.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
