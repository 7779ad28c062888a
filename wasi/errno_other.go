//go:build !unix

package wasi

import "syscall"

// hostErrno is for the few numbers that package os does not translate.
var hostErrno = map[syscall.Errno]Errno{
	syscall.EINVAL: EINVAL, syscall.ENOTDIR: ENOTDIR, syscall.EISDIR: EISDIR,
	syscall.ENOTEMPTY: ENOTEMPTY, syscall.ENOSPC: ENOSPC, syscall.EROFS: EROFS,
	syscall.ELOOP: ELOOP, syscall.ENAMETOOLONG: ENAMETOOLONG, syscall.EXDEV: EXDEV,
	syscall.ENXIO: ENXIO, syscall.EPIPE: EPIPE, syscall.EMFILE: EMFILE,
}
