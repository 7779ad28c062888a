package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hako-run/hako/wasi"
)

// The kinds of fibers of testdata/fiber.c.
const (
	fiberCount = iota
	fiberSpin
	fiberTrap
	fiberExit
	fiberWait
	fiberReturn
	fiberDeep
	fiberCall
	fiberGrow
	fiberInner
	fiberOutside
)

func fiberGuest(t testing.TB) *Module {
	t.Helper()
	return compile(t, openEngine(t, defaultBacking), "fiber", guest(t, "fiber.c"))
}

// counted is what count returns: n fibers, the i-th of which counts from i.
func counted(n, rounds int) (sum uint32) {
	for i := range n {
		for r := range rounds {
			sum += uint32(i + r)
		}
	}
	return sum
}

func TestFibers(t *testing.T) {
	in := instantiate(t, fiberGuest(t), Config{})
	for _, c := range [][2]int{{1, 1}, {2, 3}, {100, 50}, {MaxFibers, 2}} {
		within(t, time.Minute, "count", func() {
			if got, want := call1(t, in, "count", uint64(c[0]), uint64(c[1])), counted(c[0], c[1]); got != want {
				t.Errorf("%d fibers, %d rounds: %d, not %d", c[0], c[1], got, want)
			}
		})
	}
	if got := call1(t, in, "count", MaxFibers+1, 1); int32(got) != -1 {
		t.Errorf("more than MaxFibers: %d", int32(got))
	}
}

// Fibers see one memory, switch to each other, and are called back into.
func TestFibersTogether(t *testing.T) {
	m := fiberGuest(t)
	in := instantiate(t, m, Config{})
	pages := call1(t, in, "pages")
	call1(t, in, "start", fiberGrow, 0)
	if got := call1(t, in, "pages"); got != pages+1 {
		t.Errorf("%d pages, not %d", got, pages+1)
	}
	in = instantiate(t, m, Config{})
	if got := call1(t, in, "nested"); got != 101 {
		t.Errorf("nested: %d", got)
	}
	in = instantiate(t, m, Config{})
	ctx := withHook(func(ctx context.Context, n uint64) uint64 {
		res, err := in.Call(ctx, "ping", n)
		if err != nil {
			t.Error(err)
			return 0
		}
		return res[0]
	})
	if _, err := in.Call(ctx, "start", fiberCall, 41); err != nil {
		t.Fatal(err)
	}
	if got := call1(t, in, "last"); got != 41 {
		t.Errorf("called back: %d", got)
	}
}

// What ends a fiber ends the guest, as anywhere else, and no goroutine is left.
func TestFiberEnds(t *testing.T) {
	m := fiberGuest(t)
	before := runtime.NumGoroutine()
	run := func(cfg Config, what uint64) error {
		in := instantiate(t, m, cfg)
		defer in.Close()
		var err error
		within(t, time.Minute, fmt.Sprint("fiber ", what), func() {
			_, err = in.Call(context.Background(), "start", what, 0)
		})
		if err != nil {
			if _, again := in.Call(context.Background(), "pages"); !errors.Is(again, ErrEnded) {
				t.Errorf("after %v: %v", err, again)
			}
		}
		return err
	}
	var trap *TrapError
	if err := run(Config{}, fiberTrap); !errors.As(err, &trap) || trap.Kind != TrapUnreachable || !slices.Contains(trap.Stack, "run") {
		t.Errorf("trap: %v", err)
	}
	if err := run(Config{}, fiberOutside); !errors.As(err, &trap) || trap.Kind != TrapOutOfBounds || !slices.Contains(trap.Stack, "run") {
		t.Errorf("memory: %v", err)
	}
	var exit *ExitError
	if err := run(Config{}, fiberExit); !errors.As(err, &exit) || exit.Code != 7 {
		t.Errorf("exit: %v", err)
	}
	if err := run(Config{}, fiberReturn); !errors.Is(err, errFiberReturned) {
		t.Errorf("return: %v", err)
	}
	wantLimit(t, run(Config{Limits: Limits{CPU: 50 * time.Millisecond}}, fiberSpin), wasi.LimitCPU)
	wantLimit(t, run(Config{Limits: Limits{Wall: 50 * time.Millisecond}}, fiberSpin), wasi.LimitWall)
	wantLimit(t, run(Config{Limits: Limits{Wall: 50 * time.Millisecond}}, fiberWait), wasi.LimitWall)

	for _, what := range []uint64{fiberSpin, fiberWait} {
		in := instantiate(t, m, Config{})
		ctx, cancel := context.WithCancelCause(context.Background())
		cause := errors.New("enough")
		time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
		within(t, time.Minute, "cancel", func() {
			if _, err := in.Call(ctx, "start", what, 0); !errors.Is(err, cause) {
				t.Errorf("cancelled: %v", err)
			}
		})
		in = instantiate(t, m, Config{})
		time.AfterFunc(20*time.Millisecond, func() { in.Close() })
		within(t, time.Minute, "close", func() {
			if _, err := in.Call(context.Background(), "start", what, 0); !errors.Is(err, ErrClosed) {
				t.Errorf("closed: %v", err)
			}
		})
	}
	wantGoroutines(t, before)
}

// wantGoroutines waits until there are no more goroutines than before.
func wantGoroutines(t *testing.T, before int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, not %d", runtime.NumGoroutine(), before)
		}
	}
}

// The fibers of a call are over with it.
func TestFibersLeft(t *testing.T) {
	m := fiberGuest(t)
	before := runtime.NumGoroutine()
	in := instantiate(t, m, Config{})
	first := call1(t, in, "start", fiberCount, 5)
	wantGoroutines(t, before)
	if got := call1(t, in, "make_only"); got == first {
		t.Errorf("number %d is used again", got)
	}
	if _, err := in.Freeze(TemplateConfig{}); !errors.Is(err, ErrFreeze) || !strings.Contains(err.Error(), "fiber") {
		t.Errorf("freeze: %v", err)
	}
	if got := call1(t, in, "fill"); got != MaxFibers {
		t.Errorf("%d fibers, not %d", got, MaxFibers)
	}
	for name, args := range map[string][]uint64{"switch_to": {uint64(first)}, "give_up": {uint64(first)}} {
		in := instantiate(t, m, Config{})
		call1(t, in, "start", fiberCount, 5)
		_, err := in.Call(context.Background(), name, args...)
		if !errors.Is(err, errNoFiber) {
			t.Errorf("%s of a fiber of a call that is over: %v", name, err)
		}
	}
	wantGoroutines(t, before)
}

// The stacks of fibers that wait count.
func TestFiberStacks(t *testing.T) {
	in := instantiate(t, fiberGuest(t), Config{})
	// A fiber that runs out of stack is the guest's end, one that nearly does is not.
	call1(t, in, "start", fiberDeep, 1000)
	_, err := in.Call(context.Background(), "start", fiberDeep, 1<<26)
	var trap *TrapError
	if !errors.As(err, &trap) || trap.Kind != TrapStack {
		t.Errorf("deep: %v", err)
	}
}

// Forks have fibers of their own, at the same time.
func TestForkedFibers(t *testing.T) {
	before := runtime.NumGoroutine()
	in := instantiate(t, fiberGuest(t), Config{})
	call1(t, in, "count", 3, 3)
	tmpl, err := in.Freeze(TemplateConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range scale(500, 50, 10) {
				f, err := tmpl.Fork(context.Background(), Config{Limits: Limits{CPU: time.Minute}})
				if err != nil {
					t.Error(err)
					return
				}
				n, rounds := 1+(i+g)%20, 1+i%5
				if i%7 == 0 {
					call1(t, f, "start", fiberCount, 1) // is left
				}
				if i%11 == 0 {
					if _, err := f.Call(context.Background(), "start", fiberTrap, 1); err == nil {
						t.Error("no trap")
					}
				} else if res, err := f.Call(context.Background(), "ping", uint64(n)); err != nil || res[0] != uint64(n) {
					t.Errorf("ping %d: %v, %v", n, res, err)
				} else if i%7 != 0 {
					if got, want := call1(t, f, "count", uint64(n), uint64(rounds)), counted(n, rounds); got != want {
						t.Errorf("%d fibers, %d rounds: %d, not %d", n, rounds, got, want)
					}
				}
				if err := f.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := tmpl.Close(); err != nil {
		t.Error(err)
	}
	wantGoroutines(t, before)
}

func BenchmarkFiberSwitch(b *testing.B) {
	in := instantiate(b, fiberGuest(b), Config{Limits: Limits{CPU: time.Hour}})
	call1(b, in, "ping", uint64(b.N))
}

func BenchmarkFiberMake(b *testing.B) {
	in := instantiate(b, fiberGuest(b), Config{Limits: Limits{CPU: time.Hour}})
	for b.Loop() {
		call1(b, in, "count", 1, 1)
	}
}
