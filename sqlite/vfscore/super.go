package vfscore

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/hako-run/hako/pagestore"
)

// A super is the super-journal of a transaction over several databases. Its
// content names their journals, each followed by a zero byte.
type super struct {
	file   *Temp
	parts  []*Main // that are ready to commit
	broken bool    // a part failed or was rolled back
	gone   bool    // deleted: the transaction is committed
}

var errMain = errors.New("one transaction changes it and another database, and main is an ordinary file: open a Hako database as main and attach the others, or use two transactions")

var errMixed = errors.New("one transaction cannot change both a Hako database and a file, or databases of two stores: its commit would not be atomic: use two transactions")

// OpenSuper opens the super-journal of that name; with create it makes it.
func (s *Session) OpenSuper(name string, create bool) *Temp {
	if !create {
		return s.vfs.OpenTemp() // SQLite looks for journals that a crash left: there are none
	}
	if s.supers == nil {
		s.supers = make(map[string]*super)
	}
	g := &super{file: s.vfs.OpenTemp()}
	g.file.keep = true // it is read after SQLite closed it
	s.supers[name] = g
	return g.file
}

// Exists is SQLite's xAccess: of journals only a super-journal of a
// transaction under way can be there.
func (s *Session) Exists(name string) bool {
	g := s.supers[name]
	return g != nil && !g.gone
}

// joinSuper adds m, which is ready to commit, to a super-journal.
func (s *Session) joinSuper(name string, m *Main) error {
	g := s.supers[name]
	if g == nil {
		return fmt.Errorf("commit to %s: %w", m.name, errMain)
	}
	if m.vfs != s.vfs {
		g.broken = true
		return fmt.Errorf("commit to %s: %w", m.name, errMixed)
	}
	if err := s.checkChildren(g); err != nil {
		g.broken = true
		return fmt.Errorf("commit to %s: %w", m.name, err)
	}
	g.parts = append(g.parts, m)
	return nil
}

// checkChildren returns errMixed if the transaction changes what is not in the
// session's store. SQLite lists databases too that it has locked and not
// changed; it opens no journal for those.
func (s *Session) checkChildren(g *super) error {
	content := make([]byte, g.file.size())
	if code := g.file.Read(content, 0); code != OK {
		return fmt.Errorf("read super-journal: %w", g.file.err)
	}
	for name := range bytes.SplitSeq(bytes.TrimSuffix(content, []byte{0}), []byte{0}) {
		ours := func(m *Main) bool { return m.Reserved() && m.vfs == s.vfs && m.name+"-journal" == string(name) }
		theirs := func(m *Main) bool { return m.journal == nil && m.vfs != s.vfs && m.name+"-journal" == string(name) }
		if slices.ContainsFunc(s.mains, ours) || slices.ContainsFunc(s.mains, theirs) {
			continue
		}
		if s.vfs.journal == nil || s.vfs.journal(string(name)) {
			return errMixed
		}
	}
	return nil
}

// complete reports whether all databases that the transaction changes wait in
// the super-journal.
func (s *Session) complete(g *super) bool {
	return !g.broken && !slices.ContainsFunc(s.mains, func(m *Main) bool {
		return m.journal != nil && m.state != queued
	})
}

// leaveSuper takes m out of the super-journal that it waits in.
func (s *Session) leaveSuper(m *Main) {
	for _, g := range s.supers {
		if i := slices.Index(g.parts, m); i >= 0 {
			g.parts = slices.Delete(g.parts, i, i+1)
			g.broken = true
		}
	}
}

// endSupers forgets the super-journals once no transaction is under way.
func (s *Session) endSupers() {
	if len(s.supers) == 0 || slices.ContainsFunc(s.mains, (*Main).Reserved) {
		return
	}
	for _, g := range s.supers {
		g.file.keep = false
		g.file.Close()
	}
	clear(s.supers)
}

// Delete is SQLite's xDelete. A synced deletion of a super-journal commits the
// transaction; if that fails, it is still there and SQLite rolls back. Without
// sync SQLite tidies up.
func (s *Session) Delete(name string, sync bool) Code {
	g := s.supers[name]
	if g == nil || g.gone || !sync {
		return OK // a journal is gone with its last close
	}
	if !s.complete(g) {
		g.broken = true
		return s.fail(errors.New("commit to several databases: not all of them are ready"), IOErrDelete)
	}
	txs := make([]*pagestore.Tx, len(g.parts))
	for i, m := range g.parts {
		txs[i] = m.tx
	}
	ctx, cancel := s.commitContext()
	defer cancel()
	commits, err := s.vfs.store.Commit(ctx, txs...)
	parts := g.parts
	g.parts = nil
	if err != nil {
		g.broken = true
		code := OK
		for _, m := range parts {
			code = m.fail(err)
		}
		return code
	}
	g.gone = true
	for i, m := range parts {
		m.succeed(commits[i])
	}
	return OK
}
