package gateway

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hako-run/hako/config"
)

// streamMetrics are the series of one stream.
type streamMetrics struct {
	open           prometheus.Gauge
	ends           map[streamEnd]prometheus.Counter
	received, sent prometheus.Counter
	duration       prometheus.Observer
	connect        prometheus.Observer
}

// registerStreams makes the metrics of streams by functions that register
// them.
func (m *metrics) registerStreams(
	counter func(name, help string, labels ...string) *prometheus.CounterVec,
	gauge func(name, help string, labels ...string) *prometheus.GaugeVec,
	histogram func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec,
) {
	m.tcpOpen = gauge("stream_connections", "Connections that are open.", "stream")
	m.tcpEnds = counter("stream_connections_total", "Connections that have ended, by why.", "stream", "end")
	m.tcpReceived = counter("stream_received_bytes_total", "Bytes from clients.", "stream")
	m.tcpSent = counter("stream_sent_bytes_total", "Bytes to clients.", "stream")
	m.tcpDuration = histogram("stream_duration_seconds", "How long connections were open.", prometheus.ExponentialBuckets(.01, 4, 10), "stream")
	m.tcpConnect = histogram("stream_connect_seconds", "Time until a server took a connection.", latencyBuckets, "stream")
}

// stream returns the series of a stream.
func (m *metrics) stream(name string) *streamMetrics {
	s := &streamMetrics{
		open:     m.tcpOpen.WithLabelValues(name),
		ends:     map[streamEnd]prometheus.Counter{},
		received: m.tcpReceived.WithLabelValues(name),
		sent:     m.tcpSent.WithLabelValues(name),
		duration: m.tcpDuration.WithLabelValues(name),
		connect:  m.tcpConnect.WithLabelValues(name),
	}
	for _, end := range streamEnds {
		s.ends[end] = m.tcpEnds.WithLabelValues(name, string(end))
	}
	return s
}

// forgetStreams drops the series of streams that a configuration has no more.
// Connections that go on are not counted any longer.
func (m *metrics) forgetStreams(old, now *config.Config) {
	kept := map[string]bool{}
	for i := range now.Streams {
		kept[now.Streams[i].Name] = true
	}
	for i := range old.Streams {
		labels := prometheus.Labels{"stream": old.Streams[i].Name}
		if kept[labels["stream"]] {
			continue
		}
		for _, v := range [...]interface {
			DeletePartialMatch(prometheus.Labels) int
		}{m.tcpOpen, m.tcpEnds, m.tcpReceived, m.tcpSent, m.tcpDuration, m.tcpConnect} {
			v.DeletePartialMatch(labels)
		}
	}
}
