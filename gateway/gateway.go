package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/hako-run/hako/config"
)

// ErrClosed is returned by methods of a Gateway that was closed or has ended
// to run.
var ErrClosed = errors.New("the gateway is closed")

// An App answers requests.
type App interface {
	// ServeApp answers r as http.Handler does, and notes in a what it took;
	// both w and a are invalid after it returned. When r's context ends it
	// returns soon. r.URL.Path has no dot segments and lacks what the route
	// strips; r.RemoteAddr is the client's, behind trusted proxies too.
	ServeApp(w http.ResponseWriter, r *http.Request, a *Account)
}

// A Releaser is an App that wants to know when no request can reach it any
// more: after a reload, or when the gateway is closed. Every value that
// Options.Apps has returned is released once for each call that returned it.
type Releaser interface{ Release() }

// Options are what a Gateway needs beside its configuration.
type Options struct {
	// Apps returns the app of a name. It is called once for each app that a
	// route names, by New and by Reload; an error refuses the configuration.
	Apps func(name string) (App, error)
	// Filters puts a route's filters in front of what answers. It is called
	// for each route that has some, by New and by Reload; an error refuses the
	// configuration. A handler that is a Releaser is released when no request
	// can reach it any more. Without Filters, routes with filters are refused.
	Filters func(route FilterRoute) (http.Handler, error)
	// StreamFilters makes a stream's filters. It is called for each stream
	// that has some, by New and by Reload; an error refuses the configuration.
	// One that is a Releaser is released when no new connection can reach it;
	// ServeStream may run on. Without StreamFilters, streams with filters are
	// refused.
	StreamFilters func(stream StreamRoute) (StreamFilter, error)
	// Data is the folder for what has to be kept: certificates got by ACME.
	// Without it, server.data is taken.
	Data string
	// Logger takes the server's own log; slog.Default without it.
	Logger *slog.Logger
	// AccessLog takes the access log where the configuration names no file.
	// It is written to by one goroutine at a time. Without it there is none.
	AccessLog io.Writer
	// AccessTap is called with each line of the access log, wherever that is
	// written to, without its end. It is called by several goroutines and must
	// not wait for anything, nor keep the line.
	AccessTap func(line []byte)
	// Metrics is where metrics are registered and served from; a new registry
	// without it.
	Metrics *prometheus.Registry
	// Ready says why the server is not ready for requests, for
	// /health/ready. Without it, it is ready while it runs.
	Ready func() error
}

// A Gateway serves one configuration at a time. Its methods may be called by
// several goroutines.
type Gateway struct {
	options Options
	log     *slog.Logger
	metrics *metrics
	access  io.Writer // Options.AccessLog for one goroutine at a time
	certs   *certificates
	state   atomic.Pointer[state]
	recent  recent

	// base is the context of all requests; end is called when they are not
	// waited for any longer.
	base context.Context
	end  context.CancelFunc

	draining atomic.Bool // responses ask the client to close its connection

	mu        sync.Mutex // held while what is below changes
	listeners []*listener
	sockets   []*streamListener
	admin     *admin
	old       []*state // out of force, maybe still used
	slots     *slots
	inherited inheritedSockets
	running   bool
	closed    bool
	done      chan struct{} // closed with the gateway
	tasks     sync.WaitGroup

	openStreams map[string]*atomic.Int64 // connections by the stream's name
	streamConns sync.WaitGroup           // added to by the loops that accept them
}

// New makes a gateway of a checked configuration and opens its listeners.
func New(c *config.Config, o Options) (*Gateway, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
		o.Metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	g := &Gateway{options: o, log: o.Logger, slots: newSlots(), done: make(chan struct{}), openStreams: map[string]*atomic.Int64{}}
	g.base, g.end = context.WithCancel(context.Background())
	var err error
	if g.metrics, err = newMetrics(o.Metrics, g.now); err != nil {
		g.end()
		return nil, err
	}
	g.certs = newCertificates(g.log, g.metrics)
	if o.AccessLog != nil {
		g.access = &lockedWriter{w: o.AccessLog}
	}
	g.inherited = inheritSockets()
	if err := g.apply(c); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

// Config returns the configuration in force.
func (g *Gateway) Config() *config.Config { return g.state.Load().config }

// Run serves until ctx ends, and then waits for running requests, at most for
// server.timeouts.shutdown. It closes the gateway. The error is nil after an
// orderly end; requests that had to be cut off are an error.
func (g *Gateway) Run(ctx context.Context) error {
	g.mu.Lock()
	if g.closed || g.running {
		g.mu.Unlock()
		return ErrClosed
	}
	g.running = true
	for _, l := range g.listeners {
		l.start()
	}
	for _, l := range g.sockets {
		l.start()
	}
	if g.admin != nil {
		g.admin.start()
	}
	g.tasks.Go(func() { g.certs.watch(g.done) })
	g.mu.Unlock()
	serving := []any{"listen", g.Addresses()}
	if streams := g.StreamAddresses(); len(streams) > 0 {
		serving = append(serving, "streams", streams)
	}
	g.log.Info("serving", serving...)

	var err error
	select {
	case <-ctx.Done():
		err = g.shutdown()
	case <-g.done:
		err = ErrClosed
	}
	g.Close()
	return err
}

// shutdown stops accepting, and waits for what runs.
func (g *Gateway) shutdown() error {
	limit := g.Config().Server.Timeouts.Shutdown.D()
	g.log.Info("shutting down", "within", limit.String())
	g.draining.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	g.mu.Lock()
	listeners, sockets := g.listeners, g.sockets
	g.mu.Unlock()
	for _, l := range listeners {
		l.stopAccepting()
	}
	for _, l := range sockets {
		l.stop()
	}
	var wait sync.WaitGroup
	wait.Go(func() { g.drainStreams(ctx) })
	errs := make([]error, len(listeners))
	for i, l := range listeners {
		wait.Go(func() { errs[i] = l.shutdown(ctx) })
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("shut down: requests were cut off after %s: %w", limit, err)
	}
	return nil
}

// Reload puts another configuration in force, or returns why it cannot and
// leaves the present one.
func (g *Gateway) Reload(c *config.Config) error {
	err := g.apply(c)
	g.metrics.reloaded(err == nil)
	if err != nil {
		return fmt.Errorf("the configuration in force stays: %w", err)
	}
	return nil
}

// apply makes everything new that can fail, and then swaps it in.
func (g *Gateway) apply(c *config.Config) (err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return ErrClosed
	}
	var undo []func()
	defer func() {
		if err != nil {
			for _, f := range undo {
				f()
			}
		}
	}()

	next, err := g.newState(c)
	if err != nil {
		return err
	}
	undo = append(undo, next.release)
	certs, err := g.certs.prepare(c, g.options.Data)
	if err != nil {
		return err
	}
	access, err := openLog(&c.Server.Log, g.access, g.options.AccessTap)
	if err != nil {
		return err
	}
	next.log = access
	if next.recorder, err = openRecorder(c.Server.Log.Record, g.log); err != nil {
		return err
	}
	if next.tracer, err = newTracer(c.Server.Tracing, g.log); err != nil {
		return err
	}
	listeners, opened, err := g.openListeners(c)
	undo = append(undo, func() {
		for _, l := range opened {
			l.close()
		}
	})
	if err != nil {
		return err
	}
	sockets, fresh, err := g.openStreamListeners(next)
	undo = append(undo, func() {
		for _, l := range fresh {
			l.stop()
		}
	})
	if err != nil {
		return err
	}
	admin, err := g.openAdmin(c)
	if err != nil {
		return err
	}

	// Nothing fails from here on.
	g.slots.setLimit(c.Server.Limits.Connections)
	g.certs.use(certs)
	next.start()
	old := g.state.Swap(next)
	removed := without(g.listeners, listeners)
	g.listeners = listeners
	for _, l := range g.listeners {
		l.configure(&c.Server)
		if g.running {
			l.start()
		}
	}
	for _, l := range removed {
		l.retire()
	}
	g.useStreamListeners(sockets)
	if admin != g.admin {
		if g.admin != nil {
			g.admin.close()
		}
		if g.admin = admin; g.running && admin != nil {
			admin.start()
		}
	}
	if old != nil {
		g.old = slices.DeleteFunc(append(g.old, old), (*state).isReleased)
		g.metrics.forget(old.config, c)
		old.retire()
	}
	return nil
}

func without(all, kept []*listener) []*listener {
	return slices.DeleteFunc(slices.Clone(all), func(l *listener) bool { return slices.Contains(kept, l) })
}

// Addresses returns where the gateway listens, in the order of the
// configuration, as host:port or unix:path; port 0 is told as the port it
// became.
func (g *Gateway) Addresses() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var list []string
	for _, l := range g.listeners {
		list = append(list, l.address())
	}
	return list
}

// MetricsAddress returns where metrics are served, or "".
func (g *Gateway) MetricsAddress() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.admin == nil {
		return ""
	}
	return g.admin.listener.Addr().String()
}

// Close ends the gateway without waiting for requests: their contexts end and
// their connections are closed. It returns when nothing of it runs any more.
func (g *Gateway) Close() error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil
	}
	g.closed = true
	close(g.done)
	listeners, sockets, admin := g.listeners, g.sockets, g.admin
	g.mu.Unlock()

	g.end()
	for _, l := range listeners {
		l.close()
	}
	for _, l := range sockets {
		l.stop()
	}
	g.streamConns.Wait()
	if admin != nil {
		admin.close()
	}
	g.inherited.close()
	states := g.old
	if s := g.state.Load(); s != nil {
		s.retire()
		states = append(states, s)
	}
	for _, s := range states {
		<-s.released
	}
	g.certs.close()
	g.tasks.Wait()
	g.metrics.unregister()
	return nil
}

// A lockedWriter is a writer for several goroutines.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
