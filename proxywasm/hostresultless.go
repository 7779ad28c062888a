package proxywasm

import (
	"context"
	"fmt"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/hako-run/hako/wasi"
)

// resultless are the functions that the specification of 0.1.0 shows without a
// result. SDKs import them with one.
var resultless = [...]string{"proxy_continue_request", "proxy_continue_response", "proxy_clear_route_cache"}

// resultlessModules has host modules in which some of these have no result, as
// a host module has one type for a name.
var resultlessModules struct {
	sync.Mutex
	made map[wazero.Runtime]map[resultlessSet]api.Module
}

type resultlessSet [len(resultless)]bool

// WithImports returns the context to instantiate a module with: it is for
// engine.Options.Imports. It does what [wasi.WithImports] does, and lets
// plugins import functions of 0.1.0 without a result.
func WithImports(ctx context.Context, r wazero.Runtime, m wazero.CompiledModule) context.Context {
	set := resultlessImports(m)
	if set == (resultlessSet{}) {
		return wasi.WithImports(ctx, r, m)
	}
	mod, err := resultlessModule(context.Background(), r, set)
	if err != nil {
		return ctx // the engine says what does not fit
	}
	return experimental.WithImportResolver(ctx, func(name string) api.Module {
		if name == hostModule {
			return mod
		}
		return nil
	})
}

// resultlessImports tells which functions a module wants without a result.
func resultlessImports(m wazero.CompiledModule) (set resultlessSet) {
	for _, f := range m.ImportedFunctions() {
		module, name, _ := f.Import()
		if module != hostModule || len(f.ResultTypes()) > 0 {
			continue
		}
		for i := range resultless {
			set[i] = set[i] || name == resultless[i]
		}
	}
	return set
}

// resultlessModule makes the module, once for each runtime and set. It is kept
// until the runtime closes.
func resultlessModule(ctx context.Context, r wazero.Runtime, set resultlessSet) (api.Module, error) {
	made := &resultlessModules
	made.Lock()
	defer made.Unlock()
	if mod := made.made[r][set]; mod != nil {
		return mod, nil
	}
	code, err := hostFunctionsFor(r, set).Compile(ctx)
	if err != nil {
		return nil, fmt.Errorf("make host module %s without results: %w", hostModule, err)
	}
	ctx = experimental.WithCloseNotifier(ctx, experimental.CloseNotifyFunc(func(context.Context, uint32) {
		made.Lock()
		defer made.Unlock()
		delete(made.made, r)
	}))
	mod, err := r.InstantiateModule(ctx, code, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		return nil, fmt.Errorf("register host module %s without results: %w", hostModule, err)
	}
	if made.made == nil {
		made.made = map[wazero.Runtime]map[resultlessSet]api.Module{}
	}
	if made.made[r] == nil {
		made.made[r] = map[resultlessSet]api.Module{}
	}
	made.made[r][set] = mod
	return mod, nil
}
