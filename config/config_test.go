package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const whole = `
[server]
listen = ["127.0.0.1:8080", "https://:8443", "unix:run/hako.sock"]
data   = ".hako"
metrics = "127.0.0.1:9090"
trusted = "10.0.0.0/8"
tracing = "http://127.0.0.1:4318"
limits = { body = "1MiB", header = 16384 }
[server.tls]
certificates = [{ cert = "a.pem", key = "/etc/a.key" }]
[[database]]
name   = "shop"
retain = "30d"
[[app]]
name      = "shop"
image     = "ghcr.io/acme/shop:1"
env       = { MODE = "${MODE:-production}", HOME = "$${x} ${WHO}" }
dirs      = [{ host = "public", guest = "/srv", write = false }]
databases = ["shop@42", { name = "shop", guest = "/db/now.sqlite" }]
network   = ["db.internal:5432"]
limits    = { memory = "128MiB", cpu = "2s", wall = "10s", instances = 32, output = "64MiB" }
template  = { warm = ["/"] }
[[filter]]
name   = "waf"
module = "filters/waf.wasm"
config = '{"rules":[]}'
allow  = ["http_call:auth"]
[[upstream]]
name = "auth"
url  = ["http://127.0.0.1:9001", "unix:auth.sock", "https://example.com"]
health = "/healthz"
[[route]]
match   = { host = "Example.com", path = "/shop/*", method = ["GET", "POST"] }
filters = ["waf", { name = "waf", config = '{"rps":10}' }]
app     = "shop"
pin     = ["header", "query"]
[[route]]
match.path = "/old"
redirect = "https://example.com{path}{query}"
[[route]]
static = "public"
cors = "*"
auth.users.ann = "$2a$04$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"
[[stream]]
listen = "127.0.0.1:6000"
upstream = "db"
[[upstream]]
name = "db"
url = "tcp://10.0.0.1:5432"
`

func env(name string) (string, bool) {
	v, ok := map[string]string{"WHO": "\"ann\"\n[x]", "EMPTY": ""}[name]
	return v, ok
}

func TestWhole(t *testing.T) {
	c, err := Parse("/srv/site/hako.toml", []byte(whole), env)
	if err != nil {
		t.Fatal(err)
	}
	s := c.Server
	if s.Listen[0] != (Listen{"tcp", "127.0.0.1:8080", false}) || s.Listen[1] != (Listen{"tcp", ":8443", true}) ||
		s.Listen[2] != (Listen{"unix", "/srv/site/run/hako.sock", false}) {
		t.Errorf("listen: %+v", s.Listen)
	}
	if s.Data != "/srv/site/.hako" || s.Metrics.Address != "127.0.0.1:9090" || s.Trusted[0].String() != "10.0.0.0/8" ||
		s.Tracing.Endpoint != "http://127.0.0.1:4318" || s.Tracing.Sample != 1 || s.Tracing.Service != "hako" {
		t.Errorf("server: %+v", s)
	}
	if s.Limits.Body != 1<<20 || s.Limits.Header != 16384 || s.Limits.Streams != 250 || s.Timeouts.Header.D() != 10*time.Second {
		t.Errorf("limits and timeouts: %+v %+v", s.Limits, s.Timeouts)
	}
	if s.TLS.Certificates[0] != (Certificate{"/srv/site/a.pem", "/etc/a.key"}) || s.TLS.MinVersion != "1.2" {
		t.Errorf("tls: %+v", s.TLS)
	}
	if r := c.Databases[0].Retain; r.Age != 30*24*time.Hour {
		t.Errorf("retain: %v", r)
	}
	a := c.App("shop")
	if a.Image.Image != "ghcr.io/acme/shop:1" || a.Env["MODE"] != "production" || a.Env["HOME"] != "${x} \"ann\"\n[x]" ||
		a.Dirs[0] != (Dir{"/srv/site/public", "/srv", false}) || a.Limits.Memory != 128<<20 || a.Limits.CPU.D() != 2*time.Second ||
		a.Protocol != "worker" || a.Template.Fork != "request" || a.Template.Warm[0] != "/" || a.Queue.Length != 256 {
		t.Errorf("app: %+v", a)
	}
	if a.Databases[0] != (DatabaseGrant{"shop@42", "/db/shop.sqlite"}) || a.Databases[1].Guest != "/db/now.sqlite" {
		t.Errorf("databases: %+v", a.Databases)
	}
	if f := c.Filter("waf"); f.Module.File != "/srv/site/filters/waf.wasm" || f.Fail != "closed" {
		t.Errorf("filter: %+v", f)
	}
	u := c.Upstream("auth")
	if u.URL[1] != (Target{Network: "unix", Address: "/srv/site/auth.sock", Host: "localhost"}) || u.URL[2] != (Target{"tcp", "example.com:443", "example.com", true, false}) ||
		u.Health.Path != "/healthz" || u.Health.Interval.D() != 5*time.Second || u.Eject.Failures != 3 {
		t.Errorf("upstream: %+v %+v", u, u.Health)
	}
	r := c.Routes
	if r[0].Match.Host[0] != "example.com" || *r[0].Filters[1].Config != `{"rps":10}` || r[0].Filters[0].Config != nil || len(r[0].Pin) != 2 ||
		r[1].Redirect.Status != 308 || r[2].Static.Dir != "/srv/site/public" || r[2].Static.Index[0] != "index.html" ||
		r[2].CORS.Origins[0] != "*" || len(r[2].Auth.Users) != 1 {
		t.Errorf("routes: %+v", r)
	}
	if r[0].Name != "shop example.com /shop/*" || r[1].Name != "redirect /old" || r[2].Name != "static" {
		t.Errorf("route names: %q, %q, %q", r[0].Name, r[1].Name, r[2].Name)
	}
	for _, l := range s.Listen {
		var again Listen
		if err := again.UnmarshalText([]byte(l.String())); err != nil || again != l {
			t.Errorf("%+v is written %q and read %+v, %v", l, l, again, err)
		}
	}
}

func TestEmptyIsWhole(t *testing.T) {
	c, err := Parse("hako.toml", nil, env)
	if err != nil || c.Server.Listen[0].Address != "127.0.0.1:8080" || c.Server.Limits.Body != 64<<20 {
		t.Errorf("the empty file: %+v, %v", c, err)
	}
}

// TestMistakes holds every kind of mistake with its place and the text that
// says what to do.
func TestMistakes(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"[server\n", "1:8: not TOML: expected ']' to close table name"},
		{"a = 1\na = 2", `2:1: not TOML: `},
		{"[server]\nlisten = [\"é\", 5]", `2:11: server.listen: "é" is no address with a port: write 127.0.0.1:8080`},
		{"[server]\nlisten = [\"127.0.0.1:1\", 5]", "2:26: server.listen is a whole number: write text"},
		{"[server]\nlisten = \"8080\"", "2:10: server.listen: \"8080\" is a port without an address"},
		{"[server]\nlisten = \":99999\"", "is no port from 0 to 65535"},
		{"[server]\nlisten = []", "2:1: server.listen is empty: write 127.0.0.1:8080"},
		{"[[app]]\nname = 'x'\nimage = 'a'\nfiles = 'srv'", `4:9: files.root "srv" is not absolute`},
		{"[[app]]\nname = 'x'\nimage = 'a'\nfiles = { root = '/srv', deny = ['a/b'] }", `"a/b" is no pattern for files`},
		{"[[app]]\nname = 'x'\nimage = 'a'\nfiles = { root = '/srv', deny = ['['] }", `"[" is no pattern for files`},
		{"[[app]]\nname = 'x'\nimage = 'a'\nfiles = { root = '/srv', deny = ['/a/*/b'] }", `a star stands at the end only`},
		{"[[app]]\nname = 'x'\nimage = 'a'\nfiles = { root = '/srv', scripts = ['*.php'] }", `files.scripts "*.php" is no end of a name`},
		{"[[app]]\nname = 'x'\nimage = 'a'\ncron = [{ path = 'x', every = '1m' }]", `4:18: cron.path "x" is no path`},
		{"[[app]]\nname = 'x'\nimage = 'a'\ncron = [{ path = '/x', every = '5ms' }]", "4:32: cron.every is less than 1s"},
		{"[[app]]\nname = 'x'\nimage = 'a'\ncron = [{ path = '/x', every = '5m', host = 'a/b' }]", `4:45: cron.host "a/b" is no host`},
		{"[[app]]\nname = 'x'\nimage = 'a'\ncommands = [{ name = 'p', image = 'p' }, { name = 'p', image = 'p' }]", `4:51: there are two commands called "p"`},
		{"[server]\nlisten = [\":443\"]", `2:11: "https://:443" has TLS, but there is no certificate: add [server.tls]`},
		{"[server]\nlisten = [\"a:80\", \"a:80\"]", "2:19: two things listen on a:80"},
		{"[server]\nlisen = \"127.0.0.1:1\"", `2:1: unknown key "lisen" in server: did you mean "listen"?`},
		{"[sever]", `1:2: unknown key "sever" at the top: did you mean "server"?`},
		{"[[app]]\nnmae = 'x'\nimage = 'a'", `2:1: unknown key "nmae" in app: did you mean "name"?`},
		{"[[app]]\nnmae = 'x'\nimage = 'a'", `1:3: app has no name`},
		{"[app]\nname = 'x'", "1:2: app is a table: there may be several: write [[app]]"},
		{"[[server]]", "1:3: server is a list: it is there once only: write [server]"},
		{"[server.tls]", "server.tls has no certificates"},
		{"[server.tls]\nacme = {}", "2:8: no route names a host to get a certificate for"},
		{"[server.timeouts]\nheader = \"2 s\"", `2:10: server.timeouts.header: "2 s" is no duration`},
		{"[server.timeouts]\nheader = \"0s\"", `2:10: server.timeouts.header is 0`},
		{"[server.limits]\nbody = \"many\"", `2:8: server.limits.body: "many" is no size`},
		{"[server.limits]\nconnections = -1", `2:15: server.limits.connections is negative`},
		{"[server.log]\naccess = \"jsn\"", `2:10: server.log.access cannot be "jsn": did you mean "json"?`},
		{"[server]\ndata = \"${NOPE}\"", `2:8: the environment has no variable NOPE: set it, or write ${NOPE:-default}`},
		{"[server]\ndata = \"${NOPE\"", `2:8: a variable that begins with ${ has no closing brace: write $${`},
		{"[server]\ndata = \"${1}\"", `"1" is no name of an environment variable`},
		{"[server]\ntrusted = \"10.0.0.0/99\"", "is no range of addresses"},
		{"[server]\ntracing = { endpoint = 'x', sample = 2 }", `2:24: server.tracing.endpoint "x" is no URL`},
		{"[server]\ntracing = { endpoint = 'x', sample = 2 }", `2:38: server.tracing.sample is not between 0 and 1`},
		{"[[database]]\nname = 'a b'", `2:8: database name "a b" holds`},
		{"[[database]]\nname = 'a'\nretain = 'x'", `3:10: database.retain: retention "x"`},
		{"[[database]]\nname = 'a'\n[[database]]\nname = 'a'", `4:8: there are two databases called "a": the first is in line 2`},
		{"[[app]]\nname = 'a'\nimage = 'b'\n[[app]]\nname = 'a'\nimage = 'b'", `5:8: there are two apps called "a"`},
		{"[[app]]\nname = 'a'\nimage = 'ftp://x'", `3:9: app.image: "ftp://x" is neither`},
		{"[[app]]\nname = 'a'\nimage = 'b'\nprotocol = 'fcgi'", `4:12: app.protocol cannot be "fcgi"`},
		{"[[app]]\nname = 'a'\nimage = 'b'\nnetwork = ':80'", `4:11: app.network: ":80" has no host`},
		{"[[app]]\nname = 'a'\nimage = 'b'\ndirs = [{ host = 'x', guest = 'y' }]", `4:31: the guest's path "y" is not absolute`},
		{"[[app]]\nname = 'a'\nimage = 'b'\ndatabases = ['s', 's']", `4:19: the guest would see two things at /db/s.sqlite`},
		{"[[app]]\nname = 'a'\nimage = 'b'\ndatabases = ['s@@']", `4:14: `},
		{"[[app]]\nname = 'a'\nimage = 'b'\nlimits.memory = '5GiB'", `4:17: limits.memory is not between`},
		{"[[filter]]\nname = 'a'\nmodule = 'b.wasm'\nsha256 = '00'", `4:10: "00" is no SHA-256`},
		{"[[filter]]\nname = 'a'\nmodule = 'oci://x/b:1'\nsha256 = '" + strings.Repeat("0", 64) + "'", `4:10: sha256 is of files`},
		{"[[filter]]\nname = 'a'\nmodule = 'b.wasm'\nkey = 'k.pub'", `4:7: only images are signed`},
		{"[[filter]]\nname = 'a'\nmodule = 'b.wasm'\nallow = ['http_call:x']", `4:10: there is no upstream called "x"`},
		{"[[upstream]]\nname = 'a'\nurl = 'localhost:80'", `3:7: upstream.url: "localhost:80" is no address of a server`},
		{"[[upstream]]\nname = 'a'\nurl = 'http://a/b'", `has more than scheme, host and port`},
		{"[[upstream]]\nname = 'a'\nurl = 'http://a'\nprotocol = 'h2'", `3:7: HTTP/2 over TLS is asked of http://a: write https://`},
		{"[[route]]\napp = 'shp'\n[[app]]\nname = 'shop'\nimage = 'x'", `2:7: there is no app called "shp": did you mean "shop"?`},
		{"[[route]]", "1:3: this route leads nowhere: write app, upstream, static or redirect"},
		{"[[route]]\nstatic = 'a'\nredirect = '/b'", "1:3: this route has more than one of static, redirect"},
		{"[[route]]\nstatic = 'a'\nmatch = { host = 'a:80' }", `3:18: route.match.host: host "a:80" has a port`},
		{"[[route]]\nstatic = 'a'\nmatch = { host = '*a' }", `a star stands for the whole first label`},
		{"[[route]]\nstatic = 'a'\nmatch = { path = ['/a', 'b'] }", `3:25: route.match.path: path "b" does not begin with a slash`},
		{"[[route]]\nstatic = 'a'\nmatch = { path = '/a*' }", `a star stands at the end only, after a slash`},
		{"[[route]]\nstatic = 'a'\nmatch = { path = '/a/../b' }", `has empty, '.' or '..' parts`},
		{"[[route]]\nstatic = 'a'\nmatch = { method = 'get' }", `3:20: methods are in upper case, "get" is not: write "GET"`},
		{"[[route]]\nstatic = 'a'\n[[route]]\nmatch.path = '/x'\nstatic = 'b'", `4:1: this route is never reached: the one in line 1 takes all`},
		{"[[route]]\nredirect = { to = '/x', status = 200 }", `2:34: 200 is no status of a redirect`},
		{"[[route]]\nredirect = '/{where}'", `2:12: the target "/{where}" has an unknown placeholder`},
		{"[[route]]\nredirect = 'javascript:x'", `2:12: the target "javascript:x" is nowhere to go`},
		{"[[route]]\nstatic = 'a'\nfilters = ['w']", `3:12: there is no filter called "w"`},
		{"[[route]]\nstatic = 'a'\nheaders.response.set = { 'a b' = 'x' }", `3:24: "a b" is no name of a header`},
		{"[[route]]\nstatic = 'a'\nheaders.response.set = { a = \"x\\ny\" }", `the value of header "a" has a byte`},
		{"[[route]]\nstatic = 'a'\ncors = { origins = '*', credentials = true }", `3:20: cors with credentials for every origin`},
		{"[[route]]\nstatic = 'a'\ncors = 'https://a/'", `"https://a/" is no origin`},
		{"[[route]]\nstatic = 'a'\nauth.users.ann = 'secret'", `3:18: route.auth.users.ann: it is no bcrypt hash: htpasswd -nB`},
		{"[[route]]\nstatic = 'a'\npin = 'header'", `3:7: pin is for apps`},
		{"[[route]]\napp = 'a'\npin = ['heder']\n[[app]]\nname = 'a'\nimage = 'a.wasm'", `3:8: route.pin cannot be "heder": did you mean "header"?`},
		{"[[route]]\napp = 'a'\npin = true\n[[app]]\nname = 'a'\nimage = 'a.wasm'", `3:7: route.pin is true or false: write text`},
		{"[[stream]]\nlisten = 'https://:443'\nupstream = 'x'", `3:12: there is no upstream called "x"`},
		{"[[stream]]\nlisten = 'https://:444'\nupstream = 'x'", "2:10: a stream is no HTTP: leave https:// away"},
		{"[[stream]]\nlisten = 'a:1'\ntls = true\nupstream = 'x'", "3:7: the stream has TLS, but there is no certificate"},
		{"[[stream]]\nlisten = ['a:1', 'a:1']\nupstream = 'x'", "2:18: two things listen on a:1"},
		{"[[stream]]\nlisten = []\nupstream = 'x'", "2:1: the stream listens nowhere"},
		{"[[stream]]\nname = 's'\nlisten = 'a:1'\nupstream = 'x'\n[[stream]]\nname = 's'\nlisten = 'a:2'\nupstream = 'x'", `6:8: there are two streams called "s"`},
		{"[[stream]]\nlisten = 'a:1'\nupstream = 'x'\nmax_connections = 0", "4:19: max_connections is 0"},
		{"[[stream]]\nlisten = 'a:1'\nupstream = 'x'\ntimeouts = { connect = '0s' }", "timeouts.connect is 0"},
		{"[[stream]]\nlisten = 'a:1'\nupstream = 'x'\n[[upstream]]\nname = 'x'\nurl = 'https://b:1'", `3:12: upstream "x" has a server with https://`},
		{"[[upstream]]\nname = 'x'\nurl = 'tcp://b'", `"tcp://b" has no port: write tcp://host:port`},
		{"[[upstream]]\nname = 'x'\nurl = ['tcp://b:1', 'http://b:2']", `3:21: upstream "x" has servers of HTTP and others`},
		{"[[upstream]]\nname = 'x'\nurl = 'tcp://b:1'\nprotocol = 'h2c'", "3:7: no HTTP is spoken to tcp://b:1"},
		{"[[upstream]]\nname = 'x'\nurl = 'tcp://b:1'\n[[route]]\nupstream = 'x'", `5:12: upstream "x" is for streams`},
	} {
		_, err := Parse("hako.toml", []byte(c.text), env)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\nreports %v\nwant %s", c.text, err, c.want)
		}
	}
}

func TestSeveralMistakesInOrder(t *testing.T) {
	_, err := Parse("x/hako.toml", []byte("[[route]]\napp = 'a'\nfoo = 1\n[server]\nlisten = 3\nbar = 2\n"), env)
	e, ok := errors.AsType[*Error](err)
	if !ok || len(e.Problems) != 4 {
		t.Fatalf("%v", err)
	}
	for i, line := range []int{2, 3, 5, 6} {
		if p := e.Problems[i]; p.Line != line || p.File != "x/hako.toml" {
			t.Errorf("mistake %d is at %s:%d, not in line %d", i, p.File, p.Line, line)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "hako.toml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("[[route]]\nstatic = 'public'\n")
	if _, err := Load(file); err == nil || !strings.Contains(err.Error(), "hako.toml:2:10: folder of files: stat "+filepath.Join(dir, "public")) {
		t.Errorf("a folder that is not there: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "public"), 0o700); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(file); err != nil || c.Routes[0].Static.Dir != Path(filepath.Join(dir, "public")) {
		t.Errorf("load: %v", err)
	}
	write(strings.Repeat("#", MaxFile+1))
	if _, err := Load(file); err == nil || !strings.Contains(err.Error(), "a configuration at most") {
		t.Errorf("a file too large: %v", err)
	}
	if _, err := Load(file + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		host HostPattern
		text string
		want bool
	}{
		{"example.com", "example.com", true}, {"example.com", "a.example.com", false}, {"*", "", true}, {"*", "x", true},
		{"*.example.com", "a.example.com", true}, {"*.example.com", "example.com", false}, {"*.example.com", "a.b.example.com", false},
		{"*.example.com", ".example.com", false}, {"*.example.com", "aexample.com", false},
	} {
		if got := c.host.Match(c.text); got != c.want {
			t.Errorf("%q matches %q: %v", c.host, c.text, got)
		}
	}
	for _, c := range []struct {
		file FilePattern
		path string
		want bool
	}{
		{"*.log", "/a/debug.LOG", true}, {"*.log", "/a.log/b", false}, {"*.php?*", "/x.php5", true}, {"*.php?*", "/x.php", false},
		{"/a/*", "/A/b/c", true}, {"/a/*", "/ab", false}, {"/a/b", "/a/b", true},
	} {
		if got := c.file.Match(c.path); got != c.want {
			t.Errorf("%s matches %s: %v", c.file, c.path, got)
		}
	}
	for _, c := range []struct {
		path PathPattern
		text string
		want bool
	}{
		{"/", "/", true}, {"/", "/a", false}, {"/*", "/", true}, {"/*", "/a/b", true}, {"/a", "/a/", false}, {"/a/*", "/a", true},
		{"/a/*", "/a/", true}, {"/a/*", "/a/b/c", true}, {"/a/*", "/ab", false}, {"/a/*", "/", false},
	} {
		if got := c.path.Match(c.text); got != c.want {
			t.Errorf("%q matches %q: %v", c.path, c.text, got)
		}
	}
}
