package engine

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hako-run/hako/wasi"
)

// wantLimit fails the test unless err is a LimitError of that limit.
func wantLimit(t *testing.T, err error, limit string) {
	t.Helper()
	var e *LimitError
	if !errors.As(err, &e) || e.Limit != limit {
		t.Errorf("wanted the %s limit: %v", limit, err)
	}
}

func TestCPULimit(t *testing.T) {
	const limit = 50 * time.Millisecond
	in := basic(t, Config{Limits: Limits{CPU: limit}})
	within(t, time.Minute, "spin", func() {
		_, err := in.Call(context.Background(), "spin")
		wantLimit(t, err, wasi.LimitCPU)
	})
	if u := in.Usage(); threadClock && (u.CPU < limit || u.CPU > 4*limit) {
		t.Errorf("used %v of %v", u.CPU, limit)
	}
	if _, err := in.Call(context.Background(), "add", 1, 1); !errors.Is(err, ErrEnded) {
		t.Errorf("a call after the limit: %v", err)
	}
}

// TestCPUIsNotWaiting holds that waiting costs no processor time, and that
// two guests on one processor are each charged for their own.
func TestCPUIsNotWaiting(t *testing.T) {
	if !threadClock {
		t.Skip("no clock of a thread here")
	}
	in := basic(t, Config{Limits: Limits{Wall: 200 * time.Millisecond}})
	within(t, time.Minute, "wait", func() {
		_, err := in.Call(context.Background(), "wait")
		wantLimit(t, err, wasi.LimitWall)
	})
	if u := in.Usage(); u.Wall < 200*time.Millisecond || u.CPU > u.Wall/4 {
		t.Errorf("waiting counted as work: %+v", u)
	}

	m := compile(t, openEngine(t, defaultBacking), "basic", guest(t, "basic.c"))
	procs := runtime.GOMAXPROCS(0)
	guests := make([]*Instance, 4*procs)
	for i := range guests {
		guests[i] = instantiate(t, m, Config{})
	}
	var wg sync.WaitGroup
	start := time.Now()
	for _, in := range guests {
		wg.Go(func() {
			if _, err := in.Call(context.Background(), "work", 30_000_000); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(start)
	var charged time.Duration
	for _, in := range guests {
		charged += in.Usage().CPU
	}
	// Were waiting charged, it would be 4 times as much.
	if there := time.Duration(procs) * elapsed; charged > there*3/2 {
		t.Errorf("%d guests on %d processors were charged %v in %v", len(guests), procs, charged, elapsed)
	}
}

func TestWallLimit(t *testing.T) {
	for _, function := range []string{"spin", "wait"} {
		in := basic(t, Config{Limits: Limits{Wall: 50 * time.Millisecond}})
		within(t, time.Minute, function, func() {
			_, err := in.Call(context.Background(), function)
			wantLimit(t, err, wasi.LimitWall)
		})
	}
}

func TestCancel(t *testing.T) {
	for _, function := range []string{"spin", "wait"} {
		in := basic(t, Config{})
		ctx, cancel := context.WithCancelCause(context.Background())
		time.AfterFunc(20*time.Millisecond, func() { cancel(io.ErrNoProgress) })
		within(t, time.Minute, function, func() {
			if _, err := in.Call(ctx, function); !errors.Is(err, io.ErrNoProgress) || !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", function, err)
			}
		})
		in = basic(t, Config{Limits: Limits{Wall: time.Hour}})
		ctx, cancel2 := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel2()
		within(t, time.Minute, function, func() {
			var limit *LimitError
			if _, err := in.Call(ctx, function); !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &limit) {
				t.Errorf("%s: %v", function, err)
			}
		})
	}
}

// TestLimitsAddUp holds that calls share what their instance has, until it is
// renewed.
func TestLimitsAddUp(t *testing.T) {
	in := basic(t, Config{Limits: Limits{CPU: 100 * time.Millisecond}})
	spend := func() error {
		for range 1000 {
			if _, err := in.Call(context.Background(), "work", 2_000_000); err != nil {
				return err
			}
		}
		return nil
	}
	within(t, time.Minute, "spending", func() { wantLimit(t, spend(), wasi.LimitCPU) })

	in = basic(t, Config{Limits: Limits{CPU: 200 * time.Millisecond}})
	within(t, time.Minute, "renewing", func() {
		for in.Usage().CPU < 500*time.Millisecond {
			if _, err := in.Call(context.Background(), "work", 2_000_000); err != nil {
				t.Errorf("after %v: %v", in.Usage().CPU, err)
				return
			}
			if err := in.Renew(Limits{CPU: 200 * time.Millisecond}); err != nil {
				t.Error(err)
				return
			}
		}
	})
}

// TestDeadlineWhileCollecting holds that a guest stops soon after its
// deadline while the garbage collector runs without a pause, and that it does
// not stop the world for long: a flag that another goroutine sets would never
// be set.
func TestDeadlineWhileCollecting(t *testing.T) {
	m := compile(t, openEngine(t, defaultBacking), "basic", guest(t, "basic.c"))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					runtime.GC()
				}
			}
		})
	}
	defer wg.Wait()
	defer close(stop)
	const limit = 100 * time.Millisecond
	late := time.Hour
	for range 5 { // the best of a few: other processes use the machine too
		in := instantiate(t, m, Config{Limits: Limits{Wall: limit}})
		within(t, time.Minute, "spin", func() {
			start := time.Now()
			_, err := in.Call(context.Background(), "spin")
			late = min(late, time.Since(start)-limit)
			wantLimit(t, err, wasi.LimitWall)
		})
	}
	if late > 20*time.Millisecond {
		t.Errorf("stopped %v after the deadline", late)
	}
	t.Logf("at best %v after the deadline", late)
}

func TestMemoryLimit(t *testing.T) {
	for name, back := range backings() {
		t.Run(name, func(t *testing.T) {
			m := compile(t, openEngine(t, back), "basic", guest(t, "basic.c"))
			const limit = 4<<20 + 1000 // the part of a page is not given
			in := instantiate(t, m, Config{Limits: Limits{Memory: limit}})
			before := call1(t, in, "pages")
			if got := call1(t, in, "grow", uint64(64-before)); got != before {
				t.Errorf("growing to the limit: %d", int32(got))
			}
			if got := call1(t, in, "grow", 1); int32(got) != -1 {
				t.Errorf("growing past the limit: %d", int32(got))
			}
			if u := in.Usage(); u.Memory != 4<<20 || u.MemoryPeak != 4<<20 {
				t.Errorf("%+v", u)
			}
			// A guest that dies of it is told so.
			_, err := in.Call(context.Background(), "grow_or_die", 1000)
			wantLimit(t, err, wasi.LimitMemory)
			var trap *TrapError
			if !errors.As(err, &trap) || trap.Kind != TrapUnreachable || !strings.Contains(err.Error(), "refused a memory of 5 MiB") {
				t.Errorf("%v", err)
			}
			_, err = m.Instantiate(context.Background(), Config{Limits: Limits{Memory: 1 << 20}})
			wantLimit(t, err, wasi.LimitMemory)
		})
	}
}

func TestMemoryLimitRenewed(t *testing.T) {
	in := basic(t, Config{Limits: Limits{Memory: 8 << 20}})
	if err := in.Renew(Limits{Memory: 4 << 20}); err != nil {
		t.Error(err)
	}
	if got := call1(t, in, "grow", 64); int32(got) != -1 {
		t.Errorf("grew past the new limit: %d", got)
	}
	if err := in.Renew(Limits{Memory: 16 << 20}); err == nil {
		t.Error("a limit above the first was taken")
	}
	if err := in.Renew(Limits{Memory: 1 << 20}); err == nil {
		t.Error("a limit below what is in use was taken")
	}
	if err := in.Renew(Limits{}); err != nil {
		t.Error(err)
	}
	if got := call1(t, in, "grow", 64); int32(got) == -1 {
		t.Error("did not grow under the first limit")
	}
}

func TestTraps(t *testing.T) {
	tests := []struct {
		function string
		args     []uint64
		kind     TrapKind
	}{
		{"die", nil, TrapUnreachable},
		{"peek", []uint64{0xfffffff0}, TrapOutOfBounds},
		{"recurse", nil, TrapOutOfBounds}, // its shadow stack is in memory, and ends first
		{"divide", []uint64{1, 0}, TrapDivide},
		{"divide", []uint64{1 << 31, 0xffffffff}, TrapOverflow},
		{"truncate", []uint64{0x7ff8000000000001}, TrapConversion},
		{"bad_pointer", []uint64{100000}, TrapTable},
		{"wrong_type", nil, TrapSignature},
	}
	m := compile(t, openEngine(t, defaultBacking), "basic", guest(t, "basic.c"))
	for _, test := range tests {
		in := instantiate(t, m, Config{})
		_, err := in.Call(context.Background(), test.function, test.args...)
		var trap *TrapError
		if !errors.As(err, &trap) || trap.Kind != test.kind {
			t.Errorf("%s: %v", test.function, err)
			continue
		}
		if len(trap.Stack) == 0 || trap.Stack[len(trap.Stack)-1] != test.function && test.function != "recurse" {
			t.Errorf("%s: the stack is %v", test.function, trap.Stack)
		}
		if _, err := in.Call(context.Background(), "add", 1, 1); !errors.Is(err, ErrEnded) || !errors.As(err, &trap) {
			t.Errorf("%s: a call after the trap: %v", test.function, err)
		}
	}
}

// TestTrapWithoutNames holds that functions without a name have the index
// that they had before the module was rewritten.
func TestTrapWithoutNames(t *testing.T) {
	source := bin(sec(1, typeVoid), sec(2, "\x04test\x04fail\x00\x00"), sec(3, "\x00", "\x00"), sec(7, export("f", 0, 2), export("g", 0, 1)),
		sec(10, fn(none, "\x10\x00"), fn(none, "\x10\x01\x10\x02")))
	in := instantiate(t, compile(t, openEngine(t, defaultBacking), "nameless", source), Config{})
	var trap *TrapError
	if _, err := in.Call(context.Background(), "f"); !errors.As(err, &trap) || strings.Join(trap.Stack, " ") != "test.fail $1 $2" {
		t.Errorf("%v: %q", err, trap.Stack)
	}
}

func TestHostFails(t *testing.T) {
	in := basic(t, Config{})
	_, err := in.Call(context.Background(), "call_fail")
	var trap *TrapError
	if !errors.Is(err, errHost) || !errors.As(err, &trap) || trap.Kind != TrapHost || strings.Contains(err.Error(), "wazero") {
		t.Errorf("%v", err)
	}
	in = basic(t, Config{Values: withHook(func(_ context.Context, n uint64) uint64 { return []uint64{1}[n] })})
	_, err = in.Call(context.Background(), "call_host", 1)
	if !errors.As(err, &trap) || trap.Kind != TrapHost || !strings.Contains(trap.GoStack, "limits_test.go") || strings.Contains(err.Error(), "goroutine") {
		t.Errorf("%v\n%s", err, trap.GoStack)
	}
}

func TestExit(t *testing.T) {
	for _, code := range []uint32{0, 3} {
		in := basic(t, Config{})
		_, err := in.Call(context.Background(), "leave", uint64(code))
		if exit, ok := err.(*ExitError); !ok || exit.Code != code {
			t.Errorf("%v", err)
		}
	}
}
