package gateway

import (
	"errors"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hako-run/hako/config"
)

// metrics are what Prometheus sees. Series of a route are looked up once, when
// the route is made, and not for each request.
type metrics struct {
	registry *prometheus.Registry
	all      []prometheus.Collector

	inFlight    prometheus.Gauge
	connections prometheus.Gauge
	floods      prometheus.Counter
	reloads     *prometheus.CounterVec
	expiry      *prometheus.GaugeVec
	requests    *prometheus.CounterVec
	duration    *prometheus.HistogramVec
	received    *prometheus.CounterVec
	sent        *prometheus.CounterVec
	routeOpen   *prometheus.GaugeVec
	appCPU      *prometheus.CounterVec
	appQueue    *prometheus.HistogramVec
	appMemory   *prometheus.HistogramVec
	appForks    *prometheus.CounterVec
	appShed     *prometheus.CounterVec
	appCrashes  *prometheus.CounterVec
	appLimits   *prometheus.CounterVec
	upHealthy   *prometheus.GaugeVec
	upFailures  *prometheus.CounterVec
	upLatency   *prometheus.HistogramVec
	upRetries   *prometheus.CounterVec
	tcpOpen     *prometheus.GaugeVec
	tcpEnds     *prometheus.CounterVec
	tcpReceived *prometheus.CounterVec
	tcpSent     *prometheus.CounterVec
	tcpDuration *prometheus.HistogramVec
	tcpConnect  *prometheus.HistogramVec
	unrouted    *routeMetrics
}

var latencyBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// newMetrics registers the metrics of a gateway. now tells of the apps in force.
func newMetrics(registry *prometheus.Registry, now func(func(app string, n Now))) (*metrics, error) {
	m := &metrics{registry: registry, all: []prometheus.Collector{newNowCollector(now)}}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hako_" + name, Help: help}, labels)
		m.all = append(m.all, c)
		return c
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		c := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "hako_" + name, Help: help}, labels)
		m.all = append(m.all, c)
		return c
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		c := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "hako_" + name, Help: help, Buckets: buckets}, labels)
		m.all = append(m.all, c)
		return c
	}
	m.inFlight = gauge("http_requests_in_flight", "Requests under way.").WithLabelValues()
	m.connections = gauge("connections", "Clients that are connected.").WithLabelValues()
	m.floods = counter("http2_floods_total", "Connections ended as their client sent too many frames that move no request.").WithLabelValues()
	m.reloads = counter("config_reloads_total", "Reloads of the configuration.", "result")
	m.expiry = gauge("tls_certificate_expiry_seconds", "When a certificate ends, in seconds since 1970.", "name")
	m.requests = counter("http_requests_total", "Requests answered.", "route", "app", "code")
	m.duration = histogram("http_request_duration_seconds", "Time from a request's header to the end of its response.", latencyBuckets, "route", "app")
	m.received = counter("http_request_bytes_total", "Bytes of requests' bodies.", "route", "app")
	m.sent = counter("http_response_bytes_total", "Bytes of responses' bodies, as sent.", "route", "app")
	m.routeOpen = gauge("http_route_requests_in_flight", "Requests under way.", "route", "app")
	m.appCPU = counter("app_cpu_seconds_total", "Processor time of guests.", "app", "route")
	m.appQueue = histogram("app_queue_seconds", "Time that requests waited for an instance.", latencyBuckets, "app", "route")
	m.appMemory = histogram("app_memory_bytes", "Linear memory of a guest at the end of a request.", prometheus.ExponentialBuckets(1<<20, 2, 12), "app", "route")
	m.appForks = counter("app_forks_total", "Fresh instances made for requests.", "app", "route")
	m.appShed = counter("app_shed_total", "Requests turned away as the queue was full.", "app", "route")
	m.appCrashes = counter("app_crashes_total", "Requests whose guest trapped or failed.", "app", "route")
	m.appLimits = counter("app_limits_total", "Requests ended by a limit.", "app", "route", "limit")
	m.upHealthy = gauge("upstream_healthy", "1 for a server that requests are sent to.", "upstream", "server")
	m.upFailures = counter("upstream_failures_total", "Requests that a server did not answer.", "upstream", "server")
	m.upLatency = histogram("upstream_response_seconds", "Time until a server's response began.", latencyBuckets, "upstream", "server")
	m.upRetries = counter("upstream_retries_total", "Requests sent to another server after a failure.", "upstream")
	m.registerStreams(counter, gauge, histogram)
	for i, c := range m.all {
		if err := registry.Register(c); err != nil {
			m.all = m.all[:i]
			m.unregister()
			return nil, errors.Join(errors.New("register metrics: a registry serves one gateway at a time"), err)
		}
	}
	m.unrouted = m.route("none", "")
	return m, nil
}

func (m *metrics) unregister() {
	for _, c := range m.all {
		m.registry.Unregister(c)
	}
}

func (m *metrics) reloaded(ok bool) {
	result := "failure"
	if ok {
		result = "success"
	}
	m.reloads.WithLabelValues(result).Inc()
}

// routeMetrics are the series of one route.
type routeMetrics struct {
	codes          [6]prometheus.Counter // by the status's first digit; 0 is aborted
	duration       prometheus.Observer
	received, sent prometheus.Counter
	inFlight       prometheus.Gauge
}

// route returns the series of a route, which may lead to an app.
func (m *metrics) route(name, app string) *routeMetrics {
	r := &routeMetrics{
		duration: m.duration.WithLabelValues(name, app),
		received: m.received.WithLabelValues(name, app),
		sent:     m.sent.WithLabelValues(name, app),
		inFlight: m.routeOpen.WithLabelValues(name, app),
	}
	r.codes[0] = m.requests.WithLabelValues(name, app, "aborted")
	for i := 1; i < len(r.codes); i++ {
		r.codes[i] = m.requests.WithLabelValues(name, app, strconv.Itoa(i)+"xx")
	}
	return r
}

// appMetrics are the series of one app for one route.
type appMetrics struct {
	name, route               string
	cpu, forks, shed, crashes prometheus.Counter
	queue, memory             prometheus.Observer
	limits                    *prometheus.CounterVec
}

func (m *metrics) app(name, route string) *appMetrics {
	return &appMetrics{
		name: name, route: route,
		cpu: m.appCPU.WithLabelValues(name, route), forks: m.appForks.WithLabelValues(name, route), shed: m.appShed.WithLabelValues(name, route),
		crashes: m.appCrashes.WithLabelValues(name, route), queue: m.appQueue.WithLabelValues(name, route), memory: m.appMemory.WithLabelValues(name, route),
		limits: m.appLimits,
	}
}

func (m *appMetrics) observe(a *Account) {
	m.queue.Observe(a.Queued.Seconds())
	if a.CPU > 0 {
		m.cpu.Add(a.CPU.Seconds())
	}
	if a.Memory > 0 {
		m.memory.Observe(float64(a.Memory))
	}
	if a.Forked {
		m.forks.Inc()
	}
	if a.Shed {
		m.shed.Inc()
	}
	if a.Crashed {
		m.crashes.Inc()
	}
	if a.Limit != "" {
		m.limits.WithLabelValues(m.name, m.route, a.Limit).Inc()
	}
}

// upstreamMetrics are the series of one upstream; targetMetrics those of one
// of its servers.
type upstreamMetrics struct {
	all     *metrics
	name    string
	retries prometheus.Counter
}

type targetMetrics struct {
	healthy  prometheus.Gauge
	failures prometheus.Counter
	latency  prometheus.Observer
}

func (m *metrics) upstream(name string) *upstreamMetrics {
	return &upstreamMetrics{all: m, name: name, retries: m.upRetries.WithLabelValues(name)}
}

func (u *upstreamMetrics) target(server string) *targetMetrics {
	return &targetMetrics{
		healthy:  u.all.upHealthy.WithLabelValues(u.name, server),
		failures: u.all.upFailures.WithLabelValues(u.name, server),
		latency:  u.all.upLatency.WithLabelValues(u.name, server),
	}
}

// forget drops the series of servers and streams that a configuration has no
// more.
func (m *metrics) forget(old, now *config.Config) {
	m.forgetStreams(old, now)
	for _, u := range old.Upstreams {
		kept := now.Upstream(u.Name)
		for _, t := range u.URL {
			if kept == nil || !slices.Contains(kept.URL, t) {
				m.upHealthy.DeleteLabelValues(u.Name, t.String())
				m.upFailures.DeleteLabelValues(u.Name, t.String())
				m.upLatency.DeleteLabelValues(u.Name, t.String())
			}
		}
	}
}
