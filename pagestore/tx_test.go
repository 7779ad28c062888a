package pagestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestCancelStaging cancels a transaction while its pages are being staged:
// nothing of it remains.
func TestCancelStaging(t *testing.T) {
	fs := vfs.NewMem()
	s := openTest(t, fs, Options{SpillBytes: 64 << 10})
	d := create(t, s, "shop", 4096)
	put(t, d, 1, 1, 2, 3)
	tx := begin(t, d, TxOptions{})
	buf := make([]byte, 4096)
	rng := rand.New(rand.NewPCG(1, 1))
	for n := range uint32(3000) { // three batches
		for i := 0; i < len(buf); i += 8 {
			binary.LittleEndian.PutUint64(buf[i:], rng.Uint64())
		}
		if err := tx.WritePage(n+1, buf); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tx.Commit(&countedContext{Context: context.Background(), left: 2}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want it cancelled", err)
	}
	left := func(s *Store) int64 {
		n, err := s.count(dbKey(keyStaged, d.id), dbEnd(keyStaged, d.id))
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.count(dbKey(keyPage, d.id), dbEnd(keyPage, d.id))
		if err != nil {
			t.Fatal(err)
		}
		return n + p
	}
	if n := left(s); n != 3 {
		t.Errorf("%d records are left, want those of 3 pages", n)
	}
	if v := d.Head().Version; v != 1 {
		t.Errorf("the head is version %d", v)
	}
	c, err := tx.Commit(context.Background()) // it stays open
	if err != nil || c.Version != 2 || c.Changed != 3000 {
		t.Fatalf("%+v, %v", c, err)
	}
	wantSound(t, d)
	closeStore(t, s)
	s = openTest(t, fs, Options{})
	if d, err = s.Database("shop"); err != nil || d.Head().Version != 2 {
		t.Fatal(d.Head(), err)
	}
	wantSound(t, d)
	closeStore(t, s)
}

// A countedContext is cancelled after it was asked a number of times.
type countedContext struct {
	context.Context
	left int
}

func (c *countedContext) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestTruncateSpilled cuts off pages that have gone to the scratch file, and
// grows again over them.
func TestTruncateSpilled(t *testing.T) {
	s := openTest(t, vfs.NewMem(), Options{SpillBytes: 2048})
	defer closeStore(t, s)
	d := create(t, s, "shop", 512)
	tx := begin(t, d, TxOptions{})
	buf := make([]byte, 512)
	for round := range uint64(3) {
		for n := range uint32(20) {
			content(buf, n+1, round+5)
			if err := tx.WritePage(n+1, buf); err != nil {
				t.Fatal(err)
			}
		}
		tx.Truncate(4)
	}
	tx.Truncate(25)
	content(buf, 18, 99)
	tx.WritePage(18, buf)
	if size := tx.scratch.Size(); size > 40*512 {
		t.Errorf("the scratch file has grown to %d bytes for 20 pages", size)
	}
	for n := uint32(1); n <= 25; n++ {
		if err := tx.ReadPage(n, buf); err != nil {
			t.Fatal(err)
		}
		if want := map[bool]uint64{true: 7}[n <= 4]; n != 18 && seedOf(buf) != want {
			t.Fatalf("page %d is of seed %d in the transaction, want %d", n, seedOf(buf), want)
		}
	}
	if _, err := tx.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	sn := snapshot(t, d, 1)
	defer sn.Close()
	for n := uint32(1); n <= 25; n++ {
		wantSeed(t, sn, n, map[bool]uint64{true: 7}[n <= 4]+map[bool]uint64{true: 99}[n == 18])
	}
}

// TestForeign refuses what belongs to another store or is closed already.
func TestForeign(t *testing.T) {
	s, other := openTest(t, vfs.NewMem(), Options{}), openTest(t, vfs.NewMem(), Options{})
	defer closeStore(t, s)
	defer closeStore(t, other)
	d, o := create(t, s, "shop", 512), create(t, other, "shop", 512)
	put(t, d, 1, 1)
	put(t, o, 2, 1)
	tx := begin(t, o, TxOptions{})
	defer tx.Rollback()
	tx.WritePage(1, make([]byte, 512))
	if _, err := s.Commit(context.Background(), tx); err == nil {
		t.Error("committed a transaction of another store")
	}
	sn, err := o.HeadSnapshot()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Branch(sn, "theirs"); err == nil {
		t.Error("branched from a snapshot of another store")
	}
	head := snapshot(t, d, 1)
	if _, related, err := s.ChangedPages(head, sn); err != nil || related {
		t.Errorf("snapshots of two stores are related: %v", err)
	}
	sn.Close()
	head.Close()
	if _, err := s.Branch(head, "late"); !errors.Is(err, ErrClosed) {
		t.Errorf("branch from a closed snapshot: got %v", err)
	}
	w, err := d.TryWriter()
	if err != nil {
		t.Fatal(err)
	}
	mine := begin(t, d, TxOptions{Writer: w})
	defer mine.Rollback()
	mine.WritePage(1, make([]byte, 512))
	w.Close()
	if _, err := mine.Commit(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("commit with a writer lock given back: got %v", err)
	}
	if _, err := d.Begin(TxOptions{Writer: w}); !errors.Is(err, ErrClosed) {
		t.Errorf("begin with a writer lock given back: got %v", err)
	}
}

// TestLargeCommit commits 200 MB in bounded memory.
func TestLargeCommit(t *testing.T) {
	if !*long {
		t.Log("a short form: -long commits 200 MB")
	}
	bytes := 24 << 20
	if *long {
		bytes = 200 << 20
	}
	dir := filepath.Join(t.TempDir(), "store")
	s, err := Open(dir, Options{Logger: quiet, SpillBytes: 1 << 20, PageCache: 1 << 20, BlockCache: 1 << 20, MemTable: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	d := create(t, s, "shop", 4096)
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	peak, stop, stopped := uint64(0), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				runtime.ReadMemStats(&now)
				peak = max(peak, now.HeapInuse)
			}
		}
	}()
	tx := begin(t, d, TxOptions{})
	buf := make([]byte, 4096)
	rng := rand.New(rand.NewPCG(1, 1))
	pages := uint32(bytes / 4096)
	for n := range pages {
		for i := 0; i < len(buf); i += 8 {
			binary.LittleEndian.PutUint64(buf[i:], rng.Uint64())
		}
		if err := tx.WritePage(n+1, buf); err != nil {
			t.Fatal(err)
		}
	}
	c, err := tx.Commit(context.Background())
	if err != nil || c.Changed != pages {
		t.Fatalf("%+v, %v", c, err)
	}
	close(stop)
	<-stopped
	used := int64(peak) - int64(before.HeapInuse)
	t.Logf("%d MB took %d MB of memory", bytes>>20, used>>20)
	if *long && used > 100<<20 {
		t.Errorf("%d MB took %d MB of memory", bytes>>20, used>>20)
	}
	rng = rand.New(rand.NewPCG(1, 1))
	sn := snapshot(t, d, 1)
	defer sn.Close()
	for n := range pages {
		if err := sn.ReadPage(n+1, buf); err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(buf); i += 8 {
			if binary.LittleEndian.Uint64(buf[i:]) != rng.Uint64() {
				t.Fatalf("page %d is not what was written", n+1)
			}
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "tmp", "*")); len(left) > 0 {
		t.Errorf("left in the directory: %v", left)
	}
	if _, err := os.Stat(filepath.Join(dir, "owner")); err != nil {
		t.Error(err)
	}
}

// TestPageNumbers uses the largest page numbers: no arithmetic wraps round.
func TestPageNumbers(t *testing.T) {
	const top = 1<<32 - 1
	for _, seed := range []uint64{1, 2} {
		var p PageSet
		p.Add(top)
		p.Add(top - 1)
		p.Add(1)
		if seed == 2 {
			p.AddRange(top-5000, top)
		}
		var q PageSet
		if err := q.addRuns(appendRuns(nil, p.All())); err != nil || q.Len() != p.Len() || !q.Contains(top) {
			t.Fatalf("%d pages, %v", q.Len(), err)
		}
	}
	for _, id := range []uint32{1, 255, 256, top} {
		for _, page := range []uint32{1, 255, 256, top} {
			k := appendPageKey(nil, id, page, 7)
			if next := comparer.ImmediateSuccessor(nil, k[:pagePrefixLen]); comparer.Compare(k, next) >= 0 {
				t.Errorf("the prefix after page %d of %d comes before its records", page, id)
			}
			if comparer.Compare(k, dbEnd(keyPage, id)) >= 0 || comparer.Compare(k, dbKey(keyPage, id)) <= 0 {
				t.Errorf("page %d of %d lies outside its database", page, id)
			}
			if pageKeyPage(k) != page || pageKeyVersion(k) != 7 {
				t.Errorf("key of page %d of %d: %x", page, id, k)
			}
			older := appendPageKey(nil, id, page, 6)
			if comparer.Compare(k, older) >= 0 {
				t.Error("a newer version does not come first")
			}
		}
	}
	s := openTest(t, vfs.NewMem(), Options{})
	defer closeStore(t, s)
	d := create(t, s, "shop", 512)
	put(t, d, 1, 1)
	if _, err := d.Snapshot(1<<64 - 1); !errors.Is(err, ErrUnknownVersion) {
		t.Error(err)
	}
	if _, err := d.Trim(context.Background(), TrimOptions{Before: 1<<64 - 1}); !errors.Is(err, ErrUnknownVersion) {
		t.Error(err)
	}
	if r, err := d.Trim(context.Background(), TrimOptions{Retain: Retention{Count: 1<<64 - 1}}); err != nil || r.Versions != 0 {
		t.Error(r, err)
	}
	if r, err := d.Trim(context.Background(), TrimOptions{Retain: Retention{Age: 1<<63 - 1}}); err != nil || r.Versions != 0 {
		t.Error(r, err)
	}
	sn := snapshot(t, d, 1)
	defer sn.Close()
	buf := make([]byte, 512)
	for _, n := range []uint32{0, 2, top} {
		if err := sn.ReadPage(n, buf); err == nil {
			t.Errorf("read page %d of 1", n)
		}
	}
	if err := sn.ReadPage(1, make([]byte, 1024)); err == nil {
		t.Error("read a page of 512 bytes into 1024")
	}
}

// TestPageSizes changes the page size back and forth, shrinks, grows and
// leaves holes; every version stays what it was.
func TestPageSizes(t *testing.T) {
	fs := vfs.NewMem()
	s := openTest(t, fs, Options{})
	d := create(t, s, "shop", 4096)
	var versions [][][]byte
	rng := rand.New(rand.NewPCG(3, 3))
	step := func(size int, change func(tx *Tx, pages [][]byte) [][]byte) {
		t.Helper()
		tx := begin(t, d, TxOptions{PageSize: size})
		var old [][]byte
		if n := len(versions); n > 0 && tx.fromBase(1) {
			old = versions[n-1]
		}
		pages := change(tx, append([][]byte(nil), old...))
		if _, err := tx.Commit(context.Background()); err != nil {
			t.Fatal(err)
		}
		versions = append(versions, pages)
	}
	write := func(from, to int) func(*Tx, [][]byte) [][]byte {
		return func(tx *Tx, pages [][]byte) [][]byte {
			for n := from; n <= to; n++ {
				p := make([]byte, tx.PageSize())
				content(p, uint32(n), rng.Uint64()|1)
				tx.WritePage(uint32(n), p)
				for len(pages) < n {
					pages = append(pages, make([]byte, tx.PageSize()))
				}
				pages[n-1] = p
			}
			return pages
		}
	}
	cut := func(n int) func(*Tx, [][]byte) [][]byte {
		return func(tx *Tx, pages [][]byte) [][]byte { tx.Truncate(uint32(n)); return pages[:n] }
	}
	step(4096, write(1, 9))
	step(512, write(1, 40))
	step(512, write(5, 6))
	step(4096, write(1, 3))
	step(4096, write(9, 9)) // holes 4 to 8, where 9 pages of this size once were
	step(4096, cut(2))
	step(4096, write(30, 30))
	step(65536, write(2, 2)) // page 1 a hole
	step(512, cut(0))
	step(512, write(40, 40))
	check := func() {
		t.Helper()
		for i, pages := range versions {
			v := Version(i + 1)
			sn, err := d.Snapshot(v)
			if errors.Is(err, ErrTrimmed) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if int(sn.PageCount()) != len(pages) {
				t.Fatalf("%s has %d pages, want %d", sn, sn.PageCount(), len(pages))
			}
			buf := make([]byte, sn.PageSize())
			for n, p := range pages {
				if err := sn.ReadPage(uint32(n+1), buf); err != nil || string(buf) != string(p) {
					t.Fatalf("%s page %d differs, %v", sn, n+1, err)
				}
			}
			sn.Close()
		}
		wantSound(t, d)
	}
	check()
	for _, v := range []Version{2, 6} {
		if err := d.Tag(v, fmt.Sprintf("v%d", v)); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range []Version{4, 8, 10} {
		if _, err := d.Trim(context.Background(), TrimOptions{Before: v}); err != nil {
			t.Fatal(err)
		}
		check()
	}
	closeStore(t, s)
	s = openTest(t, fs, Options{})
	var err error
	if d, err = s.Database("shop"); err != nil {
		t.Fatal(err)
	}
	check()
	closeStore(t, s)
}
