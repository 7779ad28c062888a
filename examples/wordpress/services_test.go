package wordpress_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	stdlog "log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hako-run/hako/internal/wordpress/visitor"
)

// A mailServer takes mail by SMTP from who knows its password.
type mailServer struct {
	address string
	mu      sync.Mutex
	mails   []string // with their addressees in front
}

func newMailServer(t *testing.T) *mailServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	m := &mailServer{address: l.Addr().String()}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go m.serve(c)
		}
	}()
	return m
}

func (m *mailServer) serve(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(c)
	say := func(s string) { _, _ = io.WriteString(c, s+"\r\n") }
	line := func() string { s, _ := r.ReadString('\n'); return strings.TrimRight(s, "\r\n") }
	say("220 mail")
	var mail strings.Builder
	known := false
	for {
		s := line()
		switch verb, _, _ := strings.Cut(strings.ToUpper(s), " "); {
		case verb == "EHLO":
			say("250-mail\r\n250 AUTH PLAIN LOGIN")
		case strings.HasPrefix(strings.ToUpper(s), "AUTH LOGIN"):
			say("334 VXNlcm5hbWU6")
			user, _ := base64.StdEncoding.DecodeString(line())
			say("334 UGFzc3dvcmQ6")
			password, _ := base64.StdEncoding.DecodeString(line())
			if known = string(user) == "site" && string(password) == "se:cret"; known {
				say("235 ok")
			} else {
				say("535 no")
			}
		case verb == "MAIL" || verb == "RCPT":
			if !known {
				say("530 who are you?")
				continue
			}
			mail.WriteString(s + "\n")
			say("250 ok")
		case verb == "DATA":
			say("354 go on")
			for s := line(); s != "."; s = line() {
				mail.WriteString(s + "\n")
			}
			m.mu.Lock()
			m.mails = append(m.mails, mail.String())
			m.mu.Unlock()
			mail.Reset()
			say("250 ok")
		case verb == "QUIT":
			say("221 bye")
			return
		case s == "":
			return
		default:
			say("250 ok")
		}
	}
}

// find returns the last mail that has a text.
func (m *mailServer) find(text string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := len(m.mails) - 1; i >= 0; i-- {
		if strings.Contains(m.mails[i], text) {
			return m.mails[i]
		}
	}
	return ""
}

// certificate makes one for localhost, and a file by which it is trusted.
func certificate(t *testing.T) (c tls.Certificate, roots string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	b, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	roots = filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{b}, PrivateKey: key}, roots
}

// wordpressOrg answers as api.wordpress.org and downloads.wordpress.org do,
// with one plugin in its directory, by TLS. Its certificate is in the file.
func wordpressOrg(t *testing.T) (address, roots string, asked func() []string) {
	t.Helper()
	var mu sync.Mutex
	var paths []string
	archive := plugin(t)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		paths = append(paths, r.Host+r.URL.Path)
		mu.Unlock()
		info := map[string]any{
			"name": "Greeter", "slug": "greeter", "version": "2.0", "author": "x", "requires": "5.0", "tested": "9.9", "requires_php": "7.0", "rating": 0, "num_ratings": 0,
			"active_installs": 10, "last_updated": "2026-01-01 1:00pm GMT", "homepage": "", "short_description": "Greets.", "description": "Greets.", "sections": map[string]any{"description": "Greets."},
			"download_link": "https://downloads.wordpress.org/plugin/greeter.2.0.zip", "icons": map[string]string{"default": "https://ps.w.org/x.png"}, "tags": []string{}, "ratings": map[string]int{},
		}
		answer := func(v any) { _ = json.NewEncoder(w).Encode(v) }
		switch {
		case strings.HasPrefix(r.URL.Path, "/plugins/info/") && r.FormValue("action") == "query_plugins":
			answer(map[string]any{"info": map[string]int{"page": 1, "pages": 1, "results": 1}, "plugins": []any{info}})
		case strings.HasPrefix(r.URL.Path, "/plugins/info/"):
			answer(info)
		case strings.HasPrefix(r.URL.Path, "/plugins/update-check/"):
			answer(map[string]any{"plugins": map[string]any{}, "translations": []any{}, "no_update": map[string]any{}})
		case strings.HasPrefix(r.URL.Path, "/themes/update-check/"):
			answer(map[string]any{"themes": map[string]any{"twentytwentythree": map[string]string{"theme": "twentytwentythree", "new_version": "99.1", "url": "https://wordpress.org/", "package": "https://downloads.wordpress.org/x.zip"}}, "translations": []any{}, "no_update": map[string]any{}})
		case strings.HasPrefix(r.URL.Path, "/core/version-check/"):
			answer(map[string]any{"offers": []any{map[string]any{"response": "upgrade", "current": "98.7", "version": "98.7", "locale": "en_US", "download": "https://downloads.wordpress.org/wp.zip", "packages": map[string]any{"full": "https://downloads.wordpress.org/wp.zip"}, "php_version": "7.2", "mysql_version": "5.5"}}, "translations": []any{}})
		case r.URL.Path == "/plugin/greeter.2.0.zip":
			_, _ = w.Write(archive)
		default:
			answer(map[string]any{})
		}
	}))
	s.Config.ErrorLog = stdlog.New(io.Discard, "", 0)
	c, roots := certificate(t)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{c}}
	s.StartTLS()
	t.Cleanup(s.Close)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return "localhost:" + port, roots, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), paths...)
	}
}

// elsewherePlugin has requests to wordpress.org go to an address that can be
// granted without a resolver of names.
const elsewherePlugin = `<?php
add_filter('pre_http_request', function ($response, $args, $url) {
	$host = parse_url($url, PHP_URL_HOST);
	if (false !== $response || !in_array($host, ['api.wordpress.org', 'downloads.wordpress.org'], true)) return $response;
	$args['reject_unsafe_urls'] = false;
	$args['headers'] = (array) ($args['headers'] ?? []);
	$args['headers']['Host'] = $host;
	return wp_remote_request(str_replace($host, '%s', set_url_scheme($url, 'https')), $args);
}, 5, 3);
add_action('init', function () {
	if (isset($_GET['visits'])) { session_start(); exit('visit ' . ($_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1)); }
});
`

// What a site reaches by the network: mail, updates, the directory of plugins;
// and sessions of plugins.
func TestServices(t *testing.T) {
	long(t)
	mail := newMailServer(t)
	org, roots, asked := wordpressOrg(t)
	t.Setenv("SSL_CERT_FILE", roots)
	s := newSite(t, func(toml string) string {
		toml = strings.Replace(toml, `network   = [`, fmt.Sprintf(`network   = [%q, %q, `, mail.address, org), 1)
		return strings.NewReplacer(`# WP_UPDATES`, `WP_UPDATES`, `# SMTP_URL = "smtp://USER:PASSWORD@mail.example.com:587"`,
			fmt.Sprintf(`SMTP_URL = "smtp://site:se%%3Acret@%s"`, mail.address), `# SMTP_FROM`, `SMTP_FROM`).Replace(toml)
	})
	if err := os.WriteFile(filepath.Join(s.dir, "wp-content/mu-plugins/elsewhere.php"), fmt.Appendf(nil, elsewherePlugin, org), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx := within(t, 8*time.Minute)
	v := visitor.New(s.url)
	defer v.Close()
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	check("install", v.Install(ctx, "A site", owner, ownerPassword))

	// Who forgot the password gets a link.
	p, err := v.Post(ctx, "/wp-login.php?action=lostpassword", url.Values{"user_login": {owner}, "redirect_to": {""}, "wp-submit": {"Get New Password"}})
	if check("lost password", err); p.Status != 302 || !strings.Contains(p.Header.Get("Location"), "checkemail=confirm") {
		t.Errorf("lost password: %d to %q", p.Status, p.Header.Get("Location"))
	}
	text := strings.ReplaceAll(mail.find("action=rp"), "=\n", "")
	if !strings.Contains(text, "RCPT TO:<"+owner+"@example.com>") || !strings.Contains(text, "MAIL FROM:<site@example.com>") {
		t.Fatalf("the mail is %q, of %q", text, mail.mails)
	}
	link := regexp.MustCompile(`/wp-login\.php\?\S*action=rp\S*`).FindString(text)
	p, err = v.Get(ctx, link)
	for err == nil && p.Status == 302 {
		p, err = v.Get(ctx, strings.TrimPrefix(p.Header.Get("Location"), s.url))
	}
	if check("the link of the mail", err); !strings.Contains(p.Body, "pass1") {
		t.Errorf("the link of the mail leads to %d %.300s", p.Status, p.Body)
	}

	check("log in", v.Login(ctx, owner, ownerPassword))
	for path, wants := range map[string][]string{
		"/wp-admin/update-core.php?force-check=1":           {"98.7", "99.1"},
		"/wp-admin/plugin-install.php?tab=search&s=greeter": {"Greets.", "plugin-card-greeter"},
		"/wp-admin/theme-install.php":                       {"theme-install"},
		"/wp-admin/site-health.php?tab=debug":               {"Directories and Sizes"},
	} {
		p, err := v.Read(ctx, path)
		check(path, err)
		for _, want := range wants {
			if !strings.Contains(p.Body, want) {
				t.Errorf("%s lacks %q", path, want)
			}
		}
	}
	p, err = v.Read(ctx, "/wp-admin/plugin-install.php?tab=search&s=greeter")
	check("search", err)
	install := regexp.MustCompile(`update\.php\?action=install-plugin&(?:amp|#038);plugin=greeter&(?:amp|#038);_wpnonce=(\w+)`).FindStringSubmatch(p.Body)
	if install == nil {
		t.Fatalf("no link installs the plugin")
	}
	p, err = v.Get(ctx, "/wp-admin/update.php?action=install-plugin&plugin=greeter&_wpnonce="+install[1])
	if check("install a plugin", err); !strings.Contains(p.Body, "Successfully installed") {
		t.Errorf("the plugin was not installed: %d, %s", p.Status, strings.Join(asked(), " "))
	}
	check("switch it on", v.REST(ctx, "POST", "/wp/v2/plugins/greeter/greeter", map[string]string{"status": "active"}, nil))
	var health struct{ Status, Label, Description string }
	check("health", v.REST(ctx, "GET", "/wp-site-health/v1/tests/dotorg-communication", nil, &health))
	if health.Status != "good" {
		t.Errorf("site health: %+v", health)
	}

	for n := 1; n <= 3; n++ {
		if p, err := v.Read(ctx, "/?visits"); err != nil || p.Body != fmt.Sprint("visit ", n) {
			t.Errorf("visit %d: %v, %.200q", n, err, p.Body)
		}
	}
	for _, line := range s.log.errors() {
		t.Errorf("the server logs: %.500s", line)
	}
}

// Without grants a site says what it lacks.
func TestNotGranted(t *testing.T) {
	long(t)
	s := newSite(t)
	ctx := within(t, 5*time.Minute)
	v := visitor.New(s.url)
	defer v.Close()
	if err := v.Install(ctx, "A site", owner, ownerPassword); err != nil {
		t.Fatal(err)
	}
	if err := v.Login(ctx, owner, ownerPassword); err != nil {
		t.Fatal(err)
	}
	p, err := v.Read(ctx, "/wp-admin/plugin-install.php?tab=search&s=x")
	if err != nil || !strings.Contains(p.Body, "may not ask wordpress.org") {
		t.Errorf("the directory of plugins: %v", err)
	}
	p, err = v.Post(ctx, "/wp-login.php?action=lostpassword", url.Values{"user_login": {owner}, "wp-submit": {"x"}})
	if err != nil || !strings.Contains(p.Body, "could not be sent") {
		t.Errorf("mail: %v, %d", err, p.Status)
	}
	if out := s.run("exec", s.name(), "php", "-r", `require '/srv/wp-load.php'; $r = wp_remote_get('https://example.com/'); echo $r->get_error_message();`); !strings.Contains(out, "example.com") {
		t.Errorf("another site: %q", out)
	}
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	for _, want := range []string{`was not sent: SMTP_URL names no server`} {
		if !bytes.Contains(s.log.text.Bytes(), []byte(want)) {
			t.Errorf("the log lacks %q", want)
		}
	}
}
