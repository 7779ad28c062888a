package cli

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/engine/wasm"
	"github.com/hako-run/hako/image"
	"github.com/hako-run/hako/proxywasm"
	"github.com/spf13/cobra"
)

func (a *app) pluginInspectCommand() *cobra.Command {
	var source pluginSource
	var config pluginConfig
	cmd := &cobra.Command{
		Use:   "inspect FILE|oci://IMAGE",
		Short: "Show what a plugin is, has and needs",
		Long: `Show what a Proxy-Wasm plugin is, has and needs: its ABI, its callbacks, the host
functions it imports and those that there are not, and what [[filter]] would have
to allow it. It is started once, to see whether its instances can be forked from
one that has been configured; plugins that refuse to start without a
configuration need --config for that.`,
		Example: `  hako plugin inspect waf.wasm
  hako plugin inspect oci://ghcr.io/acme/waf:1 --key cosign.pub`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.inspectPlugin(cmd.Context(), args[0], &source, &config)
		},
	}
	source.flags(cmd)
	config.flags(cmd)
	a.jsonFlag(cmd)
	return cmd
}

// pluginJSON is a plugin for programs.
type pluginJSON struct {
	Name      string   `json:"name"`
	Digest    string   `json:"digest"`
	Size      int64    `json:"size"`
	ABI       string   `json:"abi"`
	SDK       string   `json:"sdk"` // "" if it cannot be told
	HTTP      bool     `json:"http"`
	TCP       bool     `json:"tcp"`
	Start     string   `json:"start"`
	Allocator string   `json:"allocator"`
	Callbacks []string `json:"callbacks"`
	Imports   []string `json:"imports"`
	Missing   []string `json:"missing"` // imports that there are not
	Unknown   []string `json:"unknown"` // callbacks that are never made
	Allow     []string `json:"allow"`   // what it may need to be allowed
	Forks     *bool    `json:"forks"`   // null if it did not start
	Why       string   `json:"why,omitempty"`
	Problem   string   `json:"problem,omitempty"` // why it is no plugin that can be run
}

func (a *app) inspectPlugin(ctx context.Context, source string, from *pluginSource, config *pluginConfig) error {
	cfg, err := config.read(a)
	if err != nil {
		return err
	}
	p, err := from.read(ctx, a, source)
	if err != nil {
		return err
	}
	profile, problem := proxywasm.InspectSource(p.Name, p.Module)
	if profile == nil {
		profile = &proxywasm.Profile{}
	}
	v := pluginJSON{
		Name: p.Name, Digest: p.Digest, Size: int64(len(p.Module)), SDK: sdkOf(p, profile),
		ABI: profile.ABI.String(), HTTP: profile.HTTP, TCP: profile.TCP, Start: profile.Start, Allocator: profile.Allocator,
		Callbacks: append([]string{}, profile.Callbacks...), Imports: append([]string{}, profile.Imports...),
		Missing: missingImports(profile), Unknown: append([]string{}, profile.Unknown...), Allow: wouldNeed(profile),
	}
	switch {
	case errors.Is(problem, wasm.ErrMalformed), errors.Is(problem, wasm.ErrUnsupported), errors.Is(problem, wasm.ErrComponent):
		// The engine says the same with what to do about it.
		if _, _, err := a.compilePlugin(ctx, p); err != nil {
			return err
		}
		return problem
	case problem != nil:
		v.Problem = problem.Error()
	case len(v.Missing) > 0:
		v.Problem = "it imports functions (see missing) that no Proxy-Wasm host has by its ABI: it is made for a host that adds some"
	default:
		m, closeEngine, err := a.compilePlugin(ctx, p)
		if err != nil && !errors.Is(err, engine.ErrModule) {
			return err
		}
		if err != nil {
			v.Problem = err.Error()
			break
		}
		defer closeEngine()
		cfg.Module, cfg.VMs = m, 1
		if v.Forks, v.Why, err = forks(ctx, cfg); err != nil {
			return err
		}
	}
	if a.json {
		err = a.printJSON(v)
	} else {
		err = a.showPlugin(&v)
	}
	if err == nil && v.Problem != "" {
		err = &exitError{code: exitFailed}
	}
	return err
}

// forks starts a plugin and tells whether its VMs are forked, nil if it does
// not start, and why not. The error is ctx's end.
func forks(ctx context.Context, cfg proxywasm.Config) (*bool, string, error) {
	p, err := proxywasm.Load(ctx, cfg)
	if ctx.Err() != nil {
		return nil, "", err
	}
	if err != nil {
		return nil, err.Error(), nil
	}
	forked, why := p.Forked()
	p.Close()
	<-p.Done()
	if why != nil {
		return &forked, why.Error(), nil
	}
	return &forked, "", nil
}

func (a *app) showPlugin(v *pluginJSON) error {
	t := newTable(a.Out, nil, "name", v.Name)
	t.row("digest", v.Digest)
	t.row("size", sizeText(v.Size))
	t.row("abi", v.ABI)
	t.row("sdk", orDash(v.SDK))
	var streams []string
	if v.HTTP {
		streams = append(streams, "http")
	}
	if v.TCP {
		streams = append(streams, "tcp")
	}
	t.row("for", orDash(strings.Join(streams, ", ")))
	t.row("start", orDash(v.Start))
	t.row("allocator", orDash(v.Allocator))
	switch {
	case v.Forks == nil && v.Why != "":
		why, _, _ := strings.Cut(v.Why, "\n") // without its stack
		t.row("forks", "not known: "+why)
	case v.Forks == nil:
	case *v.Forks:
		t.row("forks", "yes")
	default:
		t.row("forks", "no: "+v.Why)
	}
	list := func(name string, words []string) {
		for i, word := range words {
			if i > 0 {
				name = ""
			}
			t.row(name, word)
		}
	}
	list("callbacks", v.Callbacks)
	list("imports", v.Imports)
	list("missing", v.Missing)
	list("never called", v.Unknown)
	list("may need", v.Allow)
	if v.Problem != "" {
		t.row("problem", v.Problem)
	}
	return t.flush()
}

// missingImports are those of host functions, and those of modules that are
// no host's.
func missingImports(p *proxywasm.Profile) []string {
	missing := append([]string{}, p.Missing...)
	for _, name := range p.Imports {
		module, _, _ := strings.Cut(name, ".")
		if module != "env" && !strings.HasPrefix(module, "wasi_") {
			missing = append(missing, name)
		}
	}
	return missing
}

// capabilities are what host functions need to be allowed.
var capabilities = []struct{ function, allow string }{
	{"proxy_http_call", "http_call:UPSTREAM"},
	{"proxy_grpc_call", "grpc_call:UPSTREAM"},
	{"proxy_grpc_stream", "grpc_call:UPSTREAM"},
	{"proxy_redis_init", "redis:UPSTREAM"},
	{"proxy_redis_call", "redis:UPSTREAM"},
	{"proxy_call_foreign_function", "foreign:FUNCTION"},
	{"proxy_resolve_shared_queue", "queue:VM_ID"},
}

// wouldNeed tells by what a plugin imports what it might have to be allowed.
func wouldNeed(p *proxywasm.Profile) []string {
	allow := []string{}
	for _, c := range capabilities {
		if slices.Contains(p.Imports, "env."+c.function) && !slices.Contains(allow, c.allow) {
			allow = append(allow, c.allow)
		}
	}
	return allow
}

// marks are texts that SDKs leave in modules, more telling ones first.
var marks = []struct{ text, sdk string }{
	{"github.com/higress-group/proxy-wasm-go-sdk", "Go (Higress)"},
	{"github.com/alibaba/higress/plugins/wasm-go", "Go (Higress)"},
	{"github.com/tetratelabs/proxy-wasm-go-sdk", "Go (Tetrate)"},
	{"github.com/proxy-wasm/proxy-wasm-go-sdk", "Go"},
	{"proxy_wasm::", "Rust"},
	{"proxy-wasm-rust-sdk", "Rust"},
	{"/proxy-wasm-0.", "Rust"},
	{"ContextBase", "C++"},
	{"proxy_wasm_intrinsics", "C++"},
	{"~\x00l\x00i\x00b\x00/\x00", "AssemblyScript"}, // its library's files, in UTF-16
	{"/rustc/", "Rust"},
}

// sdkOf guesses what a plugin was written with; "" if nothing tells.
func sdkOf(p *image.Plugin, profile *proxywasm.Profile) string {
	for _, mark := range marks {
		if bytes.Contains(p.Module, []byte(mark.text)) {
			return mark.sdk
		}
	}
	decoded, err := wasm.Decode(p.Module)
	if err != nil {
		return ""
	}
	imported := slices.Clone(profile.Imports)
	for _, e := range decoded.Exports() {
		imported = append(imported, e.Name)
	}
	producers, _ := decoded.Custom("producers")
	switch {
	case slices.Contains(imported, "env.abort"), slices.Contains(imported, "__new"):
		return "AssemblyScript"
	case slices.Contains(imported, "env.emscripten_notify_memory_growth"):
		return "C++"
	case bytes.Contains(producers, []byte("TinyGo")):
		return "TinyGo"
	case bytes.Contains(producers, []byte("rustc")):
		return "Rust"
	case bytes.Contains(producers, []byte("clang")):
		return "C or C++"
	case bytes.Contains(producers, []byte("Go")):
		return "Go"
	}
	return ""
}
