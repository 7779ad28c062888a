//go:build !linux && !darwin

package wasi

import (
	"context"
	"net/netip"
	"time"
)

// socketsHere: guests have no sockets on this system.
const socketsHere = false

type socket struct {
	ipv6, udp, listening      bool
	network                   *Network
	readTimeout, writeTimeout time.Duration
}

func openSocket(bool, bool) (*socket, error)                       { return nil, ENOTSUP }
func (b *boundListener) socket(netip.AddrPort) (*socket, error)    { return nil, ENOTSUP }
func (k *socket) Close() error                                     { return ENOTSUP }
func (k *socket) read(context.Context, []byte, bool) (int, Errno)  { return 0, ENOTSUP }
func (k *socket) write(context.Context, []byte, bool) (int, Errno) { return 0, ENOTSUP }
func (k *socket) receive(context.Context, []byte, int, bool) (int, netip.AddrPort, bool, Errno) {
	return 0, netip.AddrPort{}, false, ENOTSUP
}
func (k *socket) send(context.Context, []byte, netip.AddrPort, bool) (int, Errno) { return 0, ENOTSUP }
func (k *socket) connect(context.Context, netip.AddrPort, bool) Errno             { return ENOTSUP }
func (k *socket) accept(context.Context, bool) (*socket, Errno)                   { return nil, ENOTSUP }
func (k *socket) bind(*boundListener, netip.AddrPort) Errno                       { return ENOTSUP }
func (k *socket) listen() Errno                                                   { return ENOTSUP }
func (k *socket) shutdown(uint32) Errno                                           { return ENOTSUP }
func (k *socket) name(bool) (netip.AddrPort, Errno)                               { return netip.AddrPort{}, ENOTSUP }
func (k *socket) option(uint32) (int, Errno)                                      { return 0, ENOTSUP }
func (k *socket) setOption(uint32, int) Errno                                     { return ENOTSUP }
func (k *socket) reset(bool) Errno                                                { return ENOTSUP }
func (sub *subscription) checkSocket(waker)                                       { sub.fired, sub.errno = true, ENOTSUP }
