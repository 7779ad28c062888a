package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/hako-run/hako/wasi"
)

func freeze(t testing.TB, in *Instance, cfg TemplateConfig) *Template {
	t.Helper()
	tmpl, err := in.Freeze(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tmpl.Close() })
	return tmpl
}

func fork(t testing.TB, tmpl *Template, cfg Config) *Instance {
	t.Helper()
	in, err := tmpl.Fork(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	return in
}

// eachBacking runs a test with every way to hold memories.
func eachBacking(t *testing.T, f func(t *testing.T, m *Module)) {
	for name, back := range backings() {
		t.Run(name, func(t *testing.T) {
			f(t, compile(t, openEngine(t, back), "basic", guest(t, "basic.c")))
		})
	}
}

func TestFork(t *testing.T) {
	eachBacking(t, func(t *testing.T, m *Module) {
		in := instantiate(t, m, Config{})
		at := uint64(call1(t, in, "buffer_at"))
		call1(t, in, "next")
		call1(t, in, "next")
		call0(t, in, "poke", at, 7)
		old := call1(t, in, "grow", 5)
		far := uint64(old+5)*wasmPage - 1
		call0(t, in, "poke", far, 9)
		tmpl := freeze(t, in, TemplateConfig{})
		// The frozen instance goes on by itself.
		call0(t, in, "poke", at, 1)
		call1(t, in, "next")

		a, b := fork(t, tmpl, Config{}), fork(t, tmpl, Config{})
		for i, f := range []*Instance{a, b} {
			if got := call1(t, f, "next"); got != 102 {
				t.Errorf("fork %d: next is %d", i, got)
			}
			if got := call1(t, f, "pages"); got != old+5 {
				t.Errorf("fork %d: %d pages, not %d", i, got, old+5)
			}
			if x, y := call1(t, f, "peek", at), call1(t, f, "peek", far); x != 7 || y != 9 {
				t.Errorf("fork %d: memory is %d, %d", i, x, y)
			}
			call0(t, f, "poke", at, uint64(50+i))
		}
		if x, y, z := call1(t, a, "peek", at), call1(t, b, "peek", at), call1(t, in, "peek", at); x != 50 || y != 51 || z != 1 {
			t.Errorf("memories are %d, %d, %d", x, y, z)
		}
		// A fork can be frozen again.
		call1(t, a, "next")
		again := freeze(t, a, TemplateConfig{})
		if got := call1(t, fork(t, again, Config{}), "next"); got != 104 {
			t.Errorf("fork of a fork: %d", got)
		}
	})
}

// TestForkIsClean holds that nothing of a closed fork is found in the next
// one, whatever it did and however it ended.
func TestForkIsClean(t *testing.T) {
	endings := map[string]func(t *testing.T, in *Instance){
		"done": func(*testing.T, *Instance) {},
		"trap": func(t *testing.T, in *Instance) { fails(t, in, "die") },
		"deep": func(t *testing.T, in *Instance) { fails(t, in, "recurse") },
		"exit": func(t *testing.T, in *Instance) { fails(t, in, "leave", 1) },
		"limit": func(t *testing.T, in *Instance) {
			if err := in.Renew(Limits{CPU: 5 * time.Millisecond}); err != nil {
				t.Error(err)
			}
			fails(t, in, "spin")
		},
		"closed": func(t *testing.T, in *Instance) {
			time.AfterFunc(5*time.Millisecond, func() { in.Close() })
			fails(t, in, "spin")
		},
		"host": func(t *testing.T, in *Instance) { fails(t, in, "call_fail") },
	}
	eachBacking(t, func(t *testing.T, m *Module) {
		in := instantiate(t, m, Config{Limits: Limits{Memory: 16 << 20}})
		call1(t, in, "next")
		size := uint64(call1(t, in, "pages")) * wasmPage
		stack := call1(t, in, "stack_pointer")
		want := checksum(t, in, size)
		for _, keep := range []int{1, -1} {
			tmpl := freeze(t, in, TemplateConfig{Keep: keep})
			for name, end := range endings {
				for _, grown := range []uint64{0, 10, 256 - size/wasmPage} {
					f := fork(t, tmpl, Config{})
					if got := call1(t, f, "pages"); uint64(got)*wasmPage != size {
						t.Fatalf("%s: a fork begins with %d pages", name, got)
					}
					if got := checksum(t, f, size); got != want {
						t.Fatalf("%s: a fork's memory is not what was frozen", name)
					}
					if got := call1(t, f, "stack_pointer"); got != stack {
						t.Fatalf("%s: the stack pointer is %d, not %d", name, got, stack)
					}
					if got := call1(t, f, "next"); got != 101 {
						t.Fatalf("%s: next is %d", name, got)
					}
					call1(t, f, "grow", grown)
					all := uint64(call1(t, f, "pages")) * wasmPage
					// From the host, all over: the guest's own stack too.
					memory, _ := f.Memory().Read(0, uint32(all))
					memory[0] = 0xa5
					for n := 1; n < len(memory); n *= 2 {
						copy(memory[n:], memory[:n])
					}
					call0(t, f, "lose_stack", 5000)
					end(t, f)
					f.Close()
				}
			}
			if s := tmpl.Stats(); keep > 0 && s.Reset < s.Forks*9/10 || keep < 0 && (s.Reset > 0 || s.Discarded != s.Forks) {
				t.Errorf("keep %d: %+v", keep, s)
			}
			// What was grown must be zero when it is grown again.
			f := fork(t, tmpl, Config{})
			call1(t, f, "grow", 10)
			memory, _ := f.Memory().Read(uint32(size), 10*wasmPage)
			if !isZero(memory) {
				t.Error("grown memory is not zero")
			}
		}
	})
}

func fails(t *testing.T, in *Instance, name string, args ...uint64) {
	t.Helper()
	if _, err := in.Call(context.Background(), name, args...); err == nil {
		t.Errorf("%s did not fail", name)
	}
}

// checksum is of the memory as a guest would see it.
func checksum(t *testing.T, in *Instance, size uint64) [sha256.Size]byte {
	t.Helper()
	memory, ok := in.Memory().Read(0, uint32(size))
	if !ok {
		t.Fatal("memory cannot be read")
	}
	return sha256.Sum256(memory)
}

// TestForkMemoryFull holds that a fork which grew to what its module allows
// is not used again, for its size cannot be taken back.
func TestForkMemoryFull(t *testing.T) {
	m := compile(t, openEngine(t, defaultBacking), "basic", guest(t, "basic.c", "-nostdlib", "-Wl,--no-entry", "-Wl,--max-memory=4194304"))
	tmpl := freeze(t, instantiate(t, m, Config{}), TemplateConfig{})
	f := fork(t, tmpl, Config{})
	begins := call1(t, f, "pages")
	call0(t, f, "grow_or_die", uint64(64-begins))
	f.Close()
	if s := tmpl.Stats(); s.Discarded != 1 || s.Idle != 0 {
		t.Errorf("%+v", s)
	}
	if got := call1(t, fork(t, tmpl, Config{}), "pages"); got != begins {
		t.Errorf("a fork begins with %d pages", got)
	}
}

func TestForkLimits(t *testing.T) {
	eachBacking(t, func(t *testing.T, m *Module) {
		in := instantiate(t, m, Config{Limits: Limits{Memory: 8 << 20}})
		tmpl := freeze(t, in, TemplateConfig{})
		f := fork(t, tmpl, Config{Limits: Limits{Memory: 3 << 20}})
		if got := call1(t, f, "grow", 40); int32(got) != -1 {
			t.Errorf("grew past the fork's limit: %d", got)
		}
		f.Close()
		// The next one has not inherited that.
		f = fork(t, tmpl, Config{})
		if got := call1(t, f, "grow", 40); int32(got) == -1 {
			t.Error("did not grow under the template's limit")
		}
		if got := call1(t, f, "grow", 100); int32(got) != -1 {
			t.Errorf("grew past the template's limit: %d", got)
		}
		if _, err := tmpl.Fork(context.Background(), Config{Limits: Limits{Memory: 9 << 20}}); err == nil {
			t.Error("a limit above the template's was taken")
		}
		_, err := tmpl.Fork(context.Background(), Config{Limits: Limits{Memory: 1 << 20}})
		wantLimit(t, err, wasi.LimitMemory)
		if u := f.Usage(); u.CPU > time.Minute || u.Calls != 2 {
			t.Errorf("a fork begins with the usage of others: %+v", u)
		}
		wide := freeze(t, in, TemplateConfig{Memory: 32 << 20})
		if got := call1(t, fork(t, wide, Config{}), "grow", 400); int32(got) == -1 {
			t.Error("did not grow under the template's own limit")
		}
		if _, err := in.Freeze(TemplateConfig{Memory: 1 << 20}); err == nil {
			t.Error("forks that are smaller than what is frozen")
		}
	})
}

func TestFreezeRefused(t *testing.T) {
	e := openEngine(t, defaultBacking)
	m := compile(t, e, "basic", guest(t, "basic.c"))
	var closed []string
	in := instantiate(t, m, Config{States: []io.Closer{state{&closed, "a", io.ErrShortBuffer}}})
	if _, err := in.Freeze(TemplateConfig{}); !errors.Is(err, ErrFreeze) {
		t.Errorf("a state that refuses: %v", err)
	}
	in = instantiate(t, m, Config{})
	fails(t, in, "die")
	if _, err := in.Freeze(TemplateConfig{}); !errors.Is(err, ErrFreeze) {
		t.Errorf("a guest that ended: %v", err)
	}
	in.Close()
	if _, err := in.Freeze(TemplateConfig{}); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	for name, source := range map[string][]byte{
		"table.set":   one("\x41\x00\xd0\x70\x26\x00", [][]byte{sec(4, "\x70\x00\x01")}, nil),
		"table.grow":  one("\xd0\x70\x41\x01\xfc\x0f\x00\x1a", [][]byte{sec(4, "\x70\x00\x01")}, nil),
		"data.drop":   bin(sec(1, typeVoid), sec(3, "\x00"), sec(5, "\x00\x01"), raw(12, "\x01"), sec(10, fn(none, "\xfc\x09\x00")), sec(11, "\x01\x03abc")),
		"v128 global": bin(sec(6, "\x7b\x01\xfd\x0c0123456789abcdef\x0b")),
		"ref global":  bin(sec(6, "\x70\x01\xd0\x70\x0b")),
		"elem.drop":   one("\xfc\x0d\x00", [][]byte{sec(4, "\x70\x00\x01")}, [][]byte{sec(9, "\x01\x00\x01\x00")}),
	} {
		m := compile(t, e, name, source)
		if _, err := instantiate(t, m, Config{}).Freeze(TemplateConfig{}); !errors.Is(err, ErrFreeze) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestForkHook(t *testing.T) {
	m := compile(t, openEngine(t, defaultBacking), "forked", guest(t, "forked.c"))
	in := instantiate(t, m, Config{Values: withHook(func(context.Context, uint64) uint64 { t.Error("called in the first instance"); return 0 })})
	tmpl := freeze(t, in, TemplateConfig{})
	for seed := range uint64(3) {
		f := fork(t, tmpl, Config{Values: withHook(func(context.Context, uint64) uint64 { return 1000 + seed })})
		if got := call1(t, f, "seed"); uint64(got) != 1000+seed {
			t.Errorf("seeded with %d", got)
		}
		f.Close()
	}
	// A fork whose hook fails is none.
	_, err := tmpl.Fork(context.Background(), Config{Values: withHook(func(context.Context, uint64) uint64 { panic(errHost) })})
	if !errors.Is(err, errHost) {
		t.Errorf("%v", err)
	}
	if s := tmpl.Stats(); s.Live != 0 {
		t.Errorf("%+v", s)
	}
}

func TestReady(t *testing.T) {
	m := compile(t, openEngine(t, defaultBacking), "basic", guest(t, "basic.c"))
	tmpl := freeze(t, instantiate(t, m, Config{}), TemplateConfig{Ready: 3})
	full := func() bool { return tmpl.Stats().Idle >= 3 }
	waitFor(t, "three forks ready", full)
	var forks []*Instance
	for range 3 {
		forks = append(forks, fork(t, tmpl, Config{}))
	}
	waitFor(t, "three more", full)
	for _, f := range forks {
		f.Close()
	}
	if s := tmpl.Stats(); s.Live != 0 || s.Made > 8 {
		t.Errorf("%+v", s)
	}
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatalf("waited for %s", what)
		}
	}
}

func TestTemplateClose(t *testing.T) {
	e := openEngine(t, defaultBacking)
	m := compile(t, e, "basic", guest(t, "basic.c"))
	in := instantiate(t, m, Config{})
	tmpl := freeze(t, in, TemplateConfig{Ready: 2})
	f := fork(t, tmpl, Config{})
	in.Close()
	m.Close()
	if err := e.Close(); !errors.Is(err, ErrInUse) {
		t.Errorf("closing an engine in use: %v", err)
	}
	tmpl.Close()
	tmpl.Close()
	if _, err := tmpl.Fork(context.Background(), Config{}); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
	if got := call1(t, f, "next"); got != 100 {
		t.Errorf("a fork whose template is closed: %d", got)
	}
	f.Close()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// TestForksTogether forks, writes, ends and closes from several goroutines,
// some of them while others close the same instance or the template.
func TestForksTogether(t *testing.T) {
	eachBacking(t, func(t *testing.T, m *Module) {
		in := instantiate(t, m, Config{})
		at := uint64(call1(t, in, "buffer_at"))
		tmpl, err := in.Freeze(TemplateConfig{Ready: 2, Keep: 3})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for worker := range 6 {
			wg.Go(func() {
				for i := range scale(5000, 200, 50) {
					f, err := tmpl.Fork(context.Background(), Config{})
					if errors.Is(err, ErrClosed) && i > 0 {
						return
					} else if err != nil {
						t.Error(err)
						return
					}
					if got := call1(t, f, "next"); got != 100 {
						t.Errorf("next is %d", got)
					}
					for page := range uint64(8) {
						if got := call1(t, f, "peek", at+page*4096); got != 0 {
							t.Errorf("memory is %d", got)
						}
						call0(t, f, "poke", at+page*4096, uint64(worker+1))
					}
					if i%10 == 0 {
						go f.Close()
						for range 100 {
							if _, err := f.Call(context.Background(), "work", 1000); err != nil && !errors.Is(err, ErrClosed) {
								t.Error(err)
							}
						}
					}
					f.Usage()
					f.Close()
				}
			})
		}
		wg.Wait()
		tmpl.Close()
	})
}
