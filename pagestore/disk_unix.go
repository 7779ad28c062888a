//go:build unix

package pagestore

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

func isDiskFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// lockHeld tells a lock that another process has from one that may not be
// taken.
func lockHeld(err error) bool {
	return errors.Is(err, unix.EAGAIN) || strings.Contains(err.Error(), "held by current process")
}
