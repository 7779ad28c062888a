package main

import (
	"errors"
	"strconv"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// headers changes every map of headers in every way.
type headers struct{ base }

func (p *headers) NewHttpContext(uint32) types.HttpContext { return &headersStream{} }

type headersStream struct{ types.DefaultHttpContext }

func (*headersStream) OnHttpRequestHeaders(count int, end bool) types.Action {
	all := must(proxywasm.GetHttpRequestHeaders())
	check(proxywasm.AddHttpRequestHeader("x-counted", strconv.Itoa(count)+"="+strconv.Itoa(len(all))))
	check(proxywasm.AddHttpRequestHeader("x-many", "a"))
	check(proxywasm.AddHttpRequestHeader("x-many", "b"))
	check(proxywasm.RemoveHttpRequestHeader("x-secret"))
	check(proxywasm.ReplaceHttpRequestHeader(":path", must(proxywasm.GetHttpRequestHeader(":path"))+"?seen"))
	if _, err := proxywasm.GetHttpRequestHeader("x-absent"); !errors.Is(err, types.ErrorStatusNotFound) {
		panic("a header that is absent was found")
	}
	return types.ActionContinue
}

func (*headersStream) OnHttpRequestTrailers(int) types.Action {
	check(proxywasm.AddHttpRequestTrailer("x-checked", "yes"))
	return types.ActionContinue
}

func (*headersStream) OnHttpResponseHeaders(int, bool) types.Action {
	all := must(proxywasm.GetHttpResponseHeaders())
	var kept [][2]string
	for _, h := range all {
		if h[0] != "server" {
			kept = append(kept, h)
		}
	}
	check(proxywasm.ReplaceHttpResponseHeaders(append(kept, [2]string{"x-by", "plugin"}, [2]string{"x-empty", ""})))
	return types.ActionContinue
}

func (*headersStream) OnHttpResponseTrailers(int) types.Action {
	check(proxywasm.ReplaceHttpResponseTrailers([][2]string{{"x-sum", "new"}}))
	return types.ActionContinue
}

func (*headersStream) OnHttpStreamDone() {
	status, _ := proxywasm.GetHttpResponseHeader(":status")
	proxywasm.LogInfof("done: %s", status)
}
