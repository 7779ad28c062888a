package wordpress_test

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/xml"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hako-run/hako/internal/wordpress/visitor"
)

// form makes a form with a file in it, and its type.
func form(t *testing.T, fields map[string]string, name, file string, content []byte) (body []byte, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for name, value := range fields {
		if err := w.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	part, err := w.CreateFormFile(name, file)
	if err == nil {
		_, err = part.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), w.FormDataContentType()
}

// classicTheme is a theme of the older kind, with a place for widgets.
func classicTheme(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, text := range map[string]string{
		"plain/style.css":     "/*\nTheme Name: Plain\nVersion: 1.0\n*/\nbody { margin: 2em }\n",
		"plain/functions.php": "<?php add_action('widgets_init', function () { register_sidebar(['id' => 'side', 'name' => 'Side']); }); add_theme_support('custom-header');\n",
		"plain/index.php":     "<!doctype html><html><head><?php wp_head(); ?></head><body><h1><?php bloginfo('name'); ?></h1><?php while (have_posts()) { the_post(); the_title('<h2>', '</h2>'); } dynamic_sidebar('side'); wp_footer(); ?></body></html>\n",
	} {
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

// Large files, edited pictures, themes of the older kind with widgets and the
// customizer, and the export.
func TestFeatures(t *testing.T) {
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
	read := func(path string) string {
		t.Helper()
		p, err := v.Read(ctx, path)
		check(path, err)
		return p.Body
	}
	found := func(what, in, pattern string) string {
		t.Helper()
		m := regexp.MustCompile(pattern).FindStringSubmatch(in)
		if m == nil {
			t.Fatalf("%s: nothing is like %s", what, pattern)
		}
		return m[1]
	}
	check("install", v.Install(ctx, "A site", owner, ownerPassword))
	check("log in", v.Login(ctx, owner, ownerPassword))

	// 20 MB by the form, which PHP keeps in /tmp on its way.
	large := append([]byte("%PDF-1.4\n"), make([]byte, 20<<20)...)
	if _, err := rand.Read(large[9:]); err != nil {
		t.Fatal(err)
	}
	body, kind := form(t, map[string]string{
		"_wpnonce": found("media", read("/wp-admin/media-new.php?browser-uploader"), `name="_wpnonce" value="(\w+)"`), "html-upload": "Upload", "post_id": "0",
	}, "async-upload", "report.pdf", large)
	p, err := v.Upload(ctx, "/wp-admin/media-new.php", kind, body)
	if check("upload 20 MB", err); p.Status != 302 {
		t.Fatalf("upload 20 MB: %d %.300s", p.Status, p.Body)
	}
	var media []struct {
		ID     int
		Source string `json:"source_url"`
	}
	check("media", v.REST(ctx, "GET", "/wp/v2/media", nil, &media))
	resp, err := http.Get(media[0].Source)
	check("the file", err)
	hash := sha256.New()
	_, err = io.Copy(hash, resp.Body)
	resp.Body.Close()
	want := sha256.Sum256(large)
	if check("the file", err); !bytes.Equal(hash.Sum(nil), want[:]) || resp.Header.Get("Content-Type") != "application/pdf" || resp.Header.Get("Etag") == "" {
		t.Errorf("the file that comes is another: %v", resp.Header)
	}

	// A picture that is turned and cut.
	photo, err := os.ReadFile(picture(t))
	check("picture", err)
	p, err = v.Upload(ctx, "/?rest_route=/wp/v2/media", "image/png", photo, "X-WP-Nonce", v.Nonce(), "Content-Disposition", `attachment; filename="hills.png"`)
	if check("upload", err); p.Status != 201 {
		t.Fatalf("upload: %d %.300s", p.Status, p.Body)
	}
	check("media", v.REST(ctx, "GET", "/wp/v2/media", nil, &media))
	var edited struct {
		Details struct{ Width, Height int } `json:"media_details"`
		Source  string                      `json:"source_url"`
	}
	check("edit a picture", v.REST(ctx, "POST", "/wp/v2/media/"+fmt.Sprint(media[0].ID)+"/edit", map[string]any{
		"src": media[0].Source, "modifiers": []any{
			map[string]any{"type": "rotate", "args": map[string]any{"angle": 90}},
			map[string]any{"type": "crop", "args": map[string]any{"left": 25, "top": 25, "width": 50, "height": 50}},
		},
	}, &edited))
	if d := edited.Details; d.Width != 500 || d.Height != 800 {
		t.Errorf("the picture was turned and cut to %d x %d", d.Width, d.Height)
	}
	if resp, err := http.Get(edited.Source); err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "image/png" {
		t.Errorf("the edited picture: %v, %v", err, resp)
	} else {
		resp.Body.Close()
	}

	// A theme of the older kind.
	body, kind = form(t, map[string]string{
		"_wpnonce": found("themes", read("/wp-admin/theme-install.php?upload"), `(?s)wp-upload-form.*?name="_wpnonce" value="(\w+)"`), "install-theme-submit": "Install Now",
	}, "themezip", "plain.zip", classicTheme(t))
	p, err = v.Upload(ctx, "/wp-admin/update.php?action=upload-theme", kind, body)
	if check("install a theme", err); !strings.Contains(p.Body, "Theme installed successfully") {
		t.Fatalf("install a theme: %d", p.Status)
	}
	nonce := found("themes", read("/wp-admin/themes.php"), `stylesheet=plain(?:&amp;|&#038;|\\u0026amp;|&)_wpnonce=(\w+)`)
	p, err = v.Get(ctx, "/wp-admin/themes.php?action=activate&stylesheet=plain&_wpnonce="+nonce)
	if check("switch the theme", err); p.Status != 302 {
		t.Errorf("switch the theme: %d", p.Status)
	}
	read("/wp-admin/themes.php?activated=true") // where people are led, and WordPress puts widgets into the theme
	read("/wp-admin/widgets.php")
	nonce = found("customizer", read("/wp-admin/customize.php"), `"nonce":\{"save":"(\w+)"`)
	p, err = v.Post(ctx, "/wp-admin/admin-ajax.php", url.Values{
		"action": {"customize_save"}, "wp_customize": {"on"}, "customize_theme": {"plain"}, "nonce": {nonce},
		"customize_changeset_status": {"publish"}, "customized": {`{"blogname":"Renamed"}`},
	})
	if check("customizer", err); !strings.Contains(p.Body, `"success":true`) {
		t.Errorf("customizer: %d %.300s", p.Status, p.Body)
	}
	front := read("/")
	for _, want := range []string{"<h1>Renamed</h1>", "Recent Posts", "<h2>Hello world!</h2>"} {
		if !strings.Contains(front, want) {
			t.Errorf("the front page lacks %q: %.4000s", want, front[max(0, strings.Index(front, "<body")):])
		}
	}

	// The export.
	p, err = v.Read(ctx, "/wp-admin/export.php?download=true&content=all")
	check("export", err)
	var export struct {
		Items []struct {
			Title string `xml:"title"`
			Type  string `xml:"post_type"`
		} `xml:"channel>item"`
	}
	if err := xml.Unmarshal([]byte(p.Body), &export); err != nil || !strings.HasPrefix(p.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("export: %v, %v", err, p.Header)
	}
	types := map[string]int{}
	for _, i := range export.Items {
		types[i.Type]++
	}
	if types["post"] != 1 || types["page"] < 1 || types["attachment"] != 3 {
		t.Errorf("the export has %v", types)
	}
	for _, line := range s.log.errors() {
		t.Errorf("the server logs: %.500s", line)
	}
}
