package engine

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"
)

// BenchmarkRatios times ways to get a fresh instance of a large guest, one
// after another in each round so that a busy machine slows all alike, and
// prints the medians next to that of a fork that was reset.
func BenchmarkRatios(b *testing.B) {
	type form struct {
		name string
		get  func() (*Instance, error)
		took []time.Duration
	}
	ctx := context.Background()
	from := func(back backing, cfg TemplateConfig) func() (*Instance, error) {
		_, tmpl := large(b, back, cfg)
		return func() (*Instance, error) { return tmpl.Fork(ctx, Config{}) }
	}
	in, _ := large(b, defaultBacking, TemplateConfig{})
	m := &Module{c: in.module}
	forms := []*form{
		{name: "forked, reset before", get: from(defaultBacking, TemplateConfig{})},
		{name: "forked anew", get: from(defaultBacking, TemplateConfig{Keep: -1})},
		{name: "instantiated, not warm", get: func() (*Instance, error) { return m.Instantiate(ctx, Config{}) }},
		{name: "instantiated and warmed", get: func() (*Instance, error) {
			in, err := m.Instantiate(ctx, Config{})
			if err == nil {
				_, err = in.Call(ctx, "warm")
			}
			return in, err
		}},
		{name: "copied, reset before", get: from(heapBacking{}, TemplateConfig{})},
		{name: "copied anew", get: from(heapBacking{}, TemplateConfig{Keep: -1})},
	}
	for _, pages := range []uint64{0, 64, 256, 1024} {
		for _, f := range forms {
			f.took = nil
		}
		for range 41 {
			for _, f := range forms {
				start := time.Now()
				in, err := f.get()
				if err == nil {
					_, err = in.Call(ctx, "touch", pages)
				}
				if err != nil {
					b.Fatal(err)
				}
				in.Close()
				f.took = append(f.took, time.Since(start))
			}
		}
		for _, f := range forms {
			slices.Sort(f.took)
		}
		base := forms[0].took[len(forms[0].took)/2]
		fmt.Printf("%4d pages written\n", pages)
		for _, f := range forms {
			median := f.took[len(f.took)/2]
			fmt.Printf("  %-24s %9.1f us, best %9.1f us %8.1f x\n", f.name, micros(median), micros(f.took[0]), float64(median)/float64(base))
		}
	}
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
