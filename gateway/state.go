package gateway

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/hako-run/hako/config"
)

// A state is one configuration made ready to serve.
type state struct {
	gateway   *Gateway
	config    *config.Config
	routes    *router
	apps      map[string]App
	upstreams map[string]*upstream
	streams   []*stream // in the order of the configuration
	errors    errorPages
	log       *accessLog
	recorder  *recorder
	tracer    *tracer

	// users counts the requests and streams' new connections that use the
	// state, and 1 for being in force.
	users    atomic.Int64
	retired  sync.Once
	released chan struct{}
	closers  []func()
	starters []func()
}

func (g *Gateway) newState(c *config.Config) (s *state, err error) {
	s = &state{gateway: g, config: c, apps: map[string]App{}, upstreams: map[string]*upstream{}, released: make(chan struct{})}
	s.users.Store(1)
	defer func() {
		if err != nil {
			s.release()
		}
	}()
	if s.errors, err = readErrorPages(string(c.Server.ErrorPages)); err != nil {
		return s, err
	}
	if len(c.Filters) > 0 {
		// Those that filters may call need no route.
		for i := range c.Upstreams {
			if _, err := s.upstream(c.Upstreams[i].Name); err != nil {
				return s, err
			}
		}
	}
	var routes []*route
	for i := range c.Routes {
		r, err := s.newRoute(&c.Routes[i])
		if err != nil {
			return s, fmt.Errorf("route %q: %w", c.Routes[i].Name, err)
		}
		routes = append(routes, r)
	}
	s.routes = newRouter(routes)
	for i := range c.Streams {
		n, err := s.newStream(&c.Streams[i])
		if err != nil {
			return s, fmt.Errorf("stream %q: %w", c.Streams[i].Name, err)
		}
		s.streams = append(s.streams, n)
	}
	return s, nil
}

func (s *state) newRoute(c *config.Route) (*route, error) {
	r := &route{config: c, name: c.Name, metrics: s.gateway.metrics.route(c.Name, c.App), maxBody: int64(s.config.Server.Limits.Body)}
	r.prepare(&s.config.Server)
	switch {
	case c.App != "":
		app := s.apps[c.App]
		if app == nil {
			if s.gateway.options.Apps == nil {
				return nil, fmt.Errorf("app %q: this server runs no apps", c.App)
			}
			var err error
			if app, err = s.gateway.options.Apps(c.App); err != nil {
				return nil, fmt.Errorf("app %q: %w", c.App, err)
			}
			s.apps[c.App] = app
			if rel, ok := app.(Releaser); ok {
				s.closers = append(s.closers, rel.Release)
			}
		}
		h := &appHandler{app: app, metrics: s.gateway.metrics.app(c.App, c.Name)}
		if f, ok := app.(Filer); ok {
			h.files = f.Files()
		}
		r.handler = h
	case c.Upstream != "":
		u, err := s.upstream(c.Upstream)
		if err != nil {
			return nil, err
		}
		r.handler = newProxy(u)
	case c.Static != nil:
		files, err := newFiles(c.Static)
		if err != nil {
			return nil, err
		}
		s.closers = append(s.closers, files.close)
		r.handler = files
	case c.Redirect != nil:
		r.handler = &redirect{c.Redirect}
	}
	r.behind = r.handler
	if len(c.Filters) > 0 {
		if s.gateway.options.Filters == nil {
			return nil, fmt.Errorf("this server runs no filters: take filter %q out", c.Filters[0].Name)
		}
		h, err := s.gateway.options.Filters(FilterRoute{Config: c, Next: &behind{r, r}, state: s, route: r})
		if err != nil {
			return nil, fmt.Errorf("filters: %w", err)
		}
		r.handler = h
		if rel, ok := h.(Releaser); ok {
			s.closers = append(s.closers, rel.Release)
		}
	}
	return r, nil
}

// upstream returns the upstream of a name, making it if need be.
func (s *state) upstream(name string) (*upstream, error) {
	if u := s.upstreams[name]; u != nil {
		return u, nil
	}
	u, err := newUpstream(s.config.Upstream(name), s.gateway.metrics, s.gateway.log)
	if err != nil {
		return nil, fmt.Errorf("upstream %q: %w", name, err)
	}
	s.upstreams[name] = u
	s.starters = append(s.starters, u.start)
	s.closers = append(s.closers, u.close)
	return u, nil
}

// start begins what runs beside requests: health checks.
func (s *state) start() {
	for _, f := range s.starters {
		f()
	}
}

// acquire returns the state in force, which stays until done is called.
func (g *Gateway) acquire() *state {
	for {
		s := g.state.Load()
		if s.take() {
			return s
		}
		if g.state.Load() == s {
			return nil // closed
		}
	}
}

// take has the state stay until done is called. A state whose count has reached
// 0 is released and does not come back.
func (s *state) take() bool {
	for n := s.users.Load(); n > 0; n = s.users.Load() {
		if s.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
	return false
}

func (s *state) done() {
	if s.users.Add(-1) == 0 {
		go s.release() // it may wait for a collector, which the last request shall not
	}
}

func (s *state) isReleased() bool {
	select {
	case <-s.released:
		return true
	default:
		return false
	}
}

// retire says that the state is out of force.
func (s *state) retire() { s.retired.Do(s.done) }

func (s *state) release() {
	for _, f := range s.closers {
		f()
	}
	s.log.close()
	s.recorder.close()
	s.tracer.close()
	close(s.released)
}

// An appHandler passes requests to an app, after its files.
type appHandler struct {
	app     App
	files   *AppFiles // nil for none
	metrics *appMetrics
}

func (h *appHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := exchangeOf(r.Context())
	if h.files != nil && h.files.serve(e, w, r) {
		return
	}
	// r is the exchange's own copy.
	r.RemoteAddr, r.Host = e.client, e.host
	h.app.ServeApp(w, r, &e.account)
	h.metrics.observe(&e.account)
}

// Scheme returns "https" or "http": what the client of a request spoke, to a
// trusted proxy or here. It is for apps.
func Scheme(r *http.Request) string {
	if e := exchangeOf(r.Context()); e != nil {
		return e.scheme()
	}
	return "http"
}
