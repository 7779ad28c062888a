package pagestore

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseRef(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		in   string
		want Ref
	}{
		{"shop", Ref{Database: "shop"}},
		{"shop@head", Ref{Database: "shop"}},
		{"shop@42", Ref{Database: "shop", Kind: RefVersion, Version: 42}},
		{"shop@0", Ref{Database: "shop", Kind: RefVersion}},
		{"shop@2026", Ref{Database: "shop", Kind: RefVersion, Version: 2026}},
		{"shop@2026-11-22T10:00:00Z", Ref{Database: "shop", Kind: RefTime, Time: at}},
		{"shop@2026-11-22T11:00:00+01:00", Ref{Database: "shop", Kind: RefTime, Time: at}},
		{"shop@-10m", Ref{Database: "shop", Kind: RefAgo, Ago: 10 * time.Minute}},
		{"shop@-1d12h", Ref{Database: "shop", Kind: RefAgo, Ago: 36 * time.Hour}},
		{"my-shop.v2@before-sale", Ref{Database: "my-shop.v2", Kind: RefTag, Tag: "before-sale"}},
	} {
		got, err := ParseRef(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if got.Kind != c.want.Kind || got.Database != c.want.Database || got.Version != c.want.Version ||
			!got.Time.Equal(c.want.Time) || got.Ago != c.want.Ago || got.Tag != c.want.Tag {
			t.Errorf("%s: got %+v, want %+v", c.in, got, c.want)
		}
	}
	local, err := ParseRef("shop@2026-11-22")
	if err != nil || !local.Time.Equal(time.Date(2026, 11, 22, 0, 0, 0, 0, time.Local)) {
		t.Errorf("a date is not local midnight: %v, %v", local, err)
	}
}

func TestParseRefErrors(t *testing.T) {
	for in, want := range map[string]error{
		"":                          ErrName,
		"@42":                       ErrName,
		"a b":                       ErrName,
		"-shop":                     ErrName,
		strings.Repeat("x", 200):    ErrName,
		"shop@":                     ErrSyntax,
		"shop@4x":                   ErrSyntax,
		"shop@2026-13-01":           ErrSyntax,
		"shop@-":                    ErrSyntax,
		"shop@-10":                  ErrSyntax,
		"shop@-10x":                 ErrSyntax,
		"shop@a@b":                  ErrSyntax,
		"shop@a/b":                  ErrSyntax,
		"shop@-999999999999w":       ErrSyntax,
		"shop@99999999999999999999": ErrSyntax,
	} {
		if r, err := ParseRef(in); !errors.Is(err, want) {
			t.Errorf("%q: got %+v, %v, want %v", in, r, err, want)
		}
	}
}

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"shop", "shop@42", "shop@-1d12h", "shop@2026-11-22T10:00:00Z", "shop@tag", "x@-5ms3us1ns", "a@2026-11-22 10:00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRef(s)
		if err != nil {
			return
		}
		again, err := ParseRef(r.String())
		if err != nil {
			t.Fatalf("%q is %+v, written %q, and that: %v", s, r, r.String(), err)
		}
		if again.Kind != r.Kind || again.Version != r.Version || !again.Time.Equal(r.Time) || again.Ago != r.Ago || again.Tag != r.Tag {
			t.Fatalf("%q is %+v, then %+v", s, r, again)
		}
	})
}

func TestRetention(t *testing.T) {
	for in, want := range map[string]Retention{
		"all": {}, "30d": {Age: 30 * 24 * time.Hour}, "1000": {Count: 1000}, "2w": {Age: 14 * 24 * time.Hour}, "0s": {Count: 1},
	} {
		got, err := ParseRetention(in)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v", in, got, err)
		}
		if again, err := ParseRetention(got.String()); err != nil || again != got {
			t.Errorf("%s: written %q, read %+v, %v", in, got, again, err)
		}
	}
	for _, in := range []string{"0", "-1", "30", "x", "30days"} {
		if r, err := ParseRetention(in); err == nil && in != "30" {
			t.Errorf("%q is read as %v", in, r)
		}
	}
}
