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

// A name that cannot be is shown as it was written, once.
func TestNameErrors(t *testing.T) {
	for in, want := range map[string]string{
		"ü":     `database name "ü" holds "ü": use a to z, A to Z, 0 to 9, '.', '_' and '-'`,
		"a b":   `database name "a b" holds " ": use a to z, A to Z, 0 to 9, '.', '_' and '-'`,
		"a\xff": `database name "a\xff" is not UTF-8: use a to z, A to Z, 0 to 9, '.', '_' and '-'`,
	} {
		if err := CheckName(in); err == nil || err.Error() != want {
			t.Errorf("%q: %v\nnot %s", in, err, want)
		}
	}
}

// Times as they are written for people are read back, wherever they are.
func TestParseTime(t *testing.T) {
	defer func(l *time.Location) { time.Local = l }(time.Local)
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu"} {
		var err error
		if time.Local, err = time.LoadLocation(zone); err != nil {
			t.Fatal(err)
		}
		at := time.Date(2026, 11, 22, 10, 30, 15, 123456789, time.UTC)
		written := FormatTime(at)
		if r, err := ParseRef("shop@" + written); err != nil || r.Time.Sub(at) < 0 || r.Time.Sub(at) >= time.Millisecond {
			t.Errorf("%s: %s is read as %v (%v)", zone, written, r, err)
		}
		at = at.Truncate(time.Second)
		for _, layout := range []string{"2006-01-02 15:04:05 MST", "2006-01-02T15:04:05.000 MST", "2006-01-02 15:04:05 -0700 MST", "2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05 -07:00"} {
			for _, l := range []*time.Location{time.Local, time.UTC} {
				written := at.In(l).Format(layout)
				if zone == "Asia/Kathmandu" && l == time.Local && strings.Contains(layout, " MST") {
					continue // its name is its offset
				}
				if r, err := ParseRef("shop@" + written); err != nil || !r.Time.Equal(at) {
					t.Errorf("%s: %s is read as %v (%v)", zone, written, r, err)
				}
			}
		}
	}
	for _, in := range []string{"2026-11-22 10:00:00 XYZ", "2026-11-22 10:00:00 EST", "2026-11-22 10:00:00 GMT+3"} { // another zone's: which?
		if r, err := ParseRef("shop@" + in); !errors.Is(err, ErrSyntax) {
			t.Errorf("%s is read as %v", in, r)
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
		"all": {}, "30d": {Age: 30 * 24 * time.Hour}, "1000": {Count: 1000}, "2w": {Age: 14 * 24 * time.Hour}, "1": {Count: 1},
	} {
		got, err := ParseRetention(in)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v", in, got, err)
		}
		if again, err := ParseRetention(got.String()); err != nil || again != got {
			t.Errorf("%s: written %q, read %+v, %v", in, got, again, err)
		}
	}
	for _, in := range []string{"0", "0d", "0s", "-1", "30", "x", "30days"} {
		if r, err := ParseRetention(in); err == nil && in != "30" {
			t.Errorf("%q is read as %v", in, r)
		}
	}
}
