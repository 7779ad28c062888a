package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/hako-run/hako/config"
)

// watchEvery is how often certificate files are looked at.
var watchEvery = 10 * time.Second

// certificates are those in force, from files and by ACME.
type certificates struct {
	log     *slog.Logger
	metrics *metrics
	set     atomic.Pointer[certificateSet]
	mu      sync.Mutex // held while the set is replaced
}

// A certificateSet is what one configuration has. It does not change; files
// that have changed make another one.
type certificateSet struct {
	files []loadedCertificate
	names map[string]*tls.Certificate
	acme  *acmeClient // nil without
}

type loadedCertificate struct {
	config    config.Certificate
	cert      *tls.Certificate
	certStamp fileStamp
	keyStamp  fileStamp
}

type fileStamp struct {
	modified time.Time
	size     int64
}

func stampOf(name string) (fileStamp, error) {
	info, err := os.Stat(name)
	if err != nil {
		return fileStamp{}, err
	}
	return fileStamp{info.ModTime(), info.Size()}, nil
}

func newCertificates(log *slog.Logger, m *metrics) *certificates {
	c := &certificates{log: log, metrics: m}
	c.set.Store(&certificateSet{})
	return c
}

// prepare loads what a configuration names without putting it in force.
func (c *certificates) prepare(cfg *config.Config, data string) (*certificateSet, error) {
	set := &certificateSet{}
	if cfg.Server.TLS == nil {
		return set, nil
	}
	for _, f := range cfg.Server.TLS.Certificates {
		loaded, err := loadCertificate(f)
		if err != nil {
			return nil, err
		}
		set.files = append(set.files, loaded)
	}
	set.index()
	if cfg.Server.TLS.ACME != nil {
		if data == "" {
			data = string(cfg.Server.Data)
		}
		var err error
		if set.acme, err = newACME(cfg, data, c.set.Load().acme, c.log); err != nil {
			return nil, err
		}
	}
	return set, nil
}

func loadCertificate(f config.Certificate) (loadedCertificate, error) {
	l := loadedCertificate{config: f}
	var err error
	// Stamps first: a file that changes in between is loaded again.
	if l.certStamp, err = stampOf(string(f.Cert)); err == nil {
		l.keyStamp, err = stampOf(string(f.Key))
	}
	if err != nil {
		return l, fmt.Errorf("load a certificate: %w", err)
	}
	cert, err := tls.LoadX509KeyPair(string(f.Cert), string(f.Key))
	if err != nil {
		return l, fmt.Errorf("load the certificate %s with the key %s: %w", f.Cert, f.Key, err)
	}
	l.cert = &cert
	return l, nil
}

// index makes the certificates findable by name.
func (s *certificateSet) index() {
	s.names = map[string]*tls.Certificate{}
	for i := range s.files {
		cert := s.files[i].cert
		for _, name := range cert.Leaf.DNSNames {
			name = strings.ToLower(name)
			if s.names[name] == nil {
				s.names[name] = cert
			}
		}
		for _, ip := range cert.Leaf.IPAddresses {
			if s.names[ip.String()] == nil {
				s.names[ip.String()] = cert
			}
		}
	}
}

// use puts a set in force.
func (c *certificates) use(set *certificateSet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.set.Swap(set)
	if old.acme != nil && old.acme != set.acme {
		old.acme.close()
	}
	for i := range set.files {
		c.show(set.files[i].cert.Leaf)
	}
	if set.acme != nil {
		set.acme.start()
	}
}

func (c *certificates) show(leaf *x509.Certificate) {
	name := leaf.Subject.CommonName
	if len(leaf.DNSNames) > 0 {
		name = leaf.DNSNames[0]
	}
	c.metrics.expiry.WithLabelValues(name).Set(float64(leaf.NotAfter.Unix()))
}

// watch loads files again when they have changed, until done is closed. What
// cannot be loaded leaves the certificate before it in force.
func (c *certificates) watch(done <-chan struct{}) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	complained := map[config.Certificate]string{}
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			c.refresh(complained)
		}
	}
}

func (c *certificates) refresh(complained map[config.Certificate]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.set.Load()
	next := &certificateSet{files: append([]loadedCertificate(nil), old.files...), acme: old.acme}
	changed := false
	for i := range next.files {
		f := &next.files[i]
		cert, err := stampOf(string(f.config.Cert))
		key, keyErr := stampOf(string(f.config.Key))
		if err == nil && keyErr == nil && cert == f.certStamp && key == f.keyStamp {
			continue
		}
		loaded, err := loadCertificate(f.config)
		if err != nil {
			// Halfway through a replacement, maybe; the next look will tell.
			if complained[f.config] != err.Error() {
				complained[f.config] = err.Error()
				c.log.Warn("a changed certificate cannot be loaded; the one before it stays", "error", err)
			}
			continue
		}
		delete(complained, f.config)
		*f, changed = loaded, true
		c.log.Info("a certificate was loaded again", "file", string(f.config.Cert), "until", loaded.cert.Leaf.NotAfter)
		c.show(loaded.cert.Leaf)
	}
	if changed {
		next.index()
		c.set.Store(next)
	}
}

func (c *certificates) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.set.Load().acme; a != nil {
		a.close()
	}
}

// tlsConfig returns what a listener uses; certificates are looked up anew for
// every connection.
func (c *certificates) tlsConfig(least uint16) *tls.Config {
	return &tls.Config{
		MinVersion:     max(least, tls.VersionTLS12),
		GetCertificate: c.get,
		NextProtos:     []string{"h2", "http/1.1", acme.ALPNProto},
	}
}

var errNoCertificate = errors.New("there is no certificate for this name")

// get chooses the certificate for a connection: one from files that has the
// name, then ACME's, then the first from files.
func (c *certificates) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	set := c.set.Load()
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if cert := set.names[name]; cert != nil && name != "" {
		return cert, nil
	}
	if _, rest, ok := strings.Cut(name, "."); ok {
		if cert := set.names["*."+rest]; cert != nil {
			return cert, nil
		}
	}
	if set.acme != nil && set.acme.has(name) {
		return set.acme.manager.GetCertificate(hello)
	}
	if len(set.files) > 0 {
		return set.files[0].cert, nil
	}
	return nil, errNoCertificate
}

// challenges answers an ACME authority on listeners without TLS.
func (c *certificates) challenges(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/.well-known/acme-challenge/") {
			if a := c.set.Load().acme; a != nil && a.has(hostOf(r.Host)) {
				plain := *r
				plain.Host = hostOf(r.Host) // autocert compares it with its port
				a.manager.HTTPHandler(next).ServeHTTP(w, &plain)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
