package worker

import (
	"bytes"
	"slices"
	"testing"
)

func FuzzFields(f *testing.F) {
	f.Add([]byte{})
	f.Add(appendFields(nil, []field{{"a", "b"}, {"content-type", ""}}))
	f.Add([]byte{255, 255, 255, 255})
	f.Add([]byte{1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		fields, err := parseFields(b)
		if err != nil || len(b) == 0 {
			return
		}
		again := appendFields(nil, fields)
		if !bytes.Equal(again, b) || fieldsSize(fields) != len(b) {
			t.Errorf("%x is read and written as %x", b, again)
		}
	})
}

func TestFields(t *testing.T) {
	want := []field{{":method", "GET"}, {"accept", "*/*"}, {"x", ""}}
	got, err := parseFields(appendFields(nil, want))
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, b := range [][]byte{{1}, {2, 0, 0, 0, 1}, appendFields(nil, want)[:30], append(appendFields(nil, want), 0)} {
		if fields, err := parseFields(b); err == nil {
			t.Errorf("%x passes as %v", b, fields)
		}
	}
}
