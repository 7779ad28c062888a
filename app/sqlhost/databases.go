package sqlhost

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite/vfscore"
	sqlite3 "modernc.org/sqlite/lib"
)

// A Grant gives a guest a database.
type Grant struct {
	Path     string // as the guest opens it
	Name     string // serves too; that of the database unless given
	Database string // a database, or a snapshot as pagestore.ParseRef reads it, which is read-only
	ReadOnly bool
}

// ErrGrant is what a grant that makes no sense fails with.
var ErrGrant = errors.New("wrong grant of a database")

// Databases are what one instance may open and has open. They belong to the
// goroutine that runs the instance, and are to be closed after it.
type Databases struct {
	pool   *Pool
	grants map[string]*grant

	open   map[int32]*handle
	seen   vfscore.Witness
	err    error // behind the last code that was not OK
	closed bool
}

// A grant is a Grant that was checked.
type grant struct {
	Grant
	ref pagestore.Ref
}

func (g *grant) pinned() bool { return g.ref.Kind != pagestore.RefHead }

// A handle is a connection that an instance has open.
type handle struct {
	c       *connection
	cursors map[int32]*cursor
}

// Databases returns the databases of one instance, none of them open yet.
func (p *Pool) Databases(grants ...Grant) (*Databases, error) {
	d := &Databases{pool: p, grants: make(map[string]*grant, 3*len(grants)), open: make(map[int32]*handle)}
	for _, g := range grants {
		ref, err := pagestore.ParseRef(g.Database)
		if err != nil {
			return nil, fmt.Errorf("%w: %s as %q: %w", ErrGrant, g.Database, g.Path, err)
		}
		if g.Path == "" || strings.ContainsRune(g.Path, 0) {
			return nil, fmt.Errorf("%w: %s as %q: give it the path that the guest opens", ErrGrant, g.Database, g.Path)
		}
		name := clean(g.Path)
		if other := d.grants[name]; other != nil {
			return nil, fmt.Errorf("%w: %s as %q: that is %s already", ErrGrant, g.Database, g.Path, other.Database)
		}
		checked := &grant{g, ref}
		d.grants[name] = checked
	}
	for _, g := range grants { // paths go before names
		checked := d.grants[clean(g.Path)]
		name := checked.Name
		if name == "" {
			name = checked.ref.Database
		}
		if d.grants[name] == nil {
			d.grants[name] = checked
		}
	}
	return d, nil
}

// clean makes a guest's path comparable.
func clean(name string) string { return path.Clean("/" + name) }

// find returns the grant that a guest's name of a database means, and the
// version asked for, "" for that of the grant.
func (d *Databases) find(name string) (g *grant, version string, err error) {
	lookUp := func(name string) *grant {
		if g := d.grants[name]; g != nil {
			return g
		}
		return d.grants[clean(name)]
	}
	if g := lookUp(name); g != nil {
		return g, "", nil
	}
	if i := strings.LastIndexByte(name, '@'); i > 0 {
		if g := lookUp(name[:i]); g != nil && !g.pinned() {
			return g, name[i+1:], nil
		}
	}
	return nil, "", fmt.Errorf("open %q: no such database was granted", name)
}

// at returns the written form of what follows the '@' in a grant's snapshot.
func (g *grant) at() string {
	_, at, _ := strings.Cut(g.Database, "@")
	return at
}

const (
	openReadOnly   = 1
	openOptimistic = 2
)

// lastHandle counts handles for the whole process: a fork of a frozen instance
// that uses one from before must find that it is gone, not another one.
var lastHandle atomic.Uint32

func newHandle() int32 { return int32(lastHandle.Add(1)%math.MaxInt32) + 1 }

// connect opens a database for the instance.
func (d *Databases) connect(ctx context.Context, name string, flags int32) (int32, error) {
	if len(d.open) >= d.pool.o.MaxConnections {
		return 0, &Error{Code: sqlite3.SQLITE_CANTOPEN, Text: fmt.Sprintf("open %q: the instance has %d connections open, which is the limit", name, len(d.open))}
	}
	g, version, err := d.find(name)
	if err != nil {
		return 0, &Error{Code: sqlite3.SQLITE_CANTOPEN, Text: err.Error(), Cause: err}
	}
	k := kind{
		database: g.ref.Database, readOnly: g.ReadOnly || g.pinned() || version != "" || flags&openReadOnly != 0,
		optimistic: flags&openOptimistic != 0, pinned: g.pinned(),
	}
	if version == "" && g.pinned() {
		version = g.at()
	}
	c, err := d.pool.take(ctx, k)
	if err != nil {
		if errors.Is(err, pagestore.ErrUnknownDatabase) { // without the hint, which names others
			err = fmt.Errorf("open %s: %w: %s", g.Path, pagestore.ErrUnknownDatabase, g.ref.Database)
		}
		return 0, &Error{Code: sqlite3.SQLITE_CANTOPEN, Text: visible(err), Cause: err}
	}
	if version != "" {
		if err := c.main.Pin(version); err != nil {
			_ = d.release(c)
			return 0, &Error{Code: sqlite3.SQLITE_CANTOPEN, Text: visible(err), Cause: err}
		}
	}
	c.raw.Resolve(d.attach)
	n := newHandle()
	d.seen.Skip(c.main)
	d.open[n] = &handle{c: c, cursors: make(map[int32]*cursor)}
	return n, nil
}

// attach says what to open for a name that a guest attaches.
func (d *Databases) attach(name string) (snapshot string, o vfscore.OpenOptions, err error) {
	g, version, err := d.find(name)
	if err != nil {
		return "", vfscore.OpenOptions{}, err
	}
	if version != "" {
		return g.ref.Database + "@" + version, vfscore.OpenOptions{ReadOnly: true}, nil
	}
	return g.Database, vfscore.OpenOptions{ReadOnly: g.ReadOnly || g.pinned(), Fixed: g.pinned()}, nil
}

// release gives a connection back to the pool, or closes it if others cannot
// use it.
func (d *Databases) release(c *connection) error {
	if c.reset() {
		return d.pool.give(c)
	}
	return c.close()
}

// disconnect closes a connection of the instance.
func (d *Databases) disconnect(n int32) error {
	h := d.open[n]
	if h == nil {
		return gone(n)
	}
	delete(d.open, n)
	return d.release(h.c)
}

func gone(n int32) *Error {
	return &Error{Code: codeGone, Text: fmt.Sprintf("connection %d is not open", n)}
}

// codeGone tells of a handle that the instance does not have: SQLite's codes
// have a first byte below 102.
const codeGone = 255

// Close ends all that the instance has open: transactions under way are rolled
// back and their locks released. The instance must not run any more; calls of
// it fail.
func (d *Databases) Close() error {
	if d.closed {
		return nil
	}
	d.closed = true
	var errs []error
	for n := range d.open {
		errs = append(errs, d.disconnect(n))
	}
	return errors.Join(errs...)
}

// CanFreeze tells why an instance with these databases cannot be copied: a
// transaction or a query is under way. Connections that are open do not
// matter: a copy finds that it has none, and its driver opens others.
func (d *Databases) CanFreeze() error {
	for _, h := range d.open {
		if len(h.cursors) > 0 {
			return fmt.Errorf("the guest has a query of %s under way", h.c.kind.database)
		}
		if sqlite3.Xsqlite3_get_autocommit(h.c.tls, h.c.db) == 0 {
			return fmt.Errorf("the guest has a transaction of %s under way", h.c.kind.database)
		}
	}
	return nil
}

// Err returns the error behind the last result code that told the guest of a
// failure, nil if there was none.
func (d *Databases) Err() error { return d.err }

// Seen has what the instance has seen of databases so far. It is the
// instance's goroutine's too.
func (d *Databases) Seen() *vfscore.Witness { return &d.seen }

// look notes what versions a connection has come to.
func (d *Databases) look(h *handle) {
	if !h.c.attached {
		d.seen.Note(h.c.main)
		return
	}
	for _, m := range h.c.raw.Session().Mains() {
		d.seen.Note(m)
	}
}

type contextKey struct{}

// Key is the key under which [NewContext] keeps the databases, for callers
// that carry several such values in a context of their own.
var Key any = contextKey{}

// NewContext returns a context for calls of the instance that d belongs to.
func NewContext(ctx context.Context, d *Databases) context.Context {
	return context.WithValue(ctx, contextKey{}, d)
}

// call runs f on a connection of the instance.
func (d *Databases) call(ctx context.Context, n int32, timeout time.Duration, f func(h *handle) error) error {
	h := d.open[n]
	if h == nil {
		return gone(n)
	}
	cancel := h.c.begin(ctx, timeout)
	err := f(h)
	d.look(h)
	if over := h.c.end(cancel); over != nil {
		panic(over)
	}
	return err
}

// prepare compiles a statement, which stays so, and returns its number of
// parameters.
func (d *Databases) prepare(ctx context.Context, n int32, timeout time.Duration, sql []byte) (parameters int, err error) {
	err = d.call(ctx, n, timeout, func(h *handle) error {
		s, _, err := h.c.prepare(sql)
		if err != nil || s == nil {
			return err
		}
		parameters = s.parameters
		h.c.cached.give(h.c.tls, s)
		return nil
	})
	return parameters, err
}

// each compiles the statements of sql one after the other. run is to run them,
// and owns the last one; others are given back.
func (c *connection) each(sql []byte, args []argument, run func(s *statement, last bool) error) error {
	for {
		s, rest, err := c.prepare(sql)
		if err != nil {
			return err
		}
		if s == nil {
			if len(rest) == 0 || len(rest) == len(sql) {
				return nil
			}
			sql = rest
			continue
		}
		last := blank(rest)
		if err := c.bind(s, args); err != nil {
			c.cached.give(c.tls, s)
			return err
		}
		if err := run(s, last); err != nil || last {
			return err
		}
		sql = rest
	}
}

// toEnd runs a statement whose rows nobody wants.
func (c *connection) toEnd(s *statement) error {
	rc := int32(sqlite3.SQLITE_ROW)
	for rc == sqlite3.SQLITE_ROW {
		rc = sqlite3.Xsqlite3_step(c.tls, s.p)
	}
	var err error
	if rc != sqlite3.SQLITE_DONE {
		err = c.fail(rc)
	}
	if rc := c.cached.give(c.tls, s); err == nil && rc != sqlite3.SQLITE_OK {
		err = c.fail(rc)
	}
	return err
}

// exec runs statements and returns the row that was inserted last and how many
// rows the last one has changed.
func (d *Databases) exec(ctx context.Context, n int32, timeout time.Duration, sql []byte, args []argument) (id, changed int64, err error) {
	err = d.call(ctx, n, timeout, func(h *handle) error {
		c := h.c
		err := c.each(sql, args, func(s *statement, _ bool) error {
			before := sqlite3.Xsqlite3_total_changes64(c.tls, c.db)
			if err := c.toEnd(s); err != nil {
				return err
			}
			if changed = 0; sqlite3.Xsqlite3_total_changes64(c.tls, c.db) != before {
				changed = int64(sqlite3.Xsqlite3_changes64(c.tls, c.db))
			}
			return nil
		})
		id = int64(sqlite3.Xsqlite3_last_insert_rowid(c.tls, c.db))
		return err
	})
	return id, changed, err
}

// query runs statements, the last one up to its first rows, and returns the
// bytes that its result takes. If they are more than the block has, the cursor
// that it names can be asked again.
func (d *Databases) query(ctx context.Context, n int32, timeout time.Duration, sql []byte, args []argument, to []byte) (size int, err error) {
	err = d.call(ctx, n, timeout, func(h *handle) error {
		c := h.c
		if len(h.cursors) >= c.o.MaxCursors {
			return &Error{Code: sqlite3.SQLITE_NOMEM, Text: fmt.Sprintf("query: the connection has %d cursors open, which is the limit", len(h.cursors))}
		}
		if len(to) < headSize {
			return misuse("the block for rows has %d bytes: it needs %d at least", len(to), headSize)
		}
		found := false
		err := c.each(sql, args, func(s *statement, last bool) error {
			if !last {
				return c.toEnd(s)
			}
			found = true
			u := &cursor{s: s, number: newHandle()}
			u.describe(c)
			h.cursors[u.number] = u
			size, err = h.fill(u, to)
			return err
		})
		if err == nil && !found { // nothing but comments
			b := block{to: to}
			b.head(0, 0, 0)
			size = b.size
		}
		return err
	})
	return size, err
}

// next continues a query.
func (d *Databases) next(ctx context.Context, n, number int32, timeout time.Duration, to []byte) (size int, err error) {
	err = d.call(ctx, n, timeout, func(h *handle) error {
		u := h.cursors[number]
		if u == nil {
			return misuse("cursor %d is not open", number)
		}
		if len(to) < headSize {
			return misuse("the block for rows has %d bytes: it needs %d at least", len(to), headSize)
		}
		size, err = h.fill(u, to)
		return err
	})
	return size, err
}

// finish ends a query.
func (d *Databases) finish(ctx context.Context, n, number int32) error {
	return d.call(ctx, n, 0, func(h *handle) error {
		u := h.cursors[number]
		if u == nil {
			return misuse("cursor %d is not open", number)
		}
		return h.drop(u)
	})
}

// state returns SQLite's state of a connection's transactions: 0 if there is
// none, 1 one that reads, 2 one that writes; 4 is added outside of
// BEGIN and COMMIT.
func (d *Databases) state(n int32) (int, error) {
	h := d.open[n]
	if h == nil {
		return 0, gone(n)
	}
	state := int(sqlite3.Xsqlite3_txn_state(h.c.tls, h.c.db, 0))
	if sqlite3.Xsqlite3_get_autocommit(h.c.tls, h.c.db) != 0 {
		state |= 4
	}
	return state, nil
}
