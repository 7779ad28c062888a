//go:build linux || darwin

package tty

import (
	"errors"
	"os/signal"

	"golang.org/x/sys/unix"
)

var errUnsupported = errors.New("terminals are not supported on this system")

// byKey makes a terminal hand over keys one at a time, without showing them.
// Ctrl-C and the like stay signals, and output is as it was.
func byKey(fd int) (restore func() error, err error) {
	before, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return nil, err
	}
	// A guest that is executed beside one in the background of its terminal
	// may change it too; the signal would stop the process.
	signal.Ignore(unix.SIGTTOU)
	now := *before
	now.Iflag &^= unix.ICRNL | unix.INLCR | unix.IGNCR | unix.ISTRIP | unix.IXON
	now.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.IEXTEN
	now.Cc[unix.VMIN], now.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, setTermios, &now); err != nil {
		return nil, err
	}
	return func() error { return unix.IoctlSetTermios(fd, setTermios, before) }, nil
}
