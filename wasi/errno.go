package wasi

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Errno is an error of WASI preview 1, as a guest sees it. Host-side code that
// serves a [Dir] or a [File] returns these where it wants a certain one; other
// errors are translated where they have a counterpart and are EIO where not.
type Errno uint16

// Error returns what the number says, as "no such file or directory".
func (e Errno) Error() string {
	if int(e) < len(errnoText) {
		return errnoText[e]
	}
	return "errno " + strconv.Itoa(int(e))
}

// The numbers of preview 1, named as in POSIX.
const (
	Success Errno = iota
	E2BIG
	EACCES
	EADDRINUSE
	EADDRNOTAVAIL
	EAFNOSUPPORT
	EAGAIN
	EALREADY
	EBADF
	EBADMSG
	EBUSY
	ECANCELED
	ECHILD
	ECONNABORTED
	ECONNREFUSED
	ECONNRESET
	EDEADLK
	EDESTADDRREQ
	EDOM
	EDQUOT
	EEXIST
	EFAULT
	EFBIG
	EHOSTUNREACH
	EIDRM
	EILSEQ
	EINPROGRESS
	EINTR
	EINVAL
	EIO
	EISCONN
	EISDIR
	ELOOP
	EMFILE
	EMLINK
	EMSGSIZE
	EMULTIHOP
	ENAMETOOLONG
	ENETDOWN
	ENETRESET
	ENETUNREACH
	ENFILE
	ENOBUFS
	ENODEV
	ENOENT
	ENOEXEC
	ENOLCK
	ENOLINK
	ENOMEM
	ENOMSG
	ENOPROTOOPT
	ENOSPC
	ENOSYS
	ENOTCONN
	ENOTDIR
	ENOTEMPTY
	ENOTRECOVERABLE
	ENOTSOCK
	ENOTSUP
	ENOTTY
	ENXIO
	EOVERFLOW
	EOWNERDEAD
	EPERM
	EPIPE
	EPROTO
	EPROTONOSUPPORT
	EPROTOTYPE
	ERANGE
	EROFS
	ESPIPE
	ESRCH
	ESTALE
	ETIMEDOUT
	ETXTBSY
	EXDEV
	ENOTCAPABLE
)

var errnoText = [...]string{
	Success:         "success",
	E2BIG:           "argument list too long",
	EACCES:          "permission denied",
	EADDRINUSE:      "address in use",
	EADDRNOTAVAIL:   "address not available",
	EAFNOSUPPORT:    "address family not supported",
	EAGAIN:          "resource unavailable, try again",
	EALREADY:        "connection already in progress",
	EBADF:           "bad file descriptor",
	EBADMSG:         "bad message",
	EBUSY:           "device or resource busy",
	ECANCELED:       "operation canceled",
	ECHILD:          "no child processes",
	ECONNABORTED:    "connection aborted",
	ECONNREFUSED:    "connection refused",
	ECONNRESET:      "connection reset",
	EDEADLK:         "resource deadlock would occur",
	EDESTADDRREQ:    "destination address required",
	EDOM:            "argument out of domain",
	EDQUOT:          "quota exceeded",
	EEXIST:          "file exists",
	EFAULT:          "bad address",
	EFBIG:           "file too large",
	EHOSTUNREACH:    "host is unreachable",
	EIDRM:           "identifier removed",
	EILSEQ:          "illegal byte sequence",
	EINPROGRESS:     "operation in progress",
	EINTR:           "interrupted",
	EINVAL:          "invalid argument",
	EIO:             "I/O error",
	EISCONN:         "socket is connected",
	EISDIR:          "is a directory",
	ELOOP:           "too many levels of symbolic links",
	EMFILE:          "too many open files",
	EMLINK:          "too many links",
	EMSGSIZE:        "message too large",
	EMULTIHOP:       "multihop",
	ENAMETOOLONG:    "file name too long",
	ENETDOWN:        "network is down",
	ENETRESET:       "connection reset by network",
	ENETUNREACH:     "network unreachable",
	ENFILE:          "too many files open in system",
	ENOBUFS:         "no buffer space",
	ENODEV:          "no such device",
	ENOENT:          "no such file or directory",
	ENOEXEC:         "not executable",
	ENOLCK:          "no locks available",
	ENOLINK:         "link severed",
	ENOMEM:          "not enough memory",
	ENOMSG:          "no message",
	ENOPROTOOPT:     "protocol option not available",
	ENOSPC:          "no space left",
	ENOSYS:          "function not supported",
	ENOTCONN:        "socket not connected",
	ENOTDIR:         "not a directory",
	ENOTEMPTY:       "directory not empty",
	ENOTRECOVERABLE: "state not recoverable",
	ENOTSOCK:        "not a socket",
	ENOTSUP:         "not supported",
	ENOTTY:          "not a terminal",
	ENXIO:           "no such device or address",
	EOVERFLOW:       "value too large",
	EOWNERDEAD:      "previous owner died",
	EPERM:           "operation not permitted",
	EPIPE:           "broken pipe",
	EPROTO:          "protocol error",
	EPROTONOSUPPORT: "protocol not supported",
	EPROTOTYPE:      "wrong protocol type",
	ERANGE:          "result too large",
	EROFS:           "read-only file system",
	ESPIPE:          "invalid seek",
	ESRCH:           "no such process",
	ESTALE:          "stale file handle",
	ETIMEDOUT:       "timed out",
	ETXTBSY:         "text file busy",
	EXDEV:           "cross-device link",
	ENOTCAPABLE:     "capabilities insufficient",
}

// errnoOf translates an error of the host.
func errnoOf(err error) Errno {
	if err == nil {
		return Success
	}
	if e, ok := err.(Errno); ok {
		return e
	}
	var own Errno
	var host syscall.Errno
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &host):
		if e, ok := hostErrno[host]; ok {
			return e
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ENOENT
	case errors.Is(err, fs.ErrExist):
		return EEXIST
	case errors.Is(err, fs.ErrPermission):
		return EPERM
	case errors.Is(err, fs.ErrInvalid):
		return EINVAL
	case errors.Is(err, fs.ErrClosed), errors.Is(err, net.ErrClosed):
		return EBADF
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ETIMEDOUT
	case errors.Is(err, errors.ErrUnsupported):
		return ENOTSUP
	case strings.HasSuffix(err.Error(), "path escapes from parent"):
		return EPERM // os.Root's error, which it does not export
	}
	return EIO
}
