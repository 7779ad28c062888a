package main

import (
	"encoding/binary"
	"net"
	"strconv"

	"github.com/corazawaf/coraza/v3/types"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	sdk "github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

// A stream is one request with its response, and Coraza's transaction for it.
// A body that rules look at is held back until it is whole.
type stream struct {
	sdk.DefaultHttpContext
	plugin       *plugin
	tx           types.Transaction
	version      string
	blocked      bool
	requestSeen  int // bytes of the request's body that Coraza has
	responseSeen int
	requestDone  bool
	responseDone bool
}

func (s *stream) OnHttpRequestHeaders(_ int, end bool) sdk.Action {
	s.plugin.requests.Increment(1)
	if s.tx.IsRuleEngineOff() {
		return sdk.ActionContinue
	}
	clientHost, clientPort := address("source")
	serverHost, serverPort := address("destination")
	s.tx.ProcessConnection(clientHost, clientPort, serverHost, serverPort)

	headers, err := proxywasm.GetHttpRequestHeaders()
	if err != nil {
		return s.fail("read the request's headers", err)
	}
	var method, path, authority string
	for _, h := range headers {
		switch h[0] {
		case ":method":
			method = h[1]
		case ":path":
			path = h[1]
		case ":authority":
			authority = h[1]
		}
	}
	s.version = property("request", "protocol")
	if s.version == "" {
		s.version = "HTTP/1.1"
	}
	s.tx.ProcessURI(path, method, s.version)
	for _, h := range headers {
		if h[0] != "" && h[0][0] != ':' {
			s.tx.AddRequestHeader(h[0], h[1])
		}
	}
	if authority != "" {
		s.tx.AddRequestHeader("Host", authority)
		name, _, err := net.SplitHostPort(authority)
		if err != nil {
			name = authority
		}
		s.tx.SetServerName(name)
	}
	if it := s.tx.ProcessRequestHeaders(); it != nil {
		return s.block(it)
	}
	if end {
		return s.endRequest()
	}
	if s.tx.IsRequestBodyAccessible() {
		return s.plugin.onHold
	}
	// Rules of the body's phase look at headers and arguments, too.
	return s.endRequest()
}

func (s *stream) OnHttpRequestBody(size int, end bool) sdk.Action {
	if s.blocked || s.requestDone {
		return action(s.blocked)
	}
	if size > s.requestSeen {
		part, err := proxywasm.GetHttpRequestBody(s.requestSeen, size-s.requestSeen)
		if err != nil {
			return s.fail("read the request's body", err)
		}
		s.requestSeen += len(part)
		if it, _, err := s.tx.WriteRequestBody(part); err != nil {
			return s.fail("keep the request's body", err)
		} else if it != nil {
			return s.block(it)
		}
	}
	if !end {
		return sdk.ActionPause
	}
	return s.endRequest()
}

func (s *stream) OnHttpRequestTrailers(int) sdk.Action {
	if s.blocked || s.requestDone {
		return action(s.blocked)
	}
	return s.endRequest()
}

func (s *stream) endRequest() sdk.Action {
	s.requestDone = true
	it, err := s.tx.ProcessRequestBody()
	if err != nil {
		return s.fail("look at the request's body", err)
	}
	if it != nil {
		return s.block(it)
	}
	return sdk.ActionContinue
}

func (s *stream) OnHttpResponseHeaders(_ int, end bool) sdk.Action {
	if s.blocked || s.tx.IsRuleEngineOff() {
		return sdk.ActionContinue // what comes is the refusal itself
	}
	headers, err := proxywasm.GetHttpResponseHeaders()
	if err != nil {
		return s.fail("read the response's headers", err)
	}
	status := 0
	for _, h := range headers {
		if h[0] == ":status" {
			status, _ = strconv.Atoi(h[1])
		} else {
			s.tx.AddResponseHeader(h[0], h[1])
		}
	}
	if it := s.tx.ProcessResponseHeaders(status, s.version); it != nil {
		return s.block(it)
	}
	if end || !s.tx.IsResponseBodyAccessible() || !s.tx.IsResponseBodyProcessable() {
		return s.endResponse()
	}
	return s.plugin.onHold
}

func (s *stream) OnHttpResponseBody(size int, end bool) sdk.Action {
	if s.blocked || s.responseDone {
		return sdk.ActionContinue
	}
	if size > s.responseSeen {
		part, err := proxywasm.GetHttpResponseBody(s.responseSeen, size-s.responseSeen)
		if err != nil {
			return s.fail("read the response's body", err)
		}
		s.responseSeen += len(part)
		if it, _, err := s.tx.WriteResponseBody(part); err != nil {
			return s.fail("keep the response's body", err)
		} else if it != nil {
			return s.block(it)
		}
	}
	if !end {
		return sdk.ActionPause
	}
	return s.endResponse()
}

func (s *stream) OnHttpResponseTrailers(int) sdk.Action {
	if s.blocked || s.responseDone {
		return sdk.ActionContinue
	}
	return s.endResponse()
}

func (s *stream) endResponse() sdk.Action {
	s.responseDone = true
	it, err := s.tx.ProcessResponseBody()
	if err != nil {
		return s.fail("look at the response's body", err)
	}
	if it != nil {
		return s.block(it)
	}
	return sdk.ActionContinue
}

func (s *stream) OnHttpStreamDone() {
	s.tx.ProcessLogging()
	if err := s.tx.Close(); err != nil {
		proxywasm.LogWarnf("close the transaction: %v", err)
	}
}

// block answers the client in place of the upstream.
func (s *stream) block(it *types.Interruption) sdk.Action {
	s.blocked = true
	s.plugin.blocked.Increment(1)
	status, headers := it.Status, [][2]string(nil)
	if it.Action == "redirect" && it.Data != "" {
		headers = [][2]string{{"location", it.Data}}
		if status < 300 || status > 399 {
			status = 302
		}
	}
	if status == 0 {
		status = 403
	}
	if err := proxywasm.SendHttpResponse(uint32(status), headers, nil, -1); err != nil {
		proxywasm.LogErrorf("refuse the request: %v", err)
	}
	return sdk.ActionPause
}

// fail refuses the request, too: what cannot be looked at does not pass.
func (s *stream) fail(what string, err error) sdk.Action {
	proxywasm.LogErrorf("%s: %v", what, err)
	return s.block(&types.Interruption{Status: 500})
}

func action(blocked bool) sdk.Action {
	if blocked {
		return sdk.ActionPause
	}
	return sdk.ActionContinue
}

func property(path ...string) string {
	value, err := proxywasm.GetProperty(path)
	if err != nil {
		return ""
	}
	return string(value)
}

// address returns one end of the connection: "source" or "destination".
func address(end string) (host string, port int) {
	whole := property(end, "address")
	if h, _, err := net.SplitHostPort(whole); err == nil {
		whole = h
	}
	if value := property(end, "port"); len(value) == 8 {
		port = int(binary.LittleEndian.Uint64([]byte(value)))
	}
	return whole, port
}
