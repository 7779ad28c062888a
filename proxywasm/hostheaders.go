package proxywasm

// headerFunctions read and change headers, trailers and metadata.
var headerFunctions = []hostFunction{
	{name: "proxy_get_header_map_value", params: "iiiii", call: getHeader},
	{name: "proxy_add_header_map_value", params: "iiiii", call: addHeader},
	{name: "proxy_replace_header_map_value", params: "iiiii", call: replaceHeader},
	{name: "proxy_remove_header_map_value", params: "iii", call: removeHeader},
	{name: "proxy_get_header_map_pairs", params: "iii", call: getPairs},
	{name: "proxy_set_header_map_pairs", params: "iii", call: setPairs},
	{name: "proxy_get_header_map_size", params: "ii", call: getMapSize},
}

// mapTypes has the direction of each map of a stream.
var mapTypes = [...]StreamType{RequestHeaders: Request, RequestTrailers: Request, ResponseHeaders: Response, ResponseTrailers: Response}

// readable finds a map; nil is one that is not there.
func (c *scope) readable(t MapType) *Headers {
	switch t {
	case GRPCInitialMetadata:
		return c.root.grpcInitial
	case GRPCTrailingMetadata:
		return c.root.grpcTrailing
	case CallResponseHeaders, CallResponseTrailers:
		r := c.root.response
		switch {
		case r == nil:
			return nil
		case t == CallResponseHeaders:
			return r.Headers
		}
		return r.Trailers
	}
	if c.stream == nil || c.stream.gone {
		return nil
	}
	return c.stream.host.Headers(t)
}

// writable finds a map that may be changed now: before it goes on.
func (c *scope) writable(t MapType) *Headers {
	s := c.stream
	if s == nil || s.closed || s.failed || int(t) >= len(mapTypes) {
		return nil
	}
	h := &s.halves[mapTypes[t]]
	switch t {
	case RequestHeaders:
		if h.headers {
			s.reroute()
			return s.host.Headers(t)
		}
	case ResponseHeaders:
		if h.headers {
			return s.host.Headers(t)
		}
	default:
		if h.trailers {
			return s.host.Headers(t)
		}
		if h.content && h.ended {
			h.trailers = true
			if m := s.host.Headers(t); m != nil {
				return m
			}
			return s.host.AddTrailers(t)
		}
	}
	return nil
}

// reroute is for request headers that change.
func (s *Stream) reroute() {
	if s.isInside {
		s.routes = true
		return
	}
	for _, n := range s.vm.notes {
		if n.s == s && n.what == noteRoute {
			return
		}
	}
	s.note(noteRoute, 0, nil)
}

func getHeader(h hostCall, p []uint64) Status {
	if p[0] > uint64(maxMapType) {
		return StatusBadArgument
	}
	key, ok := h.bytes(p[1], p[2])
	if !ok {
		return StatusInvalidMemoryAccess
	}
	m := h.scope().readable(MapType(p[0]))
	if m == nil {
		return StatusBadArgument
	}
	value, ok := m.Get(view(key))
	if !ok && h.vm.profile.ABI != ABI010 {
		return StatusNotFound
	}
	return h.give(value, p[3], p[4])
}

func addHeader(h hostCall, p []uint64) Status {
	return changeHeader(h, p, (*Headers).addBytes)
}

func replaceHeader(h hostCall, p []uint64) Status {
	return changeHeader(h, p, (*Headers).setBytes)
}

func changeHeader(h hostCall, p []uint64, change func(m *Headers, key, value []byte) bool) Status {
	if p[0] > uint64(maxMapType) {
		return StatusBadArgument
	}
	key, ok := h.bytes(p[1], p[2])
	value, ok2 := h.bytes(p[3], p[4])
	if !ok || !ok2 {
		return StatusInvalidMemoryAccess
	}
	m := h.scope().writable(MapType(p[0]))
	if m == nil || !validName(key) || !validValue(value) || !change(m, key, value) {
		return StatusBadArgument
	}
	return StatusOK
}

func removeHeader(h hostCall, p []uint64) Status {
	if p[0] > uint64(maxMapType) {
		return StatusBadArgument
	}
	key, ok := h.bytes(p[1], p[2])
	if !ok {
		return StatusInvalidMemoryAccess
	}
	m := h.scope().writable(MapType(p[0]))
	if m == nil {
		return StatusBadArgument
	}
	m.Remove(view(key))
	return StatusOK
}

func getPairs(h hostCall, p []uint64) Status {
	if p[0] > uint64(maxMapType) {
		return StatusBadArgument
	}
	m := h.scope().readable(MapType(p[0]))
	if m.Len() == 0 {
		return h.give("", p[1], p[2])
	}
	b := appendPairs(h.vm.pairs[:0], m.fields)
	if cap(b) <= maxPairsBytes {
		h.vm.pairs = b
	}
	return h.give(view(b), p[1], p[2])
}

func setPairs(h hostCall, p []uint64) Status {
	if p[0] > uint64(maxMapType) {
		return StatusBadArgument
	}
	b, ok := h.bytes(p[1], p[2])
	if !ok {
		return StatusInvalidMemoryAccess
	}
	fields, ok := parseFields(b)
	if !ok {
		return StatusBadArgument
	}
	m := h.scope().writable(MapType(p[0]))
	if m == nil {
		return StatusBadArgument
	}
	m.Replace(fields)
	return StatusOK
}

func getMapSize(h hostCall, p []uint64) Status {
	if p[0] > uint64(maxMapType) {
		return StatusBadArgument
	}
	m := h.scope().readable(MapType(p[0]))
	if m == nil {
		return StatusBadArgument
	}
	if !h.put32(p[1], uint32(pairsSize(m.fields))) {
		return StatusInvalidMemoryAccess
	}
	return StatusOK
}

// parseFields is parsePairs for headers that go out.
func parseFields(b []byte) ([]Field, bool) {
	fields, ok := parsePairs(b)
	if !ok {
		return nil, false
	}
	for _, f := range fields {
		if !validName([]byte(f.Name)) || !validValue([]byte(f.Value)) {
			return nil, false
		}
	}
	return fields, true
}

// fits tells whether a field may be added: plugins cannot make headers
// larger than they could give them at once.
func (h *Headers) fits(key, value []byte) bool {
	return len(h.fields) < maxPairs && pairsSize(h.fields)+len(key)+len(value)+10 <= maxPairsBytes
}

func (h *Headers) addBytes(key, value []byte) bool {
	if !h.fits(key, value) {
		return false
	}
	h.Add(h.keep(key), h.keep(value))
	return true
}

func (h *Headers) setBytes(key, value []byte) bool {
	if !h.fits(key, value) {
		return false
	}
	for i := range h.fields {
		if sameName(h.fields[i].Name, view(key)) {
			h.changes++
			h.fields[i].Value = h.keep(value)
			h.cut(i+1, h.fields[i].Name)
			return true
		}
	}
	h.Add(h.keep(key), h.keep(value))
	return true
}

// validName tells whether a name is one of HTTP, or a pseudo-header's.
func validName(name []byte) bool {
	if len(name) > 0 && name[0] == ':' {
		name = name[1:]
	}
	for _, c := range name {
		if !tokenBytes[c] {
			return false
		}
	}
	return len(name) > 0
}

var tokenBytes = func() (t [256]bool) {
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		t[c] = true
	}
	return t
}()

// validValue tells whether a value cannot end a line.
func validValue(value []byte) bool {
	for _, c := range value {
		if c == '\r' || c == '\n' || c == 0 {
			return false
		}
	}
	return true
}
