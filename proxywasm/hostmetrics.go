package proxywasm

import "sync"

// metricFunctions define, change and read metrics.
var metricFunctions = []hostFunction{
	{name: "proxy_define_metric", params: "iiii", call: defineMetric},
	{name: "proxy_increment_metric", params: "iI", call: incrementMetric},
	{name: "proxy_record_metric", params: "iI", call: recordMetric},
	{name: "proxy_get_metric", params: "ii", call: getMetric},
}

// metricTable has the numbers that a plugin knows its metrics by. They are
// the same in all of its VMs, as forks know those of their template.
type metricTable struct {
	mu      sync.RWMutex
	numbers map[metricKey]uint32
	metrics map[uint32]Metric
}

// Bounds of what a plugin may define.
const (
	maxMetrics    = 10_000
	maxMetricName = 1 << 10
)

func (t *metricTable) init() {
	t.numbers, t.metrics = map[metricKey]uint32{}, map[uint32]Metric{}
}

func (t *metricTable) find(number uint64) Metric {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.metrics[uint32(number)]
}

func defineMetric(h hostCall, p []uint64) Status {
	name, ok := h.bytes(p[1], p[2])
	if !ok || !h.room(p[3], 4) {
		return StatusInvalidMemoryAccess
	}
	if p[0] > uint64(maxMetricType) || len(name) > maxMetricName {
		return StatusBadArgument
	}
	plugin := h.vm.plugin
	key := metricKey{plugin.cfg.Name, MetricType(p[0]), string(name)}
	t := &plugin.metrics
	t.mu.Lock()
	defer t.mu.Unlock()
	number, ok := t.numbers[key]
	if !ok {
		if len(t.metrics) >= maxMetrics {
			return StatusInternalFailure
		}
		number = uint32(len(t.metrics)+1)*metricStep | uint32(key.t)
		t.numbers[key] = number
		t.metrics[number] = plugin.cfg.Metrics.Define(key.plugin, key.t, key.name)
	}
	h.put32(p[3], number)
	return StatusOK
}

func incrementMetric(h hostCall, p []uint64) Status {
	m := h.vm.plugin.metrics.find(p[0])
	delta := int64(p[1])
	switch t := MetricType(p[0] & metricMask); {
	case m == nil:
		return StatusNotFound
	case t == Histogram, t == Counter && delta < 0:
		return StatusBadArgument
	}
	m.Add(delta)
	return StatusOK
}

// recordMetric sets a gauge, observes, and adds to a counter, as in Envoy:
// counters never go down.
func recordMetric(h hostCall, p []uint64) Status {
	m := h.vm.plugin.metrics.find(p[0])
	switch {
	case m == nil:
		return StatusNotFound
	case MetricType(p[0]&metricMask) != Counter:
		m.Record(p[1])
	case int64(p[1]) < 0:
		return StatusBadArgument
	default:
		m.Add(int64(p[1]))
	}
	return StatusOK
}

func getMetric(h hostCall, p []uint64) Status {
	m := h.vm.plugin.metrics.find(p[0])
	switch {
	case m == nil:
		return StatusNotFound
	case MetricType(p[0]&metricMask) == Histogram:
		return StatusBadArgument
	case !h.put64(p[1], m.Value()):
		return StatusInvalidMemoryAccess
	}
	return StatusOK
}
