package engine

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hako-run/hako/internal/guestbuild"
	"github.com/hako-run/hako/wasi"
)

// system returns the Config of a guest that has a System of its own.
func system(t testing.TB, c wasi.Config, limits Limits) Config {
	t.Helper()
	c.Output = limits.Output
	s, err := wasi.NewSystem(c)
	if err != nil {
		t.Fatal(err)
	}
	return Config{Limits: limits, Values: wasi.NewContext(context.Background(), s), States: []io.Closer{s}}
}

func reactor(t testing.TB) *Module {
	return compile(t, openEngine(t, defaultBacking, wasi.Instantiate), "wasi", guest(t, "wasi.c", "-mexec-model=reactor"))
}

// TestForkedWorld holds that what comes from outside is each fork's own:
// streams, variables, what is random, and time.
func TestForkedWorld(t *testing.T) {
	m := reactor(t)
	in := instantiate(t, m, system(t, wasi.Config{Env: []string{"WHO=first"}}, Limits{}))
	if err := in.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	call0(t, in, "setup")
	tmpl := freeze(t, in, TemplateConfig{Keep: 4})
	frozen := time.Now()

	var mu sync.Mutex
	seen := map[uint64]bool{}
	count := scale(1000, 1000, 100)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range count / 4 {
				f := fork(t, tmpl, system(t, wasi.Config{}, Limits{}))
				res, err := f.Call(context.Background(), "random64")
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				seen[res[0]] = true
				mu.Unlock()
				f.Close()
			}
		})
	}
	wg.Wait()
	if len(seen) != count {
		t.Errorf("%d forks drew %d different numbers", count, len(seen))
	}

	var times []uint64
	for range 2 {
		var out bytes.Buffer
		f := fork(t, tmpl, system(t, wasi.Config{Stdout: &out}, Limits{}))
		res, err := f.Call(context.Background(), "now")
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, res[0])
		call0(t, f, "say")
		// libc has read the variables already if the guest asked for them
		// before it was frozen; it did not.
		if got := out.String(); got != "set up, (null)\n" {
			t.Errorf("said %q", got)
		}
		if u := f.Usage(); u.Output != int64(out.Len()) {
			t.Errorf("output %d", u.Output)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if passed := time.Duration(times[1] - times[0]); passed < 5*time.Millisecond || passed > time.Since(frozen) {
		t.Errorf("%v passed between two forks", passed)
	}
}

// TestFreezeOpenFiles holds that a guest with something open is not frozen.
func TestFreezeOpenFiles(t *testing.T) {
	in := instantiate(t, reactor(t), system(t, wasi.Config{Tmp: []wasi.Tmp{{Guest: "/tmp", Size: 1 << 20}}}, Limits{}))
	if err := in.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := call1(t, in, "open_file"); got != 1 {
		t.Fatal("the guest cannot open a file")
	}
	if _, err := in.Freeze(TemplateConfig{}); !errors.Is(err, ErrFreeze) || !strings.Contains(err.Error(), "file open") {
		t.Errorf("%v", err)
	}
	call0(t, in, "close_file")
	freeze(t, in, TemplateConfig{})
}

func TestWASILimits(t *testing.T) {
	m := reactor(t)
	start := func(c wasi.Config, limits Limits) *Instance {
		in := instantiate(t, m, system(t, c, limits))
		if err := in.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		call0(t, in, "setup")
		return in
	}
	var out bytes.Buffer
	in := start(wasi.Config{Stdout: &out}, Limits{Output: 1000})
	_, err := in.Call(context.Background(), "chatter")
	wantLimit(t, err, wasi.LimitOutput)
	if out.Len() > 1000 {
		t.Errorf("wrote %d bytes", out.Len())
	}
	_, err = start(wasi.Config{}, Limits{}).Call(context.Background(), "quit", 5)
	if exit, ok := err.(*ExitError); !ok || exit.Code != 5 {
		t.Errorf("%v", err)
	}
	within(t, time.Minute, "sleeping", func() {
		_, err := start(wasi.Config{}, Limits{Wall: 30 * time.Millisecond}).Call(context.Background(), "rest")
		wantLimit(t, err, wasi.LimitWall)
	})
	within(t, time.Minute, "sleeping", func() {
		in := start(wasi.Config{}, Limits{})
		time.AfterFunc(20*time.Millisecond, func() { in.Close() })
		if _, err := in.Call(context.Background(), "rest"); !errors.Is(err, ErrClosed) {
			t.Errorf("%v", err)
		}
	})
	within(t, time.Minute, "sleeping", func() {
		ctx, cancel := context.WithCancelCause(context.Background())
		time.AfterFunc(20*time.Millisecond, func() { cancel(io.ErrNoProgress) })
		if _, err := start(wasi.Config{}, Limits{}).Call(ctx, "rest"); !errors.Is(err, io.ErrNoProgress) || !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

// TestGoGuest runs a program of another compiler, a large one.
func TestGoGuest(t *testing.T) {
	if testing.Short() {
		t.Skip("compiling a large module takes minutes under the race detector")
	}
	source, err := os.ReadFile(guestbuild.Go(t, "testdata/goguest"))
	if err != nil {
		t.Fatal(err)
	}
	m := compile(t, openEngine(t, defaultBacking, wasi.Instantiate), "goguest", source)
	run := func(what string, limits Limits) (string, error) {
		var out, errs bytes.Buffer
		in := instantiate(t, m, system(t, wasi.Config{Args: []string{"goguest", what}, Stdout: &out, Stderr: &errs}, limits))
		defer in.Close()
		err := in.Run(context.Background())
		return out.String() + errs.String(), err
	}
	if out, err := run("work", Limits{Memory: 256 << 20}); err != nil || !strings.HasPrefix(out, "total ") {
		t.Errorf("%s%v", out, err)
	}
	for what, code := range map[string]uint32{"panic": 2, "exit": 7} {
		out, err := run(what, Limits{})
		if exit, ok := err.(*ExitError); !ok || exit.Code != code {
			t.Errorf("%s: %v", what, err)
		}
		if what == "panic" && !strings.Contains(out, "panic: on purpose") {
			t.Errorf("%s", out)
		}
	}
	within(t, time.Minute, "spin", func() {
		_, err := run("spin", Limits{CPU: 50 * time.Millisecond})
		wantLimit(t, err, wasi.LimitCPU)
	})
	// A guest that dies of too little memory is told so.
	_, err = run("work", Limits{Memory: 4 << 20})
	wantLimit(t, err, wasi.LimitMemory)
}
