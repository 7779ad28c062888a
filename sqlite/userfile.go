package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// ErrFileBusy is returned, wrapped, by Import if another program keeps the file
// locked, or changes it again and again while it is read.
var ErrFileBusy = errors.New("another program is writing to the file")

// errNoLocks says that the file system has no locks.
var errNoLocks = errors.New("no locks")

// errChanged says that what was read is of no single moment.
var errChanged = errors.New("the file was changed while it was read")

// SQLite's locks: https://sqlite.org/src/file?name=src/os.h (of the database)
// and https://sqlite.org/walformat.html#wal_locks (of the file beside a WAL).
const (
	pendingByte  = 1 << 30
	reservedByte = pendingByte + 1
	sharedFirst  = pendingByte + 2
	sharedSize   = 510
	walReadLock0 = 123 // while somebody has it, no checkpoint writes to the database
)

// lockWait is how long to wait for a program that is writing; shorter in tests.
var lockWait = 5 * time.Second

const (
	lockRetry = 20 * time.Millisecond // how often to look
	tickSize  = 20 * time.Millisecond // of the coarsest usual clock of a file system
	copyTries = 5                     // of a file that is changed meanwhile
	copyChunk = 8 << 20               // bytes
	stateHead = 32                    // bytes at the beginning of a journal or WAL that are other ones in the next
)

// besides are what can lie beside an SQLite file and belong to its content.
var besides = []string{"-journal", "-wal"}

// A userFile is an SQLite file that is somebody else's: it is read, under
// SQLite's shared lock where there are locks, and neither it nor anything
// beside it is changed.
//
// With a rollback journal the lock keeps writers from the file. In WAL mode
// only checkpoints write to it, and they wait for the lock in the -shm file.
type userFile struct {
	path   string // without symbolic links, as SQLite names what lies beside it
	f      *os.File
	shm    *os.File // locked too, if it was there
	locked bool
	seen   fs.FileInfo // as it was when look looked
}

// openUserFile opens a file and waits for the lock.
func openUserFile(ctx context.Context, path string) (_ *userFile, err error) {
	u := &userFile{}
	if u.path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	if u.path, err = filepath.EvalSymlinks(u.path); err != nil {
		return nil, err
	}
	if u.f, err = os.Open(u.path); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			u.close()
		}
	}()
	u.locked, err = waitLock(ctx, u.lockShared)
	return u, err
}

// waitLock tries to lock until lockWait has passed. It reports false if there
// are no locks.
func waitLock(ctx context.Context, try func() (bool, error)) (bool, error) {
	for begin := time.Now(); ; {
		ok, err := try()
		switch {
		case errors.Is(err, errNoLocks):
			return false, nil
		case ok || err != nil:
			return ok, err
		case time.Since(begin) > lockWait:
			return false, fmt.Errorf("%w, and has locked it for %v now: try again when it is done", ErrFileBusy, lockWait)
		}
		if err := sleep(ctx, lockRetry); err != nil {
			return false, err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// lockShared is SQLite's way to its shared lock: who waits to write has the
// pending byte, and lets no new reader in.
func (u *userFile) lockShared() (bool, error) {
	if ok, err := lockRange(u.f, pendingByte, 1); !ok {
		return false, err
	}
	defer unlockRange(u.f, pendingByte, 1)
	return lockRange(u.f, sharedFirst, sharedSize)
}

// lockSHM keeps checkpoints from writing to the database, if there is a -shm
// file and it is not locked yet.
func (u *userFile) lockSHM(ctx context.Context) error {
	if u.shm != nil || !u.locked {
		return nil
	}
	f, err := os.Open(u.path + "-shm")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := waitLock(ctx, func() (bool, error) { return lockRange(f, walReadLock0, 1) }); err != nil {
		f.Close()
		return err
	}
	u.shm = f
	return nil
}

// close lets go of the locks.
func (u *userFile) close() {
	if u.shm != nil {
		u.shm.Close()
	}
	u.f.Close()
}

// look notes what the database is like now, for unchanged. It waits until the
// last change is older than a tick of the clock, so that the next one shows.
func (u *userFile) look(ctx context.Context) (err error) {
	if u.seen, err = u.f.Stat(); err != nil {
		return err
	}
	if age := time.Since(u.seen.ModTime()); age >= 0 && age < tickSize {
		if err := sleep(ctx, tickSize-age); err != nil {
			return err
		}
		return u.unchanged()
	}
	return nil
}

// unchanged returns errChanged if the database is not what it was when look
// looked.
func (u *userFile) unchanged() error {
	if err := u.inPlace(); err != nil {
		return err
	}
	info, err := u.f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != u.seen.Size() || !info.ModTime().Equal(u.seen.ModTime()) {
		return errChanged
	}
	return nil
}

// inPlace returns errChanged if the path leads to another file by now.
func (u *userFile) inPlace() error {
	info, err := os.Stat(u.path)
	if err != nil {
		return fmt.Errorf("%w: %w", errChanged, err)
	}
	held, err := u.f.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(info, held) {
		return errChanged
	}
	return nil
}

// A sideState tells a journal or WAL from the next one of that name.
type sideState struct {
	info fs.FileInfo // nil if there is none
	head string      // its first bytes
}

// same reports whether at most something was added.
func (a sideState) same(b sideState) bool {
	if a.info == nil || b.info == nil {
		return a.info == nil && b.info == nil
	}
	return os.SameFile(a.info, b.info) && a.head == b.head && b.info.Size() >= a.info.Size()
}

// hot reports whether it is a journal that is not finished with.
func (a sideState) hot() bool { return a.head != "" && a.head[0] != 0 }

func (u *userFile) side(suffix string) (sideState, error) {
	f, err := os.Open(u.path + suffix)
	if errors.Is(err, fs.ErrNotExist) {
		return sideState{}, nil
	}
	if err != nil {
		return sideState{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return sideState{}, err
	}
	head := make([]byte, stateHead)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return sideState{}, err
	}
	return sideState{info, string(head[:n])}, nil
}

// settled reports whether the file alone holds the content: there is no WAL,
// and no journal that a crash has left.
func (u *userFile) settled() (bool, error) {
	wal, err := u.side("-wal")
	if err != nil || len(wal.head) > 0 {
		return false, err
	}
	journal, err := u.side("-journal")
	if err != nil || !journal.hot() {
		return err == nil, err
	}
	// A writer that is alive has the reserved lock, and cannot have written to
	// the database yet: its journal holds what the database holds.
	return u.locked && lockedByOther(u.f, reservedByte, 1), nil
}

// copyTo copies the file and what lies beside it into a directory, such that
// SQLite finds in the copy what it would have found here at one moment, and
// returns the copy's path.
//
// The database is copied first. What is written to it meanwhile, where nothing
// keeps that off, stands in the WAL or journal too, unless those began anew.
func (u *userFile) copyTo(ctx context.Context, dir string, progress func(done, total int64)) (string, error) {
	to := filepath.Join(dir, "copy.sqlite")
	for range copyTries {
		if err := u.lockSHM(ctx); err != nil {
			return "", err
		}
		err := u.tryCopy(ctx, to, progress)
		if !errors.Is(err, errChanged) {
			return to, err
		}
	}
	return "", fmt.Errorf("%w: it was changed during each of %d attempts to copy it: try again when it is quiet", ErrFileBusy, copyTries)
}

func (u *userFile) tryCopy(ctx context.Context, to string, progress func(done, total int64)) (err error) {
	var before [2]sideState
	total := int64(0)
	for i, suffix := range besides {
		if before[i], err = u.side(suffix); err != nil {
			return err
		}
		if before[i].info != nil {
			total += before[i].info.Size()
		}
	}
	// What is written to the database meanwhile stands in these, too.
	covered := before[1].head != "" || before[0].hot()
	if covered {
		u.seen, err = u.f.Stat()
	} else {
		err = u.look(ctx)
	}
	if err != nil {
		return err
	}
	done := int64(0)
	total += u.seen.Size()
	tell := func(n int64) {
		done += n
		progress(min(done, total), total)
	}
	tell(0)
	if _, err := u.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := copyFile(ctx, u.f, to, tell); err != nil {
		return err
	}
	for i, suffix := range besides {
		if err := os.Remove(to + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err // of an earlier attempt
		}
		if before[i].info == nil {
			continue
		}
		f, err := os.Open(u.path + suffix)
		if errors.Is(err, fs.ErrNotExist) {
			return errChanged
		}
		if err != nil {
			return err
		}
		err = copyFile(ctx, f, to+suffix, tell)
		f.Close()
		if err != nil {
			return err
		}
	}
	for i, suffix := range besides {
		after, err := u.side(suffix)
		if err != nil {
			return err
		}
		if !before[i].same(after) {
			return errChanged
		}
	}
	if covered {
		return u.inPlace()
	}
	return u.unchanged()
}

// copyFile copies what a file holds now.
func copyFile(ctx context.Context, from *os.File, to string, tell func(n int64)) error {
	info, err := from.Stat()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for rest := info.Size(); rest > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.CopyN(f, from, min(rest, copyChunk)) // file systems that can share the blocks
		if err == io.EOF {
			return errChanged
		}
		if err != nil {
			return err
		}
		rest -= n
		tell(n)
	}
	return f.Close()
}
