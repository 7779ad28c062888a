package proxywasm

import (
	"log/slog"
	"time"

	"github.com/hako-run/hako/engine"
)

// Config is what a plugin is loaded with. Module is all that it needs.
type Config struct {
	// Module is compiled by an engine whose Hosts are [wasi.Instantiate] and
	// [Instantiate].
	Module *engine.Module
	Name   string // for errors and the property plugin_name

	VMID     string // plugins of one VMID share data and queues
	VMConfig []byte // what proxy_on_vm_start reads
	Env      []string

	// Roots are the plugin's configurations, which share VMs. Empty is one,
	// of no root id and without a configuration.
	Roots []Root

	Limits Limits
	// FailOpen lets streams pass whose VM failed, where otherwise they get
	// a 503 or are closed.
	FailOpen bool
	// Allow names what the plugin may do beyond the stream it is given:
	//
	//	http_call:NAME  grpc_call:NAME  redis:NAME   call that upstream
	//	foreign:NAME                                 call that Go function
	//	queue:VMID                                   find queues of that VM id
	//
	// NAME may be "*". Its own queues need no mention.
	Allow []string
	// HeadersMayStop gives action 1 of header callbacks the meaning that it
	// has in Envoy with allow_on_headers_stop_iteration, and always in ABI
	// 0.2.100: the body's callbacks go on.
	HeadersMayStop bool
	// VMs is how many VMs there are at most: as many streams are worked on
	// at once. GOMAXPROCS if 0.
	VMs int
	// NoFork starts each VM from the beginning, instead of forking it from
	// one that has been configured.
	NoFork bool
	// Grace is how long contexts that are not done may outlive Close: 10 s
	// if 0.
	Grace time.Duration

	Dispatcher Dispatcher // nil: every call is refused
	Shared     *Shared    // nil: the plugin's own
	Metrics    Metrics    // nil: the plugin's own, see Plugin.Metrics
	Foreign    *Foreign   // nil: no functions
	Node       map[string]any
	Log        *slog.Logger // nil: nowhere
	LogLevel   LogLevel     // what proxy_get_log_level tells; less grave messages are dropped
	Clock      Clock        // nil: the host's
	Recorder   Recorder     // nil: nothing is recorded
}

// A Root is one configuration of a plugin.
type Root struct {
	Name   string // Config.Name if ""
	RootID string // which of the module's plugins
	Config []byte // what proxy_on_configure reads
}

// Limits bound a plugin. Zero is the default.
type Limits struct {
	Memory int64         // of one VM, in bytes; 64 MiB
	CPU    time.Duration // of one callback; 50 ms
	Start  time.Duration // processor time of start-up and configuration; 30 s
	Body   int           // bytes of a body that is held; 1 MiB
	Calls  int           // calls under way of one VM; 1024
	// Log is how many lines of up to 1 KiB the plugin's VMs may log in a
	// second, longer ones counting for as many as they would make; 1000.
	// Others are dropped, and counted in the log. Negative is no limit.
	Log int
}

// A Clock tells the time and wakes up.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f after d, once, in a goroutine of its own, unless
	// stop is called before.
	AfterFunc(d time.Duration, f func()) (stop func())
}

type realClock struct{}

func (realClock) Now() time.Time { return time.Now() }

func (realClock) AfterFunc(d time.Duration, f func()) (stop func()) {
	t := time.AfterFunc(d, f)
	return func() { t.Stop() }
}

// withDefaults fills in what was left out.
func (c Config) withDefaults() Config {
	set := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	set(&c.Limits.Memory, 64<<20)
	set((*int64)(&c.Limits.CPU), int64(50*time.Millisecond))
	set((*int64)(&c.Limits.Start), int64(30*time.Second))
	set((*int64)(&c.Grace), int64(10*time.Second))
	if c.Limits.Body == 0 {
		c.Limits.Body = 1 << 20
	}
	if c.Limits.Calls == 0 {
		c.Limits.Calls = 1024
	}
	if c.Limits.Log == 0 {
		c.Limits.Log = 1000
	}
	if len(c.Roots) == 0 {
		c.Roots = []Root{{}}
	}
	if c.Shared == nil {
		c.Shared = NewShared()
	}
	if c.Metrics == nil {
		c.Metrics = NewRegistry()
	}
	if c.Clock == nil {
		c.Clock = realClock{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}
