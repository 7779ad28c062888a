package proxywasm

import "strings"

// higressFunctions are those that Higress has beside the specification.
var higressFunctions = []hostFunction{
	{name: "proxy_redis_init", params: "iiiiiii", call: redisInit},
	{name: "proxy_redis_call", params: "iiiii", call: redisCall},
	{name: "proxy_inject_encoded_data_to_filter_chain", params: "iii", call: injectData},
	{name: "proxy_get_upstream_hosts", params: "ii", call: getUpstreamHosts},
	{name: "proxy_set_upstream_override_host", params: "ii", call: overrideHost},
}

// An Injector is a StreamHost that lets a plugin put data into the response
// (proxy_inject_encoded_data_to_filter_chain). It is told when the callback is
// over. A StreamHost that is none makes it UNIMPLEMENTED.
type Injector interface {
	Inject(data []byte, end bool)
}

// An UpstreamChooser is a StreamHost that lets a plugin choose among the
// route's upstream addresses. A StreamHost that is none makes it
// UNIMPLEMENTED.
type UpstreamChooser interface {
	// UpstreamHosts has the addresses, each with what is known of it, as
	// text.
	UpstreamHosts() *Headers
	// OverrideUpstream makes an address the one that the request goes to.
	OverrideUpstream(address string) bool
}

func redisInit(h hostCall, p []uint64) Status {
	in, ok := h.texts(p[0], p[1], p[2], p[3], p[4], p[5])
	if !ok {
		return StatusInvalidMemoryAccess
	}
	d, ok := h.vm.plugin.cfg.Dispatcher.(RedisDispatcher)
	if !ok || !h.vm.plugin.allow.may("redis", redisUpstream(in[0])) {
		return StatusBadArgument
	}
	if err := d.RedisInit(redisUpstream(in[0]), in[1], in[2], milliseconds(uint32(p[6]))); err != nil {
		h.vm.plugin.say(LogWarn, h.scope(), []byte("proxy_redis_init: "+err.Error()))
		return errorStatus(err, StatusBadArgument)
	}
	return StatusOK
}

func redisCall(h hostCall, p []uint64) Status {
	in, ok := h.texts(p[0], p[1], p[2], p[3])
	if !ok || !h.room(p[4], 4) {
		return StatusInvalidMemoryAccess
	}
	d, ok := h.vm.plugin.cfg.Dispatcher.(RedisDispatcher)
	if !ok || !h.vm.plugin.allow.may("redis", redisUpstream(in[0])) {
		return StatusBadArgument
	}
	root := h.scope().root
	oc, status := root.newCall(&root.vm.nextHTTP, 1)
	if status != StatusOK {
		return status
	}
	cancel, err := d.Redis(redisUpstream(in[0]), []byte(in[1]), func(response []byte, err error) {
		root.vm.post(func() { oc.redisAnswer(response, err) })
	})
	if status := oc.dispatched(cancel, err, StatusBadArgument); status != StatusOK {
		return status
	}
	h.put32(p[4], oc.token)
	return StatusOK
}

// redisUpstream cuts off what Higress' plugins add to a name, "?db=1".
func redisUpstream(name string) string {
	name, _, _ = strings.Cut(name, "?")
	return name
}

func injectData(h hostCall, p []uint64) Status {
	data, ok := h.bytes(p[0], p[1])
	if !ok {
		return StatusInvalidMemoryAccess
	}
	s := h.live()
	if s == nil || s.tcp {
		return StatusBadArgument
	}
	if _, ok := s.host.(Injector); !ok {
		return StatusUnimplemented
	}
	s.vm.notes = append(s.vm.notes, note{s: s, what: noteInject, data: append([]byte(nil), data...), end: p[2] != 0})
	return StatusOK
}

func getUpstreamHosts(h hostCall, p []uint64) Status {
	s := h.live()
	if s == nil {
		return StatusBadArgument
	}
	c, ok := s.host.(UpstreamChooser)
	if !ok {
		return StatusUnimplemented
	}
	hosts := c.UpstreamHosts()
	if hosts == nil {
		return h.give("", p[0], p[1])
	}
	return h.give(string(appendPairs(nil, hosts.fields)), p[0], p[1])
}

func overrideHost(h hostCall, p []uint64) Status {
	address, ok := h.bytes(p[0], p[1])
	if !ok {
		return StatusInvalidMemoryAccess
	}
	s := h.live()
	if s == nil {
		return StatusBadArgument
	}
	c, ok := s.host.(UpstreamChooser)
	switch {
	case !ok:
		return StatusUnimplemented
	case !c.OverrideUpstream(string(address)):
		return StatusBadArgument
	}
	return StatusOK
}
