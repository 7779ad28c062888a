package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hako-run/hako/wasi"
)

// TestBriefCalls: what brief calls use is counted without a clock of its own,
// and a call that turns out to be long is measured, and ended, as any.
func TestBriefCalls(t *testing.T) {
	in := basic(t, Config{BriefContexts: true, BriefCalls: true, Limits: Limits{CPU: time.Hour}})
	stack := make([]uint64, 2)
	call := func(name string, args ...uint64) error {
		copy(stack, args)
		return in.CallWithStack(t.Context(), name, stack)
	}
	for range 100 {
		if err := call("add", 1, 2); err != nil || stack[0] != 3 {
			t.Fatalf("%d, %v", stack[0], err)
		}
	}
	if u := in.Usage(); u.CPU <= 0 || u.CPU > u.Wall {
		t.Errorf("brief calls used %v in %v", u.CPU, u.Wall)
	}
	const limit = 20 * time.Millisecond
	if err := in.Renew(Limits{CPU: limit}); err != nil {
		t.Fatal(err)
	}
	before := in.Usage().CPU
	var over *LimitError
	if err := call("spin"); !errors.As(err, &over) || over.Limit != wasi.LimitCPU {
		t.Fatalf("an endless loop: %v", err)
	}
	if used := in.Usage().CPU - before; used < limit {
		t.Errorf("ended after %v of %v", used, limit)
	}
}

// TestBriefCallsMeasured: after a call that lasts without a check, the next ones
// are measured from their beginning.
func TestBriefCallsMeasured(t *testing.T) {
	work := func(_ context.Context, n uint64) uint64 {
		for began := threadCPU(); threadCPU()-began < 2*time.Millisecond; {
		}
		return n
	}
	in := basic(t, Config{Values: withHook(work), BriefContexts: true, BriefCalls: true})
	used := func() time.Duration {
		before := in.Usage().CPU
		if _, err := in.Call(t.Context(), "call_host", 1); err != nil {
			t.Fatal(err)
		}
		return in.Usage().CPU - before
	}
	used() // has the instance's first check
	for in.exact > 0 {
		used() // on a machine that is shared, that one may have lasted
	}
	if first := used(); first < roughest || first > time.Millisecond {
		t.Errorf("the first long call counted %v", first)
	}
	for range exactCalls {
		if next := used(); next < 2*time.Millisecond {
			t.Errorf("one after a long call counted %v", next)
		}
	}
}

// TestCPUTime: a guest's process clock goes on with what it computes, over its
// calls, and stands still while it waits.
func TestCPUTime(t *testing.T) {
	const work = 20 * time.Millisecond
	var seen []time.Duration
	in := basic(t, Config{Values: withHook(func(ctx context.Context, n uint64) uint64 {
		seen = append(seen, CPUTime(ctx))
		for began := threadCPU(); threadCPU()-began < work; {
		}
		seen = append(seen, CPUTime(ctx))
		wasi.Wait(ctx, func() { time.Sleep(work) })
		seen = append(seen, CPUTime(ctx))
		return n
	})})
	for range 2 {
		if _, err := in.Call(t.Context(), "call_host", 1); err != nil {
			t.Fatal(err)
		}
	}
	for i, least := range []time.Duration{0, work, 0, 0, work, 0} {
		if i > 0 && (seen[i]-seen[i-1] < least || least == 0 && seen[i]-seen[i-1] > work/2) {
			t.Errorf("reading %d: %v after %v", i, seen[i], seen[i-1])
		}
	}
	if got := CPUTime(t.Context()); got != 0 {
		t.Errorf("outside of a call: %v", got)
	}
	if used := in.Usage().CPU; used < seen[5] {
		t.Errorf("%v in all, %v seen by the guest", used, seen[5])
	}
}
