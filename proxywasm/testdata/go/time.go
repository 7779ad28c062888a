package main

import (
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// postpone holds requests and lets one go on at each tick.
type postpone struct {
	base
	waiting []uint32
}

func (p *postpone) OnPluginStart(size int) types.OnPluginStartStatus {
	check(proxywasm.SetTickPeriodMilliSeconds(20))
	return p.base.OnPluginStart(size)
}

func (p *postpone) OnTick() {
	if len(p.waiting) == 0 {
		return
	}
	next := p.waiting[0]
	p.waiting = p.waiting[1:]
	check(proxywasm.SetEffectiveContext(next))
	check(proxywasm.AddHttpRequestHeader("x-postponed", "1"))
	check(proxywasm.ResumeHttpRequest())
}

func (p *postpone) NewHttpContext(id uint32) types.HttpContext {
	return &postponeStream{plugin: p, id: id}
}

type postponeStream struct {
	types.DefaultHttpContext
	plugin *postpone
	id     uint32
}

func (s *postponeStream) OnHttpRequestHeaders(int, bool) types.Action {
	s.plugin.waiting = append(s.plugin.waiting, s.id)
	return types.ActionPause
}

// ticker calls an upstream at each tick, and logs what it answers.
type ticker struct{ base }

func (p *ticker) OnPluginStart(size int) types.OnPluginStartStatus {
	check(proxywasm.SetTickPeriodMilliSeconds(20))
	return p.base.OnPluginStart(size)
}

func (p *ticker) OnTick() {
	headers := [][2]string{{":method", "GET"}, {":path", "/time"}, {":authority", "clock"}}
	_, err := proxywasm.DispatchHttpCall(p.config, headers, nil, nil, 500, func(_, size, _ int) {
		proxywasm.LogInfof("it is %s", must(proxywasm.GetHttpCallResponseBody(0, size)))
	})
	check(err)
}
