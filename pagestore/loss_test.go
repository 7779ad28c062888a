package pagestore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// crash returns what is on the disk after the process was killed, or after a
// power cut that took everything that was not synced.
func crash(fs *vfs.MemFS, power bool) *vfs.MemFS {
	cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))}
	if power {
		cfg.UnsyncedDataPercent = 0
	}
	return fs.CrashClone(cfg)
}

// tailStore makes commits of noise in a store, so that the log spans blocks,
// and returns the disk and how long the newest log was before the last one.
func tailStore(t testing.TB, memTable uint64, commits int) (fs *vfs.MemFS, s *Store, before int64) {
	t.Helper()
	fs = vfs.NewCrashableMem()
	s = openTest(t, fs, Options{MemTable: memTable})
	put(t, create(t, s, "shop", 512), 1, 1)
	closeStore(t, s)
	s = openTest(t, fs, Options{MemTable: memTable})
	d, err := s.Database("shop")
	if err != nil {
		t.Fatal(err)
	}
	for range commits {
		before = s.marks.newest.Load().length
		noise(t, d, uint64(d.Head().Version)+1)
	}
	return fs, s, before
}

// noise commits a page that cannot be compressed.
func noise(t testing.TB, d *Database, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 7))
	p := make([]byte, d.Head().PageSize)
	for i := 0; i < len(p); i += 8 {
		binary.LittleEndian.PutUint64(p[i:], rng.Uint64())
	}
	tx := begin(t, d, TxOptions{})
	if err := tx.WritePage(1+uint32(seed%8), p); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func readAll(t testing.TB, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func flipByte(t testing.TB, fs vfs.FS, name string, at int, mask byte) {
	t.Helper()
	b := readAll(t, fs, name)
	f, err := fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = f.WriteAt([]byte{b[at] ^ mask}, int64(at))
	if err := errors.Join(err, f.Sync()); err != nil {
		t.Fatal(err)
	}
}

// newestLog returns the path of the log with the highest number.
func newestLog(t testing.TB, fs vfs.FS) string {
	t.Helper()
	names, err := fs.List("store/pages")
	if err != nil {
		t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasSuffix(n, ".log") })
	return "store/pages/" + slices.Max(names)
}

// TestDamagedTail flips bytes of a store that was not closed: every one of the
// log's end in the long form. Acknowledged commits are there or Open says that
// they are lost. After a power cut that took the newest mark, those of the
// last sync may be gone.
func TestDamagedTail(t *testing.T) {
	for _, power := range []bool{false, true} {
		for _, memTable := range []uint64{1 << 20, 32 << 10} {
			name := map[bool]string{false: "killed", true: "power"}[power]
			t.Run(fmt.Sprintf("%s %d KiB", name, memTable>>10), func(t *testing.T) {
				fs, s, before := tailStore(t, memTable, 110)
				d, _ := s.Database("shop")
				head := d.Head().Version
				disk := crash(fs, power)
				closeStore(t, s)
				if power { // the newest mark had not been written out: not even an old one
					for sector := 1; sector <= 2; sector++ {
						for i := range markLen {
							flipByte(t, disk, "store/synced", sector*markSector+i, 0xa5)
						}
					}
				}
				names, err := disk.List("store/pages")
				if err != nil {
					t.Fatal(err)
				}
				newest := newestLog(t, disk)
				files := []string{"store/synced"}
				for _, n := range names {
					if !strings.HasSuffix(n, ".sst") { // TestFlippedByte has these
						files = append(files, "store/pages/"+n)
					}
				}
				kinds := map[string]int{}
				rng := rand.New(rand.NewPCG(3, 3))
				for _, file := range files {
					size := len(bytes.TrimRight(readAll(t, disk, file), "\x00"))
					step := size/12 + 1
					if file == newest {
						step = max(size/50, 1)
					}
					if *long {
						step = 1
					}
					if testing.Short() {
						step = max(size/2, 1)
					}
					for at := rng.IntN(step); at < size; at += step {
						c := crash(disk, false)
						flipByte(t, c, file, at, 1<<rng.IntN(8))
						how := afterFlip(t, c, head)
						if how == "lost" && power && file == newest && int64(at) >= before {
							how = "lost, of the last sync"
						}
						if how == "lost" {
							t.Errorf("byte %d of %s flipped: acknowledged commits are lost, and nothing said so", at, file)
						}
						kind := file[strings.LastIndexByte(file, '/')+1:]
						if i := strings.LastIndexAny(kind, ".-"); i >= 0 && file != newest {
							kind = strings.Trim(kind, "0123456789-.")
						}
						kinds[kind+" "+how]++
					}
				}
				t.Log(kinds)
				if kinds[newest[len("store/pages/"):]+" reported"] == 0 {
					t.Error("no flip in the newest log was noticed: the test tests nothing")
				}
			})
		}
	}
}

// TestEveryByteOfLog flips bytes of a log, in the long form each, and reads it
// as Open does: what had been synced is read or missed.
func TestEveryByteOfLog(t *testing.T) {
	fs, s, before := tailStore(t, 1<<20, 60)
	disk := crash(fs, false)
	name, secret, synced := newestLog(t, disk), s.marks.secret, s.marks.newest.Load()
	closeStore(t, s)
	log := bytes.TrimRight(readAll(t, disk, name), "\x00")
	log = append(log, make([]byte, logBlock)...) // zeros are written ahead
	if synced.length <= before || synced.length > int64(len(log)) || before < logBlock {
		t.Fatalf("synced are %d bytes of %d, before the last commit %d", synced.length, len(log), before)
	}
	step := 11
	if *long {
		step = 1
	} else if testing.Short() {
		step = 101
	}
	rng := rand.New(rand.NewPCG(6, 6))
	for at := 0; at < int(synced.length); at += step {
		mask := byte(1 << rng.IntN(8))
		log[at] ^= mask
		scan, err := scanLog(bytes.NewReader(log), markLog, synced.number, &secret)
		log[at] ^= mask
		if err != nil {
			t.Fatal(err)
		}
		if scan.at >= synced.length { // harmless
			continue
		}
		if synced.length <= scan.at+trailerLen {
			t.Errorf("byte %d of %d flipped: the log ends at %d, and the mark does not tell", at, synced.length, scan.at)
		}
		if scan.proof <= scan.at+trailerLen && int64(at) < before {
			t.Errorf("byte %d of %d flipped: the log ends at %d, and no hint tells", at, synced.length, scan.at)
		}
	}
}

func afterFlip(t *testing.T, fs vfs.FS, head Version) string {
	s, err := Open("store", Options{FS: fs, Logger: quiet, PageCache: 1 << 20, MemTable: 1 << 20})
	if err != nil {
		return "reported"
	}
	defer s.Close()
	d, err := s.Database("shop")
	if errors.Is(err, ErrUnknownDatabase) {
		return "lost"
	}
	if err != nil {
		return "reported"
	}
	if found, err := d.Verify(context.Background(), nil); err != nil || len(found) > 0 {
		return "reported"
	}
	if d.Head().Version < head {
		return "lost"
	}
	return "harmless"
}

// TestAcceptLoss damages the log of a store that was killed: it is opened only
// when that is asked for, with the commits before the damage, and from then on
// is as any other.
func TestAcceptLoss(t *testing.T) {
	fs, s, before := tailStore(t, 1<<20, 60)
	d, _ := s.Database("shop")
	first := snapshot(t, d, 1)
	p := make([]byte, 512)
	if err := first.ReadPage(1, p); err != nil {
		t.Fatal(err)
	}
	first.Close()
	disk := crash(fs, false)
	head := d.Head().Version
	closeStore(t, s)
	log := newestLog(t, disk)
	flipByte(t, disk, log, int(before)/2, 4)

	var loss *LossError
	for range 2 { // nothing is changed by the attempt
		_, err := Open("store", Options{FS: disk, Logger: quiet})
		if !errors.As(err, &loss) || !errors.Is(err, ErrLoss) || !errors.Is(err, ErrDamaged) {
			t.Fatalf("got %v, want a LossError", err)
		}
	}
	if loss.From > before/2 || loss.From < before/2-2000 || loss.To <= before || loss.Versions[d.id].Last != head || loss.Versions[d.id].First < 2 {
		t.Errorf("got %+v: the byte was %d of %d, the head %d", loss, before/2, before, head)
	}
	if _, err := Open("store", Options{FS: disk, Logger: quiet, ReadOnly: true}); !errors.Is(err, ErrLoss) {
		t.Errorf("to read only: got %v, want a LossError", err)
	}
	s = openTest(t, disk, Options{AcceptLoss: true})
	d, err := s.Database("shop")
	if err != nil {
		t.Fatal(err)
	}
	left := d.Head().Version
	if s.Lost() == nil || s.Lost().From != loss.From {
		t.Errorf("lost is %+v, want %+v", s.Lost(), loss)
	}
	if left >= loss.Versions[d.id].First || left < loss.Versions[d.id].First-2 {
		t.Errorf("the head is %d, lost was %+v", left, loss.Versions)
	}
	wantSound(t, d)
	if _, err := disk.Stat("store/lost/" + log[len("store/pages/"):]); err != nil {
		t.Error(err)
	}
	again := crash(disk, false)
	closeStore(t, s)
	s = openTest(t, again, Options{})
	d, err = s.Database("shop")
	if err != nil {
		t.Fatal(err)
	}
	noise(t, d, 99)
	if d.Head().Version != left+1 {
		t.Errorf("the head is %d, want %d", d.Head().Version, left+1)
	}
	again = crash(again, true)
	closeStore(t, s)
	s = openTest(t, again, Options{})
	d, _ = s.Database("shop")
	if d.Head().Version != left+1 {
		t.Errorf("after another crash the head is %d, want %d", d.Head().Version, left+1)
	}
	wantSound(t, d)
	closeStore(t, s)

	// The log is gone altogether.
	fs, s, _ = tailStore(t, 1<<20, 5)
	disk = crash(fs, false)
	closeStore(t, s)
	if err := disk.Remove(newestLog(t, disk)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("store", Options{FS: disk, Logger: quiet}); !errors.Is(err, ErrLoss) {
		t.Fatalf("without its log: got %v, want a LossError", err)
	}
	s = openTest(t, disk, Options{AcceptLoss: true})
	closeStore(t, s)
	s = openTest(t, disk, Options{})
	d, _ = s.Database("shop")
	wantSound(t, d)
	closeStore(t, s)
}

// TestMarks closes stores: after a power cut the marks are those of the end.
func TestMarks(t *testing.T) {
	fs, s, _ := tailStore(t, 1<<20, 5)
	closeStore(t, s)
	disk := crash(fs, true)
	was, err := readMarks(disk, "store/synced")
	if err != nil {
		t.Fatal(err)
	}
	m, _ := markOf(newestLog(t, disk)[len("store/pages/"):])
	size := int64(len(bytes.TrimRight(readAll(t, disk, newestLog(t, disk)), "\x00")))
	if n := was.of(markLog, m.number); n < size || n > size+trailerLen || was.secret == nil {
		t.Errorf("%+v: the log has %d bytes", was, size)
	}
}

// TestLostFiles takes away what names the store's files, and the marks.
func TestLostFiles(t *testing.T) {
	fs, s, _ := tailStore(t, 1<<20, 5)
	d, _ := s.Database("shop")
	head := d.Head().Version
	disk := crash(fs, false)
	closeStore(t, s)
	if err := disk.Remove("store/synced"); err != nil {
		t.Fatal(err)
	}
	if how := afterFlip(t, disk, head); how != "harmless" {
		t.Errorf("without marks: %s", how)
	}
	names, _ := disk.List("store/pages")
	for _, n := range names {
		if strings.HasPrefix(n, "marker.manifest") {
			disk.Remove("store/pages/" + n)
		}
	}
	if _, err := Open("store", Options{FS: disk, Logger: quiet}); !errors.Is(err, ErrDamaged) {
		t.Errorf("without a manifest: got %v, want ErrDamaged", err)
	}
}

// TestCrashWhileOpening crashes at every change that Open makes to a store
// whose log ends with half a write, and once more while that is opened.
func TestCrashWhileOpening(t *testing.T) {
	fs, s, _ := tailStore(t, 1<<20, 20)
	d, _ := s.Database("shop")
	head := d.Head().Version
	noise(t, d, 1000)
	end := s.marks.newest.Load().length
	disk := crash(fs, true)
	closeStore(t, s)
	// Half of the last commit, which nobody was told of.
	flipByte(t, disk, newestLog(t, disk), int(end)-20, 0xff)
	for sector := 1; sector <= 2; sector++ {
		flipByte(t, disk, "store/synced", sector*markSector+markLen-1, 1)
	}
	var points int
	var open func(disk *vfs.MemFS, depth int)
	open = func(disk *vfs.MemFS, depth int) {
		var mu sync.Mutex // compactions run beside it
		var clones []*vfs.MemFS
		n := 0
		watch := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				mu.Lock()
				defer mu.Unlock()
				if n++; depth == 0 && (n%3 == 0 || !testing.Short()) || depth == 1 && n%7 == 0 && !testing.Short() {
					clones = append(clones, crash(disk, n%2 == 0))
				}
			}
			return nil
		}))
		s, err := Open("store", Options{FS: watch, Logger: quiet, PageCache: 1 << 20})
		if err != nil {
			t.Fatalf("depth %d: %v", depth, err)
		}
		d, err := s.Database("shop")
		if err != nil {
			t.Fatal(err)
		}
		if d.Head().Version != head {
			t.Fatalf("depth %d: the head is %d, want %d", depth, d.Head().Version, head)
		}
		closeStore(t, s)
		points += len(clones)
		for _, c := range clones {
			open(c, depth+1)
		}
	}
	open(disk, 0)
	if t.Logf("%d crashes", points); points < 10 {
		t.Error("too few")
	}
}

// FuzzScanLog feeds the reader of logs and manifests what nothing wrote. What
// it says lies in the file, and a whole log stays whole.
func FuzzScanLog(f *testing.F) {
	fs, s, _ := tailStore(f, 1<<20, 3)
	disk := crash(fs, false)
	secret := s.marks.secret
	closeStore(f, s)
	m, _ := markOf(newestLog(f, disk)[len("store/pages/"):])
	log := bytes.TrimRight(readAll(f, disk, newestLog(f, disk)), "\x00")
	f.Add(log, uint16(9), byte(1), false)
	f.Add(log, uint16(2000), byte(0), false)
	names, _ := disk.List("store/pages")
	for _, n := range names {
		if strings.HasPrefix(n, "MANIFEST") {
			f.Add(readAll(f, disk, "store/pages/"+n), uint16(3), byte(8), true)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, at uint16, mask byte, manifest bool) {
		kind := markLog
		if manifest {
			kind = markManifest
		}
		if int(at) < len(b) {
			b = bytes.Clone(b)
			b[at] ^= mask
		}
		s, err := scanLog(bytes.NewReader(b), kind, m.number, &secret)
		if err != nil {
			t.Fatal(err)
		}
		if s.at < 0 || s.at > int64(len(b)) || s.proof > int64(len(b)) || s.behind > int64(len(b)) {
			t.Fatalf("%+v of %d bytes", s, len(b))
		}
		if whole, _ := scanLog(bytes.NewReader(b[:s.at]), kind, m.number, &secret); whole.at != s.at || whole.end != endClosed {
			t.Fatalf("what was whole up to %d is %+v", s.at, whole)
		}
		decodeMarks(b)
	})
}
