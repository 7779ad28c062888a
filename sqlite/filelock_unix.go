//go:build unix

package sqlite

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// lockRange takes a shared lock of n bytes of a file, as SQLite's do. It
// reports false if somebody has them exclusively, and fails with errNoLocks
// where there are no locks.
func lockRange(f *os.File, from, n int64) (bool, error) {
	return tryLock(f, unix.F_RDLCK, from, n)
}

// unlockRange lets go of it.
func unlockRange(f *os.File, from, n int64) { _, _ = tryLock(f, unix.F_UNLCK, from, n) }

func tryLock(f *os.File, kind int16, from, n int64) (bool, error) {
	l := unix.Flock_t{Type: kind, Whence: io.SeekStart, Start: from, Len: n}
	err := unix.FcntlFlock(f.Fd(), setLock, &l)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EACCES):
		return false, nil
	case errors.Is(err, unix.EINTR):
		return tryLock(f, kind, from, n)
	}
	return false, errNoLocks // ENOLCK, EOPNOTSUPP, EINVAL: file systems differ
}

// lockedByOther reports whether somebody else has a lock in a range.
func lockedByOther(f *os.File, from, n int64) bool {
	l := unix.Flock_t{Type: unix.F_RDLCK, Whence: io.SeekStart, Start: from, Len: n}
	return unix.FcntlFlock(f.Fd(), testLock, &l) == nil && l.Type != unix.F_UNLCK
}
