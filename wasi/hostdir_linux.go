package wasi

import (
	"encoding/binary"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// beneathOff makes the walk by os.Root the only one, for tests.
var beneathOff atomic.Bool

// probeBeneath tells whether the kernel has openat2 (5.6) and lets it be used.
var probeBeneath = sync.OnceValue(func() bool {
	fd, err := unix.Openat2(unix.AT_FDCWD, ".", &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH,
	})
	if err == nil {
		unix.Close(fd)
	}
	return err == nil || err == unix.ENOENT
})

func haveBeneath() bool { return !beneathOff.Load() && probeBeneath() }

// beneath opens name for use as a place, by the kernel's own walk that cannot
// leave dir, however the tree is changed meanwhile.
func beneath(dir int, name string, how int) (int, error) {
	for range 100 {
		fd, err := unix.Openat2(dir, name, &unix.OpenHow{
			Flags:   unix.O_PATH | uint64(how),
			Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS,
		})
		switch err {
		case unix.EXDEV:
			return -1, EPERM // it leads out
		case unix.EAGAIN, unix.EINTR:
			continue // something was renamed during a walk with ".."
		}
		return fd, err
	}
	return -1, EPERM
}

// openBeneath opens the directory that a path's last part lies in.
func (d *hostDir) openBeneath(name string) (int, *os.File, error) {
	if !haveBeneath() {
		return d.openByRoot(name)
	}
	fd, err := beneath(d.fd, name, unix.O_DIRECTORY|unix.O_CLOEXEC)
	return fd, nil, err
}

func unixTimes(st *unix.Stat_t) (atim, mtim, ctim int64) {
	return st.Atim.Nano(), st.Mtim.Nano(), st.Ctim.Nano()
}

func timespecs(t Times) [2]unix.Timespec {
	one := func(at *time.Time) unix.Timespec {
		if at == nil {
			return unix.Timespec{Nsec: unix.UTIME_OMIT}
		}
		return unix.NsecToTimespec(at.UnixNano())
	}
	return [2]unix.Timespec{one(t.Access), one(t.Modify)}
}

// setTimesAt sets the times of what base is itself, link or not.
func setTimesAt(dir int, base string, t Times) error {
	ts := timespecs(t)
	return retry(func() error { return unix.UtimesNanoAt(dir, base, ts[:], unix.AT_SYMLINK_NOFOLLOW) })
}

func (f *hostFile) setTimes(t Times) error {
	ts := timespecs(t)
	// With no path, utimensat is futimens.
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(f.fd), 0, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func (f *hostFile) append(p []byte) (int, int64, error) {
	// At offset -1 the kernel moves the descriptor's position, which nothing
	// else uses, behind what it wrote.
	n, err := unix.Pwritev2(f.fd, [][]byte{p}, -1, unix.RWF_APPEND)
	if err != nil {
		return 0, 0, err
	}
	end, err := unix.Seek(f.fd, 0, unix.SEEK_CUR)
	return n, end, err
}

func (f *hostFile) allocate(off, n int64) error {
	err := unix.Fallocate(f.fd, 0, off, n)
	if err == unix.EOPNOTSUPP {
		return f.grow(off + n)
	}
	return err
}

func (f *hostFile) sync(dataOnly bool) error {
	if dataOnly {
		return unix.Fdatasync(f.fd)
	}
	return unix.Fsync(f.fd)
}

// dirReader is the state of reading a directory. The file system's own
// cookies hold while names come and go, but may take 63 bits, and wasi-libc's
// telldir has 31: so they are numbered in the order they are met.
type dirReader struct {
	scan    []byte
	offsets []int64       // offsets[c-1] is the file system's cookie for c
	known   map[int64]int // the same turned round, once it is needed
}

// cookie numbers offset, that of an entry read right behind cookie last.
func (r *dirReader) cookie(last int, offset int64) int {
	if last < len(r.offsets) {
		if r.offsets[last] == offset {
			return last + 1
		}
		// Read again, and something has changed since.
		if r.known == nil {
			r.known = make(map[int64]int, len(r.offsets))
			for i, o := range r.offsets {
				r.known[o] = i + 1
			}
		}
		if c := r.known[offset]; c != 0 {
			return c
		}
	}
	r.offsets = append(r.offsets, offset)
	if r.known != nil {
		r.known[offset] = len(r.offsets)
	}
	return len(r.offsets)
}

func (d *hostDir) ReadDir(cookie uint64, yield func(DirEntry) bool) error {
	d.mu.Lock() // the descriptor's position is moved
	defer d.mu.Unlock()
	if d.fd < 0 {
		return EBADF
	}
	if cookie > uint64(len(d.offsets)) {
		return EINVAL
	}
	last, offset := int(cookie), int64(0)
	if last > 0 {
		offset = d.offsets[last-1]
	}
	if _, err := unix.Seek(d.fd, offset, unix.SEEK_SET); err != nil {
		return err
	}
	if d.scan == nil {
		d.scan = make([]byte, 16<<10)
	}
	for {
		n, err := unix.Getdents(d.fd, d.scan)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 {
			return err
		}
		for rest := d.scan[:n]; len(rest) >= 19; {
			size := int(binary.NativeEndian.Uint16(rest[16:]))
			last = d.cookie(last, int64(binary.NativeEndian.Uint64(rest[8:])))
			e := DirEntry{
				Ino:  binary.NativeEndian.Uint64(rest),
				Next: uint64(last),
				Type: direntType(rest[18]),
				Name: unix.ByteSliceToString(rest[19:size]),
			}
			rest = rest[size:]
			if e.Name == ".." && d.top {
				if st, err := fstat(d.fd); err == nil {
					e.Ino = st.Ino
				}
			}
			if !yield(e) {
				return nil
			}
		}
	}
}

func direntType(t byte) FileType {
	switch t {
	case unix.DT_REG:
		return TypeRegular
	case unix.DT_DIR:
		return TypeDirectory
	case unix.DT_LNK:
		return TypeSymlink
	case unix.DT_CHR:
		return TypeCharacterDevice
	case unix.DT_BLK:
		return TypeBlockDevice
	case unix.DT_SOCK:
		return TypeSocketStream
	}
	return TypeUnknown
}
