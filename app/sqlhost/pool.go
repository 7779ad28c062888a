package sqlhost

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite"
)

// A Pool keeps connections to the databases of a store and lends them to
// instances. It is safe for concurrent use. It is to be closed after all
// [Databases] made of it, and before the store.
type Pool struct {
	store *pagestore.Store
	o     Options

	mu         sync.Mutex
	connectors map[kind]*sqlite.Connector
	idle       map[kind][]idleConn // the longest idle first
	closed     bool
}

// A kind is what must be equal for a connection to serve in another's stead.
// Which version it reads is chosen anew each time.
type kind struct {
	database   string
	readOnly   bool
	optimistic bool
	pinned     bool // to a version that was granted and cannot be left
}

type idleConn struct {
	c     *connection
	since time.Time
}

// NewPool returns a pool with no connection yet.
func NewPool(s *pagestore.Store, o Options) *Pool {
	return &Pool{store: s, o: o.withDefaults(), connectors: make(map[kind]*sqlite.Connector), idle: make(map[kind][]idleConn)}
}

// take returns a connection, a new one if none is idle.
func (p *Pool) take(ctx context.Context, k kind) (*connection, error) {
	db, err := p.store.Database(k.database)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, fmt.Errorf("take a connection to %s: pool: %w", k.database, pagestore.ErrClosed)
	}
	for list := p.idle[k]; len(list) > 0; list = p.idle[k] {
		c := list[len(list)-1].c
		p.idle[k] = list[:len(list)-1]
		if c.main.Database() == db {
			p.mu.Unlock()
			return c, nil
		}
		// Its database was deleted or renamed, and this is another one.
		if err := c.close(); err != nil {
			p.mu.Unlock()
			return nil, err
		}
	}
	connector := p.connectors[k]
	if connector == nil {
		params := "?"
		if k.readOnly {
			params += "mode=ro&"
		}
		if k.optimistic {
			params += "locking=optimistic"
		}
		var err error
		if connector, err = sqlite.NewConnector(p.store, k.database+params); err != nil {
			p.mu.Unlock()
			return nil, err
		}
		p.connectors[k] = connector
	}
	p.mu.Unlock()
	return connect(ctx, connector, k, p.o)
}

// give takes a connection back, in the state of a new one.
func (p *Pool) give(c *connection) error {
	now := time.Now()
	var old []*connection
	p.mu.Lock()
	switch {
	case p.closed || len(p.idle[c.kind]) >= p.o.Idle:
		old = append(old, c)
	default:
		p.idle[c.kind] = append(p.idle[c.kind], idleConn{c, now})
	}
	for k, list := range p.idle {
		n := 0
		for n < len(list) && now.Sub(list[n].since) > idleTime {
			old = append(old, list[n].c)
			n++
		}
		if n > 0 {
			p.idle[k] = append([]idleConn(nil), list[n:]...)
		}
	}
	p.mu.Unlock()
	return closeAll(old)
}

func closeAll(list []*connection) error {
	var errs []error
	for _, c := range list {
		errs = append(errs, c.close())
	}
	return errors.Join(errs...)
}

// Close closes the connections that nobody has; others are closed when they
// are given back.
func (p *Pool) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	var list []*connection
	for _, idle := range p.idle {
		for _, i := range idle {
			list = append(list, i.c)
		}
	}
	connectors := p.connectors
	p.idle, p.connectors = nil, nil
	p.mu.Unlock()
	err := closeAll(list)
	for _, c := range connectors {
		err = errors.Join(err, c.Close())
	}
	return err
}
