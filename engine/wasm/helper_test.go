package wasm_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/hako-run/hako/engine/wasm"
)

const features = api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall | experimental.CoreFeaturesExceptionHandling |
	experimental.CoreFeaturesExtendedConst | experimental.CoreFeaturesThreads

func newRuntime(t testing.TB) (context.Context, wazero.Runtime) {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCoreFeatures(features))
	t.Cleanup(func() { r.Close(ctx) })
	return ctx, r
}

// valid tells why a runtime refuses a module, nil if it does not.
func valid(t testing.TB, source []byte) error {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(features).WithMemoryLimitPages(256))
	defer r.Close(ctx)
	c, err := r.CompileModule(ctx, source)
	if err == nil {
		c.Close(ctx)
	}
	return err
}

var errStop = errors.New("stopped")

// provide gives a runtime the check function.
func provide(ctx context.Context, t testing.TB, r wazero.Runtime, check func() int32) {
	t.Helper()
	_, err := r.NewHostModuleBuilder(wasm.CheckModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, _ api.Module, stack []uint64) {
			stack[0] = uint64(uint32(check()))
		}), nil, []api.ValueType{api.ValueTypeI32}).Export(wasm.CheckName).Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
}

func decode(t testing.TB, b []byte) *wasm.Module {
	t.Helper()
	m, err := wasm.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
