package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"

	"github.com/hako-run/hako/sqlite/vfscore"
	"modernc.org/libc"
)

// A Raw is a connection of this driver seen from beneath: for callers of
// SQLite's C interface as modernc.org/sqlite/lib has it, which must be one
// goroutine at a time. It stays valid until the connection is closed, which
// remains to be done by the driver.Conn that it was made of.
type Raw struct{ c *conn }

// RawOf returns what lies beneath a connection that [Connector.Connect]
// returned.
func RawOf(c driver.Conn) (Raw, error) {
	own, ok := c.(*conn)
	if !ok {
		return Raw{}, fmt.Errorf("connection is a %T, none of a Hako database", c)
	}
	return Raw{own}, nil
}

// Handle returns SQLite's connection and what its functions want first.
func (r Raw) Handle() (tls *libc.TLS, db uintptr) { return r.c.link.tls, r.c.link.db }

// Session returns the connection's session: its databases, the first of which
// is main, and what bounds its waits.
func (r Raw) Session() *vfscore.Session { return r.c.session }

// Cause returns what the store knows of an error with that result code and text
// of SQLite: an error that Is one of pagestore's, or nil.
func (r Raw) Cause(code int, text string) error { return causeOf(r.c.session, code, text) }

// Resolve makes the connection ask f what to open, and how, for a name that it
// is to ATTACH. Such a name is no longer that of a database in the store.
func (r Raw) Resolve(f func(name string) (snapshot string, o vfscore.OpenOptions, err error)) {
	r.c.link.resolve = f
}

// LimitTemp bounds the connection's temporary files, opened from now on: what
// they hold together, in bytes. Beyond it is SQLITE_FULL.
func (r Raw) LimitTemp(max int64) { r.c.link.temp = &vfscore.Quota{Left: max} }

// Begin makes ctx bound the waits of the calls that follow, and forgets the
// cause of errors before.
func (r Raw) Begin(ctx context.Context) { r.c.begin(ctx) }
