package config

// Server is the table [server].
type Server struct {
	// Listen has the addresses for HTTP: "127.0.0.1:8080", ":443",
	// "unix:/path", or "systemd:NAME" for a socket that systemd passes.
	// "https://" or "http://" before an address says whether it has TLS;
	// without, only port 443 has.
	Listen []Listen `toml:"listen" default:"127.0.0.1:8080" example:"[\"127.0.0.1:8080\"]"`
	// Data is the folder of databases, images and caches. Without it,
	// $XDG_DATA_HOME/hako is taken.
	Data Path `toml:"data" example:"\".hako\""`
	// Metrics is an address for Prometheus, under /metrics, and for the health
	// of the server, under /health/live and /health/ready. Off if absent.
	Metrics *Listen `toml:"metrics" example:"\"127.0.0.1:9090\""`
	// Health is a path that answers 200 on every listener, and 503 while the
	// server shuts down; for load balancers. Off if absent.
	Health string `toml:"health" example:"\"/healthz\""`
	// H2C allows HTTP/2 without TLS, for clients that begin with it.
	H2C bool `toml:"h2c"`
	// HTTP3 offers HTTP/3 on the UDP port of every TCP listener with TLS.
	HTTP3 bool `toml:"http3"`
	// Trusted are proxies whose X-Forwarded-For, -Host and -Proto are believed
	// and passed on; from anybody else they are dropped. Whoever connects to a
	// unix socket is trusted.
	Trusted []Network `toml:"trusted" example:"[\"10.0.0.0/8\"]"`
	// ErrorPages is a folder with pages for errors that the server itself
	// answers with: 404.html, 502.html and so on.
	ErrorPages Path `toml:"error_pages"`
	// TLS has the certificates.
	TLS *TLS `toml:"tls"`
	// Timeouts end what takes too long.
	Timeouts Timeouts `toml:"timeouts"`
	// Limits bound what a client may send.
	Limits ServerLimits `toml:"limits"`
	// Log says how requests are logged.
	Log Log `toml:"log"`
	// Tracing sends OpenTelemetry traces. Off if absent.
	Tracing *Tracing `toml:"tracing"`
	// Node is what filters are told of the machine they run on: the property
	// node.metadata has it.
	Node map[string]string `toml:"node" example:"{ REGION = \"eu-1\" }"`
}

// TLS is the table [server.tls].
type TLS struct {
	// Certificates are files in PEM form; they are read again when they
	// change. The one that fits the name the client asks for is taken, the
	// first if none does.
	Certificates []Certificate `toml:"certificates" example:"[{ cert = \"a.pem\", key = \"a.key\" }]"`
	// ACME gets certificates for the hosts of the routes by itself.
	ACME *ACME `toml:"acme"`
	// MinVersion is the oldest version of TLS that is spoken.
	MinVersion string `toml:"min_version" enum:"1.2 1.3" default:"1.2"`
}

// Certificate is one of server.tls.certificates.
type Certificate struct {
	// Cert is the certificate, followed by those that lead to its root.
	Cert Path `toml:"cert" required:"true"`
	// Key is its private key.
	Key Path `toml:"key" required:"true"`
}

// ACME is the table [server.tls.acme].
type ACME struct {
	// Email is where the authority writes to when something is wrong.
	Email string `toml:"email" example:"\"ops@example.com\""`
	// Directory is the URL of the authority.
	Directory string `toml:"directory" default:"https://acme-v02.api.letsencrypt.org/directory"`
	// Hosts are the names to get certificates for; by default every host of
	// the routes that has no star.
	Hosts []HostPattern `toml:"hosts"`
	// CA is a file with the root that the directory's own certificate comes
	// from, where the system does not know it.
	CA Path `toml:"ca"`
}

// Timeouts is the table [server.timeouts].
type Timeouts struct {
	// Header is the time for a request's header to arrive whole.
	Header Duration `toml:"header" default:"10s"`
	// Body is the time in which something more of a body has to arrive.
	Body Duration `toml:"body" default:"30s"`
	// Write is the time in which a client has to take something more of the
	// response.
	Write Duration `toml:"write" default:"30s"`
	// Idle is the time that a connection is kept between requests.
	Idle Duration `toml:"idle" default:"2m"`
	// Shutdown is the time that running requests have when the server stops.
	Shutdown Duration `toml:"shutdown" default:"30s"`
}

// ServerLimits is the table [server.limits].
type ServerLimits struct {
	// Header is the size of a request's line and header together.
	Header Size `toml:"header" default:"64KiB"`
	// Body is the size of a request's body; a route may say otherwise.
	Body Size `toml:"body" default:"64MiB"`
	// Connections is how many clients are served at once on all listeners;
	// further ones wait to be accepted.
	Connections int `toml:"connections" default:"16384"`
	// Streams is how many requests one HTTP/2 or HTTP/3 connection may have
	// open.
	Streams int `toml:"streams" default:"250"`
	// Spool is how much of all bodies together filters may have kept in files
	// (limits.spool of a filter is how much of one).
	Spool Size `toml:"spool" default:"16GiB"`
}

// Log is the table [server.log].
type Log struct {
	// Access is the form of the line for each request: "json", "combined" (as
	// Apache and nginx have it) or "off".
	Access string `toml:"access" enum:"json combined off" default:"json"`
	// File is where the access log goes; standard output if absent. It is
	// opened anew on reload, so that it can be rotated.
	File Path `toml:"file"`
	// Level is the least that the server's own log reports.
	Level string `toml:"level" enum:"debug info warn error" default:"info"`
	// Format is the form of the server's own log.
	Format string `toml:"format" enum:"text json" default:"text"`
	// Record keeps the headers and bodies of requests to apps, so that hako
	// replay can run them again. Off if absent.
	Record *Record `toml:"record"`
}

// Record is the table [server.log.record]; a string sets its dir.
type Record struct {
	// Dir is the folder, which gets a file for each day. Only the server's
	// user may read it.
	Dir Path `toml:"dir,short" required:"true" example:"\"requests\""`
	// MaxBody is how much of a request's body is kept.
	MaxBody Size `toml:"max_body" default:"64KiB"`
	// Secrets are headers that are kept although they let others in:
	// Authorization, Cookie, and what has token, key, secret, session or the
	// like in its name is left out otherwise.
	Secrets []string `toml:"secrets" example:"[\"Cookie\"]"`
	// Keep is how long requests are kept.
	Keep Duration `toml:"keep" default:"7d"`
	// MaxSize is what the requests of one day may take.
	MaxSize Size `toml:"max_size" default:"1GiB"`
}

// Tracing is the table [server.tracing]; a string sets its endpoint.
type Tracing struct {
	// Endpoint is the URL of an OpenTelemetry collector that takes OTLP over
	// HTTP; /v1/traces is added where it has no path.
	Endpoint string `toml:"endpoint,short" required:"true" example:"\"http://127.0.0.1:4318\""`
	// Headers are sent with every export, for authorisation.
	Headers map[string]string `toml:"headers"`
	// Service is the name under which the traces appear.
	Service string `toml:"service" default:"hako"`
	// Sample is the part of requests, from 0 to 1, that is traced where the
	// client did not decide already.
	Sample float64 `toml:"sample" default:"1"`
}

// Database is a table of [[database]].
type Database struct {
	// Name is 1 to 128 letters, digits, '.', '_' and '-'.
	Name string `toml:"name" required:"true"`
	// Retain is the history that is kept: "all", an age or a number of
	// versions.
	Retain Retention `toml:"retain" default:"all" example:"\"30d\""`
	// Import is an SQLite file to begin with, when the database does not exist
	// yet.
	Import Path `toml:"import" example:"\"seed.sqlite\""`
}
