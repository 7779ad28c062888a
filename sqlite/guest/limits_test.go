package guest

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/hako-run/hako/pagestore"
	"github.com/hako-run/hako/sqlite/vfscore"
)

// open opens a granted database and returns its handle.
func (c *caller) open(t testing.TB, text int) uint64 {
	t.Helper()
	if code := c.call(byName["open"], 0, uint64(textAt+64*text), uint64(len(texts[text])), 0, outAt); code != 0 {
		t.Fatalf("open %s: code %d: %v", texts[text], code, c.d.err)
	}
	handle, _ := c.m.Memory().ReadUint32Le(outAt)
	return uint64(handle)
}

func TestGrantsAreChecked(t *testing.T) {
	c := newCaller(t)
	for _, grants := range [][]Grant{
		{{Path: "", Database: "shop"}},
		{{Path: "a\x00b", Database: "shop"}},
		{{Path: "shop", Database: "shop@@"}},
		{{Path: "shop", Database: ""}},
		{{Path: "/db/shop", Database: "shop"}, {Path: "db//shop", Database: "blog"}},
	} {
		if _, err := New(c.vfs, Options{}, grants...); !errors.Is(err, ErrGrant) {
			t.Errorf("%+v: %v", grants, err)
		}
	}
}

func TestOnlyGrantsOpen(t *testing.T) {
	c := newCaller(t)
	c.begin(t, Options{})
	defer c.end(t)
	names := []string{"secret", "/secret", "../secret", "shop/../secret", "blog", "/db/blog2", "db", "", "/", "shop@0@secret", "old@0", "@0", "shop\x00"}
	for _, name := range names {
		c.m.Memory().WriteString(textAt, name)
		if c.call(byName["granted"], textAt, uint64(len(name))) != 0 {
			t.Errorf("%q is granted", name)
		}
		if code := c.call(byName["open"], 0, textAt, uint64(len(name)), 0, outAt); code != uint64(vfscore.CantOpen) {
			t.Errorf("open %q: code %d", name, code)
		}
	}
	for _, name := range []string{"shop", "/shop", "./shop", "/db/blog", "db/../db/./blog", "shop@0", "/db/blog@0"} {
		c.m.Memory().WriteString(textAt, name)
		if c.call(byName["granted"], textAt, uint64(len(name))) != 1 {
			t.Errorf("%q is not granted", name)
		}
	}
}

func TestLimits(t *testing.T) {
	c := newCaller(t)
	c.begin(t, Options{MaxFiles: 3, MaxTemp: 10000, MaxSize: 20000})
	defer c.end(t)
	c.prepare(1)
	shop := c.open(t, 0)
	c.call(byName["temp"], outAt)
	temp, _ := c.m.Memory().ReadUint32Le(outAt)
	for _, s := range []struct {
		name string
		args []uint64
		code vfscore.Code
	}{
		{"write", []uint64{uint64(temp), headerAt, 4096, 5904}, vfscore.OK},
		{"write", []uint64{uint64(temp), headerAt, 4096, 5905}, vfscore.Full},
		{"write", []uint64{uint64(temp), headerAt, 4096, 1 << 62}, vfscore.Full},
		{"write", []uint64{uint64(temp), headerAt, 4096, 1<<63 - 1}, misuse},
		{"truncate", []uint64{uint64(temp), 10001}, vfscore.Full},
		{"truncate", []uint64{uint64(temp), 5000}, vfscore.OK},
		{"journal", []uint64{shop, outAt}, vfscore.OK},
		{"write", []uint64{2, headerAt, 4096, 904}, vfscore.OK},
		{"write", []uint64{2, headerAt, 4096, 905}, vfscore.Full},
		{"temp", []uint64{outAt}, vfscore.CantOpen},
		{"close", []uint64{uint64(temp)}, vfscore.OK},
		{"close", []uint64{uint64(temp)}, misuse},
		{"write", []uint64{2, headerAt, 4096, 905}, vfscore.OK},
		{"lock", []uint64{shop, 4}, vfscore.OK},
		{"write", []uint64{shop, headerAt, 4096, 16384}, vfscore.Full},
		{"write", []uint64{shop, headerAt, 4096, 12288}, vfscore.OK},
		{"truncate", []uint64{shop, 20001}, vfscore.Full},
		{"unlock", []uint64{shop, 2}, misuse},
		{"unlock", []uint64{shop, 1<<32 - 5}, misuse},
		{"lock", []uint64{shop, 0}, misuse},
		{"lock", []uint64{shop, 5}, misuse},
		{"read", []uint64{shop, 131072 - 100, 4096, 0}, misuse},
		{"read", []uint64{shop, headerAt, 1<<32 - 1, 0}, misuse},
		{"read", []uint64{7, headerAt, 100, 0}, misuse},
		{"sync", []uint64{shop, 131072, 1}, misuse},
	} {
		if code := c.call(byName[s.name], s.args...); vfscore.Code(code) != s.code {
			t.Errorf("%s%v: code %d, want %d: %v", s.name, s.args, code, s.code, c.d.err)
		}
	}
}

// A page count in page 1 costs a guest nothing, and the store a page for each.
func TestCommitOfPagesThatWereNeverWritten(t *testing.T) {
	c := newCaller(t)
	for _, count := range []uint32{1, 30, 1000, 1 << 31, 1<<32 - 1} {
		c.begin(t, Options{})
		c.prepare(count)
		shop := c.open(t, 0)
		head := func() pagestore.Commit { return c.d.files[shop].main.Database().Head() }
		before := head()
		c.call(byName["lock"], shop, 4)
		c.call(byName["journal"], shop, outAt)
		page, _ := c.m.Memory().Read(headerAt, 4096)
		binary.BigEndian.PutUint32(page[24:], 77+count) // a new change counter makes it a commit
		c.call(byName["write"], shop, headerAt, 4096, 0)
		code := vfscore.Code(c.call(byName["sync"], shop, textAt, 0))
		if fits := count <= 30; fits != (code == vfscore.OK) || fits != (head().Version > before.Version) {
			t.Errorf("%d pages: code %d, version %d after %d: %v", count, code, head().Version, before.Version, c.d.err)
		} else if !fits && !strings.Contains(c.d.err.Error(), "page 1 names") {
			t.Errorf("%d pages: %v", count, c.d.err)
		}
		c.end(t)
	}
}

func TestWithoutDatabases(t *testing.T) {
	c := newCaller(t)
	c.prepare(1)
	for _, f := range functions {
		if got := c.call(f, 0, 0, 0); f.results != nil && got != uint64(f.failed) {
			t.Errorf("%s returned %d", f.name, got)
		}
	}
	before, _ := c.m.Memory().ReadUint64Le(outAt)
	c.call(byName["random"], outAt, 8)
	if after, _ := c.m.Memory().ReadUint64Le(outAt); after == before {
		t.Error("no random numbers")
	}
	c.call(byName["random"], 1<<31, 1<<31) // does nothing
}
