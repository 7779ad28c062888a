package gateway

import "github.com/prometheus/client_golang/prometheus"

// A Watched is an App that tells what it does at the moment, for the metrics.
type Watched interface {
	// Now is called by several goroutines, and soon returns.
	Now() Now
}

// Now is what an app does at the moment.
type Now struct {
	Running   int   // requests that have an instance
	Waiting   int   // requests that wait for one
	Instances int   // those between two requests included
	Memory    int64 // bytes of the instances' linear memory
}

// now calls f for each app of the state in force.
func (g *Gateway) now(f func(app string, n Now)) {
	if g.state.Load() == nil {
		return
	}
	s := g.acquire()
	if s == nil {
		return
	}
	defer s.done()
	for name, app := range s.apps {
		if w, ok := app.(Watched); ok {
			f(name, w.Now())
		}
	}
}

// A nowCollector asks the apps whenever the metrics are read.
type nowCollector struct {
	now    func(func(app string, n Now))
	gauges []nowGauge
}

type nowGauge struct {
	desc  *prometheus.Desc
	value func(Now) float64
}

func newNowCollector(now func(func(app string, n Now))) *nowCollector {
	gauge := func(name, help string, value func(Now) float64) nowGauge {
		return nowGauge{prometheus.NewDesc("hako_app_"+name, help, []string{"app"}, nil), value}
	}
	return &nowCollector{now, []nowGauge{
		gauge("requests_running", "Requests that have an instance.", func(n Now) float64 { return float64(n.Running) }),
		gauge("requests_waiting", "Requests that wait for an instance.", func(n Now) float64 { return float64(n.Waiting) }),
		gauge("instances", "Instances, those between two requests included.", func(n Now) float64 { return float64(n.Instances) }),
		gauge("instances_memory_bytes", "Linear memory of the instances.", func(n Now) float64 { return float64(n.Memory) }),
	}}
}

// Describe implements prometheus.Collector.
func (c *nowCollector) Describe(to chan<- *prometheus.Desc) {
	for _, g := range c.gauges {
		to <- g.desc
	}
}

// Collect implements prometheus.Collector.
func (c *nowCollector) Collect(to chan<- prometheus.Metric) {
	c.now(func(app string, n Now) {
		for _, g := range c.gauges {
			to <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, g.value(n), app)
		}
	})
}
