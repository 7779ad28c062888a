package wasi

import (
	"context"
	"math"
	"time"
)

func fdAdvise(_ context.Context, s *System, _ memory, p []uint64) Errno {
	d, errno := s.get(uint32(p[0]), 0)
	switch {
	case errno != Success:
		return errno
	case d.dir != nil:
		return EBADF
	case d.file == nil:
		return ESPIPE
	case d.rights&rightAdvise == 0:
		return ENOTCAPABLE
	case uint32(p[3]) > 5 || int64(p[1]) < 0 || int64(p[2]) < 0:
		return EINVAL
	}
	return Success // advice need not be taken
}

func fdAllocate(_ context.Context, s *System, _ memory, p []uint64) Errno {
	d, errno := s.getFile(uint32(p[0]), rightWrite)
	if errno != Success {
		return errno
	}
	off, n := int64(p[1]), int64(p[2])
	switch {
	case d.rights&rightAllocate == 0:
		return ENOTCAPABLE
	case off < 0 || n <= 0:
		return EINVAL
	case off > math.MaxInt64-n:
		return EFBIG
	}
	return errnoOf(d.file.Allocate(off, n))
}

func fdClose(_ context.Context, s *System, _ memory, p []uint64) Errno {
	d, errno := s.get(uint32(p[0]), 0)
	if errno != Success {
		return errno
	}
	s.table[uint32(p[0])] = nil
	return errnoOf(d.close())
}

func fdSync(_ context.Context, s *System, _ memory, p []uint64) Errno {
	return s.sync(uint32(p[0]), rightSync, false)
}

func fdDatasync(_ context.Context, s *System, _ memory, p []uint64) Errno {
	return s.sync(uint32(p[0]), rightDatasync, true)
}

func (s *System) sync(fd uint32, right uint64, dataOnly bool) Errno {
	d, errno := s.get(fd, right)
	switch {
	case errno != Success:
		return errno
	case d.node() != nil:
		return errnoOf(d.node().Sync(dataOnly))
	case d.stream != nil && d.stream.regular:
		return errnoOf(d.stream.file.Sync())
	}
	return EINVAL // as fsync says of a pipe, a terminal or a socket
}

// stat is the attributes of what is open as d.
func (d *descriptor) stat() (Stat, error) {
	switch {
	case d.node() != nil:
		return d.node().Stat()
	case d.stream != nil:
		return d.stream.stat()
	}
	return Stat{Type: d.socket.fileType(), Nlink: 1}, nil
}

func fdFdstatGet(_ context.Context, s *System, m memory, p []uint64) Errno {
	d, errno := s.get(uint32(p[0]), 0)
	if errno != Success {
		return errno
	}
	b, errno := m.bytes(uint32(p[1]), 24)
	if errno != Success {
		return errno
	}
	clear(b)
	switch {
	case d.dir != nil:
		b[0] = byte(TypeDirectory)
	case d.stream != nil:
		b[0] = byte(d.stream.typ)
	case d.socket != nil:
		b[0] = byte(d.socket.fileType())
	default:
		b[0] = byte(TypeRegular)
		if _, ok := d.file.(*devFile); ok {
			b[0] = byte(TypeCharacterDevice)
		}
	}
	le.PutUint16(b[2:], d.flags)
	le.PutUint64(b[8:], d.rights)
	le.PutUint64(b[16:], d.inheriting)
	return Success
}

func fdFdstatSetFlags(_ context.Context, s *System, _ memory, p []uint64) Errno {
	d, errno := s.get(uint32(p[0]), rightSetFlags)
	if errno != Success {
		return errno
	}
	const synced = flagDsync | flagRsync | flagSync
	flags := uint16(p[1])
	if uint32(p[1]) > allFlags || flags&synced&^d.flags != 0 {
		return EINVAL // how a file was opened in this is not changed later
	}
	d.flags = flags&^synced | d.flags&synced
	return Success
}

// fdFdstatSetRights takes rights away; they cannot be got back.
func fdFdstatSetRights(_ context.Context, s *System, _ memory, p []uint64) Errno {
	d, errno := s.get(uint32(p[0]), 0)
	if errno != Success {
		return errno
	}
	if p[1]&^d.rights != 0 || p[2]&^d.inheriting != 0 {
		return ENOTCAPABLE
	}
	d.rights, d.inheriting = p[1], p[2]
	return Success
}

// putStat writes the 64 bytes of a filestat.
func (m memory) putStat(ptr uint32, st Stat) Errno {
	b, errno := m.bytes(ptr, 64)
	if errno != Success {
		return errno
	}
	clear(b[16:24])
	le.PutUint64(b, st.Dev)
	le.PutUint64(b[8:], st.Ino)
	b[16] = byte(st.Type)
	le.PutUint64(b[24:], st.Nlink)
	le.PutUint64(b[32:], uint64(st.Size))
	le.PutUint64(b[40:], uint64(st.Atim))
	le.PutUint64(b[48:], uint64(st.Mtim))
	le.PutUint64(b[56:], uint64(st.Ctim))
	return Success
}

func fdFilestatGet(_ context.Context, s *System, m memory, p []uint64) Errno {
	d, errno := s.get(uint32(p[0]), rightStat)
	if errno != Success {
		return errno
	}
	st, err := d.stat()
	if err != nil {
		return errnoOf(err)
	}
	return m.putStat(uint32(p[1]), st)
}

func fdFilestatSetSize(_ context.Context, s *System, _ memory, p []uint64) Errno {
	d, errno := s.getFile(uint32(p[0]), 0)
	switch {
	case errno == ESPIPE:
		return EINVAL
	case errno != Success:
		return errno
	case d.rights&rightWrite == 0 || int64(p[1]) < 0:
		return EINVAL
	case d.rights&rightSetSize == 0:
		return ENOTCAPABLE
	}
	return errnoOf(d.file.Truncate(int64(p[1])))
}

// times reads what set_times functions are given.
func (s *System) times(atim, mtim uint64, flags uint32) (t Times, errno Errno) {
	const (
		setAtim = 1 << iota
		atimNow
		setMtim
		mtimNow
		all = 1<<iota - 1
	)
	if flags > all || flags&(setAtim|atimNow) == setAtim|atimNow || flags&(setMtim|mtimNow) == setMtim|mtimNow {
		return t, EINVAL
	}
	now := time.Unix(0, s.clock.Realtime())
	set := func(to **time.Time, ns uint64, given, isNow uint32) {
		at := now
		switch {
		case flags&given != 0:
			if ns > math.MaxInt64 {
				errno = EINVAL
				return
			}
			at = time.Unix(0, int64(ns))
		case flags&isNow == 0:
			return
		}
		*to = &at
	}
	set(&t.Access, atim, setAtim, atimNow)
	set(&t.Modify, mtim, setMtim, mtimNow)
	return t, errno
}

func fdFilestatSetTimes(_ context.Context, s *System, _ memory, p []uint64) Errno {
	d, errno := s.get(uint32(p[0]), 0)
	if errno != Success {
		return errno
	}
	t, errno := s.times(p[1], p[2], uint32(p[3]))
	switch {
	case errno != Success:
		return errno
	case d.node() == nil:
		return EINVAL // the host's streams are not touched
	case d.rights&rightSetTimes == 0:
		return ENOTCAPABLE
	}
	return errnoOf(d.node().SetTimes(t))
}

func fdPrestatGet(_ context.Context, s *System, m memory, p []uint64) Errno {
	d, errno := s.get(uint32(p[0]), 0)
	if errno != Success || d.preopen == "" {
		return EBADF
	}
	b, errno := m.bytes(uint32(p[1]), 8)
	if errno != Success {
		return errno
	}
	clear(b)
	le.PutUint32(b[4:], uint32(len(d.preopen)))
	return Success
}

func fdPrestatDirName(_ context.Context, s *System, m memory, p []uint64) Errno {
	d, errno := s.get(uint32(p[0]), 0)
	if errno != Success || d.preopen == "" {
		return EBADF
	}
	if uint32(p[2]) < uint32(len(d.preopen)) {
		return ENAMETOOLONG
	}
	b, errno := m.bytes(uint32(p[1]), uint32(len(d.preopen)))
	if errno != Success {
		return errno
	}
	copy(b, d.preopen)
	return Success
}

// fdReaddir fills a buffer with entries, the last one cut off if it does not
// fit: the guest asks again for that one.
func fdReaddir(_ context.Context, s *System, m memory, p []uint64) Errno {
	d, errno := s.getDir(uint32(p[0]), rightReaddir)
	if errno != Success {
		return errno
	}
	b, errno := m.bytes(uint32(p[1]), uint32(p[2]))
	if errno != Success {
		return errno
	}
	if _, errno := m.bytes(uint32(p[4]), 4); errno != Success {
		return errno
	}
	used := 0
	err := d.dir.ReadDir(p[3], func(e DirEntry) bool {
		var head [24]byte
		le.PutUint64(head[:], e.Next)
		le.PutUint64(head[8:], e.Ino)
		le.PutUint32(head[16:], uint32(len(e.Name)))
		head[20] = byte(e.Type)
		used += copy(b[used:], head[:])
		used += copy(b[used:], e.Name)
		return used < len(b)
	})
	if err != nil {
		return errnoOf(err)
	}
	return m.putUint32(uint32(p[4]), uint32(used))
}

// fdRenumber is dup2 that closes the old number.
func fdRenumber(_ context.Context, s *System, _ memory, p []uint64) Errno {
	from, to := uint32(p[0]), uint32(p[1])
	d, errno := s.get(from, 0)
	switch {
	case errno != Success:
		return errno
	case uint64(to) >= uint64(s.c.OpenFiles):
		return EBADF
	case from == to:
		return Success
	}
	for len(s.table) <= int(to) {
		s.table = append(s.table, nil)
	}
	if old := s.table[to]; old != nil {
		old.close()
	}
	s.table[to], s.table[from] = d, nil
	return Success
}

// Where a seek begins.
const (
	seekSet = iota
	seekCur
	seekEnd
)

func fdSeek(_ context.Context, s *System, m memory, p []uint64) Errno {
	return s.seek(m, uint32(p[0]), int64(p[1]), uint32(p[2]), uint32(p[3]))
}

func fdTell(_ context.Context, s *System, m memory, p []uint64) Errno {
	return s.seek(m, uint32(p[0]), 0, seekCur, uint32(p[1]))
}

func (s *System) seek(m memory, fd uint32, offset int64, whence, result uint32) Errno {
	d, errno := s.get(fd, 0)
	switch {
	case errno != Success:
		return errno
	case d.dir != nil:
		return EBADF
	case d.socket != nil:
		return ESPIPE
	case whence > seekEnd:
		return EINVAL
	}
	if _, errno := m.bytes(result, 8); errno != Success {
		return errno
	}
	if d.stream != nil {
		at, errno := d.stream.seek(offset, int(whence))
		if errno != Success {
			return errno
		}
		return m.putUint64(result, uint64(at))
	}
	right := uint64(rightSeek)
	if whence == seekCur && offset == 0 {
		right = rightTell
	}
	if d.rights&(right|rightSeek) == 0 {
		return ENOTCAPABLE
	}
	base := int64(0)
	switch whence {
	case seekCur:
		base = d.offset
	case seekEnd:
		st, err := d.file.Stat()
		if err != nil {
			return errnoOf(err)
		}
		base = st.Size
	}
	switch {
	case offset > 0 && base > math.MaxInt64-offset:
		return EINVAL // as Linux has it
	case base+offset < 0:
		return EINVAL
	}
	d.offset = base + offset
	return m.putUint64(result, uint64(d.offset))
}
