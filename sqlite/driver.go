package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite/vfscore"
	modernc "modernc.org/sqlite"
)

func init() { sql.Register("hako", Driver{}) }

// Driver is the database/sql driver "hako".
type Driver struct{}

// Open opens one connection. Its store stays open as long as it does.
func (d Driver) Open(dsn string) (driver.Conn, error) {
	c, err := d.OpenConnector(dsn)
	if err != nil {
		return nil, err
	}
	conn, err := c.Connect(context.Background())
	return conn, errors.Join(err, c.(*Connector).Close())
}

// OpenConnector reads the data source name; the store is opened by the first
// connection.
func (Driver) OpenConnector(dsn string) (driver.Connector, error) {
	cfg, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	if cfg.dir == "" {
		cfg.dir = os.Getenv("HAKO_STORE")
	}
	if cfg.dir == "" {
		return nil, fmt.Errorf("%w %q: no store: add ?store=DIR, or set HAKO_STORE", ErrDSN, dsn)
	}
	return &Connector{cfg: cfg}, nil
}

// defaultBusyTimeout is how long a writer waits for its turn.
const defaultBusyTimeout = 5 * time.Second

// A Connector opens connections to one snapshot. Close it after its
// connections; sql.DB.Close does.
type Connector struct {
	cfg  *config
	open *pagestore.Store // as handed in; nil: that of cfg.dir

	mu     sync.Mutex
	store  *openStore
	at     *pagestore.Snapshot // for snapshots that are not named by a number: all connections see the same
	closed bool
}

// NewConnector returns a Connector for a store that the caller has open and
// closes after the Connector. snapshot and params are the data source name
// without the store, as in "shop@-10m?locking=optimistic".
func NewConnector(s *pagestore.Store, snapshot string) (*Connector, error) {
	cfg, err := parseDSN(snapshot)
	if err != nil {
		return nil, err
	}
	if cfg.dir != "" {
		return nil, fmt.Errorf("%w %q: the store is given already: leave store= out", ErrDSN, snapshot)
	}
	return &Connector{cfg: cfg, open: s}, nil
}

// OpenDB is sql.OpenDB with NewConnector.
func OpenDB(s *pagestore.Store, snapshot string) (*sql.DB, error) {
	c, err := NewConnector(s, snapshot)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(c), nil
}

// Driver returns Driver{}.
func (c *Connector) Driver() driver.Driver { return Driver{} }

// Close lets go of the store.
func (c *Connector) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	if c.at != nil {
		c.at.Close()
	}
	if c.store == nil {
		return nil
	}
	return c.store.release()
}

// prepare opens the store and checks that the snapshot exists, because SQLite
// has only one word for all that can be wrong with it.
func (c *Connector) prepare() (name string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return "", fmt.Errorf("connect to %s: connector: %w", c.cfg.refText, pagestore.ErrClosed)
	}
	if c.store == nil {
		if c.store, err = acquireStore(c.open, c.cfg.dir, c.cfg.create && c.cfg.ref.Kind == pagestore.RefHead); err != nil {
			return "", err
		}
	}
	s := c.store.vfs.Store()
	if c.cfg.ref.Kind == pagestore.RefHead {
		_, err := s.Database(c.cfg.ref.Database)
		if c.cfg.create && errors.Is(err, pagestore.ErrUnknownDatabase) {
			err = nil
		}
		return c.cfg.ref.Database, err
	}
	if c.at == nil {
		if c.at, err = s.Snapshot(c.cfg.ref); err != nil {
			return "", err
		}
	}
	return c.at.String(), nil
}

// Connect opens a connection.
func (c *Connector) Connect(ctx context.Context) (driver.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	name, err := c.prepare()
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", c.cfg.refText, err)
	}
	session := c.store.vfs.NewSession(vfscore.SessionOptions{
		Optimistic:  c.cfg.locking == LockingOptimistic,
		BusyTimeout: defaultBusyTimeout,
	})
	link := newConnection(session)
	inner, err := connectModernc(ctx, c.cfg.driverDSN(c.store.name, name, link.id))
	if err != nil {
		link.drop()
		return nil, fmt.Errorf("connect to %s: %w", c.cfg.refText, enrich(session, err))
	}
	c.store.retain()
	session.ClearErr()
	return &conn{moderncConn: inner, session: session, link: link, store: c.store, interrupter: interrupter{db: link.db}}, nil
}

func connectModernc(ctx context.Context, dsn string) (moderncConn, error) {
	connector, err := modernc.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	c, err := connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	mc, ok := c.(moderncConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("connection of modernc.org/sqlite is a %T, which lacks methods", c)
	}
	return mc, nil
}
