package wasi

import "context"

// fileType is a socket's, as preview 1 numbers them.
func (k *socket) fileType() FileType {
	if k.udp {
		return TypeSocketDgram
	}
	return TypeSocketStream
}

// getSocket returns descriptor fd if it is a socket with the rights.
func (s *System) getSocket(fd uint64, rights uint64) (*descriptor, Errno) {
	d, errno := s.get(uint32(fd), 0)
	switch {
	case errno != Success:
		return nil, errno
	case d.socket == nil:
		return nil, ENOTSOCK
	}
	return s.get(uint32(fd), rights)
}

func (d *descriptor) nonblock() bool { return d.flags&flagNonblock != 0 }

func sockAccept(ctx context.Context, s *System, m memory, p []uint64) Errno {
	return s.accept(ctx, m, p[0], uint32(p[1]), uint32(p[2]))
}

func (s *System) accept(ctx context.Context, m memory, fd uint64, flags, result uint32) Errno {
	d, errno := s.getSocket(fd, rightAccept)
	if errno != Success {
		return errno
	}
	if flags > allFlags || flags&^uint32(flagNonblock) != 0 {
		return EINVAL
	}
	if _, errno := m.bytes(result, 4); errno != Success {
		return errno
	}
	if s.full() {
		return EMFILE
	}
	k, errno := d.socket.accept(ctx, d.nonblock())
	if errno != Success {
		return errno
	}
	return s.addSocket(m, k, uint16(flags), result)
}

// addSocket gives a socket a number.
func (s *System) addSocket(m memory, k *socket, flags uint16, result uint32) Errno {
	k.network = s.c.Network
	fd, errno := s.add(&descriptor{socket: k, rights: socketRights, flags: flags})
	if errno != Success {
		k.Close()
		return errno
	}
	return m.putUint32(result, fd)
}

// What sock_recv can be told.
const (
	recvPeek = 1 << iota
	recvWaitAll
)

func sockRecv(ctx context.Context, s *System, m memory, p []uint64) Errno {
	n, _, truncated, errno := s.receive(ctx, m, p[0], p[1], p[2], uint32(p[3]), uint32(p[4]), uint32(p[5]))
	if errno != Success {
		return errno
	}
	return m.putReceived(uint32(p[4]), uint32(p[5]), n, truncated)
}

// putReceived writes what receiving gives: how much, and whether that is all.
func (m memory) putReceived(size, flags uint32, n int, truncated bool) Errno {
	b, errno := m.bytes(flags, 2)
	if errno != Success {
		return errno
	}
	clear(b)
	if truncated {
		b[0] = 1
	}
	return m.putUint32(size, uint32(n))
}

// receive reads from a socket into a guest's buffers. The results' places are
// checked before anything is taken out of the socket.
func (s *System) receive(ctx context.Context, m memory, fd, list, count uint64, flags, size, outFlags uint32) (n int, from address, truncated bool, errno Errno) {
	d, errno := s.getSocket(fd, rightRead)
	if errno != Success {
		return 0, from, false, errno
	}
	if flags > recvPeek|recvWaitAll {
		return 0, from, false, EINVAL
	}
	v, errno := m.vec(uint32(list), uint32(count))
	if errno != Success {
		return 0, from, false, errno
	}
	if _, errno := m.bytes(size, 4); errno != Success {
		return 0, from, false, errno
	}
	if _, errno := m.bytes(outFlags, 2); errno != Success {
		return 0, from, false, errno
	}
	if d.socket.udp {
		return s.receiveDatagram(ctx, d, v, flags)
	}
	peek := flags&recvPeek != 0
	for i := range v.len() {
		b := v.at(i)
		for len(b) > 0 {
			waits := n == 0 || flags&recvWaitAll != 0 && !peek
			var got int
			got, from, _, errno = d.socket.receive(ctx, b, int(flags), d.nonblock() || !waits)
			n += got
			b = b[got:]
			if errno != Success || got == 0 {
				if n > 0 {
					errno = Success
				}
				return n, from, false, errno
			}
			if peek {
				return n, from, false, Success // another look would see the same again
			}
			if flags&recvWaitAll == 0 {
				break
			}
		}
		if len(b) > 0 {
			break
		}
	}
	return n, from, false, Success
}

// receiveDatagram spreads one datagram over the buffers.
func (s *System) receiveDatagram(ctx context.Context, d *descriptor, v vec, flags uint32) (n int, from address, truncated bool, errno Errno) {
	b, ok := []byte(nil), false
	if v.len() == 1 {
		b, ok = v.at(0), true
	}
	if !ok {
		b = make([]byte, min(v.size(), 1<<16))
	}
	n, from, truncated, errno = d.socket.receive(ctx, b, int(flags), d.nonblock())
	if errno != Success || ok {
		return n, from, truncated, errno
	}
	rest := b[:n]
	for i := range v.len() {
		rest = rest[copy(v.at(i), rest):]
	}
	return n, from, truncated, Success
}

func sockSend(ctx context.Context, s *System, m memory, p []uint64) Errno {
	return s.send(ctx, m, p[0], p[1], p[2], address{}, uint32(p[3]), uint32(p[4]))
}

// send writes a guest's buffers to a socket, to an address if there is one.
func (s *System) send(ctx context.Context, m memory, fd, list, count uint64, to address, flags, size uint32) Errno {
	d, errno := s.getSocket(fd, rightWrite)
	if errno != Success {
		return errno
	}
	if flags != 0 {
		return EINVAL
	}
	v, errno := m.vec(uint32(list), uint32(count))
	if errno != Success {
		return errno
	}
	if _, errno := m.bytes(size, 4); errno != Success {
		return errno
	}
	write := func(b []byte) (int, error) { return asError(d.socket.send(ctx, b, to, d.nonblock())) }
	var n int64
	if d.socket.udp {
		// One datagram, however many buffers.
		if v.size() > 1<<16 {
			return EMSGSIZE
		}
		b, _ := v.gather(make([]byte, 0, 1<<16))
		if v.len() == 1 {
			b = v.at(0)
		}
		got, err := write(b)
		n, errno = int64(got), errnoOf(err)
	} else {
		n, errno = s.writeAll(ctx, v, write)
	}
	if errno != Success {
		return errno
	}
	return m.putUint32(size, uint32(n))
}

func sockShutdown(_ context.Context, s *System, _ memory, p []uint64) Errno {
	d, errno := s.getSocket(p[0], rightShutdown)
	if errno != Success {
		return errno
	}
	if how := uint32(p[1]); how == 0 || how > 3 {
		return EINVAL
	}
	return d.socket.shutdown(uint32(p[1]))
}
