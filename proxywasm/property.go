package proxywasm

import (
	"math"
	"net/netip"
	"sort"
	"strconv"
	"strings"
	"time"
)

// property finds the value of a path, whose parts are divided by NUL, and
// appends it as plugins read it.
func (c *scope) property(dst []byte, path string) ([]byte, Status) {
	path = strings.TrimSuffix(path, "\x00")
	first, rest, _ := strings.Cut(path, "\x00")
	value := c.attribute(first, rest)
	if value == nil && c.stream != nil && !c.stream.gone {
		state := c.stream.host.FilterState()
		if set, ok := state.Get(path); ok {
			return append(dst, set...), StatusOK
		}
		if first == "filter_state" {
			if set, ok := state.Get(strings.TrimPrefix(rest, "wasm.")); ok {
				return append(dst, set...), StatusOK
			}
		}
	}
	if value == nil {
		return dst, StatusNotFound
	}
	dst, ok := appendValue(dst, value)
	if !ok {
		return dst, StatusSerializationFailure
	}
	return dst, StatusOK
}

// attribute returns what the host knows by a name, nil if nothing.
func (c *scope) attribute(first, rest string) any {
	switch first {
	case "plugin_name":
		if c.config.Name != "" {
			return c.config.Name
		}
		return c.vm.plugin.cfg.Name
	case "plugin_root_id":
		return c.config.RootID
	case "plugin_vm_id":
		return c.vm.plugin.cfg.VMID
	case "node":
		return walk(c.vm.plugin.cfg.Node, rest)
	case "xds":
		// Envoy's newer names of what is at the top as well.
		switch name, more, _ := strings.Cut(rest, "\x00"); name {
		case "node", "cluster_name", "cluster_metadata", "listener_direction", "listener_metadata", "route_name", "route_metadata", "upstream_host_metadata":
			return c.attribute(name, more)
		}
	}
	s := c.stream
	if s == nil || s.gone {
		return nil
	}
	info := s.host.Info()
	if info == nil {
		return nil
	}
	name, more, _ := strings.Cut(rest, "\x00")
	var value any
	switch first {
	case "request":
		value = c.requestAttribute(info, name)
	case "response":
		value = c.responseAttribute(info, name)
	case "connection":
		value = connectionAttribute(info, name)
	case "source":
		value = addressAttribute(info.Source, name)
	case "destination":
		value = addressAttribute(info.Destination, name)
	case "upstream":
		value = upstreamAttribute(info, name)
	case "connection_id":
		value = number(int64(info.ConnectionID))
	case "route_name":
		value = text(info.RouteName)
	case "cluster_name":
		value = text(info.ClusterName)
	}
	if value == nil {
		return walk(info.Extra[first], rest)
	}
	return walk(value, more)
}

func (c *scope) requestAttribute(info *Info, name string) any {
	h := c.stream.host.Headers(RequestHeaders)
	path := h.Value(":path")
	switch name {
	case "path":
		return text(path)
	case "url_path":
		path, _, _ = strings.Cut(path, "?")
		return text(path)
	case "query":
		_, query, ok := strings.Cut(path, "?")
		if !ok {
			return nil
		}
		query, _, _ = strings.Cut(query, "#")
		return query
	case "host":
		return text(h.Value(":authority"))
	case "scheme":
		return text(h.Value(":scheme"))
	case "method":
		return text(h.Value(":method"))
	case "headers":
		return fieldsOf(h)
	case "headers_bytes":
		return sizeOf(h)
	case "referer":
		return text(h.Value("referer"))
	case "useragent":
		return text(h.Value("user-agent"))
	case "id":
		if info.ID == "" {
			return text(h.Value("x-request-id"))
		}
		return info.ID
	case "protocol":
		return text(info.Protocol)
	case "time":
		if !info.Start.IsZero() {
			return info.Start
		}
	case "duration":
		if !info.Start.IsZero() {
			return c.vm.plugin.cfg.Clock.Now().Sub(info.Start)
		}
	case "size":
		return info.RequestSize
	case "total_size":
		return info.RequestTotalSize
	}
	return nil
}

func (c *scope) responseAttribute(info *Info, name string) any {
	h := c.stream.host.Headers(ResponseHeaders)
	switch name {
	case "code":
		if info.ResponseCode != 0 {
			return int64(info.ResponseCode)
		}
		if code, err := strconv.Atoi(h.Value(":status")); err == nil {
			return int64(code)
		}
	case "code_details":
		return text(info.ResponseCodeDetails)
	case "flags":
		return int64(info.ResponseFlags)
	case "grpc_status":
		if info.GRPCStatus != nil {
			return int64(*info.GRPCStatus)
		}
		for _, m := range []*Headers{c.stream.host.Headers(ResponseTrailers), h} {
			if code, err := strconv.Atoi(m.Value("grpc-status")); err == nil {
				return int64(code)
			}
		}
	case "headers":
		return fieldsOf(h)
	case "headers_bytes":
		return sizeOf(h)
	case "trailers":
		return fieldsOf(c.stream.host.Headers(ResponseTrailers))
	case "size":
		return info.ResponseSize
	case "total_size":
		return info.ResponseTotalSize
	}
	return nil
}

func addressAttribute(a netip.AddrPort, name string) any {
	switch {
	case !a.IsValid():
	case name == "address":
		return a.String()
	case name == "port":
		return int64(a.Port())
	}
	return nil
}

func upstreamAttribute(info *Info, name string) any {
	switch name {
	case "address", "port":
		return addressAttribute(info.Upstream, name)
	case "local_address":
		return addressAttribute(info.UpstreamLocal, "address")
	case "local_port":
		return addressAttribute(info.UpstreamLocal, "port")
	case "transport_failure_reason":
		return text(info.UpstreamTransportFailure)
	case "request_attempt_count":
		return number(int64(info.UpstreamAttempts))
	}
	if info.UpstreamTLS == nil {
		return nil
	}
	return tlsAttribute(info.UpstreamTLS, nil, name)
}

func fieldsOf(h *Headers) any {
	if h == nil {
		return nil
	}
	return h
}

// sizeOf is what names and values take.
func sizeOf(h *Headers) any {
	if h == nil {
		return nil
	}
	return h.Size()
}

// text and number are nil for what is not known.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func number(n int64) any {
	if n == 0 {
		return nil
	}
	return n
}

// walk goes down a path into maps, lists and headers.
func walk(value any, path string) any {
	for path != "" && value != nil {
		var name string
		name, path, _ = strings.Cut(path, "\x00")
		switch v := value.(type) {
		case map[string]any:
			value = v[name]
		case map[string]string:
			s, ok := v[name]
			if !ok {
				return nil
			}
			value = s
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(v) {
				return nil
			}
			value = v[i]
		case *Headers:
			// As in Envoy, and by what HTTP says of several fields of a name.
			list := v.Values(name)
			if len(list) == 0 {
				return nil
			}
			value = strings.Join(list, ",")
		default:
			return nil
		}
	}
	if m, ok := value.(map[string]any); ok && m == nil {
		return nil
	}
	return value
}

// appendValue appends a value as plugins read it: strings as they are, whole
// numbers, times (nanoseconds since 1970) and durations (nanoseconds) in 8
// bytes, little-endian, fractions as their bits, truth in one byte, maps and
// lists as pairs.
func appendValue(dst []byte, value any) ([]byte, bool) {
	switch v := value.(type) {
	case string:
		return append(dst, v...), true
	case []byte:
		return append(dst, v...), true
	case bool:
		return append(dst, byte(bit(v))), true
	case int:
		return le.AppendUint64(dst, uint64(v)), true
	case int64:
		return le.AppendUint64(dst, uint64(v)), true
	case uint64:
		return le.AppendUint64(dst, v), true
	case float64:
		return le.AppendUint64(dst, math.Float64bits(v)), true
	case time.Time:
		return le.AppendUint64(dst, uint64(v.UnixNano())), true
	case time.Duration:
		return le.AppendUint64(dst, uint64(v)), true
	case *Headers:
		return appendPairs(dst, v.fields), true
	case map[string]string:
		m := make(map[string]any, len(v))
		for key, s := range v {
			m[key] = s
		}
		return appendValue(dst, m)
	case map[string]any:
		fields := make([]Field, 0, len(v))
		for key, item := range v {
			b, ok := appendValue(nil, item)
			if !ok {
				return dst, false
			}
			fields = append(fields, Field{key, string(b)})
		}
		sort.Slice(fields, func(i, j int) bool { return fields[i].Name < fields[j].Name })
		return appendPairs(dst, fields), true
	case []any:
		fields := make([]Field, len(v))
		for i, item := range v {
			b, ok := appendValue(nil, item)
			if !ok {
				return dst, false
			}
			fields[i].Name = string(b)
		}
		return appendPairs(dst, fields), true
	}
	return dst, false
}
