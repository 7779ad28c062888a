// Command greeting is a Proxy-Wasm plugin that adds a greeting, the text of
// its configuration, to every response, and refuses requests under /private
// without the header x-key.
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o greeting.wasm .
package main

import (
	"strings"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

func main() {}

func init() {
	proxywasm.SetPluginContext(func(uint32) types.PluginContext { return &plugin{greeting: "hello"} })
}

type plugin struct {
	types.DefaultPluginContext
	greeting string
	refused  proxywasm.MetricCounter
}

func (p *plugin) OnPluginStart(size int) types.OnPluginStartStatus {
	if size > 0 {
		text, err := proxywasm.GetPluginConfiguration()
		if err != nil {
			proxywasm.LogCriticalf("read the configuration: %v", err)
			return types.OnPluginStartStatusFailed
		}
		p.greeting = string(text)
	}
	p.refused = proxywasm.DefineCounterMetric("greeting_refused")
	return types.OnPluginStartStatusOK
}

func (p *plugin) NewHttpContext(uint32) types.HttpContext { return &stream{plugin: p} }

type stream struct {
	types.DefaultHttpContext
	plugin *plugin
}

func (s *stream) OnHttpRequestHeaders(int, bool) types.Action {
	path, err := proxywasm.GetHttpRequestHeader(":path")
	if err != nil || !strings.HasPrefix(path, "/private") {
		return types.ActionContinue
	}
	if _, err := proxywasm.GetHttpRequestHeader("x-key"); err == nil {
		return types.ActionContinue
	}
	s.plugin.refused.Increment(1)
	if err := proxywasm.SendHttpResponse(403, nil, []byte("a key is needed\n"), -1); err != nil {
		proxywasm.LogErrorf("refuse the request: %v", err)
	}
	return types.ActionPause
}

func (s *stream) OnHttpResponseHeaders(int, bool) types.Action {
	if err := proxywasm.AddHttpResponseHeader("x-greeting", s.plugin.greeting); err != nil {
		proxywasm.LogErrorf("add the greeting: %v", err)
	}
	return types.ActionContinue
}
