//go:build unix && !linux

package sqlite

import "golang.org/x/sys/unix"

const (
	setLock  = unix.F_SETLK
	testLock = unix.F_GETLK
)
