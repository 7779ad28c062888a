package pagestore

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestConflictPastTrim commits an optimistic transaction whose snapshot is so
// old that the versions after it were trimmed meanwhile.
func TestConflictPastTrim(t *testing.T) {
	s := openTest(t, vfs.NewMem(), Options{})
	defer closeStore(t, s)
	d := create(t, s, "shop", 512)
	put(t, d, 1, 1, 2, 3, 4)
	free, taken := begin(t, d, TxOptions{}), begin(t, d, TxOptions{})
	defer free.Rollback()
	defer taken.Rollback()
	for i := range uint64(300) {
		put(t, d, 10+i, 2)
		if i == 5 {
			put(t, d, 10+i, 3)
		}
	}
	if _, err := d.Trim(context.Background(), TrimOptions{Before: d.Head().Version}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 512)
	content(buf, 3, 1000)
	taken.WritePage(3, buf)
	var conflict *ConflictError
	if _, err := taken.Commit(context.Background()); !errors.As(err, &conflict) || len(conflict.Pages) != 1 || conflict.Pages[0] != 3 {
		t.Errorf("page 3 was changed by a version trimmed since: got %v", err)
	}
	content(buf, 1, 1000)
	free.WritePage(1, buf)
	if _, err := free.Commit(context.Background()); err != nil {
		t.Error(err)
	}
	wantSound(t, d)
}

// TestConflictOfSizes has one transaction cut the database and let it grow
// again while another lets it grow: neither order gives both.
func TestConflictOfSizes(t *testing.T) {
	s := openTest(t, vfs.NewMem(), Options{})
	defer closeStore(t, s)
	d := create(t, s, "shop", 512)
	put(t, d, 1, 1, 2, 3, 4)
	tx := begin(t, d, TxOptions{})
	defer tx.Rollback()
	tx.Truncate(2)
	tx.Truncate(4)
	put(t, d, 2, 5, 6)
	if c, err := tx.Commit(context.Background()); !errors.Is(err, ErrConflict) {
		t.Fatalf("got %+v, %v, want a conflict", c, err)
	}
}

// TestWriteSkew has two transactions that each read what the other writes: one
// is refused.
func TestWriteSkew(t *testing.T) {
	s := openTest(t, vfs.NewMem(), Options{})
	defer closeStore(t, s)
	a, b := create(t, s, "a", 512), create(t, s, "b", 512)
	put(t, a, 1, 1, 2)
	put(t, b, 1, 1)
	buf := make([]byte, 512)
	for _, other := range []*Database{a, b} { // within one database, and over two
		x, y := begin(t, a, TxOptions{}), begin(t, a, TxOptions{})
		xo, yo := begin(t, other, TxOptions{}), begin(t, other, TxOptions{})
		txs := [][]*Tx{{x, xo}, {y, yo}}
		if other == a {
			xo.Rollback()
			yo.Rollback()
			xo, yo = x, y
			txs = [][]*Tx{{x}, {y}}
		}
		write := uint32(2)
		if other == b {
			write = 1
		}
		if err := errors.Join(x.ReadPage(1, buf), yo.ReadPage(write, buf)); err != nil {
			t.Fatal(err)
		}
		xo.WritePage(write, make([]byte, 512))
		content(buf, 1, 77)
		y.WritePage(1, buf)
		if _, err := s.Commit(context.Background(), txs[0]...); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Commit(context.Background(), txs[1]...); !errors.Is(err, ErrConflict) {
			t.Fatalf("got %v, want a conflict", err)
		}
		for _, tx := range txs[1] {
			tx.Rollback()
		}
		put(t, b, 3, 1)
	}
}

// TestBank moves money between accounts, each a page, from many goroutines,
// optimistically and with the lock, within and over databases. The sum stays.
func TestBank(t *testing.T) {
	const accounts, start = 8, 1000
	s := openTest(t, vfs.NewMem(), Options{TrimInterval: 5 * time.Millisecond})
	defer closeStore(t, s)
	dbs := []*Database{create(t, s, "a", 512), create(t, s, "b", 512)}
	balance := func(p []byte) uint64 { return binary.LittleEndian.Uint64(p) }
	page := func(n uint64) []byte { return binary.LittleEndian.AppendUint64(make([]byte, 0, 512), n)[:512] }
	for _, d := range dbs {
		if err := d.SetRetention(Retention{Count: 3}); err != nil {
			t.Fatal(err)
		}
		tx := begin(t, d, TxOptions{})
		for n := range uint32(accounts) {
			tx.WritePage(n+1, page(start))
		}
		if _, err := tx.Commit(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	move := func(rng *rand.Rand) error {
		i, j := rng.IntN(2), rng.IntN(2)
		x := begin(t, dbs[i], TxOptions{})
		defer x.Rollback()
		y, txs := x, []*Tx{x}
		if i != j {
			y = begin(t, dbs[j], TxOptions{})
			defer y.Rollback()
			txs = append(txs, y)
		}
		from, to := 1+rng.Uint32N(accounts), 1+rng.Uint32N(accounts)
		if i == j && from == to {
			return nil
		}
		p, q := make([]byte, 512), make([]byte, 512)
		if err := errors.Join(x.ReadPage(from, p), y.ReadPage(to, q)); err != nil {
			return err
		}
		sum := min(balance(p), rng.Uint64N(100))
		if err := errors.Join(x.WritePage(from, page(balance(p)-sum)), y.WritePage(to, page(balance(q)+sum))); err != nil {
			return err
		}
		_, err := s.Commit(context.Background(), txs...)
		return err
	}
	var wg sync.WaitGroup
	conflicts, moved := make([]int, 16), make([]int, 16)
	for w := range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			rng := rand.New(rand.NewPCG(uint64(w), 4))
			for range 40 {
				switch err := move(rng); {
				case errors.Is(err, ErrConflict):
					conflicts[w]++
				case err != nil:
					t.Error(err)
					return
				default:
					moved[w]++
				}
			}
		}()
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	buf := make([]byte, 512)
	for looks, last := 0, false; !last || looks == 0; looks++ { // both databases at one moment, while money moves
		select {
		case <-done:
			last = true
		default:
		}
		sns, err := s.Snapshots(Ref{Database: "a"}, Ref{Database: "b"})
		if err != nil {
			t.Fatal(err)
		}
		sum := uint64(0)
		for _, sn := range sns {
			for n := range uint32(accounts) {
				if err := sn.ReadPage(n+1, buf); err != nil {
					t.Fatal(err)
				}
				sum += balance(buf)
			}
			sn.Close()
		}
		if sum != 2*accounts*start {
			t.Fatalf("%s and %s hold %d together, want %d", sns[0], sns[1], sum, 2*accounts*start)
		}
	}
	total, refused := 0, 0
	for w := range 16 {
		total, refused = total+moved[w], refused+conflicts[w]
	}
	if total == 0 || refused == 0 {
		t.Errorf("%d transfers, %d refused: the test tests nothing", total, refused)
	}
	for _, d := range dbs {
		wantSound(t, d)
	}
}
