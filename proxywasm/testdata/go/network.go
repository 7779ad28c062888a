package main

import (
	"bytes"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// network is a filter of TCP: it holds what clients send until a line is
// whole, marks what servers send, and closes connections that say "bye".
type network struct {
	base
	connections proxywasm.MetricGauge
}

func (p *network) OnPluginStart(size int) types.OnPluginStartStatus {
	p.connections = proxywasm.DefineGaugeMetric("connections")
	return p.base.OnPluginStart(size)
}

func (p *network) NewTcpContext(uint32) types.TcpContext { return &networkStream{plugin: p} }

type networkStream struct {
	types.DefaultTcpContext
	plugin *network
}

func (s *networkStream) OnNewConnection() types.Action {
	s.plugin.connections.Add(1)
	return types.ActionContinue
}

func (s *networkStream) OnDownstreamData(size int, end bool) types.Action {
	text := must(proxywasm.GetDownstreamData(0, size))
	if !end && !bytes.HasSuffix(text, []byte("\n")) {
		return types.ActionPause
	}
	if bytes.HasPrefix(text, []byte("bye")) {
		check(proxywasm.CloseDownstream())
		return types.ActionPause
	}
	check(proxywasm.PrependDownstreamData([]byte("> ")))
	return types.ActionContinue
}

func (s *networkStream) OnUpstreamData(size int, end bool) types.Action {
	if size > 0 {
		check(proxywasm.AppendUpstreamData([]byte("<\n")))
	}
	return types.ActionContinue
}

func (s *networkStream) OnDownstreamClose(peer types.PeerType) {
	proxywasm.LogInfof("client closed by %d", peer)
}

func (s *networkStream) OnUpstreamClose(peer types.PeerType) {
	proxywasm.LogInfof("server closed by %d", peer)
}

func (s *networkStream) OnStreamDone() { s.plugin.connections.Add(-1) }
