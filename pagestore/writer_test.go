package pagestore

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// queued waits until n wait for the lock.
func queued(d *Database, n int) {
	for {
		d.writer.mu.Lock()
		k := len(d.writer.waiting)
		d.writer.mu.Unlock()
		if k == n {
			return
		}
		time.Sleep(50 * time.Microsecond)
	}
}

// TestWriterOrder queues writers, some of which give up: the others get the
// lock in the order they came.
func TestWriterOrder(t *testing.T) {
	s := openTest(t, vfs.NewMem(), Options{})
	defer closeStore(t, s)
	d := create(t, s, "shop", 512)
	first, err := d.Writer(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.TryWriter(); !errors.Is(err, ErrBusy) {
		t.Fatal(err)
	}
	got := make(chan int)
	var wg sync.WaitGroup
	cancels := map[int]context.CancelFunc{}
	for i := range 20 {
		ctx, cancel := context.WithCancel(context.Background())
		cancels[i] = cancel
		wg.Add(1)
		go func() {
			defer wg.Done()
			w, err := d.Writer(ctx)
			if i%3 == 1 {
				if !errors.Is(err, ErrBusy) || !errors.Is(err, context.Canceled) {
					t.Errorf("writer %d gave up: got %v", i, err)
				}
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			got <- i
			w.Close()
			w.Close() // does nothing
		}()
		queued(d, i+1)
	}
	left := 20
	for i := 1; i < 20; i += 3 {
		cancels[i]()
		left--
		queued(d, left)
	}
	first.Close()
	for i := range 20 {
		if i%3 == 1 {
			continue
		}
		if k := <-got; k != i {
			t.Fatalf("writer %d came before %d", k, i)
		}
	}
	wg.Wait()
	w, err := d.TryWriter()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err == nil {
		t.Fatal("closed with the writer lock held")
	}
	w.Close()
	for _, cancel := range cancels {
		cancel()
	}
}

// TestWriterHandover gives up at the very moment that the lock is handed over:
// it is never lost and never held twice.
func TestWriterHandover(t *testing.T) {
	s := openTest(t, vfs.NewMem(), Options{})
	defer closeStore(t, s)
	d := create(t, s, "shop", 512)
	var holders, taken, gaveUp atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			rng := rand.New(rand.NewPCG(uint64(i), 2))
			for range 300 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rng.IntN(60))*time.Microsecond)
				w, err := d.Writer(ctx)
				cancel()
				if err != nil {
					gaveUp.Add(1)
					continue
				}
				taken.Add(1)
				if holders.Add(1) != 1 {
					t.Error("two hold the lock")
				}
				time.Sleep(time.Duration(rng.IntN(20)) * time.Microsecond)
				holders.Add(-1)
				w.Close()
			}
		}()
	}
	wg.Wait()
	if w, err := d.TryWriter(); err != nil {
		t.Errorf("the lock was lost: %v", err)
	} else {
		w.Close()
	}
	if taken.Load() == 0 || gaveUp.Load() == 0 {
		t.Errorf("%d taken, %d gave up: the test tests nothing", taken.Load(), gaveUp.Load())
	}
}

// TestWriterExcludes commits with and without the lock: who holds it never
// conflicts.
func TestWriterExcludes(t *testing.T) {
	s := openTest(t, vfs.NewMem(), Options{})
	defer closeStore(t, s)
	d := create(t, s, "shop", 512)
	put(t, d, 1, 1)
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 50 {
				o := TxOptions{}
				if i%2 == 0 {
					w, err := d.Writer(context.Background())
					if err != nil {
						t.Error(err)
						return
					}
					o.Writer = w
				}
				tx := begin(t, d, o)
				p := make([]byte, 512)
				if err := tx.ReadPage(1, p); err != nil {
					t.Error(err)
				}
				p[0]++
				p[i+1]++
				tx.WritePage(1, p)
				if _, err := tx.Commit(context.Background()); err != nil && (o.Writer != nil || !errors.Is(err, ErrConflict)) {
					t.Errorf("with the lock %v: %v", o.Writer != nil, err)
				}
				tx.Rollback()
				if o.Writer != nil {
					o.Writer.Close()
				}
			}
		}()
	}
	wg.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	w, err := d.TryWriter()
	if err != nil {
		t.Fatal(err)
	}
	tx := begin(t, d, TxOptions{})
	defer tx.Rollback()
	tx.WritePage(1, make([]byte, 512))
	if _, err := tx.Commit(ctx); !errors.Is(err, ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an optimistic commit while the lock is held: %v", err)
	}
	w.Close()
	if _, err := tx.Commit(context.Background()); err != nil {
		t.Error(err)
	}
}
