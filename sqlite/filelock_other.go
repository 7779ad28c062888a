//go:build !unix

package sqlite

import "os"

func lockRange(*os.File, int64, int64) (bool, error) { return false, errNoLocks }
func unlockRange(*os.File, int64, int64)             {}
func lockedByOther(*os.File, int64, int64) bool      { return false }
