package pagestore

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A syncMark says that a file of Pebble's was synced up to a length.
type syncMark struct {
	kind   markKind
	number uint64 // the file's, as in its name
	length int64
}

type markKind uint8

const (
	markLog      markKind = iota // a write-ahead log
	markManifest                 // a list of table files
	markKinds
)

// syncMarks keep, in the file "synced", how far the newest log and manifest
// were synced. A log that ends before its mark is damaged, where without the
// mark its end would look like a write that a crash cut off.
//
// Marks of logs are written after the log's sync and before its commits are
// acknowledged, and are not synced: so they are exact after the process was
// killed, and after a power cut they are older or exact, never ahead. What was
// written after a mark that a power cut took back is vouched for by the hints
// in the log itself, see hint. Marks of manifests, which seldom change, are
// synced.
type syncMarks struct {
	secret markSecret
	newest atomic.Pointer[syncMark] // of the log

	mu  sync.Mutex
	f   vfs.File // nil: marks are not kept
	seq [markKinds]uint64
}

// The file's sectors: a head, and two slots for each kind, used in turn. The
// head holds a magic, the secret and a checksum; a slot sequence, number and
// length, big-endian, and a checksum. The secret is in every hint, so that
// nobody can make one by what he writes to a database.
const (
	markSector = 512
	markSize   = markSector * (1 + 2*int64(markKinds))
	markMagic  = "hakosync"
	markLen    = 8 + 8 + 8 + 4
)

type markSecret [8]byte

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// markSum is the checksum of a sector's first bytes. It covers the sector's
// number.
func markSum(sector int64, b []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte{'h', byte(sector)}, castagnoli), castagnoli, b)
}

// A markFile is what the file held when the store was opened.
type markFile struct {
	secret *markSecret // nil: there is none
	marks  []syncMark
	seq    [markKinds]uint64
}

func readMarks(fs vfs.FS, path string) (markFile, error) {
	f, err := fs.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return markFile{}, nil
	}
	if err != nil {
		return markFile{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, markSize))
	return decodeMarks(b), err
}

// decodeMarks reads the file's content. Sectors that are torn or damaged say
// nothing.
func decodeMarks(b []byte) (m markFile) {
	b = slices.Concat(b, make([]byte, markSize)) // so that all is there, if only zeros
	if n := len(markMagic) + len(m.secret); string(b[:len(markMagic)]) == markMagic && binary.BigEndian.Uint32(b[n:]) == markSum(0, b[:n]) {
		m.secret = (*markSecret)(b[len(markMagic):n])
	}
	for sector := int64(1); sector <= 2*int64(markKinds); sector++ {
		s := b[sector*markSector:][:markLen]
		if binary.BigEndian.Uint32(s[24:]) != markSum(sector, s[:24]) {
			continue
		}
		kind := markKind((sector - 1) / 2)
		m.seq[kind] = max(m.seq[kind], binary.BigEndian.Uint64(s))
		m.marks = append(m.marks, syncMark{kind, binary.BigEndian.Uint64(s[8:]), int64(min(binary.BigEndian.Uint64(s[16:]), 1<<62))})
	}
	return m
}

// of returns the length that a file was synced up to, if that is known.
func (m *markFile) of(kind markKind, number uint64) (length int64) {
	for _, k := range m.marks {
		if k.kind == kind && k.number == number {
			length = max(length, k.length)
		}
	}
	return length
}

// open begins to keep marks in the file.
func (m *syncMarks) open(fs vfs.FS, path string) error {
	was, err := readMarks(fs, path)
	if err != nil {
		return err
	}
	f, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if was.secret != nil {
		m.secret = *was.secret
	} else {
		err = m.create(fs, path, f)
	}
	if err != nil {
		f.Close()
		return err
	}
	m.f, m.seq = f, was.seq
	return nil
}

// create gives the file a head with a new secret, and its full size. Slots
// that it has stay.
func (m *syncMarks) create(fs vfs.FS, path string, f vfs.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if n := info.Size(); n < markSize {
		if _, err := f.WriteAt(make([]byte, markSize-n), n); err != nil {
			return err
		}
	}
	rand.Read(m.secret[:])
	b := append([]byte(markMagic), m.secret[:]...)
	if _, err := f.WriteAt(binary.BigEndian.AppendUint32(b, markSum(0, b)), 0); err != nil {
		return err
	}
	dir, err := fs.OpenDir(fs.PathDir(path))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), dir.Sync(), dir.Close())
}

// note keeps a mark. It is not an error that it cannot: then damage may pass
// for a write that was cut off, as it would without the file.
func (m *syncMarks) note(mark syncMark) error {
	if mark.kind == markLog {
		m.newest.Store(&mark)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.f == nil {
		return nil
	}
	m.seq[mark.kind]++
	seq := m.seq[mark.kind]
	var b [markLen]byte
	binary.BigEndian.PutUint64(b[:], seq)
	binary.BigEndian.PutUint64(b[8:], mark.number)
	binary.BigEndian.PutUint64(b[16:], uint64(mark.length))
	sector := 1 + 2*int64(mark.kind) + int64(seq%2)
	binary.BigEndian.PutUint32(b[24:], markSum(sector, b[:24]))
	_, err := m.f.WriteAt(b[:], sector*markSector)
	if err == nil && mark.kind == markManifest {
		err = m.f.SyncData()
	}
	return err
}

// sync puts the marks on the disk: nothing is written after them.
func (m *syncMarks) sync() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.f == nil {
		return nil
	}
	return m.f.Sync()
}

func (m *syncMarks) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.f == nil {
		return nil
	}
	err := m.f.Close()
	m.f = nil
	return err
}

// hint returns what each batch carries in the log: how far that was known to
// be synced when the batch was made. A batch found behind a gap in the log so
// tells whether what is missing had been synced.
//
// Pebble's own chunks carry such an offset too. It counts only what partly
// filled blocks were synced with, and lags behind by hundreds of kilobytes.
func (m *syncMarks) hint() []byte {
	mark := m.newest.Load()
	if mark == nil {
		return nil
	}
	b := append(make([]byte, 0, hintLen), m.secret[:]...)
	b = binary.BigEndian.AppendUint64(b, mark.number)
	return binary.BigEndian.AppendUint64(b, uint64(mark.length))
}

const hintLen = len(markSecret{}) + 8 + 8

// markOf tells which mark a file's syncs are kept in.
func markOf(base string) (m syncMark, ok bool) {
	digits, isLog := strings.CutSuffix(base, ".log")
	if !isLog {
		m.kind = markManifest
		if digits, ok = strings.CutPrefix(base, "MANIFEST-"); !ok {
			return m, false
		}
	}
	var err error
	m.number, err = strconv.ParseUint(digits, 10, 64)
	return m, err == nil
}
