package engine

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hako-run/hako/wasi"
)

// footprint is what this process holds of the system.
type footprint struct {
	goroutines, maps, files int
	rss                     int64 // bytes
}

func takeFootprint(t *testing.T) footprint {
	t.Helper()
	debug.FreeOSMemory()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return footprint{runtime.NumGoroutine(), bytes.Count(maps, []byte("\n")), len(files), status(t, "VmRSS:") << 10}
}

// status is a number that the system tells of this process.
func status(t *testing.T, key string) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), key)
	n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestSoak makes many short instances, forked, forked anew and plain, that
// end in every way, and holds that nothing of them is left: 100,000 in the
// long form.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector makes footprints of its own")
	}
	m := compile(t, openEngine(t, defaultBacking), "basic", guest(t, "basic.c"))
	in := instantiate(t, m, Config{})
	pooled := freeze(t, in, TemplateConfig{Keep: 4})
	anew := freeze(t, in, TemplateConfig{Keep: -1})
	at := uint64(call1(t, in, "buffer_at"))
	var n atomic.Int64
	short := func() {
		i := n.Add(1)
		var f *Instance
		var err error
		cfg := Config{Limits: Limits{Memory: 32 << 20}}
		if i%2000 == 0 {
			cfg.Limits.CPU = 5 * time.Millisecond
		}
		switch i % 10 {
		case 0:
			f, err = m.Instantiate(context.Background(), cfg)
		case 1, 2:
			f, err = anew.Fork(context.Background(), cfg)
		default:
			f, err = pooled.Fork(context.Background(), cfg)
		}
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		if got := call1(t, f, "peek", at+uint64(i)*4096%(1<<20)); got != 0 {
			t.Errorf("a fresh memory holds %d", got)
		}
		call0(t, f, "fill", at, 100_000, 1+uint64(i)%200)
		switch i % 7 {
		case 0:
			fails(t, f, "die")
		case 1:
			fails(t, f, "recurse")
		case 2:
			fails(t, f, "call_fail")
		case 3:
			call1(t, f, "grow", 20)
		}
		if i%2000 == 0 && i%7 > 2 {
			fails(t, f, "spin")
		}
	}
	run := func(count int) {
		var wg sync.WaitGroup
		workers := 2 * runtime.GOMAXPROCS(0)
		for range workers {
			wg.Go(func() {
				for range count / workers {
					short()
				}
			})
		}
		wg.Wait()
	}
	run(1000)
	before := takeFootprint(t)
	start := time.Now()
	run(scale(100_000, 4000, 2000))
	took := time.Since(start)
	waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before.goroutines })
	after := takeFootprint(t)
	if after.maps > before.maps+64 || after.files != before.files || after.rss > before.rss+64<<20 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	t.Logf("%d instances in %v; before %+v, after %+v", n.Load()-1000, took, before, after)
}

// TestWaitingHoldsNoThread has many guests wait at once, in host functions of
// several packages, and back from there go on to be charged for their work.
func TestWaitingHoldsNoThread(t *testing.T) {
	m := reactor(t)
	b := compile(t, openEngine(t, defaultBacking), "basic", guest(t, "basic.c"))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	var waiting []*Instance
	for i := range scale(4000, 300, 100) {
		var in *Instance
		function := "rest"
		if i%2 == 0 {
			in, function = instantiate(t, b, Config{}), "wait"
		} else {
			in = instantiate(t, m, system(t, wasi.Config{}, Limits{}))
		}
		waiting = append(waiting, in)
		wg.Go(func() {
			if _, err := in.Call(ctx, function); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	for _, in := range waiting {
		waitFor(t, "the guest to wait", func() bool { return in.Usage().Wall > time.Millisecond })
	}
	// Threads that are idle stay: those that ran the guests until they waited.
	if n := status(t, "Threads:"); n > 60 {
		t.Errorf("%d guests wait and there are %d threads", len(waiting), n)
	}
	cancel()
	wg.Wait()

	in := instantiate(t, m, system(t, wasi.Config{}, Limits{CPU: 50 * time.Millisecond}))
	within(t, time.Minute, "work between naps", func() {
		_, err := in.Call(context.Background(), "nap_and_work")
		wantLimit(t, err, wasi.LimitCPU)
	})
	if u := in.Usage(); u.CPU > 200*time.Millisecond || u.Wall < u.CPU*3/2 {
		t.Errorf("%+v", u)
	}
}

// TestManyLive holds many forks of a large guest at once: 5,000 in the long
// form, in less than 2 GiB.
func TestManyLive(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector makes footprints of its own")
	}
	_, tmpl := large(t, defaultBacking, TemplateConfig{})
	before := takeFootprint(t)
	count := scale(5000, 200, 0)
	forks := make([]*Instance, count)
	for i := range forks {
		forks[i] = fork(t, tmpl, Config{})
		call1(t, forks[i], "touch", 4)
		call1(t, forks[i], "pick", uint64(i))
	}
	after := takeFootprint(t)
	each := (after.rss - before.rss) / int64(count)
	t.Logf("%d forks: %d KiB and %.1f mappings each, %d MiB in all", count, each>>10, float64(after.maps-before.maps)/float64(count), after.rss>>20)
	if each > (2<<30)/5000 {
		t.Errorf("a fork takes %d KiB: 5,000 do not fit into 2 GiB", each>>10)
	}
	if after.maps-before.maps > 4*count+100 {
		t.Errorf("%d forks have %d mappings", count, after.maps-before.maps)
	}
	for i, f := range forks {
		if got := call1(t, f, "touch", 1); got != 2 {
			t.Fatalf("fork %d: %d", i, got)
		}
		f.Close()
	}
}
