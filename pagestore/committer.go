package pagestore

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// stageBytes is how much of a commit goes into one Pebble batch. What is more
// is staged: written under the version to come, where no reader looks, and
// made visible by the last batch.
const stageBytes = 4 << 20

// Commit makes the transactions' writes the next versions of their databases,
// all of them at once or none, with one commit time. It returns when they are
// on disk. Each database may occur once.
//
// An optimistic transaction waits for the writer lock, as long as ctx allows,
// and is refused with a ConflictError if a page that it read or wrote was
// changed since its snapshot. A transaction that changes no byte makes no
// version: its base's Commit is returned.
//
// The transactions are ended if Commit succeeds; else they stay open for
// Rollback.
func (s *Store) Commit(ctx context.Context, txs ...*Tx) ([]Commit, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.done()
	order := slices.Clone(txs)
	slices.SortFunc(order, func(a, b *Tx) int { return int(int64(a.d.id) - int64(b.d.id)) })
	for i, t := range order {
		if t.d.s != s {
			return nil, fmt.Errorf("commit to %s: the transaction is of another store", t.d.Name())
		}
		if t.writer != nil && t.writer.closed.Load() {
			return nil, fmt.Errorf("commit to %s: writer lock: %w", t.d.Name(), ErrClosed)
		}
		if t.ended {
			return nil, fmt.Errorf("commit to %s: transaction: %w", t.d.Name(), ErrClosed)
		}
		if err := t.checkHoles(); err != nil {
			return nil, err
		}
		if i > 0 && t.d == order[i-1].d {
			return nil, fmt.Errorf("commit two transactions of %s at once: a database may occur once", t.d.Name())
		}
	}
	for _, t := range order {
		if t.writer == nil {
			w, err := t.d.Writer(ctx)
			if err != nil {
				return nil, fmt.Errorf("commit: %w", err)
			}
			defer w.Close()
		}
	}
	for _, t := range order {
		t.d.commitMu.Lock()
		defer t.d.commitMu.Unlock()
	}
	c := committer{s: s, batch: s.db.NewBatch()}
	defer func() { s.closeBatch(c.batch) }()
	defer c.r.close()
	c.r.s = s
	commits := make(map[*Tx]Commit, len(txs))
	for _, t := range order {
		if err := c.add(ctx, t); err != nil {
			return nil, c.fail(err)
		}
	}
	if len(c.parts) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, c.fail(fmt.Errorf("commit: %w", err))
		}
		if err := c.finish(); err != nil {
			return nil, c.fail(err)
		}
	}
	for _, t := range order {
		commits[t] = *t.base.c
	}
	for _, p := range c.parts {
		commits[p.tx] = p.rec.Commit
	}
	out := make([]Commit, len(txs))
	for i, t := range txs {
		out[i] = commits[t]
	}
	for _, t := range txs {
		t.end()
	}
	return out, nil
}

// A committer makes one commit. The writer locks and commitMu of its
// databases are held.
type committer struct {
	s     *Store
	r     pageReader
	batch *pebble.Batch
	parts []*part
	seq   uint32
	buf   []byte
}

// A part is what a commit does to one database.
type part struct {
	tx     *Tx
	head   *Commit
	rec    commitRecord
	pages  []uint32 // changed ones, ascending
	hashes []PageHash
	depths []uint8
	staged int // how many of pages are in lists already
}

// add puts the pages of one transaction into the batch.
func (c *committer) add(ctx context.Context, t *Tx) error {
	d := t.d
	if err := d.usable(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	head := d.head.Load()
	written := t.written()
	count, err := t.validate(head, written)
	if err != nil {
		return err
	}
	if d.dirty {
		if err := c.s.dropStaged(d); err != nil {
			return err
		}
		d.dirty = false
	}
	p := &part{tx: t, head: head}
	p.rec.Commit = Commit{Version: head.Version + 1, PageSize: t.pageSize, PageCount: count, Prev: head.Hash, Meta: t.meta, Note: t.note}
	d.pending.Store(uint64(p.rec.Version))
	c.parts = append(c.parts, p)
	data, base := newPage(t.pageSize), newPage(t.pageSize)
	defer freePage(data)
	defer freePage(base)
	for _, n := range written {
		if err := c.page(p, n, data, base); err != nil {
			return err
		}
		if c.batch.Len() >= stageBytes {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("commit: %w", err)
			}
			if err := c.stage(); err != nil {
				return err
			}
		}
	}
	p.rec.Changed = uint32(len(p.pages))
	if p.rec.Changed == 0 && count == head.PageCount && !t.rewrite {
		d.pending.Store(uint64(head.Version))
		c.parts = c.parts[:len(c.parts)-1]
	}
	return nil
}

// validate refuses a transaction whose snapshot is no longer good and returns
// the page count after it.
func (t *Tx) validate(head *Commit, written []uint32) (uint32, error) {
	base := t.base.c
	if base.Version == head.Version {
		return t.count, nil
	}
	conflict := &ConflictError{Database: t.d.Name(), Base: base.Version, Head: head.Version}
	if t.writer != nil || t.rewrite {
		return 0, conflict
	}
	err := t.d.eachChanged(base.Version, head.Version, func(n uint32) {
		if t.reads.Contains(n) || contains(written, n) || n > t.shrunk && n <= base.PageCount {
			conflict.Pages = append(conflict.Pages, n)
		}
	})
	if err != nil {
		return 0, err
	}
	for n := uint64(head.PageCount) + 1; n <= uint64(base.PageCount); n++ { // cut off since
		if p := uint32(n); t.reads.Contains(p) || contains(written, p) {
			conflict.Pages = append(conflict.Pages, p)
		}
	}
	resized := (t.count != base.PageCount || t.shrunk != base.PageCount) && head.PageCount != base.PageCount
	if len(conflict.Pages) > 0 || resized || head.PageSize != base.PageSize {
		slices.Sort(conflict.Pages)
		conflict.Pages = slices.Compact(conflict.Pages)
		conflict.Pages = conflict.Pages[:min(len(conflict.Pages), 100)]
		return 0, conflict
	}
	if t.count == base.PageCount {
		return head.PageCount, nil
	}
	return t.count, nil
}

func contains(sorted []uint32, n uint32) bool {
	_, ok := slices.BinarySearch(sorted, n)
	return ok
}

// page puts one page's record into the batch, unless it equals what is there.
func (c *committer) page(p *part, n uint32, data, base []byte) error {
	t := p.tx
	if mem, ok := t.pages[n]; ok {
		data = mem
	} else if slot, ok := t.slots[n]; ok {
		if _, err := t.scratch.ReadAt(data, int64(slot)*int64(t.pageSize)); err != nil {
			return err
		}
	} else {
		clear(data) // a hole
	}
	// An optimistic transaction's own pages are the same in base and head.
	var below []byte
	var at pagePlace
	var distance Version
	if !t.rewrite && n <= t.base.c.PageCount && n <= p.head.PageCount {
		place, err := c.r.read(t.d, t.base.c.Version, n, base)
		if err != nil {
			return t.d.readError(t.base.c.Version, n, err)
		}
		if string(base) == string(data) {
			return nil
		}
		below, at = base, place
		if at.owner == t.d {
			distance = p.rec.Version - at.v
		}
	}
	h := hashPage(data)
	var depth uint8
	c.buf, depth = appendPageRecord(c.buf[:0], data, h, below, at.depth, distance)
	var key [pageKeyLen]byte
	if err := c.batch.Set(appendPageKey(key[:0], t.d.id, n, p.rec.Version), c.buf, nil); err != nil {
		return err
	}
	p.rec.Stored += int64(len(c.buf))
	p.pages = append(p.pages, n)
	p.hashes = append(p.hashes, h)
	p.depths = append(p.depths, depth)
	return nil
}

// stage applies the batch without making it visible, along with the lists
// that let recovery remove it.
func (c *committer) stage() error {
	for _, p := range c.parts {
		if p.staged == len(p.pages) {
			continue
		}
		c.batch.Set(stagedKey(p.tx.d.id, p.rec.Version, c.seq), appendRuns(nil, slices.Values(p.pages[p.staged:])), nil)
		p.staged = len(p.pages)
	}
	c.seq++
	for _, p := range c.parts {
		p.tx.d.dirty = true
	}
	if err := c.s.apply(c.batch, pebble.NoSync); err != nil {
		return err
	}
	c.batch.Reset()
	return nil
}

// finish makes everything durable, then visible.
func (c *committer) finish() error {
	now := c.s.opts.Now().UnixNano()
	for _, p := range c.parts {
		now = max(now, p.head.Time.UnixNano()+1, p.tx.d.minTime+1)
	}
	for _, p := range c.parts {
		d, r := p.tx.d, &p.rec
		r.Time = time.Unix(0, now).UTC()
		r.setPages(slices.Values(p.pages))
		ch := newChain(&r.Commit)
		for i, n := range p.pages {
			ch.page(n, p.hashes[i])
		}
		r.Hash = ch.sum()
		c.batch.Set(versionKey(keyCommit, d.id, r.Version), r.encode(), nil)
		c.batch.Set(timeKey(d.id, now), binary.AppendUvarint(nil, uint64(r.Version)), nil)
		if c.seq > 0 {
			c.batch.DeleteRange(versionKey(keyStaged, d.id, r.Version), versionKey(keyStaged, d.id, r.Version+1), nil)
		}
	}
	if err := c.s.apply(c.batch, pebble.Sync); err != nil {
		return err
	}
	for _, p := range c.parts {
		d := p.tx.d
		d.dirty = false
		for i, n := range p.pages {
			c.s.cache.commit(cacheKey{d.id, n}, p.rec.Version, p.depths[i], p.tx.pages[n])
		}
		d.mu.Lock()
		d.changes.add(p.rec.Version, p.pages)
		d.mu.Unlock()
	}
	c.s.publish.Lock()
	for _, p := range c.parts {
		head := p.rec.Commit
		p.tx.d.head.Store(&head)
	}
	c.s.publish.Unlock()
	return nil
}

// fail undoes what a failed commit began.
func (c *committer) fail(err error) error {
	for _, p := range c.parts {
		d := p.tx.d
		d.pending.Store(uint64(d.head.Load().Version))
		if d.dirty && c.s.check() == nil {
			if c.s.dropStaged(d) == nil {
				d.dirty = false
			} // else the next commit or Open does it
		}
	}
	return wrapDiskFull(err)
}

// dropStaged removes pages that were staged for a commit that did not happen:
// of one database, whose commitMu is held, or of all.
func (s *Store) dropStaged(d *Database) error {
	lower, upper := []byte{keyStaged}, []byte{keyStaged + 1}
	if d != nil {
		lower, upper = dbKey(keyStaged, d.id), dbEnd(keyStaged, d.id)
	}
	it, err := s.newIter(lower, upper)
	if err != nil {
		return err
	}
	defer it.Close()
	b := s.db.NewBatch()
	defer func() { s.closeBatch(b) }()
	for ok := it.First(); ok; ok = it.Next() {
		k := it.Key()
		if len(k) != 1+idLen+8+4 {
			return &DamageError{Detail: "a list of staged pages is malformed"}
		}
		id, v := binary.BigEndian.Uint32(k[1:]), Version(binary.BigEndian.Uint64(k[1+idLen:]))
		val, err := it.ValueAndErr()
		if err != nil {
			return wrapDamage(err)
		}
		err = eachRun(val, func(first, last uint32) error {
			for n := uint64(first); n <= uint64(last); n++ {
				if err := b.Delete(appendPageKey(nil, id, uint32(n), v), nil); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		b.Delete(k, nil)
		if b.Len() >= stageBytes {
			if err := s.free(b, pebble.NoSync); err != nil {
				return err
			}
			b.Reset()
		}
	}
	if err := it.Error(); err != nil {
		return wrapDamage(err)
	}
	return s.free(b, pebble.Sync)
}
