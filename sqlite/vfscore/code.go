package vfscore

import (
	"errors"

	"github.com/hako-run/hako/pagestore"
)

// A Code is one of SQLite's result codes, extended ones included.
type Code int32

// The result codes that this package returns.
const (
	OK           Code = 0
	Error        Code = 1
	Busy         Code = 5
	ReadOnly     Code = 8
	IOErr        Code = 10
	NotFound     Code = 12
	Full         Code = 13
	CantOpen     Code = 14
	BusySnapshot      = Busy | 2<<8

	IOErrRead      = IOErr | 1<<8
	IOErrShortRead = IOErr | 2<<8
	IOErrWrite     = IOErr | 3<<8
	IOErrSync      = IOErr | 4<<8
	IOErrTruncate  = IOErr | 6<<8
	IOErrSize      = IOErr | 7<<8
	IOErrLock      = IOErr | 15<<8
	IOErrClose     = IOErr | 16<<8
	IOErrDelete    = IOErr | 10<<8
	IOErrCorruptFS = IOErr | 33<<8
)

// A LockLevel is one of SQLite's lock states of a database file.
type LockLevel int32

// The lock levels. Pending and Exclusive exclude nobody here.
const (
	LockNone LockLevel = iota
	LockShared
	LockReserved
	LockPending
	LockExclusive
)

// codeOf picks the result code for err; other is for errors that SQLite has no
// word for.
func codeOf(err error, other Code) Code {
	switch {
	case err == nil:
		return OK
	case errors.Is(err, pagestore.ErrConflict):
		return BusySnapshot
	case errors.Is(err, pagestore.ErrBusy):
		return Busy
	case errors.Is(err, pagestore.ErrReadOnly):
		return ReadOnly
	case errors.Is(err, pagestore.ErrDiskFull):
		return Full
	case errors.Is(err, pagestore.ErrDamaged):
		return IOErrCorruptFS
	}
	return other
}
