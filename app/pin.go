package app

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/hako-run/hako/pagestore"
)

// SnapshotHeader names the snapshots that a request is pinned to.
const SnapshotHeader = "X-Hako-Snapshot"

// ErrPin is what a pin that makes no sense for an app fails with.
var ErrPin = errors.New("cannot pin the request")

// A Pin puts snapshots in the place of databases that an app is granted, for
// one request: the guest reads them under the paths and names it knows, and
// cannot write. It keeps the snapshots from being trimmed until it is closed,
// which is to be after Serve. A nil pin pins nothing.
type Pin struct {
	store   *pagestore.Store
	held    []*pagestore.Snapshot
	instead map[string]string // what is opened for a database
}

// Pin reads a list of snapshots, divided by commas: "shop@42, blog@-10m". A
// star stands for the databases of the app that the list does not name, as in
// "*@-1d". Databases that are not pinned stay as they are. [PinStatus] is what
// a client is to be answered with if it fails.
func (s *Service) Pin(list string) (*Pin, error) {
	refs, err := parsePin(list, s.c.Spec.Databases)
	if err != nil {
		return nil, err
	}
	if len(refs) == 0 {
		return &Pin{}, nil // a star for no databases
	}
	return s.process.runner.pin(refs)
}

// parsePin returns what is to be opened for databases that were granted.
func parsePin(list string, grants []DatabaseGrant) ([]pagestore.Ref, error) {
	var free []string // databases that may be pinned
	taken := map[string]bool{}
	for _, d := range grants {
		ref, err := pagestore.ParseRef(d.Snapshot)
		if _, twice := taken[ref.Database]; err == nil && ref.Kind == pagestore.RefHead && !twice {
			free = append(free, ref.Database)
			taken[ref.Database] = false
		}
	}
	fail := func(item, why string) ([]pagestore.Ref, error) {
		return nil, fmt.Errorf("%w to %.100q: %s", ErrPin, item, why)
	}
	var refs []pagestore.Ref
	rest, all := "", false
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		name, at, found := strings.Cut(item, "@")
		used, granted := taken[name]
		switch {
		case !found:
			return fail(item, "a snapshot is written as shop@42, shop@-10m, shop@2026-11-22T10:00:00Z or shop@TAG")
		case name == "*" && all:
			return fail(item, "there are two stars")
		case name == "*":
			rest, all = at, true
			continue
		case !granted:
			return fail(item, fmt.Sprintf("the app has no database %.100q that could be pinned", name))
		case used:
			return fail(item, name+" is named twice")
		}
		ref, err := pagestore.ParseAt(name, at)
		if err != nil {
			return nil, fmt.Errorf("%w to %.100q: %w", ErrPin, item, err)
		}
		taken[name] = true
		refs = append(refs, ref)
	}
	for _, name := range free {
		if all && !taken[name] {
			ref, err := pagestore.ParseAt(name, rest)
			if err != nil {
				return nil, fmt.Errorf("%w to %.100q: %w", ErrPin, "*@"+rest, err)
			}
			refs = append(refs, ref)
		}
	}
	return refs, nil
}

func (r *Runner) pin(refs []pagestore.Ref) (*Pin, error) {
	p := &Pin{store: r.vfs.Store(), instead: map[string]string{}}
	var err error
	if p.held, err = p.store.Snapshots(refs...); err != nil {
		if errors.Is(err, pagestore.ErrUnknownDatabase) { // without the hint, which names others
			err = pagestore.ErrUnknownDatabase
		}
		return nil, fmt.Errorf("%w: %w", ErrPin, err)
	}
	for i, s := range p.held {
		p.instead[refs[i].Database] = s.String()
	}
	return p, nil
}

// PinStatus is the status of the answer to a request whose pin failed.
func PinStatus(err error) int {
	switch {
	case errors.Is(err, pagestore.ErrTrimmed):
		return http.StatusGone
	case errors.Is(err, pagestore.ErrClosed), errors.Is(err, pagestore.ErrDamaged):
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// Branch has the app work on branches, which it may write to, in the place of
// snapshots. They are made here; as is tells which databases keep their
// snapshots. A single branch is called name, each of several NAME-DATABASE.
// It returns what was made, also if it fails.
func (p *Pin) Branch(name string, as func(database string) bool) (made []string, err error) {
	branched := func(s *pagestore.Snapshot) bool { return as(s.Database().Name()) }
	n := 0
	for _, s := range p.held {
		if branched(s) {
			n++
		}
	}
	for _, s := range p.held {
		if !branched(s) {
			continue
		}
		database, branch := s.Database().Name(), name
		if n > 1 {
			branch += "-" + database
		}
		if _, err := p.store.Branch(s, branch); err != nil {
			return made, err
		}
		made = append(made, branch)
		p.instead[database] = branch
	}
	return made, nil
}

// String returns the snapshots, as in "blog@7, shop@42".
func (p *Pin) String() string {
	if p == nil {
		return ""
	}
	var b strings.Builder
	for i, s := range p.held {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(s.String())
	}
	return b.String()
}

// Close lets the snapshots go.
func (p *Pin) Close() error {
	if p == nil {
		return nil
	}
	var errs []error
	for _, s := range p.held {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// hold opens the snapshots once more, for an instance that may outlive the
// request.
func (p *Pin) hold() (held []io.Closer, err error) {
	if p == nil {
		return nil, nil
	}
	for _, s := range p.held {
		clone, err := s.Clone()
		if err != nil {
			return held, err
		}
		held = append(held, clone)
	}
	return held, nil
}

// opens returns what is opened where a database was granted.
func (p *Pin) opens(granted string) string {
	if p == nil {
		return granted
	}
	name, at, found := strings.Cut(granted, "@")
	if pinned := p.instead[name]; pinned != "" && (!found || at == "head") {
		return pinned
	}
	return granted
}

// databaseOf returns the database's name in a grant.
func databaseOf(granted string) string {
	name, _, _ := strings.Cut(granted, "@")
	return name
}
