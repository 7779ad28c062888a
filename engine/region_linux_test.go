package engine

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestLittleAddressSpace runs itself under "ulimit -v": an instance without a
// memory limit then gets what there is, and the next ones less.
func TestLittleAddressSpace(t *testing.T) {
	if os.Getenv("HAKO_TEST_ULIMIT") == "" {
		if testing.Short() {
			t.Skip("the race detector needs more address space than that")
		}
		cmd := exec.Command("sh", "-c", `ulimit -v 5000000 && exec "$0" -test.run '^TestLittleAddressSpace$' -test.v`, os.Args[0])
		cmd.Env = append(os.Environ(), "HAKO_TEST_ULIMIT=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "PASS") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	m := compile(t, openEngine(t, defaultBacking), "basic", guest(t, "basic.c"))
	var room []uint64
	for range 4 {
		in := instantiate(t, m, Config{})
		room = append(room, in.body.memory.room)
		if got := call1(t, in, "grow", 100); int32(got) == -1 {
			t.Error("did not grow by 100 pages")
		}
		if got := call1(t, in, "grow", room[len(room)-1]/wasmPage); int32(got) != -1 {
			t.Error("grew past what is reserved")
		}
		if got := call1(t, in, "add", 1, 2); got != 3 {
			t.Errorf("%d", got)
		}
	}
	if room[0] >= 4<<30 || room[3] > room[0] {
		t.Errorf("reserved %v", room)
	}
	instantiate(t, m, Config{Limits: Limits{Memory: 16 << 20}}) // a small one still fits
}

// TestReset holds that a reset restores everything, with few pages written
// and with too many to be copied back.
func TestReset(t *testing.T) {
	for _, dirty := range []int{1, warmPages - 10, warmPages + 10, 4 * warmPages} {
		back := mappedBacking{}
		frozen := make([]byte, 8*warmPages*pageSize)
		for i := 0; i < len(frozen)/2; i += 1000 {
			frozen[i] = byte(i)
		}
		img, err := back.freeze(frozen)
		if err != nil {
			t.Fatal(err)
		}
		r, err := back.reserve(2 * img.size())
		if err != nil {
			t.Fatal(err)
		}
		if err := r.load(img); err != nil {
			t.Fatal(err)
		}
		for round := range 3 {
			b, err := r.bytes(img.size() + 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if string(b[:len(frozen)]) != string(frozen) || !isZero(b[len(frozen):]) {
				t.Fatalf("%d dirty pages, round %d: not what was frozen", dirty, round)
			}
			for i := range dirty {
				b[uint64(i)*2*pageSize%uint64(len(b))] ^= 0xff
			}
			b[len(b)-1] = 1
			if err := r.reset(); err != nil {
				t.Fatal(err)
			}
		}
		r.free()
		img.free()
	}
}

// warm is how many pages a region has of its own, -1 where the kernel cannot
// tell.
func (r *mappedRegion) warm() int {
	var ranges [4096]pageRange
	start := uint64(uintptr(r.base))
	n, ok := scanPrivate(openPagemap(), start, start+roundPage(r.size), ranges[:])
	if !ok {
		return -1
	}
	pages := 0
	for _, p := range ranges[:n] {
		pages += int((p.end - p.start) / pageSize)
	}
	return pages
}

// TestResetRandomly compares a region with what was frozen after resets of
// writes of all sizes, and where the kernel does not tell what was written.
func TestResetRandomly(t *testing.T) {
	notPagemap, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer notPagemap.Close()
	real := openPagemap
	defer func() { openPagemap = real }()
	broken := []func() int{real, func() int { return -1 }, func() int { return int(notPagemap.Fd()) }}
	random := rand.New(rand.NewPCG(1, 2))
	frozen := make([]byte, 3000*4096/wasmPage*wasmPage)
	for i := range len(frozen) / 2 {
		if random.IntN(50) == 0 {
			frozen[i] = byte(random.Uint32())
		}
	}
	img, err := mappedBacking{}.freeze(frozen)
	if err != nil {
		t.Fatal(err)
	}
	defer img.free()
	r, err := mappedBacking{}.reserve(2 * img.size())
	if err != nil {
		t.Fatal(err)
	}
	defer r.free()
	if err := r.load(img); err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, img.size())
	for round := range 150 {
		size := img.size()
		if random.IntN(4) == 0 {
			size += uint64(random.IntN(int(img.size()/wasmPage))) * wasmPage
		}
		b, err := r.bytes(size)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b[:len(frozen)], frozen) || !bytes.Equal(b[len(frozen):], zeros[:len(b)-len(frozen)]) {
			t.Fatalf("round %d: not what was frozen", round)
		}
		writes := random.IntN(100)
		if random.IntN(20) == 0 {
			writes = random.IntN(5000)
		}
		for range writes {
			at := random.IntN(len(b))
			switch random.IntN(4) {
			case 0: // the same again, which makes a page one's own
				b[at] ^= 1
				b[at] ^= 1
			case 1:
				clear(b[at:min(at+random.IntN(10000), len(b))])
			default:
				b[at] = byte(random.Uint32())
			}
		}
		openPagemap = real
		if random.IntN(10) == 0 {
			openPagemap = broken[random.IntN(len(broken))]
		}
		if err := r.reset(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestResetForgets holds that pages that one fork wrote and no other are given
// back after a while, and those that all write are kept.
func TestResetForgets(t *testing.T) {
	img, err := mappedBacking{}.freeze(bytes.Repeat([]byte{1}, 1024*int(pageSize)))
	if err != nil {
		t.Fatal(err)
	}
	defer img.free()
	made, err := mappedBacking{}.reserve(img.size())
	if err != nil {
		t.Fatal(err)
	}
	defer made.free()
	if err := made.load(img); err != nil {
		t.Fatal(err)
	}
	r := made.(*mappedRegion)
	write := func(pages int) int {
		b, err := r.bytes(img.size())
		if err != nil {
			t.Fatal(err)
		}
		for i := range pages {
			b[uint64(i)*pageSize] = 2
		}
		if err := r.reset(); err != nil {
			t.Fatal(err)
		}
		return r.warm()
	}
	first := write(1000)
	if first < 0 {
		t.Skip("this kernel does not tell which pages were written: Linux 6.7 does")
	}
	var warm []int
	for range 2 * staleResets {
		warm = append(warm, write(10))
	}
	if first != 1000 || warm[0] != 1000 || warm[len(warm)-1] != 10 {
		t.Errorf("%d pages after the one, %v after the others", first, warm)
	}
	for range 2 * staleResets {
		first = write(500)
	}
	if first != 500 {
		t.Errorf("%d pages are kept of 500 that are always written", first)
	}
}
