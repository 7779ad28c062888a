//go:build linux || darwin

package wasi

import (
	"sync"

	"golang.org/x/sys/unix"
)

// hostFile is an open regular file of the host.
type hostFile struct {
	mu sync.RWMutex // held for reading while fd is in use
	fd int          // -1 once closed
}

// with calls act with the descriptor held open, again when a signal came
// between.
func (f *hostFile) with(act func() error) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.fd < 0 {
		return EBADF
	}
	return retry(act)
}

func (f *hostFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fd < 0 {
		return EBADF
	}
	err := unix.Close(f.fd)
	f.fd = -1
	return err
}

func (f *hostFile) Stat() (st Stat, err error) {
	err = f.with(func() error {
		st, err = fstat(f.fd)
		return err
	})
	return st, err
}

func (f *hostFile) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.with(func() error {
		n, err = unix.Pread(f.fd, p, off)
		return err
	})
	return max(n, 0), err
}

func (f *hostFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.with(func() error {
		n, err = unix.Pwrite(f.fd, p, off)
		return err
	})
	return max(n, 0), err
}

func (f *hostFile) Append(p []byte) (n int, end int64, err error) {
	err = f.with(func() error {
		n, end, err = f.append(p)
		return err
	})
	return n, end, err
}

func (f *hostFile) Truncate(size int64) error {
	return f.with(func() error { return unix.Ftruncate(f.fd, size) })
}

func (f *hostFile) Allocate(off, n int64) error {
	return f.with(func() error { return f.allocate(off, n) })
}

// Lock implements Locker.
func (f *hostFile) Lock(mode LockMode) error {
	how := [...]int{Unlocked: unix.LOCK_UN, LockedShared: unix.LOCK_SH, LockedAlone: unix.LOCK_EX}[mode]
	return f.with(func() error { return unix.Flock(f.fd, how|unix.LOCK_NB) })
}

func (f *hostFile) Sync(dataOnly bool) error {
	return f.with(func() error { return f.sync(dataOnly) })
}

func (f *hostFile) SetTimes(t Times) error {
	return f.with(func() error { return f.setTimes(t) })
}

// grow makes the file at least size bytes long.
func (f *hostFile) grow(size int64) error {
	st, err := fstat(f.fd)
	if err != nil || st.Size >= size {
		return err
	}
	return unix.Ftruncate(f.fd, size)
}
