package pagestore

import (
	"context"
	"encoding/binary"
	"testing"

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
