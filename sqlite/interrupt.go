package sqlite

import (
	"context"
	"sync"

	"modernc.org/libc"
	"modernc.org/sqlite/lib"
)

// An interrupter ends the Next of rows whose context has ended: modernc's
// driver watches the context only until there is a first row.
type interrupter struct {
	mu      sync.Mutex
	db      uintptr // of SQLite, 0 once it is closed
	running *rows   // whose Next is under way
}

// watch makes the end of ctx interrupt r. stop ends the watch.
func (i *interrupter) watch(ctx context.Context, r *rows) (stop func() bool) {
	if ctx.Done() == nil {
		return nil
	}
	return context.AfterFunc(ctx, func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		r.canceled = true
		// Another statement of the connection may be running, which must go on.
		if i.running == r && i.db != 0 {
			tls := libc.NewTLS() // that of the connection is in use
			defer tls.Close()
			sqlite3.Xsqlite3_interrupt(tls, i.db)
		}
	})
}

// enter begins a Next of r, unless r's context has ended.
func (i *interrupter) enter(r *rows) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if r.canceled {
		return r.ctx.Err()
	}
	i.running = r
	return nil
}

// leave ends it. It returns an error if r's context has ended meanwhile.
func (i *interrupter) leave(r *rows) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.running = nil
	if r.canceled {
		return r.ctx.Err()
	}
	return nil
}

// close makes sure that SQLite's connection is not touched again.
func (i *interrupter) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.db = 0
}
