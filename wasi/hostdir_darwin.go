package wasi

import (
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// beneathOff is for tests; there is but one walk here.
var beneathOff atomic.Bool

func haveBeneath() bool { return false }

func beneath(int, string, int) (int, error) { return -1, ENOSYS }

func (d *hostDir) openBeneath(name string) (int, *os.File, error) { return d.openByRoot(name) }

func unixTimes(st *unix.Stat_t) (atim, mtim, ctim int64) {
	return st.Atim.Nano(), st.Mtim.Nano(), st.Ctim.Nano()
}

// timespecs fills in for nil, as there is no way to leave a time as it is.
func timespecs(t Times, now Stat) [2]unix.Timespec {
	one := func(at *time.Time, old int64) unix.Timespec {
		if at == nil {
			return unix.NsecToTimespec(old)
		}
		return unix.NsecToTimespec(at.UnixNano())
	}
	return [2]unix.Timespec{one(t.Access, now.Atim), one(t.Modify, now.Mtim)}
}

func setTimesAt(dir int, base string, t Times) error {
	now, err := fstatat(dir, base)
	if err != nil {
		return err
	}
	ts := timespecs(t, now)
	return unix.UtimesNanoAt(dir, base, ts[:], unix.AT_SYMLINK_NOFOLLOW)
}

// setTimes has microseconds only.
func (f *hostFile) setTimes(t Times) error {
	now, err := fstat(f.fd)
	if err != nil {
		return err
	}
	ts := timespecs(t, now)
	return unix.Futimes(f.fd, []unix.Timeval{
		unix.NsecToTimeval(ts[0].Nano()), unix.NsecToTimeval(ts[1].Nano()),
	})
}

// append is not one step where the kernel has no call for it.
func (f *hostFile) append(p []byte) (int, int64, error) {
	st, err := fstat(f.fd)
	if err != nil {
		return 0, 0, err
	}
	n, err := unix.Pwrite(f.fd, p, st.Size)
	if err != nil {
		return 0, 0, err
	}
	return n, st.Size + int64(n), nil
}

func (f *hostFile) allocate(off, n int64) error { return f.grow(off + n) }

func (f *hostFile) sync(bool) error { return unix.Fsync(f.fd) }

// dirReader has a listing, as cookies of the file system cannot be had.
type dirReader struct{ listing []DirEntry }

// ReadDir's cookies count the names of a listing that is taken at cookie 0.
func (d *hostDir) ReadDir(cookie uint64, yield func(DirEntry) bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd < 0 {
		return EBADF
	}
	if cookie == 0 || d.listing == nil {
		listing, err := list(d.root, d.top)
		if err != nil {
			return err
		}
		d.listing = listing
	}
	return yieldFrom(d.listing, cookie, yield)
}
