package wasi

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// table resolves names.
type table map[string][]string

func (t table) LookupNetIP(_ context.Context, _, name string) ([]netip.Addr, error) {
	var all []netip.Addr
	for _, a := range t[name] {
		all = append(all, netip.MustParseAddr(a))
	}
	if all == nil {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return all, nil
}

func TestNetworkAllows(t *testing.T) {
	names := table{
		"db.internal":   {"10.0.0.5", "2001:db8::5"},
		"rebind.test":   {"127.0.0.1", "169.254.169.254", "10.9.9.9", "::1", "fe80::1"},
		"localhost":     {"127.0.0.1", "::1"},
		"app.localhost": {"127.0.0.1"},
	}
	for _, c := range []struct {
		grant string
		yes   string
		no    string
	}{
		{"10.0.0.5:80", "10.0.0.5:80 [::ffff:10.0.0.5]:80", "10.0.0.5:81 10.0.0.6:80"},
		{"10.0.0.5:80/udp", "10.0.0.5:80/udp", "10.0.0.5:80"},
		{"10.0.0.0/8:443", "10.1.2.3:443 10.255.255.255:443", "11.0.0.1:443 10.1.2.3:444"},
		{"10.0.0.5:8000-8010", "10.0.0.5:8000 10.0.0.5:8010", "10.0.0.5:7999 10.0.0.5:8011"},
		{"10.0.0.5:*", "10.0.0.5:1 10.0.0.5:65535", "10.0.0.6:1"},
		{"[2001:db8::]/32:443", "[2001:db8::9]:443", "[2001:db9::9]:443"},
		{"[2001:db8::1]:443", "[2001:db8::1]:443", "[2001:db8::2]:443"},
		{"*:443", "203.0.113.1:443 10.1.2.3:443 [2001:db8::1]:443",
			"203.0.113.1:80 127.0.0.1:443 127.9.9.9:443 0.0.0.0:443 0.1.2.3:443 169.254.169.254:443 224.0.0.1:443 255.255.255.255:443 " +
				"100.100.100.200:443 [::1]:443 [::]:443 [fe80::1]:443 [ff02::1]:443 [fd00:ec2::254]:443 [::ffff:127.0.0.1]:443 " +
				"[64:ff9b::7f00:1]:443 [64:ff9b::a9fe:a9fe]:443 [2002:7f00:1::]:443"},
		{"0.0.0.0/0:443", "203.0.113.1:443", "127.0.0.1:443 169.254.169.254:443 0.0.0.0:443"},
		{"[::]/0:443", "[2001:db8::1]:443", "[::1]:443 [::ffff:127.0.0.1]:443 [fe80::1]:443"},
		{"126.0.0.0/7:443", "126.1.1.1:443", "127.0.0.1:443"},
		{"127.0.0.0/8:443", "127.0.0.1:443 127.4.5.6:443", "0.0.0.0:443"},
		{"127.0.0.1:443", "127.0.0.1:443", "127.0.0.2:443"},
		{"169.254.169.254:80", "169.254.169.254:80", "169.254.169.253:80"},
		{"[::1]:443", "[::1]:443", "127.0.0.1:443"},
		{"db.internal:5432", "10.0.0.5:5432 [2001:db8::5]:5432", "10.0.0.6:5432 10.0.0.5:5433 127.0.0.1:5432"},
		{"DB.Internal.:5432", "10.0.0.5:5432", ""},
		{"rebind.test:80", "10.9.9.9:80", "127.0.0.1:80 169.254.169.254:80 [::1]:80 [fe80::1]:80"},
		{"localhost:80", "127.0.0.1:80 [::1]:80", "127.0.0.2:80 10.0.0.5:80"},
		{"app.localhost:80", "127.0.0.1:80", "[::1]:80"},
		{"gone.test:80", "", "10.0.0.5:80 127.0.0.1:80"},
		{"*.internal:5432", "", "10.0.0.5:5432"}, // not told yet
	} {
		n, err := ParseNetwork([]string{c.grant}, names)
		if err != nil {
			t.Errorf("%s: %v", c.grant, err)
			continue
		}
		for want, list := range map[bool]string{true: c.yes, false: c.no} {
			for _, s := range strings.Fields(list) {
				at, udp := strings.CutSuffix(s, "/udp")
				if got := n.allows(context.Background(), netip.MustParseAddrPort(at), udp); got != want {
					t.Errorf("grant %s, address %s: %v, want %v", c.grant, s, got, want)
				}
			}
		}
	}

	// Names under a wildcard count once the guest has been told of them.
	n, err := ParseNetwork([]string{"*.internal:5432"}, names)
	if err != nil {
		t.Fatal(err)
	}
	if !n.grantsName("db.internal") || n.grantsName("internal") || n.grantsName("xinternal") || n.grantsName("localhost") {
		t.Error("*.internal grants other names than it should")
	}
	if _, err := n.lookup(context.Background(), "db.internal"); err != nil {
		t.Fatal(err)
	}
	if !n.allows(context.Background(), netip.MustParseAddrPort("10.0.0.5:5432"), false) {
		t.Error("an address that the guest was told is not allowed")
	}
}

// What this machine itself listens on is not behind *, whatever address it has.
func TestNetworkOwnAddresses(t *testing.T) {
	n, err := ParseNetwork([]string{"*:*", "0.0.0.0/0:*", "[::]/0:*"}, table{})
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		p := netip.MustParsePrefix(a.String())
		if n.allows(context.Background(), netip.AddrPortFrom(p.Addr(), 80), false) {
			t.Errorf("%s is allowed", p.Addr())
		}
	}
}

// What is refused is told once, and a guest cannot fill a log with it.
func TestNetworkRefused(t *testing.T) {
	var none *Network
	none.refuse("x")
	n, err := ParseNetwork(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	n.refuse("x")
	var told []string
	n.Refused = func(what string) { told = append(told, what) }
	for range 2 {
		n.refuse("a.example")
		n.refuse("10.0.0.1:80")
	}
	if len(told) != 2 || told[0] != "a.example" || told[1] != "10.0.0.1:80" {
		t.Errorf("told of %q", told)
	}
	for i := range 1000 {
		n.refuse(fmt.Sprint(i))
	}
	if len(told) != maxRefused {
		t.Errorf("told of %d things", len(told))
	}
}

func TestParseNetworkRefuses(t *testing.T) {
	for _, s := range []string{
		"", ":", ":80", "host", "host:", "host:0", "host:65536", "host:x", "host:9-8", "10.0.0.0/33:80", "::1:80", "2001:db8::1:80",
		"[::1]", "*x:80", "a..b:80", "a b:80", "*.:80", "10.0.0.0/8", "host:80/sctp", strings.Repeat("a", 300) + ":80",
		"[::ffff:10.0.0.0]/104:80",
	} {
		if _, err := ParseNetwork([]string{s}, nil); err == nil {
			t.Errorf("%q: no error", s)
		}
	}
}

func FuzzParseNetwork(f *testing.F) {
	for _, s := range []string{"db.internal:5432", "10.0.0.0/8:443", "*:443", "[::1]:1-2/udp", "*.x:*"} {
		f.Add(s)
	}
	loopback := netip.MustParseAddrPort("127.0.0.1:80")
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseNetwork([]string{s}, table{})
		if err == nil && n.allows(context.Background(), loopback, false) && !strings.Contains(s, "127.") {
			t.Errorf("%q allows loopback without naming it", s)
		}
	})
}
