package proxywasm

import (
	"math/bits"
	"sort"
	"sync"
	"sync/atomic"
)

// Metrics takes the metrics that plugins define. Defining one again gives the
// same one: the VMs of a plugin, and plugins that share a Metrics, count
// together. It is safe for concurrent use.
type Metrics interface {
	// Define makes a metric. The name is the plugin's; plugin is
	// Config.Name.
	Define(plugin string, t MetricType, name string) Metric
}

// A Metric is one number, or a histogram. It is safe for concurrent use.
type Metric interface {
	// Add changes a counter or gauge.
	Add(delta int64)
	// Record sets a gauge, or adds an observation to a histogram.
	Record(value uint64)
	// Value is that of a counter or gauge.
	Value() uint64
}

// A Registry is Metrics in memory.
type Registry struct {
	mu      sync.Mutex
	metrics map[metricKey]*Series
}

type metricKey struct {
	plugin string
	t      MetricType
	name   string
}

// A Series is a metric of a Registry.
type Series struct {
	Plugin string
	Type   MetricType
	Name   string

	value   atomic.Uint64 // of a histogram, the sum
	count   atomic.Uint64
	buckets [65]atomic.Uint64 // by the length of the value in bits
}

// NewRegistry makes an empty one.
func NewRegistry() *Registry { return &Registry{metrics: map[metricKey]*Series{}} }

// Define makes a metric or finds it.
func (r *Registry) Define(plugin string, t MetricType, name string) Metric {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := metricKey{plugin, t, name}
	s, ok := r.metrics[key]
	if !ok {
		s = &Series{Plugin: plugin, Type: t, Name: name}
		r.metrics[key] = s
	}
	return s
}

// All returns the metrics, sorted by plugin and name.
func (r *Registry) All() []*Series {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*Series, 0, len(r.metrics))
	for _, s := range r.metrics {
		all = append(all, s)
	}
	sort.Slice(all, func(i, j int) bool {
		a, b := all[i], all[j]
		if a.Plugin != b.Plugin {
			return a.Plugin < b.Plugin
		}
		if a.Name != b.Name {
			return a.Name < b.Name
		}
		return a.Type < b.Type
	})
	return all
}

// Add changes a counter or gauge.
func (s *Series) Add(delta int64) { s.value.Add(uint64(delta)) }

// Record sets a gauge, or observes.
func (s *Series) Record(value uint64) {
	if s.Type != Histogram {
		s.value.Store(value)
		return
	}
	s.value.Add(value)
	s.count.Add(1)
	s.buckets[bits.Len64(value)].Add(1)
}

// Value is that of a counter or gauge; of a histogram, the sum.
func (s *Series) Value() uint64 { return s.value.Load() }

// Observations returns how many values a histogram has, and how many of them
// are below each power of two: less[i] below 1<<i.
func (s *Series) Observations() (count uint64, less [65]uint64) {
	var sum uint64
	for i := range s.buckets {
		sum += s.buckets[i].Load()
		less[i] = sum
	}
	return s.count.Load(), less
}
