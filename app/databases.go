package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/hako-run/hako/app/sqlhost"
	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/sqlite/guest"
	"github.com/hako-run/hako/sqlite/vfscore"
)

// VersionHeader tells a client which versions its answer comes from.
const VersionHeader = "X-Hako-Version"

// A DatabaseVersion is a version that a request read, or made.
type DatabaseVersion struct {
	Name    string
	Version uint64
	Wrote   bool
	Before  uint64 // if it wrote, the version before the first that it made
}

// String returns the snapshot's written form, such as shop@42.
func (v DatabaseVersion) String() string { return fmt.Sprintf("%s@%d", v.Name, v.Version) }

// databases are those that one instance may open. They belong to the
// goroutine that runs the instance. A nil one has none.
type databases struct {
	own *guest.Databases   // by a SQLite of the guest's own
	sql *sqlhost.Databases // by SQL in this process
}

// databases adds to a configuration what the process is granted, with the
// snapshots of pin, which may be nil, in the place of databases. If it fails,
// what was added is still to be closed.
func (p *Process) databases(config *engine.Config, pin *Pin) (*databases, error) {
	if p.runner.vfs == nil {
		return nil, nil
	}
	held, err := pin.hold()
	config.States = append(config.States, held...)
	if err != nil {
		return nil, err
	}
	// Without grants too: temporary files are kept there.
	var own []guest.Grant
	var hosted []sqlhost.Grant
	for _, d := range p.spec.Databases {
		opened := pin.opens(d.Snapshot)
		own = append(own, guest.Grant{Path: d.Guest, Database: opened})
		hosted = append(hosted, sqlhost.Grant{Path: d.Guest, Name: databaseOf(d.Snapshot), Database: opened})
	}
	var db databases
	if db.own, err = guest.New(p.runner.vfs, guest.Options{}, own...); err != nil {
		return nil, err
	}
	config.States = append(config.States, db.own)
	if db.sql, err = p.runner.pool.Databases(hosted...); err != nil {
		return nil, err
	}
	config.States = append(config.States, db.sql)
	config.Values = sqlhost.NewContext(guest.NewContext(config.Values, db.own), db.sql)
	return &db, nil
}

// versions returns what was read or made since the last clear.
func (d *databases) versions() []DatabaseVersion {
	if d == nil {
		return nil
	}
	var w vfscore.Witness
	w.Add(d.own.Seen())
	w.Add(d.sql.Seen())
	var versions []DatabaseVersion
	for _, s := range w.List() {
		versions = append(versions, DatabaseVersion{s.Name, uint64(s.Version), s.Wrote, uint64(s.Before)})
	}
	return versions
}

// tell writes into a response's header what was read or made so far.
func (d *databases) tell(h http.Header) {
	delete(h, VersionHeader) // a guest does not know better
	for _, v := range d.versions() {
		h.Add(VersionHeader, v.String())
	}
}

func (d *databases) clear() {
	if d != nil {
		d.own.Seen().Clear()
		d.sql.Seen().Clear()
	}
}

// settled tells what a request has left open that would hold a writer's lock,
// or an old version, until the next one; nil if there is nothing.
func (d *databases) settled() error {
	if d == nil {
		return nil
	}
	return errors.Join(d.own.Settled(), d.sql.CanFreeze())
}

// closeStates closes what no instance was made for.
func closeStates(config engine.Config) error {
	var errs []error
	for i := len(config.States) - 1; i >= 0; i-- {
		errs = append(errs, config.States[i].Close())
	}
	return errors.Join(errs...)
}

// instance makes an instance with what the process is granted.
func (p *Process) instance(ctx context.Context, args, env []string, s Streams, pin *Pin) (*engine.Instance, *databases, error) {
	config, db, err := p.config(args, env, s, pin)
	if err != nil {
		return nil, nil, err
	}
	in, err := p.module.Instantiate(ctx, config)
	return in, db, err
}
