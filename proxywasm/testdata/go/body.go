package main

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// body holds bodies until they are whole, and changes them as the header
// x-change says.
type body struct{ base }

func (p *body) NewHttpContext(uint32) types.HttpContext { return &bodyStream{} }

type bodyStream struct {
	types.DefaultHttpContext
	change string
	calls  int
}

func (s *bodyStream) OnHttpRequestHeaders(int, bool) types.Action {
	s.change, _ = proxywasm.GetHttpRequestHeader("x-change")
	check(proxywasm.RemoveHttpRequestHeader("content-length"))
	return types.ActionContinue
}

func (s *bodyStream) OnHttpRequestBody(size int, end bool) types.Action {
	s.calls++
	if !end {
		return types.ActionPause
	}
	text := must(proxywasm.GetHttpRequestBody(0, size))
	switch s.change {
	case "append":
		check(proxywasm.AppendHttpRequestBody([]byte(" calls=" + strconv.Itoa(s.calls))))
	case "prepend":
		check(proxywasm.PrependHttpRequestBody([]byte("first ")))
	case "replace":
		check(proxywasm.ReplaceHttpRequestBody(bytes.ToUpper(text)))
	}
	return types.ActionContinue
}

func (s *bodyStream) OnHttpResponseHeaders(int, bool) types.Action {
	check(proxywasm.RemoveHttpResponseHeader("content-length"))
	return types.ActionContinue
}

func (s *bodyStream) OnHttpResponseBody(size int, end bool) types.Action {
	if !end {
		return types.ActionPause
	}
	text := must(proxywasm.GetHttpResponseBody(0, size))
	check(proxywasm.ReplaceHttpResponseBody(bytes.ReplaceAll(text, []byte("http://"), []byte("https://"))))
	return types.ActionContinue
}

// chunks changes what passes as it comes, and holds nothing.
type chunks struct{ base }

func (p *chunks) NewHttpContext(uint32) types.HttpContext { return &chunksStream{} }

type chunksStream struct {
	types.DefaultHttpContext
	count int
}

func (s *chunksStream) OnHttpRequestBody(size int, end bool) types.Action {
	s.count++
	if size > 0 {
		text := must(proxywasm.GetHttpRequestBody(0, size))
		check(proxywasm.ReplaceHttpRequestBody([]byte("[" + strconv.Itoa(s.count) + ":" + string(text) + "]")))
	}
	return types.ActionContinue
}

func (s *chunksStream) OnHttpResponseBody(size int, end bool) types.Action {
	if size > 0 {
		check(proxywasm.ReplaceHttpResponseBody(bytes.ToUpper(must(proxywasm.GetHttpResponseBody(0, size)))))
	}
	if end {
		check(proxywasm.AppendHttpResponseBody([]byte("!")))
	}
	return types.ActionContinue
}

// validator lets JSON objects pass that have the keys of its configuration.
type validator struct{ base }

func (p *validator) NewHttpContext(uint32) types.HttpContext { return &validatorStream{plugin: p} }

type validatorStream struct {
	types.DefaultHttpContext
	plugin *validator
}

func (s *validatorStream) OnHttpRequestHeaders(_ int, end bool) types.Action {
	if kind, _ := proxywasm.GetHttpRequestHeader("content-type"); kind != "application/json" {
		refuse(415, "JSON is wanted")
		return types.ActionPause
	}
	return types.ActionContinue
}

func (s *validatorStream) OnHttpRequestBody(size int, end bool) types.Action {
	if !end {
		return types.ActionPause
	}
	var object map[string]any
	if err := json.Unmarshal(must(proxywasm.GetHttpRequestBody(0, size)), &object); err != nil {
		refuse(400, err.Error())
		return types.ActionPause
	}
	var keys []string
	check(json.Unmarshal([]byte(s.plugin.config), &keys))
	for _, key := range keys {
		if _, ok := object[key]; !ok {
			refuse(400, "no "+key)
			return types.ActionPause
		}
	}
	return types.ActionContinue
}
