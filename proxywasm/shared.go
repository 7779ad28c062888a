package proxywasm

import "sync"

// Shared holds the key-value data and the queues of plugins. Plugins with one
// VMID see the same data, whichever module they are; whoever gives them the
// same Shared decides how far that goes. It is safe for concurrent use.
type Shared struct {
	mu     sync.Mutex
	data   map[string]map[string]sharedValue
	cas    uint32
	queues map[uint32]*queue
	names  map[queueName]uint32
	token  uint32
	size   int // bytes of all values and queued items
}

type sharedValue struct {
	value []byte
	cas   uint32
}

type queueName struct{ vmID, name string }

// A queue tells the last that registered it of each item.
type queue struct {
	items [][]byte
	ready readyFunc
	owner any // who registered ready
	vmID  string
}

// readyFunc is told of an item that was put into a queue.
type readyFunc func(token uint32)

// maxShared bounds the data and queues of one Shared, in bytes, with 64 for
// each value and item.
const (
	maxShared  = 256 << 20
	sharedCost = 64
)

// NewShared makes an empty one.
func NewShared() *Shared {
	return &Shared{
		data:   map[string]map[string]sharedValue{},
		queues: map[uint32]*queue{},
		names:  map[queueName]uint32{},
	}
}

// Get returns a value and the number that Set compares. The value must not
// be changed.
func (s *Shared) Get(vmID, key string) (value []byte, cas uint32, status Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.data[vmID][key]
	if !ok {
		return nil, 0, StatusNotFound
	}
	return v.value, v.cas, StatusOK
}

// Set sets a value if cas is 0, the key is new, or cas is the number that
// goes with the present value.
func (s *Shared) Set(vmID, key string, value []byte, cas uint32) Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.data[vmID][key]
	if ok && cas != 0 && cas != old.cas {
		return StatusCASMismatch
	}
	size := s.size + len(value) - len(old.value)
	if !ok {
		size += sharedCost + len(key)
	}
	if size > maxShared {
		return StatusInternalFailure
	}
	s.size = size
	s.cas++
	if s.cas == 0 {
		s.cas = 1
	}
	if s.data[vmID] == nil {
		s.data[vmID] = map[string]sharedValue{}
	}
	s.data[vmID][key] = sharedValue{append([]byte(nil), value...), s.cas}
	return StatusOK
}

// Delete forgets the data and queues of a VM id.
func (s *Shared) Delete(vmID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, v := range s.data[vmID] {
		s.size -= sharedCost + len(key) + len(v.value)
	}
	delete(s.data, vmID)
	for name, token := range s.names {
		if name.vmID != vmID {
			continue
		}
		for _, item := range s.queues[token].items {
			s.size -= sharedCost + len(item)
		}
		delete(s.queues, token)
		delete(s.names, name)
	}
}

// register makes a queue, or takes one over with what lies in it.
func (s *Shared) register(vmID, name string, owner any, ready readyFunc) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := queueName{vmID, name}
	token, ok := s.names[key]
	if !ok {
		s.token++
		token = s.token
		s.names[key] = token
		s.queues[token] = &queue{vmID: vmID}
	}
	s.queues[token].owner, s.queues[token].ready = owner, ready
	return token
}

// release is for an owner that ends: its queues stay, and tell nobody.
func (s *Shared) release(owner any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.queues {
		if q.owner == owner {
			q.owner, q.ready = nil, nil
		}
	}
}

// resolve finds a queue; 0 is none.
func (s *Shared) resolve(vmID, name string) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names[queueName{vmID, name}]
}

// ownerOf returns the VM id of a queue.
func (s *Shared) ownerOf(token uint32) (vmID string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, ok := s.queues[token]
	if !ok {
		return "", false
	}
	return q.vmID, true
}

func (s *Shared) enqueue(token uint32, item []byte) Status {
	s.mu.Lock()
	q, ok := s.queues[token]
	switch {
	case !ok:
		s.mu.Unlock()
		return StatusNotFound
	case s.size+sharedCost+len(item) > maxShared:
		s.mu.Unlock()
		return StatusInternalFailure
	}
	s.size += sharedCost + len(item)
	q.items = append(q.items, append([]byte(nil), item...))
	ready := q.ready
	s.mu.Unlock()
	if ready != nil {
		ready(token)
	}
	return StatusOK
}

func (s *Shared) dequeue(token uint32) ([]byte, Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, ok := s.queues[token]
	switch {
	case !ok:
		return nil, StatusNotFound
	case len(q.items) == 0:
		return nil, StatusEmpty
	}
	item := q.items[0]
	q.items[0] = nil
	q.items = q.items[1:]
	s.size -= sharedCost + len(item)
	return item, StatusOK
}
