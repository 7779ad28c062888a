package main

import (
	"encoding/binary"
	"fmt"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// properties tells what the host knows of a request, and sets something.
type properties struct{ base }

func (p *properties) NewHttpContext(uint32) types.HttpContext { return &propertiesStream{} }

type propertiesStream struct{ types.DefaultHttpContext }

func (*propertiesStream) OnHttpRequestHeaders(int, bool) types.Action {
	for _, path := range [][]string{
		{"request", "path"}, {"request", "method"}, {"request", "protocol"}, {"request", "headers", "x-one"},
		{"source", "address"}, {"plugin_name"}, {"plugin_vm_id"},
	} {
		check(proxywasm.AddHttpRequestHeader("x-property", string(must(proxywasm.GetProperty(path)))))
	}
	port := must(proxywasm.GetProperty([]string{"source", "port"}))
	check(proxywasm.AddHttpRequestHeader("x-port", fmt.Sprint(binary.LittleEndian.Uint64(port))))
	for _, h := range must(proxywasm.GetPropertyMap([]string{"request", "headers"})) {
		if h[0] == "x-one" {
			check(proxywasm.AddHttpRequestHeader("x-in-map", h[1]))
		}
	}
	check(proxywasm.SetProperty([]string{"made", "here"}, []byte("value")))
	check(proxywasm.AddHttpRequestHeader("x-own", string(must(proxywasm.GetProperty([]string{"made", "here"})))))
	if _, err := proxywasm.GetProperty([]string{"no", "such"}); err != types.ErrorStatusNotFound {
		panic("a property that there is not was found")
	}
	return types.ActionContinue
}

// configured shows both configurations.
type configured struct{ base }

func (p *configured) OnPluginStart(size int) types.OnPluginStartStatus {
	p.base.OnPluginStart(size)
	if p.config == "refused" {
		return types.OnPluginStartStatusFailed
	}
	return types.OnPluginStartStatusOK
}

func (p *configured) NewHttpContext(uint32) types.HttpContext { return &configuredStream{plugin: p} }

type configuredStream struct {
	types.DefaultHttpContext
	plugin *configured
}

func (s *configuredStream) OnHttpRequestHeaders(int, bool) types.Action {
	check(proxywasm.AddHttpRequestHeader("x-configured", string(s.plugin.vm.config)+"|"+s.plugin.config))
	return types.ActionContinue
}

// foreign calls the host's function "reverse".
type foreign struct{ base }

func (p *foreign) NewHttpContext(uint32) types.HttpContext { return &foreignStream{} }

type foreignStream struct{ types.DefaultHttpContext }

func (*foreignStream) OnHttpRequestHeaders(int, bool) types.Action {
	path := must(proxywasm.GetHttpRequestHeader(":path"))
	check(proxywasm.AddHttpRequestHeader("x-reverse", string(must(proxywasm.CallForeignFunction("reverse", []byte(path))))))
	_, err := proxywasm.CallForeignFunction("missing", nil)
	check(proxywasm.AddHttpRequestHeader("x-missing", fmt.Sprint(err)))
	return types.ActionContinue
}
