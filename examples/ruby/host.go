package main

import (
	"context"
	"errors"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// errNoScript ends a guest that calls JavaScript.
var errNoScript = errors.New("the script uses JavaScript, which is not here: the gem js is for browsers")

// registerScript registers what Ruby imports of JavaScript.
func registerScript(ctx context.Context, r wazero.Runtime) error {
	const (
		value   = "handle<js-abi-value>"
		attempt = "variant { success(handle<js-abi-value>), failure(handle<js-abi-value>) }"
		i, f    = api.ValueTypeI32, api.ValueTypeF64
	)
	type types = []api.ValueType
	b := r.NewHostModuleBuilder("rb-js-abi-host")
	for _, f := range []struct {
		name            string
		params, results types
	}{
		{"rb_wasm_throw_prohibit_rewind_exception", types{i, i}, nil},
		{"eval-js: func(code: string) -> " + attempt, types{i, i, i}, nil},
		{"is-js: func(value: " + value + ") -> bool", types{i}, types{i}},
		{"instance-of: func(value: " + value + ", klass: " + value + ") -> bool", types{i, i}, types{i}},
		{"global-this: func() -> " + value, nil, types{i}},
		{"int-to-js-number: func(value: s32) -> " + value, types{i}, types{i}},
		{"float-to-js-number: func(value: float64) -> " + value, types{f}, types{i}},
		{"string-to-js-string: func(value: string) -> " + value, types{i, i}, types{i}},
		{"bool-to-js-bool: func(value: bool) -> " + value, types{i}, types{i}},
		{"proc-to-js-function: func(value: u32) -> " + value, types{i}, types{i}},
		{"rb-object-to-js-rb-value: func(raw-rb-abi-value: u32) -> " + value, types{i}, types{i}},
		{"js-value-to-string: func(value: " + value + ") -> string", types{i, i}, nil},
		{"js-value-to-integer: func(value: " + value + ") -> variant { as-float(float64), bignum(string) }", types{i, i}, nil},
		{"export-js-value-to-host: func(value: " + value + ") -> ()", types{i}, nil},
		{"import-js-value-from-host: func() -> " + value, nil, types{i}},
		{"js-value-typeof: func(value: " + value + ") -> string", types{i, i}, nil},
		{"js-value-equal: func(lhs: " + value + ", rhs: " + value + ") -> bool", types{i, i}, types{i}},
		{"js-value-strictly-equal: func(lhs: " + value + ", rhs: " + value + ") -> bool", types{i, i}, types{i}},
		{"reflect-apply: func(target: " + value + ", this-argument: " + value + ", arguments: list<" + value + ">) -> " + attempt, types{i, i, i, i, i}, nil},
		{"reflect-get: func(target: " + value + ", property-key: string) -> " + attempt, types{i, i, i, i}, nil},
		{"reflect-set: func(target: " + value + ", property-key: string, value: " + value + ") -> " + attempt, types{i, i, i, i, i}, nil},
	} {
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(context.Context, api.Module, []uint64) {
			panic(errNoScript)
		}), f.params, f.results).Export(f.name)
	}
	_, err := b.Instantiate(ctx)
	return err
}

// resources are the Ruby objects that an instance showed to its host: handles
// are their places.
type resources struct{ objects []uint32 }

type resourcesKey struct{}

func withResources(ctx context.Context) context.Context {
	return context.WithValue(ctx, resourcesKey{}, &resources{})
}

// registerResources registers the canonical ABI's table of resources.
func registerResources(ctx context.Context, r wazero.Runtime) error {
	i32 := []api.ValueType{api.ValueTypeI32}
	of := func(ctx context.Context) *resources { return ctx.Value(resourcesKey{}).(*resources) }
	b := r.NewHostModuleBuilder("canonical_abi")
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, _ api.Module, stack []uint64) {
		table := of(ctx)
		table.objects = append(table.objects, uint32(stack[0]))
		stack[0] = uint64(len(table.objects) - 1)
	}), i32, i32).Export("resource_new_rb-abi-value")
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, _ api.Module, stack []uint64) {
		table := of(ctx)
		if uint64(uint32(stack[0])) >= uint64(len(table.objects)) {
			panic(errors.New("the guest asks for an object that it never showed"))
		}
		stack[0] = uint64(table.objects[uint32(stack[0])])
	}), i32, i32).Export("resource_get_rb-abi-value")
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(context.Context, api.Module, []uint64) {}), i32, nil).Export("resource_drop_js-abi-value")
	_, err := b.Instantiate(ctx)
	return err
}
