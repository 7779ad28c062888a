package vfscore

import (
	"fmt"
	"testing"

	"github.com/hako-run/hako/pagestore"
)

func TestWitnessAdd(t *testing.T) {
	read := func(v pagestore.Version) Seen { return Seen{Name: "shop", Version: v} }
	wrote := func(before, v pagestore.Version) Seen {
		return Seen{Name: "shop", Version: v, Wrote: true, Before: before}
	}
	for _, c := range []struct{ a, b, want Seen }{
		{read(3), read(5), read(5)},
		{read(5), read(3), read(5)},
		{read(9), wrote(5, 6), wrote(5, 6)},
		{wrote(5, 6), read(9), wrote(5, 6)},
		{wrote(5, 6), wrote(7, 8), wrote(5, 8)},
		{wrote(7, 8), wrote(5, 6), wrote(5, 8)},
	} {
		a, b := Witness{seen: []Seen{c.a}}, Witness{seen: []Seen{c.b, {Name: "blog", Version: 1}}}
		a.Add(&b)
		if got, want := fmt.Sprint(a.List()), fmt.Sprint([]Seen{{Name: "blog", Version: 1}, c.want}); got != want {
			t.Errorf("%v and %v make %s, want %s", c.a, c.b, got, want)
		}
		if len(b.List()) != 2 {
			t.Errorf("adding has changed %v", b.List())
		}
		a.Clear()
		if len(a.List()) != 0 {
			t.Errorf("cleared: %v", a.List())
		}
	}
}
