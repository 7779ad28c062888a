package proxywasm

import (
	"fmt"
	"unicode/utf16"
)

// systemFunctions are logs, time, foreign functions, and what compilers want.
var systemFunctions = []hostFunction{
	{name: "proxy_log", params: "iii", always: true, call: proxyLog},
	{name: "proxy_get_log_level", params: "i", call: getLogLevel},
	{name: "proxy_get_status", params: "iii", call: getStatus},
	{name: "proxy_get_current_time_nanoseconds", params: "i", call: getTime},
	{name: "proxy_set_tick_period_milliseconds", params: "i", call: setTickPeriod},
	{name: "proxy_call_foreign_function", params: "iiiiii", call: callForeign},
	{name: "pthread_equal", params: "ii", always: true, call: func(_ hostCall, p []uint64) Status { return Status(bit(p[0] == p[1])) }},
	{name: "emscripten_notify_memory_growth", params: "i", void: true, always: true, call: func(hostCall, []uint64) Status { return 0 }},
	{name: "abort", params: "iiii", void: true, always: true, call: abort},
}

func proxyLog(h hostCall, p []uint64) Status {
	if p[0] > uint64(maxLogLevel) {
		return StatusBadArgument
	}
	message, ok := h.bytes(p[1], p[2])
	if !ok {
		return StatusInvalidMemoryAccess
	}
	h.vm.plugin.say(LogLevel(p[0]), h.scope(), message)
	return StatusOK
}

func getLogLevel(h hostCall, p []uint64) Status {
	if !h.put32(p[0], uint32(h.vm.plugin.cfg.LogLevel)) {
		return StatusInvalidMemoryAccess
	}
	return StatusOK
}

func getStatus(h hostCall, p []uint64) Status {
	root := h.scope().root
	if !h.room(p[1], 4) || !h.room(p[2], 4) || !h.put32(p[0], root.statusCode) {
		return StatusInvalidMemoryAccess
	}
	return h.give(root.statusMessage, p[1], p[2])
}

func getTime(h hostCall, p []uint64) Status {
	if !h.put64(p[0], uint64(h.vm.plugin.cfg.Clock.Now().UnixNano())) {
		return StatusInvalidMemoryAccess
	}
	return StatusOK
}

func setTickPeriod(h hostCall, p []uint64) Status {
	root := h.scope().root
	root.period = uint32(p[0])
	root.armTick()
	return StatusOK
}

// armTick starts the timer of a root anew, or stops it.
func (c *scope) armTick() {
	if c.stopTick != nil {
		c.stopTick()
		c.stopTick = nil
	}
	if c.period > 0 {
		c.stopTick = c.vm.plugin.cfg.Clock.AfterFunc(milliseconds(c.period), func() { c.vm.post(c.tick) })
	}
}

// tick calls the plugin, and then waits for the next time: ticks do not pile
// up.
func (c *scope) tick() {
	if c.period == 0 || c.vm.contexts[c.id] != c {
		return
	}
	c.armTick()
	c.vm.call(c, onTick, uint64(c.id))
}

func callForeign(h hostCall, p []uint64) Status {
	name, ok := h.bytes(p[0], p[1])
	args, ok2 := h.bytes(p[2], p[3])
	if !ok || !ok2 || p[4] != 0 && !h.room(p[4], 4) || p[5] != 0 && !h.room(p[5], 4) {
		return StatusInvalidMemoryAccess
	}
	c := h.scope()
	if string(name) == "clear_route_cache" {
		return clearRouteCache(h, nil)
	}
	if own := ownFunctions[string(name)]; own != nil {
		results, status := own(h, args)
		return h.foreignResults(results, status, p)
	}
	f := h.vm.plugin.cfg.Foreign.find(string(name))
	if f == nil || !h.vm.plugin.allow.may("foreign", string(name)) {
		return StatusNotFound
	}
	root := c.root
	call := &ForeignCall{Plugin: h.vm.plugin.cfg.Name, RootID: root.config.RootID}
	if s := h.live(); s != nil {
		call.Stream = s.host
	}
	call.Callback = func(function uint32, data []byte) {
		data = append([]byte(nil), data...)
		root.vm.post(func() { root.foreign(function, data) })
	}
	results, status := f(call, args)
	return h.foreignResults(results, status, p)
}

// ownFunctions are the foreign functions that every host of this package has,
// whatever is registered.
var ownFunctions = map[string]func(hostCall, []byte) ([]byte, Status){
	"hako_http_open":  httpOpen,
	"hako_http_write": httpWrite,
	"hako_http_read":  httpRead,
	"hako_http_close": httpClose,
	"hako_body_spool": bodySpool,
	"hako_body_read":  bodyRead,
}

// foreignResults puts what a foreign function returned where the plugin wants
// it.
func (h hostCall) foreignResults(results []byte, status Status, p []uint64) Status {
	switch {
	case p[4] != 0:
		size := p[5]
		if size == 0 {
			size = p[4] // written over by the address
		}
		if s := h.give(string(results), p[4], size); s != StatusOK {
			return s
		}
	case p[5] != 0 && !h.put32(p[5], uint32(len(results))):
		return StatusInvalidMemoryAccess
	}
	return status
}

// abort is what AssemblyScript calls when it gives up: message and file are
// strings of its own, whose length in bytes lies before them.
func abort(h hostCall, p []uint64) Status {
	text := func(ptr uint64) string {
		if ptr < 4 {
			return ""
		}
		size, ok := h.mem.ReadUint32Le(uint32(ptr) - 4)
		if !ok || size > 1<<12 {
			return ""
		}
		b, _ := h.mem.Read(uint32(ptr), size)
		units := make([]uint16, len(b)/2)
		for i := range units {
			units[i] = le.Uint16(b[2*i:])
		}
		return string(utf16.Decode(units))
	}
	panic(fmt.Errorf("%s (%s:%d:%d): %w", text(p[0]), text(p[1]), p[2], p[3], ErrAbort))
}
