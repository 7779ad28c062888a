package app

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hako-run/hako/pagestore"
)

var pinGrants = []DatabaseGrant{{"shop", "/db/shop.sqlite"}, {"blog@head", "/db/blog.sqlite"}, {"old@42", "/db/old.sqlite"}, {"shop", "/db/again.sqlite"}}

func TestParsePin(t *testing.T) {
	for list, want := range map[string]string{
		"shop@42":             "[shop@42]",
		" shop@42 ,blog@-10m": "[shop@42 blog@-10m]",
		"*@head":              "[shop blog]",
		"*@-1d, blog@tag":     "[blog@tag shop@-1d]",
	} {
		if refs, err := parsePin(list, pinGrants); err != nil || fmt.Sprint(refs) != want {
			t.Errorf("%q: %v, %v; want %s", list, refs, err, want)
		}
	}
	for _, list := range []string{"", ",", "shop", "shop@", "old@41", "other@1", "shop@1,shop@1", "*@1,*@2", "shop@1,", "@1", "*@", "shop@1 blog@2"} {
		if refs, err := parsePin(list, pinGrants); !errors.Is(err, ErrPin) {
			t.Errorf("%q: %v, %v", list, refs, err)
		}
	}
	if refs, err := parsePin("*@head", nil); err != nil || len(refs) != 0 {
		t.Errorf("no databases: %v, %v", refs, err)
	}
}

func FuzzParsePin(f *testing.F) {
	for _, s := range []string{"shop@42", "*@-1d, shop@tag", "shop@2026-11-22T10:00:00Z", "old@1", "@,@", "*@*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, list string) {
		refs, err := parsePin(list, pinGrants)
		if err != nil {
			if !errors.Is(err, ErrPin) {
				t.Fatal(err)
			}
			return
		}
		seen := map[string]bool{}
		for _, r := range refs {
			if r.Database != "shop" && r.Database != "blog" || seen[r.Database] {
				t.Fatalf("%q opens %v", list, refs)
			}
			seen[r.Database] = true
			if r.Kind != pagestore.RefHead {
				if again, err := pagestore.ParseRef(r.String()); err != nil || again.Database != r.Database {
					t.Fatalf("%q: %v", r.String(), err)
				}
			}
		}
	})
}
