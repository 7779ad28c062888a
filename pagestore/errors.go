package pagestore

import (
	"errors"
	"fmt"
	"strings"
)

// Sentinel errors, for errors.Is. The errors returned carry details: which
// database, which version, what to do.
var (
	ErrUnknownDatabase = errors.New("unknown database")
	ErrUnknownVersion  = errors.New("unknown version")
	ErrUnknownTag      = errors.New("unknown tag")
	ErrTrimmed         = errors.New("version was trimmed")
	ErrFuture          = errors.New("time lies in the future")
	ErrBeforeStart     = errors.New("time lies before the database's first version")
	ErrExists          = errors.New("name is taken")
	ErrName            = errors.New("invalid name")
	ErrSyntax          = errors.New("invalid snapshot")
	ErrConflict        = errors.New("conflict with a later commit")
	ErrReadOnly        = errors.New("snapshot is read-only")
	ErrBusy            = errors.New("another writer holds the database")
	ErrLocked          = errors.New("store is in use")
	ErrDiskFull        = errors.New("disk is full")
	ErrDamaged         = errors.New("store is damaged")
	ErrLoss            = errors.New("acknowledged commits are lost")
	ErrClosed          = errors.New("closed")
	ErrDeleted         = errors.New("database was deleted")
	ErrFormat          = errors.New("store has a newer format")
)

// An UnknownDatabaseError says which database was asked for and which existing
// name is nearest to it ("" if none is near).
type UnknownDatabaseError struct {
	Name    string
	Nearest string
}

func (e *UnknownDatabaseError) Error() string {
	if e.Nearest != "" {
		return fmt.Sprintf("unknown database %q: did you mean %q?", e.Name, e.Nearest)
	}
	return fmt.Sprintf("unknown database %q", e.Name)
}

func (e *UnknownDatabaseError) Is(target error) bool { return target == ErrUnknownDatabase }

// A VersionError says that a version of a database cannot be read, because it
// was trimmed (Is ErrTrimmed) or never was (Is ErrUnknownVersion).
type VersionError struct {
	Database string
	Version  Version
	Head     Version
	Trimmed  bool
	Oldest   Version   // the first of the versions kept without a gap up to Head
	Kept     []Version // versions before Oldest kept by tags and branches
}

func (e *VersionError) Error() string {
	if !e.Trimmed {
		return fmt.Sprintf("%s has no version %d: the newest is %d", e.Database, e.Version, e.Head)
	}
	kept := fmt.Sprintf("%d to %d", e.Oldest, e.Head)
	if e.Oldest == e.Head {
		kept = fmt.Sprint(e.Head)
	}
	if n := len(e.Kept); n > 0 {
		list := make([]string, 0, 10)
		for _, v := range e.Kept[:min(n, 10)] {
			list = append(list, fmt.Sprint(v))
		}
		if n > 10 {
			list = append(list, "...")
		}
		kept = strings.Join(list, ", ") + " and " + kept
	}
	return fmt.Sprintf("version %d of %s was trimmed: kept are %s", e.Version, e.Database, kept)
}

func (e *VersionError) Is(target error) bool {
	if e.Trimmed {
		return target == ErrTrimmed
	}
	return target == ErrUnknownVersion
}

// A ConflictError refuses an optimistic commit: since its snapshot at Base, a
// commit up to Head changed pages that it read or wrote.
type ConflictError struct {
	Database   string
	Base, Head Version
	Pages      []uint32 // up to 100 of the pages that collided, ascending
	Tables     []string // tables that the pages belong to, where known
}

func (e *ConflictError) Error() string {
	what := fmt.Sprintf("pages %v", e.Pages)
	if len(e.Pages) == 1 {
		what = fmt.Sprintf("page %d", e.Pages[0])
	}
	if len(e.Tables) > 0 {
		what = strings.Join(e.Tables, ", ") + " (" + what + ")"
	}
	return fmt.Sprintf("transaction on %s@%d conflicts with later commits up to %d in %s: run it again",
		e.Database, e.Base, e.Head, what)
}

func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// A LockedError says which process holds the store. PID is 0 if it is not
// known.
type LockedError struct {
	Dir     string
	PID     int
	Command string
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("store %s is in use by another process", e.Dir)
	}
	return fmt.Sprintf("store %s is in use by process %d (%s): stop it, or use another --data directory", e.Dir, e.PID, e.Command)
}

func (e *LockedError) Is(target error) bool { return target == ErrLocked }

// A DamageError tells what is damaged and where.
type DamageError struct {
	Database string
	Version  Version
	Page     uint32 // 0 if it is not about one page
	Detail   string
	Err      error
}

func (e *DamageError) Error() string {
	var b strings.Builder
	b.WriteString("store is damaged")
	if e.Database != "" {
		fmt.Fprintf(&b, ": %s@%d", e.Database, e.Version)
	}
	if e.Page != 0 {
		fmt.Fprintf(&b, " page %d", e.Page)
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

func (e *DamageError) Unwrap() error        { return e.Err }
func (e *DamageError) Is(target error) bool { return target == ErrDamaged }

// A refusedError refuses changes to a store that was opened to read only.
type refusedError struct {
	dir  string
	full bool // because of a full disk
}

func (e *refusedError) Error() string {
	if e.full {
		return fmt.Sprintf("store %s was opened to read only as the disk is full: free some space, then open it again", e.dir)
	}
	return fmt.Sprintf("store %s was opened to read only", e.dir)
}

func (e *refusedError) Is(target error) bool {
	return target == ErrDiskFull && e.full || target == ErrReadOnly && !e.full
}
