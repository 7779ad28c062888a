//go:build unix

package wasi

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// atomicWrite is what a pipe takes at once when it is ready to be written to.
const atomicWrite = 4096

// pollSlice is how long a guest that waits for a full pipe goes without
// looking whether it is to stop.
const pollSlice = 10 * time.Millisecond

// writable tells whether f can be written to without blocking, waiting for it
// as long as wait. Errors count as ready: writing tells them.
func writable(f *os.File, wait time.Duration) bool {
	conn, err := f.SyscallConn()
	if err != nil {
		return true
	}
	ready := true
	conn.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(fds, int(wait/time.Millisecond))
		ready = n > 0 || err != nil && err != unix.EINTR
	})
	return ready
}
