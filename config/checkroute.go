package config

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

func (c *checker) checkRoutes() {
	for i := range c.Routes {
		r := &c.Routes[i]
		c.checkTarget(r)
		c.checkFilterRefs(r.Filters)
		c.checkMatch(r)
		c.checkRules(r)
		for j := range i {
			if c.Routes[j].Match.covers(&r.Match) {
				line, _ := position(c.text, c.at(&c.Routes[j]))
				c.add(c.at(&r.Match, r), "put it before that one", "this route is never reached: the one in line %d takes all that it would", line)
				break
			}
		}
	}
	c.nameRoutes()
}

func (c *checker) checkTarget(r *Route) {
	var kinds []string
	if r.App != "" {
		kinds = append(kinds, "app")
		known(c, &r.App, "app", c.Apps, appName)
	}
	if r.Upstream != "" {
		kinds = append(kinds, "upstream")
		known(c, &r.Upstream, "upstream", c.Upstreams, upstreamName)
		if u := c.Upstream(r.Upstream); u != nil && u.raw() {
			c.add(c.at(&r.Upstream), "write http:// in its url", "upstream %q is for streams: no HTTP is spoken to its servers", r.Upstream)
		}
	}
	if r.Static != nil {
		kinds = append(kinds, "static")
		c.checkStatic(r.Static)
	}
	if r.Redirect != nil {
		kinds = append(kinds, "redirect")
		c.checkRedirect(r.Redirect)
	}
	switch len(kinds) {
	case 0:
		c.add(c.at(r), "write app, upstream, static or redirect", "this route leads nowhere")
	case 1:
	default:
		c.add(c.at(r), "make two routes of it", "this route has more than one of %s", strings.Join(kinds, ", "))
	}
	if len(r.Pin) > 0 && r.App == "" {
		c.add(c.at(&r.Pin), "", "pin is for apps")
	}
	if r.Strip != "" && (!strings.HasPrefix(r.Strip, "/") || strings.HasSuffix(r.Strip, "/") || path.Clean(r.Strip) != r.Strip) {
		c.add(c.at(&r.Strip), "write /shop", "strip %q is no beginning of a path", r.Strip)
	}
	if r.Timeout != nil {
		c.nonzero(r.Timeout, "timeout")
	}
}

func (c *checker) checkStatic(s *Static) {
	if _, written := c.places[&s.Dir]; written && s.Dir == "" {
		c.add(c.at(&s.Dir), "", "the folder has no name: write \".\" for that of the configuration")
	}
	for i := range s.Index {
		if n := s.Index[i]; n == "" || strings.ContainsAny(n, "/\\\x00") {
			c.add(c.at(&s.Index[i], &s.Index), "", "index %q is no name of a file", n)
		}
	}
	if f := s.Fallback; f != "" && (path.IsAbs(f) || path.Clean(f) != f || strings.HasPrefix(f, "..")) {
		c.add(c.at(&s.Fallback), "", "fallback %q is no file below the folder", f)
	}
	c.headerValue(&s.CacheControl, "cache_control")
}

func (c *checker) checkAppFiles(f *AppFiles) {
	if _, written := c.places[&f.Root]; written && (!strings.HasPrefix(f.Root, "/") || strings.IndexByte(f.Root, 0) >= 0) {
		c.add(c.at(&f.Root), "write the folder as the guest sees it, as /srv", "files.root %q is not absolute", f.Root)
	}
	f.Root = path.Clean("/" + f.Root)
	for i := range f.Scripts {
		if s := f.Scripts[i]; s == "" || strings.ContainsAny(s, "/*\x00") {
			c.add(c.at(&f.Scripts[i], &f.Scripts), "write .php", "files.scripts %q is no end of a name", s)
		}
	}
	c.headerValue(&f.CacheControl, "cache_control")
}

func (c *checker) headerValue(s *string, what string) {
	if !httpguts.ValidHeaderFieldValue(*s) {
		c.add(c.at(s), "", "%s has a byte that no header has", what)
	}
}

func (c *checker) checkRedirect(r *Redirect) {
	if !slices.Contains([]int{301, 302, 303, 307, 308}, r.Status) {
		c.add(c.at(&r.Status), "write one of 301, 302, 303, 307, 308", "%d is no status of a redirect", r.Status)
	}
	c.headerValue(&r.To, "the target")
	plain := strings.NewReplacer("{host}", "host", "{path}", "/path", "{query}", "").Replace(r.To)
	if i := strings.IndexAny(plain, "{}"); i >= 0 {
		c.add(c.at(&r.To), "it may have {host}, {path} and {query}", "the target %q has an unknown placeholder", r.To)
		return
	}
	if u, err := url.Parse(plain); err != nil || plain == "" || (u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https") || strings.HasPrefix(r.To, "{path}") {
		c.add(c.at(&r.To), "write https://example.com{path}{query} or /elsewhere", "the target %q is nowhere to go", r.To)
	}
}

func (c *checker) checkMatch(r *Route) {
	for i := range r.Match.Method {
		m := &r.Match.Method[i]
		switch {
		case !httpguts.ValidHeaderFieldName(*m):
			c.add(c.at(m), "", "%q is no method", *m)
		case strings.ToUpper(*m) != *m:
			c.add(c.at(m), fmt.Sprintf("write %q", strings.ToUpper(*m)), "methods are in upper case, %q is not", *m)
		case *m == "CONNECT":
			c.add(c.at(m), "", "CONNECT is not served")
		}
	}
}

func (c *checker) checkRules(r *Route) {
	for _, rules := range []*HeaderRules{&r.Headers.Request, &r.Headers.Response} {
		for i := range rules.Remove {
			if !httpguts.ValidHeaderFieldName(rules.Remove[i]) {
				c.add(c.at(&rules.Remove[i]), "", "%q is no name of a header", rules.Remove[i])
			}
		}
		c.checkHeaders(rules.Set, c.at(&rules.Set))
		c.checkHeaders(rules.Add, c.at(&rules.Add))
	}
	if o := r.CORS; o != nil {
		c.checkCORS(o)
	}
	if a := r.Auth; a != nil {
		if strings.ContainsAny(a.Realm, "\"\\") || !httpguts.ValidHeaderFieldValue(a.Realm) {
			c.add(c.at(&a.Realm), "", "the realm has characters that cannot be sent")
		}
		if _, written := c.places[&a.Users]; written && len(a.Users) == 0 {
			c.add(c.at(&a.Users), "", "auth without users lets nobody in")
		}
		for name := range a.Users {
			if name == "" || strings.Contains(name, ":") {
				c.add(c.at(&a.Users), "", "user name %q cannot be sent: it is empty or has a colon", name)
			}
		}
	}
}

func (c *checker) checkCORS(o *CORS) {
	for i := range o.Origins {
		s := &o.Origins[i]
		u, err := url.Parse(*s)
		switch {
		case *s == "*" && o.Credentials:
			c.add(c.at(s), "name the origins", "cors with credentials for every origin gives the users' data to any page")
		case *s == "*":
		case err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != *s || strings.ToLower(*s) != *s:
			c.add(c.at(s), "write https://example.com, without a path", "%q is no origin", *s)
		}
	}
	for _, list := range [][]string{o.Methods, o.Headers, o.Expose} {
		for i := range list {
			if !httpguts.ValidHeaderFieldName(list[i]) {
				c.add(c.at(&list[i], &o.Origins), "", "%q cannot be in a header", list[i])
			}
		}
	}
}

// covers reports whether every request that n matches m matches too. It may
// say no where it is so, never yes where it is not.
func (m *Match) covers(n *Match) bool {
	return coversAll(m.Host, n.Host, "*", HostPattern.covers) &&
		coversAll(m.Path, n.Path, "/*", PathPattern.covers) &&
		(len(m.Method) == 0 || len(n.Method) > 0 && !slices.ContainsFunc(n.Method, func(s string) bool {
			return !slices.Contains(m.Method, s) && (s != "HEAD" || !slices.Contains(m.Method, "GET"))
		}))
}

func coversAll[P ~string](m, n []P, all P, covers func(P, P) bool) bool {
	if len(m) == 0 {
		return true
	}
	if len(n) == 0 {
		n = []P{all}
	}
	for _, q := range n {
		if q == "" || !slices.ContainsFunc(m, func(p P) bool { return p != "" && covers(p, q) }) {
			return false
		}
	}
	return true
}

// nameRoutes gives every route a name of its own, for logs and metrics.
func (c *checker) nameRoutes() {
	taken := map[string]bool{}
	for i := range c.Routes {
		r := &c.Routes[i]
		if r.Name == "" {
			continue
		}
		if taken[r.Name] {
			c.add(c.at(&r.Name), "", "there are two routes called %q", r.Name)
		}
		taken[r.Name] = true
	}
	for i := range c.Routes {
		r := &c.Routes[i]
		if r.Name != "" {
			continue
		}
		name := r.App + r.Upstream
		switch {
		case r.Static != nil:
			name = "static"
		case r.Redirect != nil:
			name = "redirect"
		}
		if len(r.Match.Host) > 0 {
			name += " " + string(r.Match.Host[0])
		}
		if len(r.Match.Path) > 0 {
			name += " " + string(r.Match.Path[0])
		}
		base := name
		for n := 2; taken[name]; n++ {
			name = fmt.Sprintf("%s #%d", base, n)
		}
		r.Name, taken[name] = name, true
	}
}
