package engine

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/hako-run/hako/internal/guestbuild"
	"github.com/hako-run/hako/wasi"
)

var long = flag.Bool("long", os.Getenv("HAKO_LONG") != "", "run the long forms of the tests")

// short returns the number for the form of the test that runs.
func scale(full, normal, quick int) int {
	switch {
	case *long:
		return full
	case testing.Short():
		return quick
	}
	return normal
}

// guest compiles testdata/name, without a C library unless args say so.
func guest(t testing.TB, name string, args ...string) []byte {
	t.Helper()
	if args == nil {
		args = []string{"-nostdlib", "-Wl,--no-entry", "-mbulk-memory", "-Wl,--export-table"}
	}
	args = append([]string{"-O2", filepath.Join("testdata", name)}, args...)
	b, err := os.ReadFile(guestbuild.C(t, args))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var errHost = errors.New("host failed on purpose")

// testHost has the host functions of testdata/basic.c.
func testHost(ctx context.Context, rt wazero.Runtime) error {
	i32 := []api.ValueType{api.ValueTypeI32}
	export := func(b wazero.HostModuleBuilder, name string, params, results []api.ValueType, f api.GoModuleFunc) {
		b.NewFunctionBuilder().WithGoModuleFunction(f, params, results).Export(name)
	}
	b := rt.NewHostModuleBuilder("test")
	export(b, "twice", i32, i32, func(ctx context.Context, _ api.Module, s []uint64) {
		if f, ok := ctx.Value(hookKey{}).(func(context.Context, uint64) uint64); ok {
			s[0] = f(ctx, s[0])
			return
		}
		s[0] = uint64(uint32(s[0]) * 2)
	})
	export(b, "fail", nil, nil, func(context.Context, api.Module, []uint64) { panic(errHost) })
	export(b, "exit", i32, nil, func(_ context.Context, _ api.Module, s []uint64) {
		panic(&ExitError{Code: uint32(s[0])})
	})
	export(b, "wait", nil, nil, func(ctx context.Context, _ api.Module, _ []uint64) {
		wasi.Wait(ctx, func() {
			<-ctx.Done()
			panic(ctx.Err())
		})
	})
	_, err := b.Instantiate(ctx)
	return err
}

// hookKey finds what the host function "twice" does instead.
type hookKey struct{}

func withHook(f func(context.Context, uint64) uint64) context.Context {
	return context.WithValue(context.Background(), hookKey{}, f)
}

// backings are the ways to hold memories that this system has.
func backings() map[string]backing {
	return map[string]backing{"heap": heapBacking{}, "default": defaultBacking}
}

func openEngine(t testing.TB, back backing, hosts ...func(context.Context, wazero.Runtime) error) *Engine {
	t.Helper()
	e, err := newEngine(Options{Hosts: append(hosts, testHost)}, back)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func compile(t testing.TB, e *Engine, name string, source []byte) *Module {
	t.Helper()
	m, err := e.Compile(context.Background(), name, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func instantiate(t testing.TB, m *Module, cfg Config) *Instance {
	t.Helper()
	in, err := m.Instantiate(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	return in
}

// basic opens an engine and testdata/basic.c in it.
func basic(t testing.TB, cfg Config) *Instance {
	t.Helper()
	return instantiate(t, compile(t, openEngine(t, defaultBacking), "basic", guest(t, "basic.c")), cfg)
}

// call1 calls a function of i32 parameters that has one result.
func call1(t testing.TB, in *Instance, name string, args ...uint64) uint32 {
	t.Helper()
	res, err := in.Call(context.Background(), name, args...)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return uint32(res[0])
}

func call0(t testing.TB, in *Instance, name string, args ...uint64) {
	t.Helper()
	if _, err := in.Call(context.Background(), name, args...); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// within fails the test if f takes longer than is reasonable for something
// that should end by itself soon: a hang, not a slow machine.
func within(t testing.TB, limit time.Duration, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(limit):
		panic(fmt.Sprintf("%s: not over after %v", what, limit))
	}
}
