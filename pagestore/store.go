package pagestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options tune a Store. The zero value works.
type Options struct {
	FS           vfs.FS        // where the store lies; nil: the disk
	PageCache    int64         // bytes of page contents kept in memory; 0: 64 MiB
	BlockCache   int64         // bytes of Pebble's own cache; 0: 16 MiB
	MemTable     uint64        // bytes of writes gathered before they become a table; 0: 16 MiB
	SpillBytes   int           // bytes of pages that a Tx keeps in memory; 0: 16 MiB
	TrimInterval time.Duration // how often retention is applied in the background; 0: never
	Logger       *slog.Logger  // nil: slog.Default
	Now          func() time.Time
	Command      string // what other processes are told has the store; "": the program's name
	// ReadOnly opens an existing store without changing it: what would is
	// refused with ErrReadOnly. The store still belongs to this process alone.
	// Open sets it by itself on a disk with nothing left; then the refusals
	// are ErrDiskFull.
	ReadOnly bool
	// AcceptLoss opens a store that Open refuses with a LossError, without the
	// commits that are lost. They go into the directory "lost", in Pebble's
	// form.
	AcceptLoss bool

	blockSize   int  // bytes of a table's block, for tests; 0: 16 KiB
	noReadAhead bool // for tests
}

// A Store is a directory of databases, owned by this process while it is
// open.
type Store struct {
	dir     string
	tmp     string
	opts    Options
	fs      vfs.FS
	lock    io.Closer
	db      *pebble.DB
	cache   *cache
	log     *slog.Logger
	guarded *stopFS // what Pebble sees of fs
	marks   syncMarks
	guards  guards
	lost    *LossError // what AcceptLoss gave up
	refusal error      // of what would change a store opened to read only
	fatal   atomic.Pointer[fatalError]
	stopped chan struct{} // closed once fatal is set
	closed  atomic.Bool
	space   spaceGuard
	trimmer trimmer
	ops     inflight
	closing sync.Mutex      // held by Close
	ctx     context.Context // ends when the store is closed
	cancel  context.CancelFunc

	catalog sync.Mutex // held while names, branches and deletions change
	nextID  uint32     // guarded by catalog

	mu  sync.Mutex
	dbs map[uint32]*Database // loaded ones, guarded by mu

	publish sync.Mutex // held while heads move, and to read several at one moment
}

const (
	storeFormat      = 1
	defaultPageSize  = 4096
	pebbleFormat     = pebble.FormatWALSyncChunks
	defaultPageCache = 64 << 20
)

// Open takes the store in dir, creating it if there is none. It fails with a
// LockedError if another process has it, and with a LossError if commits that
// were acknowledged cannot be read.
//
// A store on a disk with nothing left is opened to read only, with a warning
// in the log; see Options.ReadOnly and Store.ReadOnly.
func Open(dir string, o Options) (*Store, error) {
	o.setDefaults()
	s, err := open(dir, o, nil)
	if err == nil || o.ReadOnly || !errors.Is(err, ErrDiskFull) {
		return s, err
	}
	o.ReadOnly = true
	full := err
	if s, err = open(dir, o, full); err != nil {
		if errors.Is(err, pebble.ErrDBDoesNotExist) {
			return nil, full
		}
		return nil, errors.Join(full, err)
	}
	s.log.Warn("store: opened to read only", "dir", s.dir, "error", full)
	return s, nil
}

func (o *Options) setDefaults() {
	if o.PageCache <= 0 {
		o.PageCache = defaultPageCache
	}
	if o.BlockCache <= 0 {
		o.BlockCache = 16 << 20
	}
	if o.MemTable == 0 {
		o.MemTable = 16 << 20
	}
	if o.blockSize == 0 {
		o.blockSize = 16 << 10
	}
	if o.SpillBytes <= 0 {
		o.SpillBytes = 16 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Command == "" {
		o.Command = filepath.Base(os.Args[0])
	}
}

// open is Open; full is why the disk forbids to write, if it does.
func open(dir string, o Options, full error) (_ *Store, err error) {
	s := &Store{dir: dir, opts: o, fs: o.FS, log: o.Logger, dbs: make(map[uint32]*Database), stopped: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if s.fs == nil {
		s.fs = vfs.Default
		if abs, err := filepath.Abs(dir); err == nil {
			s.dir = abs
		}
		s.tmp = filepath.Join(s.dir, "tmp")
	}
	defer func() {
		if err != nil {
			s.cancel()
			err = fmt.Errorf("open store %s: %w", s.dir, wrapDiskFull(err))
		}
	}()
	if o.ReadOnly {
		s.refusal = &refusedError{s.dir, full != nil}
	}
	s.guarded = &stopFS{FS: s.fs, s: s}
	if !o.ReadOnly {
		if err := s.mkdir(s.fs.PathJoin(s.dir, "pages")); err != nil {
			return nil, err
		}
	} else if _, err := s.fs.Stat(s.fs.PathJoin(s.dir, "pages")); err != nil {
		return nil, err
	}
	if err := s.acquire(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			if s.fatal.Load() != nil {
				s.guarded.settle()
			}
			s.guards.close()
			s.marks.close()
			s.release()
		}
	}()
	if s.tmp != "" { // what a crash left there belongs to nobody
		if err := errors.Join(os.RemoveAll(s.tmp), os.Mkdir(s.tmp, 0o777)); err != nil && full == nil {
			return nil, err
		}
	}
	if err := s.checkLogs(); err != nil {
		return nil, err
	}
	if !o.ReadOnly {
		if err := s.marks.open(s.fs, s.marksPath()); err != nil {
			return nil, fmt.Errorf("open %s: %w", s.marksPath(), err)
		}
	}
	if s.cache, err = newCache(o.PageCache); err != nil {
		return nil, fmt.Errorf("reserve %d bytes for the page cache: %w", o.PageCache, err)
	}
	if s.db, err = s.openPebble(); err != nil {
		s.cache.Close()
		return nil, err
	}
	if err := s.recover(); err != nil {
		return nil, errors.Join(err, s.db.Close(), s.cache.Close())
	}
	s.tellLoss()
	if !o.ReadOnly {
		s.trimmer.start(s, o.TrimInterval)
	}
	return s, nil
}

// ReadOnly returns nil if the store can be written, else why it cannot. It Is
// ErrReadOnly if Options.ReadOnly was set, and ErrDiskFull if there was no
// space left when the store was opened.
func (s *Store) ReadOnly() error { return s.refusal }

// mkdir makes a directory and its parents so that they survive a power cut.
func (s *Store) mkdir(dir string) error {
	if _, err := s.fs.Stat(dir); err == nil {
		return nil
	}
	parent := s.fs.PathDir(dir)
	if parent != dir && parent != "." {
		if err := s.mkdir(parent); err != nil {
			return err
		}
	}
	if err := s.fs.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	f, err := s.fs.OpenDir(parent)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (s *Store) openPebble() (*pebble.DB, error) {
	blocks := pebble.NewCache(s.opts.BlockCache)
	defer blocks.Unref()
	po := &pebble.Options{
		FS:                          s.guarded,
		ReadOnly:                    s.opts.ReadOnly,
		Cache:                       blocks,
		Comparer:                    comparer,
		FormatMajorVersion:          pebbleFormat,
		MemTableSize:                s.opts.MemTable,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       40,
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                1000,
		CompactionConcurrencyRange:  func() (int, int) { return 1, max(1, runtime.GOMAXPROCS(0)/2) },
		Logger:                      pebbleLogger{s},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { s.log.Error("store: background work failed", "dir", s.dir, "error", err) },
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				s.log.Error("store: a file is damaged", "path", i.Path, "error", i.Details)
			},
		},
	}
	for i := range po.Levels {
		l := &po.Levels[i]
		l.BlockSize = s.opts.blockSize
		l.FilterPolicy = bloom.FilterPolicy(10)
		profile := block.FastestCompression
		if i >= 5 {
			profile = block.ZstdCompression
		}
		l.Compression = func() *block.CompressionProfile { return profile }
	}
	var db *pebble.DB
	s.guarded.opening.Store(true)
	err := s.guard(func() (err error) {
		db, err = pebble.Open(s.fs.PathJoin(s.dir, "pages"), po)
		return err
	})
	if err != nil { // if the store was stopped, what Pebble does still must not get on
		s.guarded.opening.Store(s.fatal.Load() != nil)
		return nil, wrapDamage(err)
	}
	s.guarded.armed.Store(true)
	s.guarded.opening.Store(false)
	return db, nil
}

// recover reads the store's own record and removes what a crash left
// half-done.
func (s *Store) recover() error {
	b, err := s.get(metaKey("store"))
	if errors.Is(err, pebble.ErrNotFound) {
		if err := s.empty(); err != nil {
			return err
		}
		if s.refusal != nil {
			return fmt.Errorf("there is no store yet: %w", s.refusal)
		}
		s.nextID = 1
		b := s.db.NewBatch()
		defer s.closeBatch(b)
		b.Set(metaKey("store"), []byte{storeFormat}, nil)
		s.setNextID(b)
		return s.apply(b, pebble.Sync)
	}
	if err != nil {
		return err
	}
	if len(b) != 1 || b[0] != storeFormat {
		return fmt.Errorf("%w: %v, this program knows %d: use a newer hako", ErrFormat, b, storeFormat)
	}
	if b, err = s.get(metaKey("next-id")); err != nil {
		return &DamageError{Detail: "the next database id is missing", Err: err}
	}
	if len(b) != 4 {
		return &DamageError{Detail: "the next database id is malformed"}
	}
	s.nextID = binary.BigEndian.Uint32(b)
	if s.refusal != nil {
		return nil
	}
	if err := s.dropStaged(nil); err != nil {
		return err
	}
	return s.purgeDeleted()
}

// empty returns an error if the store, which lacks its own record, holds
// anything else: numbers given out anew would mix databases up.
func (s *Store) empty() error {
	it, err := s.newIter(nil, nil)
	if err != nil {
		return err
	}
	defer it.Close()
	if it.First() {
		return &DamageError{Detail: "the store's own record is missing"}
	}
	return wrapDamage(it.Error())
}

func (s *Store) setNextID(b *pebble.Batch) {
	b.Set(metaKey("next-id"), binary.BigEndian.AppendUint32(nil, s.nextID), nil)
}

// Dir returns the store's directory.
func (s *Store) Dir() string { return s.dir }

// check returns why the store cannot be used, if it cannot.
func (s *Store) check() error {
	if s.closed.Load() {
		return fmt.Errorf("store %s: %w", s.dir, ErrClosed)
	}
	if f := s.fatal.Load(); f != nil {
		return f
	}
	return nil
}

// get returns a copy of a key's value, or pebble.ErrNotFound.
func (s *Store) get(key []byte) ([]byte, error) { return getFrom(s.db, key) }

func getFrom(r pebble.Reader, key []byte) ([]byte, error) {
	v, c, err := r.Get(key)
	if err != nil {
		return nil, wrapDamage(err)
	}
	defer c.Close()
	return append([]byte{}, v...), nil
}

func (s *Store) newIter(lower, upper []byte) (*pebble.Iterator, error) {
	return s.newIterFrom(nil, lower, upper)
}

// newIterFrom opens an iterator on what Pebble held at a moment, or on the
// newest state if from is nil.
func (s *Store) newIterFrom(from *pebble.Snapshot, lower, upper []byte) (it *pebble.Iterator, err error) {
	o := &pebble.IterOptions{LowerBound: lower, UpperBound: upper}
	if from != nil {
		it, err = from.NewIter(o)
	} else {
		it, err = s.db.NewIter(o)
	}
	return it, wrapDamage(err)
}

// apply commits a batch. With pebble.Sync it is on disk when apply returns,
// and so is everything applied before it.
func (s *Store) apply(b *pebble.Batch, o *pebble.WriteOptions) error {
	return s.applyWithin(b, o, maxReserve)
}

// free is apply for what gives space back in the end: it may use most of what
// is kept in reserve on a full disk.
func (s *Store) free(b *pebble.Batch, o *pebble.WriteOptions) error {
	return s.applyWithin(b, o, maxReserve/8)
}

func (s *Store) applyWithin(b *pebble.Batch, o *pebble.WriteOptions, reserve int64) error {
	if err := s.check(); err != nil {
		return err
	}
	if b.Empty() {
		return nil
	}
	if s.refusal != nil {
		return s.refusal
	}
	if err := s.space.check(s, int64(b.Len()), reserve); err != nil {
		return err
	}
	if h := s.marks.hint(); h != nil {
		if err := b.LogData(h, nil); err != nil {
			return err
		}
	}
	return s.guard(func() error { return b.Commit(o) })
}

// closeBatch gives a batch back, unless a parked goroutine may hold it.
func (s *Store) closeBatch(b *pebble.Batch) {
	if s.fatal.Load() == nil {
		b.Close()
	}
}

// A fatalError is a failure after which Pebble cannot go on: a write-ahead log
// or manifest that could not be written. What was acknowledged is safe; the
// store has to be opened again.
type fatalError struct{ err error }

func (e *fatalError) Error() string {
	return fmt.Sprintf("store stopped after a failed write, open it again: %v", e.err)
}

func (e *fatalError) Unwrap() error { return e.err }

// stop makes the store refuse all work from now on.
func (s *Store) stop(err error) {
	f := &fatalError{wrapDiskFull(err)}
	if s.fatal.CompareAndSwap(nil, f) {
		if !s.guarded.opening.Load() {
			s.log.Error("store: stopped", "dir", s.dir, "error", f.err)
		}
		close(s.stopped)
	}
}

// pebbleLogger passes Pebble's log on. Pebble expects Fatalf not to return:
// it stops the store and parks the goroutine, see stopFS.
type pebbleLogger struct{ s *Store }

func (l pebbleLogger) Infof(format string, args ...any) {
	if l.s.log.Enabled(context.Background(), slog.LevelDebug-4) {
		l.s.log.Log(context.Background(), slog.LevelDebug-4, fmt.Sprintf(format, args...))
	}
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.s.log.Error("store: " + fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.s.stop(fmt.Errorf(strings.ReplaceAll(format, "%v", "%w"), args...))
	select {}
}

// wrapDamage makes Pebble's corruption errors ErrDamaged.
func wrapDamage(err error) error {
	if err != nil && pebble.IsCorruptionError(err) && !errors.Is(err, ErrDamaged) {
		return &DamageError{Err: err}
	}
	return err
}

// spaceGuard refuses writes before the disk is so full that Pebble could not
// write its logs and tables any more.
type spaceGuard struct {
	mu    sync.Mutex
	asked time.Time
	avail int64
	total int64
}

// The reserve is a twentieth of the disk, but enough for Pebble's logs and one
// flush, unless that is most of the disk.
const (
	maxReserve = 64 << 20
	minReserve = 40 << 20
)

func (g *spaceGuard) check(s *Store, bytes, most int64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := time.Now(); now.Sub(g.asked) > 100*time.Millisecond {
		u, err := s.fs.GetDiskUsage(s.dir)
		if err != nil { // a file system that does not tell
			g.avail, g.total = 1<<62, 1<<62
		} else {
			g.avail, g.total = int64(min(u.AvailBytes, 1<<62)), int64(min(u.AvailBytes+u.UsedBytes, 1<<62))
		}
		g.asked = now
	}
	reserve := max(g.total/20, min(minReserve, g.total/2))
	reserve = min(reserve, maxReserve) * most / maxReserve
	if g.avail-2*bytes < reserve {
		return fmt.Errorf("%w: %s has %d MiB left and %d MiB are kept in reserve: free some space, or trim old versions",
			ErrDiskFull, s.dir, g.avail>>20, reserve>>20)
	}
	g.avail -= 2 * bytes
	return nil
}
