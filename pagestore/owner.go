package pagestore

import (
	"encoding/json"
	"errors"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// owner is what the file "owner" tells other processes about the one that has
// the store.
type owner struct {
	PID     int    `json:"pid"`
	Command string `json:"command"`
}

// acquire takes the store's lock file for this process.
func (s *Store) acquire() error {
	path := s.fs.PathJoin(s.dir, "owner")
	lock, err := s.fs.Lock(s.fs.PathJoin(s.dir, "lock"))
	if err != nil {
		if !lockHeld(err) {
			return err
		}
		e := &LockedError{Dir: s.dir}
		if f, err := s.fs.Open(path); err == nil {
			var o owner
			if b, err := io.ReadAll(f); err == nil && json.Unmarshal(b, &o) == nil {
				e.PID, e.Command = o.PID, o.Command
			}
			f.Close()
		}
		return e
	}
	s.lock = lock
	// The lock counts. On a full disk others do not learn whose it is.
	if err := s.writeOwner(path); err != nil && !isDiskFull(err) {
		lock.Close()
		s.lock = nil
		return err
	}
	return nil
}

func (s *Store) writeOwner(path string) error {
	f, err := s.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	b, _ := json.Marshal(owner{os.Getpid(), s.opts.Command})
	_, err = f.Write(append(b, '\n'))
	return errors.Join(err, f.Close())
}

func (s *Store) release() error {
	if s.lock == nil {
		return nil
	}
	err := s.fs.Remove(s.fs.PathJoin(s.dir, "owner"))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	err = errors.Join(err, s.lock.Close())
	s.lock = nil
	return err
}
