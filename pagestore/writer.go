package pagestore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// A Writer is a database's writer lock. While it is held, only transactions
// that carry it commit. Those who wait get it in the order they came.
type Writer struct {
	d      *Database
	closed atomic.Bool
}

type writerQueue struct {
	mu      sync.Mutex
	held    bool
	waiting []chan struct{} // closed when the lock is handed over
}

func (q *writerQueue) isHeld() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.held
}

func (q *writerQueue) tryLock() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held {
		return false
	}
	q.held = true
	return true
}

func (q *writerQueue) lock(ctx context.Context) error {
	q.mu.Lock()
	if !q.held {
		q.held = true
		q.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	q.waiting = append(q.waiting, turn)
	q.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	for i, w := range q.waiting {
		if w == turn {
			q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
			q.mu.Unlock()
			return ctx.Err()
		}
	}
	q.mu.Unlock() // it was handed over at the same moment: pass it on
	q.unlock()
	return ctx.Err()
}

func (q *writerQueue) unlock() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.held = false
		return
	}
	close(q.waiting[0])
	q.waiting = q.waiting[1:]
}

// Writer waits for the writer lock. If ctx ends first the error is ErrBusy and
// ctx's.
func (d *Database) Writer(ctx context.Context) (*Writer, error) {
	if err := d.usable(); err != nil {
		return nil, err
	}
	if err := d.writer.lock(ctx); err != nil {
		return nil, fmt.Errorf("wait to write to %s: %w: %w", d.Name(), ErrBusy, err)
	}
	if err := d.usable(); err != nil {
		d.writer.unlock()
		return nil, err
	}
	return &Writer{d: d}, nil
}

// TryWriter takes the writer lock if nobody has it; else it fails with
// ErrBusy.
func (d *Database) TryWriter() (*Writer, error) {
	if err := d.usable(); err != nil {
		return nil, err
	}
	if !d.writer.tryLock() {
		return nil, fmt.Errorf("write to %s: %w", d.Name(), ErrBusy)
	}
	if err := d.usable(); err != nil {
		d.writer.unlock()
		return nil, err
	}
	return &Writer{d: d}, nil
}

// Close hands the lock to the next in the queue.
func (w *Writer) Close() error {
	if !w.closed.Swap(true) {
		w.d.writer.unlock()
	}
	return nil
}

// usable returns why the database cannot be written, if it cannot.
func (d *Database) usable() error {
	if err := d.s.check(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rec.deleted {
		return fmt.Errorf("%s: %w", d.rec.name, ErrDeleted)
	}
	return nil
}
