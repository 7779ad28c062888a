package pagestore

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/zeebo/blake3"
)

// A Hash is a BLAKE3 hash.
type Hash [32]byte

// String returns the hash in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// A PageHash is the first 128 bits of the BLAKE3 hash of a page's content.
type PageHash [16]byte

func hashPage(data []byte) (h PageHash) {
	sum := blake3.Sum256(data)
	copy(h[:], sum[:])
	return h
}

// A Commit describes one version of a database.
type Commit struct {
	Version   Version
	Time      time.Time // UTC; strictly increasing within a database
	PageSize  int       // bytes
	PageCount uint32    // size of the database at this version, in pages
	Changed   uint32    // number of pages that this commit changed
	Stored    int64     // bytes that its page records took before compression
	Prev      Hash      // hash of the version before
	Hash      Hash
	Meta      []byte // of the layer above; part of the hash
	Note      string // what made the version; may be empty; part of the hash
}

// chain accumulates a commit's hash: BLAKE3 over the previous hash, version,
// time, sizes, meta, note, and each changed page's number and hash in
// ascending order.
type chain struct{ h *blake3.Hasher }

// hashers are kept: a new one takes 10 KB.
var hashers = sync.Pool{New: func() any { return blake3.New() }}

func newChain(c *Commit) chain {
	h := hashers.Get().(*blake3.Hasher)
	h.Reset()
	b := append(make([]byte, 0, 128), c.Prev[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Version))
	b = binary.BigEndian.AppendUint64(b, uint64(c.Time.UnixNano()))
	b = binary.BigEndian.AppendUint32(b, uint32(c.PageSize))
	b = binary.BigEndian.AppendUint32(b, c.PageCount)
	b = binary.AppendUvarint(b, uint64(len(c.Meta)))
	b = append(b, c.Meta...)
	b = binary.AppendUvarint(b, uint64(len(c.Note)))
	b = append(b, c.Note...)
	h.Write(b)
	return chain{h}
}

func (c chain) page(n uint32, p PageHash) {
	var b [4 + len(p)]byte
	binary.BigEndian.PutUint32(b[:], n)
	copy(b[4:], p[:])
	c.h.Write(b[:])
}

// sum returns the hash and ends the chain.
func (c chain) sum() (h Hash) {
	c.h.Sum(h[:0])
	hashers.Put(c.h)
	return h
}

// commitRecord is a Commit as stored, with its page lists.
type commitRecord struct {
	Commit
	runs  []byte // the pages that this commit changed
	since []byte // if versions before were trimmed: the pages changed since the last version kept, else nil
}

const commitFormat = 1

var errRecord = errors.New("record is malformed")

func (r *commitRecord) encode() []byte {
	b := make([]byte, 0, 128+len(r.Meta)+len(r.Note)+len(r.runs)+len(r.since))
	b = append(b, commitFormat)
	b = binary.AppendVarint(b, r.Time.UnixNano())
	b = append(b, byte(log2(r.PageSize)))
	b = binary.AppendUvarint(b, uint64(r.PageCount))
	b = binary.AppendUvarint(b, uint64(r.Changed))
	b = binary.AppendUvarint(b, uint64(r.Stored))
	b = append(b, r.Prev[:]...)
	b = append(b, r.Hash[:]...)
	b = appendBytes(b, r.Meta)
	b = appendBytes(b, []byte(r.Note))
	b = appendBytes(b, r.runs)
	if r.since != nil {
		b = appendBytes(b, r.since)
	}
	return b
}

func decodeCommit(v Version, b []byte) (*commitRecord, error) {
	d := decoder{b: b}
	if f := d.byte(); d.err == nil && f != commitFormat {
		return nil, fmt.Errorf("%w: commit record format %d", ErrFormat, f)
	}
	r := &commitRecord{}
	r.Version = v
	r.Time = time.Unix(0, d.varint()).UTC()
	r.PageSize = 1 << (d.byte() & 31)
	r.PageCount = d.uint32()
	r.Changed = d.uint32()
	r.Stored = int64(d.uvarint())
	d.fixed(r.Prev[:])
	d.fixed(r.Hash[:])
	r.Meta = d.bytes()
	r.Note = string(d.bytes())
	r.runs = d.bytes()
	if d.err == nil && len(d.b) > 0 {
		r.since = d.bytes()
		if r.since == nil {
			r.since = []byte{}
		}
	}
	if d.err == nil && (len(d.b) > 0 || checkPageSize(r.PageSize) != nil) {
		d.err = errRecord
	}
	if d.err != nil {
		return nil, d.err
	}
	return r, nil
}

// pages returns the pages that the commit changed.
func (r *commitRecord) pages() (*PageSet, error) {
	p := &PageSet{}
	return p, p.addRuns(r.runs)
}

func (r *commitRecord) setPages(pages iter.Seq[uint32]) { r.runs = appendRuns(nil, pages) }

func log2(n int) int {
	i := 0
	for n > 1 {
		n >>= 1
		i++
	}
	return i
}

// checkPageSize accepts the powers of two that SQLite does.
func checkPageSize(n int) error {
	if n < 512 || n > 65536 || n&(n-1) != 0 {
		return fmt.Errorf("page size %d: it must be a power of two from 512 to 65536", n)
	}
	return nil
}

func appendBytes(b, v []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

// A decoder reads the fields of a record; the first error sticks.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) byte() byte {
	if d.err != nil || len(d.b) == 0 {
		d.err = errRecord
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) uvarint() uint64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.err = errRecord
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) uint32() uint32 {
	v := d.uvarint()
	if v > 1<<32-1 {
		d.err = errRecord
		return 0
	}
	return uint32(v)
}

func (d *decoder) varint() int64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.err = errRecord
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) fixed(dst []byte) {
	if d.err != nil || len(d.b) < len(dst) {
		d.err = errRecord
		return
	}
	copy(dst, d.b)
	d.b = d.b[len(dst):]
}

// bytes returns a copy, nil if it is empty.
func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if d.err != nil || n > uint64(len(d.b)) {
		d.err = errRecord
		return nil
	}
	if n == 0 {
		return nil
	}
	v := append([]byte(nil), d.b[:n]...)
	d.b = d.b[n:]
	return v
}
