package server

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/hako-run/hako/app"
	"github.com/hako-run/hako/config"
	"github.com/hako-run/hako/gateway"
)

var _ gateway.Watched = (*hosted)(nil)

// Now implements gateway.Watched.
func (h *hosted) Now() gateway.Now {
	running, waiting := h.service.Running()
	return gateway.Now{Running: running, Waiting: waiting, Instances: h.service.Instances(), Memory: h.service.Usage().Memory}
}

// Log returns the server's log, which its journal keeps.
func (s *Server) Log() *slog.Logger { return s.log }

// Journal returns the last lines of the server's log and of its access log.
func (s *Server) Journal() *app.Journal { return s.journal }

// Apps returns the names of the apps of the configuration in force.
func (s *Server) Apps() (names []string) {
	for _, a := range s.gate.Config().Apps {
		names = append(names, a.Name)
	}
	return names
}

// Databases returns the names of the databases that the configuration in force
// has, or grants to apps.
func (s *Server) Databases() []string { return databaseNames(s.gate.Config()) }

func databaseNames(c *config.Config) (names []string) {
	for _, d := range c.Databases {
		names = append(names, d.Name)
	}
	for _, a := range c.Apps {
		for _, d := range a.Databases {
			if name, _, _ := strings.Cut(d.Name, "@"); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// newMetrics returns a registry with what is told of the process and of the
// databases; the gateway adds its own.
func (s *Server) newMetrics() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), databaseCollector{s})
	return r
}

// A databaseCollector tells the databases' versions.
type databaseCollector struct{ s *Server }

var databaseVersion = prometheus.NewDesc("hako_database_version", "The newest version of a database: each commit makes one more.", []string{"database"}, nil)

// Describe implements prometheus.Collector.
func (c databaseCollector) Describe(to chan<- *prometheus.Desc) { to <- databaseVersion }

// Collect implements prometheus.Collector.
func (c databaseCollector) Collect(to chan<- prometheus.Metric) {
	c.s.mu.Lock()
	now := c.s.next
	c.s.mu.Unlock()
	if now == nil {
		return
	}
	for _, name := range databaseNames(now) {
		// One that was deleted is not told of.
		if d, err := c.s.store.Database(name); err == nil {
			to <- prometheus.MustNewConstMetric(databaseVersion, prometheus.GaugeValue, float64(d.Head().Version), name)
		}
	}
}

// Stats returns what the server has done so far, as its metrics have it.
func (s *Server) Stats(context.Context) (app.Stats, error) {
	families, err := s.metrics.Gather()
	if err != nil {
		return app.Stats{}, fmt.Errorf("read the metrics: %w", err)
	}
	stats := app.Stats{Time: time.Now()}
	apps, routes := map[string]*app.AppStats{}, map[[2]string]*app.RouteStats{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var route, name, code, limit, database string
			for _, l := range m.GetLabel() {
				switch l.GetName() {
				case "route":
					route = l.GetValue()
				case "app":
					name = l.GetValue()
				case "code":
					code = l.GetValue()
				case "limit":
					limit = l.GetValue()
				case "database":
					database = l.GetValue()
				}
			}
			a, r := &app.AppStats{}, &app.RouteStats{}
			switch {
			case route != "":
				key := [2]string{route, name}
				if routes[key] == nil {
					routes[key] = &app.RouteStats{Name: route, App: name}
				}
				r = routes[key]
			case name != "":
				if apps[name] == nil {
					apps[name] = &app.AppStats{Name: name}
				}
				a = apps[name]
			}
			counted, gauge := m.GetCounter().GetValue(), m.GetGauge().GetValue()
			switch family.GetName() {
			case "process_cpu_seconds_total":
				stats.CPU = time.Duration(counted * float64(time.Second))
			case "process_resident_memory_bytes":
				stats.Memory = int64(gauge)
			case "hako_connections":
				stats.Connections = int(gauge)
			case "hako_http_requests_in_flight":
				stats.InFlight = int(gauge)
			case "hako_database_version":
				stats.Databases = append(stats.Databases, app.DatabaseStats{Name: database, Version: uint64(gauge)})
			case "hako_app_requests_running":
				a.Running = int(gauge)
			case "hako_app_requests_waiting":
				a.Waiting = int(gauge)
			case "hako_app_instances":
				a.Instances = int(gauge)
			case "hako_app_instances_memory_bytes":
				a.Memory = int64(gauge)
			case "hako_http_route_requests_in_flight":
				r.InFlight = int(gauge)
			case "hako_http_requests_total":
				r.Requests += uint64(counted)
				switch code {
				case "5xx":
					r.Errors = uint64(counted)
				case "aborted":
					r.Aborted = uint64(counted)
				}
			case "hako_http_request_duration_seconds":
				var below uint64
				r.Latency.Sum = m.GetHistogram().GetSampleSum()
				for _, b := range m.GetHistogram().GetBucket() {
					r.Latency.Bounds = append(r.Latency.Bounds, b.GetUpperBound())
					r.Latency.Counts = append(r.Latency.Counts, b.GetCumulativeCount()-below)
					below = b.GetCumulativeCount()
				}
				r.Latency.Counts = append(r.Latency.Counts, m.GetHistogram().GetSampleCount()-below)
			case "hako_app_cpu_seconds_total":
				r.CPU = time.Duration(counted * float64(time.Second))
			case "hako_app_forks_total":
				r.Forks = uint64(counted)
			case "hako_app_shed_total":
				r.Shed = uint64(counted)
			case "hako_app_crashes_total":
				r.Crashes = uint64(counted)
			case "hako_app_limits_total":
				if r.Limits == nil {
					r.Limits = map[string]uint64{}
				}
				r.Limits[limit] = uint64(counted)
			}
		}
	}
	// In the order of the configuration; what a reload took out comes last, or
	// not at all if it did nothing.
	c := s.gate.Config()
	for _, a := range c.Apps {
		if known := apps[a.Name]; known != nil {
			stats.Apps = append(stats.Apps, *known)
		}
	}
	for _, r := range c.Routes {
		key := [2]string{r.Name, r.App}
		if known := routes[key]; known != nil {
			stats.Routes = append(stats.Routes, *known)
			delete(routes, key)
		}
	}
	var rest []app.RouteStats
	for _, r := range routes {
		if r.Requests > 0 || r.InFlight > 0 {
			rest = append(rest, *r)
		}
	}
	slices.SortFunc(rest, func(a, b app.RouteStats) int { return strings.Compare(a.Name+"\x00"+a.App, b.Name+"\x00"+b.App) })
	stats.Routes = append(stats.Routes, rest...)
	return stats, nil
}
