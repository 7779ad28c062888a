package vfscore

import (
	"errors"
	"fmt"
	"io"

	"github.com/hako-run/hako/pagestore"
)

// A Temp is any file but a database: a journal, a super-journal or a temporary
// table's. It is empty when it is opened and gone when it is closed.
type Temp struct {
	scratch *pagestore.Scratch
	of      *Main // whose rollback journal it is
	keep    bool  // beyond Close
	quota   *Quota
	err     error
}

// A Quota is what is left of the bytes that the temporary files of a connection
// may hold.
type Quota struct{ Left int64 }

var errQuota = errors.New("the temporary files have as many bytes as they may")

// Count makes the file, which is empty, one of those that share a quota.
func (t *Temp) Count(q *Quota) { t.quota = q }

// spareSize is how large a journal may be for its memory to be kept, in bytes.
const spareSize = 128 << 10

// OpenTemp opens a temporary file.
func (v *VFS) OpenTemp() *Temp { return &Temp{scratch: v.store.NewScratch()} }

// OpenJournal opens the database's rollback journal.
func (m *Main) OpenJournal() *Temp {
	if m.spare == nil {
		m.spare = m.vfs.store.NewScratch()
	}
	m.journal = &Temp{scratch: m.spare, of: m}
	m.spare = nil
	return m.journal
}

// Close closes the file and gives its space back.
func (t *Temp) Close() Code {
	if t.keep {
		return OK
	}
	if t.quota != nil {
		t.quota.Left += t.size()
	}
	if t.of != nil && t.of.journal == t {
		t.of.journal = nil
		if t.of.spare == nil && t.size() <= spareSize && t.scratch.Truncate(0) == nil {
			t.of.spare = t.scratch // for the next transaction
			return OK
		}
	}
	if err := t.scratch.Close(); err != nil {
		return t.fail(err, IOErrClose)
	}
	return OK
}

// Read fills p from off on; beyond the end it fills with zeros and returns
// IOErrShortRead.
func (t *Temp) Read(p []byte, off int64) Code {
	n, err := t.scratch.ReadAt(p, off)
	if err == nil || n == len(p) {
		return OK
	}
	clear(p[n:])
	if err == io.EOF {
		return IOErrShortRead
	}
	return t.fail(err, IOErrRead)
}

// Write writes p at off.
func (t *Temp) Write(p []byte, off int64) Code {
	if t.quota != nil {
		if more := off + int64(len(p)) - t.size(); more > 0 {
			if more > t.quota.Left {
				return t.fail(errQuota, Full)
			}
			defer t.recount(t.size())
		}
	}
	if _, err := t.scratch.WriteAt(p, off); err != nil {
		return t.fail(err, IOErrWrite)
	}
	return OK
}

// Truncate sets the file's length.
func (t *Temp) Truncate(size int64) Code {
	if t.quota != nil {
		if size-t.size() > t.quota.Left {
			return t.fail(errQuota, Full)
		}
		defer t.recount(t.size())
	}
	if err := t.scratch.Truncate(size); err != nil {
		return t.fail(err, IOErrTruncate)
	}
	return OK
}

// recount takes from the quota, or gives back, what the file has grown since it
// had a size of before.
func (t *Temp) recount(before int64) { t.quota.Left -= t.size() - before }

// Size returns the file's length in bytes.
func (t *Temp) Size() (int64, Code) { return t.size(), OK }

func (t *Temp) size() int64 { return t.scratch.Size() }

// Lock does nothing: nobody else can open the file.
func (t *Temp) Lock(LockLevel) Code { return OK }

// Unlock does nothing.
func (t *Temp) Unlock(LockLevel) Code { return OK }

func (t *Temp) fail(err error, other Code) Code {
	t.err = fmt.Errorf("temporary file of SQLite: %w", err)
	if t.of != nil {
		t.of.s.err = t.err
	}
	return codeOf(err, other)
}

// A File is a Main or a Temp.
type File interface {
	Close() Code
	Read(p []byte, off int64) Code
	Write(p []byte, off int64) Code
	Truncate(size int64) Code
	Size() (int64, Code)
	Lock(LockLevel) Code
	Unlock(LockLevel) Code
}

var (
	_ File = (*Main)(nil)
	_ File = (*Temp)(nil)
)
