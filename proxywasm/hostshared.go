package proxywasm

// sharedFunctions are shared data and queues.
var sharedFunctions = []hostFunction{
	{name: "proxy_get_shared_data", params: "iiiii", call: getShared},
	{name: "proxy_set_shared_data", params: "iiiii", call: setShared},
	{name: "proxy_register_shared_queue", params: "iii", call: registerQueue},
	{name: "proxy_resolve_shared_queue", params: "iiiii", call: resolveQueue},
	{name: "proxy_enqueue_shared_queue", params: "iii", call: enqueue},
	{name: "proxy_dequeue_shared_queue", params: "iii", call: dequeue},
}

func getShared(h hostCall, p []uint64) Status {
	key, ok := h.bytes(p[0], p[1])
	if !ok || !h.room(p[4], 4) {
		return StatusInvalidMemoryAccess
	}
	cfg := &h.vm.plugin.cfg
	value, cas, status := cfg.Shared.Get(cfg.VMID, view(key))
	if status != StatusOK {
		return status
	}
	if status := h.give(view(value), p[2], p[3]); status != StatusOK {
		return status
	}
	h.put32(p[4], cas)
	return StatusOK
}

func setShared(h hostCall, p []uint64) Status {
	key, ok := h.bytes(p[0], p[1])
	value, ok2 := h.bytes(p[2], p[3])
	if !ok || !ok2 {
		return StatusInvalidMemoryAccess
	}
	cfg := &h.vm.plugin.cfg
	return cfg.Shared.Set(cfg.VMID, string(key), value, uint32(p[4]))
}

func registerQueue(h hostCall, p []uint64) Status {
	name, ok := h.bytes(p[0], p[1])
	if !ok || !h.room(p[2], 4) {
		return StatusInvalidMemoryAccess
	}
	h.put32(p[2], h.scope().root.registerQueue(string(name)))
	return StatusOK
}

// registerQueue makes a root the one that is told of a queue's items.
func (c *scope) registerQueue(name string) uint32 {
	cfg := &c.vm.plugin.cfg
	c.queues = append(remove(c.queues, name), name)
	return cfg.Shared.register(cfg.VMID, name, c.vm, func(token uint32) {
		c.vm.post(func() {
			if c.vm.contexts[c.id] == c {
				c.vm.call(c, onQueueReady, uint64(c.id), uint64(token))
			}
		})
	})
}

func resolveQueue(h hostCall, p []uint64) Status {
	vmID, ok := h.bytes(p[0], p[1])
	name, ok2 := h.bytes(p[2], p[3])
	if !ok || !ok2 || !h.room(p[4], 4) {
		return StatusInvalidMemoryAccess
	}
	id := string(vmID)
	if id == "" {
		id = h.vm.plugin.cfg.VMID
	}
	token := h.vm.plugin.cfg.Shared.resolve(id, string(name))
	if token == 0 || !h.mayUse(id) {
		return StatusNotFound
	}
	h.put32(p[4], token)
	return StatusOK
}

// mayUse tells whether the queues of a VM id may be used.
func (h hostCall) mayUse(vmID string) bool {
	return vmID == h.vm.plugin.cfg.VMID || h.vm.plugin.allow.may("queue", vmID)
}

// queueMayBeUsed is mayUse of a number, which a plugin could have guessed.
func (h hostCall) queueMayBeUsed(token uint64) bool {
	vmID, ok := h.vm.plugin.cfg.Shared.ownerOf(uint32(token))
	return ok && h.mayUse(vmID)
}

func enqueue(h hostCall, p []uint64) Status {
	item, ok := h.bytes(p[1], p[2])
	switch {
	case !ok:
		return StatusInvalidMemoryAccess
	case !h.queueMayBeUsed(p[0]):
		return StatusNotFound
	}
	return h.vm.plugin.cfg.Shared.enqueue(uint32(p[0]), item)
}

func dequeue(h hostCall, p []uint64) Status {
	switch {
	case !h.room(p[1], 4) || !h.room(p[2], 4):
		return StatusInvalidMemoryAccess
	case !h.queueMayBeUsed(p[0]):
		return StatusNotFound
	}
	item, status := h.vm.plugin.cfg.Shared.dequeue(uint32(p[0]))
	if status != StatusOK {
		return status
	}
	return h.give(view(item), p[1], p[2])
}
