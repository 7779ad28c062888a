package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/hako-run/hako/config"
	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/gateway"
	"github.com/hako-run/hako/image"
	"github.com/hako-run/hako/proxywasm"
	"github.com/hako-run/hako/proxywasm/dispatch"
	"github.com/hako-run/hako/proxywasm/filter"
	"github.com/hako-run/hako/wasi"
)

// filters are the Proxy-Wasm plugins of a server. A plugin is kept over a
// reload that does not change it, and ends when no state of the gateway uses
// it any more and its last stream has ended.
type filters struct {
	s          *Server
	shared     *proxywasm.Shared
	metrics    *proxywasm.Registry
	dispatcher *dispatch.Dispatcher
	gate       atomic.Pointer[gateway.Gateway] // for the calls of plugins
	spools     filter.Spools                   // what bodies take in files, of all filters

	mu      sync.Mutex
	engine  *engine.Engine // nil before the first plugin
	plugins []*plugin
	totals  map[string]proxywasm.Stats // of plugins that have ended, by filter
	ending  sync.WaitGroup
}

// plugin is a [[filter]] that runs, with the configurations that routes give
// it.
type plugin struct {
	name   string
	key    string // the same for the same module and settings
	roots  []string
	plugin *proxywasm.Plugin
	module *engine.Module
	users  int // guarded by filters.mu
}

func newFilters(s *Server) *filters {
	f := &filters{s: s, shared: proxywasm.NewShared(), metrics: proxywasm.NewRegistry(), totals: map[string]proxywasm.Stats{}}
	f.dispatcher = dispatch.New(func(name string, r *http.Request) (*http.Response, error) {
		return f.gate.Load().RoundTrip(name, r)
	}, func(name string) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.next.Upstream(name) != nil
	})
	s.metrics.MustRegister(filterCollector{f}, ownCollector{f})
	return f
}

// route puts a route's filters in front of it, for the gateway.
func (f *filters) route(r gateway.FilterRoute) (http.Handler, error) {
	u, err := f.use(r.Gateway(), r.Config.Filters)
	if err != nil {
		return nil, err
	}
	upstream := r.Config.Upstream
	o := filter.Options{
		Describe: func(r *http.Request, info *proxywasm.Info) { describeRequest(r, info, upstream) },
		SetPath:  r.SetPath,
		Route:    r.Reroute,
		Answered: func(r *http.Request, filter string, l *proxywasm.LocalResponse) {
			gateway.Answered(r, filter, l.Details)
		},
		Wait: u.wait, SpoolDir: f.s.o.Data, Spools: &f.spools,
	}
	if u.config.Server.Tracing != nil {
		o.Timed = gateway.FilterSpan
	}
	return &filtered{filter.New(u.filters, o).Handler(r.Next), u}, nil
}

// used are the plugins of one route or stream.
type used struct {
	filters []filter.Filter
	wait    time.Duration // the shortest of theirs
	config  *config.Config
	release []func()
}

// Release implements gateway.Releaser.
func (u *used) Release() {
	for _, release := range u.release {
		release()
	}
}

// use has the plugins of a route or stream run until they are released.
func (f *filters) use(g *gateway.Gateway, refs []config.FilterRef) (*used, error) {
	f.gate.Store(g)
	f.s.mu.Lock()
	ctx, c := f.s.ctx, f.s.next
	f.s.mu.Unlock()
	f.spools.SetLimit(int64(c.Server.Limits.Spool))
	u := &used{config: c}
	for _, ref := range refs {
		p, err := f.plugin(ctx, c, ref.Name)
		if err != nil {
			u.Release()
			return nil, err
		}
		u.release = append(u.release, func() { f.release(p) })
		u.filters = append(u.filters, filter.Filter{
			Plugin: p.plugin, Root: slices.Index(p.roots, rootConfig(c, ref)), Name: ref.Name, Spool: int64(c.Filter(ref.Name).Limits.Spool),
		})
		if own := c.Filter(ref.Name).Limits.Wait.D(); u.wait == 0 || own < u.wait {
			u.wait = own
		}
	}
	return u, nil
}

// stream makes a stream's filters, for the gateway.
func (f *filters) stream(r gateway.StreamRoute) (gateway.StreamFilter, error) {
	u, err := f.use(r.Gateway(), r.Config.Filters)
	if err != nil {
		return nil, err
	}
	return &filteredStream{used: u, stream: r.Config, chain: filter.New(u.filters, filter.Options{Wait: u.wait})}, nil
}

// filteredStream passes connections through filters. The plugins end when the
// last of them has ended.
type filteredStream struct {
	*used
	stream *config.Stream
	chain  *filter.Chain
}

// ServeStream implements gateway.StreamFilter.
func (s *filteredStream) ServeStream(ctx context.Context, c *gateway.StreamConn) error {
	return s.chain.ServeTCP(ctx, filter.TCP{Client: c.Client, Connect: c.Connect, Describe: func(info *proxywasm.Info) {
		info.ConnectionID, info.TLS = c.ID, c.TLS
		info.RouteName, info.ClusterName = s.stream.Name, s.stream.Upstream
	}})
}

// filtered is a route behind its filters.
type filtered struct {
	http.Handler
	*used
}

func describeRequest(r *http.Request, info *proxywasm.Info, upstream string) {
	info.ConnectionID = gateway.Connection(r)
	info.RouteName, info.ClusterName = gateway.Route(r), upstream
	if a, err := netip.ParseAddrPort(gateway.Client(r)); err == nil {
		info.Source = a
	}
}

// rootConfig is what a reference to a filter has it configured with.
func rootConfig(c *config.Config, ref config.FilterRef) string {
	if ref.Config != nil {
		return *ref.Config
	}
	return c.Filter(ref.Name).Config
}

// rootsOf are all configurations of a filter: its own, and those that routes
// and streams give it.
func rootsOf(c *config.Config, name string) []string {
	roots := []string{c.Filter(name).Config}
	add := func(refs []config.FilterRef) {
		for _, ref := range refs {
			if own := rootConfig(c, ref); ref.Name == name && !slices.Contains(roots, own) {
				roots = append(roots, own)
			}
		}
	}
	for i := range c.Routes {
		add(c.Routes[i].Filters)
	}
	for i := range c.Streams {
		add(c.Streams[i].Filters)
	}
	return roots
}

// plugin returns the plugin of a filter, with one user more: the one that runs
// if it would be the same, else a new one.
func (f *filters) plugin(ctx context.Context, c *config.Config, name string) (*plugin, error) {
	of := c.Filter(name)
	if of == nil {
		return nil, fmt.Errorf("no filter is called %s", name)
	}
	source, digest, err := f.source(ctx, of)
	if err != nil {
		return nil, fmt.Errorf("filter %s: %w", name, err)
	}
	p := &plugin{name: name, roots: rootsOf(c, name), users: 1}
	key, err := json.Marshal([]any{of, p.roots, c.Server.Node, digest})
	if err != nil {
		return nil, fmt.Errorf("filter %s: %w", name, err)
	}
	p.key = string(key)
	if running := f.same(p.key); running != nil {
		return running, nil
	}
	if err = f.start(ctx, c, of, p, source); err != nil {
		closeAll(p.module, nil)
		if p.module == nil || ctx.Err() != nil {
			return nil, fmt.Errorf("filter %s: %w", name, err)
		}
		return nil, fmt.Errorf("filter %s does not start (hako plugin run %s shows its steps): %w", name, of.Module, err)
	}
	f.mu.Lock()
	f.plugins = append(f.plugins, p)
	f.mu.Unlock()
	return p, nil
}

// source fetches a filter's module, with its digest.
func (f *filters) source(ctx context.Context, of *config.Filter) (module []byte, digest string, err error) {
	o := image.PluginOptions{SHA256: of.SHA256, Stored: true}
	if of.Key != "" {
		if o.Key, err = os.ReadFile(string(of.Key)); err != nil {
			return nil, "", fmt.Errorf("read the key: %w", err)
		}
	}
	name := of.Module.File
	if name == "" {
		name = "oci://" + of.Module.Image
		f.s.log.Debug("looking for a plugin", "filter", of.Name, "image", name)
	}
	p, err := f.s.images.Plugin(ctx, name, o)
	if errors.Is(err, image.ErrUnknownImage) && f.s.o.Pull != nil {
		f.s.log.Info("fetching image", "filter", of.Name, "image", of.Module.Image)
		if err := f.s.o.Pull(ctx, f.s.images, of.Module.Image, true); err != nil {
			return nil, "", err
		}
		p, err = f.s.images.Plugin(ctx, name, o)
	}
	if err != nil {
		return nil, "", err
	}
	hash := sha256.Sum256(p.Module)
	return p.Module, hex.EncodeToString(hash[:]), nil
}

// same returns the running plugin with this key, with one user more.
func (f *filters) same(key string) *plugin {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.plugins {
		if p.key == key && p.users > 0 {
			p.users++
			return p
		}
	}
	return nil
}

func (f *filters) start(ctx context.Context, c *config.Config, of *config.Filter, p *plugin, source []byte) error {
	e, err := f.runtime()
	if err != nil {
		return err
	}
	if !e.Cached(source) && len(source) >= largeModule {
		f.s.log.Info("compiling a plugin, once", "filter", of.Name, "size", len(source))
	}
	if p.module, err = e.Compile(ctx, of.Name, source); err != nil {
		return err
	}
	log := f.s.log.With("filter", of.Name)
	level := proxywasm.LogInfo
	if log.Enabled(ctx, slog.LevelDebug) {
		level = proxywasm.LogDebug
	}
	cfg := proxywasm.Config{
		Module: p.module, Name: of.Name,
		VMID: of.VMID, VMConfig: []byte(of.VMConfig),
		Limits: proxywasm.Limits{
			Memory: int64(of.Limits.Memory), CPU: of.Limits.CPU.D(), Start: of.Limits.Start.D(), Body: int(of.Limits.Body),
		},
		FailOpen: of.Fail == "open", Allow: of.Allow, HeadersMayStop: of.HeadersMayStop, VMs: of.VMs,
		Dispatcher: f.dispatcher, Shared: f.shared, Metrics: f.metrics, Log: log, LogLevel: level,
	}
	if cfg.VMID == "" {
		cfg.VMID = of.Name
	}
	if len(c.Server.Node) > 0 {
		metadata := map[string]any{}
		for k, v := range c.Server.Node {
			metadata[k] = v
		}
		cfg.Node = map[string]any{"metadata": metadata}
	}
	for i, root := range p.roots {
		r := proxywasm.Root{RootID: of.Root, Config: []byte(root)}
		if i > 0 {
			r.Name = fmt.Sprintf("%s#%d", of.Name, i)
		}
		cfg.Roots = append(cfg.Roots, r)
	}
	p.plugin, err = proxywasm.Load(ctx, cfg)
	return err
}

// runtime returns the engine that plugins run in.
func (f *filters) runtime() (*engine.Engine, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.engine != nil {
		return f.engine, nil
	}
	e, err := engine.New(engine.Options{
		CacheDir: filepath.Join(f.s.o.Data, "compiled"),
		Hosts:    []func(context.Context, wazero.Runtime) error{wasi.Instantiate, proxywasm.Instantiate},
		Imports:  proxywasm.WithImports,
	})
	if err != nil {
		return nil, err
	}
	f.engine = e
	return e, nil
}

// release takes a user from a plugin. The last one ends it: when its streams
// have ended, which is not waited for.
func (f *filters) release(p *plugin) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.users--; p.users > 0 {
		return
	}
	p.plugin.Close()
	f.ending.Go(func() {
		<-p.plugin.Done()
		f.mu.Lock()
		f.plugins = slices.DeleteFunc(f.plugins, func(other *plugin) bool { return other == p })
		f.totals[p.name] = addStats(f.totals[p.name], p.plugin.Stats())
		f.mu.Unlock()
		closeAll(p.module, nil)
	})
}

// close waits for plugins to end, when the gateway has ended.
func (f *filters) close() error {
	f.dispatcher.Close()
	f.ending.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.engine == nil {
		return nil
	}
	return f.engine.Close()
}

// addStats adds what only grows.
func addStats(a, b proxywasm.Stats) proxywasm.Stats {
	a.Streams += b.Streams
	a.Pauses += b.Pauses
	a.LocalResponses += b.LocalResponses
	a.Crashes += b.Crashes
	a.Forks += b.Forks
	a.Callbacks = slices.Clone(a.Callbacks)
	for _, cb := range b.Callbacks {
		i := slices.IndexFunc(a.Callbacks, func(other proxywasm.CallbackStats) bool { return other.Name == cb.Name })
		if i < 0 {
			a.Callbacks = append(a.Callbacks, cb)
			continue
		}
		a.Callbacks[i].Latency = addDistributions(a.Callbacks[i].Latency, cb.Latency)
		a.Callbacks[i].CPU = addDistributions(a.Callbacks[i].CPU, cb.CPU)
	}
	return a
}

func addDistributions(a, b proxywasm.Distribution) proxywasm.Distribution {
	a.Count += b.Count
	a.Sum += b.Sum
	for i := range a.Buckets {
		a.Buckets[i] += b.Buckets[i]
	}
	return a
}
