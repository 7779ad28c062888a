package main

import (
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// lookups makes ten look-ups and one replacement of headers for each request,
// as c/lookups.c: what benchmarks of filters measure.
type lookups struct{ base }

func (p *lookups) NewHttpContext(uint32) types.HttpContext { return &lookupsStream{} }

type lookupsStream struct{ types.DefaultHttpContext }

var lookedUp = [...]string{":method", ":path", ":authority", "user-agent", "accept", "accept-encoding", "cookie", "x-request-id", "x-forwarded-for", "x-absent"}

func (*lookupsStream) OnHttpRequestHeaders(int, bool) types.Action {
	total := 0
	for _, name := range lookedUp {
		v, err := proxywasm.GetHttpRequestHeader(name)
		if err == nil {
			total += len(v)
		}
	}
	seen := "little"
	if total > 100 {
		seen = "much"
	}
	check(proxywasm.ReplaceHttpRequestHeader("x-seen", seen))
	return types.ActionContinue
}
