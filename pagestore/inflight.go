package pagestore

import (
	"errors"
	"fmt"
	"sync"
)

// inflight counts what is under way in a store, so that Close does not take
// Pebble away from under it. What is open (snapshots, transactions, writer
// locks) is not counted here: Close refuses while there is any.
type inflight struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n gets 0; nil: nobody waits
}

// begin is called before anything that uses Pebble and holds no transaction or
// snapshot; done, if begin returned nil, after it.
func (s *Store) begin() error {
	s.ops.mu.Lock()
	defer s.ops.mu.Unlock()
	if err := s.check(); err != nil {
		return err
	}
	s.ops.n++
	return nil
}

func (s *Store) done() {
	s.ops.mu.Lock()
	defer s.ops.mu.Unlock()
	if s.ops.n--; s.ops.n == 0 && s.ops.idle != nil {
		close(s.ops.idle)
		s.ops.idle = nil
	}
}

// wait returns when nothing is under way. Nothing begins once the store is
// closed.
func (f *inflight) wait() {
	f.mu.Lock()
	if f.n == 0 {
		f.mu.Unlock()
		return
	}
	f.idle = make(chan struct{})
	idle := f.idle
	f.mu.Unlock()
	<-idle
}

// Close gives the store up, once what is under way has ended. It fails, and
// the store stays open, while transactions, snapshots or writer locks are
// open.
func (s *Store) Close() error {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closed.Load() {
		return nil
	}
	s.trimmer.stop()
	if err := s.shut(); err != nil {
		s.trimmer.start(s, s.opts.TrimInterval)
		return err
	}
	s.cancel()
	var err error
	if s.fatal.Load() == nil {
		s.ops.wait()
		s.guarded.armed.Store(false)
		err = errors.Join(s.guard(s.db.Close), s.marks.sync())
	}
	if s.fatal.Load() != nil { // Pebble's state is undefined: what is on disk is what the next Open finds
		err = errors.Join(err, s.guarded.settle())
	}
	s.guards.close()
	return errors.Join(err, s.cache.Close(), s.marks.close(), s.release())
}

// shut marks the store closed, unless something of it is open. Nothing can be
// opened between looking and marking.
func (s *Store) shut() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.dbs {
		d.mu.Lock()
		defer d.mu.Unlock()
	}
	if s.fatal.Load() == nil {
		for _, d := range s.dbs {
			if what := d.inUse(); what != "" {
				return fmt.Errorf("close store %s: database %s has %s: close them first", s.dir, d.rec.name, what)
			}
		}
	}
	s.ops.mu.Lock()
	defer s.ops.mu.Unlock()
	s.closed.Store(true)
	return nil
}
