package filter

import (
	"errors"
	"slices"
	"testing"
)

func TestPairs(t *testing.T) {
	for _, pairs := range [][][2]string{{}, {{"a", "b"}}, {{":status", "200"}, {"empty", ""}, {"a", "x\x00y"}}} {
		if got := parsePairs(appendPairs(nil, pairs)); !slices.Equal(got, pairs) {
			t.Errorf("%q became %q", pairs, got)
		}
	}
}

func FuzzPairs(f *testing.F) {
	f.Add(appendPairs(nil, [][2]string{{"name", "value"}, {"", ""}}))
	f.Add([]byte{255, 255, 255, 255, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		pairs := parsePairs(b)
		if again := parsePairs(appendPairs(nil, pairs)); !slices.Equal(again, pairs) {
			t.Fatalf("%q became %q", pairs, again)
		}
	})
}

// told notes events.
type told struct{ list []string }

func (e *told) Headers(_ *Call, h [][2]string) { e.list = append(e.list, "headers "+h[0][1]) }
func (e *told) Readable(*Call)                 { e.list = append(e.list, "readable") }
func (e *told) Writable(*Call)                 { e.list = append(e.list, "writable") }
func (e *told) End(*Call, [][2]string)         { e.list = append(e.list, "end") }
func (e *told) Failed(_ *Call, err error)      { e.list = append(e.list, err.Error()) }

// TestEvents: each event goes to its call, as long as that is under way.
func TestEvents(t *testing.T) {
	a, b := &told{}, &told{}
	calls[7], calls[8] = &Call{number: 7, events: a}, &Call{number: 8, events: b}
	event := func(call, kind uint32, data []byte) {
		deliver(append(le.AppendUint32(le.AppendUint32(nil, call), kind), data...))
	}
	event(7, 1, appendPairs(nil, [][2]string{{":status", "200"}}))
	event(8, 3, nil)
	event(7, 2, nil)
	event(8, 5, []byte("timeout"))
	event(8, 2, nil)
	event(7, 4, appendPairs(nil, nil))
	event(7, 2, nil)
	event(9, 2, nil)
	deliver([]byte{7})
	if want := []string{"headers 200", "readable", "end"}; !slices.Equal(a.list, want) {
		t.Errorf("%q, not %q", a.list, want)
	}
	if want := []string{"writable", "timeout"}; !slices.Equal(b.list, want) || len(calls) != 0 {
		t.Errorf("%q, not %q; %d calls are left", b.list, want, len(calls))
	}
	if _, err := Open(0, Request{}, a); !errors.Is(err, Unimplemented) {
		t.Errorf("outside of Wasm: %v", err)
	}
}
