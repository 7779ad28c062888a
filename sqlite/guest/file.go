package guest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite/vfscore"
)

// A file is what a guest's handle stands for.
type file struct {
	file    vfscore.File
	main    *vfscore.Main // nil if the file is no database
	session *session      // nil if the file is temporary
	grant   *grant        // of a database
	super   bool          // a super-journal
	size    int64         // of a scratch file, as accounted for
	written int64         // bytes written to a database since its lock
}

// A session is one connection of the guest's SQLite.
type session struct {
	*vfscore.Session
	number int // its place, from 1
	mains  int
	supers int // super-journals since a transaction ended

	refused *vfscore.Main // whose lock was refused last
}

// maxSupers is how many super-journals one transaction may have: SQLite makes
// one.
const maxSupers = 4

// add returns a handle for f.
func (d *Databases) add(f *file) int32 {
	d.open++
	if i := slices.Index(d.files, nil); i >= 0 {
		d.files[i] = f
		return int32(i)
	}
	d.files = append(d.files, f)
	return int32(len(d.files) - 1)
}

// room fails if the guest has as many files open as it may.
func (d *Databases) room() vfscore.Code {
	if d.open < d.o.MaxFiles {
		return vfscore.OK
	}
	return d.fail(fmt.Errorf("open one more file: the guest has %d open, which is the limit", d.open), vfscore.CantOpen)
}

// get returns the file of a handle, nil if there is none.
func (d *Databases) get(handle int32) *file {
	if handle < 0 || int(handle) >= len(d.files) {
		return nil
	}
	return d.files[handle]
}

// getMain is get for databases.
func (d *Databases) getMain(handle int32) *file {
	if f := d.get(handle); f != nil && f.main != nil {
		return f
	}
	return nil
}

// session returns the session of a number, nil if there is none.
func (d *Databases) session(number int32) *session {
	if number < 1 || int(number) > len(d.sessions) {
		return nil
	}
	return d.sessions[number-1]
}

// newSession returns a session with no file open.
func (d *Databases) newSession(optimistic bool) *session {
	s := &session{Session: d.vfs.NewSession(vfscore.SessionOptions{Optimistic: optimistic})}
	if i := slices.Index(d.sessions, nil); i >= 0 {
		d.sessions[i], s.number = s, i+1
	} else {
		d.sessions = append(d.sessions, s)
		s.number = len(d.sessions)
	}
	return s
}

// leave forgets a session that has no database open.
func (d *Databases) leave(s *session) {
	if s.mains == 0 {
		d.sessions[s.number-1] = nil
		d.forgetSupers(s)
	}
}

// forgetSupers forgets the super-journals of a session with no transaction
// under way.
func (d *Databases) forgetSupers(s *session) {
	s.supers = 0
	for name, of := range d.supers {
		if of == s {
			delete(d.supers, name)
		}
	}
}

// openMain opens a database for the session, or for a new one if it is nil.
func (d *Databases) openMain(s *session, name string, readOnly, optimistic bool) (handle int32, of *session, code vfscore.Code) {
	g, ref := d.find(name)
	if g == nil {
		return 0, nil, d.fail(fmt.Errorf("open %q: no such database was granted", name), vfscore.CantOpen)
	}
	if code := d.room(); code != vfscore.OK {
		return 0, nil, code
	}
	if s == nil {
		s = d.newSession(optimistic || g.Optimistic)
	}
	m, code := s.OpenMain(ref, vfscore.OpenOptions{Create: g.Create, ReadOnly: readOnly || g.ReadOnly})
	if code != vfscore.OK {
		d.leave(s)
		err := s.Err()
		if errors.Is(err, pagestore.ErrUnknownDatabase) { // without the hint, which names others
			err = fmt.Errorf("open %s: %w: %s", g.Path, pagestore.ErrUnknownDatabase, g.ref.Database)
		}
		return 0, nil, d.fail(err, code)
	}
	s.mains++
	return d.add(&file{file: m, main: m, session: s, grant: g}), s, vfscore.OK
}

// openJournal opens the rollback journal of a database.
func (d *Databases) openJournal(of *file) (handle int32, code vfscore.Code) {
	if code := d.room(); code != vfscore.OK {
		return 0, code
	}
	return d.add(&file{file: of.main.OpenJournal(), session: of.session}), vfscore.OK
}

// openSuper makes a super-journal.
func (d *Databases) openSuper(s *session, name string) (handle int32, code vfscore.Code) {
	if code := d.room(); code != vfscore.OK {
		return 0, code
	}
	if s.supers == maxSupers {
		return 0, d.fail(fmt.Errorf("make a super-journal: the transaction has %d", s.supers), vfscore.CantOpen)
	}
	s.supers++
	d.supers[name] = s
	return d.add(&file{file: s.OpenSuper(name, true), session: s, super: true}), vfscore.OK
}

// openTemp opens a temporary file.
func (d *Databases) openTemp() (handle int32, code vfscore.Code) {
	if code := d.room(); code != vfscore.OK {
		return 0, code
	}
	return d.add(&file{file: d.vfs.OpenTemp()}), vfscore.OK
}

func (d *Databases) close(handle int32, f *file) vfscore.Code {
	code := d.note(f, f.file.Close())
	d.files[handle] = nil
	d.open--
	d.temp -= f.size
	if f.main != nil {
		f.session.mains--
		if f.session.refused == f.main {
			f.session.refused = nil
		}
		d.settle(f.session)
		d.leave(f.session)
	}
	return code
}

// settle follows what may have ended a session's transaction.
func (d *Databases) settle(s *session) {
	for _, m := range s.Mains() {
		if m.Reserved() {
			return
		}
	}
	d.forgetSupers(s)
}

// fail remembers err and returns code.
func (d *Databases) fail(err error, code vfscore.Code) vfscore.Code {
	d.err = err
	return code
}

// note remembers the error behind a code that the session returned.
func (d *Databases) note(f *file, code vfscore.Code) vfscore.Code {
	if code != vfscore.OK && code != vfscore.IOErrShortRead && f.session != nil {
		d.err = f.session.Err()
	}
	return code
}
