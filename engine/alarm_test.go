package engine

import (
	"context"
	"testing"
	"time"

	"github.com/hako-run/hako/wasi"
)

// An alarm comes after its time, or before a limit, and the guest goes on.
func TestAlarm(t *testing.T) {
	m := compile(t, openEngine(t, defaultBacking), "alarm", guest(t, "alarm.c"))
	for _, c := range []struct {
		ms       uint64
		limits   Limits
		from, to time.Duration
	}{
		{100, Limits{}, 100 * time.Millisecond, 0},
		{100, Limits{CPU: time.Minute, Wall: time.Minute}, 100 * time.Millisecond, time.Minute},
		{60_000, Limits{CPU: 400 * time.Millisecond}, 300 * time.Millisecond, 400 * time.Millisecond},
		{0, Limits{CPU: 400 * time.Millisecond}, 300 * time.Millisecond, 400 * time.Millisecond},
		{0, Limits{Wall: 400 * time.Millisecond}, 0, 400 * time.Millisecond},
	} {
		in := instantiate(t, m, Config{Limits: c.limits})
		within(t, time.Minute, "spin", func() {
			if got := call1(t, in, "spin", c.ms); got != 1 {
				t.Errorf("%+v: %d", c, int32(got))
			}
		})
		if u := in.Usage(); threadClock && (u.CPU < c.from || c.to > 0 && u.CPU > c.to) {
			t.Errorf("%+v: went off after %v", c, u.CPU)
		}
		// The next call has no alarm of the one before.
		if got := int32(call1(t, in, "set", 1, 1<<31)); got != -1 {
			t.Errorf("an alarm outside of memory: %d", got)
		}
	}
	in := instantiate(t, m, Config{Limits: Limits{CPU: 100 * time.Millisecond}})
	within(t, time.Minute, "spin", func() {
		_, err := in.Call(context.Background(), "taken_back", 10)
		wantLimit(t, err, wasi.LimitCPU)
	})
}
