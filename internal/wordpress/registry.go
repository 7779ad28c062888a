package wordpress

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// The package that carries WordPress and its SQLite integration.
const (
	pack        = "@wp-playground/wordpress-builds"
	packVersion = "0.9.19"
	packHash    = "dlqvh/MJDpE5W68vgPPKUjpip6zMuBh59L3D18ZX+pdwurC4q4ydrTww/3sTMV69BBcoH6kF93YtAtujNC5Mpw==" // SHA-512
	packSize    = 158509326

	// Version is the version of WordPress that a Registry gets.
	Version = "6.5.5"
	// IntegrationVersion is that of the SQLite integration.
	IntegrationVersion = "2.1.11"
)

// What is taken of the package, by its name there.
const (
	partCore        = "src/wordpress/wp-6.5.zip"
	partOlder       = "src/wordpress/wp-6.3.zip" // of which the theme is taken
	partAssets      = "public/wp-6.5/"
	partIntegration = "src/sqlite-database-integration/sqlite-database-integration.zip"
)

// The folder that a Registry keeps in its cache.
const (
	keptCore        = "core.zip"
	keptOlder       = "older.zip"
	keptAssets      = "assets"
	keptIntegration = "integration.zip"
)

// A Registry gets WordPress from an npm registry, once: what was fetched and
// has the right hash stays in the cache.
type Registry struct {
	URL   string // "" is npm's own choice: see RegistryURL
	Cache string // a folder
	// Progress, if not nil, is told now and then how many bytes of how many
	// have come.
	Progress func(done, total int64)
	Client   *http.Client // nil is http.DefaultClient

	hash string // in place of packHash, in tests
}

// RegistryURL returns the registry that npm would use: that of the variable
// npm_config_registry in any case, that of ~/.npmrc, or registry.npmjs.org.
// Credentials in there are not used.
func RegistryURL(environ []string, home string) string {
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		if strings.EqualFold(name, "npm_config_registry") && value != "" {
			return value
		}
	}
	if f, err := os.Open(filepath.Join(home, ".npmrc")); err == nil {
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			name, value, ok := strings.Cut(lines.Text(), "=")
			if ok && strings.TrimSpace(name) == "registry" {
				return strings.Trim(strings.TrimSpace(value), `"'`)
			}
		}
	}
	return "https://registry.npmjs.org/"
}

// fetch returns the folder in the cache, which it fills if it has to.
func (r *Registry) fetch(ctx context.Context) (dir string, err error) {
	dir = filepath.Join(r.Cache, "wordpress-"+packVersion+"-2")
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	base := r.URL
	if base == "" {
		home, _ := os.UserHomeDir()
		base = RegistryURL(os.Environ(), home)
	}
	url := fmt.Sprintf("%s/%s/-/%s-%s.tgz", strings.TrimSuffix(base, "/"), pack, path.Base(pack), packVersion)
	defer func() {
		if err != nil {
			err = fmt.Errorf("fetch WordPress %s from %s: %w", Version, url, err)
		}
	}()
	if err := os.MkdirAll(r.Cache, 0o755); err != nil {
		return "", err
	}
	fresh, err := os.MkdirTemp(r.Cache, "wordpress-*.new")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(fresh)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	client := r.Client
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the registry answers %s", response.Status)
	}
	hash := sha512.New()
	body := &counted{r: io.TeeReader(io.LimitReader(response.Body, packSize+1), hash), total: packSize, tell: r.Progress}
	if err := takeParts(body, fresh); err != nil {
		return "", err
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return "", err
	}
	want := r.hash
	if want == "" {
		want = packHash
	}
	if got := base64.StdEncoding.EncodeToString(hash.Sum(nil)); got != want {
		return "", fmt.Errorf("what came is not the package: its SHA-512 is %s, not %s", got, want)
	}
	if err := os.Chmod(fresh, 0o755); err != nil {
		return "", err
	}
	// Another process may have been quicker.
	if err := os.Rename(fresh, dir); err != nil {
		if _, there := os.Stat(dir); there != nil {
			return "", err
		}
	}
	return dir, nil
}

// takeParts writes what is used of the package into dir.
func takeParts(tgz io.Reader, dir string) error {
	unzipped, err := gzip.NewReader(tgz)
	if err != nil {
		return err
	}
	archive := tar.NewReader(unzipped)
	left := int64(maxUnpacked)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		_, name, _ := strings.Cut(h.Name, "/") // all are in a folder "package"
		kept := ""
		switch {
		case h.Typeflag != tar.TypeReg:
		case name == partCore:
			kept = keptCore
		case name == partOlder:
			kept = keptOlder
		case name == partIntegration:
			kept = keptIntegration
		case strings.HasPrefix(name, partAssets):
			kept = keptAssets + "/" + strings.TrimPrefix(name, partAssets)
		}
		if kept == "" {
			continue
		}
		if left -= h.Size; left < 0 {
			return fmt.Errorf("the package holds more than %d bytes", int64(maxUnpacked))
		}
		if err := writeFile(dir, kept, archive); err != nil {
			return err
		}
	}
}

// counted tells of its progress.
type counted struct {
	r           io.Reader
	done, total int64
	tell        func(done, total int64)
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.done += int64(n)
	if c.tell != nil {
		c.tell(c.done, c.total)
	}
	return n, err
}
