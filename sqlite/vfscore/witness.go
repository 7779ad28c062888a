package vfscore

import (
	"cmp"
	"slices"

	"github.com/hako-run/hako/pagestore"
)

// A Witness notes which versions of databases were read and committed, for
// one instance or request. It belongs to the goroutine that uses the files.
// The zero value has seen nothing.
type Witness struct {
	seen []Seen // few
}

// Seen is what a Witness saw of a database.
type Seen struct {
	Name    string            // of the database
	Version pagestore.Version // the last one that was read or, if there were any, committed
	Wrote   bool              // versions were committed
	Before  pagestore.Version // that before the first commit, if there was one
}

// Note looks at what the last transaction of m read or committed. It is to be
// called for every transaction.
func (w *Witness) Note(m *Main) { w.See(m, m.Seen()) }

// See is Note where the version is known.
func (w *Witness) See(m *Main, version pagestore.Version) {
	name := m.db.Name()
	i := slices.IndexFunc(w.seen, func(s Seen) bool { return s.Name == name })
	if i < 0 {
		i = len(w.seen)
		w.seen = append(w.seen, Seen{Name: name})
	}
	s := &w.seen[i]
	switch {
	case m.news:
		m.news = false
		if !s.Wrote {
			s.Before = m.before
		}
		s.Wrote, s.Version = true, max(s.Version, version)
	case !s.Wrote:
		s.Version = max(s.Version, version)
	}
}

// Skip passes over what m did for others.
func (w *Witness) Skip(m *Main) { m.news = false }

// List returns what was seen, sorted by name. It is a copy.
func (w *Witness) List() []Seen {
	list := slices.Clone(w.seen)
	slices.SortFunc(list, func(a, b Seen) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// Add adds what another witness saw.
func (w *Witness) Add(other *Witness) {
	for _, o := range other.seen {
		i := slices.IndexFunc(w.seen, func(s Seen) bool { return s.Name == o.Name })
		if i < 0 {
			w.seen = append(w.seen, o)
			continue
		}
		s := &w.seen[i]
		switch {
		case s.Wrote && o.Wrote:
			s.Version, s.Before = max(s.Version, o.Version), min(s.Before, o.Before)
		case o.Wrote:
			*s = o
		case !s.Wrote:
			s.Version = max(s.Version, o.Version)
		}
	}
}

// Clear forgets what was seen.
func (w *Witness) Clear() { w.seen = w.seen[:0] }
