package sqlhost

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/sqlite"
	"github.com/hako-run/hako/sqlite/vfscore"
	"github.com/hako-run/hako/wasi"
	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// A connection is one of SQLite's. It belongs to the pool or to one instance.
type connection struct {
	kind   kind
	o      Options
	inner  driver.Conn
	raw    sqlite.Raw
	tls    *libc.TLS
	db     uintptr
	main   *vfscore.Main
	id     uintptr // by which callbacks of SQLite find it
	cell   uintptr // two words of SQLite's memory, for results
	cached cache

	// What the instance that has it has changed.
	dirty    bool                // by something that closing alone undoes
	pragmas  map[string]struct{} // of those that can be set back
	attached bool
	setting  bool // the statement that was compiled last is a PRAGMA or the like

	// The call under way.
	running bool
	ctx     context.Context
	until   time.Time // zero: as long as ctx allows
	over    error     // why the instance has to end
	expired bool      // until has passed
}

// connections are those that are open, by their id.
var connections struct {
	sync.Map // of *connection
	last     atomic.Uintptr
}

// connect opens a connection and takes from it what no guest is to have.
func connect(ctx context.Context, connector *sqlite.Connector, k kind, o Options) (*connection, error) {
	inner, err := connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	c := &connection{kind: k, o: o, inner: inner, id: connections.last.Add(1)}
	if c.raw, err = sqlite.RawOf(inner); err != nil {
		return nil, errors.Join(err, inner.Close())
	}
	c.tls, c.db = c.raw.Handle()
	c.main = c.raw.Session().Mains()[0]
	c.cached.init()
	connections.Store(c.id, c)
	if err := c.confine(); err != nil {
		return nil, errors.Join(fmt.Errorf("confine a connection to %s: %w", k.database, err), c.close())
	}
	return c, nil
}

// confine sets what stays for the connection's life.
func (c *connection) confine() error {
	if c.cell = sqlite3.Xsqlite3_malloc64(c.tls, 16); c.cell == 0 {
		return errMemory
	}
	for _, limit := range [...]struct{ id, n int }{
		{sqlite3.SQLITE_LIMIT_LENGTH, c.o.MaxValue},
		{sqlite3.SQLITE_LIMIT_SQL_LENGTH, c.o.MaxSQL},
		{sqlite3.SQLITE_LIMIT_COLUMN, 1000},
		{sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 500},
		{sqlite3.SQLITE_LIMIT_VDBE_OP, 1 << 20},
		{sqlite3.SQLITE_LIMIT_ATTACHED, 5},
		{sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 256},
		{sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 100},
		{sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0},
	} {
		sqlite3.Xsqlite3_limit(c.tls, c.db, int32(limit.id), int32(limit.n))
	}
	va := sqlite3.Xsqlite3_malloc64(c.tls, 16)
	if va == 0 {
		return errMemory
	}
	defer sqlite3.Xsqlite3_free(c.tls, va)
	for _, s := range [...]struct{ op, on int32 }{
		{sqlite3.SQLITE_DBCONFIG_DEFENSIVE, 1},
		{sqlite3.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
		{sqlite3.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
	} {
		if rc := sqlite3.Xsqlite3_db_config(c.tls, c.db, s.op, libc.VaList(va, s.on, uintptr(0))); rc != sqlite3.SQLITE_OK {
			return fmt.Errorf("setting %d: SQLite error %d", s.op, rc)
		}
	}
	if err := c.plain("PRAGMA cell_size_check=1; PRAGMA temp_store=1"); err != nil {
		return err
	}
	if err := c.replaceFunctions(); err != nil {
		return err
	}
	c.raw.Session().SetBusyTimeout(c.o.BusyTimeout)
	c.raw.LimitTemp(c.o.MaxTemp)
	c.raw.Session().SetWait(func(f func()) {
		if c.ctx == nil {
			f()
			return
		}
		wasi.Wait(c.ctx, f)
	})
	sqlite3.Xsqlite3_progress_handler(c.tls, c.db, progressOps, funcPointer(progress), c.id)
	if rc := sqlite3.Xsqlite3_set_authorizer(c.tls, c.db, funcPointer(authorize), c.id); rc != sqlite3.SQLITE_OK {
		return fmt.Errorf("authorizer: SQLite error %d", rc)
	}
	return nil
}

var errMemory = errors.New("out of memory")

// plain runs statements of the host's own.
func (c *connection) plain(sql string) error {
	p := copyOut(c.tls, []byte(sql))
	if p == 0 {
		return errMemory
	}
	defer sqlite3.Xsqlite3_free(c.tls, p)
	if rc := sqlite3.Xsqlite3_exec(c.tls, c.db, p, 0, 0, 0); rc != sqlite3.SQLITE_OK {
		return c.fail(rc)
	}
	return nil
}

// progressOps is after how many of SQLite's operations it asks whether to go
// on: some 20 microseconds.
const progressOps = 1000

// progress is SQLite's progress handler. What it returns other than 0 ends the
// statement.
func progress(_ *libc.TLS, id uintptr) int32 {
	v, ok := connections.Load(id)
	if !ok {
		return 1
	}
	c := v.(*connection)
	if c.ctx == nil {
		return 0
	}
	if c.over = engine.Over(c.ctx); c.over != nil {
		return 1
	}
	if !c.until.IsZero() && time.Now().After(c.until) {
		c.expired = true
		return 1
	}
	return 0
}

// begin begins a call of the instance, which may last for as long as ctx
// allows, and timeout if that is not 0. cancel is for the end.
func (c *connection) begin(ctx context.Context, timeout time.Duration) (cancel context.CancelFunc) {
	c.running, c.ctx, c.over, c.expired, c.until = true, ctx, nil, false, time.Time{}
	waits := ctx
	cancel = func() {}
	if timeout > 0 {
		c.until = time.Now().Add(timeout)
		waits, cancel = context.WithDeadline(ctx, c.until)
	}
	c.raw.Begin(waits)
	return cancel
}

// end ends it. The instance has to end too if an error is returned.
func (c *connection) end(cancel context.CancelFunc) error {
	cancel()
	over := c.over
	if over == nil && c.ctx.Err() != nil {
		over = context.Cause(c.ctx)
	}
	c.running, c.ctx = false, nil
	c.raw.Session().SetContext(context.Background())
	return over
}

// reset makes the connection as a new one. It reports false if it cannot be
// used by others.
func (c *connection) reset() bool {
	if c.running { // a Go panic passed through SQLite
		return false
	}
	c.cached.resetAll(c.tls)
	if sqlite3.Xsqlite3_get_autocommit(c.tls, c.db) == 0 && c.plain("ROLLBACK") != nil {
		return false
	}
	session := c.raw.Session()
	session.Unpin()
	c.raw.Begin(context.Background())
	if c.dirty || c.attached {
		return false
	}
	for name := range c.pragmas {
		if c.plain("PRAGMA "+name+"="+resettable[name]) != nil {
			return false
		}
	}
	clear(c.pragmas)
	session.SetBusyTimeout(c.o.BusyTimeout)
	sqlite3.Xsqlite3_set_last_insert_rowid(c.tls, c.db, 0)
	c.raw.Resolve(nil)
	return true
}

// close closes the connection; a transaction is rolled back.
func (c *connection) close() error {
	connections.Delete(c.id)
	if c.running {
		// SQLite is in the middle of something that a Go panic ended, so it
		// cannot be called. Its locks must not stay.
		for _, m := range c.raw.Session().Mains() {
			m.Unlock(vfscore.LockNone)
		}
		return fmt.Errorf("close a connection to %s: it was abandoned within a statement", c.kind.database)
	}
	c.cached.finalizeAll(c.tls)
	sqlite3.Xsqlite3_free(c.tls, c.cell)
	return c.inner.Close()
}
