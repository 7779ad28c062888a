package vfscore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hako-run/hako/pagestore"
)

// A Session is one SQLite connection. It belongs to one goroutine at a time.
type Session struct {
	vfs        *VFS
	optimistic bool
	timeout    time.Duration
	ctx        context.Context // of the running call; nil: none
	err        error
	wait       func(f func()) // calls f, which waits; nil: plainly

	mains  []*Main
	supers map[string]*super

	refused  *Main     // whose LockReserved was refused last
	deadline time.Time // of the wait under way
}

// Err returns the error behind the last code that was not OK, since ClearErr.
func (s *Session) Err() error { return s.err }

// Record makes err what Err returns.
func (s *Session) Record(err error) { s.err = err }

// ClearErr forgets the error.
func (s *Session) ClearErr() { s.err = nil }

// Optimistic reports whether the session commits without the writer lock.
func (s *Session) Optimistic() bool { return s.optimistic }

// SetContext says which context bounds the waits of the calls that follow; nil
// for none. It returns the one before.
func (s *Session) SetContext(ctx context.Context) context.Context {
	old := s.ctx
	s.ctx = ctx
	return old
}

// SetWait makes wait call what waits for a writer's turn: it may let go of the
// thread meanwhile.
func (s *Session) SetWait(wait func(f func())) { s.wait = wait }

// SetBusyTimeout sets how long a writer waits for its turn.
func (s *Session) SetBusyTimeout(d time.Duration) { s.timeout = max(d, 0) }

// BusyTimeout returns how long a writer waits for its turn.
func (s *Session) BusyTimeout() time.Duration { return s.timeout }

// Mains returns the databases that are open in the session.
func (s *Session) Mains() []*Main { return slices.Clone(s.mains) }

// fail remembers err and returns its code.
func (s *Session) fail(err error, other Code) Code {
	s.err = err
	return codeOf(err, other)
}

// Unpin makes every database read again what it was opened with, unless a
// transaction is under way.
func (s *Session) Unpin() {
	for _, m := range s.mains {
		if m.lock == LockNone {
			m.unpin(m.opened)
		}
	}
}

// Busy is SQLite's busy handler: SQLite calls it after a lock was refused and
// tries again if it returns true. It waits in the database's queue of writers
// until the busy time-out or the running call's context ends, and keeps the
// turn for the attempt that follows. n counts the calls for one wait, from 0.
func (s *Session) Busy(n int) bool {
	if n == 0 || s.deadline.IsZero() {
		s.deadline = time.Now().Add(s.timeout)
	}
	m := s.refused
	s.refused = nil
	if m == nil || m.lock != LockNone {
		return s.sleep(n) // it is about a file of another VFS
	}
	for _, other := range s.mains {
		other.releaseGrant()
		if other.db == m.db && other.writer != nil {
			return false // it waits for itself: the database is attached twice
		}
	}
	var w *pagestore.Writer
	var err error
	if time.Until(s.deadline) <= 0 {
		w, err = m.db.TryWriter() // it may only have been the snapshot that was too old
	} else {
		ctx := s.ctx
		if ctx == nil {
			ctx = context.Background()
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, s.deadline)
		if s.wait == nil {
			w, err = m.db.Writer(ctx)
		} else {
			s.wait(func() { w, err = m.db.Writer(ctx) })
		}
		cancel()
	}
	if err != nil {
		s.err = fmt.Errorf("wait %v to write to %s: %w", s.timeout, m.name, err)
		return false
	}
	m.grant = w
	return true
}

// sleep waits for a lock of a file that is not in the store: a little, then
// longer, up to the busy time-out.
func (s *Session) sleep(n int) bool {
	d := min(time.Duration(1+n*n)*time.Millisecond, 50*time.Millisecond, time.Until(s.deadline))
	if d <= 0 {
		return false
	}
	if s.ctx == nil {
		time.Sleep(d)
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// commitContext bounds a commit. Only an optimistic one waits for anything: for
// other commits to end.
func (s *Session) commitContext() (context.Context, context.CancelFunc) {
	if !s.optimistic {
		return context.Background(), func() {}
	}
	ctx := s.ctx
	if ctx == nil {
		ctx = context.Background()
	}
	return context.WithTimeout(ctx, max(s.timeout, minCommitWait))
}

// minCommitWait is how long an optimistic commit waits at least for those
// before it.
const minCommitWait = 5 * time.Second

// remove forgets m, which is closed.
func (s *Session) remove(m *Main) {
	s.mains = slices.DeleteFunc(s.mains, func(o *Main) bool { return o == m })
	if s.refused == m {
		s.refused = nil
	}
	m.vfs.mu.Lock()
	delete(m.vfs.mains, m)
	m.vfs.mu.Unlock()
}

func isUnknown(err error) bool { return errors.Is(err, pagestore.ErrUnknownDatabase) }
func isTaken(err error) bool   { return errors.Is(err, pagestore.ErrExists) }
