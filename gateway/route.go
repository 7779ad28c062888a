package gateway

import (
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/hako-run/hako/config"
)

// A route is a [[route]] made ready.
type route struct {
	config   *config.Route
	name     string
	handler  http.Handler
	behind   http.Handler // without the filters
	metrics  *routeMetrics
	maxBody  int64
	compress bool
	strip    string
	request  headerRules
	response headerRules
	cors     *cors
	auth     *basicAuth
	pin      pinning
}

func (r *route) prepare(*config.Server) {
	c := r.config
	if c.MaxBody != nil {
		r.maxBody = int64(*c.MaxBody)
	}
	r.compress = c.App != "" || c.Static != nil
	if c.Compress != nil {
		r.compress = *c.Compress
	}
	r.strip = c.Strip
	r.request, r.response = newHeaderRules(&c.Headers.Request), newHeaderRules(&c.Headers.Response)
	r.pin = newPinning(c)
	if c.CORS != nil {
		r.cors = newCORS(c.CORS)
	}
	if c.Auth != nil {
		r.auth = newBasicAuth(c.Auth)
	}
}

// matches reports whether the route takes a request of its host.
func (r *route) matches(method, path string) bool {
	m := &r.config.Match
	if len(m.Path) > 0 && !slices.ContainsFunc(m.Path, func(p config.PathPattern) bool { return p.Match(path) }) {
		return false
	}
	return len(m.Method) == 0 || slices.Contains(m.Method, method) || method == http.MethodHead && slices.Contains(m.Method, http.MethodGet)
}

// A router finds routes. Those that a host can have are found beforehand for
// every host that is named without a star.
type router struct {
	all   []*route
	hosts map[string][]*route
	rest  []*route // those of hosts that no route names, still to be compared
}

func newRouter(all []*route) *router {
	t := &router{all: all, hosts: map[string][]*route{}}
	for _, r := range all {
		for _, h := range r.config.Match.Host {
			if !strings.HasPrefix(string(h), "*") {
				t.hosts[string(h)] = nil
			}
		}
	}
	for host := range t.hosts {
		for _, r := range all {
			if r.matchesHost(host) {
				t.hosts[host] = append(t.hosts[host], r)
			}
		}
	}
	for _, r := range all {
		m := r.config.Match.Host
		if len(m) == 0 || slices.ContainsFunc(m, func(h config.HostPattern) bool { return strings.HasPrefix(string(h), "*") }) {
			t.rest = append(t.rest, r)
		}
	}
	return t
}

func (r *route) matchesHost(host string) bool {
	m := r.config.Match.Host
	return len(m) == 0 || slices.ContainsFunc(m, func(h config.HostPattern) bool { return h.Match(host) })
}

// find returns the first route that matches, or nil and whether one would
// have with another method.
func (t *router) find(host, method, path string) (r *route, otherMethod bool) {
	list, named := t.hosts[host]
	if !named {
		list = t.rest
	}
	for _, r := range list {
		if !named && !r.matchesHost(host) {
			continue
		}
		if r.matches(method, path) {
			return r, false
		}
		otherMethod = otherMethod || len(r.config.Match.Method) > 0 && r.matches(r.config.Match.Method[0], path)
	}
	return nil, otherMethod
}

// hostOf returns a Host header's host in lower case, without port, brackets
// and a trailing dot.
func hostOf(s string) string {
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		if h, _, err := net.SplitHostPort(s); err == nil {
			s = h
		}
	}
	if strings.HasPrefix(s, "[") {
		s = strings.TrimSuffix(s[1:], "]")
	}
	return strings.ToLower(strings.TrimSuffix(s, "."))
}
