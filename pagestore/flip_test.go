package pagestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestFlippedByte changes single bytes all over a store's files. Each flip is
// harmless, or reported when the store is opened, read or verified; it never
// gives other content, nor an older head.
func TestFlippedByte(t *testing.T) {
	src := filepath.Join(t.TempDir(), "store")
	// Pebble tries all bits of a damaged block to tell which one was flipped:
	// small blocks spare the time.
	s, err := Open(src, Options{Logger: quiet, MemTable: 64 << 10, blockSize: 1 << 10})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 5))
	want := map[string]map[Version][][]byte{}
	for i := range 3 {
		name := fmt.Sprintf("db%d", i)
		d, err := s.Create(name, CreateOptions{PageSize: 512})
		if err != nil {
			t.Fatal(err)
		}
		want[name] = map[Version][][]byte{}
		pages := make([][]byte, 60)
		for v := range 40 {
			tx, err := d.Begin(TxOptions{})
			if err != nil {
				t.Fatal(err)
			}
			next := make([][]byte, len(pages))
			copy(next, pages)
			for n := range next {
				if v > 0 && rng.IntN(10) > 0 {
					continue
				}
				p := make([]byte, 512)
				content(p, uint32(n+1), rng.Uint64()|1)
				next[n] = p
				tx.WritePage(uint32(n+1), p)
			}
			c, err := tx.Commit(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			pages = next
			want[name][c.Version] = pages
		}
	}
	if err := s.Close(); err != nil { // leaves the newest commits in the log
		t.Fatal(err)
	}
	var files []string
	var sizes []int64
	total := int64(0)
	filepath.Walk(src, func(path string, i os.FileInfo, err error) error {
		if err == nil && i.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if size := int64(len(bytes.TrimRight(b, "\x00"))); size > 0 { // zeros are written ahead of the log
				files, sizes, total = append(files, path), append(sizes, size), total+size
			}
		}
		return nil
	})
	flips := 40
	if *long {
		flips = 5000
	} else if testing.Short() {
		flips = 12
	}
	harmless, kinds := 0, map[string]int{}
	for flip := range flips {
		f := flip % len(files) // every file gets its share, however small
		at := rng.Int64N(sizes[f])
		dir := filepath.Join(t.TempDir(), "store")
		if err := os.CopyFS(dir, os.DirFS(src)); err != nil {
			t.Fatal(err)
		}
		rel, _ := filepath.Rel(src, files[f])
		b, err := os.ReadFile(filepath.Join(dir, rel))
		if err != nil {
			t.Fatal(err)
		}
		b[at] ^= 1 << rng.IntN(8)
		if err := os.WriteFile(filepath.Join(dir, rel), b, 0o666); err != nil {
			t.Fatal(err)
		}
		how := flipped(t, dir, want)
		if how == "" {
			harmless++
			how = "harmless"
		}
		if how == "wrong" {
			t.Errorf("byte %d of %s flipped: wrong content, and nothing said so", at, rel)
		}
		kinds[filepath.Ext(rel)+" "+how]++
		os.RemoveAll(dir)
	}
	t.Logf("%d flips in %d files: %v", flips, len(files), kinds)
	if harmless == flips {
		t.Error("no flip was noticed: the test tests nothing")
	}
}

func flipped(t *testing.T, dir string, want map[string]map[Version][][]byte) string {
	s, err := Open(dir, Options{Logger: quiet})
	if err != nil {
		return "open"
	}
	defer s.Close()
	how, wrong := "", false
	for name, versions := range want {
		d, err := s.Database(name)
		if errors.Is(err, ErrUnknownDatabase) {
			return "wrong" // gone, and nothing said so
		}
		if err != nil {
			return "read"
		}
		found, err := d.Verify(context.Background(), nil)
		if err != nil || len(found) > 0 {
			how = "verify"
		}
		if d.Head().Version != Version(len(versions)) {
			wrong = true
		}
		buf := make([]byte, 512)
	versions:
		for v, pages := range versions {
			sn, err := d.Snapshot(v)
			if err != nil {
				if how == "" {
					how = "read"
				}
				continue
			}
			for i, p := range pages {
				if err := sn.ReadPage(uint32(i+1), buf); err != nil {
					if how == "" {
						how = "read"
					}
					sn.Close()
					break versions // Pebble takes long to analyse each damaged block that it meets
				} else if string(buf) != string(p) {
					return "wrong" // even if verify tells: a read gave other content
				}
			}
			sn.Close()
		}
	}
	if wrong && how == "" {
		return "wrong"
	}
	return how
}
