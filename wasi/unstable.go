package wasi

import "context"

// unstable is what the preview before preview 1 has otherwise.
var unstable = []function{
	{"fd_filestat_get", "ii", unstableFilestatGet},
	{"path_filestat_get", "iiiii", unstablePathFilestatGet},
	{"fd_seek", "iIii", unstableSeek},
	{"poll_oneoff", "iiii", unstablePoll},
}

// putOldStat writes the 56 bytes of a filestat with a narrow count of links.
func (m memory) putOldStat(ptr uint32, st Stat) Errno {
	b, errno := m.bytes(ptr, 56)
	if errno != Success {
		return errno
	}
	le.PutUint64(b, st.Dev)
	le.PutUint64(b[8:], st.Ino)
	le.PutUint32(b[16:], uint32(st.Type))
	le.PutUint32(b[20:], uint32(st.Nlink))
	le.PutUint64(b[24:], uint64(st.Size))
	le.PutUint64(b[32:], uint64(st.Atim))
	le.PutUint64(b[40:], uint64(st.Mtim))
	le.PutUint64(b[48:], uint64(st.Ctim))
	return Success
}

func unstableFilestatGet(_ context.Context, s *System, m memory, p []uint64) Errno {
	d, errno := s.get(uint32(p[0]), rightStat)
	if errno != Success {
		return errno
	}
	st, err := d.stat()
	if err != nil {
		return errnoOf(err)
	}
	return m.putOldStat(uint32(p[1]), st)
}

func unstablePathFilestatGet(_ context.Context, s *System, m memory, p []uint64) Errno {
	st, errno := s.lookup(m, p)
	if errno != Success {
		return errno
	}
	return m.putOldStat(uint32(p[4]), st)
}

func unstableSeek(_ context.Context, s *System, m memory, p []uint64) Errno {
	whence := uint32(p[2])
	switch whence {
	case 0:
		whence = seekCur
	case 1:
		whence = seekEnd
	case 2:
		whence = seekSet
	}
	return s.seek(m, uint32(p[0]), int64(p[1]), whence, uint32(p[3]))
}

// unstablePoll has one more word in a subscription, before the clock.
func unstablePoll(ctx context.Context, s *System, m memory, p []uint64) Errno {
	return s.pollAll(ctx, m, p, 56, func(b []byte) subscription {
		sub := subscription{userdata: le.Uint64(b), kind: b[8]}
		if sub.kind == pollClock {
			s.subscribeClock(&sub, le.Uint32(b[24:]), le.Uint64(b[32:]), le.Uint16(b[48:]))
		} else {
			s.subscribeFD(&sub, le.Uint32(b[16:]))
		}
		return sub
	})
}
