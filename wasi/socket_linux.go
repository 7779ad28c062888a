package wasi

import "golang.org/x/sys/unix"

// ioctlWaiting asks how many bytes can be read.
const ioctlWaiting = unix.TIOCINQ
