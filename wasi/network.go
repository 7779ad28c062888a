package wasi

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Resolver looks names up for guests; *net.Resolver is one.
type Resolver interface {
	// LookupNetIP returns the addresses of a name; network is "ip".
	LookupNetIP(ctx context.Context, network, name string) ([]netip.Addr, error)
}

// Network is the addresses that a guest may connect to or send to. It may be
// shared by Systems, which then share what was looked up.
type Network struct {
	// Refused, if not nil, is told what a guest wanted and has no grant for: a
	// name that it looked up, or an address with its port. Of each it is told
	// once, and of no more than 64. It is called by whichever goroutine runs
	// the guest and is set before the first does.
	Refused func(what string)

	grants   []netGrant
	resolver Resolver

	mu    sync.Mutex
	names map[string]lookup // by lower-case name
	own   []netip.Addr      // addresses of this machine
	ownAt time.Time
	told  map[string]bool // what Refused was told of
}

// netGrant is one grant.
type netGrant struct {
	any      bool         // *: every address that is not special
	prefix   netip.Prefix // addresses
	name     string       // one name, lower-case
	suffix   string       // .example.com: every name that ends so
	from, to uint16       // ports
	udp      bool
}

// lookup is what a name resolved to.
type lookup struct {
	addrs []netip.Addr
	err   error
	at    time.Time
}

const (
	lookupFresh  = 30 * time.Second // a name is looked up again after this
	failureFresh = 5 * time.Second  // one that was not found, after this
	lookupHolds  = 10 * time.Minute // what a guest was told, it may connect to this long
	ownFresh     = 10 * time.Second
	maxNames     = 1 << 12 // names remembered
	lookupPeriod = 30 * time.Second
	maxRefused   = 64 // things that Refused is told of
)

// ParseNetwork reads grants of the form HOST:PORT, with /udp behind it for
// datagrams instead of TCP. HOST is
//
//   - an address, as 10.1.2.3 or [2001:db8::1];
//   - addresses, as 10.0.0.0/8 or [2001:db8::]/32;
//   - a name, as db.internal: the addresses the host finds for it;
//   - names, as *.example.com: the same for every name that ends so;
//   - *: every address and every name.
//
// PORT is a number, a range as 8000-8010, or *.
//
// Some addresses are special: loopback, unspecified, link-local (where clouds
// answer for the machine's credentials), multicast. Only grants that name them
// give them: an address, or addresses that are all special. A name gives none,
// but localhost and names that end in .localhost give loopback. The grants *
// and /0 do not give this machine's own addresses either.
//
// A nil resolver is net.DefaultResolver.
func ParseNetwork(grants []string, resolver Resolver) (*Network, error) {
	n := &Network{resolver: resolver, names: map[string]lookup{}}
	if resolver == nil {
		n.resolver = net.DefaultResolver
	}
	for _, s := range grants {
		g, err := parseNetGrant(s)
		if err != nil {
			return nil, fmt.Errorf("network grant %q: %w: write HOST:PORT, as db.internal:5432, 10.0.0.0/8:443 or *:443", s, err)
		}
		n.grants = append(n.grants, g)
	}
	return n, nil
}

func parseNetGrant(s string) (netGrant, error) {
	var g netGrant
	rest := s
	if cut, ok := strings.CutSuffix(rest, "/udp"); ok {
		g.udp, rest = true, cut
	} else {
		rest = strings.TrimSuffix(rest, "/tcp")
	}
	i := strings.LastIndexByte(rest, ':')
	if i < 0 || strings.HasSuffix(rest, "]") {
		return g, fmt.Errorf("it has no port")
	}
	host, port := rest[:i], rest[i+1:]
	var err error
	if g.from, g.to, err = parsePorts(port); err != nil {
		return g, err
	}
	bare := strings.NewReplacer("[", "", "]", "").Replace(host)
	switch {
	case host == "":
		return g, fmt.Errorf("it has no host")
	case host == "*":
		g.any = true
		return g, nil
	case strings.Contains(host, "/"):
		p, err := netip.ParsePrefix(bare)
		if err != nil {
			return g, fmt.Errorf("%q is no range of addresses", host)
		}
		if p.Addr().Is4In6() {
			return g, fmt.Errorf("%q is an IPv4 range in IPv6 form", host)
		}
		g.prefix = p.Masked()
		return g, nil
	}
	if a, err := netip.ParseAddr(bare); err == nil {
		if a.Is6() && !strings.HasPrefix(host, "[") {
			return g, fmt.Errorf("an IPv6 address goes in brackets")
		}
		a = a.Unmap().WithZone("")
		g.prefix = netip.PrefixFrom(a, a.BitLen())
		return g, nil
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if suffix, ok := strings.CutPrefix(name, "*"); ok {
		if !strings.HasPrefix(suffix, ".") || !validName(suffix[1:]) {
			return g, fmt.Errorf("%q is no name", host)
		}
		g.suffix = suffix
		return g, nil
	}
	if !validName(name) {
		return g, fmt.Errorf("%q is no name and no address", host)
	}
	g.name = name
	return g, nil
}

func parsePorts(s string) (from, to uint16, err error) {
	if s == "*" {
		return 1, 65535, nil
	}
	a, b, ranged := strings.Cut(s, "-")
	if !ranged {
		b = a
	}
	x, errA := strconv.ParseUint(a, 10, 16)
	y, errB := strconv.ParseUint(b, 10, 16)
	if errA != nil || errB != nil || x == 0 || y < x {
		return 0, 0, fmt.Errorf("%q is no port from 1 to 65535", s)
	}
	return uint16(x), uint16(y), nil
}

// validName tells whether a resolver may be asked for s.
func validName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, c := range []byte(label) {
			if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c >= 0x80) {
				return false
			}
		}
	}
	return true
}

// special are the addresses that wildcards and names do not give.
var special = func() []netip.Prefix {
	var all []netip.Prefix
	for _, s := range []string{
		"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32", "100.100.100.200/32",
		"::/127", "fe80::/10", "ff00::/8", "fd00:ec2::254/128", "fd20:ce::254/128",
	} {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}()

// nat64 and sixToFour carry an IPv4 address.
var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour = netip.MustParsePrefix("2002::/16")
)

// carried is the IPv4 address that a is a way to, or a itself.
func carried(a netip.Addr) netip.Addr {
	b := a.As16()
	switch {
	case !a.Is6():
	case nat64.Contains(a):
		return netip.AddrFrom4([4]byte(b[12:]))
	case sixToFour.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return a
}

// specialRange returns the special range that a is in.
func specialRange(a netip.Addr) (netip.Prefix, bool) {
	a = carried(a)
	for _, p := range special {
		if p.Contains(a) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// allows tells whether the guest may connect or send to an address.
func (n *Network) allows(ctx context.Context, to netip.AddrPort, udp bool) bool {
	if n == nil {
		return false
	}
	a := to.Addr().Unmap().WithZone("")
	in, isSpecial := specialRange(a)
	for i := range n.grants {
		g := &n.grants[i]
		if g.udp != udp || to.Port() < g.from || to.Port() > g.to {
			continue
		}
		switch {
		case g.any:
			if !isSpecial && !n.isOwn(a) {
				return true
			}
		case g.prefix.IsValid():
			switch {
			case !g.prefix.Contains(a):
			case isSpecial && !(g.prefix.Bits() >= in.Bits() && in.Contains(g.prefix.Addr())):
			case g.prefix.Bits() == 0 && n.isOwn(a):
			default:
				return true
			}
		case isSpecial && !(g.name != "" && isLocalhost(g.name) && a.IsLoopback()):
		case g.name != "":
			if n.resolvesTo(ctx, g.name, a) {
				return true
			}
		default:
			if n.toldAbout(g.suffix, a) {
				return true
			}
		}
	}
	return false
}

func isLocalhost(name string) bool {
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// isOwn tells whether a is an address of this machine.
func (n *Network) isOwn(a netip.Addr) bool {
	a = carried(a)
	n.mu.Lock()
	defer n.mu.Unlock()
	if time.Since(n.ownAt) > ownFresh {
		n.own, n.ownAt = n.own[:0], time.Now()
		addrs, err := net.InterfaceAddrs()
		if err != nil {
			n.ownAt = time.Time{}
			return true // not known: as if it were
		}
		for _, addr := range addrs {
			if p, err := netip.ParsePrefix(addr.String()); err == nil {
				n.own = append(n.own, p.Addr().Unmap().WithZone(""))
			}
		}
	}
	for _, o := range n.own {
		if o == a {
			return true
		}
	}
	return false
}

// grantsName tells whether a guest may look a name up.
func (n *Network) grantsName(name string) bool {
	if n == nil {
		return false
	}
	for _, g := range n.grants {
		if g.any || g.name == name || g.suffix != "" && strings.HasSuffix(name, g.suffix) {
			return true
		}
	}
	return false
}

// refuse tells of something that a guest is not granted.
func (n *Network) refuse(what string) {
	if n == nil || n.Refused == nil {
		return
	}
	n.mu.Lock()
	known := n.told[what] || len(n.told) >= maxRefused
	if !known {
		if n.told == nil {
			n.told = map[string]bool{}
		}
		n.told[what] = true
	}
	n.mu.Unlock()
	if !known {
		n.Refused(what)
	}
}

// lookup resolves a name that is granted. Addresses that the grant does not
// hold for are left out.
func (n *Network) lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	n.mu.Lock()
	known, ok := n.names[name]
	n.mu.Unlock()
	if ok && time.Since(known.at) < lookupFresh && (known.err == nil || time.Since(known.at) < failureFresh) {
		return known.addrs, known.err
	}
	limited, cancel := context.WithTimeout(ctx, lookupPeriod)
	defer cancel()
	var found []netip.Addr
	var err error
	Wait(ctx, func() { found, err = n.resolver.LookupNetIP(limited, "ip", name) })
	if err != nil {
		stopped(ctx) // no failure of the name
	}
	var addrs []netip.Addr
	for _, a := range found {
		a = a.Unmap().WithZone("")
		if _, s := specialRange(a); !s || isLocalhost(name) && a.IsLoopback() {
			addrs = append(addrs, a)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.names) >= maxNames {
		for name, l := range n.names {
			if time.Since(l.at) > lookupHolds {
				delete(n.names, name)
			}
		}
		if len(n.names) >= maxNames {
			clear(n.names)
		}
	}
	if err != nil && ok {
		addrs = known.addrs // what the guest was told holds on
	}
	n.names[name] = lookup{addrs, err, time.Now()}
	return addrs, err
}

// resolvesTo tells whether a is an address of a granted name: one that it was
// found to have lately, or has now.
func (n *Network) resolvesTo(ctx context.Context, name string, a netip.Addr) bool {
	n.mu.Lock()
	known, ok := n.names[name]
	n.mu.Unlock()
	if ok && time.Since(known.at) < lookupHolds && contains(known.addrs, a) {
		return true
	}
	addrs, err := n.lookup(ctx, name)
	return err == nil && contains(addrs, a)
}

// toldAbout tells whether a was the answer for a name that ends in suffix.
func (n *Network) toldAbout(suffix string, a netip.Addr) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for name, l := range n.names {
		if strings.HasSuffix(name, suffix) && time.Since(l.at) < lookupHolds && contains(l.addrs, a) {
			return true
		}
	}
	return false
}

func contains(addrs []netip.Addr, a netip.Addr) bool {
	for _, b := range addrs {
		if a == b {
			return true
		}
	}
	return false
}
