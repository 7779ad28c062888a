package pagestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

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

// refusesWrites tries what changes a store.
func refusesWrites(t *testing.T, d *Database, want error) {
	t.Helper()
	ctx := context.Background()
	commit := func() error {
		tx := begin(t, d, TxOptions{})
		defer tx.Rollback()
		tx.WritePage(1, make([]byte, 512))
		_, err := tx.Commit(ctx)
		return err
	}
	for name, f := range map[string]func() error{
		"commit":  commit,
		"create":  func() error { _, err := d.s.Create("more", CreateOptions{}); return err },
		"tag":     func() error { return d.Tag(4, "more") },
		"untag":   func() error { return d.Untag("early") },
		"retain":  func() error { return d.SetRetention(Retention{Count: 5}) },
		"trim":    func() error { _, err := d.Trim(ctx, TrimOptions{Before: 10}); return err },
		"delete":  func() error { return d.s.Delete("shop") },
		"compact": func() error { return d.s.Compact(ctx) },
	} {
		if err := f(); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
	if r, err := d.Trim(ctx, TrimOptions{Before: 10, DryRun: true}); err != nil || r.Versions == 0 {
		t.Errorf("dry trim: %+v, %v", r, err)
	}
	wantSound(t, d)
}

// TestReadOnly opens a store without changing a byte of it.
func TestReadOnly(t *testing.T) {
	base, s, _ := tailStore(t, 32<<10, 40)
	d, _ := s.Database("shop")
	if err := d.Tag(3, "early"); err != nil {
		t.Fatal(err)
	}
	head := d.Head()
	disk := crash(base, false)
	closeStore(t, s)
	before := contentOf(t, disk)
	s = openTest(t, disk, Options{ReadOnly: true, TrimInterval: 1})
	if !errors.Is(s.ReadOnly(), ErrReadOnly) {
		t.Error(s.ReadOnly())
	}
	d, err := s.Database("shop")
	if err != nil || d.Head().Hash != head.Hash {
		t.Fatal(err, d.Head())
	}
	refusesWrites(t, d, ErrReadOnly)
	if _, err := Open("store", Options{FS: disk, Logger: quiet}); !errors.Is(err, ErrLocked) {
		t.Errorf("a second time: got %v, want ErrLocked", err)
	}
	closeStore(t, s)
	if after := contentOf(t, disk); after != before {
		t.Errorf("the directory was\n%s\nand is\n%s", before, after)
	}
	if _, err := Open("nowhere", Options{FS: disk, Logger: quiet, ReadOnly: true}); err == nil {
		t.Error("opened what is not there")
	}
	disk.MkdirAll("empty/pages", 0o777)
	if _, err := Open("empty", Options{FS: disk, Logger: quiet, ReadOnly: true}); !errors.Is(err, pebble.ErrDBDoesNotExist) {
		t.Errorf("opened what is empty: %v", err)
	}
}

// contentOf hashes every file of the store but who has it.
func contentOf(t *testing.T, fs vfs.FS) string {
	t.Helper()
	var b strings.Builder
	for _, dir := range []string{"store", "store/pages"} {
		names, err := fs.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(names)
		for _, n := range names {
			if info, err := fs.Stat(dir + "/" + n); err == nil && !info.IsDir() && n != "owner" {
				fmt.Fprintf(&b, "%s %x\n", n, hashPage(readAll(t, fs, dir+"/"+n)))
			}
		}
	}
	return b.String()
}

func logTo(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
