package proxywasm

// A Recorder is told of all that passes between plugins and their host. It is
// called while the plugin runs, by one goroutine at a time for each VM, and
// must not keep an Event: Clone does.
type Recorder interface {
	Record(*Event)
}

// RecorderFunc is a Recorder that is a function.
type RecorderFunc func(*Event)

// Record calls f.
func (f RecorderFunc) Record(e *Event) { f(e) }

// An EventKind tells events apart.
type EventKind string

// The kinds. A callback begins with Enter and ends with Leave, and the host
// calls that it makes lie in between; the allocator, which the host calls for
// results, is a callback within a host call.
const (
	Enter EventKind = "enter"
	Leave EventKind = "leave"
	Call  EventKind = "call" // of a host function, when it is over
)

// Names of Call events that are none of host functions: what a plugin writes
// to its standard output (Args has the level), and what it takes from the
// clocks (Args has 0 for the time of day, 1 for the monotonic one) and from
// chance.
const (
	CallOutput = "fd_write"
	CallClock  = "clock"
	CallRandom = "random"
)

// An Event is one step between a plugin and its host.
type Event struct {
	VM      int       `json:"vm"`
	Kind    EventKind `json:"kind"`
	Name    string    `json:"name"` // of the function
	Context uint32    `json:"context"`
	Depth   int       `json:"depth,omitempty"` // 1 within the allocator
	Args    []uint64  `json:"args,omitempty"`
	Result  uint64    `json:"result"`
	In      []Input   `json:"in,omitempty"`  // what a host function read of the memory
	Out     []Output  `json:"out,omitempty"` // what it wrote
	Err     string    `json:"err,omitempty"`
}

// An Input is what a host function read of a plugin's memory, and where.
type Input struct {
	Pointer uint32 `json:"pointer,omitempty"`
	Data    []byte `json:"data"`
}

// An Output is what a host function wrote into a plugin's memory: data that
// the plugin's allocator made room for, with its address and length at
// Pointer and Size, or plain bytes at Pointer.
type Output struct {
	Pointer uint32 `json:"pointer"`
	Size    uint32 `json:"size,omitempty"`
	Alloc   bool   `json:"alloc,omitempty"`
	Data    []byte `json:"data"`
}

// Clone returns a copy to keep.
func (e *Event) Clone() *Event {
	c := *e
	c.Args = append([]uint64(nil), e.Args...)
	c.In = make([]Input, len(e.In))
	for i, in := range e.In {
		in.Data = append([]byte{}, in.Data...)
		c.In[i] = in
	}
	c.Out = make([]Output, len(e.Out))
	for i, o := range e.Out {
		o.Data = append([]byte{}, o.Data...)
		c.Out[i] = o
	}
	return &c
}
