package config

import (
	"slices"

	"golang.org/x/crypto/bcrypt"
)

// Route is a table of [[route]]. It has exactly one of app, upstream, static
// and redirect.
type Route struct {
	// Name is what logs and metrics call it; by default made of what answers
	// and the path.
	Name string `toml:"name"`
	// Match says which requests it takes; all if absent.
	Match Match `toml:"match" example:"{ host = \"example.com\", path = \"/shop/*\" }"`
	// Filters are run in this order.
	Filters []FilterRef `toml:"filters" example:"[\"waf\", { name = \"quota\", config = '{\"rps\":10}' }]"`

	// App answers.
	App string `toml:"app" example:"\"shop\""`
	// Upstream answers.
	Upstream string `toml:"upstream" example:"\"auth\""`
	// Static serves files.
	Static *Static `toml:"static" example:"\"public\""`
	// Redirect sends the client elsewhere.
	Redirect *Redirect `toml:"redirect" example:"\"https://example.com{path}\""`

	// Strip is a part of the path, from its beginning, that what answers does
	// not see.
	Strip string `toml:"strip" example:"\"/shop\""`
	// Headers changes headers.
	Headers Headers `toml:"headers"`
	// CORS lets pages of other origins read the responses; a string or a list
	// sets its origins.
	CORS *CORS `toml:"cors"`
	// Auth asks for a name and a password.
	Auth *BasicAuth `toml:"auth"`
	// Timeout is the time until the response begins; after it the answer is
	// 504. Off if absent, apart from what the app or the upstream has.
	Timeout *Duration `toml:"timeout"`
	// MaxBody takes the place of server.limits.body.
	MaxBody *Size `toml:"max_body"`
	// Compress lets responses be compressed for clients that take it; by
	// default those of apps and files are, those of upstreams are not.
	Compress *bool `toml:"compress"`
	// Pin lets whoever reaches the route ask for older versions of the app's
	// databases: by the "header" X-Hako-Snapshot, by the "query" parameter
	// hako-snapshot, or by the "cookie" of that name.
	Pin []string `toml:"pin" enum:"header query cookie" example:"[\"query\", \"cookie\"]"`
}

// Match is the table match of a route. Where a key has a list, one of it has
// to match.
type Match struct {
	// Host is "example.com", "*.example.com" for one label below it, or "*".
	Host []HostPattern `toml:"host"`
	// Path is "/about", or "/shop/*" for /shop and everything below it.
	Path []PathPattern `toml:"path"`
	// Method is as in the request; GET takes HEAD too.
	Method []string `toml:"method" example:"[\"GET\", \"POST\"]"`
}

// Static is the table static of a route; a string sets its dir.
type Static struct {
	// Dir is the folder. Nothing outside it is served, nor is any name that
	// begins with a dot, apart from /.well-known.
	Dir Path `toml:"dir,short" required:"true"`
	// Index are names tried, in this order, where a folder is asked for.
	Index []string `toml:"index" default:"index.html"`
	// Fallback is a file of dir that is served where there is none, for
	// applications that have their routes in the browser.
	Fallback string `toml:"fallback" example:"\"index.html\""`
	// Symlinks says which are followed: those that stay "inside" the folder,
	// or "none".
	Symlinks string `toml:"symlinks" enum:"inside none" default:"inside"`
	// Precompressed has files next to others, as app.js.zst, .br or .gz, taken
	// in place of compressing.
	Precompressed bool `toml:"precompressed" default:"true"`
	// CacheControl is sent with every file.
	CacheControl string `toml:"cache_control" example:"\"public, max-age=3600\""`
}

// Redirect is the table redirect of a route; a string sets its target.
type Redirect struct {
	// To is the target; {host}, {path} and {query} in it stand for the
	// request's, the latter with its question mark.
	To string `toml:"to,short" required:"true" example:"\"https://example.com{path}{query}\""`
	// Status is 301, 302, 303, 307 or 308.
	Status int `toml:"status" default:"308"`
}

// Headers is the table headers of a route.
type Headers struct {
	// Request changes what the app or upstream sees.
	Request HeaderRules `toml:"request"`
	// Response changes what the client sees.
	Response HeaderRules `toml:"response" example:"{ set = { X-Frame-Options = \"DENY\" }, remove = [\"Server\"] }"`
}

// HeaderRules are carried out in the order remove, set, add.
type HeaderRules struct {
	// Remove drops headers.
	Remove []string `toml:"remove"`
	// Set replaces them.
	Set map[string]string `toml:"set"`
	// Add adds to them.
	Add map[string]string `toml:"add"`
}

// CORS is the table cors of a route.
type CORS struct {
	// Origins are those that may read: "https://example.com", or "*" for all.
	Origins []string `toml:"origins,short" required:"true" example:"[\"https://example.com\"]"`
	// Methods are those that may be used.
	Methods []string `toml:"methods" default:"GET HEAD POST"`
	// Headers are those that a request may have beside the harmless ones.
	Headers []string `toml:"headers"`
	// Expose are the response's headers that the page may see.
	Expose []string `toml:"expose"`
	// Credentials lets cookies along; not with the origin "*".
	Credentials bool `toml:"credentials"`
	// MaxAge is how long the browser keeps the answer.
	MaxAge Duration `toml:"max_age" default:"10m"`
}

// BasicAuth is the table auth of a route.
type BasicAuth struct {
	// Realm is what the browser shows.
	Realm string `toml:"realm" default:"restricted"`
	// Users has a password hash for each name.
	Users map[string]PasswordHash `toml:"users" required:"true" example:"{ ann = \"$2a$12$...\" }"`
}

// A PasswordHash is a password as bcrypt hashes it, "$2a$12$..."; htpasswd -B
// makes it.
type PasswordHash string

// UnmarshalText reads the written form.
func (h *PasswordHash) UnmarshalText(text []byte) error {
	if _, err := bcrypt.Cost(text); err != nil || len(text) != 60 {
		return errHash
	}
	*h = PasswordHash(text)
	return nil
}

// Upstream is a table of [[upstream]].
type Upstream struct {
	// Name is what routes and streams call it.
	Name string `toml:"name" required:"true"`
	// URL are its servers: "http://host:port", "https://host:port" or
	// "unix:/path"; "tcp://host:port" for streams. Several are balanced.
	URL []Target `toml:"url" required:"true" example:"[\"http://127.0.0.1:9001\"]"`
	// Protocol is what is spoken: "http1", "h2" (over TLS) or "h2c".
	Protocol string `toml:"protocol" enum:"http1 h2 h2c" default:"http1"`
	// Balance chooses the server: each in turn ("round-robin") or the one with
	// the fewest open requests ("least").
	Balance string `toml:"balance" enum:"round-robin least" default:"round-robin"`
	// Host is what the Host header says: the "client"'s, or the "server"'s as
	// in the URL.
	Host string `toml:"host" enum:"client server" default:"client"`
	// Retries is how many other servers are tried when one fails, where that
	// is safe: when no connection came about, or for a GET, HEAD, OPTIONS,
	// PUT or DELETE without a body that was not answered.
	Retries int `toml:"retries" default:"2"`
	// Health has servers asked whether they live.
	Health *Health `toml:"health"`
	// Eject takes a server out when requests to it fail.
	Eject Eject `toml:"eject"`
	// Timeouts bound it.
	Timeouts UpstreamTimeouts `toml:"timeouts"`
	// Connections is how many idle ones are kept for each server.
	Connections int `toml:"connections" default:"128"`
	// TLS says how the certificates of https servers are checked.
	TLS UpstreamTLS `toml:"tls"`
}

// raw tells whether no HTTP is spoken to some of the servers.
func (u *Upstream) raw() bool {
	return slices.ContainsFunc(u.URL, func(t Target) bool { return t.Raw })
}

// Health is the table health of an upstream; a string sets its path.
type Health struct {
	// Path is requested; an answer from 200 to 399 is healthy. A server with
	// tcp:// is healthy if it takes a connection.
	Path string `toml:"path,short" default:"/"`
	// Interval is the time between two requests.
	Interval Duration `toml:"interval" default:"5s"`
	// Timeout is the time for the answer.
	Timeout Duration `toml:"timeout" default:"2s"`
	// Fail is how many failures in a row take the server out.
	Fail int `toml:"fail" default:"2"`
	// Pass is how many successes in a row bring it back.
	Pass int `toml:"pass" default:"2"`
}

// Eject is the table eject of an upstream.
type Eject struct {
	// Failures is how many connections or answers in a row fail until the
	// server is taken out; 0 never takes it out.
	Failures int `toml:"failures" default:"3"`
	// For is how long it stays out before it is tried again.
	For Duration `toml:"for" default:"10s"`
}

// UpstreamTimeouts is the table timeouts of an upstream.
type UpstreamTimeouts struct {
	// Connect is the time for a connection to come about.
	Connect Duration `toml:"connect" default:"5s"`
	// Response is the time until the response begins.
	Response Duration `toml:"response" default:"60s"`
	// Idle is the time that an idle connection is kept.
	Idle Duration `toml:"idle" default:"90s"`
}

// UpstreamTLS is the table tls of an upstream.
type UpstreamTLS struct {
	// CA is a file with the roots that are trusted, in place of the system's.
	CA Path `toml:"ca"`
	// Name is what the certificate has to be for, in place of the URL's host.
	Name string `toml:"name"`
	// Insecure takes any certificate.
	Insecure bool `toml:"insecure"`
}
