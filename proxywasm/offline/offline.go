package offline

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hako-run/hako/proxywasm"
)

// ErrHeld says that a plugin held the request or the response to the end.
var ErrHeld = errors.New("nothing moved on what the plugin holds")

// Options are what to run.
type Options struct {
	// Config is the plugin's; Run sets its Recorder, Dispatcher, Metrics and
	// VMs, forks nothing, and adds to Allow what Calls answers.
	Config   proxywasm.Config
	Request  *Message
	Response *Message            // of the upstream
	Calls    map[string]*Message // what upstreams answer to HTTP calls
	// Properties by their path with dots. source.address and
	// destination.address are addresses with a port.
	Properties map[string]string
	// Chunk is how many bytes of a body each callback is given; 0 for all.
	Chunk int
	// Wait is how long what the plugin holds may be held: 5 s if 0.
	Wait time.Duration
}

// A Result is what came of it.
type Result struct {
	// Events are those of the VM that the request was in, its start included.
	Events   []*proxywasm.Event
	Upstream *Message // what the upstream would have got, nil if nothing
	Client   *Message // what the client would have got, nil if nothing
	// Local tells which phase the plugin answered in: "request" or "response";
	// "" if it did not.
	Local         string
	LocalDetails  string
	Reset         bool // the plugin closed the stream
	RoutesCleared int
	Crashed       bool
	Metrics       []*proxywasm.Series
}

// Run drives a request through a plugin. With an error, the result tells how
// far it came; the error is that of Load, wraps ErrHeld, or is the context's.
func Run(ctx context.Context, o Options) (*Result, error) {
	if o.Wait == 0 {
		o.Wait = 5 * time.Second
	}
	d := &driver{options: o, result: &Result{}, settled: make(chan struct{}, 1)}
	metrics := proxywasm.NewRegistry()
	cfg := o.Config
	cfg.Recorder, cfg.Dispatcher, cfg.Metrics = proxywasm.RecorderFunc(d.record), d, metrics
	cfg.VMs, cfg.NoFork, cfg.Grace = 1, true, o.Wait
	cfg.Allow = append([]string(nil), cfg.Allow...)
	for upstream := range o.Calls {
		cfg.Allow = append(cfg.Allow, "http_call:"+upstream)
	}
	p, err := proxywasm.Load(ctx, cfg)
	if err != nil {
		return d.finish(metrics), err
	}
	err = d.drive(ctx, p)
	d.result.Crashed = p.Stats().Crashes > 0
	p.Close()
	<-p.Done()
	return d.finish(metrics), err
}

// A driver is one run. It is the plugin's Dispatcher.
type driver struct {
	options Options
	stream  *proxywasm.Stream
	x       *proxywasm.Exchange
	result  *Result

	mu      sync.Mutex
	events  []*proxywasm.Event
	calls   int // made
	answers int // of these, seen by the plugin
	settled chan struct{}
}

// record keeps the events of the first VM: the one that takes its place if it
// crashes has no part in the request.
func (d *driver) record(e *proxywasm.Event) {
	if e.VM != 1 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, e.Clone())
	if e.Kind == proxywasm.Leave && e.Name == "proxy_on_http_call_response" {
		if d.answers++; d.answers >= d.calls {
			select {
			case d.settled <- struct{}{}:
			default:
			}
		}
	}
}

func (d *driver) finish(metrics *proxywasm.Registry) *Result {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.result.Events, d.result.Metrics = d.events, metrics.All()
	return d.result
}

// HTTP answers from the messages.
func (d *driver) HTTP(call *proxywasm.HTTPCall, done func(*proxywasm.HTTPResponse, error)) (cancel func(), err error) {
	answer, ok := d.options.Calls[call.Upstream]
	if !ok {
		return nil, fmt.Errorf("%w: %s: no answer of it was given", proxywasm.ErrUpstream, call.Upstream)
	}
	answer = answer.clone()
	d.mu.Lock()
	d.calls++
	d.mu.Unlock()
	done(&proxywasm.HTTPResponse{Headers: answer.Headers, Body: answer.Body, Trailers: answer.Trailers}, nil)
	return func() {}, nil
}

// GRPC knows no upstream.
func (d *driver) GRPC(call *proxywasm.GRPCCall, _ proxywasm.GRPCEvents) (proxywasm.GRPCStream, error) {
	return nil, fmt.Errorf("%w: %s: calls of gRPC are not answered here", proxywasm.ErrUpstream, call.Upstream)
}

// drive makes the callbacks.
func (d *driver) drive(ctx context.Context, p *proxywasm.Plugin) error {
	d.x = &proxywasm.Exchange{Attributes: proxywasm.Info{
		Start: time.Now(), Protocol: "HTTP/1.1",
		Source: netip.MustParseAddrPort("192.0.2.1:50000"), Destination: netip.MustParseAddrPort("192.0.2.2:80"),
	}}
	if err := d.properties(); err != nil {
		return err
	}
	d.stream = p.NewStream(0, d.x)
	defer d.stream.Close()
	defer d.settle(p)
	request, err := d.pass(ctx, proxywasm.Request, d.options.Request.clone())
	response := d.options.Response.clone()
	switch {
	case err == nil:
		d.result.Upstream = request
	case errors.Is(err, proxywasm.ErrAnswered):
		response = d.local("request")
	}
	if err == nil || errors.Is(err, proxywasm.ErrAnswered) {
		if response, err = d.pass(ctx, proxywasm.Response, response); errors.Is(err, proxywasm.ErrAnswered) {
			response, err = d.local("response"), nil
		}
	}
	d.result.RoutesCleared = d.x.RoutesCleared()
	switch {
	case errors.Is(err, proxywasm.ErrReset):
		d.result.Reset = true
		return nil
	case err != nil:
		return err
	}
	d.result.Client = response
	return nil
}

// properties sets those that were given.
func (d *driver) properties() error {
	for path, value := range d.options.Properties {
		address := &d.x.Attributes.Source
		switch path {
		case "destination.address":
			address = &d.x.Attributes.Destination
			fallthrough
		case "source.address":
			a, err := netip.ParseAddrPort(value)
			if err != nil {
				return fmt.Errorf("property %s: %q is no address with a port", path, value)
			}
			*address = a
		default:
			if !d.x.State.Set(strings.ReplaceAll(path, ".", "\x00"), []byte(value)) {
				return fmt.Errorf("property %s: there are too many", path)
			}
		}
	}
	return nil
}

// local is the message for the response that the plugin gave.
func (d *driver) local(phase string) *Message {
	l := d.x.Local()
	d.result.Local, d.result.LocalDetails = phase, l.Details
	m := &Message{Headers: proxywasm.MakeHeaders(":status", strconv.Itoa(l.Status)), Body: l.Body}
	for f := range l.Headers.All() {
		m.Headers.Add(f.Name, f.Value)
	}
	if l.GRPCStatus >= 0 {
		m.Headers.Set("grpc-status", strconv.Itoa(int(l.GRPCStatus)))
	}
	return m
}

// pass brings a message through the plugin in one direction.
func (d *driver) pass(ctx context.Context, t proxywasm.StreamType, m *Message) (*Message, error) {
	s, out := d.stream, &Message{}
	headers, body, trailers := s.RequestHeaders, s.RequestBody, s.RequestTrailers
	if t == proxywasm.Response {
		headers, body, trailers = s.ResponseHeaders, s.ResponseBody, s.ResponseTrailers
		d.x.ResponseHeaders = m.Headers
		d.x.Attributes.ResponseCode, _ = strconv.Atoi(m.Headers.Value(":status"))
	} else {
		d.x.RequestHeaders = m.Headers
	}
	wait := func() error { return d.wait(ctx, t) }
	switch headers(len(m.Body) == 0 && m.Trailers == nil) {
	case proxywasm.Continue, proxywasm.PauseHeaders:
	default:
		if err := wait(); err != nil {
			return nil, err
		}
	}
	for rest := m.Body; len(rest) > 0; {
		n := len(rest)
		if d.options.Chunk > 0 {
			n = min(n, d.options.Chunk)
		}
		chunk := rest[:n]
		rest = rest[n:]
		end := len(rest) == 0 && m.Trailers == nil
		d.count(t, n)
		switch action := body(chunk, end); {
		case action == proxywasm.Continue:
		case end || action == proxywasm.Pause || d.x.Local() != nil:
			if err := wait(); err != nil {
				return nil, err
			}
		default:
			continue // held; the next chunk comes behind it
		}
		out.Body = append(out.Body, s.TakeBody(t)...)
	}
	if m.Trailers != nil {
		if t == proxywasm.Response {
			d.x.ResponseTrailers = m.Trailers
		} else {
			d.x.RequestTrailers = m.Trailers
		}
		if trailers() != proxywasm.Continue {
			if err := wait(); err != nil {
				return nil, err
			}
		}
		out.Body = append(out.Body, s.TakeBody(t)...)
	}
	if err := wait(); err != nil {
		return nil, err
	}
	out.Body = append(out.Body, s.TakeBody(t)...)
	out.Headers, out.Trailers = d.x.RequestHeaders, d.x.RequestTrailers
	if t == proxywasm.Response {
		out.Headers, out.Trailers = d.x.ResponseHeaders, d.x.ResponseTrailers
	}
	return out.clone(), nil
}

func (d *driver) count(t proxywasm.StreamType, n int) {
	if t == proxywasm.Response {
		d.x.Attributes.ResponseSize += int64(n)
	} else {
		d.x.Attributes.RequestSize += int64(n)
	}
}

// wait waits until a direction goes on.
func (d *driver) wait(ctx context.Context, t proxywasm.StreamType) error {
	ctx, cancel := context.WithTimeoutCause(ctx, d.options.Wait, ErrHeld)
	defer cancel()
	err := d.stream.Wait(ctx, t)
	if err != nil && context.Cause(ctx) == ErrHeld && ctx.Err() != nil && !errors.Is(err, proxywasm.ErrAnswered) && !errors.Is(err, proxywasm.ErrReset) {
		return fmt.Errorf("the %s, for %s: %w", t, d.options.Wait, ErrHeld)
	}
	return err
}

// settle waits for the plugin to have seen the answers to its calls, so that
// what is recorded is the same each time.
func (d *driver) settle(p *proxywasm.Plugin) {
	timeout := time.NewTimer(d.options.Wait)
	defer timeout.Stop()
	for {
		d.mu.Lock()
		settled := d.answers >= d.calls
		d.mu.Unlock()
		if settled || p.Stats().Crashes > 0 {
			return
		}
		select {
		case <-d.settled:
		case <-timeout.C:
			return
		}
	}
}
