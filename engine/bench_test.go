package engine

import (
	"context"
	"testing"
)

// large opens testdata/large.c, warmed up, and a template of it.
func large(b testing.TB, back backing, cfg TemplateConfig) (*Instance, *Template) {
	b.Helper()
	e := openEngine(b, back)
	source := guest(b, "large.c", "-nostdlib", "-Wl,--no-entry", "-Wl,--initial-memory=67108864")
	in := instantiate(b, compile(b, e, "large", source), Config{Limits: Limits{Memory: 128 << 20}})
	call0(b, in, "warm")
	return in, freeze(b, in, cfg)
}

// BenchmarkFork is a fork, a call that writes some pages, and closing it, on
// a guest with 5,000 table entries, 64 MiB of memory and 8 MiB in use.
func BenchmarkFork(b *testing.B) {
	forms := []struct {
		name string
		back backing
		cfg  TemplateConfig
	}{
		{"reset", defaultBacking, TemplateConfig{}},
		{"anew", defaultBacking, TemplateConfig{Keep: -1}},
		{"copied-reset", heapBacking{}, TemplateConfig{}},
		{"copied-anew", heapBacking{}, TemplateConfig{Keep: -1}},
	}
	for _, pages := range []uint64{0, 256} {
		for _, form := range forms {
			name := "pages=0/"
			if pages > 0 {
				name = "pages=256/"
			}
			b.Run(name+form.name, func(b *testing.B) {
				_, tmpl := large(b, form.back, form.cfg)
				stack := make([]uint64, 1)
				for b.Loop() {
					f, err := tmpl.Fork(context.Background(), Config{})
					if err != nil {
						b.Fatal(err)
					}
					stack[0] = pages
					if err := f.CallWithStack(context.Background(), "touch", stack); err != nil {
						b.Fatal(err)
					}
					if err := f.Close(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkInstantiate is what a fork saves: a plain instance, which then has
// to warm up.
func BenchmarkInstantiate(b *testing.B) {
	for _, warm := range []bool{false, true} {
		name := "plain"
		if warm {
			name = "warmed"
		}
		b.Run(name, func(b *testing.B) {
			in, _ := large(b, defaultBacking, TemplateConfig{})
			m := &Module{c: in.module}
			for b.Loop() {
				f, err := m.Instantiate(context.Background(), Config{})
				if err != nil {
					b.Fatal(err)
				}
				if warm {
					call0(b, f, "warm")
				}
				f.Close()
			}
		})
	}
}

// BenchmarkCall is a call that does nothing.
func BenchmarkCall(b *testing.B) {
	in, _ := large(b, defaultBacking, TemplateConfig{})
	stack := make([]uint64, 1)
	for b.Loop() {
		if err := in.CallWithStack(context.Background(), "nothing", stack); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHostCall is one call of a host function that finds its state.
func BenchmarkHostCall(b *testing.B) {
	m := compile(b, openEngine(b, defaultBacking), "large", guest(b, "large.c", "-nostdlib", "-Wl,--no-entry", "-Wl,--initial-memory=67108864"))
	in := instantiate(b, m, Config{Values: withHook(func(_ context.Context, n uint64) uint64 { return n })})
	const calls = 1000
	for b.Loop() {
		if _, err := in.Call(context.Background(), "host_calls", calls); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/calls, "ns/hostcall")
}

// BenchmarkCheck is the host's side of a check.
func BenchmarkCheck(b *testing.B) {
	in, _ := large(b, defaultBacking, TemplateConfig{})
	c, err := in.begin(context.Background(), in.module.functions["nothing"])
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		c.check(nil)
	}
	in.finish(c, &err)
}

// BenchmarkFreeze is what a template costs to make.
func BenchmarkFreeze(b *testing.B) {
	in, _ := large(b, defaultBacking, TemplateConfig{})
	for b.Loop() {
		tmpl, err := in.Freeze(TemplateConfig{})
		if err != nil {
			b.Fatal(err)
		}
		tmpl.Close()
	}
}
