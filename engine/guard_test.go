package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
)

// access is an instruction that reads or writes size bytes of memory.
type access struct {
	name   string
	code   string // without alignment and offset
	size   uint64
	value  string // pushes what is stored, for stores
	align  uint64 // that it needs
	offset uint64
}

var guardOffsets = []uint64{0, 1, 7, 65535, 65536, 64<<20 - 16, 64<<20 - 1, 64 << 20, 1 << 31, 1<<32 - 1}

func accesses() []access {
	var list []access
	add := func(name, code string, size uint64, value string, align uint64) {
		for _, offset := range guardOffsets {
			if offset%align == 0 {
				list = append(list, access{fmt.Sprintf("%s %d", name, offset), code, size, value, align, offset})
			}
		}
	}
	for i, size := range []uint64{4, 8, 4, 8, 1, 1, 2, 2, 1, 1, 2, 2, 4, 4} {
		add(fmt.Sprintf("load %#x", 0x28+i), string([]byte{byte(0x28 + i)}), size, "", 1)
	}
	const i32, i64, f32, f64 = "\x41\x00", "\x42\x00", "\x43\x00\x00\x00\x00", "\x44\x00\x00\x00\x00\x00\x00\x00\x00"
	for i, s := range []struct {
		size  uint64
		value string
	}{{4, i32}, {8, i64}, {4, f32}, {8, f64}, {1, i32}, {2, i32}, {1, i64}, {2, i64}, {4, i64}} {
		add(fmt.Sprintf("store %#x", 0x36+i), string([]byte{byte(0x36 + i)}), s.size, s.value, 1)
	}
	for op, size := range []uint64{16, 8, 8, 8, 8, 8, 8, 1, 2, 4, 8} {
		add(fmt.Sprintf("v128 load %d", op), "\xfd"+string([]byte{byte(op)}), size, "", 1)
	}
	add("v128 store", "\xfd\x0b", 16, "\xfd\x0c"+string(make([]byte, 16)), 1)
	add("v128 load32_zero", "\xfd\x5c", 4, "", 1)
	add("v128 load64_zero", "\xfd\x5d", 8, "", 1)
	add("atomic load", "\xfe\x10", 4, "", 4)
	add("atomic store", "\xfe\x17", 4, i32, 4)
	return list
}

// constants are addresses that are written in the code.
var constants = []uint32{0, 8, wasmPage - 16, wasmPage - 8, wasmPage, 1<<31 - 8, 1 << 31, 1<<32 - 16, 1<<32 - 4}

// constantModule has for each access and constant a function that makes it,
// exported as "access constant".
func constantModule(list []access) []byte {
	var types, exports, bodies []string
	for i, a := range list {
		for _, c := range constants {
			address := "\x41" + string(sleb(int32(c)))
			types = append(types, "\x00")
			exports = append(exports, exported(fmt.Sprint(i, c), len(bodies)))
			bodies = append(bodies, fn(none, address+a.body()))
		}
	}
	return bin(sec(1, typeVoid), sec(3, types...), sec(5, "\x01\x01\x01"), sec(7, exports...), sec(10, bodies...))
}

// sleb is a number in signed LEB128.
func sleb(n int32) (b []byte) {
	for {
		low := byte(n & 0x7f)
		n >>= 7
		if n == 0 && low&0x40 == 0 || n == -1 && low&0x40 != 0 {
			return append(b, low)
		}
		b = append(b, low|0x80)
	}
}

// body is the code that makes an access to the address on the stack.
func (a access) body() string {
	align := byte(bits.TrailingZeros64(a.align))
	code := a.value + a.code + string([]byte{align}) + string(uleb(a.offset))
	if a.value == "" {
		code += "\x1a" // drop
	}
	return code
}

// accessModule has for each access a function of an address that makes it, and
// grow, all exported by number; grow is the last.
func accessModule(list []access) []byte {
	var types, exports, bodies []string
	for i, a := range list {
		types = append(types, "\x00")
		bodies = append(bodies, fn(none, "\x20\x00"+a.body()))
		exports = append(exports, exported(fmt.Sprint(i), i))
	}
	types = append(types, "\x00")
	bodies = append(bodies, fn(none, "\x20\x00\x40\x00\x1a"))
	exports = append(exports, exported("grow", len(list)))
	return bin(sec(1, "\x60\x01\x7f\x00"), sec(3, types...), sec(5, "\x01\x01\x03"), sec(7, exports...), sec(10, bodies...))
}

func exported(name string, index int) string {
	return string(uleb(uint64(len(name)))) + name + "\x00" + string(binary.AppendUvarint(nil, uint64(index)))
}

// TestBounds holds that each kind of access works exactly as far as the memory
// goes, in new instances and in used ones, after growing and after being reset.
func TestBounds(t *testing.T) {
	list := accesses()
	for name, back := range backings() {
		t.Run(name, func(t *testing.T) {
			m := compile(t, openEngine(t, back), "accesses", accessModule(list))
			tmpl := freeze(t, instantiate(t, m, Config{}), TemplateConfig{})
			in := fork(t, tmpl, Config{})
			memory := uint64(wasmPage)
			again := func() {
				in.Close()
				in, memory = fork(t, tmpl, Config{}), wasmPage
			}
			try := func(i int, address uint64) {
				t.Helper()
				a := list[i]
				_, err := in.Call(context.Background(), fmt.Sprint(i), address)
				if beyond := address+a.offset+a.size > memory; !beyond {
					if err != nil {
						t.Fatalf("%s at %d of %d bytes: %v", a.name, address, memory, err)
					}
					return
				}
				if trap := (*TrapError)(nil); !errors.As(err, &trap) || trap.Kind != TrapOutOfBounds {
					t.Fatalf("%s at %d of %d bytes: %v, not out of bounds", a.name, address, memory, err)
				}
				again()
			}
			random := rand.New(rand.NewPCG(1, 2))
			for i, a := range list {
				aligned := func(n uint64) uint64 { return n &^ (a.align - 1) }
				for range scale(20, 2, 1) {
					if random.IntN(2) == 0 {
						by := 1 + random.Uint64N(2)
						call0(t, in, "grow", by)
						if memory+by*wasmPage <= 3*wasmPage {
							memory += by * wasmPage
						}
					}
					if last := aligned(memory - a.size - min(a.offset, memory-a.size)); a.offset+a.size <= memory {
						try(i, last)
						try(i, last+a.align)
					}
					try(i, aligned(1<<32-1))
					try(i, aligned(random.Uint64N(1<<32)))
					try(i, aligned(memory))
					try(i, 0)
				}
			}
		})
	}
}

// TestConstantBounds does so where the compiler knows the address.
func TestConstantBounds(t *testing.T) {
	list := accesses()
	m := compile(t, openEngine(t, defaultBacking), "constants", constantModule(list))
	tmpl := freeze(t, instantiate(t, m, Config{}), TemplateConfig{})
	for i, a := range list {
		for _, c := range constants {
			in := fork(t, tmpl, Config{})
			_, err := in.Call(context.Background(), fmt.Sprint(i, c))
			if beyond := uint64(c)+a.offset+a.size > wasmPage; beyond != outside(err) || !beyond && err != nil {
				t.Errorf("%s at the constant %#x: %v", a.name, c, err)
			}
			in.Close()
		}
	}
}

// TestBoundsTogether has many goroutines run out of bounds at once, also below
// a host function and after the goroutine has moved to another thread.
func TestBoundsTogether(t *testing.T) {
	m := compile(t, openEngine(t, defaultBacking), "basic", guest(t, "basic.c"))
	tmpl := freeze(t, instantiate(t, m, Config{}), TemplateConfig{})
	var all sync.WaitGroup
	for g := range 16 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(g), 0))
			for i := range scale(5000, 200, 40) {
				in, err := tmpl.Fork(context.Background(), Config{})
				if err != nil {
					t.Error(err)
					return
				}
				far := uint64(wasmPage)*uint64(1000+random.IntN(50000)) + random.Uint64N(wasmPage)
				ctx := context.Background()
				hooked := withHook(func(_ context.Context, n uint64) uint64 {
					runtime.Gosched()
					inner, err := tmpl.Fork(ctx, Config{})
					if err != nil {
						t.Error(err)
						return 0
					}
					defer inner.Close()
					if _, err := inner.Call(ctx, "peek", far); !outside(err) {
						t.Errorf("below a host function: %v", err)
					}
					return n
				})
				if i%3 == 0 {
					if _, err := in.Call(hooked, "call_host", 1); err != nil {
						t.Error(err)
					}
				}
				if i%16 == 0 {
					runtime.GC()
				}
				if _, err := in.Call(ctx, "peek", far); !outside(err) {
					t.Errorf("read of %d: %v", far, err)
				}
				in.Close()
			}
		})
	}
	all.Wait()
}

func outside(err error) bool {
	trap := (*TrapError)(nil)
	return errors.As(err, &trap) && trap.Kind == TrapOutOfBounds
}
