package wasi

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// A Listener publishes a port: what a guest binds as its port Guest is the
// host's address Host.
type Listener struct {
	Guest   uint16
	Host    netip.AddrPort // port 0: the host takes a free one, see [Grants.Addr]
	Network string         // "tcp" or "udp"
	// Preopened hands the listener over open, as a descriptor behind those of
	// the directories, for guests that have preview 1 only.
	Preopened bool
}

// boundListener is a Listener that the host has bound.
type boundListener struct {
	Listener
	tcp *net.TCPListener
	udp *net.UDPConn
}

// bind binds the host's address, so that a port in use is known at once.
// Connections wait in the host's queue until a guest accepts them.
func bind(l Listener) (*boundListener, error) {
	b := &boundListener{Listener: l}
	fail := func(err error) (*boundListener, error) {
		return nil, fmt.Errorf("publish port %d/%s as %s: %w", l.Guest, l.Network, l.Host, err)
	}
	if !socketsHere {
		return fail(ENOTSUP)
	}
	if l.Guest == 0 || !l.Host.IsValid() {
		return fail(EINVAL)
	}
	var config net.ListenConfig
	switch l.Network {
	case "tcp":
		v, err := config.Listen(context.Background(), "tcp", l.Host.String())
		if err != nil {
			return fail(err)
		}
		b.tcp = v.(*net.TCPListener)
	case "udp":
		v, err := config.ListenPacket(context.Background(), "udp", l.Host.String())
		if err != nil {
			return fail(err)
		}
		b.udp = v.(*net.UDPConn)
	default:
		return fail(fmt.Errorf("the network is neither tcp nor udp"))
	}
	return b, nil
}

func (b *boundListener) addr() netip.AddrPort {
	if b.tcp != nil {
		return b.tcp.Addr().(*net.TCPAddr).AddrPort()
	}
	return b.udp.LocalAddr().(*net.UDPAddr).AddrPort()
}

func (b *boundListener) close() error {
	if b.tcp != nil {
		return b.tcp.Close()
	}
	return b.udp.Close()
}

// Addr returns the host's address that a published port of the guest lies on.
func (g *Grants) Addr(network string, guest uint16) (netip.AddrPort, bool) {
	if b := g.listener(network == "udp", guest); b != nil {
		return b.addr(), true
	}
	return netip.AddrPort{}, false
}

func (g *Grants) listener(udp bool, guest uint16) *boundListener {
	if g == nil {
		return nil
	}
	for _, b := range g.listeners {
		if b.Guest == guest && (b.udp != nil) == udp {
			return b
		}
	}
	return nil
}

// descriptor hands the listener over open.
func (b *boundListener) descriptor() (*descriptor, error) {
	k, err := b.socket(netip.AddrPortFrom(netip.IPv4Unspecified(), b.Guest))
	if err != nil {
		return nil, err
	}
	return &descriptor{socket: k, rights: socketRights}, nil
}
