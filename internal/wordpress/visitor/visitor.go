// Package visitor makes requests of a WordPress site as people with browsers
// do, but without scripts: it installs it, logs in, comments, reads. Tests and
// measurements are made of it.
package visitor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// A Visitor has cookies of its own. It is for one goroutine.
type Visitor struct {
	base   string
	client http.Client
	nonce  string // of the REST API, once logged in
}

// New returns a visitor of the site at base, as http://127.0.0.1:8080.
func New(base string) *Visitor {
	jar, _ := cookiejar.New(nil) // whose options are right
	return &Visitor{
		base: strings.TrimSuffix(base, "/"),
		client: http.Client{
			Jar: jar, Timeout: 2 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 1},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Close ends the visitor's connections.
func (v *Visitor) Close() { v.client.CloseIdleConnections() }

// A Page is an answer, whole.
type Page struct {
	Status int
	Header http.Header
	Body   string
}

// ErrPHP means that a page shows an error of PHP or of the database.
var ErrPHP = errors.New("the page shows an error")

var mistakes = regexp.MustCompile(`(?i)<b>(warning|notice|deprecated|fatal error|parse error)</b>|uncaught \w*(error|exception)|database is locked|critical error on this website|WordPress database error`)

// do sends a request and reads the answer. An error of PHP in it is ErrPHP.
func (v *Visitor) do(ctx context.Context, method, path, contentType string, body io.Reader, header ...string) (*Page, error) {
	u := path
	if strings.HasPrefix(path, "/") {
		u = v.base + path
	}
	r, err := http.NewRequestWithContext(ctx, method, u, body)
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := v.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	p := &Page{resp.StatusCode, resp.Header, string(b)}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		if found := mistakes.FindStringIndex(p.Body); found != nil {
			return p, fmt.Errorf("%s %s: %w: %s", method, path, ErrPHP, excerpt(p.Body, found[0]))
		}
	}
	return p, nil
}

// Get reads a page; path may have a query.
func (v *Visitor) Get(ctx context.Context, path string, header ...string) (*Page, error) {
	return v.do(ctx, http.MethodGet, path, "", nil, header...)
}

// Read reads a page that is there: another status than 200 is an error.
func (v *Visitor) Read(ctx context.Context, path string) (*Page, error) {
	p, err := v.Get(ctx, path)
	if err == nil && p.Status != http.StatusOK {
		err = fmt.Errorf("GET %s: the answer is %d: %s", path, p.Status, excerpt(p.Body, 0))
	}
	return p, err
}

// Post sends a form.
func (v *Visitor) Post(ctx context.Context, path string, form url.Values) (*Page, error) {
	return v.do(ctx, http.MethodPost, path, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
}

// Upload sends a body as it is.
func (v *Visitor) Upload(ctx context.Context, path, contentType string, body []byte, header ...string) (*Page, error) {
	return v.do(ctx, http.MethodPost, path, contentType, bytes.NewReader(body), header...)
}

// Install does the installation with the name and password given.
func (v *Visitor) Install(ctx context.Context, title, user, password string) error {
	p, err := v.Post(ctx, "/wp-admin/install.php?step=2", url.Values{
		"weblog_title": {title}, "user_name": {user}, "admin_password": {password}, "admin_password2": {password},
		"pw_weak": {"1"}, "admin_email": {user + "@example.com"}, "blog_public": {"0"}, "language": {""},
	})
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	if p.Status != http.StatusOK || !strings.Contains(p.Body, "Success!") {
		return fmt.Errorf("install: the answer is %d: %s", p.Status, excerpt(p.Body, strings.Index(p.Body, "<body")))
	}
	return nil
}

// Login logs in.
func (v *Visitor) Login(ctx context.Context, user, password string) error {
	v.nonce = ""
	v.client.Jar.SetCookies(mustURL(v.base), []*http.Cookie{{Name: "wordpress_test_cookie", Value: "WP Cookie check", Path: "/"}})
	p, err := v.Post(ctx, "/wp-login.php", url.Values{
		"log": {user}, "pwd": {password}, "wp-submit": {"Log In"}, "redirect_to": {v.base + "/wp-admin/"}, "testcookie": {"1"},
	})
	if err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	if p.Status != http.StatusFound {
		return fmt.Errorf("log in as %s: the answer is %d: %s", user, p.Status, excerpt(p.Body, strings.Index(p.Body, "login_error")))
	}
	return nil
}

func mustURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		return &url.URL{}
	}
	return u
}

// Logout forgets all cookies, as a browser that is closed.
func (v *Visitor) Logout() {
	v.nonce = ""
	v.client.Jar, _ = cookiejar.New(nil)
}

// Comment leaves a comment on a post and returns its number. The server has
// acknowledged it then.
func (v *Visitor) Comment(ctx context.Context, post int, author, text string) (int, error) {
	p, err := v.Post(ctx, "/wp-comments-post.php", url.Values{
		"comment": {text}, "author": {author}, "email": {author + "@example.com"}, "url": {""},
		"submit": {"Post Comment"}, "comment_post_ID": {fmt.Sprint(post)}, "comment_parent": {"0"},
	})
	if err != nil {
		return 0, fmt.Errorf("comment: %w", err)
	}
	to := p.Header.Get("Location")
	_, after, ok := strings.Cut(to, "#comment-")
	var n int
	if _, err := fmt.Sscanf(after, "%d", &n); p.Status != http.StatusFound || !ok || err != nil {
		return 0, fmt.Errorf("comment: the answer is %d, to %q: %s", p.Status, to, excerpt(p.Body, strings.Index(p.Body, "<body")))
	}
	return n, nil
}

// REST calls the REST API, logged in; answer may be nil.
func (v *Visitor) REST(ctx context.Context, method, route string, body, answer any) error {
	if v.nonce == "" {
		p, err := v.Read(ctx, "/wp-admin/admin-ajax.php?action=rest-nonce")
		if err != nil {
			return err
		}
		v.nonce = p.Body
	}
	var b []byte
	if body != nil {
		var err error
		if b, err = json.Marshal(body); err != nil {
			return err
		}
	}
	route, query, _ := strings.Cut(route, "?")
	p, err := v.do(ctx, method, "/?rest_route="+url.QueryEscape(route)+"&"+query, "application/json", bytes.NewReader(b), "X-WP-Nonce", v.nonce)
	if err != nil {
		return err
	}
	if p.Status/100 != 2 {
		return fmt.Errorf("%s %s: the answer is %d: %s", method, route, p.Status, excerpt(p.Body, 0))
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal([]byte(p.Body), answer); err != nil {
		return fmt.Errorf("%s %s: %w: %s", method, route, err, excerpt(p.Body, 0))
	}
	return nil
}

// Nonce returns the REST API's nonce, after a call of REST.
func (v *Visitor) Nonce() string { return v.nonce }

var tags = regexp.MustCompile(`(?s)<(script|style).*?</(script|style)>|<[^>]*>|\s+`)

// excerpt returns a little text of a page from an offset on.
func excerpt(page string, from int) string {
	text := tags.ReplaceAllString(page[max(from, 0):min(len(page), max(from, 0)+8000)], " ")
	text = html.UnescapeString(strings.Join(strings.Fields(text), " "))
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + " ..."
	}
	return text
}

// Share gives v the cookies that other has, as a second window of the same
// browser.
func (v *Visitor) Share(other *Visitor) { v.client.Jar, v.nonce = other.client.Jar, other.nonce }
