package proxywasm

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Stats is what a plugin has done so far.
type Stats struct {
	Streams        int64 // begun
	Open           int64 // of these, open
	Pauses         int64 // callbacks that held something
	LocalResponses int64
	Crashes        int64
	Forks          int64
	VMs            int   // working
	Memory         int64 // of their memories, in bytes
	Callbacks      []CallbackStats
}

// CallbackStats are of one callback, by its name.
type CallbackStats struct {
	Name         string
	Latency, CPU Distribution
}

// A Distribution counts durations.
type Distribution struct {
	Count   int64
	Sum     time.Duration
	Buckets [DistributionBuckets]int64 // not cumulative
}

// DistributionBuckets is how many buckets a Distribution has: the first
// counts below 1 us, each next one below twice as much, and the last all
// others.
const DistributionBuckets = 26

// Bound is the upper end of a bucket but the last.
func Bound(bucket int) time.Duration { return time.Microsecond << bucket }

type counters struct {
	streams, pauses, localResponses, crashes, forks atomic.Int64
	callbacks                                       [callbackCount]struct{ latency, cpu distribution }
}

type distribution struct {
	sum     atomic.Int64
	buckets [DistributionBuckets]atomic.Int64
}

func (d *distribution) add(v time.Duration) {
	d.sum.Add(int64(v))
	d.buckets[min(bits.Len64(uint64(v/time.Microsecond)), DistributionBuckets-1)].Add(1)
}

func (d *distribution) read() (r Distribution) {
	r.Sum = time.Duration(d.sum.Load())
	for i := range d.buckets {
		r.Buckets[i] = d.buckets[i].Load()
		r.Count += r.Buckets[i]
	}
	return r
}

func (c *counters) called(cb callback, wall, cpu time.Duration) {
	c.callbacks[cb].latency.add(wall)
	c.callbacks[cb].cpu.add(cpu)
}

// Stats returns what the plugin has done so far.
func (p *Plugin) Stats() Stats {
	c := &p.stats
	s := Stats{
		Streams: c.streams.Load(), Pauses: c.pauses.Load(), LocalResponses: c.localResponses.Load(),
		Crashes: c.crashes.Load(), Forks: c.forks.Load(), Open: p.streams.Load(),
	}
	if !p.closed.Load() {
		s.Open--
	}
	for cb := range c.callbacks {
		latency := c.callbacks[cb].latency.read()
		if latency.Count > 0 {
			s.Callbacks = append(s.Callbacks, CallbackStats{p.profile.callbacks[cb].name, latency, c.callbacks[cb].cpu.read()})
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.VMs = len(p.vms)
	for _, v := range p.vms {
		s.Memory += v.in.Usage().Memory
	}
	return s
}
