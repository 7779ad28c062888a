package engine

import (
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
