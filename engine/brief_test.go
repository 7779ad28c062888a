package engine

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestBriefContexts: calls that share a context allocate nothing, and limits
// and cancellation hold for each as for any.
func TestBriefContexts(t *testing.T) {
	var kept context.Context
	hook := func(ctx context.Context, n uint64) uint64 {
		switch uint32(n) {
		case 5:
			kept = ctx
			_ = ctx.Done()
		case 7:
			<-ctx.Done()
			panic(ctx.Err())
		}
		return n
	}
	in := basic(t, Config{Values: withHook(hook), BriefContexts: true})
	stack := make([]uint64, 1)
	call := func(ctx context.Context, n uint64) error {
		stack[0] = n
		return in.CallWithStack(ctx, "call_host", stack)
	}
	if n := testing.AllocsPerRun(100, func() {
		if err := call(context.Background(), 3); err != nil || stack[0] != 4 {
			t.Fatalf("%d, %v", stack[0], err)
		}
	}); n > 0 {
		t.Errorf("a call allocates %v times", n)
	}
	// A context that something was made of is not used again.
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	if err := call(ctx, 5); err != nil {
		t.Fatal(err)
	}
	if err := call(context.Background(), 3); err != nil {
		t.Fatal(err)
	}
	if kept.Err() == nil {
		t.Error("the context of a call that is over has not ended")
	}
	cancel()
	if err := call(context.Background(), 3); err != nil {
		t.Errorf("the end of an earlier call's context: %v", err)
	}
	ctx, cancel = context.WithCancel(context.Background())
	time.AfterFunc(10*time.Millisecond, cancel)
	if err := call(ctx, 7); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
