package pagestore

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// A readAhead enters the pages that a scan will come to in the cache, on other
// cores and with a walk over the records instead of a search for each page. It
// begins when pages that the cache does not have are asked for one after the
// other, and reads pieces that grow, several at once. The Snapshot owns it: a
// piece's goroutine ends with the piece or when the snapshot is closed.
type readAhead struct {
	next atomic.Uint32 // reading a page from here to end begins the next piece; 0: none
	end  atomic.Uint32 // the first page after the last piece
	stop atomic.Bool

	mu      sync.Mutex
	moved   sync.Cond
	pieces  []*piece    // that are being read
	idle    []*walker   // of pieces that were read
	size    uint32      // of the last piece
	waiting atomic.Bool // for a piece to come to a page

	last uint32 // the page asked for last, of those that the cache did not have
	run  int    // how many of them followed each other
}

// A piece is a range of pages that is being read.
type piece struct{ at, end uint32 }

// A walker is what a piece is read with.
type walker struct{ run, single pageReader }

const (
	aheadAfter = 3  // pages in sequence
	aheadGap   = 2  // pages that a sequence may leave out
	aheadMin   = 8  // pages of the first piece
	aheadMax   = 64 // pages of any
	aheadLots  = 8  // pages that are waited for at once, to wake up less often
	aheadSteps = 4  // records to step over before searching
	aheadTasks = 4  // pieces at once, on as many cores
)

// missed notes that page n was not in the cache; s.mu is held.
func (s *Snapshot) missed(n uint32) {
	a := &s.ahead
	if n > a.last && n-a.last <= aheadGap {
		a.run++
	} else {
		a.run = 1
	}
	a.last = n
	if a.run >= aheadAfter && !s.d.s.opts.noReadAhead {
		s.readOn(n)
	}
}

// hit notes that page n was in the cache: the scan may have come to where the
// next piece is due.
func (s *Snapshot) hit(n uint32) {
	if next := s.ahead.next.Load(); next != 0 && n >= next && n < s.ahead.end.Load() {
		s.readOn(n)
	}
}

// readOn begins the pieces that are due when a scan has come to page n.
func (s *Snapshot) readOn(n uint32) {
	a := &s.ahead
	a.mu.Lock()
	defer a.mu.Unlock()
	a.moved.L = &a.mu
	tasks := min(runtime.GOMAXPROCS(0), aheadTasks)
	end := a.end.Load()
	if end == 0 || n >= end && n-end > aheadGap || n < end && end-n > uint32(tasks+1)*aheadMax { // another scan
		a.size, end = aheadMin/2, n+1
	}
	end = max(end, n+1)
	// A scan must not fill the cache.
	most := max(uint32(s.d.s.opts.PageCache/16/int64(s.c.PageSize)), aheadMin)
	for len(a.pieces) < tasks && end <= s.c.PageCount && end-n <= uint32(tasks)*a.size && end-n <= most && !a.stop.Load() {
		a.size = min(a.size*2, aheadMax, most)
		p := &piece{end, end + min(a.size, s.c.PageCount-end+1)}
		end = p.end
		a.pieces = append(a.pieces, p)
		w := new(walker)
		if k := len(a.idle); k > 0 {
			w, a.idle = a.idle[k-1], a.idle[:k-1]
		}
		go s.readPiece(p, w)
	}
	a.end.Store(end)
	a.next.Store(max(n+1, end-min(end, a.size*uint32(tasks)/2)))
}

func (s *Snapshot) readPiece(p *piece, w *walker) {
	a := &s.ahead
	buf := newPage(s.c.PageSize)
	// Errors are for whoever asks for the page.
	_ = s.readPages(p, w, buf)
	freePage(buf)
	a.mu.Lock()
	defer a.mu.Unlock()
	p.at = p.end
	a.pieces = slices.DeleteFunc(a.pieces, func(q *piece) bool { return q == p })
	a.idle = append(a.idle, w)
	a.moved.Broadcast()
}

// come notes that a piece has come to page n.
func (a *readAhead) come(p *piece, n uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p.at = n
	if a.waiting.Load() {
		a.moved.Broadcast()
	}
}

// wait returns when page n is not about to be read, or was; s.mu is held.
func (a *readAhead) wait(n uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.pieces {
		if n < p.at || n >= p.end {
			continue
		}
		for until := min(n+aheadLots, p.end); p.at < until; {
			a.waiting.Store(true)
			a.moved.Wait()
		}
		a.waiting.Store(false)
		return
	}
}

// close ends what is under way.
func (a *readAhead) close() {
	a.stop.Store(true)
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.pieces) > 0 {
		a.moved.Wait()
	}
	for _, w := range a.idle {
		w.run.close()
		w.single.close()
	}
}

// closeIdle closes the iterators that were not used for a while. It reports
// whether there still are any.
func (a *readAhead) closeIdle() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.idle = slices.DeleteFunc(a.idle, func(w *walker) bool {
		run, single := w.run.closeIdle(), w.single.closeIdle()
		return !run && !single
	})
	return len(a.pieces)+len(a.idle) > 0
}

// readPages enters the pages of a piece in the cache.
func (s *Snapshot) readPages(p *piece, w *walker, buf []byte) error {
	r, d, v := &w.run, s.d, s.c.Version
	r.s, w.single.s = s.d.s, s.d.s
	before := d.pending.Load()
	if err := r.ready(); err != nil {
		return err
	}
	positioned := false
	for n, end := p.at, p.end; n < end; n++ {
		if n%aheadLots == 0 {
			s.ahead.come(p, n)
		}
		if s.ahead.stop.Load() || s.d.s.check() != nil {
			return nil
		}
		if d.s.cache.has(cacheKey{d.id, n}, v) {
			continue
		}
		found, err := r.walkTo(d.id, n, v, positioned)
		if err != nil {
			return err
		}
		positioned = true
		if !found { // it is in a snapshot that d began from
			if _, err := w.single.read(d, v, n, buf); err != nil {
				return err
			}
			continue
		}
		at := pageKeyVersion(r.it.Key())
		depth, err := r.reconstruct(d, n, at, buf)
		if err != nil {
			return err
		}
		d.s.cache.put(cacheKey{d.id, n}, at, v, depth, buf, func() bool { return stillHead(d, before, v) })
	}
	return nil
}

// walkTo moves to the newest record of a page that is not newer than v, as
// find does, but forward from where the iterator is, if it is at a page before
// this one.
func (r *pageReader) walkTo(id, page uint32, v Version, positioned bool) (bool, error) {
	r.key = appendPageKey(r.key[:0], id, page, v)
	ok := positioned && r.it.Valid()
	for range aheadSteps {
		if !ok || bytes.Compare(r.it.Key(), r.key) >= 0 {
			break
		}
		ok = r.it.Next()
	}
	if !ok || bytes.Compare(r.it.Key(), r.key) < 0 {
		ok = r.it.SeekGE(r.key)
	}
	if !ok {
		return false, wrapDamage(r.it.Error())
	}
	return binary.BigEndian.Uint32(r.it.Key()[1:]) == id && pageKeyPage(r.it.Key()) == page, nil
}
