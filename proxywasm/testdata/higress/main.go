// Command higress uses what Higress' fork of the Go SDK has beyond the
// original: its ABI is 0.2.100.
package main

import (
	"strings"

	"github.com/higress-group/proxy-wasm-go-sdk/proxywasm"
	"github.com/higress-group/proxy-wasm-go-sdk/proxywasm/types"
)

func main() {}

func init() {
	proxywasm.SetPluginContext(func(uint32) types.PluginContext { return &plugin{} })
}

type plugin struct {
	types.DefaultPluginContext
	redis string
}

func (p *plugin) OnPluginStart(size int) types.OnPluginStartStatus {
	if size > 0 {
		text, err := proxywasm.GetPluginConfiguration()
		if err != nil {
			return types.OnPluginStartStatusFailed
		}
		p.redis = string(text)
		if err := proxywasm.RedisInit(p.redis, "", "", 500); err != nil {
			proxywasm.LogErrorf("redis: %v", err)
		}
	}
	return types.OnPluginStartStatusOK
}

func (p *plugin) NewHttpContext(uint32) types.HttpContext { return &stream{plugin: p} }

type stream struct {
	types.DefaultHttpContext
	plugin *plugin
}

func (s *stream) OnHttpRequestHeaders(_ int, end bool) types.Action {
	path, _ := proxywasm.GetHttpRequestHeader(":path")
	switch {
	case strings.HasPrefix(path, "/refuse"):
		proxywasm.SendHttpResponseWithDetail(418, "higress.refused", nil, []byte("teapot"), -1)
		return types.ActionPause
	case strings.HasPrefix(path, "/count"):
		_, err := proxywasm.DispatchRedisCall(s.plugin.redis, []byte("*2\r\n$4\r\nINCR\r\n$4\r\nhits\r\n"), func(status, size int) {
			text, err := proxywasm.GetRedisCallResponse(0, size)
			if status != 0 || err != nil {
				proxywasm.SendHttpResponse(503, nil, []byte("no redis"), -1)
				return
			}
			proxywasm.AddHttpRequestHeader("x-hits", strings.TrimSpace(string(text)))
			proxywasm.ResumeHttpRequest()
		})
		if err != nil {
			proxywasm.SendHttpResponse(503, nil, []byte("no redis: "+err.Error()), -1)
		}
		return types.ActionPause
	case strings.HasPrefix(path, "/hosts"):
		hosts, err := proxywasm.GetUpstreamHosts()
		if err != nil || len(hosts) == 0 {
			proxywasm.AddHttpRequestHeader("x-hosts", "none")
			break
		}
		proxywasm.AddHttpRequestHeader("x-hosts", hosts[0][0])
		if err := proxywasm.SetUpstreamOverrideHost([]byte(hosts[len(hosts)-1][0])); err != nil {
			proxywasm.AddHttpRequestHeader("x-override", err.Error())
		}
	}
	if !end {
		// In this ABI the body still comes.
		return types.ActionPause
	}
	return types.ActionContinue
}

func (s *stream) OnHttpRequestBody(size int, end bool) types.Action {
	if !end {
		return types.ActionPause
	}
	text, _ := proxywasm.GetHttpRequestBody(0, size)
	proxywasm.AddHttpRequestHeader("x-body", string(text))
	return types.ActionContinue
}

func (s *stream) OnHttpResponseBody(size int, end bool) types.Action {
	if !end {
		return types.ActionContinue
	}
	if err := proxywasm.InjectEncodedDataToFilterChain([]byte("injected"), true); err != nil {
		proxywasm.LogErrorf("inject: %v", err)
		return types.ActionContinue
	}
	return types.ActionPause
}
