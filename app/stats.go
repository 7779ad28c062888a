package app

import (
	"math"
	"time"
)

// Stats are what a process has done since it began, and does at the moment.
// Two of them tell what it did in between.
type Stats struct {
	Time        time.Time       `json:"time"`
	CPU         time.Duration   `json:"cpu_ns"` // of the whole process, the guests' included
	Memory      int64           `json:"memory"` // bytes that the process has in memory; of a guest alone, its linear memory
	Output      int64           `json:"output"` // bytes written to standard streams by what hako run runs
	Connections int             `json:"connections"`
	InFlight    int             `json:"in_flight"` // requests
	Apps        []AppStats      `json:"apps,omitempty"`
	Routes      []RouteStats    `json:"routes,omitempty"`
	Databases   []DatabaseStats `json:"databases,omitempty"`
}

// AppStats is what an app does at the moment. What it did is told for each of
// its routes.
type AppStats struct {
	Name      string `json:"name"`
	Running   int    `json:"running"` // requests that have an instance
	Waiting   int    `json:"waiting"` // requests that wait for one
	Instances int    `json:"instances"`
	Memory    int64  `json:"memory"` // bytes of the instances' linear memory
}

// RouteStats is what a route has done. What is said of guests is 0 for routes
// that lead to no app.
type RouteStats struct {
	Name     string    `json:"name"`
	App      string    `json:"app,omitempty"`
	InFlight int       `json:"in_flight"`
	Requests uint64    `json:"requests"`
	Errors   uint64    `json:"errors"`  // answered with a status of 500 and above
	Aborted  uint64    `json:"aborted"` // without a whole answer
	Latency  Histogram `json:"latency"`

	CPU     time.Duration     `json:"cpu_ns"`
	Forks   uint64            `json:"forks"`
	Shed    uint64            `json:"shed"` // turned away
	Crashes uint64            `json:"crashes"`
	Limits  map[string]uint64 `json:"limits,omitempty"` // requests ended, by the limit
}

// DatabaseStats is a database of a server.
type DatabaseStats struct {
	Name    string `json:"name"`
	Version uint64 `json:"version"` // one more with each commit
}

// A Histogram tells how long requests took, in seconds.
type Histogram struct {
	Bounds []float64 `json:"bounds"` // upper bounds, ascending; the last part has none
	Counts []uint64  `json:"counts"` // one more than there are bounds
	Sum    float64   `json:"sum"`
}

// Count returns how many requests there are.
func (h Histogram) Count() (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// Plus returns the histogram of the requests of both, which have the same
// bounds; the zero Histogram has none and fits any.
func (h Histogram) Plus(other Histogram) Histogram {
	return h.combine(other, func(a, b uint64) uint64 { return a + b }, h.Sum+other.Sum)
}

// Since returns the histogram of the requests that came after before.
func (h Histogram) Since(before Histogram) Histogram {
	return h.combine(before, func(a, b uint64) uint64 { return a - min(a, b) }, max(0, h.Sum-before.Sum))
}

func (h Histogram) combine(other Histogram, f func(a, b uint64) uint64, sum float64) Histogram {
	if len(h.Counts) == 0 {
		h.Bounds, h.Counts = other.Bounds, make([]uint64, len(other.Counts))
	}
	out := Histogram{Bounds: h.Bounds, Counts: make([]uint64, len(h.Counts)), Sum: sum}
	for i, a := range h.Counts {
		var b uint64
		if i < len(other.Counts) {
			b = other.Counts[i]
		}
		out.Counts[i] = f(a, b)
	}
	return out
}

// Quantile estimates how long the fastest part q of the requests took at most,
// such as 0.99 of them: within the histogram's bounds they are taken to be
// spread evenly. It is 0 if there are none, and the last bound for those
// beyond it.
func (h Histogram) Quantile(q float64) time.Duration {
	total := h.Count()
	if total == 0 || len(h.Bounds) == 0 {
		return 0
	}
	rank := math.Max(q, 0) * float64(total)
	var below uint64
	for i, c := range h.Counts {
		if float64(below+c) < rank || c == 0 {
			below += c
			continue
		}
		if i >= len(h.Bounds) {
			break
		}
		low := 0.0
		if i > 0 {
			low = h.Bounds[i-1]
		}
		part := (rank - float64(below)) / float64(c)
		return time.Duration((low + (h.Bounds[i]-low)*part) * float64(time.Second))
	}
	return time.Duration(h.Bounds[len(h.Bounds)-1] * float64(time.Second))
}
