package config

// App is a table of [[app]].
type App struct {
	// Name is what routes, logs and metrics call the app.
	Name string `toml:"name" required:"true"`
	// Image is an image in a registry, or a .wasm file.
	Image Module `toml:"image" required:"true" example:"\"ghcr.io/acme/shop:1\""`
	// Protocol is how requests reach the guest: "worker" keeps the module
	// loaded, "cgi" runs it as a command for each request.
	Protocol string `toml:"protocol" enum:"worker cgi" default:"worker"`
	// Args are the guest's arguments.
	Args []string `toml:"args"`
	// Env are the guest's environment variables; it sees no others.
	Env map[string]string `toml:"env" example:"{ MODE = \"production\" }"`
	// Dirs are folders of the host that the guest sees.
	Dirs []Dir `toml:"dirs" example:"[{ host = \"public\", guest = \"/srv\" }]"`
	// Databases are what the guest may open.
	Databases []DatabaseGrant `toml:"databases" example:"[{ name = \"shop\", guest = \"/db/shop.sqlite\" }]"`
	// Network has the addresses that the guest may connect to; none by
	// default.
	Network []Address `toml:"network" example:"[\"db.internal:5432\"]"`
	// Limits bound each request, and the app as a whole.
	Limits AppLimits `toml:"limits"`
	// Queue says what becomes of requests that no instance is free for.
	Queue Queue `toml:"queue"`
	// Template says how instances are made ready.
	Template Template `toml:"template"`
	// Tmp is the size of a folder /tmp in memory, anew for each instance.
	// Apps from an image have one of 64MiB unless this says otherwise, those
	// from a file have none. "0" is none.
	Tmp *Size `toml:"tmp" example:"\"64MiB\""`
	// Files are what the server answers with itself, without an instance, as the
	// guest would have; a string sets its root.
	Files *AppFiles `toml:"files" example:"\"/srv\""`
	// Cron are requests that the server makes by itself, at intervals.
	Cron []Cron `toml:"cron" example:"[{ path = \"/wp-cron.php\", every = \"1m\" }]"`
	// Commands are programs that hako exec runs beside the app, with its
	// grants: "hako exec SITE NAME ARGS...".
	Commands []Command `toml:"commands" example:"[{ name = \"php\", image = \"./php.wasm\" }]"`
}

// AppFiles is the table files of an app. A GET or HEAD for a file that is there
// is answered by the server, with all else going to the guest: other methods,
// folders, paths with a part that names a script, and names that begin with a
// dot, apart from /.well-known.
type AppFiles struct {
	// Root is the folder that paths are of, as the guest sees it.
	Root string `toml:"root,short" required:"true" example:"\"/srv\""`
	// Scripts are the ends of names that the guest runs, so that their text is
	// never sent.
	Scripts []string `toml:"scripts" default:".php"`
	// Deny are files that nobody gets, not from the guest either: the answer
	// is 404. "*.map" is for names, "/private/*" for all that is below a path;
	// case does not matter. Scripts with further ends, databases,
	// logs and leftovers of editors are denied anyway.
	Deny []FilePattern `toml:"deny" example:"[\"*.map\"]"`
	// CacheControl is sent with every file.
	CacheControl string `toml:"cache_control" example:"\"public, max-age=3600\""`
}

// Cron is one of an app's cron. A request is left out while the one before it
// still runs.
type Cron struct {
	// Path is what is requested, with GET; a query may follow.
	Path string `toml:"path" required:"true" example:"\"/wp-cron.php\""`
	// Every is the time from one request to the next, at least 1s.
	Every Duration `toml:"every" required:"true" example:"\"1m\""`
	// Host is the host that the app sees in the request.
	Host string `toml:"host" default:"localhost"`
}

// Command is one of an app's commands.
type Command struct {
	// Name is how hako exec is told of it.
	Name string `toml:"name" required:"true" example:"\"php\""`
	// Image is an image in a registry, or a .wasm file: a program, with a
	// function _start.
	Image Module `toml:"image" required:"true" example:"\"./php.wasm\""`
	// Args come before those of hako exec.
	Args []string `toml:"args"`
}

// Dir is one of an app's dirs.
type Dir struct {
	// Host is the folder.
	Host Path `toml:"host" required:"true"`
	// Guest is where the guest sees it.
	Guest string `toml:"guest" required:"true" example:"\"/srv\""`
	// Write lets the guest change it.
	Write bool `toml:"write"`
}

// DatabaseGrant is one of an app's databases; a string sets its name.
type DatabaseGrant struct {
	// Name is a database, or a snapshot of one, as "shop@42", to read only.
	Name string `toml:"name,short" required:"true" example:"\"shop\""`
	// Guest is the path under which the guest opens it; /db/NAME.sqlite if
	// absent.
	Guest string `toml:"guest" example:"\"/db/shop.sqlite\""`
}

// AppLimits is the table limits of an app.
type AppLimits struct {
	// Memory is what one instance may have.
	Memory Size `toml:"memory" default:"128MiB"`
	// CPU is the processor time of one request.
	CPU Duration `toml:"cpu" default:"10s"`
	// Wall is the time that one request may take.
	Wall Duration `toml:"wall" default:"60s"`
	// Instances is how many requests run at once.
	Instances int `toml:"instances" default:"32"`
	// Output is the size of one response.
	Output Size `toml:"output" default:"1GiB"`
}

// Queue is the table queue of an app. Beyond it the answer is 503 with
// Retry-After.
type Queue struct {
	// Length is how many requests wait at most.
	Length int `toml:"length" default:"256"`
	// Wait is how long one waits at most.
	Wait Duration `toml:"wait" default:"10s"`
}

// Template is the table template of an app.
type Template struct {
	// Warm are paths requested before the template is frozen.
	Warm []string `toml:"warm" example:"[\"/\"]"`
	// Fork says what gets a fresh instance: each "request", or the instances
	// live on ("session").
	Fork string `toml:"fork" enum:"request session" default:"request"`
}

// Filter is a table of [[filter]], a Proxy-Wasm plugin.
type Filter struct {
	// Name is what routes and streams call it.
	Name string `toml:"name" required:"true"`
	// Module is a .wasm file, or an image as "oci://registry/name:tag".
	Module Module `toml:"module" required:"true" example:"\"filters/waf.wasm\""`
	// SHA256 is what a file must have, in hexadecimal. An image is pinned by
	// its name instead, as in "oci://registry/name@sha256:DIGEST".
	SHA256 string `toml:"sha256"`
	// Key is the file of the public key, in PEM form, that an image must be
	// signed with, as "cosign sign --key" does it.
	Key Path `toml:"key" example:"\"cosign.pub\""`
	// Root is the root id.
	Root string `toml:"root"`
	// VMID tells which filters share data and queues: those of one id do. By
	// default that is the filter's name.
	VMID string `toml:"vm_id"`
	// VMs is how many instances there are at most, each of which works on one
	// call at a time; as many as the machine has processors if 0.
	VMs int `toml:"vms"`
	// HeadersMayStop lets a filter that holds the headers see the body
	// meanwhile, as Envoy's allow_on_headers_stop_iteration does. Plugins of
	// ABI 0.2.100 always do.
	HeadersMayStop bool `toml:"headers_may_stop"`
	// Config is what proxy_on_configure reads.
	Config string `toml:"config" example:"'{\"rules\":[]}'"`
	// VMConfig is what proxy_on_vm_start reads.
	VMConfig string `toml:"vm_config"`
	// Fail says what becomes of a request when the filter fails: "closed"
	// answers 503, "open" goes on without it.
	Fail string `toml:"fail" enum:"closed open" default:"closed"`
	// Limits bound it.
	Limits FilterLimits `toml:"limits"`
	// Allow names what it may do besides: "http_call:UPSTREAM" and the like.
	Allow []string `toml:"allow" example:"[\"http_call:auth\"]"`
}

// FilterLimits is the table limits of a filter.
type FilterLimits struct {
	// Memory is what one instance may have.
	Memory Size `toml:"memory" default:"64MiB"`
	// CPU is the processor time of one call.
	CPU Duration `toml:"cpu" default:"100ms"`
	// Start is the processor time in which it starts and reads its
	// configuration.
	Start Duration `toml:"start" default:"30s"`
	// Body is how much of a body it may hold: beyond that, a request is
	// answered with 413, a response with 500.
	Body Size `toml:"body" default:"1MiB"`
	// Spool is how much of each body it may have kept in a file (the foreign
	// function hako_body_spool); "0" is none.
	Spool Size `toml:"spool" default:"1GiB"`
	// Wait is how long it may hold a message that nothing else moves.
	Wait Duration `toml:"wait" default:"5m"`
}

// FilterRef is one of the filters of a route or stream; a string sets its
// name.
type FilterRef struct {
	// Name is that of a [[filter]].
	Name string `toml:"name,short" required:"true"`
	// Config takes the place of the filter's own.
	Config *string `toml:"config" example:"'{\"rps\":10}'"`
}

// Stream is a table of [[stream]]: TCP connections that are passed on.
type Stream struct {
	// Name is what logs and metrics call it; by default its first address.
	Name string `toml:"name"`
	// Listen has its addresses, as those of server.listen.
	Listen []Listen `toml:"listen" required:"true" example:"\"127.0.0.1:6000\""`
	// TLS ends TLS here, with the certificates of server.tls; what is passed
	// on is what was in it. Without, connections are passed on as they come.
	TLS bool `toml:"tls"`
	// Filters are run in this order.
	Filters []FilterRef `toml:"filters" example:"[\"tcp-log\"]"`
	// Upstream is where connections go. Its servers are "tcp://host:port" or
	// "unix:/path".
	Upstream string `toml:"upstream" required:"true" example:"\"db\""`
	// MaxConnections is how many may be open at once; more are closed at once.
	// Without it, server.limits.connections alone holds.
	MaxConnections int `toml:"max_connections"`
	// Timeouts bound its connections.
	Timeouts StreamTimeouts `toml:"timeouts"`
}

// StreamTimeouts is the table timeouts of a stream.
type StreamTimeouts struct {
	// Connect is the time for a connection to a server to come about; by
	// default the upstream's.
	Connect *Duration `toml:"connect" example:"\"5s\""`
	// Idle ends a connection on which nothing moved for so long.
	Idle Duration `toml:"idle" default:"1h"`
}
