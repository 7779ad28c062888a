package wasi

import (
	"context"
	"fmt"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// firstModules has, for each runtime, the host module for guests of WasmEdge's
// first releases. It is kept here since wazero does not give out a host module
// that it registered in the form in which it takes one for an import.
var firstModules sync.Map // of wazero.Runtime to api.Module

// instantiateFirst makes the module; it is forgotten when the runtime closes.
func instantiateFirst(ctx context.Context, r wazero.Runtime) error {
	b := r.NewHostModuleBuilder(ModuleName)
	for _, group := range [][]function{preview1, wasmEdge, firstWasmEdge} {
		for _, f := range group {
			f.export(b)
		}
	}
	compiled, err := b.Compile(ctx)
	if err != nil {
		return fmt.Errorf("make host module %s with WasmEdge's first sockets: %w", ModuleName, err)
	}
	ctx = experimental.WithCloseNotifier(ctx, experimental.CloseNotifyFunc(func(context.Context, uint32) {
		firstModules.Delete(r)
	}))
	m, err := r.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		return fmt.Errorf("register host module %s with WasmEdge's first sockets: %w", ModuleName, err)
	}
	firstModules.Store(r, m)
	return nil
}

// WithImports returns the context to instantiate a module with. It matters for
// modules that import a socket function with the type it had in WasmEdge's
// first releases, since a host module has one type for a name: they are given
// another host module. For all others it is ctx itself. The import resolver of
// package experimental is used for it.
func WithImports(ctx context.Context, r wazero.Runtime, m wazero.CompiledModule) context.Context {
	if !importsFirst(m) {
		return ctx
	}
	first, ok := firstModules.Load(r)
	if !ok {
		return ctx
	}
	return experimental.WithImportResolver(ctx, func(name string) api.Module {
		if name == ModuleName {
			return first.(api.Module)
		}
		return nil
	})
}

// importsFirst tells whether a module wants a type that is no longer.
func importsFirst(m wazero.CompiledModule) bool {
	for _, f := range m.ImportedFunctions() {
		module, name, _ := f.Import()
		if module != ModuleName {
			continue
		}
		for _, first := range firstWasmEdge {
			if name == first.name && len(f.ParamTypes()) == len(first.params) {
				return true
			}
		}
	}
	return false
}
