package pagestore

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// A tollFS fails syncs of write-ahead logs when told to, can hold table files
// back, lies about the disk's free space, and counts the changes made.
type tollFS struct {
	vfs.FS
	fail    atomic.Bool
	hold    atomic.Pointer[chan struct{}] // writes of tables wait for it
	held    atomic.Int64
	changes atomic.Int64
	avail   atomic.Int64 // 0: ask the file system below
}

func (f *tollFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f.changes.Add(1)
	file, err := f.FS.Create(name, c)
	if err != nil {
		return nil, err
	}
	return &tollFile{file, f, name}, nil
}

func (f *tollFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f.changes.Add(1)
	file, err := f.FS.ReuseForWrite(old, name, c)
	if err != nil {
		return nil, err
	}
	return &tollFile{file, f, name}, nil
}

func (f *tollFS) Remove(name string) error { f.changes.Add(1); return f.FS.Remove(name) }

func (f *tollFS) Rename(old, name string) error { f.changes.Add(1); return f.FS.Rename(old, name) }

func (f *tollFS) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	if n := f.avail.Load(); n != 0 {
		return vfs.DiskUsage{AvailBytes: uint64(n), UsedBytes: 10 << 30, TotalBytes: 10<<30 + uint64(n)}, nil
	}
	return f.FS.GetDiskUsage(path)
}

type tollFile struct {
	vfs.File
	fs   *tollFS
	name string
}

func (f *tollFile) pay() error {
	if strings.HasSuffix(f.name, ".sst") {
		if hold := f.fs.hold.Load(); hold != nil {
			f.fs.held.Add(1)
			<-*hold
		}
	}
	f.fs.changes.Add(1)
	if f.fs.fail.Load() && strings.HasSuffix(f.name, ".log") {
		return errors.New("the disk has gone")
	}
	return nil
}

func (f *tollFile) Write(p []byte) (int, error) {
	if err := f.pay(); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

func (f *tollFile) Sync() error { return errors.Join(f.pay(), f.File.Sync()) }

func (f *tollFile) SyncData() error { return errors.Join(f.pay(), f.File.SyncData()) }

func (f *tollFile) SyncTo(n int64) (bool, error) {
	if err := f.pay(); err != nil {
		return false, err
	}
	return f.File.SyncTo(n)
}

// TestStopped fails a log write while a flush is under way, closes the store,
// and opens it again in the same process. The one that was stopped must not
// touch the directory any more, and everything acknowledged is there.
func TestStopped(t *testing.T) {
	for _, where := range []string{"memory", "disk"} {
		t.Run(where, func(t *testing.T) {
			dir, base := "store", vfs.FS(vfs.NewMem())
			if where == "disk" {
				dir, base = filepath.Join(t.TempDir(), "store"), vfs.Default
			}
			fs := &tollFS{FS: base}
			s, err := Open(dir, Options{FS: fs, Logger: quiet, MemTable: 64 << 10, PageCache: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			d := create(t, s, "shop", 4096)
			acked := put(t, d, 1, 1, 2, 3).Version
			sn := snapshot(t, d, acked)
			hold := make(chan struct{})
			fs.hold.Store(&hold)
			noise := make([]byte, 4096)
			rng := rand.New(rand.NewPCG(1, 1))
			for i := uint32(0); fs.held.Load() == 0; i++ { // until a flush begins
				for j := range noise {
					noise[j] = byte(rng.Uint32())
				}
				tx := begin(t, d, TxOptions{})
				tx.WritePage(10+i, noise)
				c, err := tx.Commit(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				acked = c.Version
			}
			fs.fail.Store(true)
			tx := begin(t, d, TxOptions{})
			tx.WritePage(1, noise)
			_, err = tx.Commit(context.Background())
			var f *fatalError
			if !errors.As(err, &f) {
				t.Fatalf("got %v, want that the store has stopped", err)
			}
			if _, err := d.HeadSnapshot(); !errors.As(err, &f) {
				t.Errorf("after that: %v", err)
			}
			fs.fail.Store(false)
			released := make(chan struct{})
			go func() { time.Sleep(50 * time.Millisecond); fs.hold.Store(nil); close(hold); close(released) }()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			<-released
			before := fs.changes.Load()
			again, err := Open(dir, Options{FS: base, Logger: quiet})
			if err != nil {
				t.Fatalf("open again: %v", err)
			}
			time.Sleep(100 * time.Millisecond)
			if n := fs.changes.Load() - before; n > 0 {
				t.Errorf("the store that was stopped made %d more changes", n)
			}
			e, err := again.Database("shop")
			if err != nil {
				t.Fatal(err)
			}
			if head := e.Head().Version; head < acked {
				t.Errorf("the head is %d, acknowledged was %d", head, acked)
			}
			wantSound(t, e)
			sn2 := snapshot(t, e, 1)
			wantSeed(t, sn2, 2, 1)
			sn2.Close()
			sn.Close()
			tx.Rollback()
			closeStore(t, again)
		})
	}
}

// TestDiskFull says that little space is left: commits are refused, reads and
// what gives space back go on.
func TestDiskFull(t *testing.T) {
	fs := &tollFS{FS: vfs.NewMem()}
	fs.avail.Store(1 << 40)
	s := openTest(t, fs, Options{})
	defer closeStore(t, s)
	d := create(t, s, "shop", 512)
	for i := range uint64(20) {
		put(t, d, i+1, 1, 2)
	}
	put(t, create(t, s, "other", 512), 1, 1)
	if err := d.Tag(3, "early"); err != nil {
		t.Fatal(err)
	}
	fs.avail.Store(40 << 20)
	time.Sleep(110 * time.Millisecond) // the answer is kept for 100 ms
	tx := begin(t, d, TxOptions{})
	tx.WritePage(1, make([]byte, 512))
	if _, err := tx.Commit(context.Background()); !errors.Is(err, ErrDiskFull) || !strings.Contains(err.Error(), "free some space") {
		t.Fatalf("got %v, want that the disk is full", err)
	}
	if _, err := s.Create("more", CreateOptions{}); !errors.Is(err, ErrDiskFull) {
		t.Errorf("create: %v", err)
	}
	sn := snapshot(t, d, 20)
	wantSeed(t, sn, 2, 20)
	sn.Close()
	if err := d.Untag("early"); err != nil {
		t.Errorf("untag: %v", err)
	}
	if r, err := d.Trim(context.Background(), TrimOptions{Before: 20}); err != nil || r.Versions == 0 {
		t.Errorf("trim: %+v, %v", r, err)
	}
	if err := s.Delete("other"); err != nil {
		t.Errorf("delete: %v", err)
	}
	fs.avail.Store(1 << 40)
	time.Sleep(110 * time.Millisecond)
	if c, err := tx.Commit(context.Background()); err != nil || c.Version != 21 { // it stayed open
		t.Errorf("%+v, %v", c, err)
	}
	wantSound(t, d)
	if !isDiskFull(syscall.ENOSPC) || !errors.Is(wrapDiskFull(&os.PathError{Err: syscall.ENOSPC}), ErrDiskFull) {
		t.Error("ENOSPC is not recognised")
	}
}

// TestOpenOnFullDisk opens a store that was killed on a disk that gets full at
// each of the changes that Open makes. It can be read then, writes say that the
// disk is full, and nothing is lost when there is space again.
func TestOpenOnFullDisk(t *testing.T) {
	base, s, _ := tailStore(t, 32<<10, 40)
	d, _ := s.Database("shop")
	if err := d.Tag(3, "early"); err != nil {
		t.Fatal(err)
	}
	head := d.Head()
	killed := crash(base, false)
	closeStore(t, s)
	readable, opened := 0, false
	for left := 0; !opened; left++ {
		var n atomic.Int64
		disk := crash(killed, false)
		full := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
			switch op.Kind {
			case errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileWriteAt, errorfs.OpReuseForWrite, errorfs.OpFilePreallocate, errorfs.OpMkdirAll, errorfs.OpLink, errorfs.OpRename:
				if n.Add(1) > int64(left) {
					return &fs.PathError{Op: "write", Path: op.Path, Err: syscall.ENOSPC}
				}
			}
			return nil
		}))
		var log strings.Builder
		s, err := Open("store", Options{FS: full, Logger: logTo(&log), PageCache: 1 << 20})
		if err != nil {
			t.Fatalf("after %d changes: %v", left, err)
		}
		if s.ReadOnly() == nil {
			opened = s.check() == nil
			if s.Close(); !opened {
				left += 5 // it got so far as to stop at its first write
			}
			continue
		}
		readable++
		if !errors.Is(s.ReadOnly(), ErrDiskFull) || !strings.Contains(log.String(), "read only") {
			t.Fatalf("after %d changes: %v; %s", left, s.ReadOnly(), log.String())
		}
		d, err := s.Database("shop")
		if err != nil {
			t.Fatal(err)
		}
		if d.Head().Hash != head.Hash {
			t.Fatalf("after %d changes: the head is %d, want %d", left, d.Head().Version, head.Version)
		}
		if left%4 == 0 {
			wantSound(t, d)
			refusesWrites(t, d, ErrDiskFull)
		}
		closeStore(t, s)
		s = openTest(t, disk, Options{})
		d, _ = s.Database("shop")
		if d.Head().Hash != head.Hash || s.ReadOnly() != nil {
			t.Fatalf("after %d changes, with space again: the head is %d, want %d; %v", left, d.Head().Version, head.Version, s.ReadOnly())
		}
		closeStore(t, s)
	}
	if t.Logf("opened to read only %d times", readable); readable < 10 {
		t.Error("too few")
	}
	none := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return &fs.PathError{Op: "write", Path: op.Path, Err: syscall.ENOSPC}
		}
		return nil
	}))
	if _, err := Open("store", Options{FS: none, Logger: quiet}); !errors.Is(err, ErrDiskFull) {
		t.Errorf("a new store: got %v, want that the disk is full", err)
	}
}

// TestFormat refuses a store of a format to come, and one whose own record is
// gone.
func TestFormat(t *testing.T) {
	fs := vfs.NewMem()
	s := openTest(t, fs, Options{})
	put(t, create(t, s, "shop", 512), 1, 1)
	if err := s.db.Set(metaKey("store"), []byte{storeFormat + 1}, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	if _, err := Open("store", Options{FS: fs, Logger: quiet}); !errors.Is(err, ErrFormat) {
		t.Fatalf("got %v, want ErrFormat", err)
	}

	fs = vfs.NewMem()
	s = openTest(t, fs, Options{})
	d := create(t, s, "shop", 512)
	put(t, d, 1, 1)
	b := (&commitRecord{Commit: d.Head()}).encode()
	b[0]++
	if err := s.db.Set(versionKey(keyCommit, d.id, 1), b, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	s = openTest(t, fs, Options{})
	if _, err := s.Database("shop"); !errors.Is(err, ErrFormat) {
		t.Errorf("commit record: got %v, want ErrFormat", err)
	}
	if err := s.db.Delete(metaKey("store"), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	if _, err := Open("store", Options{FS: fs, Logger: quiet}); !errors.Is(err, ErrDamaged) {
		t.Fatalf("without its own record: got %v, want ErrDamaged", err)
	}
}

// TestCloseUnderWay closes a store while all kinds of things are done in it.
// Close refuses as long as something is open; the others end or are told that
// the store is closed.
func TestCloseUnderWay(t *testing.T) {
	for round := range 6 {
		s := openTest(t, vfs.NewMem(), Options{TrimInterval: time.Millisecond})
		d := create(t, s, "shop", 512)
		if err := d.SetRetention(Retention{Count: 5}); err != nil {
			t.Fatal(err)
		}
		put(t, d, 1, 1, 2)
		ctx := context.Background()
		const verify = 6 // it holds a snapshot
		work := []func() error{
			func() error { return commitOne(d) },
			func() error { _, err := s.Databases(); return err },
			func() error { _, err := s.Database("shop"); return err },
			func() error { _, err := d.Stat(); return err },
			func() error { _, err := s.Stat(); return err },
			func() error { _, err := d.Tags(); return err },
			verify: func() error { _, err := d.Verify(ctx, nil); return err },
			func() error { _, err := d.Trim(ctx, TrimOptions{Retain: Retention{Count: 2}}); return err },
			func() error { return s.Compact(ctx) },
			func() error { _, err := s.Names(); return err },
			func() error {
				for _, err := range d.Log(LogOptions{}) {
					if err != nil {
						return err
					}
				}
				return nil
			},
			func() error {
				sn, err := s.Snapshot(Ref{Database: "shop"})
				if err != nil {
					return err
				}
				defer sn.Close()
				return sn.ReadPage(1, make([]byte, 512))
			},
			func() error {
				sn, err := d.HeadSnapshot()
				if err != nil {
					return err
				}
				defer sn.Close()
				_, err = sn.PageHash(2)
				return err
			},
		}
		var wg sync.WaitGroup
		var calm atomic.Bool // what opens things pauses
		for i, f := range work {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for {
					if (i == 0 || i >= len(work)-2 || i == verify) && calm.Load() && !s.closed.Load() {
						time.Sleep(time.Millisecond)
						continue
					}
					if err := f(); errors.Is(err, ErrClosed) {
						return
					} else if err != nil && !errors.Is(err, ErrConflict) {
						t.Errorf("work %d: %v", i, err)
						return
					}
				}
			}()
		}
		time.Sleep(time.Duration(round) * time.Millisecond / 2)
		refused := 0
		for {
			err := s.Close()
			if err == nil {
				break
			}
			if refused++; refused > 20 {
				calm.Store(true)
				time.Sleep(time.Millisecond)
			}
			if refused > 10000 || !strings.Contains(err.Error(), "close them first") {
				t.Fatal(err)
			}
		}
		wg.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func commitOne(d *Database) error {
	tx, err := d.Begin(TxOptions{})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	p := make([]byte, 512)
	p[7] = byte(time.Now().UnixNano())
	tx.WritePage(1, p)
	_, err = tx.Commit(context.Background())
	return err
}
