package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"github.com/hako-run/hako/config"
)

// acmeRetry is how long a failed request for a certificate waits at first.
// autocert answers nothing new within a minute.
const acmeRetry = 65 * time.Second

// An acmeClient gets certificates and renews them when a third of their time
// is left. It asks for them when it starts, and not at the first connection,
// so that mistakes are seen in the log.
type acmeClient struct {
	config  config.ACME
	hosts   []string
	manager *autocert.Manager
	log     *slog.Logger

	transport *http.Transport

	once  sync.Once
	end   context.CancelFunc
	ctx   context.Context
	tasks sync.WaitGroup
}

// newACME returns old if nothing has changed.
func newACME(c *config.Config, data string, old *acmeClient, log *slog.Logger) (*acmeClient, error) {
	settings, hosts := *c.Server.TLS.ACME, c.ACMEHosts()
	settings.Hosts = nil // in hosts
	if old != nil && old.config.Email == settings.Email && old.config.Directory == settings.Directory &&
		old.config.CA == settings.CA && slices.Equal(old.hosts, hosts) {
		return old, nil
	}
	if data == "" {
		return nil, errors.New("ACME needs a folder to keep certificates in: set server.data")
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, IdleConnTimeout: time.Minute}
	if settings.CA != "" {
		pem, err := os.ReadFile(string(settings.CA))
		if err != nil {
			return nil, fmt.Errorf("read server.tls.acme.ca: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read server.tls.acme.ca: %s holds no certificate", settings.CA)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	ctx, end := context.WithCancel(context.Background())
	client := &acme.Client{DirectoryURL: settings.Directory, UserAgent: "hako", HTTPClient: &http.Client{Transport: endingTransport{ctx, transport}}}
	a := &acmeClient{config: settings, hosts: hosts, log: log, ctx: ctx, end: end, transport: transport, manager: &autocert.Manager{
		Prompt:     autocert.AcceptTOS,
		Cache:      autocert.DirCache(filepath.Join(data, "acme")),
		HostPolicy: autocert.HostWhitelist(hosts...),
		Client:     client,
		Email:      settings.Email,
	}}
	if slices.ContainsFunc(c.Server.Listen, func(l config.Listen) bool { return !l.TLS }) {
		a.manager.HTTPHandler(nil) // allows http-01, which needs a listener without TLS
	}
	return a, nil
}

// An endingTransport fails requests when its context ends. autocert's own
// requests have contexts that cannot be ended from outside.
type endingTransport struct {
	ctx  context.Context
	next http.RoundTripper
}

func (t endingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(t.ctx, cancel)
	response, err := t.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		stop()
		cancel()
		return nil, err
	}
	response.Body = &cancelBody{response.Body, func() { stop(); cancel() }}
	return response, nil
}

type cancelBody struct {
	io.ReadCloser
	cancel func()
}

func (b *cancelBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

func (a *acmeClient) has(host string) bool { return slices.Contains(a.hosts, host) }

// start asks for every certificate, one after the other as authorities limit
// rates.
func (a *acmeClient) start() {
	a.once.Do(func() {
		a.tasks.Go(func() {
			for wait := acmeRetry; ; wait = min(2*wait, time.Hour) {
				if a.obtainAll() {
					return
				}
				select {
				case <-a.ctx.Done():
					return
				case <-time.After(wait):
				}
			}
		})
	})
}

// obtainAll reports whether every host has a certificate.
func (a *acmeClient) obtainAll() bool {
	all := true
	for _, host := range a.hosts {
		if a.ctx.Err() != nil {
			return true
		}
		_, err := a.manager.GetCertificate(&tls.ClientHelloInfo{
			ServerName:        host,
			CipherSuites:      []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
			SupportedCurves:   []tls.CurveID{tls.CurveP256},
			SignatureSchemes:  []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
			SupportedVersions: []uint16{tls.VersionTLS13},
		})
		if err != nil && a.ctx.Err() == nil {
			all = false
			a.log.Error("no certificate could be had; it is tried again", "host", host, "directory", a.config.Directory, "error", err)
		}
	}
	return all
}

// close ends asking. Renewals of certificates that are in use are timers of
// the manager and end with it.
func (a *acmeClient) close() {
	a.end()
	a.once.Do(func() {}) // it starts no more
	a.tasks.Wait()
	a.transport.CloseIdleConnections()
}
