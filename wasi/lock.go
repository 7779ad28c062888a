package wasi

import (
	"context"
	"time"
)

// LockModuleName is a host module of Hako's own beside WASI, which has no file
// locks: its function lock(fd, operation) -> errno is flock(2). The operation
// is 1 for a shared lock, 2 for one alone, 8 to let go, with 4 added not to
// wait, which is EAGAIN then.
//
// A lock belongs to the open file, and is let go of when that is closed. It
// excludes other guests and programs of the host that use flock(2). A file of a
// granted directory that is read-only, or that is no file of the host, locks
// nobody out: the call succeeds and does nothing.
const LockModuleName = "hako_file_v1"

var locks = []function{{"lock", "ii", fdLock}}

// The operations of flock(2).
const (
	lockShared = 1
	lockAlone  = 2
	lockNoWait = 4
	lockOff    = 8
)

// A Locker is a [File] that can be locked. Lock does not wait: a lock that
// another holds is EAGAIN.
type Locker interface {
	Lock(mode LockMode) error
}

// A LockMode is how a file is locked.
type LockMode int

// The modes of a lock.
const (
	Unlocked LockMode = iota
	LockedShared
	LockedAlone
)

// maxLockPause is the longest pause between two attempts to get a lock: waiting
// is not done by the host's system, where it could not be ended.
const maxLockPause = 20 * time.Millisecond

func fdLock(ctx context.Context, s *System, _ memory, p []uint64) Errno {
	operation := uint32(p[1])
	mode := LockedShared
	switch operation &^ lockNoWait {
	case lockShared:
	case lockAlone:
		mode = LockedAlone
	case lockOff:
		mode = Unlocked
	default:
		return EINVAL
	}
	d, errno := s.get(uint32(p[0]), 0)
	if errno != Success {
		return errno
	}
	file, ok := d.file.(Locker)
	if !ok {
		return Success
	}
	errno = errnoOf(file.Lock(mode))
	if errno != EAGAIN || operation&lockNoWait != 0 {
		return errno
	}
	Wait(ctx, func() {
		for pause := time.Millisecond; errno == EAGAIN; pause = min(2*pause, maxLockPause) {
			timer := time.NewTimer(pause)
			select {
			case <-ctx.Done():
				timer.Stop()
				panic(context.Cause(ctx))
			case <-timer.C:
			}
			errno = errnoOf(file.Lock(mode))
		}
	})
	return errno
}
