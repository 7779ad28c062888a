package main

import (
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// auth asks the upstream that its configuration names whether a request may
// pass, and holds it meanwhile.
type auth struct{ base }

func (p *auth) NewHttpContext(uint32) types.HttpContext { return &authStream{plugin: p} }

type authStream struct {
	types.DefaultHttpContext
	plugin *auth
}

func (s *authStream) OnHttpRequestHeaders(int, bool) types.Action {
	token, _ := proxywasm.GetHttpRequestHeader("authorization")
	headers := [][2]string{{":method", "POST"}, {":path", "/check"}, {":authority", "auth.internal"}, {"authorization", token}}
	if _, err := proxywasm.DispatchHttpCall(s.plugin.config, headers, []byte("who?"), [][2]string{{"x-end", "1"}}, 500, s.answered); err != nil {
		refuse(503, "no call: "+err.Error())
	}
	return types.ActionPause
}

func (s *authStream) answered(headers, size, trailers int) {
	if headers == 0 {
		refuse(503, "no answer")
		return
	}
	status := ""
	for _, h := range must(proxywasm.GetHttpCallResponseHeaders()) {
		if h[0] == ":status" {
			status = h[1]
		}
	}
	if status != "200" {
		refuse(401, "status "+status)
		return
	}
	check(proxywasm.ReplaceHttpRequestHeader("x-user", string(must(proxywasm.GetHttpCallResponseBody(0, size)))))
	check(proxywasm.RemoveHttpRequestHeader("authorization"))
	check(proxywasm.ResumeHttpRequest())
}

func refuse(status uint32, why string) {
	check(proxywasm.SendHttpResponse(status, [][2]string{{"x-refused", "1"}}, []byte(why), -1))
}
