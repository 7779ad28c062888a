package pagestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

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
