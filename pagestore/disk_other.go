//go:build !unix

package pagestore

import "strings"

func isDiskFull(err error) bool {
	return strings.Contains(err.Error(), "not enough space")
}

func lockHeld(error) bool { return true }
