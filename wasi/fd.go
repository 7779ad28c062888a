package wasi

import (
	"context"
	"io"
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

// maxTransfer is the most that one call reads or writes, as on Linux.
const maxTransfer = math.MaxInt32 &^ 4095

func fdRead(ctx context.Context, s *System, m memory, p []uint64) Errno {
	d, errno := s.get(uint32(p[0]), 0)
	if errno != Success {
		return errno
	}
	if d.dir != nil {
		return EISDIR
	}
	if d.rights&rightRead == 0 {
		return EBADF
	}
	v, errno := m.vec(uint32(p[1]), uint32(p[2]))
	if errno != Success {
		return errno
	}
	if _, errno := m.bytes(uint32(p[3]), 4); errno != Success {
		return errno
	}
	var n int64
	switch {
	case d.file != nil:
		n, errno = readFile(ctx, d.file, v, d.offset)
		d.offset += n
	default:
		n, errno = s.readStream(ctx, d, v)
	}
	if errno != Success {
		return errno
	}
	return m.putUint32(uint32(p[3]), uint32(n))
}

// readFile fills the buffers from offset on. What came before an error counts.
func readFile(ctx context.Context, f File, v vec, offset int64) (n int64, errno Errno) {
	for i := range v.len() {
		b := v.at(i)
		b = b[:min(int64(len(b)), maxTransfer-n)]
		if len(b) == 0 {
			continue
		}
		if offset > math.MaxInt64-n-int64(len(b)) {
			return n, EINVAL
		}
		got, err := f.ReadAt(b, offset+n)
		n += int64(got)
		if got < len(b) {
			if errno = errnoOf(err); isEnd(err) || n > 0 {
				errno = Success
			}
			return n, errno
		}
		stopped(ctx)
	}
	return n, Success
}

// isEnd tells the end of a file from an error.
func isEnd(err error) bool { return err == nil || err == io.EOF }

// readStream fills the buffers with what is there, waiting for the first byte.
func (s *System) readStream(ctx context.Context, d *descriptor, v vec) (n int64, errno Errno) {
	for i := range v.len() {
		b := v.at(i)
		if len(b) == 0 {
			continue
		}
		nonblock := n > 0 || d.flags&flagNonblock != 0
		var got int
		if d.socket != nil {
			got, errno = d.socket.read(ctx, b, nonblock)
		} else {
			got, errno = d.stream.read(ctx, b, nonblock)
		}
		n += int64(got)
		if errno != Success && n > 0 {
			errno = Success
		}
		if errno != Success || got < len(b) {
			break
		}
	}
	return n, errno
}

func fdPread(ctx context.Context, s *System, m memory, p []uint64) Errno {
	d, errno := s.getFile(uint32(p[0]), rightRead)
	if errno != Success {
		return errno
	}
	v, errno := m.vec(uint32(p[1]), uint32(p[2]))
	if errno != Success {
		return errno
	}
	if int64(p[3]) < 0 {
		return EINVAL
	}
	if _, errno := m.bytes(uint32(p[4]), 4); errno != Success {
		return errno
	}
	n, errno := readFile(ctx, d.file, v, int64(p[3]))
	if errno != Success {
		return errno
	}
	return m.putUint32(uint32(p[4]), uint32(n))
}

func fdWrite(ctx context.Context, s *System, m memory, p []uint64) Errno {
	d, errno := s.get(uint32(p[0]), rightWrite)
	if errno != Success {
		return errno
	}
	v, errno := m.vec(uint32(p[1]), uint32(p[2]))
	if errno != Success {
		return errno
	}
	if _, errno := m.bytes(uint32(p[3]), 4); errno != Success {
		return errno
	}
	var n int64
	switch {
	case d.file != nil && d.flags&flagAppend != 0:
		n, errno = s.writeAll(ctx, v, func(b []byte) (n int, err error) {
			n, d.offset, err = d.file.Append(b)
			return n, err
		})
	case d.file != nil:
		n, errno = s.writeAll(ctx, v, func(b []byte) (int, error) {
			if d.offset > math.MaxInt64-int64(len(b)) {
				return 0, EFBIG
			}
			n, err := d.file.WriteAt(b, d.offset)
			d.offset += int64(n)
			return n, err
		})
	case d.socket != nil:
		n, errno = s.writeAll(ctx, v, func(b []byte) (int, error) {
			return asError(d.socket.write(ctx, b, d.flags&flagNonblock != 0))
		})
	default:
		n, errno = s.writeAll(ctx, v, func(b []byte) (int, error) { return s.writeStream(ctx, d, b) })
	}
	if errno != Success {
		return errno
	}
	return m.putUint32(uint32(p[3]), uint32(n))
}

// scratchSize is up to where small buffers are written as one.
const scratchSize = 16 << 10

// writeAll writes the buffers, together if they are small. What was written
// before an error counts.
func (s *System) writeAll(ctx context.Context, v vec, write func([]byte) (int, error)) (n int64, errno Errno) {
	if s.scratch == nil && v.len() > 1 {
		s.scratch = make([]byte, 0, scratchSize)
	}
	if b, ok := v.one(s.scratch); ok {
		got, err := write(b[:min(len(b), maxTransfer)])
		if got > 0 {
			err = nil
		}
		return int64(got), errnoOf(err)
	}
	for i := range v.len() {
		b := v.at(i)
		b = b[:min(int64(len(b)), maxTransfer-n)]
		if len(b) == 0 {
			continue
		}
		got, err := write(b)
		n += int64(got)
		if err != nil && n == 0 {
			return 0, errnoOf(err)
		}
		if err != nil || got < len(b) {
			break
		}
		stopped(ctx)
	}
	return n, Success
}

// asError makes an error of an errno, nil for success.
func asError(n int, errno Errno) (int, error) {
	if errno != Success {
		return n, errno
	}
	return n, nil
}

// writeStream writes to a standard stream what the limit leaves, and ends the
// guest if that is not all.
func (s *System) writeStream(ctx context.Context, d *descriptor, b []byte) (int, error) {
	all := b
	if limit := s.c.Output; limit > 0 {
		b = b[:min(int64(len(b)), limit-s.output)]
	}
	n, errno := d.stream.write(ctx, b, d.flags&flagNonblock != 0)
	s.output += int64(n)
	if n == len(b) && len(b) < len(all) {
		panic(&LimitError{Limit: LimitOutput, Max: s.c.Output})
	}
	return asError(n, errno)
}

func fdPwrite(ctx context.Context, s *System, m memory, p []uint64) Errno {
	d, errno := s.getFile(uint32(p[0]), rightWrite)
	if errno != Success {
		return errno
	}
	v, errno := m.vec(uint32(p[1]), uint32(p[2]))
	if errno != Success {
		return errno
	}
	if int64(p[3]) < 0 {
		return EINVAL
	}
	if _, errno := m.bytes(uint32(p[4]), 4); errno != Success {
		return errno
	}
	offset := int64(p[3])
	n, errno := s.writeAll(ctx, v, func(b []byte) (int, error) {
		if offset > math.MaxInt64-int64(len(b)) {
			return 0, EFBIG
		}
		n, err := d.file.WriteAt(b, offset)
		offset += int64(n)
		return n, err
	})
	if errno != Success {
		return errno
	}
	return m.putUint32(uint32(p[4]), uint32(n))
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
