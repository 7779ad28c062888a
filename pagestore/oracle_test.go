package pagestore

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var long = flag.Bool("long", os.Getenv("HAKO_LONG") != "", "run the long forms of the tests")

// quiet is a logger that says nothing.
var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func openTest(t testing.TB, fs vfs.FS, o Options) *Store {
	t.Helper()
	o.FS = fs
	if o.Logger == nil {
		o.Logger = quiet
	}
	if o.PageCache == 0 {
		o.PageCache = 1 << 20
	}
	if o.MemTable == 0 {
		o.MemTable = 256 << 10
	}
	s, err := Open("store", o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// modelDB is what a database should hold: every version's pages, all of them.
type modelDB struct {
	name     string
	size     int
	versions map[Version][][]byte // content by page - 1; nil: trimmed
	times    map[Version]time.Time
	head     Version
	horizon  Version
	tags     map[string]Version
	points   map[Version]int // how many branches began from a version

	parent  *modelDB
	at      Version
	deleted bool
}

// purge forgets a deleted database that no branch needs, and so on up.
func (m *modelDB) purge() {
	for m != nil && m.deleted && len(m.points) == 0 {
		p := m.parent
		if p == nil {
			return
		}
		if p.points[m.at]--; p.points[m.at] == 0 {
			delete(p.points, m.at)
		}
		m = p
	}
}

func (m *modelDB) readable(v Version) bool {
	return v <= m.head && (v >= m.horizon || m.points[v] > 0 || slices.Contains(slices.Collect(maps.Values(m.tags)), v))
}

// A model is a plain in-memory oracle for a Store.
type model struct {
	t   *testing.T
	rng *rand.Rand
	fs  vfs.FS
	s   *Store
	dbs map[string]*modelDB
	n   int // names given
	opt Options
}

func (m *model) names() []string { return slices.Sorted(maps.Keys(m.dbs)) }

func (m *model) pick() *modelDB {
	names := m.names()
	if len(names) == 0 {
		return nil
	}
	return m.dbs[names[m.rng.IntN(len(names))]]
}

func (m *model) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *model) db(d *modelDB) *Database {
	m.t.Helper()
	db, err := m.s.Database(d.name)
	m.must(err)
	return db
}

func (m *model) create() {
	m.n++
	d := &modelDB{name: fmt.Sprintf("db%d", m.n), size: 512 << m.rng.IntN(4), versions: map[Version][][]byte{0: {}},
		times: map[Version]time.Time{}, tags: map[string]Version{}, points: map[Version]int{}}
	_, err := m.s.Create(d.name, CreateOptions{PageSize: d.size})
	m.must(err)
	m.dbs[d.name] = d
}

// mutate returns a page's new content: sometimes wholly new, mostly a few
// changed bytes.
func (m *model) mutate(old []byte, size int) []byte {
	p := make([]byte, size)
	copy(p, old)
	switch m.rng.IntN(5) {
	case 0:
		for i := range p {
			p[i] = byte(m.rng.Uint32())
		}
	case 1:
		clear(p)
		p[m.rng.IntN(size)] = byte(m.rng.Uint32())
	default:
		for range 1 + m.rng.IntN(4) {
			at := m.rng.IntN(size)
			for i := at; i < min(size, at+1+m.rng.IntN(30)); i++ {
				p[i] = byte(m.rng.Uint32())
			}
		}
	}
	return p
}

// write changes some pages of a database in tx and returns the content after.
func (m *model) write(d *modelDB, tx *Tx) [][]byte {
	pages := slices.Clone(d.versions[d.head])
	if tx.PageSize() != d.size {
		pages, d.size = nil, tx.PageSize()
	}
	for range 1 + m.rng.IntN(6) {
		switch k := m.rng.IntN(12); {
		case k == 0 && len(pages) > 0:
			n := m.rng.IntN(len(pages) + 1)
			tx.Truncate(uint32(n))
			pages = pages[:n]
		case k == 1: // grow with holes
			n := len(pages) + m.rng.IntN(5)
			tx.Truncate(uint32(n))
			for len(pages) < n {
				pages = append(pages, make([]byte, d.size))
			}
		default:
			n := m.rng.IntN(min(len(pages)+1, 40))
			var old []byte
			if n < len(pages) {
				old = pages[n]
			}
			p := m.mutate(old, d.size)
			m.must(tx.WritePage(uint32(n+1), p))
			if n == len(pages) {
				pages = append(pages, p)
			} else {
				pages[n] = p
			}
		}
	}
	buf := make([]byte, d.size)
	if len(pages) > 0 {
		n := m.rng.IntN(len(pages))
		m.must(tx.ReadPage(uint32(n+1), buf))
		if !bytes.Equal(buf, pages[n]) {
			m.t.Fatalf("%s: own write of page %d not seen", d.name, n+1)
		}
	}
	return pages
}

func equalPages(a, b [][]byte) bool {
	return slices.EqualFunc(a, b, bytes.Equal)
}

func (m *model) commit(dbs ...*modelDB) {
	m.t.Helper()
	var txs []*Tx
	var after [][][]byte
	for _, d := range dbs {
		db := m.db(d)
		o := TxOptions{}
		if m.rng.IntN(2) == 0 {
			w, err := db.TryWriter()
			m.must(err)
			defer w.Close()
			o.Writer = w
		}
		if m.rng.IntN(40) == 0 {
			o.PageSize = 512 << m.rng.IntN(4)
		}
		tx, err := db.Begin(o)
		m.must(err)
		txs = append(txs, tx)
		after = append(after, m.write(d, tx))
	}
	if m.rng.IntN(10) == 0 {
		for i, tx := range txs {
			tx.Rollback()
			dbs[i].size = m.db(dbs[i]).Head().PageSize
		}
		return
	}
	commits, err := m.s.Commit(context.Background(), txs...)
	m.must(err)
	for i, c := range commits {
		d := dbs[i]
		switch c.Version {
		case d.head:
			if !equalPages(after[i], d.versions[d.head]) {
				m.t.Fatalf("%s: a commit with changes made no version", d.name)
			}
		case d.head + 1:
			d.head++
			d.versions[d.head] = after[i]
			d.times[d.head] = c.Time
			if i > 0 && commits[0].Version != 0 && txs[0].note == txs[i].note && !commits[0].Time.Equal(c.Time) && len(commits) == 2 &&
				commits[0].Version == dbs[0].head && commits[0].Time.After(c.Time) {
				m.t.Fatalf("parts of one commit at %v and %v", commits[0].Time, c.Time)
			}
		default:
			m.t.Fatalf("%s: version %d after %d", d.name, c.Version, d.head)
		}
		d.size = c.PageSize
	}
}

func (m *model) check(d *modelDB, v Version) {
	m.t.Helper()
	sn, err := m.db(d).Snapshot(v)
	if !d.readable(v) {
		if !errors.Is(err, ErrTrimmed) && !(v > d.head && errors.Is(err, ErrUnknownVersion)) {
			m.t.Fatalf("%s@%d: got %v, want it trimmed", d.name, v, err)
		}
		return
	}
	m.must(err)
	defer sn.Close()
	want := d.versions[v]
	if int(sn.PageCount()) != len(want) {
		m.t.Fatalf("%s: %d pages, want %d", sn, sn.PageCount(), len(want))
	}
	buf := make([]byte, sn.PageSize())
	for i, p := range want {
		m.must(sn.ReadPage(uint32(i+1), buf))
		if !bytes.Equal(buf, p) {
			m.t.Fatalf("%s: page %d differs", sn, i+1)
		}
	}
}

func (m *model) checkAll() {
	m.t.Helper()
	for _, name := range m.names() {
		d := m.dbs[name]
		for v := Version(0); v <= d.head; v++ {
			m.check(d, v)
		}
		found, err := m.db(d).Verify(context.Background(), nil)
		m.must(err)
		if len(found) > 0 {
			m.t.Fatalf("verify %s: %v", name, found)
		}
	}
}

func (m *model) step() {
	d := m.pick()
	if d == nil || len(m.dbs) < 2 {
		m.create()
		return
	}
	ctx := context.Background()
	switch k := m.rng.IntN(100); {
	case k < 55:
		m.commit(d)
	case k < 62:
		if e := m.pick(); e != d {
			m.commit(d, e)
		}
	case k < 75:
		m.check(d, Version(m.rng.Uint64N(uint64(d.head)+2)))
	case k < 79 && len(m.dbs) < 12:
		v := Version(m.rng.Uint64N(uint64(d.head) + 1))
		if !d.readable(v) {
			return
		}
		sn, err := m.db(d).Snapshot(v)
		m.must(err)
		m.n++
		b := &modelDB{name: fmt.Sprintf("br%d", m.n), size: sn.PageSize(), versions: map[Version][][]byte{0: d.versions[v]},
			times: map[Version]time.Time{}, tags: map[string]Version{}, points: map[Version]int{}}
		_, err = m.s.Branch(sn, b.name)
		m.must(err)
		m.must(sn.Close())
		m.dbs[b.name] = b
		b.parent, b.at = d, v
		if v == 0 && d.parent != nil {
			b.parent, b.at = d.parent, d.at
		}
		b.parent.points[b.at]++
	case k < 82:
		v := Version(m.rng.Uint64N(uint64(d.head) + 1))
		if d.readable(v) {
			tag := fmt.Sprintf("t%d", m.n)
			m.n++
			m.must(m.db(d).Tag(v, tag))
			d.tags[tag] = v
		}
	case k < 84:
		for tag := range d.tags {
			m.must(m.db(d).Untag(tag))
			delete(d.tags, tag)
			break
		}
	case k < 88:
		h := Version(m.rng.Uint64N(uint64(d.head) + 1))
		o := TrimOptions{Before: h, DryRun: m.rng.IntN(4) == 0, NoCompact: m.rng.IntN(2) == 0}
		if h == 0 {
			o = TrimOptions{Retain: Retention{Count: 1 + m.rng.Uint64N(20)}, NoCompact: true}
			if uint64(d.head) >= o.Retain.Count {
				h = d.head - Version(o.Retain.Count) + 1
			}
		}
		_, err := m.db(d).Trim(ctx, o)
		m.must(err)
		if !o.DryRun {
			d.horizon = max(d.horizon, h)
		}
	case k < 90:
		e := m.pick()
		v := Version(m.rng.Uint64N(uint64(e.head) + 1))
		if !e.readable(v) {
			return
		}
		sn, err := m.db(e).Snapshot(v)
		m.must(err)
		w, err := m.db(d).TryWriter()
		m.must(err)
		c, err := m.db(d).Restore(ctx, w, sn, nil)
		m.must(err)
		w.Close()
		sn.Close()
		if c.Version == d.head+1 {
			d.head++
			d.versions[d.head], d.times[d.head], d.size = e.versions[v], c.Time, c.PageSize
		} else if !equalPages(d.versions[d.head], e.versions[v]) {
			m.t.Fatalf("restore of %s@%d to %s made no version", e.name, v, d.name)
		}
	case k < 92:
		name := fmt.Sprintf("re%d", m.n)
		m.n++
		m.must(m.s.Rename(d.name, name))
		delete(m.dbs, d.name)
		d.name = name
		m.dbs[name] = d
	case k < 93 && len(m.dbs) > 6:
		m.must(m.s.Delete(d.name))
		delete(m.dbs, d.name)
		d.deleted = true
		d.purge()
	case k < 95 && d.head > 0:
		v := 1 + Version(m.rng.Uint64N(uint64(d.head)))
		if v < d.horizon || d.times[v].IsZero() {
			return
		}
		sn, err := m.s.Snapshot(Ref{Database: d.name, Kind: RefTime, Time: d.times[v]})
		m.must(err)
		if sn.Version() != v {
			m.t.Fatalf("%s at the time of %d is %d", d.name, v, sn.Version())
		}
		sn.Close()
	case k < 97:
		m.must(m.s.Close())
		m.s = openTest(m.t, m.fs, m.opt)
	default:
		m.must(m.s.TrimAll(ctx))
	}
}

// TestOracle does random things to a store and to plain maps, and compares
// every version of every database.
func TestOracle(t *testing.T) {
	seeds, steps := 6, 400
	if *long {
		seeds, steps = 50, 3000
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewMem()
			opt := Options{SpillBytes: 4096}
			m := &model{t: t, rng: rand.New(rand.NewPCG(uint64(seed), 1)), fs: fs, s: openTest(t, fs, opt), dbs: map[string]*modelDB{}, opt: opt}
			for range steps {
				m.step()
			}
			m.checkAll()
			m.must(m.s.Close())
			m.s = openTest(t, fs, opt)
			m.checkAll()
			m.must(m.s.Close())
		})
	}
}
