package pagestore

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// BenchmarkCommit commits three small changes, as an insert of one row makes.
func BenchmarkCommit(b *testing.B) {
	for _, where := range []string{"memory", "disk"} {
		b.Run(where, func(b *testing.B) {
			o := Options{Logger: quiet}
			dir := "store"
			if where == "memory" {
				o.FS = vfs.NewMem()
			} else {
				dir = b.TempDir()
			}
			s, err := Open(dir, o)
			if err != nil {
				b.Fatal(err)
			}
			d := create(b, s, "shop", 4096)
			pages := make([][]byte, 3)
			for i := range pages {
				pages[i] = make([]byte, 4096)
			}
			n := uint64(0)
			for b.Loop() {
				n++
				tx := begin(b, d, TxOptions{})
				for i, p := range pages {
					binary.BigEndian.PutUint64(p[(n%500)*8:], n)
					tx.WritePage(uint32(i+1), p)
				}
				if _, err := tx.Commit(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
			closeStore(b, s)
		})
	}
}

// BenchmarkCold reads all pages of a database with an empty page cache, in
// order or at random, with reading ahead and without. Times are the best of
// all rounds.
func BenchmarkCold(b *testing.B) {
	const pages = 4000
	dir := b.TempDir()
	s, err := Open(dir, Options{Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	d := create(b, s, "shop", 4096)
	tx := begin(b, d, TxOptions{})
	for n := range uint32(pages) {
		if err := tx.WritePage(n+1, rowsPage(n)); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := tx.Commit(context.Background()); err != nil {
		b.Fatal(err)
	}
	if err := s.Compact(context.Background()); err != nil {
		b.Fatal(err)
	}
	closeStore(b, s)
	for _, how := range []string{"scan", "random"} {
		b.Run(how, func(b *testing.B) {
			best := map[bool]time.Duration{false: 1 << 62, true: 1 << 62}
			for i := range 2 * b.N { // in turn, as other load comes and goes
				off := i%2 == 0
				best[off] = min(best[off], readCold(b, dir, how, pages, off))
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(best[true].Nanoseconds())/pages, "off-ns/page")
			b.ReportMetric(float64(best[false].Nanoseconds())/pages, "on-ns/page")
			b.ReportMetric(float64(best[false])/float64(best[true]), "on/off")
		})
	}
}

// readCold reads as many pages of the store's database as it has.
func readCold(b *testing.B, dir, how string, pages uint32, off bool) time.Duration {
	s, err := Open(dir, Options{Logger: quiet, noReadAhead: off})
	if err != nil {
		b.Fatal(err)
	}
	defer closeStore(b, s)
	d, err := s.Database("shop")
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	buf := make([]byte, 4096)
	start := time.Now()
	sn := snapshot(b, d, 1)
	defer sn.Close()
	for i := range pages {
		n := i + 1
		if how == "random" {
			n = 1 + rng.Uint32N(pages)
		}
		if err := sn.ReadPage(n, buf); err != nil {
			b.Fatal(err)
		}
		for end := time.Now().Add(5 * time.Microsecond); time.Now().Before(end); { // what SQLite does with it
		}
	}
	return time.Since(start)
}

// rowsPage looks like a page of a table: numbers, words, hexadecimal noise.
func rowsPage(n uint32) []byte {
	rng := rand.New(rand.NewPCG(uint64(n), 3))
	p := []byte("\x0d\x00\x00\x00")
	for i := 0; len(p) < 4096-120; i++ {
		p = binary.BigEndian.AppendUint32(p, n*30+uint32(i))
		p = fmt.Appendf(p, "row %d %x of the %s", i, rng.Uint64(), strings.Repeat("table ", 1+rng.IntN(8)))
	}
	return append(p, make([]byte, 4096-len(p))...)
}
