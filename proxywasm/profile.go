package proxywasm

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/engine/wasm"
)

// ErrNoPlugin says that a module is no Proxy-Wasm plugin that can be run.
var ErrNoPlugin = errors.New("not a Proxy-Wasm plugin")

// A Profile is what a module shows of itself.
type Profile struct {
	ABI       ABI
	Callbacks []string // that it has, of those that are known
	Imports   []string // host functions that it wants, as "env.proxy_log"
	Missing   []string // of these, such as are not there
	Unknown   []string // exports named proxy_on_... that are never called
	Allocator string   // "proxy_on_memory_allocate" or "malloc"
	Start     string   // "_initialize", "_start" or ""
	HTTP, TCP bool     // which streams it has callbacks for

	callbacks [callbackCount]exported
	main      exported
}

// exported is a callback as a module has it.
type exported struct {
	name            string // "" if it does not have it
	params, results int
}

// A callback is a function that the host calls.
type callback int

const (
	onContextCreate callback = iota
	onVMStart
	onConfigure
	onTick
	onQueueReady
	onNewConnection
	onDownstreamData
	onDownstreamClose
	onUpstreamData
	onUpstreamClose
	onRequestHeaders
	onRequestBody
	onRequestTrailers
	onRequestMetadata
	onResponseHeaders
	onResponseBody
	onResponseTrailers
	onResponseMetadata
	onHTTPCallResponse
	onGRPCInitialMetadata
	onGRPCReceive
	onGRPCTrailingMetadata
	onGRPCClose
	onRedisResponse
	onForeign
	onDone
	onLog
	onDelete
	callbackCount
)

// callbackTypes has the names, a second name where some SDK has its own, and
// the number of parameters.
var callbackTypes = [callbackCount]struct {
	name, alias string
	params      int
}{
	onContextCreate:        {"proxy_on_context_create", "", 2},
	onVMStart:              {"proxy_on_vm_start", "", 2},
	onConfigure:            {"proxy_on_configure", "", 2},
	onTick:                 {"proxy_on_tick", "", 1},
	onQueueReady:           {"proxy_on_queue_ready", "", 2},
	onNewConnection:        {"proxy_on_new_connection", "", 1},
	onDownstreamData:       {"proxy_on_downstream_data", "", 3},
	onDownstreamClose:      {"proxy_on_downstream_connection_close", "", 2},
	onUpstreamData:         {"proxy_on_upstream_data", "", 3},
	onUpstreamClose:        {"proxy_on_upstream_connection_close", "", 2},
	onRequestHeaders:       {"proxy_on_request_headers", "", 3},
	onRequestBody:          {"proxy_on_request_body", "", 3},
	onRequestTrailers:      {"proxy_on_request_trailers", "", 2},
	onRequestMetadata:      {"proxy_on_request_metadata", "", 2},
	onResponseHeaders:      {"proxy_on_response_headers", "", 3},
	onResponseBody:         {"proxy_on_response_body", "", 3},
	onResponseTrailers:     {"proxy_on_response_trailers", "", 2},
	onResponseMetadata:     {"proxy_on_response_metadata", "", 2},
	onHTTPCallResponse:     {"proxy_on_http_call_response", "", 5},
	onGRPCInitialMetadata:  {"proxy_on_grpc_receive_initial_metadata", "", 3},
	onGRPCReceive:          {"proxy_on_grpc_receive", "", 3},
	onGRPCTrailingMetadata: {"proxy_on_grpc_receive_trailing_metadata", "proxy_on_grpc_trailing_metadata", 3},
	onGRPCClose:            {"proxy_on_grpc_close", "", 3},
	onRedisResponse:        {"proxy_on_redis_call_response", "", 4},
	onForeign:              {"proxy_on_foreign_function", "", 3},
	onDone:                 {"proxy_on_done", "", 1},
	onLog:                  {"proxy_on_log", "", 1},
	onDelete:               {"proxy_on_delete", "", 1},
}

// Inspect reads what a plugin is of its module, without running it. The error
// wraps ErrNoPlugin; what could be read is returned with it.
func Inspect(m *engine.Module) (*Profile, error) {
	functions := map[string]wasm.FuncType{}
	for _, e := range m.Exports() {
		if e.Kind == wasm.FuncKind {
			functions[e.Name] = e.Type
		}
	}
	var imports []function
	for _, im := range m.Imports() {
		imports = append(imports, function{im.Module, im.Name})
	}
	return inspect(m.Name(), functions, imports)
}

// InspectSource is Inspect of a module that is not compiled, and perhaps cannot
// be, as it imports what is not there. Of what is no module, the profile is
// nil.
func InspectSource(name string, source []byte) (*Profile, error) {
	m, err := wasm.Decode(source)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", name, ErrNoPlugin, err)
	}
	functions := map[string]wasm.FuncType{}
	for _, e := range m.Exports() {
		if t, ok := m.FuncType(e.Index); ok && e.Kind == wasm.FuncKind {
			functions[e.Name] = t
		}
	}
	var imports []function
	for _, im := range m.Imports() {
		imports = append(imports, function{im.Module, im.Name})
	}
	return inspect(name, functions, imports)
}

// function names one that is imported.
type function struct{ module, name string }

func inspect(module string, functions map[string]wasm.FuncType, imports []function) (*Profile, error) {
	p := &Profile{}
	for abi, name := range abiNames {
		if _, ok := functions["proxy_abi_version_"+strings.ReplaceAll(name, ".", "_")]; ok && ABI(abi) != ABIUnknown {
			p.ABI = ABI(abi)
		}
	}
	for _, im := range imports {
		name := im.module + "." + im.name
		p.Imports = append(p.Imports, name)
		if im.module == hostModule && !known(im.name) {
			p.Missing = append(p.Missing, name)
		}
	}
	for _, name := range []string{"_initialize", "_start"} {
		if _, ok := functions[name]; ok {
			p.Start = name
			break
		}
	}
	for _, name := range []string{"proxy_on_memory_allocate", "malloc"} {
		if t, ok := functions[name]; ok && len(t.Params) == 1 && len(t.Results) == 1 {
			p.Allocator = name
			break
		}
	}
	var wrong []string
	for cb, t := range callbackTypes {
		for _, name := range []string{t.name, t.alias} {
			f, ok := functions[name]
			if !ok || name == "" {
				continue
			}
			if !numbers(f.Params, max(t.params, 1)) || !numbers(f.Results, 1) {
				wrong = append(wrong, name)
				continue
			}
			p.callbacks[cb] = exported{name, len(f.Params), len(f.Results)}
			p.Callbacks = append(p.Callbacks, name)
			break
		}
	}
	for _, name := range []string{"main", "__main_void"} {
		if f, ok := functions[name]; ok && p.Start == "_initialize" && p.main.name == "" && numbers(f.Params, 2) && numbers(f.Results, 1) {
			p.main = exported{name, len(f.Params), len(f.Results)}
		}
	}
	for name := range functions {
		if strings.HasPrefix(name, "proxy_on_") && !slices.Contains(p.Callbacks, name) && name != p.Allocator && name != "proxy_on_memory_allocate" {
			p.Unknown = append(p.Unknown, name)
		}
	}
	slices.Sort(p.Unknown)
	p.HTTP = p.has(onRequestHeaders) || p.has(onRequestBody) || p.has(onResponseHeaders) || p.has(onResponseBody) || p.has(onLog)
	p.TCP = p.has(onNewConnection) || p.has(onDownstreamData) || p.has(onUpstreamData)
	switch {
	case p.ABI == ABIUnknown && len(p.Callbacks) == 0 && p.Start == "_start":
		return p, fmt.Errorf("%s: %w: it is a program, which runs and ends; a plugin in Go is built with -buildmode=c-shared, one in C with -mexec-model=reactor", module, ErrNoPlugin)
	case p.ABI == ABIUnknown:
		return p, fmt.Errorf("%s: %w: it exports no proxy_abi_version_... of 0.1.0, 0.2.0, 0.2.1 or 0.2.100; an SDK of Proxy-Wasm adds that", module, ErrNoPlugin)
	case p.Allocator == "":
		return p, fmt.Errorf("%s: %w: it exports neither proxy_on_memory_allocate nor malloc, by which a host gives it data; a linker exports it with --export=malloc", module, ErrNoPlugin)
	case len(wrong) > 0:
		return p, fmt.Errorf("%s: %w: %s have parameters or results that no ABI has; is it made for another version?", module, ErrNoPlugin, strings.Join(wrong, ", "))
	}
	return p, nil
}

func (p *Profile) has(cb callback) bool { return p.callbacks[cb].name != "" }

// numbers tells whether types are at most n times i32.
func numbers(types []wasm.ValType, n int) bool {
	for _, t := range types {
		if t != wasm.I32 {
			return false
		}
	}
	return len(types) <= n
}
