package sqlite

import "golang.org/x/sys/unix"

// Locks of the open file, not of the process: those do not end when something
// else in the process closes the same file, and SQLite's own are seen.
const (
	setLock  = unix.F_OFD_SETLK
	testLock = unix.F_OFD_GETLK
)
