package diff

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// everything does all that a Diff can do; errors are expected.
func everything(a, b Pages, o Options) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	d, err := New(a, b, o)
	if err != nil {
		return err
	}
	err = errors.Join(d.WriteSQL(ctx, io.Discard), d.WriteText(ctx, io.Discard, TextOptions{Rows: -1}), d.WriteJSON(ctx, io.Discard))
	return errors.Join(err, d.Close(), ctx.Err())
}

// hostileSeed is a small database with all that the format has.
func hostileSeed(t testing.TB) *memory {
	t.Helper()
	path, db := tempFile(t)
	run(t, db, `PRAGMA page_size=512; CREATE TABLE r(a TEXT, b REAL DEFAULT 1); CREATE INDEX ri ON r(a);
		CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID; CREATE TABLE free(x);`+
		fmt.Sprintf(series+`INSERT INTO r SELECT 'text '||i, i FROM n;`, 60)+
		fmt.Sprintf(series+`INSERT INTO w SELECT 'key '||i, zeroblob(i*5) FROM n;`, 100)+
		`INSERT INTO r VALUES(zeroblob(3000), 1e300); INSERT INTO free VALUES(zeroblob(3000)); DROP TABLE free; ALTER TABLE r ADD COLUMN c DEFAULT 'x'`)
	return state(t, path, db)
}

// TestDamage changes bytes at random: an error or a diff comes, in time.
func TestDamage(t *testing.T) {
	t.Parallel()
	good := hostileSeed(t)
	r := rand.New(rand.NewPCG(1, 2))
	rounds := 100
	switch {
	case os.Getenv("HAKO_LONG") != "":
		rounds = 1000
	case testing.Short():
		rounds = 60
	}
	failed := 0
	for range rounds {
		bad := &memory{data: slices.Clone(good.data), size: good.size}
		for range 1 + r.IntN(4) {
			page := 1 + r.IntN(int(bad.PageCount())-1)
			at := page * bad.size
			// The page header and the cell pointers are the most telling.
			if r.IntN(3) > 0 {
				at += r.IntN(30)
			} else {
				at += r.IntN(bad.size)
			}
			bad.data[at] = byte(r.Uint32())
		}
		for _, o := range []Options{{}, {Changed: differing(good, bad)}} {
			if err := everything(good, bad, o); err != nil {
				if errors.Is(err, context.DeadlineExceeded) {
					t.Fatal(err)
				}
				failed++
			}
		}
	}
	if failed == 0 {
		t.Error("no damage was ever found")
	}
}

func TestCycles(t *testing.T) {
	t.Parallel()
	path, db := tempFile(t)
	run(t, db, fmt.Sprintf(`PRAGMA page_size=512; CREATE TABLE t(v); `+series+`INSERT INTO t SELECT zeroblob(100) FROM n; INSERT INTO t VALUES(zeroblob(3000))`, 100))
	good := state(t, path, db)
	sch, err := readSchema(mustSource(t, good))
	if err != nil {
		t.Fatal(err)
	}
	root := sch.find("table", "t").root
	header := func(m *memory, page uint32) []byte { return m.data[int(page-1)*m.size:] }
	for name, damage := range map[string]func(*memory){
		"a tree that contains itself": func(m *memory) { binary.BigEndian.PutUint32(header(m, root)[8:], root) },
		"a chain that contains itself": func(m *memory) {
			for n := uint32(2); n <= m.PageCount(); n++ {
				if h := header(m, n); h[0] == 0 && binary.BigEndian.Uint32(h) != 0 {
					binary.BigEndian.PutUint32(h, n)
					return
				}
			}
		},
		"a page beyond the end":  func(m *memory) { binary.BigEndian.PutUint32(header(m, root)[8:], 1<<31) },
		"too many cells":         func(m *memory) { binary.BigEndian.PutUint16(header(m, root)[3:], 65535) },
		"a cell beyond the page": func(m *memory) { binary.BigEndian.PutUint16(header(m, root)[12:], 511) },
		"no page":                func(m *memory) { header(m, root)[0] = 77 },
	} {
		bad := &memory{data: slices.Clone(good.data), size: good.size}
		damage(bad)
		if err := everything(good, bad, Options{}); name != "a chain that contains itself" && !errors.Is(err, ErrFormat) {
			t.Errorf("%s: got %v", name, err)
		}
		if err := everything(bad, good, Options{Changed: differing(good, bad)}); name == "no page" && !errors.Is(err, ErrFormat) {
			t.Errorf("%s, before: got %v", name, err)
		}
	}
}

func mustSource(t testing.TB, m *memory) *source {
	t.Helper()
	s, err := newSource("first", m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// failing fails to read one page.
type failing struct {
	*memory
	page uint32
}

var errDisk = errors.New("the disk is on fire")

func (f failing) ReadPage(n uint32, dst []byte) error {
	if n == f.page {
		return errDisk
	}
	return f.memory.ReadPage(n, dst)
}

func TestReadErrors(t *testing.T) {
	t.Parallel()
	a, b := between(t, manyTables(20)+"CREATE TABLE t(a PRIMARY KEY, b) WITHOUT ROWID", "INSERT INTO t VALUES(1,2),(3,4)")
	for n := uint32(1); n <= b.PageCount(); n++ {
		err := everything(a, failing{b, n}, Options{})
		if err != nil && !errors.Is(err, errDisk) {
			t.Errorf("page %d: got %v", n, err)
		}
		if n == 1 && err == nil {
			t.Error("page 1 failed and nobody noticed")
		}
	}
}

// FuzzPages compares a database with hostile pages of the same size.
func FuzzPages(f *testing.F) {
	seed := hostileSeed(f)
	f.Add(seed.data, uint16(0), byte(0), uint32(0))
	f.Add(seed.data[:2048], uint16(0), byte(0), uint32(7))
	f.Add(seed.data, uint16(600), byte(13), uint32(0xffffffff))
	f.Add([]byte(strings.Repeat("SQLite format 3\x00", 64)), uint16(0), byte(0), uint32(1))
	f.Fuzz(func(t *testing.T, data []byte, at uint16, set byte, changed uint32) {
		if len(data) > 1<<16 {
			return
		}
		data = slices.Clone(data[:len(data)/512*512])
		if int(at) < len(data) {
			data[at] = set
		}
		bad := &memory{data: data, size: 512}
		o := Options{Changed: differing(seed, bad)}
		if changed != 0 { // some 32 pages, right or wrong
			o.Changed = func(yield func(uint32) bool) {
				for i := range uint32(32) {
					if changed&(1<<i) != 0 && !yield(i) {
						return
					}
				}
			}
		}
		for _, err := range []error{everything(seed, bad, o), everything(bad, seed, Options{})} {
			if errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		}
		if _, err := OwnerOf(bad, []uint32{1, 2, 3, 4, 5, 20}, 100); errors.Is(err, errEffort) {
			t.Error(err)
		}
	})
}

// FuzzRecord decodes hostile records.
func FuzzRecord(f *testing.F) {
	f.Add([]byte{4, 1, 15, 7, 42, 'x', 0, 0, 0, 0, 0, 0, 0, 0}, byte(1))
	f.Add([]byte{2, 17, 'a', 0}, byte(2))
	f.Add([]byte{3, 0xff, 0xff, 0xff}, byte(3))
	f.Fuzz(func(t *testing.T, b []byte, enc byte) {
		e := encoding(enc%3 + 1)
		vals, why := decodeRecord(b, e, -1)
		if why != "" {
			return
		}
		for _, v := range vals {
			if v.Kind == Text && len(v.raw)%2 == 0 && string(e.encode(v.Bytes)) != string(v.raw) {
				t.Errorf("%x decodes to %x, which encodes to %x", v.raw, v.Bytes, e.encode(v.Bytes))
			}
			if !v.Equal(v) || compareValues(v, v, "NOCASE") != 0 {
				t.Errorf("%+v differs from itself", v)
			}
		}
	})
}
