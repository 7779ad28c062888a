package main

import (
	"encoding/binary"
	"errors"
	"strconv"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// metrics counts, gauges and measures requests.
type metrics struct {
	base
	requests proxywasm.MetricCounter
	active   proxywasm.MetricGauge
	sizes    proxywasm.MetricHistogram
}

func (p *metrics) OnPluginStart(size int) types.OnPluginStartStatus {
	p.requests = proxywasm.DefineCounterMetric("requests")
	p.active = proxywasm.DefineGaugeMetric("active")
	p.sizes = proxywasm.DefineHistogramMetric("sizes")
	return p.base.OnPluginStart(size)
}

func (p *metrics) NewHttpContext(uint32) types.HttpContext { return &metricsStream{plugin: p} }

type metricsStream struct {
	types.DefaultHttpContext
	plugin *metrics
}

func (s *metricsStream) OnHttpRequestHeaders(count int, _ bool) types.Action {
	s.plugin.requests.Increment(1)
	s.plugin.active.Add(1)
	s.plugin.sizes.Record(uint64(count))
	check(proxywasm.AddHttpRequestHeader("x-requests", strconv.FormatUint(s.plugin.requests.Value(), 10)))
	return types.ActionContinue
}

func (s *metricsStream) OnHttpStreamDone() { s.plugin.active.Add(-1) }

// shared counts requests over all VMs.
type shared struct{ base }

func (p *shared) NewHttpContext(uint32) types.HttpContext { return &sharedStream{} }

type sharedStream struct{ types.DefaultHttpContext }

func (*sharedStream) OnHttpRequestHeaders(int, bool) types.Action {
	for {
		value, cas, err := proxywasm.GetSharedData("count")
		if errors.Is(err, types.ErrorStatusNotFound) {
			value = make([]byte, 8)
		} else {
			check(err)
		}
		count := binary.LittleEndian.Uint64(value) + 1
		err = proxywasm.SetSharedData("count", binary.LittleEndian.AppendUint64(nil, count), cas)
		if errors.Is(err, types.ErrorStatusCasMismatch) {
			continue
		}
		check(err)
		check(proxywasm.AddHttpRequestHeader("x-count", strconv.FormatUint(count, 10)))
		return types.ActionContinue
	}
}

// receiver keeps the last message of a queue as shared data.
type receiver struct {
	base
	queue uint32
}

func (p *receiver) OnPluginStart(size int) types.OnPluginStartStatus {
	p.queue = must(proxywasm.RegisterSharedQueue("paths"))
	return p.base.OnPluginStart(size)
}

func (p *receiver) OnQueueReady(queue uint32) {
	if queue != p.queue {
		panic("a message of another queue")
	}
	for {
		text, err := proxywasm.DequeueSharedQueue(queue)
		if errors.Is(err, types.ErrorStatusEmpty) {
			return
		}
		check(err)
		proxywasm.LogInfof("received %s", text)
	}
}

// sender puts each path into the queue of the VM that its configuration names.
type sender struct {
	base
	queue uint32
}

func (p *sender) NewHttpContext(uint32) types.HttpContext { return &senderStream{plugin: p} }

type senderStream struct {
	types.DefaultHttpContext
	plugin *sender
}

func (s *senderStream) OnHttpRequestHeaders(int, bool) types.Action {
	if s.plugin.queue == 0 {
		s.plugin.queue = must(proxywasm.ResolveSharedQueue(s.plugin.config, "paths"))
	}
	check(proxywasm.EnqueueSharedQueue(s.plugin.queue, []byte(must(proxywasm.GetHttpRequestHeader(":path")))))
	return types.ActionContinue
}
