//go:build unix

package image

import "syscall"

// errQuota is what a full quota looks like.
const errQuota = syscall.EDQUOT
