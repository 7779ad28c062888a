// Command scan is the plugin of ../c/scan.c in Go: it has a service look at
// every upload before that goes on. The body is streamed to the upstream that
// the configuration names, and kept by Hako meanwhile. Answers other than 200
// refuse the upload, with the service's text.
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o scan.wasm .
//
// In hako.toml the filter needs headers_may_stop = true, and the service in
// allow = ["http_call:NAME"].
package main

import (
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"

	"github.com/hako-run/hako/guest/filter"
)

const (
	partSize    = 32 << 10
	verdictSize = 1 << 10
)

func main() {}

func init() {
	proxywasm.SetPluginContext(func(uint32) types.PluginContext { return &plugin{} })
}

type plugin struct {
	types.DefaultPluginContext
	service string
}

func (p *plugin) OnPluginStart(int) types.OnPluginStartStatus {
	name, err := proxywasm.GetPluginConfiguration()
	if err != nil || len(name) == 0 {
		proxywasm.LogCritical("the configuration must name the upstream of the service")
		return types.OnPluginStartStatusFailed
	}
	p.service = string(name)
	return types.OnPluginStartStatusOK
}

func (p *plugin) NewHttpContext(id uint32) types.HttpContext { return &upload{plugin: p, id: id} }

// An upload is a request, and the Events of its call.
type upload struct {
	types.DefaultHttpContext
	plugin     *plugin
	id         uint32
	call       *filter.Call
	over       bool  // the call is
	seen, sent int64 // of the body
	ended      bool
	passed     bool
	verdict    []byte
}

func (u *upload) OnHttpRequestHeaders(_ int, end bool) types.Action {
	if end {
		return types.ActionContinue
	}
	path, err := proxywasm.GetHttpRequestHeader(":path")
	if err != nil {
		return u.refuse(err)
	}
	u.call, err = filter.Open(u.id, filter.Request{
		Upstream: u.plugin.service,
		Headers:  [][2]string{{":method", "POST"}, {":path", "/scan"}, {":authority", "scanner"}, {"x-path", path}},
	}, u)
	if err != nil {
		return u.refuse(err)
	}
	if err := filter.Spool(filter.RequestBody); err != nil {
		return u.refuse(err)
	}
	return types.ActionPause // the body's callbacks go on
}

func (u *upload) OnHttpRequestBody(size int, end bool) types.Action {
	if u.call == nil || u.over && u.passed {
		return types.ActionContinue
	}
	u.ended = end
	if !u.over && u.sent == u.seen && size > 0 { // nothing waits to be sent before it
		part, err := proxywasm.GetHttpRequestBody(0, size)
		if err != nil {
			return u.refuse(err)
		}
		u.write(part, end)
	} else if !u.over && u.sent == u.seen {
		u.write(nil, end)
	}
	u.seen += int64(size)
	return types.ActionPause
}

// write sends a part, and tells whether all of it was taken.
func (u *upload) write(part []byte, end bool) bool {
	taken, err := u.call.Write(part, end)
	if err != nil {
		return false // Failed tells
	}
	u.sent += int64(taken)
	return taken == len(part)
}

func (u *upload) OnHttpStreamDone() {
	if u.call != nil {
		_ = u.call.Close()
	}
}

// Writable sends what is kept and was not sent yet, as far as there is room.
func (u *upload) Writable(*filter.Call) {
	for u.sent < u.seen {
		part, err := filter.ReadSpooled(filter.RequestBody, u.sent, partSize)
		if err != nil || len(part) == 0 || !u.write(part, u.ended && u.sent+int64(len(part)) == u.seen) {
			return
		}
	}
}

// Headers has the service's status.
func (u *upload) Headers(_ *filter.Call, headers [][2]string) {
	for _, h := range headers {
		if h[0] == ":status" {
			u.passed = h[1] == "200"
		}
	}
}

// Readable keeps the beginning of the service's text.
func (u *upload) Readable(c *filter.Call) {
	for {
		part, err := c.Read(partSize)
		if err != nil || len(part) == 0 {
			return
		}
		u.verdict = append(u.verdict, part[:min(len(part), verdictSize-len(u.verdict))]...)
	}
}

// End lets the upload go on, or answers in its place.
func (u *upload) End(*filter.Call, [][2]string) {
	u.over = true
	if u.passed {
		if err := proxywasm.ResumeHttpRequest(); err != nil {
			proxywasm.LogErrorf("let the upload go on: %v", err)
		}
		return
	}
	u.respond(403, string(u.verdict))
}

// Failed answers in the upload's place.
func (u *upload) Failed(_ *filter.Call, err error) {
	u.over = true
	u.refuse(err)
}

func (u *upload) refuse(err error) types.Action {
	proxywasm.LogWarnf("an upload cannot be looked at: %v", err)
	u.respond(503, "uploads cannot be looked at")
	return types.ActionPause
}

func (u *upload) respond(status uint32, text string) {
	if err := proxywasm.SendHttpResponse(status, nil, []byte(text), -1); err != nil {
		proxywasm.LogErrorf("refuse the upload: %v", err)
	}
}
