//go:build !unix

package image

import "syscall"

const errQuota = syscall.ENOSPC
