package filter

import (
	"net/http"
	"strconv"

	"github.com/hako-run/hako/proxywasm"
)

// answer sends the response of a filter. Those that have seen the request see
// it, unless it replaces a response that they have seen. The caller has
// x.out.
func (x *exchange) answer(l *proxywasm.LocalResponse, by int) {
	if x.chain.options.Answered != nil {
		x.chain.options.Answered(x.r, x.chain.filters[by].Name, l)
	}
	h := &proxywasm.Headers{}
	h.Add(":status", statusText(l.Status))
	body := l.Body
	grpc := isGRPC(x.r)
	for f := range l.Headers.All() {
		h.Add(f.Name, f.Value)
	}
	switch {
	case grpc:
		// Envoy answers gRPC in gRPC's way: all in the headers.
		body = nil
		h.Set(":status", "200")
		h.Set("content-type", "application/grpc")
		h.Set("grpc-status", strconv.Itoa(int(grpcStatus(l))))
		if len(l.Body) > 0 {
			h.Set("grpc-message", grpcMessage(l.Body))
		}
	default:
		if l.GRPCStatus >= 0 {
			h.Set("grpc-status", strconv.Itoa(int(l.GRPCStatus)))
		}
		if len(body) > 0 {
			if _, ok := h.Get("content-type"); !ok {
				h.Add("content-type", "text/plain")
			}
			h.Set("content-length", strconv.Itoa(len(body)))
		}
	}
	x.count(func(i *proxywasm.Info) {
		i.ResponseCode, i.ResponseSize = statusOf(h), int64(len(body))
		i.ResponseTotalSize = i.ResponseSize + h.Size()
	})
	if !x.shown {
		h, body = x.showLocal(h, body)
	}
	put(x.w.Header(), h)
	x.sent = true
	x.w.WriteHeader(statusOf(h))
	if len(body) > 0 && x.r.Method != http.MethodHead {
		_, _ = x.w.Write(body)
	}
}

// showLocal passes a response by the filters. What they hold is waited for;
// one that answers again is not heard.
func (x *exchange) showLocal(h *proxywasm.Headers, body []byte) (*proxywasm.Headers, []byte) {
	// What ended the request is no reason to end its answer.
	ctx := x.r.Context()
	held := len(body)
	for i := len(x.steps) - 1; i >= 0; i-- {
		s := &x.steps[i]
		if !s.started {
			continue
		}
		h = h.Clone()
		s.setMap(proxywasm.ResponseHeaders, h)
		action := x.call(s, func() proxywasm.Action { return s.stream.ResponseHeaders(len(body) == 0) })
		if action != proxywasm.Continue && (action != proxywasm.PauseHeaders || len(body) == 0) && s.stream.Wait(ctx, proxywasm.Response) != nil {
			continue
		}
		if len(body) == 0 {
			continue
		}
		if x.call(s, func() proxywasm.Action { return s.stream.ResponseBody(body, true) }) != proxywasm.Continue && s.stream.Wait(ctx, proxywasm.Response) != nil {
			continue
		}
		body = s.stream.TakeBody(proxywasm.Response)
	}
	if len(body) != held {
		h = h.Clone()
		h.Set("content-length", strconv.Itoa(len(body)))
	}
	return h, body
}

func statusText(status int) string {
	switch status {
	case 200:
		return "200"
	case 304:
		return "304"
	case 404:
		return "404"
	}
	return strconv.Itoa(status)
}

// statusOf reads the pseudo-header; what is no status is 500.
func statusOf(h *proxywasm.Headers) int {
	n, err := strconv.Atoi(h.Value(":status"))
	if err != nil || n < 200 || n > 999 {
		return http.StatusInternalServerError
	}
	return n
}
