// Command profile has a WordPress site do what sites do most, so that PHP with
// counters (scripts/php-profile.sh) counts it.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"image"
	"image/jpeg"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hako-run/hako/internal/wordpress/visitor"
)

var (
	hako   = flag.String("hako", "bin/hako", "Hako's `program`")
	php    = flag.String("php", "", "`folder` with PHP's modules, with counters")
	counts = flag.String("counts", "", "`folder` for the counts of each request")
)

func main() {
	flag.Parse()
	dir, err := os.MkdirTemp("", "php-profile")
	if err == nil {
		err = serve(dir)
	}
	_ = os.RemoveAll(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "profile:", err)
		os.Exit(1)
	}
}

// serve runs a site in a folder as long as it is asked.
func serve(dir string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := l.Addr().String()
	_ = l.Close()
	made := exec.Command(*hako, "init", "wordpress", "--name", "site", "--listen", address,
		"--php", filepath.Join(*php, "php-hako.wasm"), "--php-cli", filepath.Join(*php, "php.wasm"), dir+"/site")
	if out, err := made.CombinedOutput(); err != nil {
		return fmt.Errorf("hako init: %w: %s", err, out)
	}
	config := filepath.Join(dir, "site", "hako.toml")
	b, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	grant := fmt.Sprintf("dirs   = [\n{ host = %q, guest = \"/profile\", write = true },", *counts)
	b = bytes.Replace(b, []byte("dirs   = ["), []byte(grant), 1)
	if err := os.WriteFile(config, b, 0o644); err != nil {
		return err
	}
	up := exec.Command(*hako, "up", dir+"/site")
	up.Stderr = os.Stderr // not the access log
	if err := up.Start(); err != nil {
		return err
	}
	defer func() { _ = up.Process.Signal(syscall.SIGTERM); _ = up.Wait() }()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	for {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			_ = c.Close()
			break
		}
		if ctx.Err() != nil {
			return err
		}
		time.Sleep(time.Second)
	}
	return ask(ctx, visitor.New("http://"+address), visitor.New("http://"+address))
}

// ask does what visitors and owners do, in about the proportions that they do
// it: pages are read far more than written.
func ask(ctx context.Context, owner, reader *visitor.Visitor) error {
	const user, password = "ada", "correct horse battery staple"
	if err := owner.Install(ctx, "Profile", user, password); err != nil {
		return err
	}
	if err := owner.Login(ctx, user, password); err != nil {
		return err
	}
	paragraph := "<!-- wp:paragraph --><p>It was a <em>clear</em> day, and the hills stood as if cut from paper - \"so they said\". We walked until noon, ate what there was, and went on along the river.</p><!-- /wp:paragraph -->"
	list := "<!-- wp:list --><ul class=\"wp-block-list\"><!-- wp:list-item --><li>bread</li><!-- /wp:list-item --><!-- wp:list-item --><li>tea</li><!-- /wp:list-item --></ul><!-- /wp:list -->"
	var first int
	for i := range 12 {
		var made struct {
			ID int `json:"id"`
		}
		if err := owner.REST(ctx, "POST", "/wp/v2/posts", map[string]any{
			"title": fmt.Sprintf("Day %d in the hills", i+1), "content": strings.Repeat(paragraph+list, 3), "status": "publish",
		}, &made); err != nil {
			return err
		}
		if i == 0 {
			first = made.ID
		}
	}
	picture := image.NewNRGBA(image.Rect(0, 0, 1200, 800))
	for i := range picture.Pix {
		picture.Pix[i] = byte(i * i >> 9)
	}
	var jpg bytes.Buffer
	if err := jpeg.Encode(&jpg, picture, nil); err != nil {
		return err
	}
	if _, err := owner.Upload(ctx, "/?rest_route=/wp/v2/media", "image/jpeg", jpg.Bytes(), "X-WP-Nonce", owner.Nonce(), "Content-Disposition", `attachment; filename="hills.jpg"`); err != nil {
		return err
	}
	if _, err := reader.Comment(ctx, first, "reader", "I would have gone along."); err != nil {
		return err
	}
	for i := range 6 {
		if err := owner.REST(ctx, "POST", "/wp/v2/comments", map[string]any{
			"post": first, "author_name": fmt.Sprintf("visitor%d", i), "author_email": fmt.Sprintf("visitor%d@example.com", i), "content": fmt.Sprintf("What a fine walk that was, number %d.", i),
		}, nil); err != nil {
			return err
		}
	}
	for range 6 {
		if err := owner.REST(ctx, "GET", fmt.Sprintf("/wp/v2/posts/%d?context=edit", first), nil, nil); err != nil {
			return err
		}
	}
	for _, page := range []struct {
		who   *visitor.Visitor
		path  string
		times int
	}{
		{reader, "/", 40},
		{reader, fmt.Sprintf("/?p=%d", first), 40},
		{reader, "/?s=river", 6},
		{reader, "/?feed=rss2", 6},
		{reader, "/?rest_route=/wp/v2/posts", 6},
		{reader, "/?cat=1", 6},
		{reader, "/?p=987654", 4},
		{reader, "/wp-login.php", 4},
		{owner, "/", 10},
		{owner, "/wp-admin/", 20},
		{owner, "/wp-admin/edit.php", 8},
		{owner, "/wp-admin/edit-comments.php", 4},
		{owner, "/wp-admin/upload.php?mode=list", 4},
		{owner, "/wp-admin/plugins.php", 4},
		{owner, "/wp-admin/options-general.php", 4},
		{owner, fmt.Sprintf("/wp-admin/post.php?action=edit&post=%d", first), 8},
	} {
		for range page.times {
			p, err := page.who.Get(ctx, page.path)
			if err != nil {
				return err
			}
			if p.Status >= 300 && p.Status != 404 {
				return fmt.Errorf("GET %s: %d", page.path, p.Status)
			}
		}
	}
	return nil
}
