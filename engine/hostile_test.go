package engine

import (
	"context"
	"errors"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/hako-run/hako/wasi"
)

// TestInside holds that what package engine reads of wazero is there.
func TestInside(t *testing.T) {
	in := basic(t, Config{})
	if !in.body.inside.ok || in.body.made == nil {
		t.Fatal("wazero keeps its stacks or references in another way than inside.go knows")
	}
	add := in.module.functions["add"]
	fn := in.body.take(add, in.body.pool(add))
	if n := in.body.inside.stacks(fn); n < 4096 || n > 1<<20 {
		t.Errorf("a fresh stack has %d bytes", n)
	}
	// A table with an imported function is filled with references when the module is instantiated.
	m := compile(t, openEngine(t, defaultBacking), "table", tableModule([][]byte{sec(9, "\x00\x41\x00\x0b\x02\x00\x01")}, nil))
	if instantiate(t, m, Config{}).body.begins == 0 {
		t.Error("no references for a module with a table")
	}
}

// hostHeap is the size of the objects of Go's heap.
func hostHeap() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}

// TestHostile runs guests that mean harm, holds that they end and how, and
// that the host does not pay with more than some memory for it.
func TestHostile(t *testing.T) {
	table := sec(4, "\x70\x00\x01")
	tests := []struct {
		name   string
		source []byte
		kind   TrapKind // or
		limit  string
	}{
		{"recursion", one("\x10\x00", nil, nil), TrapStack, ""},
		{"recursion within try_table", one("\x1f\x40\x01\x02\x00\x10\x00\x0b", nil, nil), TrapStack, ""},
		{"deep, then recursion within try_table", bin(sec(1, typeVoid, "\x60\x01\x7f\x00"), sec(3, "\x00", "\x00", "\x01"), sec(7, export("f", 0, 0)), sec(10,
			fn(none, "\x41\x80\x80\x18\x10\x02"),
			fn(none, "\x1f\x40\x01\x02\x00\x10\x01\x0b"),
			fn(none, "\x20\x00\x45\x04\x40\x10\x01\x05\x20\x00\x41\x01\x6b\x10\x02\x0b"))), TrapStack, ""},
		{"quick, then recursion within try_table", bin(sec(1, typeVoid), sec(3, "\x00", "\x00"), sec(7, export("f", 0, 0)), sec(10,
			fn("\x01\x01\x7f", "\x41\x80\x80\x80\x20\x21\x00\x03\x40\x20\x00\x41\x01\x6b\x22\x00\x0d\x00\x0b\x10\x01"),
			fn(none, "\x1f\x40\x01\x02\x00\x10\x01\x0b"))), TrapStack, ""},
		{"references", one("\x03\x40\xd2\x00\x1a\x0c\x00\x0b", nil, [][]byte{sec(9, "\x03\x00\x01\x00")}), TrapReferences, ""},
		{"a loop", one("\x03\x40\x0c\x00\x0b", nil, nil), 0, wasi.LimitCPU},
		{"tail calls", one("\x12\x00", nil, nil), 0, wasi.LimitCPU},
		{"growing memory", one("\x03\x40\x41\x01\x40\x00\x1a\x0c\x00\x0b", [][]byte{sec(5, "\x00\x01")}, nil), 0, wasi.LimitCPU},
		{"growing a table", one("\x03\x40\xd0\x70\x41\x80\x80\x04\xfc\x0f\x00\x1a\x0c\x00\x0b", [][]byte{table}, nil), 0, wasi.LimitCPU},
		{"filling memory", one("\x03\x40\x41\x00\x41\x01\x41\x80\x80\x80\x02\xfc\x0b\x00\x0c\x00\x0b", [][]byte{sec(5, "\x00\x80\x01")}, nil), 0, wasi.LimitCPU},
		{"throwing", bin(sec(1, typeVoid), sec(3, "\x00"), sec(13, "\x00\x00"), sec(7, export("f", 0, 0)),
			sec(10, fn(none, "\x03\x40\x02\x40\x1f\x40\x01\x02\x00\x08\x00\x0b\x0b\x0c\x00\x0b"))), 0, wasi.LimitCPU},
		{"a caught end", one("\x03\x40\x02\x40\x1f\x40\x01\x02\x00\x03\x40\x0c\x00\x0b\x0b\x0b\x0c\x00\x0b", nil, nil), 0, wasi.LimitCPU},
	}
	e := openEngine(t, defaultBacking)
	for _, test := range tests {
		t.Run(strings.ReplaceAll(test.name, " ", "-"), func(t *testing.T) {
			m := compile(t, e, test.name, test.source)
			limits := Limits{CPU: time.Minute, Memory: 16 << 20}
			if test.limit != "" {
				limits.CPU = 300 * time.Millisecond
			}
			in := instantiate(t, m, Config{Limits: limits})
			tmpl, _ := in.Freeze(TemplateConfig{})
			if tmpl != nil {
				defer tmpl.Close()
				in = fork(t, tmpl, Config{Limits: limits})
			}
			before, most := hostHeap(), int64(0)
			over := make(chan struct{})
			go func() {
				defer close(over)
				for in.Usage().Calls == 0 {
					most = max(most, hostHeap()-before)
					time.Sleep(time.Millisecond)
				}
			}()
			var err error
			within(t, 2*time.Minute, test.name, func() { _, err = in.Call(context.Background(), "f") })
			<-over
			var trap *TrapError
			switch {
			case test.limit != "":
				wantLimit(t, err, test.limit)
			case !errors.As(err, &trap) || trap.Kind != test.kind:
				t.Errorf("%v", err)
			case len(err.Error()) > 2000:
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			if most > 1<<30 {
				t.Errorf("it took %d MiB of the host's memory", most>>20)
			}
			t.Logf("%v, at most %d MiB of the host's memory", in.Usage().CPU, most>>20)
			in.Close()
			if tmpl != nil {
				f := fork(t, tmpl, Config{Limits: limits})
				if u := f.Usage(); u.CPU != 0 {
					t.Errorf("the next fork begins with %v", u.CPU)
				}
				if test.kind == TrapReferences && tmpl.Stats().Reset > 0 {
					t.Error("a fork that holds references was used again")
				}
			}
		})
	}
}

// TestHugeMemory declares as much memory as there can be.
func TestHugeMemory(t *testing.T) {
	huge := func(pages string) []byte {
		return one("\x41\xfc\xff\xff\x07\x41\x07\x36\x02\x00\x3f\x00\x41\x80\x80\x04\x6c\x41\x04\x6b\x41\x07\x36\x02\x00",
			[][]byte{sec(5, "\x00"+pages)}, nil)
	}
	e := openEngine(t, defaultBacking)
	if _, mapped := e.backing.(heapBacking); mapped {
		t.Skip("memories are plain bytes here: it would take 4 GiB")
	}
	m := compile(t, e, "huge", huge("\xff\xff\x03"))
	_, err := m.Instantiate(context.Background(), Config{Limits: Limits{Memory: 1 << 30}})
	wantLimit(t, err, wasi.LimitMemory)
	in := instantiate(t, m, Config{})
	call0(t, in, "f") // writes near the beginning and at the very end
	if u := in.Usage(); u.Memory != maxPages*wasmPage {
		t.Errorf("a memory of %d bytes", u.Memory)
	}

	if testing.Short() {
		return
	}
	const large = 256 << 20
	tmpl := freeze(t, instantiate(t, compile(t, e, "large", huge("\x80\x20")), Config{}), TemplateConfig{})
	f := fork(t, tmpl, Config{})
	call0(t, f, "f")
	again := freeze(t, f, TemplateConfig{})
	for tmpl, most := range map[*Template]int64{tmpl: 0, again: large} {
		if b, stored := tmpl.Size(); b != large || stored != most {
			t.Errorf("the image stores %d of %d bytes", stored, b)
		}
	}
}
