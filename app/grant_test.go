package app

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseDir(t *testing.T) {
	here, err := filepath.Abs("data")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text string
		want DirGrant
	}{
		{"public:/srv", DirGrant{"public", "/srv", false}},
		{"public:/srv:ro", DirGrant{"public", "/srv", true}},
		{"public:/srv/../etc/:rw", DirGrant{"public", "/etc", false}},
		{"/a:b:/c", DirGrant{"/a:b", "/c", false}},
		{"/a:/b:c", DirGrant{"/a", "/b:c", false}},
		{"data", DirGrant{"data", here, false}},
		{"data:ro", DirGrant{"data", here, true}},
	} {
		got, err := ParseDir(c.text)
		if err != nil || got != c.want {
			t.Errorf("ParseDir(%q) = %+v, %v; want %+v", c.text, got, err, c.want)
		}
	}
	for _, text := range []string{"", ":/srv", "a:srv", "a:", "a:/\x00", ":ro"} {
		if got, err := ParseDir(text); err == nil {
			t.Errorf("ParseDir(%q) = %+v, want an error", text, got)
		}
	}
}

func TestParsePort(t *testing.T) {
	for _, c := range []struct{ text, host, network string }{
		{"8080:80", "127.0.0.1:8080", "tcp"},
		{"80", "127.0.0.1:80", "tcp"},
		{"0:80", "127.0.0.1:0", "tcp"},
		{"0.0.0.0:53:80/udp", "0.0.0.0:53", "udp"},
		{"[::1]:8080:80", "[::1]:8080", "tcp"},
	} {
		got, err := ParsePort(c.text)
		if want := (PortGrant{netip.MustParseAddrPort(c.host), 80, c.network}); err != nil || got != want {
			t.Errorf("ParsePort(%q) = %+v, %v; want %+v", c.text, got, err, want)
		}
	}
	for _, text := range []string{"", "80:0", "65536:80", "x:80", "80:x", "host:80:80", "80:80/sctp", "-1:80"} {
		if got, err := ParsePort(text); err == nil {
			t.Errorf("ParsePort(%q) = %+v, want an error", text, got)
		}
	}
}

func TestParseDatabase(t *testing.T) {
	for _, c := range []struct {
		text string
		want DatabaseGrant
	}{
		{"shop", DatabaseGrant{"shop", "/db/shop.sqlite"}},
		{"shop@42", DatabaseGrant{"shop@42", "/db/shop.sqlite"}},
		{"shop@2026-11-22T10:00:00Z:/x.db", DatabaseGrant{"shop@2026-11-22T10:00:00Z", "/x.db"}},
		{"shop:/var/shop.db", DatabaseGrant{"shop", "/var/shop.db"}},
	} {
		if got, err := ParseDatabase(c.text); err != nil || got != c.want {
			t.Errorf("ParseDatabase(%q) = %+v, %v; want %+v", c.text, got, err, c.want)
		}
	}
	for _, text := range []string{"", "@42", ":/x"} {
		if got, err := ParseDatabase(text); err == nil {
			t.Errorf("ParseDatabase(%q) = %+v, want an error", text, got)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "65536": 65536, "64k": 64 << 10, "64MiB": 64 << 20, "64mb": 64 << 20, "1.5g": 3 << 29, " 2 G ": 2 << 30,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "m", "-1", "1x", "NaN", "1e30", "inf"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", text, got)
		}
	}
}

func TestParseEnv(t *testing.T) {
	host := map[string]string{"HOME": "/root"}
	lookup := func(name string) (string, bool) { v, ok := host[name]; return v, ok }
	for _, c := range []struct {
		text, want string
		ok         bool
	}{{"A=b=c", "A=b=c", true}, {"A=", "A=", true}, {"HOME", "HOME=/root", true}, {"NONE", "NONE=", false}} {
		if got, ok, err := ParseEnv(c.text, lookup); err != nil || got != c.want || ok != c.ok {
			t.Errorf("ParseEnv(%q) = %q, %v, %v", c.text, got, ok, err)
		}
	}
	for _, text := range []string{"", "=x", "A=\x00"} {
		if _, _, err := ParseEnv(text, lookup); err == nil {
			t.Errorf("ParseEnv(%q) succeeded", text)
		}
	}
}

func FuzzParseGrants(f *testing.F) {
	for _, s := range []string{"a:/b:ro", "C:\\x:/y", "80:80", "shop@42:/x", "[::1]:1:1", "64m"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if g, err := ParseDir(s); err == nil && (g.Host == "" || !strings.HasPrefix(g.Guest, "/")) {
			t.Errorf("ParseDir(%q) = %+v", s, g)
		}
		if g, err := ParsePort(s); err == nil && (g.Guest == 0 || !g.Host.IsValid()) {
			t.Errorf("ParsePort(%q) = %+v", s, g)
		}
		if g, err := ParseDatabase(s); err == nil && (g.Snapshot == "" || !strings.HasPrefix(g.Guest, "/")) {
			t.Errorf("ParseDatabase(%q) = %+v", s, g)
		}
		if n, err := ParseSize(s); err == nil && n < 0 {
			t.Errorf("ParseSize(%q) = %d", s, n)
		}
	})
}
