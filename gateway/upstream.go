package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hako-run/hako/config"
)

// An upstream is a set of servers that do the same.
type upstream struct {
	name    string
	config  *config.Upstream
	targets []*target
	next    atomic.Uint64
	metrics *upstreamMetrics
	log     *slog.Logger

	stop  context.CancelFunc
	tasks sync.WaitGroup
}

// A target is one server of an upstream. It is out while its health checks
// fail, or for a while after requests to it have failed in a row.
type target struct {
	upstream  *upstream
	label     string // as in the configuration
	scheme    string
	host      string // for URLs
	network   string
	address   string
	raw       bool // no HTTP is spoken to it
	transport *http.Transport
	metrics   *targetMetrics

	open     atomic.Int64 // requests and connections of streams under way
	sick     atomic.Bool  // by health checks
	failures atomic.Int32 // of requests, in a row
	until    atomic.Int64 // ejected until then, in nanoseconds of the clock
}

func newUpstream(c *config.Upstream, m *metrics, log *slog.Logger) (*upstream, error) {
	u := &upstream{name: c.Name, config: c, metrics: m.upstream(c.Name), log: log}
	var roots *x509.CertPool
	if c.TLS.CA != "" {
		pem, err := os.ReadFile(string(c.TLS.CA))
		if err != nil {
			return nil, fmt.Errorf("read tls.ca: %w", err)
		}
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read tls.ca: %s holds no certificate", c.TLS.CA)
		}
	}
	for _, to := range c.URL {
		t := &target{upstream: u, label: to.String(), scheme: "http", host: to.Host, network: to.Network, address: to.Address, raw: to.Raw, metrics: u.metrics.target(to.String())}
		if to.TLS {
			t.scheme = "https"
		}
		t.transport = u.transport(to, &tls.Config{
			RootCAs: roots, ServerName: c.TLS.Name, InsecureSkipVerify: c.TLS.Insecure, MinVersion: tls.VersionTLS12,
			ClientSessionCache: tls.NewLRUClientSessionCache(16),
		})
		t.metrics.healthy.Set(1)
		u.targets = append(u.targets, t)
	}
	return u, nil
}

// transport keeps the connections to one server.
func (u *upstream) transport(to config.Target, secure *tls.Config) *http.Transport {
	c := u.config
	dialer := &net.Dialer{Timeout: c.Timeouts.Connect.D(), KeepAlive: 30 * time.Second}
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, to.Network, to.Address)
		},
		TLSClientConfig:        secure,
		TLSHandshakeTimeout:    c.Timeouts.Connect.D(),
		MaxIdleConns:           0,
		MaxIdleConnsPerHost:    max(c.Connections, 1),
		DisableKeepAlives:      c.Connections == 0,
		IdleConnTimeout:        c.Timeouts.Idle.D(),
		ResponseHeaderTimeout:  c.Timeouts.Response.D(),
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 1 << 20,
		DisableCompression:     true, // what the client asked for is passed on
		Protocols:              new(http.Protocols),
	}
	switch c.Protocol {
	case "h2":
		t.Protocols.SetHTTP2(true)
	case "h2c":
		t.Protocols.SetUnencryptedHTTP2(true)
	default:
		t.Protocols.SetHTTP1(true)
	}
	if c.Protocol != "http1" {
		t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second, WriteByteTimeout: 30 * time.Second}
	}
	return t
}

// pick returns the server for the next request, another one than last if
// there is one; nil if health checks say that none lives.
func (u *upstream) pick(last *target) *target {
	if t := u.among(func(t *target) bool { return !t.sick.Load() && !t.ejected() && t != last }); t != nil {
		return t
	}
	if t := u.among(func(t *target) bool { return !t.sick.Load() && !t.ejected() }); t != nil {
		return t
	}
	// All have failed lately. Trying beats refusing: it is how they come back.
	if t := u.among(func(t *target) bool { return !t.sick.Load() && t != last }); t != nil {
		return t
	}
	return u.among(func(t *target) bool { return !t.sick.Load() })
}

func (u *upstream) among(ok func(*target) bool) *target {
	n := uint64(len(u.targets))
	if u.config.Balance == "least" {
		var best *target
		start := rand.Uint64()
		for i := range n {
			t := u.targets[(start+i)%n]
			if ok(t) && (best == nil || t.open.Load() < best.open.Load()) {
				best = t
			}
		}
		return best
	}
	start := u.next.Add(1) - 1
	for i := range n {
		if t := u.targets[(start+i)%n]; ok(t) {
			return t
		}
	}
	return nil
}

func (t *target) ejected() bool {
	until := t.until.Load()
	return until != 0 && time.Now().UnixNano() < until
}

// succeeded notes an answer, whatever its status.
func (t *target) succeeded() {
	if t.failures.Load() != 0 {
		t.failures.Store(0)
	}
	if t.until.Load() != 0 && t.until.Swap(0) != 0 {
		t.upstream.log.Info("a server of an upstream is back", "upstream", t.upstream.name, "server", t.label)
		t.show()
	}
}

// failed notes that no answer came.
func (t *target) failed(err error) {
	t.metrics.failures.Inc()
	limit := t.upstream.config.Eject.Failures
	if n := t.failures.Add(1); limit == 0 || int(n) < limit {
		return
	}
	if t.until.Swap(time.Now().Add(t.upstream.config.Eject.For.D()).UnixNano()) == 0 {
		t.upstream.log.Warn("a server of an upstream is taken out", "upstream", t.upstream.name, "server", t.label, "for", t.upstream.config.Eject.For.String(), "error", err)
	}
	t.show()
}

// show sets the metric to what the server is.
func (t *target) show() {
	value := 1.0
	if t.sick.Load() || t.ejected() {
		value = 0
	}
	t.metrics.healthy.Set(value)
}

// start begins the health checks; close ends them.
func (u *upstream) start() {
	if u.config.Health == nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	u.stop = stop
	for _, t := range u.targets {
		u.tasks.Go(func() { t.watch(ctx, u.config.Health) })
	}
}

func (u *upstream) close() {
	if u.stop != nil {
		u.stop()
	}
	u.tasks.Wait()
	for _, t := range u.targets {
		t.transport.CloseIdleConnections()
	}
}

// watch asks a server for its health until ctx ends.
func (t *target) watch(ctx context.Context, c *config.Health) {
	tick := time.NewTicker(c.Interval.D())
	defer tick.Stop()
	for row := 0; ; {
		err := t.check(ctx, c)
		if ctx.Err() != nil {
			return
		}
		sick := t.sick.Load()
		if (err != nil) == sick {
			row = 0 // as it was
		} else {
			row++
		}
		switch {
		case !sick && row >= c.Fail:
			row = 0
			t.sick.Store(true)
			t.upstream.log.Warn("a server of an upstream is not healthy", "upstream", t.upstream.name, "server", t.label, "error", err)
		case sick && row >= c.Pass:
			row = 0
			t.sick.Store(false)
			t.failures.Store(0)
			t.until.Store(0)
			t.upstream.log.Info("a server of an upstream is healthy again", "upstream", t.upstream.name, "server", t.label)
		}
		t.show()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (t *target) check(ctx context.Context, c *config.Health) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout.D())
	defer cancel()
	if t.raw {
		var d net.Dialer
		conn, err := d.DialContext(ctx, t.network, t.address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, t.scheme+"://"+t.host+c.Path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("User-Agent", "hako-health")
	response, err := t.transport.RoundTrip(r)
	if err != nil {
		return err
	}
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10)
	_ = response.Body.Close()
	if response.StatusCode >= 400 || response.StatusCode < 200 {
		return fmt.Errorf("it answers %s", response.Status)
	}
	return nil
}
