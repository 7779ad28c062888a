package wordpress_test

import (
	"context"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// A step is something that a person does.
type step = chromedp.Action[chromedp.Void]

var (
	keep      = flag.String("keep", "", "keep pictures of the browser, and logs, in this `folder`")
	elsewhere = flag.String("url", "", "look at a WordPress that is served elsewhere, and not installed yet, at this `address`")
)

// A browser is a window of Chromium with cookies of its own.
type browser struct {
	t     *testing.T
	ctx   context.Context
	url   string
	shots *int
}

// newBrowser starts Chromium.
func newBrowser(t *testing.T, url string) *browser {
	t.Helper()
	path, err := script("../../scripts/browser.sh")
	if err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.WindowSize(1280, 900))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, cancel := chromedp.NewExecAllocator(within(t, 10*time.Minute), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	return &browser{t, ctx, url, new(int)}
}

// another is somebody else's window.
func (b *browser) another() *browser {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	b.t.Cleanup(cancel)
	return &browser{b.t, ctx, b.url, b.shots}
}

// does carries out what a person does, within two minutes.
func (b *browser) does(what string, steps ...step) {
	b.t.Helper()
	began := time.Now()
	done := make(chan error, 1)
	go func() { done <- chromedp.Do(b.ctx, steps...) }()
	select {
	case err := <-done:
		if err != nil {
			b.shot("failed")
			b.t.Fatalf("%s: %v", what, err)
		}
		b.t.Logf("%s: %.1f s", what, time.Since(began).Seconds())
	case <-time.After(2 * time.Minute):
		b.shot("failed")
		b.t.Fatalf("%s: it takes more than two minutes", what)
	}
}

// learns carries out an action that finds something out.
func learns[T any](b *browser, what string, action chromedp.Action[T]) (found T) {
	b.t.Helper()
	b.does(what, chromedp.Func(func(ctx context.Context, t *chromedp.Target) (err error) {
		found, err = action(ctx, t)
		return err
	}))
	return found
}

// runs runs JavaScript that finds nothing out.
func runs(script string) step {
	return func(ctx context.Context, t *chromedp.Target) (v chromedp.Void, err error) {
		_, err = chromedp.Evaluate[any](script)(ctx, t)
		return v, err
	}
}

// waits asks for an element until it is there.
func waits(selector string) step {
	return func(ctx context.Context, t *chromedp.Target) (v chromedp.Void, err error) {
		for {
			there, err := chromedp.Evaluate[bool](fmt.Sprintf("document.querySelector(%q) !== null", selector))(ctx, t)
			if err != nil || there {
				return v, err
			}
			if _, err := chromedp.Sleep(100*time.Millisecond)(ctx, t); err != nil {
				return v, err
			}
		}
	}
}

func (b *browser) opens(path string) step { return chromedp.Navigate(b.url + path) }

// shot keeps a picture of the window.
func (b *browser) shot(name string) {
	if *keep == "" {
		return
	}
	*b.shots++
	var picture []byte
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	err := chromedp.Do(ctx, chromedp.Sleep(300*time.Millisecond))
	if err == nil {
		picture, err = chromedp.Run(ctx, chromedp.CaptureScreenshot())
	}
	if err != nil {
		b.t.Logf("picture of %s: %v", name, err)
		return
	}
	if err := os.WriteFile(filepath.Join(*keep, fmt.Sprintf("%02d-%s.png", *b.shots, name)), picture, 0o644); err != nil {
		b.t.Log(err)
	}
}

// text returns what can be read on the page.
func (b *browser) text() string {
	b.t.Helper()
	return learns(b, "read the page", chromedp.Text(chromedp.CSS("body")))
}

// picture makes a photograph of sorts, 1600 pixels wide.
func picture(t *testing.T) string {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 1600, 1000))
	for y := range 1000 {
		for x := range 1600 {
			hill := 600 + 120*math.Sin(float64(x)/230) + 60*math.Sin(float64(x)/71)
			c := color.RGBA{uint8(90 + y/8), uint8(150 + y/12), 230, 255}
			switch dx, dy := float64(x-1250), float64(y-230); {
			case dx*dx+dy*dy < 110*110:
				c = color.RGBA{255, 220, 90, 255}
			case float64(y) > hill:
				c = color.RGBA{40, uint8(160 - y/12), 60, 255}
			}
			m.SetRGBA(x, y, c)
		}
	}
	file := filepath.Join(t.TempDir(), "hills.png")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(f, m); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return file
}

// A person installs a site, publishes a picture, a visitor comments, and what
// was done is undone.
func TestBrowser(t *testing.T) {
	long(t)
	var s *site
	url := *elsewhere
	if url == "" {
		s = newSite(t)
		url = s.url
	}
	const user, password = "ann", "correct horse battery staple"
	b := newBrowser(t, url)
	b.does("open the site", b.opens("/"), chromedp.WaitVisible(chromedp.CSS("#weblog_title")))
	b.shot("install")
	b.does("install",
		chromedp.SetValue(chromedp.CSS("#weblog_title"), "Ann's hills"),
		chromedp.SendKeys(chromedp.CSS("#user_login"), user),
		chromedp.WaitVisible(chromedp.CSS("#pass1")),
		chromedp.SetValue(chromedp.CSS("#pass1"), password),
		chromedp.SendKeys(chromedp.CSS("#pass1"), "!"), // so that its strength is looked at
		chromedp.SendKeys(chromedp.CSS("#admin_email"), "ann@example.com"),
		chromedp.Click(chromedp.CSS("#submit")),
		chromedp.WaitVisible(chromedp.CSS("p.step a")))
	b.shot("installed")
	if text := b.text(); !strings.Contains(text, "Success!") {
		t.Fatalf("installed: %s", text)
	}
	b.does("log in",
		b.opens("/wp-login.php"),
		chromedp.WaitVisible(chromedp.CSS("#user_pass")), chromedp.Sleep(500*time.Millisecond), // a script puts the cursor somewhere
		chromedp.SetValue(chromedp.CSS("#user_login"), user), chromedp.SetValue(chromedp.CSS("#user_pass"), password+"!"),
		chromedp.Click(chromedp.CSS("#wp-submit")), chromedp.WaitVisible(chromedp.CSS("#wpadminbar")))
	b.shot("dashboard")

	// A picture by the form, a post about it by the block editor.
	b.does("upload a picture",
		b.opens("/wp-admin/media-new.php?browser-uploader"),
		chromedp.WaitVisible(chromedp.CSS("#async-upload")),
		chromedp.SetUploadFiles(chromedp.CSS("#async-upload"), []string{picture(t)}),
		chromedp.Click(chromedp.CSS("#html-upload")),
		chromedp.WaitVisible(chromedp.CSS(".wp-list-table, .attachments .attachment")))
	b.shot("media")
	b.does("open the editor",
		b.opens("/wp-admin/post-new.php"),
		chromedp.WaitVisible(chromedp.CSS(".edit-post-layout, .editor-editor-interface")))
	id := learns(b, "write a post", chromedp.Evaluate[int](`(async () => {
			wp.data.dispatch('core/preferences').set('core/edit-post', 'welcomeGuide', false);
			const media = await wp.apiFetch({ path: '/wp/v2/media?per_page=1' });
			wp.data.dispatch('core/editor').editPost({ title: 'A walk in the hills' });
			wp.data.dispatch('core/block-editor').insertBlocks([
				wp.blocks.createBlock('core/image', { id: media[0].id, url: media[0].source_url, sizeSlug: 'large' }),
				wp.blocks.createBlock('core/paragraph', { content: 'It was a <strong>clear</strong> day.' }),
			]);
			return media[0].id;
		})()`, chromedp.EvalAwaitPromise))
	if id == 0 {
		t.Fatal("the picture has no number")
	}
	b.shot("editor")
	const publish = `.editor-post-publish-button__button:not([aria-disabled="true"])`
	b.does("publish",
		chromedp.Click(chromedp.CSS(publish)), chromedp.Sleep(time.Second),
		chromedp.Click(chromedp.CSS(`.editor-post-publish-panel `+publish)),
		chromedp.WaitVisible(chromedp.CSS(".post-publish-panel__postpublish-buttons, .post-publish-panel__postpublish")))
	b.shot("published")
	link := learns(b, "find the post's address", chromedp.Evaluate[string](`wp.data.select('core/editor').getPermalink()`))
	path := strings.TrimPrefix(link, url)

	v := b.another()
	v.does("a visitor reads the post", v.opens(path), chromedp.WaitVisible(chromedp.CSS("#comment")))
	loaded := learns(v, "look at the picture", chromedp.Evaluate[bool](`[...document.querySelectorAll('.wp-block-image img, figure img')].some(i => i.complete && i.naturalWidth > 300)`))
	v.shot("post")
	if !loaded {
		t.Error("the post's picture is not shown")
	}
	var before string
	if s != nil {
		before = s.version()
	}
	const remark = "What a view! I want to go there too."
	v.does("a visitor comments",
		chromedp.SendKeys(chromedp.CSS("#comment"), remark), chromedp.SendKeys(chromedp.CSS("#author"), "Bob"), chromedp.SendKeys(chromedp.CSS("#email"), "bob@example.com"),
		chromedp.Click(chromedp.CSS("#submit")), chromedp.WaitVisible(chromedp.CSS(".comment-awaiting-moderation, .wp-block-comment-content")))
	v.shot("commented")
	b.does("look at the comment",
		b.opens("/wp-admin/edit-comments.php?comment_status=moderated"),
		chromedp.WaitVisible(chromedp.CSS("#the-comment-list tr.unapproved")),
		runs(`document.querySelector('#the-comment-list tr.unapproved .approve a').click()`))
	for approved := false; !approved; { // a script may send it
		b.does("approve it", chromedp.Sleep(time.Second), b.opens("/wp-admin/edit-comments.php?comment_status=approved"))
		approved = learns(b, "is it approved", chromedp.Evaluate[bool](`document.body.innerText.includes('Bob')`))
	}
	b.shot("approved")
	b.does("change the theme",
		b.opens("/wp-admin/themes.php"),
		chromedp.WaitVisible(chromedp.CSS(`.theme[data-slug="twentytwentythree"]`)),
		runs(`document.querySelector('.theme[data-slug="twentytwentythree"] a.activate').click()`),
		chromedp.WaitVisible(chromedp.CSS(`.theme.active[data-slug="twentytwentythree"]`)))
	b.shot("theme")
	stranger := b.another()
	stranger.does("somebody else reads the post", stranger.opens(path), waits("h1"))
	stranger.shot("other-theme")
	if text := stranger.text(); !strings.Contains(text, remark) {
		t.Errorf("the comment is not there:\n%s", text)
	}
	if s == nil {
		return
	}
	s.run("db", "restore", s.name(), before)
	stranger.does("read it again", stranger.opens(path), waits("h1"))
	stranger.shot("restored")
	text := stranger.text()
	if strings.Contains(text, remark) {
		t.Error("the comment is there after the database was restored to before it")
	}
	if !strings.Contains(text, "It was a clear day.") {
		t.Errorf("the post is not there after the database was restored:\n%s", text)
	}
	for _, line := range s.log.errors() {
		t.Errorf("the server logs: %s", line)
	}
}

// name is the name of the site's app and database.
func (s *site) name() string { return filepath.Base(s.dir) }

var newest = regexp.MustCompile(`"version":\s*(\d+)`)

// version returns the newest version of the site's database.
func (s *site) version() string {
	s.t.Helper()
	out := s.run("db", "log", s.name(), "--json", "--limit", "1")
	found := newest.FindStringSubmatch(out)
	if found == nil {
		s.t.Fatalf("the log has no version:\n%s", out)
	}
	return found[1]
}
