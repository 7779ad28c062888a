package wasi

import (
	"context"
	"io"
	"math"
)

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
