package wasm_test

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/tetratelabs/wazero"
)

var long = flag.Bool("long", os.Getenv("HAKO_LONG") != "", "run the long forms of the tests")

// TestBulk: memory.fill and memory.copy do what they did, in pieces: for all
// kinds of overlaps, and all or nothing when out of bounds.
func TestBulk(t *testing.T) {
	const pages = 32
	const size = pages * 65536
	args := cat(0x20, 0, 0x20, 1, 0x20, 2)
	source := spec{
		memory:  []byte{1, 1, pages, pages},
		exports: [][]byte{cat(str("memory"), 2, 0)},
		funcs: []function{
			{typ: tThree, code: cat(args, 0xfc, 11, 0), export: "fill"},
			{typ: tThree, code: cat(args, 0xfc, 10, 0, 0), export: "copy"},
		},
	}.build()
	checks := 0
	ctx, r, c := interrupted(t, source, func() int32 { checks++; return 1 })
	mod, err := r.InstantiateModule(ctx, c, wazero.NewModuleConfig())
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	want, _ := mod.Memory().Read(0, size)
	for i := range want {
		want[i] = byte(random.Uint32())
	}
	want = bytes.Clone(want)
	number := func() uint64 {
		switch random.IntN(8) {
		case 0:
			return uint64(random.Uint32())
		case 1:
			return uint64(random.IntN(3))
		case 2:
			return size - uint64(random.IntN(3))
		case 3:
			return 256<<10 + uint64(random.IntN(5)) - 2
		default:
			return uint64(random.IntN(size))
		}
	}
	for range 400 {
		dst, src, n := number(), number(), number()
		if random.IntN(2) == 0 {
			src = dst + uint64(random.IntN(1<<20)) - 1<<19 // near each other
			src &= 1<<32 - 1
		}
		if random.IntN(3) > 0 {
			n %= size/2 + 1
		}
		fits := dst+n <= size
		before := checks
		if random.IntN(2) == 0 {
			_, err = mod.ExportedFunction("fill").Call(ctx, dst, src, n)
			if fits {
				for i := range n {
					want[dst+i] = byte(src)
				}
			}
		} else {
			_, err = mod.ExportedFunction("copy").Call(ctx, dst, src, n)
			if fits = fits && src+n <= size; fits {
				copy(want[dst:dst+n], want[src:src+n])
			}
		}
		if (err == nil) != fits {
			t.Fatalf("dst %d, src %d, n %d: %v", dst, src, n, err)
		}
		if fits && n > 512<<10 && checks-before < 2 {
			t.Errorf("%d bytes with %d checks", n, checks-before)
		}
		if got, _ := mod.Memory().Read(0, size); !bytes.Equal(got, want) {
			t.Fatalf("dst %d, src %d, n %d: the memory differs", dst, src, n)
		}
	}
}
