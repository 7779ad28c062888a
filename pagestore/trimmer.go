package pagestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// A trimmer applies the databases' retention in the background. The Store owns
// it.
type trimmer struct {
	mu     sync.Mutex // held while a database is trimmed
	cancel context.CancelFunc
	done   chan struct{}
}

func (t *trimmer) start(s *Store, every time.Duration) {
	if every <= 0 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.cancel, t.done = cancel, make(chan struct{})
	go func() {
		defer close(t.done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := s.TrimAll(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("store: trim", "dir", s.dir, "error", err)
			}
		}
	}()
}

func (t *trimmer) stop() {
	if t.cancel == nil {
		return
	}
	t.cancel()
	<-t.done
	t.cancel = nil
}

// TrimAll applies every database's retention.
func (s *Store) TrimAll(ctx context.Context) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.done()
	var due []uint32
	err := s.eachName(func(_ string, id uint32) error {
		b, err := s.get(dbKey(keyDB, id))
		if errors.Is(err, pebble.ErrNotFound) { // deleted meanwhile
			return nil
		}
		if err != nil {
			return err
		}
		rec, err := decodeDB(id, b)
		if err != nil {
			return &DamageError{Detail: fmt.Sprintf("the record of database %d", id), Err: err}
		}
		if !rec.retain.All() || rec.swept < rec.horizon {
			due = append(due, id)
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	// Of deleted databases only what their branches share stays.
	it, err := s.newIter([]byte{keyDeleted}, []byte{keyDeleted + 1})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		if k := it.Key(); len(k) == 1+idLen {
			due = append(due, binary.BigEndian.Uint32(k[1:]))
		}
	}
	if err := errors.Join(wrapDamage(it.Error()), it.Close()); err != nil {
		return err
	}
	var failed []error // one damaged database must not keep the others from being trimmed
	for _, id := range due {
		if err := errors.Join(ctx.Err(), s.check()); err != nil {
			return err
		}
		if err := s.applyRetention(ctx, id); err != nil && !errors.Is(err, ErrDeleted) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// applyRetention trims one database as its retention says, or what a deleted
// one no longer shares. It may be gone by now.
func (s *Store) applyRetention(ctx context.Context, id uint32) error {
	d, err := s.load(id)
	if err != nil {
		if _, gone := s.get(dbKey(keyDB, id)); errors.Is(gone, pebble.ErrNotFound) {
			return nil
		}
		return err
	}
	d.mu.Lock()
	rec, waits := d.rec, d.held && !d.freed
	d.mu.Unlock()
	horizon, err := d.horizonFor(TrimOptions{Retain: rec.retain})
	if err != nil {
		return fmt.Errorf("trim %s: %w", d.displayName(), err)
	}
	if rec.deleted {
		horizon = d.head.Load().Version + 1
	}
	if horizon <= rec.horizon && (rec.swept >= rec.horizon || waits) {
		return nil
	}
	res, err := d.Trim(ctx, TrimOptions{Retain: rec.retain, NoCompact: true})
	if err != nil {
		return err
	}
	if res.Versions > 0 {
		s.log.Info("store: trimmed", "database", rec.name, "versions", res.Versions, "pages", res.Pages, "bytes", res.Bytes)
	}
	return nil
}
