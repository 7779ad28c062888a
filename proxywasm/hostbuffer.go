package proxywasm

// bufferFunctions read and change buffers.
var bufferFunctions = []hostFunction{
	{name: "proxy_get_buffer_bytes", params: "iiiii", call: getBuffer},
	{name: "proxy_set_buffer_bytes", params: "iiiii", call: setBuffer},
	{name: "proxy_get_buffer_status", params: "iii", call: getBufferStatus},
	{name: "proxy_get_configuration", params: "ii", call: getConfiguration},
}

// buffer finds a buffer, and whether it may be changed; nil is one that is
// not there now.
func (h hostCall) buffer(id uint64) (b *Buffer, writable bool, status Status) {
	last := maxBufferType
	if h.vm.profile.ABI == ABI02100 {
		last = maxBufferTypeRedis
	}
	if id > uint64(last) {
		return nil, false, StatusBadArgument
	}
	c := h.scope()
	switch t := BufferType(id); t {
	case RequestBody, ResponseBody, DownstreamData, UpstreamData:
		if s := c.stream; s != nil && !s.closed && s.halves[t].content {
			b, writable = &s.halves[t].body, true
		}
	case CallResponseBody:
		if r := c.root.response; r != nil {
			b = &Buffer{b: r.Body}
		}
	case GRPCMessage:
		b = c.root.message
	case VMConfiguration:
		b = &Buffer{b: h.vm.plugin.cfg.VMConfig}
	case PluginConfig:
		if c.root.configures {
			b = &Buffer{b: c.root.config.Config}
		}
	case ForeignArguments:
		b = c.root.arguments
	case RedisResponse:
		b = c.root.redis
	}
	if b == nil {
		return nil, false, StatusNotFound
	}
	return b, writable, StatusOK
}

func getBuffer(h hostCall, p []uint64) Status {
	b, _, status := h.buffer(p[0])
	if status != StatusOK {
		return status
	}
	return h.give(view(b.read(uint32(p[1]), uint32(p[2]))), p[3], p[4])
}

func setBuffer(h hostCall, p []uint64) Status {
	b, writable, status := h.buffer(p[0])
	if status != StatusOK {
		return status
	}
	data, ok := h.bytes(p[3], p[4])
	if !ok {
		return StatusInvalidMemoryAccess
	}
	// A plugin cannot make a body larger than its own memory may be.
	if !writable || int64(b.Len())+int64(len(data)) > h.vm.plugin.cfg.Limits.Memory || !b.write(uint32(p[1]), uint32(p[2]), data) {
		return StatusBadArgument
	}
	return StatusOK
}

func getBufferStatus(h hostCall, p []uint64) Status {
	b, _, status := h.buffer(p[0])
	if status != StatusOK {
		return status
	}
	if !h.room(p[1], 4) || !h.room(p[2], 4) || !h.put32(p[1], uint32(b.Len())) || !h.put32(p[2], 0) {
		return StatusInvalidMemoryAccess
	}
	return StatusOK
}

func getConfiguration(h hostCall, p []uint64) Status {
	config := h.vm.plugin.cfg.VMConfig
	if c := h.scope(); c.root.configures {
		config = c.root.config.Config
	}
	return h.give(view(config), p[0], p[1])
}
