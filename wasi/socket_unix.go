//go:build linux || darwin

package wasi

import (
	"context"
	"math"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const socketsHere = true

// socket is a socket of the guest: one of the host's, never blocking, that
// Go's poller knows, so that waiting costs no thread.
type socket struct {
	f    *os.File
	conn syscall.RawConn

	ipv6, udp bool
	listening bool
	connected bool                        // by connect or accept
	published *boundListener              // what bind has taken the place of f by
	local     netip.AddrPort              // what the guest bound, if published
	peers     map[netip.AddrPort]struct{} // who sent to it, if published

	network                   *Network
	readTimeout, writeTimeout time.Duration
}

// newSocket takes the host's descriptor over.
func newSocket(fd int) (*socket, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "socket")
	conn, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &socket{f: f, conn: conn}, nil
}

// openSocket makes a socket that is bound and connected to nothing.
func openSocket(ipv6, udp bool) (*socket, error) {
	family, kind := unix.AF_INET, unix.SOCK_STREAM
	if ipv6 {
		family = unix.AF_INET6
	}
	if udp {
		kind = unix.SOCK_DGRAM
	}
	syscall.ForkLock.RLock()
	fd, err := unix.Socket(family, kind, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, err
	}
	if !udp {
		// As package net does: guests have no option for it.
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	k, err := newSocket(fd)
	if err != nil {
		return nil, err
	}
	k.ipv6, k.udp = ipv6, udp
	return k, nil
}

// socket returns a socket of the guest's that shares the host's listener.
func (b *boundListener) socket(local netip.AddrPort) (*socket, error) {
	var conn syscall.RawConn
	var err error
	if b.tcp != nil {
		conn, err = b.tcp.SyscallConn()
	} else {
		conn, err = b.udp.SyscallConn()
	}
	if err != nil {
		return nil, err
	}
	fd := -1
	if cerr := conn.Control(func(host uintptr) { fd, err = unix.FcntlInt(host, unix.F_DUPFD_CLOEXEC, 0) }); cerr != nil {
		err = cerr
	}
	if err != nil {
		return nil, err
	}
	k, err := newSocket(fd)
	if err != nil {
		return nil, err
	}
	k.ipv6, k.udp, k.published, k.local = local.Addr().Is6(), b.udp != nil, b, local
	k.listening = b.tcp != nil
	return k, nil
}

func (k *socket) Close() error { return k.f.Close() }

// past is a deadline that ends what waits.
var past = time.Unix(1, 0)

// await calls try until it gives anything but EAGAIN, waiting in between until
// the socket can be read or written, as long as timeout if that is not 0.
func (k *socket) await(ctx context.Context, write, nonblock bool, timeout time.Duration, try func(fd int) error) error {
	var err error
	once := func(fd uintptr) { err = retry(func() error { return try(int(fd)) }) }
	if cerr := k.conn.Control(once); cerr != nil {
		return cerr
	}
	if err != unix.EAGAIN || nonblock {
		return err
	}
	wait, deadline := k.conn.Read, k.f.SetReadDeadline
	if write {
		wait, deadline = k.conn.Write, k.f.SetWriteDeadline
	}
	if timeout > 0 {
		if derr := deadline(time.Now().Add(timeout)); derr != nil {
			return derr
		}
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		deadline(past)
		close(ended)
	})
	var werr error
	Wait(ctx, func() {
		werr = wait(func(fd uintptr) bool {
			once(fd)
			return err != unix.EAGAIN
		})
	})
	if !stop() {
		<-ended
	}
	deadline(time.Time{})
	if werr != nil {
		stopped(ctx)
		if os.IsTimeout(werr) {
			return unix.EAGAIN // as a socket with a timeout has it
		}
		return werr
	}
	return err
}

func (k *socket) read(ctx context.Context, p []byte, nonblock bool) (int, Errno) {
	n, _, _, errno := k.receive(ctx, p, 0, nonblock)
	return n, errno
}

// receive reads into p. A datagram from where the guest may not send to is
// dropped, unless the port is published.
func (k *socket) receive(ctx context.Context, p []byte, flags int, nonblock bool) (n int, from netip.AddrPort, truncated bool, errno Errno) {
	if k.listening || !k.udp && !k.connected {
		return 0, from, false, ENOTCONN
	}
	how := 0
	if flags&recvPeek != 0 {
		how |= unix.MSG_PEEK
	}
	if len(p) == 0 && !k.udp {
		return 0, from, false, Success
	}
	err := k.await(ctx, false, nonblock, k.readTimeout, func(fd int) error {
		for {
			var sa unix.Sockaddr
			var rflags int
			var err error
			n, _, rflags, sa, err = unix.Recvmsg(fd, p, nil, how)
			if err != nil {
				return err
			}
			truncated = k.udp && rflags&unix.MSG_TRUNC != 0
			from = addrPort(sa)
			if k.udp && k.published != nil {
				k.remember(from)
				return nil
			}
			if !k.udp || k.connected || k.network.allows(ctx, from, true) {
				return nil
			}
			if how&unix.MSG_PEEK != 0 {
				unix.Recvmsg(fd, p[:0], nil, 0)
			}
		}
	})
	if err != nil {
		return 0, from, false, errnoOf(err)
	}
	return n, from, truncated, Success
}

// maxPeers is to how many senders of datagrams a guest can answer.
const maxPeers = 1 << 12

// remember lets the guest answer who sent to a port that is published.
func (k *socket) remember(from netip.AddrPort) {
	if k.peers == nil || len(k.peers) >= maxPeers {
		k.peers = map[netip.AddrPort]struct{}{}
	}
	k.peers[from] = struct{}{}
}

func (k *socket) write(ctx context.Context, p []byte, nonblock bool) (int, Errno) {
	return k.send(ctx, p, netip.AddrPort{}, nonblock)
}

// send writes p, to an address if one is given.
func (k *socket) send(ctx context.Context, p []byte, to netip.AddrPort, nonblock bool) (int, Errno) {
	var sa unix.Sockaddr
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	switch {
	case k.listening, !k.udp && !k.connected:
		return 0, ENOTCONN
	case to.IsValid() && !k.udp:
		return 0, EISCONN
	case to.IsValid():
		if _, asked := k.peers[to]; !asked && !k.network.allows(ctx, to, true) {
			k.network.refuse(to.String() + "/udp")
			return 0, EACCES
		}
		sa = k.sockaddr(to)
	case k.udp && !k.connected:
		return 0, EDESTADDRREQ
	}
	done := 0
	for {
		var n int
		err := k.await(ctx, true, nonblock, k.writeTimeout, func(fd int) error {
			var err error
			n, err = unix.SendmsgN(fd, p[done:], nil, sa, unix.MSG_NOSIGNAL)
			return err
		})
		if err != nil {
			if done > 0 {
				return done, Success
			}
			return 0, errnoOf(err)
		}
		if done += n; done >= len(p) || nonblock || k.udp {
			return done, Success
		}
	}
}

// connect connects a socket. Only TCP takes time: EINPROGRESS if it may not.
func (k *socket) connect(ctx context.Context, to netip.AddrPort, nonblock bool) Errno {
	if k.listening || k.published != nil {
		return EINVAL
	}
	if !k.network.allows(ctx, to, k.udp) {
		what := to.String()
		if k.udp {
			what += "/udp"
		}
		k.network.refuse(what)
		return EACCES
	}
	sa := k.sockaddr(to)
	var err error
	if cerr := k.conn.Control(func(fd uintptr) { err = unix.Connect(int(fd), sa) }); cerr != nil {
		return errnoOf(cerr)
	}
	switch err {
	case nil:
		k.connected = true
		return Success
	case unix.EINPROGRESS, unix.EINTR:
	default:
		return errnoOf(err)
	}
	k.connected = true // as far as reading and writing go: they wait or fail
	if nonblock {
		return EINPROGRESS
	}
	err = k.await(ctx, true, false, k.writeTimeout, func(fd int) error {
		if !pollFD(fd, unix.POLLOUT) {
			return unix.EAGAIN
		}
		if e, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil {
			return err
		} else if e != 0 {
			return syscall.Errno(e)
		}
		return nil
	})
	switch err {
	case nil:
		return Success
	case unix.EAGAIN:
		return EINPROGRESS
	}
	k.connected = false
	return errnoOf(err)
}

// accept waits for a connection.
func (k *socket) accept(ctx context.Context, nonblock bool) (*socket, Errno) {
	if k.udp {
		return nil, ENOTSUP
	}
	if !k.listening {
		return nil, EINVAL
	}
	fd := -1
	err := k.await(ctx, false, nonblock, k.readTimeout, func(listener int) error {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		var err error
		if fd, _, err = unix.Accept(listener); err == nil {
			unix.CloseOnExec(fd)
		}
		return err
	})
	if err != nil {
		return nil, errnoOf(err)
	}
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	accepted, err := newSocket(fd)
	if err != nil {
		return nil, errnoOf(err)
	}
	accepted.ipv6, accepted.connected, accepted.local, accepted.network = k.ipv6, true, k.local, k.network
	return accepted, Success
}

// bind gives the socket a published port, or none.
func (k *socket) bind(b *boundListener, local netip.AddrPort) Errno {
	if k.published != nil || k.connected {
		return EINVAL
	}
	shared, err := b.socket(local)
	if err != nil {
		return errnoOf(err)
	}
	shared.listening = false // until listen
	shared.network, shared.readTimeout, shared.writeTimeout = k.network, k.readTimeout, k.writeTimeout
	old := k.f
	*k = *shared
	return errnoOf(old.Close())
}

func (k *socket) listen() Errno {
	switch {
	case k.udp:
		return ENOTSUP
	case k.published == nil:
		return EACCES // nothing but a published port is listened on
	}
	k.listening = true
	return Success
}

func (k *socket) shutdown(flags uint32) Errno {
	if !k.connected {
		return ENOTCONN
	}
	how := map[uint32]int{1: unix.SHUT_RD, 2: unix.SHUT_WR, 3: unix.SHUT_RDWR}[flags]
	var err error
	if cerr := k.conn.Control(func(fd uintptr) { err = unix.Shutdown(int(fd), how) }); cerr != nil {
		err = cerr
	}
	return errnoOf(err)
}

// name returns the socket's own address or its peer's.
func (k *socket) name(peer bool) (netip.AddrPort, Errno) {
	if !peer && k.local.IsValid() {
		return k.local, Success
	}
	if peer && !k.connected {
		return netip.AddrPort{}, ENOTCONN
	}
	var sa unix.Sockaddr
	var err error
	cerr := k.conn.Control(func(fd uintptr) {
		if peer {
			sa, err = unix.Getpeername(int(fd))
		} else {
			sa, err = unix.Getsockname(int(fd))
		}
	})
	if cerr != nil {
		err = cerr
	}
	return addrPort(sa), errnoOf(err)
}

// sockaddr is an address as the host's socket takes it.
func (k *socket) sockaddr(to netip.AddrPort) unix.Sockaddr {
	six := k.ipv6
	if k.published != nil {
		six = k.published.addr().Addr().Is6()
	}
	if six {
		return &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	}
	a := to.Addr().Unmap()
	if !a.Is4() {
		return &unix.SockaddrInet6{Port: int(to.Port()), Addr: a.As16()} // the kernel says EAFNOSUPPORT
	}
	return &unix.SockaddrInet4{Port: int(to.Port()), Addr: a.As4()}
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

func pollFD(fd int, events int16) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
	n, err := unix.Poll(fds, 0)
	return n > 0 || err != nil && err != unix.EINTR
}

// ready tells whether the socket can be read or written without waiting.
func (k *socket) ready(write bool) (ready bool, n int64, hangup bool) {
	cerr := k.conn.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if write {
			fds[0].Events = unix.POLLOUT
		}
		got, err := unix.Poll(fds, 0)
		ready = got > 0 || err != nil && err != unix.EINTR
		hangup = fds[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
		n = 1
		if ready && !write && !k.listening {
			if waiting, err := unix.IoctlGetInt(int(fd), ioctlWaiting); err == nil {
				n = int64(waiting)
				hangup = hangup || n == 0 && !k.udp
			}
		}
	})
	return ready || cerr != nil, n, hangup
}

func (sub *subscription) checkSocket(w waker) {
	k, write := sub.fd.socket, sub.kind == pollWrite
	if sub.fired, sub.bytes, sub.hangup = k.ready(write); sub.fired || w == nil || sub.abandon != nil {
		return
	}
	wait, deadline, event := k.conn.Read, k.f.SetReadDeadline, int16(unix.POLLIN)
	if write {
		wait, deadline, event = k.conn.Write, k.f.SetWriteDeadline, unix.POLLOUT
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		wait(func(fd uintptr) bool { return pollFD(int(fd), event) })
		w.wake()
	}()
	sub.abandon = func() {
		deadline(past)
		<-ended
		deadline(time.Time{})
	}
}

// option returns an option's value; see sockOption for their numbers.
func (k *socket) option(name uint32) (int, Errno) {
	host, ok := map[uint32]int{
		optReuseaddr: unix.SO_REUSEADDR, optError: unix.SO_ERROR, optBroadcast: unix.SO_BROADCAST,
		optSndbuf: unix.SO_SNDBUF, optRcvbuf: unix.SO_RCVBUF, optKeepalive: unix.SO_KEEPALIVE,
	}[name]
	if !ok {
		return 0, ENOPROTOOPT
	}
	var v int
	var err error
	if cerr := k.conn.Control(func(fd uintptr) { v, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, host) }); cerr != nil {
		err = cerr
	}
	if name == optError && v != 0 {
		k.connected = false
		v = int(errnoOf(syscall.Errno(v)))
	}
	return v, errnoOf(err)
}

func (k *socket) setOption(name uint32, v int) Errno {
	host, ok := map[uint32]int{
		optBroadcast: unix.SO_BROADCAST, optSndbuf: unix.SO_SNDBUF, optRcvbuf: unix.SO_RCVBUF, optKeepalive: unix.SO_KEEPALIVE,
	}[name]
	if !ok {
		return ENOPROTOOPT
	}
	if k.published != nil {
		return Success // the host's socket is not the guest's to change
	}
	v = min(v, math.MaxInt32)
	var err error
	if cerr := k.conn.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, host, v) }); cerr != nil {
		err = cerr
	}
	return errnoOf(err)
}

// reset makes closing break the connection instead of ending it.
func (k *socket) reset(on bool) Errno {
	l := unix.Linger{}
	if on {
		l.Onoff = 1
	}
	var err error
	if cerr := k.conn.Control(func(fd uintptr) { err = unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &l) }); cerr != nil {
		err = cerr
	}
	return errnoOf(err)
}
