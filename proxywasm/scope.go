package proxywasm

// A scope is a context of the specification: of a configuration (a root) or
// of a stream. It belongs to a vm and is used under its lock.
type scope struct {
	id     uint32
	vm     *vm
	root   *scope // itself, of a root
	config *Root
	index  int     // of a root, in Config.Roots
	stream *Stream // nil of a root

	// parked is between a proxy_on_done that returned false and proxy_done.
	parked bool
	// leaving is after proxy_done, until the running callback is over.
	leaving bool

	*rootState // of a root
}

// rootState is what roots have beside.
type rootState struct {
	period     uint32 // of ticks, in milliseconds; 0 is none
	stopTick   func()
	queues     []string
	calls      map[uint32]*outcall
	nextGRPC   uint32
	configures bool // the configuration can be read

	// What the callback under way has to show.
	response      *HTTPResponse
	grpcInitial   *Headers
	grpcTrailing  *Headers
	message       *Buffer // of gRPC
	redis         *Buffer
	arguments     *Buffer // of a foreign callback
	statusCode    uint32
	statusMessage string
}

func (vm *vm) newRoot(index int) *scope {
	c := &scope{id: vm.newID(), vm: vm, config: &vm.plugin.cfg.Roots[index], index: index,
		rootState: &rootState{calls: map[uint32]*outcall{}, nextGRPC: 1}}
	c.root = c
	vm.contexts[c.id] = c
	vm.roots = append(vm.roots, c)
	return c
}

// newID returns a number that no context has.
func (vm *vm) newID() uint32 {
	for {
		vm.nextID++
		if _, taken := vm.contexts[vm.nextID]; vm.nextID != 0 && !taken {
			return vm.nextID
		}
	}
}

// finish ends a context whose stream, or root, is over: done, and unless that
// says to wait, log and delete.
func (c *scope) finish() {
	if c.vm.failure != nil {
		c.forget()
		return
	}
	if !c.vm.profile.has(onDone) {
		c.remove()
		return
	}
	c.parked = true // so that proxy_done within the callback is heard
	done, ok := c.vm.call(c, onDone, uint64(c.id))
	switch {
	case !ok:
		c.forget()
	case done != 0 || c.vm.profile.callbacks[onDone].results == 0 || c.leaving:
		c.parked = false
		if c.leaving {
			c.leaving = false
			c.vm.leaving = remove(c.vm.leaving, c)
		}
		c.remove()
	}
}

// remove is the end of a context: log, of a stream, and delete.
func (c *scope) remove() {
	c.parked = false
	if c.stream != nil {
		c.vm.call(c, onLog, uint64(c.id))
	}
	c.vm.call(c, onDelete, uint64(c.id))
	c.forget()
}

// forget takes a context out without a word to the plugin.
func (c *scope) forget() {
	c.parked = false
	if _, there := c.vm.contexts[c.id]; !there {
		return
	}
	delete(c.vm.contexts, c.id)
	if c.stream != nil {
		if c.stream.closed {
			c.stream.released()
		}
		return
	}
	c.cancel()
}

// cancel ends what a root has going.
func (c *scope) cancel() {
	if c.stopTick != nil {
		c.stopTick()
		c.stopTick = nil
	}
	for token, call := range c.calls {
		delete(c.calls, token)
		call.drop()
	}
}

func remove[T comparable](list []T, c T) []T {
	kept := list[:0]
	for _, o := range list {
		if o != c {
			kept = append(kept, o)
		}
	}
	return kept
}
