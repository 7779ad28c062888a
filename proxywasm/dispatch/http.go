package dispatch

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/hako-run/hako/proxywasm"
)

// HTTP implements proxywasm.Dispatcher.
func (d *Dispatcher) HTTP(call *proxywasm.HTTPCall, done func(*proxywasm.HTTPResponse, error)) (func(), error) {
	ctx, cancel, err := d.begin(call.Upstream, call.Timeout)
	if err != nil {
		return nil, err
	}
	r, err := request(ctx, call)
	if err != nil {
		cancel()
		d.calls.Done()
		return nil, err
	}
	go func() {
		defer d.calls.Done()
		defer cancel()
		done(d.fetch(call.Upstream, r))
	}()
	return cancel, nil
}

// request is a plugin's call as net/http has it.
func request(ctx context.Context, call *proxywasm.HTTPCall) (*http.Request, error) {
	u, err := url.ParseRequestURI(call.Headers.Value(":path"))
	if err != nil {
		return nil, fmt.Errorf("the call's path: %w", err)
	}
	u.Scheme, u.Host = "", ""
	r := (&http.Request{
		Method: call.Headers.Value(":method"), URL: u, Host: call.Headers.Value(":authority"),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header(call.Headers),
	}).WithContext(ctx)
	if len(call.Body) > 0 || call.Trailers.Len() > 0 {
		r.Body = io.NopCloser(bytes.NewReader(call.Body))
		r.ContentLength = int64(len(call.Body))
	}
	if call.Trailers.Len() > 0 {
		r.Trailer = header(call.Trailers)
		r.ContentLength = -1
	}
	return r, nil
}

func (d *Dispatcher) fetch(upstream string, r *http.Request) (*proxywasm.HTTPResponse, error) {
	response, err := d.upstream(upstream, r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxResponse+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxResponse {
		return nil, fmt.Errorf("the answer is larger than %d bytes", maxResponse)
	}
	h := proxywasm.MakeHeaders(":status", strconv.Itoa(response.StatusCode))
	addFields(h, response.Header)
	answer := &proxywasm.HTTPResponse{Headers: h, Body: body}
	if len(response.Trailer) > 0 {
		answer.Trailers = &proxywasm.Headers{}
		addFields(answer.Trailers, response.Trailer)
	}
	return answer, nil
}
