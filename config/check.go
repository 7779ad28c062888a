package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/hako-run/hako/internal/nearest"
	"github.com/hako-run/hako/pagestore"
)

var errHash = errors.New("it is no bcrypt hash: htpasswd -nB NAME makes one")

// A checker finds what is wrong between values that are well-formed each.
type checker struct {
	*decoder
	*Config
}

func (c *checker) check() {
	c.checkServer()
	c.checkDatabases()
	unique(c, "app", c.Apps, appName)
	unique(c, "filter", c.Filters, filterName)
	unique(c, "upstream", c.Upstreams, upstreamName)
	for i := range c.Apps {
		c.checkApp(&c.Apps[i])
	}
	for i := range c.Filters {
		c.checkFilter(&c.Filters[i])
	}
	for i := range c.Upstreams {
		c.checkUpstream(&c.Upstreams[i])
	}
	c.checkRoutes()
	c.checkStreams()
	c.checkListeners()
}

// unique reports names that are empty, ill-formed or there twice.
func unique[T any](c *checker, what string, list []T, name func(*T) *string) {
	seen := map[string]int{}
	for i := range list {
		n := name(&list[i])
		if *n == "" {
			if _, written := c.places[n]; written {
				c.add(c.at(n), "", "the name of %s is empty", article(what))
			}
			continue
		}
		if err := pagestore.CheckName(*n); err != nil && what != "database" {
			c.add(c.at(n), "", "%s name %q: use letters, digits, '.', '_' and '-'", what, *n)
		}
		if first, ok := seen[*n]; ok {
			line, _ := position(c.text, first)
			c.add(c.at(n), fmt.Sprintf("the first is in line %d", line), "there are two %ss called %q", what, *n)
			continue
		}
		seen[*n] = c.at(n)
	}
}

// known reports a name that none of list has.
func known[T any](c *checker, name *string, what string, list []T, of func(*T) *string) {
	var names []string
	for i := range list {
		if *of(&list[i]) == *name {
			return
		}
		names = append(names, *of(&list[i]))
	}
	hint := fmt.Sprintf("define it in a table [[%s]]", what)
	if near := nearest.Of(*name, slices.Values(names)); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	c.add(c.at(name), hint, "there is no %s called %q", what, *name)
}

func (c *checker) positive(n *int, what string) {
	if *n == 0 {
		if at, written := c.places[n]; written {
			c.add(at, "", "%s is 0: it has to be at least 1", what)
		}
	}
}

func (c *checker) nonzero(d *Duration, what string) {
	if *d == 0 {
		if at, written := c.places[d]; written {
			c.add(at, "", "%s is 0: a time that never ends is not to be had, write a long one", what)
		}
	}
}

func (c *checker) checkServer() {
	s := &c.Server
	if len(s.Listen) == 0 {
		c.add(c.at(&s.Listen), "write 127.0.0.1:8080", "server.listen is empty")
	}
	if s.Metrics != nil && s.Metrics.TLS {
		c.add(c.at(&s.Metrics), "leave https:// away", "metrics are served without TLS")
	}
	if s.Health != "" && (!strings.HasPrefix(s.Health, "/") || path.Clean(s.Health) != s.Health || strings.ContainsAny(s.Health, "?*#")) {
		c.add(c.at(&s.Health), "write /healthz", "server.health %q is no path", s.Health)
	}
	t := &s.Timeouts
	c.nonzero(&t.Header, "server.timeouts.header")
	c.nonzero(&t.Body, "server.timeouts.body")
	c.nonzero(&t.Write, "server.timeouts.write")
	c.nonzero(&t.Idle, "server.timeouts.idle")
	c.positive(&s.Limits.Connections, "server.limits.connections")
	c.positive(&s.Limits.Streams, "server.limits.streams")
	if h := s.Limits.Header; h != 0 && h < 4096 || h > 1<<24 {
		c.add(c.at(&s.Limits.Header), "", "server.limits.header is not between 4KiB and 16MiB")
	}
	if s.TLS != nil {
		c.checkTLS(s.TLS)
	}
	if r := s.Log.Record; r != nil {
		c.nonzero(&r.Keep, "server.log.record.keep")
		for i := range r.Secrets {
			if !httpguts.ValidHeaderFieldName(r.Secrets[i]) {
				c.add(c.at(&r.Secrets[i], &r.Secrets), "", "%q is no name of a header", r.Secrets[i])
			}
		}
	}
	if s.Tracing != nil {
		c.checkURL(&s.Tracing.Endpoint, "server.tracing.endpoint")
		if !(s.Tracing.Sample >= 0 && s.Tracing.Sample <= 1) {
			c.add(c.at(&s.Tracing.Sample), "", "server.tracing.sample is not between 0 and 1")
		}
		c.checkHeaders(s.Tracing.Headers, c.at(&s.Tracing.Headers))
	}
}

func (c *checker) checkURL(s *string, what string) {
	u, err := url.Parse(*s)
	if *s != "" && (err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "") {
		c.add(c.at(s), "write http://host:port or https://host", "%s %q is no URL", what, *s)
	}
}

func (c *checker) checkTLS(t *TLS) {
	if len(t.Certificates) == 0 && t.ACME == nil {
		c.add(c.at(&c.Server.TLS), "write certificates = [{ cert = \"a.pem\", key = \"a.key\" }] or acme = {}", "server.tls has no certificates")
	}
	if t.ACME == nil {
		return
	}
	c.checkURL(&t.ACME.Directory, "server.tls.acme.directory")
	if t.ACME.Email != "" && !strings.Contains(t.ACME.Email, "@") {
		c.add(c.at(&t.ACME.Email), "", "server.tls.acme.email %q is no address", t.ACME.Email)
	}
	for i := range t.ACME.Hosts {
		if h := &t.ACME.Hosts[i]; strings.HasPrefix(string(*h), "*") {
			c.add(c.at(h), "give a certificate for it by files", "ACME as it is used here has no certificate for %q", *h)
		}
	}
	if len(c.ACMEHosts()) == 0 {
		c.add(c.at(&c.Server.TLS.ACME), "write acme = { hosts = [\"example.com\"] }, or match = { host = ... } in a route", "no route names a host to get a certificate for")
	}
}

// ACMEHosts returns the names that certificates are got for, in order.
func (c *Config) ACMEHosts() []string {
	if c.Server.TLS == nil || c.Server.TLS.ACME == nil {
		return nil
	}
	var hosts []string
	add := func(list []HostPattern) {
		for _, h := range list {
			if _, err := netip.ParseAddr(string(h)); err == nil || strings.HasPrefix(string(h), "*") || h == "" {
				continue
			}
			if !slices.Contains(hosts, string(h)) {
				hosts = append(hosts, string(h))
			}
		}
	}
	if add(c.Server.TLS.ACME.Hosts); len(hosts) > 0 {
		return hosts
	}
	for i := range c.Routes {
		add(c.Routes[i].Match.Host)
	}
	return hosts
}

// checkListeners reports addresses that are taken twice or lack what they need.
func (c *checker) checkListeners() {
	seen := map[string]bool{}
	once := func(l *Listen, field any) {
		key := l.Network + " " + l.Address
		if seen[key] && !strings.HasSuffix(l.Address, ":0") {
			c.add(c.at(field), "", "two things listen on %s", strings.TrimPrefix(strings.TrimPrefix(l.String(), "https://"), "http://"))
		}
		seen[key] = true
	}
	for i := range c.Server.Listen {
		l := &c.Server.Listen[i]
		once(l, l)
		if l.TLS && c.Server.TLS == nil {
			c.add(c.at(l, &c.Server.Listen), "add [server.tls], or write http:// before the address", "%q has TLS, but there is no certificate", l.String())
		}
	}
	if c.Server.Metrics != nil {
		once(c.Server.Metrics, &c.Server.Metrics)
	}
	for i := range c.Streams {
		for j := range c.Streams[i].Listen {
			once(&c.Streams[i].Listen[j], &c.Streams[i].Listen[j])
		}
	}
}

func (c *checker) checkDatabases() {
	unique(c, "database", c.Databases, databaseName)
	for i := range c.Databases {
		d := &c.Databases[i]
		if err := pagestore.CheckName(d.Name); d.Name != "" && err != nil {
			c.add(c.at(&d.Name), "", "%v", err)
		}
	}
}

func (c *checker) checkApp(a *App) {
	c.guestPaths(a)
	l := &a.Limits
	c.positive(&l.Instances, "limits.instances")
	c.nonzero(&l.CPU, "limits.cpu")
	c.nonzero(&l.Wall, "limits.wall")
	if l.Memory < 64<<10 || l.Memory > 4<<30 {
		c.add(c.at(&l.Memory), "", "limits.memory is not between 64KiB, a page of Wasm, and 4GiB")
	}
	for name := range a.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.IndexByte(a.Env[name], 0) >= 0 {
			c.add(c.at(&a.Env), "", "env has a variable %q that cannot be", name)
		}
	}
	for i := range a.Args {
		if strings.IndexByte(a.Args[i], 0) >= 0 {
			c.add(c.at(&a.Args[i]), "", "an argument has a zero byte in it")
		}
	}
	for i := range a.Template.Warm {
		if w := &a.Template.Warm[i]; !strings.HasPrefix(*w, "/") {
			c.add(c.at(w), "", "template.warm %q is no path", *w)
		}
	}
	if a.Protocol == "cgi" && len(a.Template.Warm) > 0 {
		c.add(c.at(&a.Template.Warm), "", "a cgi app has no template to warm")
	}
	for i := range a.Cron {
		j := &a.Cron[i]
		if u, err := url.ParseRequestURI(j.Path); j.Path != "" && (err != nil || !strings.HasPrefix(j.Path, "/") || u.Path == "") {
			c.add(c.at(&j.Path), "", "cron.path %q is no path", j.Path)
		}
		if _, written := c.places[&j.Every]; written && j.Every.D() < time.Second {
			c.add(c.at(&j.Every), "", "cron.every is less than 1s")
		}
		if u, err := url.Parse("http://" + j.Host + "/"); err != nil || u.Host != j.Host || u.Hostname() == "" || u.User != nil {
			c.add(c.at(&j.Host), "write a name, with a port where it has one", "cron.host %q is no host", j.Host)
		}
	}
	if a.Files != nil {
		c.checkAppFiles(a.Files)
	}
	unique(c, "command", a.Commands, commandName)
}

func commandName(command *Command) *string { return &command.Name }

func (c *checker) guestPaths(a *App) {
	seen := map[string]bool{}
	guest := func(p *string, field any) {
		if !strings.HasPrefix(*p, "/") || strings.IndexByte(*p, 0) >= 0 {
			c.add(c.at(p, field), "begin it with a slash", "the guest's path %q is not absolute", *p)
			return
		}
		*p = path.Clean(*p)
		if seen[*p] {
			c.add(c.at(p, field), "", "the guest would see two things at %s", *p)
		}
		seen[*p] = true
	}
	for i := range a.Dirs {
		if d := &a.Dirs[i]; d.Guest != "" {
			guest(&d.Guest, d)
		}
	}
	for i := range a.Databases {
		g := &a.Databases[i]
		if g.Name == "" {
			continue
		}
		if _, err := pagestore.ParseRef(g.Name); err != nil {
			c.add(c.at(&g.Name), "write shop, or shop@42", "%v", err)
			continue
		}
		if g.Guest == "" {
			name, _, _ := strings.Cut(g.Name, "@")
			g.Guest = "/db/" + name + ".sqlite"
		}
		guest(&g.Guest, &g.Name)
	}
}

func (c *checker) checkFilter(f *Filter) {
	if digest, err := hex.DecodeString(f.SHA256); f.SHA256 != "" && (err != nil || len(digest) != sha256.Size) {
		c.add(c.at(&f.SHA256), "write its 64 hexadecimal digits", "%q is no SHA-256", f.SHA256)
	}
	if f.SHA256 != "" && f.Module.Image != "" {
		c.add(c.at(&f.SHA256), "write it behind the name of the module: "+f.Module.Image+"@sha256:...", "sha256 is of files, and the module is an image")
	}
	if f.Key != "" && f.Module.File != "" {
		c.add(c.at(&f.Key), "pin it by sha256", "only images are signed, and the module is a file")
	}
	if f.VMs < 0 || f.VMs > 1024 {
		c.add(c.at(&f.VMs), "", "a filter has 1 to 1024 instances, or 0 for as many as there are processors")
	}
	for i := range f.Allow {
		kind, name, ok := strings.Cut(f.Allow[i], ":")
		switch {
		case !ok || name == "" || !slices.Contains([]string{"http_call", "grpc_call", "redis", "foreign", "queue"}, kind):
			c.add(c.at(&f.Allow[i]), "write http_call:UPSTREAM, grpc_call:UPSTREAM, foreign:FUNCTION or queue:VM_ID", "%q allows nothing that there is", f.Allow[i])
		case kind == "redis":
			c.add(c.at(&f.Allow[i]), "take it out", "this server makes no calls to Redis")
		case strings.HasSuffix(kind, "_call") && name != "*" && c.Upstream(name) == nil:
			c.add(c.at(&f.Allow[i]), "define it in a table [[upstream]]", "there is no upstream called %q", name)
		}
	}
}

func (c *checker) checkFilterRefs(refs []FilterRef) {
	for i := range refs {
		if refs[i].Name != "" {
			known(c, &refs[i].Name, "filter", c.Filters, filterName)
		}
	}
}

func (c *checker) checkUpstream(u *Upstream) {
	if _, written := c.places[&u.URL]; written && len(u.URL) == 0 {
		c.add(c.at(&u.URL), "", "upstream %q has no server", u.Name)
	}
	for i := range u.URL {
		t := &u.URL[i]
		switch {
		case t.Raw && u.Protocol != "http1":
			c.add(c.at(t), "leave protocol away", "no HTTP is spoken to %s", t)
		case t.Raw != u.URL[0].Raw && t.Network == u.URL[0].Network:
			c.add(c.at(t), "make two upstreams of it", "upstream %q has servers of HTTP and others", u.Name)
		case u.Protocol == "h2" && !t.TLS:
			c.add(c.at(t), "write https://, or protocol = \"h2c\"", "HTTP/2 over TLS is asked of %s", t)
		case u.Protocol == "h2c" && t.TLS:
			c.add(c.at(t), "write http://, or protocol = \"h2\"", "HTTP/2 without TLS is asked of %s", t)
		}
	}
	if h := u.Health; h != nil {
		if !strings.HasPrefix(h.Path, "/") {
			c.add(c.at(&h.Path, &u.Health), "", "health path %q does not begin with a slash", h.Path)
		} else if _, err := url.ParseRequestURI(h.Path); err != nil {
			c.add(c.at(&h.Path, &u.Health), "", "health path %q is no path", h.Path)
		}
		c.nonzero(&h.Interval, "health.interval")
		c.nonzero(&h.Timeout, "health.timeout")
		c.positive(&h.Fail, "health.fail")
		c.positive(&h.Pass, "health.pass")
	}
	c.nonzero(&u.Timeouts.Connect, "timeouts.connect")
	c.nonzero(&u.Timeouts.Response, "timeouts.response")
}

func (c *checker) checkHeaders(set map[string]string, at int) {
	for _, name := range slices.Sorted(maps.Keys(set)) {
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			c.add(at, "", "%q is no name of a header", name)
		case !httpguts.ValidHeaderFieldValue(set[name]):
			c.add(at, "", "the value of header %q has a byte that no header has", name)
		}
	}
}

// checkFiles reports files that are named and not there.
func (c *checker) checkFiles() {
	exists := func(p *Path, folder bool, what string) {
		if *p == "" {
			return
		}
		info, err := os.Stat(string(*p))
		switch {
		case err != nil:
			c.add(c.at(p), "", "%s: %v", what, err)
		case info.IsDir() && !folder:
			c.add(c.at(p), "", "%s: %s is a folder", what, *p)
		case !info.IsDir() && folder:
			c.add(c.at(p), "", "%s: %s is no folder", what, *p)
		}
	}
	module := func(m *Module, what string) {
		if m.File != "" {
			if _, err := os.Stat(m.File); err != nil {
				c.add(c.at(m), "", "%s: %v", what, err)
			}
		}
	}
	exists(&c.Server.ErrorPages, true, "server.error_pages")
	if t := c.Server.TLS; t != nil {
		for i := range t.Certificates {
			exists(&t.Certificates[i].Cert, false, "certificate")
			exists(&t.Certificates[i].Key, false, "key of a certificate")
		}
		if t.ACME != nil {
			exists(&t.ACME.CA, false, "server.tls.acme.ca")
		}
	}
	for i := range c.Databases {
		exists(&c.Databases[i].Import, false, "import")
	}
	for i := range c.Apps {
		module(&c.Apps[i].Image, "image")
		for j := range c.Apps[i].Dirs {
			exists(&c.Apps[i].Dirs[j].Host, true, "folder of an app")
		}
	}
	for i := range c.Filters {
		module(&c.Filters[i].Module, "module")
		exists(&c.Filters[i].Key, false, "key of a filter")
	}
	for i := range c.Upstreams {
		exists(&c.Upstreams[i].TLS.CA, false, "tls.ca")
	}
	for i := range c.Routes {
		if s := c.Routes[i].Static; s != nil {
			exists(&s.Dir, true, "folder of files")
		}
	}
}

func article(noun string) string {
	if strings.ContainsRune("aeiou", rune(noun[0])) {
		return "an " + noun
	}
	return "a " + noun
}
