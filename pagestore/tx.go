package pagestore

import (
	"fmt"
	"slices"
	"sync"
)

// TxOptions tune a transaction. The zero value is an optimistic transaction on
// the head.
type TxOptions struct {
	Writer   *Writer   // the writer lock, held by the caller; nil: optimistic
	Snapshot *Snapshot // what it begins from; nil: the head
	PageSize int       // if it differs from the snapshot's, the transaction begins with no pages; 0: the snapshot's
	Note     string    // for the log
}

// A Tx collects page writes on top of a snapshot. It belongs to one goroutine
// at a time and ends with Commit or Rollback.
type Tx struct {
	d        *Database
	base     *Snapshot
	writer   *Writer
	pageSize int
	count    uint32 // pages
	meta     []byte
	note     string
	rewrite  bool // page size changed: nothing of the base remains
	ended    bool

	pages   map[uint32][]byte // written ones in memory
	bytes   int
	scratch *Scratch          // written ones beyond SpillBytes
	slots   map[uint32]uint32 // page -> its place in scratch
	spare   []uint32          // places in scratch of pages that were cut off
	shrunk  uint32            // the least number of pages that it ever had: those past it are no longer the base's
	reads   PageSet           // if optimistic
}

// Begin starts a transaction.
func (d *Database) Begin(o TxOptions) (*Tx, error) {
	if err := d.usable(); err != nil {
		return nil, err
	}
	if o.Writer != nil && o.Writer.d != d {
		return nil, fmt.Errorf("begin a transaction on %s: the writer lock is another database's", d.Name())
	}
	if o.Writer != nil && o.Writer.closed.Load() {
		return nil, fmt.Errorf("begin a transaction on %s: writer lock: %w", d.Name(), ErrClosed)
	}
	var base *Snapshot
	var err error
	if o.Snapshot == nil {
		base, err = d.HeadSnapshot()
	} else if o.Snapshot.d != d {
		return nil, fmt.Errorf("begin a transaction on %s: the snapshot is of %s", d.Name(), o.Snapshot.d.Name())
	} else {
		base, err = o.Snapshot.Clone()
	}
	if err != nil {
		return nil, err
	}
	t := &Tx{d: d, base: base, writer: o.Writer, pageSize: base.c.PageSize, count: base.c.PageCount, meta: base.c.Meta,
		note: o.Note, pages: make(map[uint32][]byte)}
	if o.PageSize != 0 && o.PageSize != t.pageSize {
		if err := checkPageSize(o.PageSize); err != nil {
			base.Close()
			return nil, err
		}
		t.pageSize, t.count, t.rewrite = o.PageSize, 0, true
	}
	t.shrunk = t.count
	d.mu.Lock()
	d.txs++
	d.mu.Unlock()
	return t, nil
}

// Snapshot returns what the transaction began from. It is closed with the
// transaction.
func (t *Tx) Snapshot() *Snapshot { return t.base }

// PageSize returns the size of the transaction's pages in bytes.
func (t *Tx) PageSize() int { return t.pageSize }

// PageCount returns the number of pages that the database would have if the
// transaction were committed now.
func (t *Tx) PageCount() uint32 { return t.count }

// SetMeta replaces the commit's Meta. Meta alone is no change: it is stored
// with a commit that changes pages.
func (t *Tx) SetMeta(meta []byte) { t.meta = slices.Clone(meta) }

// SetNote replaces the commit's note.
func (t *Tx) SetNote(note string) { t.note = note }

// RecordRead tells an optimistic transaction that its owner relies on a page
// of its snapshot.
func (t *Tx) RecordRead(n uint32) {
	if t.writer == nil {
		t.reads.Add(n)
	}
}

// ReadPage reads page n as the transaction sees it.
func (t *Tx) ReadPage(n uint32, dst []byte) error {
	if t.ended {
		return fmt.Errorf("read page %d of %s: transaction: %w", n, t.d.Name(), ErrClosed)
	}
	if n == 0 || n > t.count || len(dst) != t.pageSize {
		return fmt.Errorf("read page %d of a transaction on %s into %d bytes: it has pages 1 to %d of %d bytes",
			n, t.base, len(dst), t.count, t.pageSize)
	}
	if p, ok := t.pages[n]; ok {
		copy(dst, p)
		return nil
	}
	if slot, ok := t.slots[n]; ok {
		_, err := t.scratch.ReadAt(dst, int64(slot)*int64(t.pageSize))
		return err
	}
	if t.fromBase(n) {
		t.RecordRead(n)
		return t.base.ReadPage(n, dst)
	}
	clear(dst)
	return nil
}

// fromBase reports whether page n, if it was not written, is the base's.
func (t *Tx) fromBase(n uint32) bool { return !t.rewrite && n <= t.shrunk }

// WritePage replaces page n, from 1 on, making the database longer if need be.
func (t *Tx) WritePage(n uint32, data []byte) error {
	if t.ended {
		return fmt.Errorf("write page %d of %s: transaction: %w", n, t.d.Name(), ErrClosed)
	}
	if n == 0 || len(data) != t.pageSize {
		return fmt.Errorf("write page %d of %s with %d bytes: pages count from 1 and have %d bytes", n, t.base, len(data), t.pageSize)
	}
	t.count = max(t.count, n)
	p, ok := t.pages[n]
	if !ok {
		if t.bytes+t.pageSize > t.d.s.opts.SpillBytes && t.bytes > 0 {
			if err := t.spill(); err != nil {
				return err
			}
		}
		p = newPage(t.pageSize)
		t.pages[n] = p
		t.bytes += t.pageSize
	}
	copy(p, data)
	return nil
}

// spill moves the pages in memory to the scratch file.
func (t *Tx) spill() error {
	if t.scratch == nil {
		t.scratch = t.d.s.NewScratch()
		t.slots = make(map[uint32]uint32)
	}
	for _, n := range t.inMemory() {
		slot, ok := t.slots[n]
		k := len(t.spare)
		if !ok && k > 0 {
			slot = t.spare[k-1]
		} else if !ok {
			slot = uint32(len(t.slots))
		}
		if _, err := t.scratch.WriteAt(t.pages[n], int64(slot)*int64(t.pageSize)); err != nil {
			return err
		}
		if t.slots[n] = slot; !ok && k > 0 {
			t.spare = t.spare[:k-1]
		}
		freePage(t.pages[n])
		delete(t.pages, n)
	}
	t.bytes = 0
	return nil
}

func (t *Tx) inMemory() []uint32 {
	all := make([]uint32, 0, len(t.pages))
	for n := range t.pages {
		all = append(all, n)
	}
	slices.Sort(all)
	return all
}

// Truncate sets the number of pages. Pages added read as zeros.
func (t *Tx) Truncate(pages uint32) {
	if pages < t.count {
		for n := range t.pages {
			if n > pages {
				freePage(t.pages[n])
				delete(t.pages, n)
				t.bytes -= t.pageSize
			}
		}
		for n, slot := range t.slots {
			if n > pages {
				delete(t.slots, n)
				t.spare = append(t.spare, slot)
			}
		}
	}
	t.count = pages
	t.shrunk = min(t.shrunk, pages)
}

// maxHoles bounds the pages that one transaction may add without writing them:
// each takes a record.
const maxHoles = 1 << 22

// checkHoles refuses a transaction that made the database longer by a page far
// out, most likely by mistake.
func (t *Tx) checkHoles() error {
	added := int64(t.count) - int64(t.shrunk)
	if holes := added - int64(len(t.pages)+len(t.slots)); holes > maxHoles {
		return fmt.Errorf("commit to %s: the database would grow from %d to %d pages, and %d of them were not written: at most %d may be left out",
			t.d.Name(), t.base.c.PageCount, t.count, holes, maxHoles)
	}
	return nil
}

// written returns the pages to store, ascending: those written within the page
// count, and those in holes that growing made.
func (t *Tx) written() []uint32 {
	all := make([]uint32, 0, len(t.pages)+len(t.slots))
	for n := range t.pages {
		if n <= t.count {
			all = append(all, n)
		}
	}
	for n := range t.slots {
		if _, twice := t.pages[n]; !twice && n <= t.count {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	if t.count == t.shrunk {
		return all
	}
	i, _ := slices.BinarySearch(all, t.shrunk+1)
	if uint64(len(all)-i) == uint64(t.count)-uint64(t.shrunk) {
		return all // all that was added was written
	}
	all = all[:i]
	for n := uint64(t.shrunk) + 1; n <= uint64(t.count); n++ {
		all = append(all, uint32(n))
	}
	return all
}

// Rollback ends the transaction and forgets its writes. It does nothing after
// a commit that succeeded.
func (t *Tx) Rollback() { t.end() }

func (t *Tx) end() {
	if t.ended {
		return
	}
	t.ended = true
	for _, p := range t.pages {
		freePage(p)
	}
	t.pages, t.slots, t.reads = nil, nil, PageSet{}
	if t.scratch != nil {
		t.scratch.Close()
		t.scratch = nil
	}
	t.d.mu.Lock()
	t.d.txs--
	t.d.mu.Unlock()
	t.base.Close()
}

// pagePools keep page buffers by size, 512 << i bytes.
var pagePools [8]sync.Pool

// newPage returns a buffer of any content.
func newPage(size int) []byte {
	if p, ok := pagePools[log2(size)-9].Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, size)
}

func freePage(p []byte) { pagePools[log2(len(p))-9].Put(&p) }
