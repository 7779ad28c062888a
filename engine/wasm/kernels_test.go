package wasm_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/hako-run/hako/engine/wasm"
	"github.com/hako-run/hako/internal/guestbuild"
)

var (
	measure = flag.Int("measure", 0, "measure what checks cost the kernels of bench/kernels, with so many interleaved rounds")
	only    = flag.String("kernels", "", "measure or test these kernels only, separated by commas")
	forms   = flag.String("forms", "-2,3,2,1,0", "the ways of counting to measure")
)

// kernels are the programs of bench/kernels, with an argument for a quick run
// and one for a run that takes about 100 ms.
var kernels = []struct{ name, quick, long string }{
	{"bitboard", "1", "20"},
	{"btree", "1", "6"},
	{"compress", "1", "12"},
	{"fib", "20", "34"},
	{"hashtable", "1", "40"},
	{"interpreter", "1", "15"},
	{"json", "1", "40"},
	{"mandelbrot", "1", "6"},
	{"matmul", "1", "15"},
	{"nbody", "1", "400"},
	{"quicksort", "1", "6"},
	{"sha256", "1", "150"},
	{"sieve", "1", "12"},
	{"strings", "1", "400"},
}

func kernel(t testing.TB, name string) []byte {
	t.Helper()
	source := filepath.Join("..", "..", "bench", "kernels", name+".c")
	return readFile(t, guestbuild.C(t, []string{"-O3", "-msimd128", source, "-lm"}))
}

func wanted(name string) bool {
	return *only == "" || slices.Contains(strings.Split(*only, ","), name)
}

// pacer is a host that aims at a check every 200 us of processor time.
type pacer struct {
	last   time.Duration
	count  int32
	checks int
	worst  time.Duration
}

func (p *pacer) check() int32 {
	now := threadTime()
	p.checks++
	if p.count == 0 {
		p.count = 1 << 14
	} else {
		d := now - p.last
		p.worst = max(p.worst, d)
		n := float64(p.count) * float64(200*time.Microsecond) / float64(max(d, time.Microsecond))
		n = min(max(n, float64(p.count)/4), float64(p.count)*4)
		p.count = int32(min(max(n, 1<<10), 1<<19))
	}
	p.last = now
	return p.count
}

// variant is a compiled kernel, rewritten in one way.
type variant struct {
	name  string
	run   func(arg string) (string, time.Duration)
	pacer *pacer
	stats wasm.InterruptStats
}

// compile prepares a kernel: with a form of counting, with wazero's own
// checks (form -2), or without any (form -1).
func compile(t testing.TB, name string, source []byte, form int) *variant {
	t.Helper()
	ctx := context.Background()
	config := wazero.NewRuntimeConfigCompiler().WithCoreFeatures(features).WithCloseOnContextDone(form == -2)
	r := wazero.NewRuntimeWithConfig(ctx, config)
	t.Cleanup(func() { r.Close(ctx) })
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	v := &variant{name: fmt.Sprintf("form %d", form), pacer: &pacer{}}
	if form >= 0 {
		provide(ctx, t, r, v.pacer.check)
		m := decode(t, source)
		var err error
		if v.stats, err = m.Interrupt(wasm.Form(form)); err != nil {
			t.Fatal(err)
		}
		source = m.Encode()
	}
	c, err := r.CompileModule(ctx, source)
	if err != nil {
		t.Fatalf("%s, form %d: %v", name, form, err)
	}
	v.run = func(arg string) (string, time.Duration) {
		var out bytes.Buffer
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		*v.pacer = pacer{}
		start := threadTime()
		ctx := ctx
		if form == -2 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithCancel(ctx)
			defer cancel()
		}
		mod, err := r.InstantiateModule(ctx, c, wazero.NewModuleConfig().WithName("").WithArgs(name, arg).WithStdout(&out).WithStderr(&out))
		if err != nil && !strings.Contains(err.Error(), "exit_code(0)") {
			t.Fatalf("%s, form %d: %v", name, form, err)
		}
		took := threadTime() - start
		if mod != nil {
			mod.Close(ctx)
		}
		return out.String(), took
	}
	return v
}

// TestKernels runs all kernels with each way of counting; they must compute
// the same.
func TestKernels(t *testing.T) {
	for _, k := range kernels {
		if !wanted(k.name) {
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			source := kernel(t, k.name)
			want, _ := compile(t, k.name, source, -1).run(k.quick)
			for form := range 4 {
				if testing.Short() && form > 0 {
					break
				}
				if got, _ := compile(t, k.name, source, form).run(k.quick); got != want {
					t.Errorf("form %d: got %q, want %q", form, got, want)
				}
			}
		})
	}
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// TestMeasure prints how much longer kernels take with checks.
func TestMeasure(t *testing.T) {
	if *measure == 0 {
		t.Skip("only with -measure")
	}
	var list []int
	for _, f := range strings.Split(*forms, ",") {
		var n int
		fmt.Sscan(f, &n)
		list = append(list, n)
	}
	products := make([]float64, len(list))
	count := 0
	fmt.Fprintf(os.Stderr, "%-12s %8s", "kernel", "ms")
	for _, f := range list {
		fmt.Fprintf(os.Stderr, " %8s", fmt.Sprint("form ", f))
	}
	fmt.Fprintln(os.Stderr)
	for _, k := range kernels {
		if !wanted(k.name) {
			continue
		}
		source := kernel(t, k.name)
		variants := []*variant{compile(t, k.name, source, -1)}
		for _, f := range list {
			variants = append(variants, compile(t, k.name, source, f))
		}
		times := make([][]float64, len(variants))
		for range *measure {
			for i, v := range variants {
				_, d := v.run(k.long)
				times[i] = append(times[i], float64(d)/1e6)
			}
		}
		fmt.Fprintf(os.Stderr, "%-12s %8.1f", k.name, median(slices.Clone(times[0])))
		for i := range list {
			ratios := make([]float64, *measure)
			for round := range ratios {
				ratios[round] = times[i+1][round] / times[0][round]
			}
			ratio := median(ratios)
			products[i] += math.Log(ratio)
			fmt.Fprintf(os.Stderr, " %8.3f", ratio)
		}
		last := variants[len(variants)-1]
		fmt.Fprintf(os.Stderr, "  %d checks, at most %v apart, code %.2f\n", last.pacer.checks, last.pacer.worst, float64(last.stats.After)/float64(max(last.stats.Before, 1)))
		count++
	}
	fmt.Fprintf(os.Stderr, "%-12s %8s", "mean", "")
	for i := range list {
		fmt.Fprintf(os.Stderr, " %8.3f", math.Exp(products[i]/float64(count)))
	}
	fmt.Fprintln(os.Stderr)
}
