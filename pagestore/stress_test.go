package pagestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// A ledger is the oracle of one database that many tasks write: which page
// got which seed at which version. What a seed means is content.
type ledger struct {
	mu       sync.Mutex
	cond     *sync.Cond
	commits  map[Version]map[uint32]uint64
	history  map[uint32][]ledgerEntry // by page, ascending versions
	acked    Version                  // every version up to it was acknowledged
	sparse   map[Version]bool         // acknowledged ones past it
	parent   *ledger
	parentAt Version
	pages    uint32
	size     int
}

type ledgerEntry struct {
	v    Version
	seed uint64
}

func newLedger(pages uint32, size int) *ledger {
	l := &ledger{commits: map[Version]map[uint32]uint64{}, history: map[uint32][]ledgerEntry{}, sparse: map[Version]bool{}, pages: pages, size: size}
	l.cond = sync.NewCond(&l.mu)
	return l
}

func (l *ledger) record(v Version, writes map[uint32]uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.commits[v] != nil {
		return fmt.Errorf("version %d was acknowledged twice", v)
	}
	l.commits[v] = writes
	l.sparse[v] = true
	for l.sparse[l.acked+1] {
		l.acked++
		delete(l.sparse, l.acked)
		for n, seed := range l.commits[l.acked] {
			l.history[n] = append(l.history[n], ledgerEntry{l.acked, seed})
		}
	}
	l.cond.Broadcast()
	return nil
}

// seed returns what page n holds at version v, waiting for that to be known;
// stop ends the wait.
func (l *ledger) seed(n uint32, v Version, stop *atomic.Bool) (uint64, bool) {
	l.mu.Lock()
	for l.acked < v {
		if stop.Load() {
			l.mu.Unlock()
			return 0, false
		}
		l.cond.Wait()
	}
	h := l.history[n]
	i, _ := slices.BinarySearchFunc(h, v+1, func(e ledgerEntry, v Version) int { return int(int64(e.v) - int64(v)) })
	l.mu.Unlock()
	if i > 0 {
		return h[i-1].seed, true
	}
	if l.parent != nil {
		return l.parent.seed(n, l.parentAt, stop)
	}
	return 0, true
}

// content fills p with what a seed means: pages differ by number, and two
// seeds of one page in 64 bytes.
func content(p []byte, n uint32, seed uint64) {
	if seed == 0 {
		clear(p)
		return
	}
	for i := 0; i+4 <= len(p); i += 4 {
		binary.LittleEndian.PutUint32(p[i:], n*2654435761+uint32(i))
	}
	binary.LittleEndian.PutUint64(p[seed%uint64(len(p)-64)&^7:], seed)
	binary.LittleEndian.PutUint64(p[len(p)-8:], seed)
}

func seedOf(p []byte) uint64 { return binary.LittleEndian.Uint64(p[len(p)-8:]) }

type stress struct {
	t     testing.TB
	s     *Store
	mu    sync.Mutex
	dbs   map[string]*ledger
	stop  atomic.Bool // something failed, or the store stopped
	seeds atomic.Uint64
	fault bool // errors of the file system are expected
	count struct{ commits, conflicts, reads, faults atomic.Int64 }
}

func (st *stress) fail(format string, args ...any) {
	st.t.Errorf(format, args...)
	st.halt()
}

func (st *stress) halt() {
	st.stop.Store(true)
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, l := range st.dbs {
		l.mu.Lock()
		l.cond.Broadcast()
		l.mu.Unlock()
	}
}

// expected sorts out errors: true if the task should just go on.
func (st *stress) expected(err error) bool {
	switch {
	case errors.Is(err, ErrTrimmed), errors.Is(err, ErrBusy), errors.Is(err, ErrDeleted), errors.Is(err, ErrUnknownDatabase), errors.Is(err, ErrBeforeStart):
		return true
	case st.fault && errors.Is(err, errorfs.ErrInjected):
		st.count.faults.Add(1)
		if st.s.check() != nil {
			st.halt()
		}
		return true
	case st.fault && st.s.check() != nil:
		st.halt()
		return true
	}
	return false
}

func (st *stress) pick(rng *rand.Rand) (string, *ledger) {
	st.mu.Lock()
	defer st.mu.Unlock()
	names := make([]string, 0, len(st.dbs))
	for n := range st.dbs {
		names = append(names, n)
	}
	slices.Sort(names)
	n := names[rng.IntN(len(names))]
	return n, st.dbs[n]
}

func (st *stress) task(id int, iterations int) {
	rng := rand.New(rand.NewPCG(uint64(id), 99))
	for range iterations {
		if st.stop.Load() {
			return
		}
		var err error
		switch k := rng.IntN(100); {
		case k < 45:
			err = st.commit(rng, 1)
		case k < 50:
			err = st.commit(rng, 2)
		case k < 90:
			err = st.read(rng)
		case k < 94:
			err = st.trim(rng)
		case k < 95:
			err = st.branch(rng)
		case k < 97:
			err = st.tag(rng)
		default:
			err = st.moment(rng)
		}
		if err != nil && !st.expected(err) {
			st.fail("task %d: %v", id, err)
			return
		}
	}
}

// commit writes a few pages, having read a few others, and checks that what it
// read was still so in the version before its own.
func (st *stress) commit(rng *rand.Rand, dbs int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	type work struct {
		l      *ledger
		name   string
		tx     *Tx
		reads  map[uint32]uint64
		writes map[uint32]uint64
	}
	var all []*work
	locked := dbs == 1 && rng.IntN(2) == 0
	for range dbs {
		name, l := st.pick(rng)
		if slices.ContainsFunc(all, func(w *work) bool { return w.name == name }) {
			continue
		}
		d, err := st.s.Database(name)
		if err != nil {
			return err
		}
		o := TxOptions{}
		if locked {
			w, err := d.Writer(ctx)
			if err != nil {
				return err
			}
			defer w.Close()
			o.Writer = w
		}
		tx, err := d.Begin(o)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		w := &work{l: l, name: name, tx: tx, reads: map[uint32]uint64{}, writes: map[uint32]uint64{}}
		all = append(all, w)
		buf := make([]byte, tx.PageSize())
		for range rng.IntN(4) {
			if tx.PageCount() == 0 {
				break
			}
			n := 1 + rng.Uint32N(tx.PageCount())
			if err := tx.ReadPage(n, buf); err != nil {
				return err
			}
			w.reads[n] = seedOf(buf)
		}
		for range 1 + rng.IntN(5) {
			n := 1 + rng.Uint32N(min(l.pages, tx.PageCount()+20))
			seed := st.seeds.Add(1)
			content(buf, n, seed)
			if err := tx.WritePage(n, buf); err != nil {
				return err
			}
			w.writes[n] = seed
		}
		for n := tx.Snapshot().PageCount() + 1; n < tx.PageCount(); n++ { // holes
			if w.writes[n] == 0 {
				w.writes[n] = 0
			}
		}
	}
	txs := make([]*Tx, len(all))
	for i, w := range all {
		txs[i] = w.tx
	}
	commits, err := st.s.Commit(ctx, txs...)
	if errors.Is(err, ErrConflict) && !locked {
		st.count.conflicts.Add(1)
		return nil
	}
	if err != nil {
		return err
	}
	st.count.commits.Add(1)
	for i, c := range commits {
		if err := all[i].l.record(c.Version, all[i].writes); err != nil {
			return err
		}
		if !c.Time.Equal(commits[0].Time) {
			return fmt.Errorf("parts of one commit have times %v and %v", c.Time, commits[0].Time)
		}
	}
	for i, c := range commits {
		for n, seed := range all[i].reads {
			if want, ok := all[i].l.seed(n, c.Version-1, &st.stop); ok && want != seed {
				return fmt.Errorf("%s@%d relied on page %d being %d, but it was %d then", all[i].name, c.Version, n, seed, want)
			}
		}
	}
	return nil
}

// read checks some pages of some version.
func (st *stress) read(rng *rand.Rand) error {
	name, l := st.pick(rng)
	d, err := st.s.Database(name)
	if err != nil {
		return err
	}
	v := d.Head().Version
	if rng.IntN(2) == 0 {
		v = Version(rng.Uint64N(uint64(v) + 1))
	}
	sn, err := d.Snapshot(v)
	if err != nil {
		return err
	}
	defer sn.Close()
	return st.compare(sn, l, rng, 10)
}

func (st *stress) compare(sn *Snapshot, l *ledger, rng *rand.Rand, pages int) error {
	buf, want := make([]byte, sn.PageSize()), make([]byte, sn.PageSize())
	for range pages {
		if sn.PageCount() == 0 {
			break
		}
		n := 1 + rng.Uint32N(sn.PageCount())
		if err := sn.ReadPage(n, buf); err != nil {
			return err
		}
		seed, ok := l.seed(n, sn.Version(), &st.stop)
		if !ok {
			return nil
		}
		content(want, n, seed)
		if string(buf) != string(want) {
			return fmt.Errorf("%s page %d is of seed %d, want %d", sn, n, seedOf(buf), seed)
		}
		st.count.reads.Add(1)
	}
	return nil
}

func (st *stress) trim(rng *rand.Rand) error {
	name, _ := st.pick(rng)
	d, err := st.s.Database(name)
	if err != nil {
		return err
	}
	_, err = d.Trim(context.Background(), TrimOptions{Retain: Retention{Count: 5 + rng.Uint64N(40)}, NoCompact: rng.IntN(4) > 0})
	return err
}

func (st *stress) branch(rng *rand.Rand) error {
	name, l := st.pick(rng)
	st.mu.Lock()
	full := len(st.dbs) >= 30
	st.mu.Unlock()
	if full {
		return nil
	}
	d, err := st.s.Database(name)
	if err != nil {
		return err
	}
	sn, err := d.HeadSnapshot()
	if err != nil {
		return err
	}
	defer sn.Close()
	b := newLedger(l.pages, l.size)
	b.parent, b.parentAt = l, sn.Version()
	bname := fmt.Sprintf("b%d", st.seeds.Add(1))
	if _, err := st.s.Branch(sn, bname); err != nil {
		return err
	}
	st.mu.Lock()
	st.dbs[bname] = b
	st.mu.Unlock()
	return nil
}

func (st *stress) tag(rng *rand.Rand) error {
	name, _ := st.pick(rng)
	d, err := st.s.Database(name)
	if err != nil {
		return err
	}
	tags, err := d.Tags()
	if err != nil {
		return err
	}
	if len(tags) > 5 {
		err := d.Untag(tags[rng.IntN(len(tags))].Name)
		if errors.Is(err, ErrUnknownTag) {
			return nil
		}
		return err
	}
	return d.Tag(Version(rng.Uint64N(uint64(d.Head().Version)+1)), fmt.Sprintf("t%d", st.seeds.Add(1)))
}

// moment opens two databases at one moment and sees that a commit over both is
// in both or in none: times tell, as such commits share one.
func (st *stress) moment(rng *rand.Rand) error {
	a, la := st.pick(rng)
	b, lb := st.pick(rng)
	if a == b {
		return nil
	}
	sns, err := st.s.Snapshots(Ref{Database: a}, Ref{Database: b})
	if err != nil {
		return err
	}
	for i, l := range []*ledger{la, lb} {
		defer sns[i].Close()
		if err := st.compare(sns[i], l, rng, 3); err != nil {
			return err
		}
	}
	return nil
}

func (st *stress) run(tasks, iterations int) {
	var wg sync.WaitGroup
	for i := range tasks {
		wg.Add(1)
		go func() {
			defer wg.Done()
			st.task(i, iterations)
		}()
	}
	wg.Wait()
}

// verifyAll checks that what was acknowledged is there, in every version that
// can be read. Past the acknowledged ones there may be commits whose
// acknowledgement was lost: they must be whole, which Verify tells.
func (st *stress) verifyAll(rng *rand.Rand) {
	st.stop.Store(false)
	for name, l := range st.dbs {
		d, err := st.s.Database(name)
		if err != nil {
			if st.fault && errors.Is(err, ErrUnknownDatabase) && len(l.commits) == 0 {
				continue // its creation was not acknowledged
			}
			st.t.Fatalf("%v, acked %d, parent %v@%d commits %d", err, l.acked, l.parent != nil, l.parentAt, len(l.commits))
		}
		head := d.Head().Version
		if head < l.acked || len(l.sparse) > 0 && !st.fault {
			st.t.Fatalf("%s is at version %d, acknowledged was %d", name, head, l.acked)
		}
		for v := range l.sparse {
			if head < v {
				st.t.Fatalf("%s is at version %d, acknowledged was %d", name, head, v)
			}
		}
		for c, err := range d.Log(LogOptions{}) {
			if err != nil {
				st.t.Fatal(err)
			}
			if c.Version > l.acked {
				continue
			}
			sn, err := d.Snapshot(c.Version)
			if err != nil {
				st.t.Fatal(err)
			}
			if err := st.compare(sn, l, rng, 20); err != nil {
				st.t.Fatal(err)
			}
			sn.Close()
		}
		found, err := d.Verify(context.Background(), nil)
		if err != nil || len(found) > 0 {
			st.t.Fatalf("verify %s: %v %v", name, err, found)
		}
	}
}

func newStress(t testing.TB, s *Store, dbs int, pages uint32) *stress {
	st := &stress{t: t, s: s, dbs: map[string]*ledger{}}
	for i := range dbs {
		name := fmt.Sprintf("db%d", i)
		size := 512 << (i % 4)
		if _, err := s.Create(name, CreateOptions{PageSize: size}); err != nil {
			t.Fatal(err)
		}
		st.dbs[name] = newLedger(pages, size)
	}
	return st
}

func stressSize() (tasks, iterations int) {
	if *long {
		return 50, 1000
	}
	if testing.Short() {
		return 50, 15
	}
	return 50, 60
}

// TestStress has many tasks commit, read old versions, trim, branch and tag at
// once, against an oracle that knows every version's pages.
func TestStress(t *testing.T) {
	tasks, iterations := stressSize()
	s := openTest(t, vfs.NewMem(), Options{SpillBytes: 2048, TrimInterval: 20 * time.Millisecond})
	st := newStress(t, s, 8, 1000)
	st.run(tasks, iterations)
	if !t.Failed() {
		st.verifyAll(rand.New(rand.NewPCG(1, 1)))
	}
	t.Logf("%d commits, %d conflicts, %d pages read", st.count.commits.Load(), st.count.conflicts.Load(), st.count.reads.Load())
	if st.count.commits.Load() == 0 || st.count.conflicts.Load() == 0 {
		t.Error("no commits or no conflicts: the test tests nothing")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestStressFaults is TestStress on a file system that fails now and then.
// When the store stops, what a power cut would leave of its files is opened
// and must hold everything acknowledged.
func TestStressFaults(t *testing.T) {
	tasks, iterations := stressSize()
	rounds := 9
	if *long {
		rounds = 60
	} else {
		iterations /= 3
	}
	faults, stops := int64(0), 0
	for round := range rounds {
		rng, faulty := rand.New(rand.NewPCG(uint64(round), 7)), rand.New(rand.NewPCG(uint64(round), 8))
		mem := vfs.NewCrashableMem()
		probability := []float64{0.001, 0.005, 0.03}[round%3]
		kinds := round / 3 % 3
		var mu sync.Mutex
		on := &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
			read := op.Kind.ReadOrWrite() == errorfs.OpIsRead
			if kinds == 1 && !read || kinds == 2 && read {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			if faulty.Float64() < probability {
				return errorfs.ErrInjected
			}
			return nil
		})}
		s := openTest(t, errorfs.Wrap(mem, on), Options{SpillBytes: 2048, MemTable: 64 << 10})
		st := newStress(t, s, 6, 1000)
		st.fault = true
		on.On()
		st.run(tasks, iterations)
		on.Off()
		faults += st.count.faults.Load()
		if s.check() != nil {
			stops++
		}
		if t.Failed() {
			return
		}
		t.Log(round, probability, kinds, st.count.faults.Load(), st.count.commits.Load(), s.check())
		crashed := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(3) * 50, RNG: rand.New(rand.NewPCG(uint64(round), 3))})
		again := openTest(t, crashed, Options{})
		st.s = again
		st.verifyAll(rng)
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		s.Close() // may fail: it stopped
	}
	t.Logf("%d faults met, the store stopped in %d of %d rounds", faults, stops, rounds)
	if faults == 0 || stops == 0 {
		t.Error("no fault was met: the test tests nothing")
	}
}
