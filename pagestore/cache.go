package pagestore

import (
	"math"
	"sync"
)

// The page cache keeps page contents in memory outside the Go heap, in shards
// with a lock each. An entry is one record's content and the interval of
// versions for which it is known to be the newest: [from, to], where to is
// openEnd while no later version of the page exists.
//
// Memory is handed out in chunks of 64 KiB; a chunk holds slots of one page
// size. Within a page size the CLOCK algorithm picks what to drop.
type cache struct {
	shards []cacheShard
	mask   uint32
	mem    []byte
	free   func() error
}

const (
	chunkSize = 64 << 10
	openEnd   = Version(math.MaxUint64)
	noSlot    = -1
)

type cacheKey struct{ db, page uint32 }

type cacheShard struct {
	mu      sync.Mutex
	m       map[cacheKey]int32 // newest-used slot of the page; others follow by next
	chunks  []cacheChunk
	mem     []byte
	classes [8]cacheClass // by page size, 512 << i
	unused  int32         // chunks from here on were never used
	turn    uint32

	// redirects remember that a branch has not changed a page up to a version.
	redirects    map[cacheKey]redirect
	maxRedirects int

	hits, misses uint64
}

// A redirect tells where a branch's page is found in its ancestors, for the
// branch's versions up to to.
type redirect struct {
	to    Version
	owner point // the ancestor and its version of the page
}

type cacheChunk struct {
	class int8
	slots []cacheSlot
}

type cacheSlot struct {
	key      cacheKey
	from, to Version
	next     int32
	depth    uint8
	used     bool // holds an entry
	recent   bool
}

type cacheClass struct {
	chunks []int32
	hand   int // over all slots of the class
	free   []int32
}

// A slot's handle is its chunk's number << 8 and its place in the chunk.

func newCache(bytes int64) (*cache, error) {
	n := 1
	for n < 64 && int64(n)*2<<20 <= bytes {
		n *= 2
	}
	perShard := max(bytes/int64(n)/chunkSize, 2)
	mem, free, err := allocOffHeap(int(perShard) * n * chunkSize)
	if err != nil {
		return nil, err
	}
	c := &cache{shards: make([]cacheShard, n), mask: uint32(n - 1), mem: mem, free: free}
	for i := range c.shards {
		s := &c.shards[i]
		size := int(perShard) * chunkSize
		s.mem = mem[i*size : (i+1)*size]
		s.m = make(map[cacheKey]int32)
		s.chunks = make([]cacheChunk, perShard)
		s.redirects = make(map[cacheKey]redirect)
		s.maxRedirects = max(size/1024, 256)
	}
	return c, nil
}

func (c *cache) Close() error {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.m, s.chunks, s.redirects, s.mem = nil, nil, nil, nil
		s.classes = [8]cacheClass{}
		s.mu.Unlock()
	}
	if c.free == nil {
		return nil
	}
	return c.free()
}

func (c *cache) shard(k cacheKey) *cacheShard {
	h := (k.page ^ k.db*0x9e3779b1) * 0x85ebca6b
	return &c.shards[(h>>16)&c.mask]
}

func (s *cacheShard) slot(h int32) *cacheSlot { return &s.chunks[h>>8].slots[h&255] }

func (s *cacheShard) data(h int32) []byte {
	ch := &s.chunks[h>>8]
	size := 512 << ch.class
	at := int(h>>8)*chunkSize + int(h&255)*size
	return s.mem[at : at+size]
}

// get copies the page's content at version v to dst and returns the version
// and depth of its record.
func (c *cache) get(k cacheKey, v Version, dst []byte) (from Version, depth uint8, ok bool) {
	s := c.shard(k)
	s.mu.Lock()
	h, found := s.m[k]
	for found && h != noSlot {
		sl := s.slot(h)
		if sl.from <= v && v <= sl.to {
			data := s.data(h)
			if len(data) != len(dst) {
				break
			}
			copy(dst, data)
			sl.recent = true
			s.hits++
			from, depth = sl.from, sl.depth
			s.mu.Unlock()
			return from, depth, true
		}
		h = sl.next
	}
	s.misses++
	s.mu.Unlock()
	return 0, 0, false
}

// has reports whether the page's content at version v is there.
func (c *cache) has(k cacheKey, v Version) bool {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	h, found := s.m[k]
	for found && h != noSlot {
		sl := s.slot(h)
		if sl.from <= v && v <= sl.to {
			return true
		}
		h = sl.next
	}
	return false
}

// put enters content read from the store at snapshot version v: the record's
// version is from, and open tells, under the shard's lock, whether no commit
// has begun since v was the head.
func (c *cache) put(k cacheKey, from, v Version, depth uint8, data []byte, open func() bool) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		return
	}
	to := v
	if open() {
		to = openEnd
	}
	if h, ok := s.m[k]; ok {
		for ; h != noSlot; h = s.slot(h).next {
			if sl := s.slot(h); sl.from == from {
				sl.to = max(sl.to, to)
				sl.recent = true
				return
			}
		}
	}
	s.insert(k, from, to, depth, data)
}

// commit enters what a commit wrote at version v and ends the interval of the
// content before, whose slot it takes: the newest content is read most, and a
// page that is written often must not fill the cache with its past.
func (c *cache) commit(k cacheKey, v Version, depth uint8, data []byte) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		return
	}
	if r, ok := s.redirects[k]; ok && r.to >= v {
		r.to = v - 1
		s.redirects[k] = r
	}
	if h, ok := s.m[k]; ok {
		for ; h != noSlot; h = s.slot(h).next {
			sl := s.slot(h)
			if sl.to < v {
				continue
			}
			if buf := s.data(h); data != nil && len(buf) == len(data) {
				copy(buf, data)
				sl.from, sl.to, sl.depth, sl.recent = v, openEnd, depth, true
				return
			}
			sl.to = v - 1
			break // no other entry can be valid still
		}
	}
	if data != nil {
		s.insert(k, v, openEnd, depth, data)
	}
}

func (c *cache) redirect(k cacheKey, v Version) (point, bool) {
	s := c.shard(k)
	s.mu.Lock()
	r, ok := s.redirects[k]
	s.mu.Unlock()
	return r.owner, ok && v <= r.to
}

func (c *cache) putRedirect(k cacheKey, v Version, owner point, open func() bool) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.redirects == nil {
		return
	}
	to := v
	if open() {
		to = openEnd
	}
	if r, ok := s.redirects[k]; ok {
		to = max(to, r.to)
	} else if len(s.redirects) >= s.maxRedirects {
		for old := range s.redirects { // map order is as good as random
			delete(s.redirects, old)
			break
		}
	}
	s.redirects[k] = redirect{to: to, owner: owner}
}

func (s *cacheShard) insert(k cacheKey, from, to Version, depth uint8, data []byte) {
	h, ok := s.take(log2(len(data)) - 9)
	if !ok {
		return
	}
	copy(s.data(h), data)
	next, ok := s.m[k] // read after take, which may have dropped it
	if !ok {
		next = noSlot
	}
	*s.slot(h) = cacheSlot{key: k, from: from, to: to, next: next, depth: depth, used: true}
	s.m[k] = h
}

// take returns an empty slot of the class.
func (s *cacheShard) take(class int) (int32, bool) {
	c := &s.classes[class]
	if n := len(c.free); n > 0 {
		h := c.free[n-1]
		c.free = c.free[:n-1]
		return h, true
	}
	if int(s.unused) < len(s.chunks) {
		s.unused++
		s.assign(s.unused-1, class)
		return s.take(class)
	}
	// Now and then take a chunk from the class that has most of them, so that
	// the shares follow the use.
	s.turn++
	if len(c.chunks) == 0 || s.turn%256 == 0 {
		big := class
		for i := range s.classes {
			if len(s.classes[i].chunks) > len(s.classes[big].chunks) {
				big = i
			}
		}
		if big != class {
			s.reassign(big, class)
			return s.take(class)
		}
	}
	per := chunkSize / (512 << class)
	for n := len(c.chunks) * per * 2; n > 0; n-- {
		at := c.hand
		c.hand = (c.hand + 1) % (len(c.chunks) * per)
		h := c.chunks[at/per]<<8 | int32(at%per)
		sl := s.slot(h)
		if sl.recent {
			sl.recent = false
			continue
		}
		if sl.used {
			s.drop(h)
		}
		return h, true
	}
	return 0, false
}

func (s *cacheShard) assign(chunk int32, class int) {
	per := chunkSize / (512 << class)
	ch := &s.chunks[chunk]
	ch.class = int8(class)
	ch.slots = make([]cacheSlot, per)
	c := &s.classes[class]
	c.chunks = append(c.chunks, chunk)
	for i := per - 1; i >= 0; i-- {
		c.free = append(c.free, chunk<<8|int32(i))
	}
}

func (s *cacheShard) reassign(from, to int) {
	c := &s.classes[from]
	chunk := c.chunks[len(c.chunks)-1]
	c.chunks = c.chunks[:len(c.chunks)-1]
	c.hand = 0
	for i := range s.chunks[chunk].slots {
		if h := chunk<<8 | int32(i); s.slot(h).used {
			s.drop(h)
		}
	}
	kept := c.free[:0]
	for _, h := range c.free {
		if h>>8 != chunk {
			kept = append(kept, h)
		}
	}
	c.free = kept
	s.assign(chunk, to)
}

// drop takes the slot's entry out of its page's list.
func (s *cacheShard) drop(h int32) {
	sl := s.slot(h)
	sl.used = false
	head := s.m[sl.key]
	if head == h {
		if sl.next == noSlot {
			delete(s.m, sl.key)
		} else {
			s.m[sl.key] = sl.next
		}
		return
	}
	for at := head; at != noSlot; at = s.slot(at).next {
		if s.slot(at).next == h {
			s.slot(at).next = sl.next
			return
		}
	}
}

// CacheStat counts the page cache's look-ups.
type CacheStat struct {
	Hits, Misses uint64
	Pages        int64
	Bytes        int64 // memory reserved
}

func (c *cache) stat() CacheStat {
	st := CacheStat{Bytes: int64(len(c.mem))}
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		st.Hits += s.hits
		st.Misses += s.misses
		for _, ch := range s.chunks {
			for j := range ch.slots {
				if ch.slots[j].used {
					st.Pages++
				}
			}
		}
		s.mu.Unlock()
	}
	return st
}
