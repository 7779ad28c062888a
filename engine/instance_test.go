package engine

import (
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"
)

func TestCall(t *testing.T) {
	for name, back := range backings() {
		t.Run(name, func(t *testing.T) {
			in := instantiate(t, compile(t, openEngine(t, back), "basic", guest(t, "basic.c")), Config{})
			if got := call1(t, in, "add", 40, 2); got != 42 {
				t.Errorf("add: %d", got)
			}
			res, err := in.Call(context.Background(), "half", math.Float64bits(5))
			if err != nil || math.Float64frombits(res[0]) != 2.5 {
				t.Errorf("half: %v, %v", res, err)
			}
			for want := uint32(100); want < 103; want++ {
				if got := call1(t, in, "next"); got != want {
					t.Errorf("next: %d, not %d", got, want)
				}
			}
			if got := call1(t, in, "call_host", 21); got != 43 {
				t.Errorf("call_host: %d", got)
			}
			if a, b := call1(t, in, "indirect", 0, 5), call1(t, in, "indirect", 1, 5); a != 6 || b != 7 {
				t.Errorf("indirect: %d, %d", a, b)
			}
			before := call1(t, in, "pages")
			if got := call1(t, in, "grow", 3); got != before {
				t.Errorf("grow: %d, not %d", got, before)
			}
			call0(t, in, "poke", uint64(before)*wasmPage+3*wasmPage-1, 7)
			if got := call1(t, in, "peek", uint64(before)*wasmPage+3*wasmPage-1); got != 7 {
				t.Errorf("memory that was grown: %d", got)
			}
			stack := []uint64{30, 12}
			if err := in.CallWithStack(context.Background(), "add", stack); err != nil || stack[0] != 42 {
				t.Errorf("CallWithStack: %d, %v", stack[0], err)
			}
		})
	}
}

func TestCallRefused(t *testing.T) {
	in := basic(t, Config{})
	ctx := context.Background()
	if _, err := in.Call(ctx, "nothing"); !errors.Is(err, ErrNoFunction) || in.HasFunction("nothing") {
		t.Errorf("%v", err)
	}
	if _, err := in.Call(ctx, "add", 1); err == nil || !strings.Contains(err.Error(), "2 parameters") {
		t.Errorf("%v", err)
	}
	if err := in.CallWithStack(ctx, "add", make([]uint64, 1)); err == nil {
		t.Error("a stack that is too small was taken")
	}
	if err := in.Run(ctx); !errors.Is(err, ErrNoFunction) {
		t.Errorf("%v", err)
	}
	done, cancel := context.WithCancelCause(ctx)
	cancel(io.ErrClosedPipe)
	if _, err := in.Call(done, "next"); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v", err)
	}
	// None of that ended the guest.
	if got := call1(t, in, "add", 1, 2); got != 3 {
		t.Errorf("add: %d", got)
	}
	in.Close()
	if _, err := in.Call(ctx, "add", 1, 2); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
}

func TestBusyAndBack(t *testing.T) {
	var in *Instance
	depth := 0
	back := func(ctx context.Context, n uint64) uint64 {
		if FromContext(ctx) != in {
			t.Error("FromContext is another instance")
		}
		// From elsewhere, there is a call already.
		if _, err := in.Call(context.Background(), "add", 1, 1); !errors.Is(err, ErrBusy) {
			t.Errorf("a second call: %v", err)
		}
		if _, err := in.Freeze(TemplateConfig{}); !errors.Is(err, ErrFreeze) {
			t.Errorf("freezing during a call: %v", err)
		}
		// Back in, into the same function too, and by a context made of ours.
		if depth++; depth < 4 {
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			res, err := in.Call(ctx, "call_host", n)
			if err != nil {
				t.Error(err)
			}
			return res[0]
		}
		return n
	}
	in = basic(t, Config{Values: withHook(back)})
	if got := call1(t, in, "call_host", 10); got != 14 {
		t.Errorf("%d", got)
	}
	// A trap in a call back is the host function's to deal with.
	depth = 0
	in2 := basic(t, Config{Values: withHook(func(ctx context.Context, n uint64) uint64 {
		var trap *TrapError
		if _, err := FromContext(ctx).Call(ctx, "die"); !errors.As(err, &trap) {
			t.Errorf("%v", err)
		}
		return 1
	})})
	if got := call1(t, in2, "call_host", 10); got != 2 {
		t.Errorf("%d", got)
	}
	if in2.Usage().Calls != 1 {
		t.Errorf("%d calls from outside", in2.Usage().Calls)
	}
}

func TestStaleContext(t *testing.T) {
	var kept context.Context
	in := basic(t, Config{Values: withHook(func(ctx context.Context, n uint64) uint64 { kept = ctx; return n })})
	call1(t, in, "call_host", 1)
	if _, err := in.Call(kept, "add", 1, 1); !errors.Is(err, ErrBusy) {
		t.Errorf("%v", err)
	}
	if kept.Err() == nil {
		t.Error("the context outlives its call")
	}
}

type state struct {
	closed *[]string
	name   string
	err    error
}

func (s state) Close() error     { *s.closed = append(*s.closed, s.name); return s.err }
func (s state) Output() int64    { return 5 }
func (s state) CanFreeze() error { return s.err }

func TestStates(t *testing.T) {
	var closed []string
	in := basic(t, Config{States: []io.Closer{state{&closed, "a", nil}, state{&closed, "b", io.ErrShortWrite}}})
	call1(t, in, "add", 1, 2)
	if u := in.Usage(); u.Output != 10 {
		t.Errorf("output %d", u.Output)
	}
	if err := in.Close(); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("%v", err)
	}
	if err := in.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if strings.Join(closed, "") != "ba" {
		t.Errorf("closed %v", closed)
	}
	if u := in.Usage(); u.Output != 10 || u.Memory == 0 {
		t.Errorf("usage after closing: %+v", u)
	}
}

func TestCloseDuringCall(t *testing.T) {
	for _, function := range []string{"spin", "wait"} {
		t.Run(function, func(t *testing.T) {
			var closed []string
			in := basic(t, Config{States: []io.Closer{state{&closed, "a", nil}}})
			go func() {
				for in.Usage().Wall < 20*time.Millisecond {
					time.Sleep(time.Millisecond)
				}
				in.Close()
			}()
			within(t, time.Minute, function, func() {
				if _, err := in.Call(context.Background(), function); !errors.Is(err, ErrClosed) {
					t.Errorf("%v", err)
				}
			})
			if len(closed) != 1 {
				t.Error("the instance did not close when its call ended")
			}
		})
	}
}

func TestValuesAreFound(t *testing.T) {
	type a struct{}
	type b struct{}
	type c struct{}
	vals := context.WithValue(context.WithValue(context.Background(), a{}, 1), b{}, 2)
	vals = context.WithValue(vals, hookKey{}, func(ctx context.Context, n uint64) uint64 {
		for range 3 {
			if ctx.Value(a{}) != 1 || ctx.Value(b{}) != 2 || ctx.Value(c{}) != 3 || ctx.Value("none") != nil {
				t.Error("values of the context of a host function")
			}
		}
		return 0
	})
	in := basic(t, Config{Values: vals})
	outer := context.WithValue(context.WithValue(context.Background(), c{}, 3), b{}, "hidden")
	if _, err := in.Call(outer, "call_host", 1); err != nil {
		t.Error(err)
	}
}
