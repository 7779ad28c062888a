package server

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hako-run/hako/proxywasm"
)

// A filterCollector tells what the filters have done, and the metrics that
// they define themselves.
type filterCollector struct{ f *filters }

func filterDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("hako_filter_"+name, help, append([]string{"filter"}, labels...), nil)
}

var (
	filterStreams   = filterDesc("streams_total", "Exchanges and connections that a filter was shown.")
	filterOpen      = filterDesc("streams_open", "Exchanges and connections under way.")
	filterPauses    = filterDesc("pauses_total", "Callbacks that held something.")
	filterResponses = filterDesc("local_responses_total", "Requests that a filter answered.")
	filterCrashes   = filterDesc("crashes_total", "Instances that trapped or exceeded a limit.")
	filterForks     = filterDesc("forks_total", "Instances made.")
	filterVMs       = filterDesc("instances", "Instances that work.")
	filterMemory    = filterDesc("instances_memory_bytes", "Linear memory of the instances.")
	filterLatency   = filterDesc("callback_duration_seconds", "Time that callbacks took, with what the host did for them.", "callback")
	filterCPU       = filterDesc("callback_cpu_seconds", "Processor time of callbacks.", "callback")
)

// Describe implements prometheus.Collector. What plugins define comes beside
// these.
func (c filterCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		filterStreams, filterOpen, filterPauses, filterResponses, filterCrashes, filterForks, filterVMs, filterMemory, filterLatency, filterCPU,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c filterCollector) Collect(to chan<- prometheus.Metric) {
	c.f.mu.Lock()
	all := map[string]proxywasm.Stats{}
	for name, s := range c.f.totals {
		all[name] = s
	}
	for _, p := range c.f.plugins {
		now := p.plugin.Stats()
		s := addStats(all[p.name], now)
		s.Open += now.Open
		s.VMs += now.VMs
		s.Memory += now.Memory
		all[p.name] = s
	}
	c.f.mu.Unlock()
	for name, s := range all {
		counter := func(d *prometheus.Desc, v int64) {
			to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), name)
		}
		gauge := func(d *prometheus.Desc, v int64) {
			to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), name)
		}
		counter(filterStreams, s.Streams)
		counter(filterPauses, s.Pauses)
		counter(filterResponses, s.LocalResponses)
		counter(filterCrashes, s.Crashes)
		counter(filterForks, s.Forks)
		gauge(filterOpen, s.Open)
		gauge(filterVMs, int64(s.VMs))
		gauge(filterMemory, s.Memory)
		for _, cb := range s.Callbacks {
			to <- histogram(filterLatency, cb.Latency, name, cb.Name)
			to <- histogram(filterCPU, cb.CPU, name, cb.Name)
		}
	}
}

func histogram(d *prometheus.Desc, of proxywasm.Distribution, labels ...string) prometheus.Metric {
	buckets := make(map[float64]uint64, len(of.Buckets)-1)
	sum := uint64(0)
	for i, n := range of.Buckets[:len(of.Buckets)-1] {
		sum += uint64(n)
		buckets[proxywasm.Bound(i).Seconds()] = sum
	}
	return prometheus.MustNewConstHistogram(d, uint64(of.Count), of.Sum.Seconds(), buckets, labels...)
}

// An ownCollector tells the metrics that plugins define, under the names that
// Envoy gives them.
type ownCollector struct{ f *filters }

// Describe implements prometheus.Collector: the names are not known before.
func (ownCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector. Of names that become the same, or
// that have several types, the first counts.
func (c ownCollector) Collect(to chan<- prometheus.Metric) {
	types := map[string]proxywasm.MetricType{}
	seen := map[[2]string]bool{}
	for _, s := range c.f.metrics.All() {
		name := "wasmcustom_" + metricName(s.Name)
		if t, ok := types[name]; ok && t != s.Type || seen[[2]string{name, s.Plugin}] {
			continue
		}
		types[name], seen[[2]string{name, s.Plugin}] = s.Type, true
		d := prometheus.NewDesc(name, "Defined by a filter.", []string{"filter"}, nil)
		switch s.Type {
		case proxywasm.Counter:
			to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(s.Value()), s.Plugin)
		case proxywasm.Gauge:
			to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(s.Value()), s.Plugin)
		case proxywasm.Histogram:
			count, less := s.Observations()
			buckets := map[float64]uint64{}
			for i := range 40 {
				buckets[float64(uint64(1)<<i)-1] = less[i] // whole numbers: below 1<<i is at most that
			}
			to <- prometheus.MustNewConstHistogram(d, count, float64(s.Value()), buckets, s.Plugin)
		}
	}
}

// metricName makes a name of Prometheus of any name.
func metricName(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '_'
	}, s)
}
