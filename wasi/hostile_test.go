package wasi

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// everything is each function once.
func everything() []function {
	var all []function
	for _, group := range [][]function{preview1, wasmEdge, firstWasmEdge, unstable} {
		all = append(all, group...)
	}
	return all
}

// hurried is a clock on which all waiting is over at once.
type hurried struct{ now int64 }

func (c *hurried) Realtime() int64  { return c.now }
func (c *hurried) Monotonic() int64 { return c.now }
func (c *hurried) After(d time.Duration) (<-chan time.Time, func()) {
	c.now += int64(d)
	done := make(chan time.Time)
	close(done)
	return done, func() {}
}

// nowhere finds one address for every name.
type nowhere struct{}

func (nowhere) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// hostile calls functions as data says: what a call is given is drawn from a
// generator that data seeds, mostly from what could mean something.
type hostile struct {
	t      testing.TB
	grants *Grants
	random *rand.Rand
	memory memory
}

func newHostile(t testing.TB) *hostile {
	dir := t.TempDir()
	for _, name := range []string{"f", "d/g"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte("content"), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	memory := NewMemoryFS(1 << 16)
	fixed := NewMemoryFS(1 << 16)
	if err := fixed.WriteFile("d/f", []byte("content")); err != nil {
		t.Fatal(err)
	}
	g, err := OpenGrants(GrantConfig{
		Dirs: []DirGrant{{Host: dir, Guest: "/host"}, {Host: dir, Guest: "/fixed", ReadOnly: true}},
		Mounts: []Mount{
			{Dir: memory.Root(), Guest: "/memory"},
			{Dir: fixed.Root(), Guest: "/constant", ReadOnly: true},
			{Dir: FSDir(os.DirFS(dir)), Guest: "/fs"},
		},
		Listeners: []Listener{
			{Guest: 80, Host: netip.MustParseAddrPort("127.0.0.1:0"), Network: "tcp", Preopened: true},
			{Guest: 53, Host: netip.MustParseAddrPort("127.0.0.1:0"), Network: "udp"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return &hostile{t: t, grants: g, memory: make([]byte, 1<<16)}
}

var words = []string{"f", "d", "d/g", "..", ".", "d/../f", "l", "/", "new", "new/x", "null", "urandom", "d/", "\x00", "\xff", "db.internal\x00", "80"}

// fill lays out paths, lists of buffers, addresses and subscriptions.
func (h *hostile) fill() {
	r := h.random
	for i := 0; i < len(h.memory); i += 8 {
		le.PutUint64(h.memory[i:], r.Uint64()>>(8*r.IntN(9)%64))
	}
	at := 0
	for _, w := range words {
		copy(h.memory[at:], w)
		at += 16
	}
	for i := range 32 { // addresses of small buffers, and where addresses lie
		le.PutUint32(h.memory[1024+8*i:], uint32(r.IntN(len(h.memory)+64)))
		le.PutUint32(h.memory[1028+8*i:], []uint32{0, 1, 4, 16, 128, 26, 1000, 1 << 31}[r.IntN(8)])
	}
	for i := range 32 { // subscriptions
		s := h.memory[2048+48*i:]
		s[8] = byte(r.IntN(4))
		le.PutUint32(s[16:], uint32(r.IntN(16)))
		le.PutUint64(s[24:], r.Uint64()>>r.IntN(64))
		le.PutUint16(s[40:], uint16(r.IntN(3)))
	}
}

// argument draws a number that might be a descriptor, a pointer or a length.
func (h *hostile) argument() uint64 {
	r := h.random
	switch r.IntN(12) {
	case 0:
		return r.Uint64()
	case 1:
		return uint64(len(h.memory) - r.IntN(32))
	case 2:
		return ^uint64(0) - uint64(r.IntN(8))
	case 3:
		return 1<<31 - uint64(r.IntN(3)) + 1
	case 4:
		return uint64(1024 + 8*r.IntN(32))
	case 5:
		return uint64(2048 + 48*r.IntN(8))
	case 6:
		return uint64(16 * r.IntN(len(words)))
	case 7, 8:
		return uint64(r.IntN(4))
	case 9:
		return uint64(r.IntN(len(h.memory)))
	}
	return uint64(r.IntN(20))
}

// run makes a System and calls n functions.
func (h *hostile) run(seed uint64, n int) {
	h.random = rand.New(rand.NewPCG(seed, 1))
	net, err := ParseNetwork([]string{"127.0.0.0/8:*", "127.0.0.0/8:*/udp", "db.internal:*"}, nowhere{})
	if err != nil {
		h.t.Fatal(err)
	}
	s, err := NewSystem(Config{
		Args: []string{"a", "bc"}, Env: []string{"A=b"},
		Stdin: bytes.NewReader(make([]byte, 100)), Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{},
		Grants: h.grants, Tmp: []Tmp{{"/tmp", 1 << 16}}, Devices: true, Network: net,
		Clock: &hurried{now: 1}, OpenFiles: 40, Output: 1 << 20,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	defer s.Close()
	all := everything()
	for range n {
		h.fill()
		h.call(s, all[h.random.IntN(len(all))])
	}
}

func (h *hostile) call(s *System, f function) {
	p := make([]uint64, 10)
	for i, c := range f.params {
		if p[i] = h.argument(); c == 'i' {
			p[i] = uint64(uint32(p[i]))
		}
	}
	if f.name == "fd_allocate" {
		p[1], p[2] = p[1]%(1<<20), p[2]%(1<<20) // the disk is not the test's to fill
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	defer func() {
		switch err := recover().(type) {
		case nil, *ExitError, *LimitError:
		case error:
			if !errors.Is(err, context.DeadlineExceeded) {
				h.t.Fatalf("%s%x: panic: %v", f.name, p, err)
			}
		default:
			h.t.Fatalf("%s%x: panic: %v", f.name, p, err)
		}
	}()
	began := time.Now()
	f.call(ctx, s, h.memory, p)
	if d := time.Since(began); d > 20*time.Second {
		h.t.Fatalf("%s%x took %v", f.name, p, d)
	}
}

// Whatever a guest gives a function: an errno, or an end that has a type.
func TestHostileCalls(t *testing.T) {
	h := newHostile(t)
	rounds := 60
	if testing.Short() {
		rounds = 20
	}
	for seed := range uint64(rounds) {
		h.run(seed, 100)
	}
}

func FuzzCalls(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, uint8(50))
	}
	h := newHostile(f)
	f.Fuzz(func(t *testing.T, seed uint64, n uint8) {
		h.t = t
		h.run(seed, int(n))
	})
}

// A guest without memory, and pointers at its very end.
func TestMemoryBounds(t *testing.T) {
	h := newHostile(t)
	h.random = rand.New(rand.NewPCG(1, 2))
	s, err := NewSystem(Config{Grants: h.grants})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, size := range []int{0, 1, 3, 7, 31} {
		h.memory = make([]byte, size)
		for _, f := range everything() {
			for range 20 {
				p := make([]uint64, 10)
				for i := range f.params {
					p[i] = uint64(h.random.IntN(size + 2))
				}
				func() {
					defer func() {
						switch err := recover().(type) {
						case nil, *ExitError:
						default:
							t.Errorf("%s%d: panic: %v", f.name, p, err)
						}
					}()
					ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
					defer cancel()
					f.call(ctx, s, h.memory, p)
				}()
			}
		}
	}
}
