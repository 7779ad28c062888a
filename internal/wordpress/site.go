package wordpress

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
)

// Options say how a site is to be.
type Options struct {
	// Name is that of the app and of the database.
	Name string
	// Listen is where it is served, host:port.
	Listen string
	// URL is the site's address, as https://example.com; "" takes the one by
	// which it is reached.
	URL string
	// PHP is the module that answers requests, CLI the one that hako exec
	// runs.
	PHP, CLI []byte
	// Source is where WordPress comes from.
	Source Source
}

// ErrExists means that a folder has a site already, or something else that
// would be overwritten.
var ErrExists = errors.New("it is there already")

//go:embed files
var files embed.FS

var templates = template.Must(template.ParseFS(files, "files/*.tmpl"))

// salts are the constants of wp-config.php that are secret.
var salts = []string{"AUTH_KEY", "SECURE_AUTH_KEY", "LOGGED_IN_KEY", "NONCE_KEY", "AUTH_SALT", "SECURE_AUTH_SALT", "LOGGED_IN_SALT", "NONCE_SALT"}

// warm are requests by which scripts get compiled before the first visitor.
var warm = []string{"/", "/wp-login.php", "/?p=1", "/?feed=rss2", "/?rest_route=/", "/?s=hako", "/hako-warm.php"}

// Create makes a site in dir, which may exist, but may not have a hako.toml or
// a WordPress in it. What it wrote is removed again if it fails.
func Create(ctx context.Context, dir string, o Options) (err error) {
	if _, _, err := net.SplitHostPort(o.Listen); err != nil {
		return fmt.Errorf("address to listen on: %w", err)
	}
	if err := checkURL(o.URL); err != nil {
		return err
	}
	core, content := filepath.Join(dir, "wordpress"), filepath.Join(dir, "wp-content")
	config := filepath.Join(dir, "hako.toml")
	written := []string{core, content, filepath.Join(dir, "php-hako.wasm"), filepath.Join(dir, "php.wasm"), filepath.Join(dir, "sessions"), filepath.Join(dir, "tools"), config}
	for _, name := range written {
		if _, err := os.Lstat(name); err == nil {
			return fmt.Errorf("make a site: %s: %w", name, ErrExists)
		}
	}
	defer func() {
		if err != nil {
			for _, name := range written {
				os.RemoveAll(name)
			}
		}
	}()
	if err := os.MkdirAll(content, 0o755); err != nil {
		return err
	}
	if err := o.Source.put(ctx, core, content); err != nil {
		return err
	}
	for name, b := range map[string][]byte{"php-hako.wasm": o.PHP, "php.wasm": o.CLI} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			return err
		}
	}
	for to, from := range map[string]string{
		filepath.Join(content, "db.php"):              "files/db.php",
		filepath.Join(content, "mu-plugins/hako.php"): "files/hako.php",
		filepath.Join(core, "hako-warm.php"):          "files/hako-warm.php",
	} {
		b, err := fs.ReadFile(files, from)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o755)
		}
		if err == nil {
			err = os.WriteFile(to, b, 0o644)
		}
		if err != nil {
			return err
		}
	}
	// Folders that WordPress would make at its first chance.
	for _, name := range []string{"uploads", "plugins", "upgrade", "languages"} {
		if err := os.MkdirAll(filepath.Join(content, name), 0o755); err != nil {
			return err
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "sessions"), 0o700); err != nil { // they let others in
		return err
	}
	if err := os.Mkdir(filepath.Join(dir, "tools"), 0o755); err != nil {
		return err
	}
	type salt struct{ Name, Value string }
	var secrets struct{ Salts []salt }
	for _, name := range salts {
		secrets.Salts = append(secrets.Salts, salt{name, newSalt()})
	}
	if err := fill(filepath.Join(core, "wp-config.php"), "wp-config.php.tmpl", secrets, 0o600); err != nil {
		return err
	}
	self := loopback(o.Listen)
	host := self
	if u, err := url.Parse(o.URL); err == nil && o.URL != "" {
		host = u.Host
	}
	return fill(config, "hako.toml.tmpl", map[string]string{
		"Name": o.Name, "Listen": strconv.Quote(o.Listen), "Self": strconv.Quote(self),
		"Host": strconv.Quote(host), "Home": strconv.Quote(o.URL), "Warm": quotedList(warm),
	}, 0o644)
}

// checkURL says what is wrong with a site's address.
func checkURL(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil ||
		u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(s, `"'\$`) {
		return fmt.Errorf("the site's address %q: write it as https://example.com", s)
	}
	return nil
}

// loopback returns where a process of this machine reaches a listener.
func loopback(listen string) string {
	host, port, _ := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

func quotedList(list []string) string {
	var quoted []string
	for _, s := range list {
		quoted = append(quoted, strconv.Quote(s))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// newSalt returns 64 random characters that need no escape in PHP: 398 bits.
func newSalt() string {
	const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!@#%^&*()-_[]{}<>~+=,.;:/?|"
	b := make([]byte, 64)
	for i := range b {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		if err != nil {
			panic(err) // which the system's source of randomness never is
		}
		b[i] = alphabet[n.Int64()]
	}
	return string(b)
}

// fill writes a file from a template.
func fill(name, from string, data any, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	return errors.Join(templates.ExecuteTemplate(f, from, data), f.Close())
}
