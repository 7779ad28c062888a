package wasi

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// address is where a socket leads.
type address = netip.AddrPort

// wasmEdge is what WasmEdge added to preview 1, in both of its forms: those of
// its first releases and those since 0.12, named _v2, which have room for the
// family in an address. Where a name has had two types, the newer is here; see
// [WithImports].
var wasmEdge = []function{
	{"sock_open", "iii", sockOpen},
	{"sock_bind", "iii", sockBind},
	{"sock_listen", "ii", sockListen},
	{"sock_connect", "iii", sockConnect},
	{"sock_recv_from", "iiiiiiii", sockRecvFrom},
	{"sock_send_to", "iiiiiii", sockSendTo},
	{"sock_getlocaladdr", "iiii", sockLocalAddr},
	{"sock_getpeeraddr", "iiii", sockPeerAddr},
	{"sock_getsockopt", "iiiii", sockGetOption},
	{"sock_setsockopt", "iiiii", sockSetOption},
	{"sock_getaddrinfo", "iiiiiiii", sockGetaddrinfo},
	{"sock_open_v2", "iii", sockOpen},
	{"sock_bind_v2", "iii", sockBind},
	{"sock_listen_v2", "ii", sockListen},
	{"sock_accept_v2", "iii", sockAccept},
	{"sock_connect_v2", "iii", sockConnect},
	{"sock_recv_v2", "iiiiii", sockRecv},
	{"sock_recv_from_v2", "iiiiiiii", sockRecvFrom},
	{"sock_send_v2", "iiiii", sockSend},
	{"sock_send_to_v2", "iiiiiii", sockSendTo},
	{"sock_getlocaladdr_v2", "iii", sockLocalAddrV2},
	{"sock_getpeeraddr_v2", "iii", sockPeerAddrV2},
}

// firstWasmEdge is the functions whose types have changed, as they were.
var firstWasmEdge = []function{
	{"sock_accept", "ii", sockAcceptV1},
	{"sock_recv_from", "iiiiiii", sockRecvFromV1},
	{"sock_getlocaladdr", "iii", sockLocalAddrV2},
	{"sock_getpeeraddr", "iii", sockPeerAddrV2},
}

// The families of addresses and the types of sockets.
const (
	familyInet4 = 1
	familyInet6 = 2

	typeDatagram = 1
	typeStream   = 2
)

func sockOpen(_ context.Context, s *System, m memory, p []uint64) Errno {
	family, kind := uint32(p[0]), uint32(p[1])
	if family != familyInet4 && family != familyInet6 {
		return EAFNOSUPPORT
	}
	if kind == 0 {
		kind = typeStream
	}
	if kind != typeDatagram && kind != typeStream {
		return EINVAL
	}
	if _, errno := m.bytes(uint32(p[2]), 4); errno != Success {
		return errno
	}
	if s.full() {
		return EMFILE
	}
	k, err := openSocket(family == familyInet6, kind == typeDatagram)
	if err != nil {
		return errnoOf(err)
	}
	return s.addSocket(m, k, 0, uint32(p[2]))
}

// addressBuffer returns the buffer that an address structure points to: 4 or
// 16 bytes of an address alone, or 128 with the family before it.
func (m memory) addressBuffer(ptr uint32) ([]byte, Errno) {
	b, errno := m.bytes(ptr, 8)
	if errno != Success {
		return nil, errno
	}
	buf, errno := m.bytes(le.Uint32(b), le.Uint32(b[4:]))
	if errno != Success {
		return nil, errno
	}
	switch len(buf) {
	case 4, 16, 128:
		return buf, Success
	}
	return nil, EINVAL
}

// address reads an address that a guest gives.
func (m memory) address(ptr uint32, port uint64) (address, Errno) {
	b, errno := m.addressBuffer(ptr)
	if errno != Success {
		return address{}, errno
	}
	if uint32(port) > 65535 {
		return address{}, EINVAL
	}
	if len(b) == 128 {
		switch le.Uint16(b) {
		case familyInet4:
			b = b[2:6]
		case familyInet6:
			b = b[2:18]
		default:
			return address{}, EAFNOSUPPORT
		}
	}
	a, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a, uint16(port)), Success
}

// putAddress writes an address into a guest's buffer and returns its family.
func (k *socket) putAddress(b []byte, a netip.Addr) (family int, errno Errno) {
	a = a.Unmap()
	family = familyInet4
	if k.ipv6 || a.Is6() {
		family = familyInet6
	}
	var raw []byte
	if family == familyInet4 {
		raw = a.AsSlice()
	} else {
		wide := a.As16()
		raw = wide[:]
	}
	switch {
	case !a.IsValid():
		return 0, Success
	case len(b) == 128:
		le.PutUint16(b, uint16(family))
		b = b[2:]
	case len(b) < len(raw):
		return 0, EINVAL
	}
	copy(b, raw)
	return family, Success
}

// sockBind takes a published port. The address does not matter, since it is
// the grant that says where the host listens; port 0 is a port of the host's
// choice, for a socket that will connect or send.
func sockBind(_ context.Context, s *System, m memory, p []uint64) Errno {
	d, errno := s.getSocket(p[0], 0)
	if errno != Success {
		return errno
	}
	local, errno := m.address(uint32(p[1]), p[2])
	if errno != Success {
		return errno
	}
	if local.Port() == 0 {
		return Success
	}
	b := s.c.Grants.listener(d.socket.udp, local.Port())
	if b == nil {
		return EACCES
	}
	return d.socket.bind(b, local)
}

func sockListen(_ context.Context, s *System, _ memory, p []uint64) Errno {
	d, errno := s.getSocket(p[0], 0)
	if errno != Success {
		return errno
	}
	return d.socket.listen()
}

func sockAcceptV1(ctx context.Context, s *System, m memory, p []uint64) Errno {
	return s.accept(ctx, m, p[0], 0, uint32(p[1]))
}

func sockConnect(ctx context.Context, s *System, m memory, p []uint64) Errno {
	d, errno := s.getSocket(p[0], 0)
	if errno != Success {
		return errno
	}
	to, errno := m.address(uint32(p[1]), p[2])
	if errno != Success {
		return errno
	}
	return d.socket.connect(ctx, to, d.nonblock())
}

func sockRecvFrom(ctx context.Context, s *System, m memory, p []uint64) Errno {
	return s.receiveFrom(ctx, m, p, uint32(p[5]), uint32(p[6]), uint32(p[7]))
}

func sockRecvFromV1(ctx context.Context, s *System, m memory, p []uint64) Errno {
	return s.receiveFrom(ctx, m, p, 0, uint32(p[5]), uint32(p[6]))
}

func (s *System) receiveFrom(ctx context.Context, m memory, p []uint64, port, size, flags uint32) Errno {
	d, errno := s.getSocket(p[0], rightRead)
	if errno != Success {
		return errno
	}
	b, errno := m.addressBuffer(uint32(p[3]))
	if errno != Success {
		return errno
	}
	if port != 0 {
		if _, errno := m.bytes(port, 4); errno != Success {
			return errno
		}
	}
	n, from, truncated, errno := s.receive(ctx, m, p[0], p[1], p[2], uint32(p[4]), size, flags)
	if errno != Success {
		return errno
	}
	if !from.IsValid() {
		from, _ = d.socket.name(true) // a stream has one sender
	}
	if _, errno := d.socket.putAddress(b, from.Addr()); errno != Success {
		return errno
	}
	if port != 0 {
		if errno := m.putUint32(port, uint32(from.Port())); errno != Success {
			return errno
		}
	}
	return m.putReceived(size, flags, n, truncated)
}

func sockSendTo(ctx context.Context, s *System, m memory, p []uint64) Errno {
	to, errno := m.address(uint32(p[3]), p[4])
	if errno != Success {
		return errno
	}
	return s.send(ctx, m, p[0], p[1], p[2], to, uint32(p[5]), uint32(p[6]))
}

func sockLocalAddr(_ context.Context, s *System, m memory, p []uint64) Errno {
	return s.name(m, p, false, p[2], p[3])
}

func sockPeerAddr(_ context.Context, s *System, m memory, p []uint64) Errno {
	return s.name(m, p, true, p[2], p[3])
}

func sockLocalAddrV2(_ context.Context, s *System, m memory, p []uint64) Errno {
	return s.name(m, p, false, 0, p[2])
}

func sockPeerAddrV2(_ context.Context, s *System, m memory, p []uint64) Errno {
	return s.name(m, p, true, 0, p[2])
}

// name writes an address of a socket. The older form wants the family as 4 or
// 6 in a place of its own.
func (s *System) name(m memory, p []uint64, peer bool, kind, port uint64) Errno {
	d, errno := s.getSocket(p[0], 0)
	if errno != Success {
		return errno
	}
	b, errno := m.addressBuffer(uint32(p[1]))
	if errno != Success {
		return errno
	}
	a, errno := d.socket.name(peer)
	if errno != Success {
		return errno
	}
	family, errno := d.socket.putAddress(b, a.Addr())
	if errno != Success {
		return errno
	}
	if kind != 0 {
		if errno := m.putUint32(uint32(kind), map[int]uint32{familyInet4: 4, familyInet6: 6}[family]); errno != Success {
			return errno
		}
	}
	return m.putUint32(uint32(port), uint32(a.Port()))
}

// The options of sockets.
const (
	optReuseaddr = iota
	optType
	optError
	optDontroute
	optBroadcast
	optSndbuf
	optRcvbuf
	optKeepalive
	optOobinline
	optLinger
	optRcvlowat
	optRcvtimeo
	optSndtimeo
	optAcceptconn
	optBindToDevice
)

func sockGetOption(_ context.Context, s *System, m memory, p []uint64) Errno {
	d, errno := s.getSocket(p[0], 0)
	if errno != Success {
		return errno
	}
	size, errno := m.bytes(uint32(p[4]), 4)
	if errno != Success {
		return errno
	}
	b, errno := m.bytes(uint32(p[3]), le.Uint32(size))
	if errno != Success {
		return errno
	}
	if uint32(p[1]) != 0 {
		return ENOPROTOOPT
	}
	k := d.socket
	put := func(words ...uint32) Errno {
		if len(b) < 4*len(words) {
			return EINVAL
		}
		for i, v := range words {
			le.PutUint32(b[4*i:], v)
		}
		le.PutUint32(size, uint32(4*len(words)))
		return Success
	}
	switch name := uint32(p[2]); name {
	case optType:
		if k.udp {
			return put(typeDatagram)
		}
		return put(typeStream)
	case optAcceptconn:
		if k.listening {
			return put(1)
		}
		return put(0)
	case optRcvlowat:
		return put(1)
	case optOobinline, optDontroute:
		return put(0)
	case optLinger:
		return put(0, 0)
	case optRcvtimeo:
		return put(timeval(k.readTimeout)...)
	case optSndtimeo:
		return put(timeval(k.writeTimeout)...)
	case optBindToDevice:
		le.PutUint32(size, 0)
		return Success
	default:
		v, errno := k.option(name)
		if errno != Success {
			return errno
		}
		return put(uint32(v))
	}
}

// timeval is a timeout as C has it: seconds and microseconds, of 8 bytes each.
func timeval(d time.Duration) []uint32 {
	return []uint32{uint32(d / time.Second), 0, uint32(d % time.Second / time.Microsecond), 0}
}

func sockSetOption(_ context.Context, s *System, m memory, p []uint64) Errno {
	d, errno := s.getSocket(p[0], 0)
	if errno != Success {
		return errno
	}
	b, errno := m.bytes(uint32(p[3]), uint32(p[4]))
	if errno != Success {
		return errno
	}
	if uint32(p[1]) != 0 {
		return ENOPROTOOPT
	}
	k := d.socket
	switch name := uint32(p[2]); name {
	case optBindToDevice:
		return EPERM
	case optRcvtimeo, optSndtimeo:
		if len(b) < 16 {
			return EINVAL
		}
		sec, usec := le.Uint64(b), le.Uint64(b[8:])
		if sec > 1<<31 || usec >= 1e6 {
			return EINVAL
		}
		timeout := time.Duration(sec)*time.Second + time.Duration(usec)*time.Microsecond
		if name == optRcvtimeo {
			k.readTimeout = timeout
		} else {
			k.writeTimeout = timeout
		}
		return Success
	case optLinger:
		if len(b) < 8 {
			return EINVAL
		}
		// Waiting in close would hold the host; ending at once is allowed.
		return k.reset(le.Uint32(b) != 0 && le.Uint32(b[4:]) == 0)
	}
	if len(b) < 4 {
		return EINVAL
	}
	v := int(int32(le.Uint32(b)))
	switch name := uint32(p[2]); name {
	case optReuseaddr, optDontroute, optOobinline, optRcvlowat:
		return Success // of no effect here
	case optType, optError, optAcceptconn:
		return ENOPROTOOPT
	default:
		return k.setOption(name, v)
	}
}

// What sock_getaddrinfo says beside the errors of preview 1.
const (
	errAgain   Errno = 78
	errFamily  Errno = 81
	errNoData  Errno = 83
	errNoName  Errno = 84
	errService Errno = 85
)

// The flags of a lookup that matter here.
const (
	lookupPassive       = 1 << 0
	lookupNumericHost   = 1 << 2
	lookupNumericServer = 1 << 3
)

// maxAddresses is how many results a guest may have room for.
const maxAddresses = 1 << 10

// sockGetaddrinfo looks a granted name up and fills the results that the
// guest has laid out: a list of structures, each with room for an address.
func sockGetaddrinfo(ctx context.Context, s *System, m memory, p []uint64) Errno {
	node, errno := m.bytes(uint32(p[0]), uint32(p[1]))
	if errno != Success {
		return errno
	}
	service, errno := m.bytes(uint32(p[2]), uint32(p[3]))
	if errno != Success {
		return errno
	}
	hints, errno := m.bytes(uint32(p[4]), 28)
	if errno != Success {
		return errno
	}
	first, errno := m.bytes(uint32(p[5]), 4)
	if errno != Success {
		return errno
	}
	room := uint32(p[6])
	if _, errno := m.bytes(uint32(p[7]), 4); errno != Success {
		return errno
	}
	if room == 0 || len(node) > maxPath || len(service) > maxPath {
		return EINVAL
	}
	flags, family, kind := le.Uint16(hints), hints[2], hints[3]
	if family > familyInet6 {
		return errFamily
	}
	udp := kind == typeDatagram
	port, errno := servicePort(ctx, cString(service), udp, flags&lookupNumericServer != 0)
	if errno != Success {
		return errno
	}
	addrs, errno := s.addresses(ctx, cString(node), flags)
	if errno != Success {
		return errno
	}
	at := le.Uint32(first)
	count := uint32(0)
	for _, a := range addrs {
		if family == familyInet4 && !a.Is4() || family == familyInet6 && !a.Is6() {
			continue
		}
		if count == min(room, maxAddresses) {
			break
		}
		next, errno := m.putAddrinfo(at, netip.AddrPortFrom(a, port), kind)
		if errno != Success {
			return errno
		}
		at = next
		count++
	}
	if count == 0 {
		return errNoData
	}
	return m.putUint32(uint32(p[7]), count)
}

// cString is b up to a zero byte.
func cString(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

func servicePort(ctx context.Context, service string, udp, numeric bool) (uint16, Errno) {
	if service == "" {
		return 0, Success
	}
	if n, err := strconv.ParseUint(service, 10, 16); err == nil {
		return uint16(n), Success
	}
	if numeric {
		return 0, errNoName
	}
	network := "tcp"
	if udp {
		network = "udp"
	}
	n, err := net.DefaultResolver.LookupPort(ctx, network, service)
	if err != nil {
		return 0, errService
	}
	return uint16(n), Success
}

// addresses are those of a name, if it is granted, or what it says itself.
func (s *System) addresses(ctx context.Context, node string, flags uint16) ([]netip.Addr, Errno) {
	if node == "" {
		if flags&lookupPassive != 0 {
			return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}, Success
		}
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, Success
	}
	if a, err := netip.ParseAddr(node); err == nil {
		return []netip.Addr{a.Unmap().WithZone("")}, Success
	}
	name := strings.ToLower(strings.TrimSuffix(node, "."))
	if flags&lookupNumericHost != 0 || !validName(name) {
		return nil, errNoName
	}
	if !s.c.Network.grantsName(name) {
		s.c.Network.refuse(name)
		return nil, errNoName
	}
	addrs, err := s.c.Network.lookup(ctx, name)
	if err != nil {
		if e, ok := err.(*net.DNSError); ok && e.IsNotFound {
			return nil, errNoName
		}
		return nil, errAgain
	}
	return addrs, Success
}

// putAddrinfo fills one result and returns where the next one lies.
func (m memory) putAddrinfo(ptr uint32, to address, kind byte) (next uint32, errno Errno) {
	b, errno := m.bytes(ptr, 28)
	if errno != Success {
		return 0, errno
	}
	sa, errno := m.bytes(le.Uint32(b[12:]), 12)
	if errno != Success {
		return 0, errno
	}
	// The data is that of a host's address behind its family: the port first,
	// most significant byte first.
	family, data := byte(familyInet4), make([]byte, 14)
	addrlen := uint32(16)
	if a := to.Addr(); a.Is4() {
		copy(data[2:], a.AsSlice())
	} else {
		family, data, addrlen = familyInet6, make([]byte, 26), 28
		copy(data[6:], a.AsSlice())
	}
	data[0], data[1] = byte(to.Port()>>8), byte(to.Port())
	buf, errno := m.bytes(le.Uint32(sa[8:]), uint32(len(data)))
	if errno != Success {
		return 0, errno
	}
	copy(buf, data)
	sa[0] = family
	le.PutUint32(sa[4:], uint32(len(data)))
	if kind != typeDatagram {
		kind = typeStream
	}
	le.PutUint16(b, 0)
	b[2], b[3] = family, kind
	b[4] = map[byte]byte{typeStream: 1, typeDatagram: 2}[kind] // TCP, UDP
	le.PutUint32(b[8:], addrlen)
	le.PutUint32(b[20:], 0) // no other name
	return le.Uint32(b[24:]), Success
}
