package wasi_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/hako-run/hako/internal/guestbuild"
	"github.com/hako-run/hako/wasi"
)

// BenchmarkCalls times calls beside wazero's own WASI, by turns in one
// process, and reports how many times as long ours take.
func BenchmarkCalls(b *testing.B) {
	ctx := context.Background()
	dir := b.TempDir()
	must(b, os.MkdirAll(filepath.Join(dir, "a/b/c"), 0o777))
	must(b, os.WriteFile(filepath.Join(dir, "a/b/c/file"), []byte("x"), 0o666))
	path := guestbuild.C(b, []string{"-O2", "-mexec-model=reactor", "-Wl,--export-dynamic", "testdata/bench.c"})
	binary, err := os.ReadFile(path)
	must(b, err)

	s := newSystem(b, wasi.Config{Stdout: io.Discard, Grants: dirs(b, wasi.DirGrant{Host: dir, Guest: "/"})})
	ours := wasi.NewContext(ctx, s)
	mine, err := runtime(b).InstantiateModule(ours, compile(b, path), anonymous)
	must(b, err)

	r := wazero.NewRuntime(ctx)
	defer r.Close(ctx)
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	compiled, err := r.CompileModule(ctx, binary)
	must(b, err)
	theirs, err := r.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName("").WithStdout(io.Discard).
		WithSysNanotime().WithFSConfig(wazero.NewFSConfig().WithDirMount(dir, "/")))
	must(b, err)

	call := func(ctx context.Context, f api.Function, args ...uint64) time.Duration {
		began := time.Now()
		results, err := f.Call(ctx, args...)
		if err != nil || results[0] != 0 {
			b.Fatalf("%s: %v, %v", f.Definition().Name(), results, err)
		}
		return time.Since(began)
	}
	call(ours, mine.ExportedFunction("prepare"))
	call(ctx, theirs.ExportedFunction("prepare"))
	for _, name := range []string{
		"fd_write", "path_open", "path_filestat_get", "clock_time_get", "fd_pread64k", "fd_readdir",
	} {
		b.Run(name, func(b *testing.B) {
			const chunk = 50
			var own, other []time.Duration
			f, g := mine.ExportedFunction(name), theirs.ExportedFunction(name)
			for range (b.N + chunk - 1) / chunk {
				own = append(own, call(ours, f, chunk))
				other = append(other, call(ctx, g, chunk))
			}
			// Medians: other work on the machine falls on either side.
			slices.Sort(own)
			slices.Sort(other)
			a, z := float64(own[len(own)/2])/chunk, float64(other[len(other)/2])/chunk
			b.ReportMetric(a, "ns/own")
			b.ReportMetric(z, "ns/wazero")
			b.ReportMetric(a/z, "x")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkNewSystem is what a fork of an instance costs here.
func BenchmarkNewSystem(b *testing.B) {
	c := wasi.Config{
		Args: []string{"app"}, Env: []string{"A=1", "B=2"}, Stdout: io.Discard, Stderr: io.Discard, Devices: true,
		Tmp:    []wasi.Tmp{{Guest: "/tmp", Size: 1 << 20}},
		Grants: dirs(b, wasi.DirGrant{Host: b.TempDir(), Guest: "/srv"}, wasi.DirGrant{Host: b.TempDir(), Guest: "/data"}),
	}
	b.ReportAllocs()
	for b.Loop() {
		s, err := wasi.NewSystem(c)
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}
