package offline

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hako-run/hako/proxywasm"
)

// A kind is what an argument of a function is.
type kind int

const (
	number    kind = iota
	signed         // a number of 32 bits with a sign
	long           // a number of 64 bits with a sign
	bool32         // 0 or not
	context32      // a context's number
	text           // a pointer and a size, of what the plugin gives
	path           // a text that is a property's path
	pairs          // a text that is a header map
	gets           // two pointers, to where what the plugin gets begins and to its size
	getsPairs      // gets, of a header map
	gets32         // a pointer to where it gets a number
	gets64
	headerMap // enumerations
	buffer
	stream
	level
	metricType
	milliseconds
	peer
)

// words takes two arguments.
func (k kind) words() int {
	switch k {
	case text, path, pairs, gets, getsPairs:
		return 2
	}
	return 1
}

// A signature is what Describe knows of a function: its arguments, with names
// where the kind does not say enough.
type signature []argument

type argument struct {
	kind kind
	name string
}

func of(kinds ...kind) signature {
	s := make(signature, len(kinds))
	for i, k := range kinds {
		s[i].kind = k
	}
	return s
}

func (s signature) named(names ...string) signature {
	for i := range names {
		s[i].name = names[i]
	}
	return s
}

// functions are those of the host.
var functions = map[string]signature{
	"proxy_log":                                 of(level, text),
	"proxy_get_log_level":                       of(gets32),
	"proxy_get_status":                          of(gets32, gets),
	"proxy_get_current_time_nanoseconds":        of(gets64),
	"proxy_set_tick_period_milliseconds":        of(milliseconds),
	"proxy_call_foreign_function":               of(text, text, gets),
	"proxy_get_buffer_bytes":                    of(buffer, number, number, gets).named("", "start", "size"),
	"proxy_set_buffer_bytes":                    of(buffer, number, number, text).named("", "start", "size"),
	"proxy_get_buffer_status":                   of(buffer, gets32, gets32),
	"proxy_get_configuration":                   of(gets),
	"proxy_get_header_map_value":                of(headerMap, text, gets),
	"proxy_add_header_map_value":                of(headerMap, text, text),
	"proxy_replace_header_map_value":            of(headerMap, text, text),
	"proxy_remove_header_map_value":             of(headerMap, text),
	"proxy_get_header_map_pairs":                of(headerMap, getsPairs),
	"proxy_set_header_map_pairs":                of(headerMap, pairs),
	"proxy_get_header_map_size":                 of(headerMap, gets32),
	"proxy_http_call":                           of(text, pairs, text, pairs, milliseconds, gets32).named("", "headers", "body", "trailers", "timeout"),
	"proxy_grpc_call":                           of(text, text, text, pairs, text, milliseconds, gets32).named("upstream", "service", "method", "metadata", "message", "timeout"),
	"proxy_grpc_stream":                         of(text, text, text, pairs, gets32).named("upstream", "service", "method", "metadata"),
	"proxy_grpc_send":                           of(number, text, bool32).named("call", "message", "end"),
	"proxy_grpc_cancel":                         of(number).named("call"),
	"proxy_grpc_close":                          of(number).named("call"),
	"proxy_redis_init":                          of(text, text, text, milliseconds).named("upstream", "user", "password", "timeout"),
	"proxy_redis_call":                          of(text, text, gets32),
	"proxy_inject_encoded_data_to_filter_chain": of(text, bool32).named("", "end"),
	"proxy_get_upstream_hosts":                  of(getsPairs),
	"proxy_set_upstream_override_host":          of(text),
	"proxy_define_metric":                       of(metricType, text, gets32),
	"proxy_increment_metric":                    of(number, long).named("metric", "by"),
	"proxy_record_metric":                       of(number, long).named("metric", "value"),
	"proxy_get_metric":                          of(number, gets64).named("metric"),
	"proxy_get_shared_data":                     of(text, gets, gets32),
	"proxy_set_shared_data":                     of(text, text, number).named("", "", "cas"),
	"proxy_register_shared_queue":               of(text, gets32),
	"proxy_resolve_shared_queue":                of(text, text, gets32),
	"proxy_enqueue_shared_queue":                of(number, text).named("queue"),
	"proxy_dequeue_shared_queue":                of(number, gets).named("queue"),
	"proxy_continue_stream":                     of(stream),
	"proxy_continue_request":                    of(),
	"proxy_continue_response":                   of(),
	"proxy_close_stream":                        of(stream),
	"proxy_send_local_response":                 of(number, text, text, pairs, signed).named("status", "details", "body", "headers", "grpc status"),
	"proxy_clear_route_cache":                   of(),
	"proxy_set_effective_context":               of(context32),
	"proxy_done":                                of(),
	"proxy_get_property":                        of(path, gets),
	"proxy_set_property":                        of(path, text),
	"emscripten_notify_memory_growth":           of(number).named("memory"),
	"pthread_equal":                             of(number, number),
	"abort":                                     of(number, number, number, number),
}

// callbacks are those of plugins, and what they return.
var callbacks = map[string]struct {
	signature
	result func(uint64) string // nil: nothing
}{
	"proxy_on_context_create":                 {of(context32, context32).named("", "root"), nil},
	"proxy_on_vm_start":                       {of(context32, number).named("", "configuration size"), truth},
	"proxy_on_configure":                      {of(context32, number).named("", "configuration size"), truth},
	"proxy_on_tick":                           {of(context32), nil},
	"proxy_on_queue_ready":                    {of(context32, number).named("", "queue"), nil},
	"proxy_on_new_connection":                 {of(context32), action},
	"proxy_on_downstream_data":                {of(context32, number, bool32).named("", "size", "end"), action},
	"proxy_on_upstream_data":                  {of(context32, number, bool32).named("", "size", "end"), action},
	"proxy_on_downstream_connection_close":    {of(context32, peer).named("", "by"), nil},
	"proxy_on_upstream_connection_close":      {of(context32, peer).named("", "by"), nil},
	"proxy_on_request_headers":                {of(context32, number, bool32).named("", "headers", "end"), action},
	"proxy_on_request_body":                   {of(context32, number, bool32).named("", "size", "end"), action},
	"proxy_on_request_trailers":               {of(context32, number).named("", "trailers"), action},
	"proxy_on_request_metadata":               {of(context32, number).named("", "elements"), nil},
	"proxy_on_response_headers":               {of(context32, number, bool32).named("", "headers", "end"), action},
	"proxy_on_response_body":                  {of(context32, number, bool32).named("", "size", "end"), action},
	"proxy_on_response_trailers":              {of(context32, number).named("", "trailers"), action},
	"proxy_on_response_metadata":              {of(context32, number).named("", "elements"), nil},
	"proxy_on_http_call_response":             {of(context32, number, number, number, number).named("", "call", "headers", "body size", "trailers"), nil},
	"proxy_on_grpc_receive_initial_metadata":  {of(context32, number, number).named("", "call", "elements"), nil},
	"proxy_on_grpc_receive":                   {of(context32, number, number).named("", "call", "size"), nil},
	"proxy_on_grpc_receive_trailing_metadata": {of(context32, number, number).named("", "call", "elements"), nil},
	"proxy_on_grpc_trailing_metadata":         {of(context32, number, number).named("", "call", "elements"), nil},
	"proxy_on_grpc_close":                     {of(context32, number, number).named("", "call", "status"), nil},
	"proxy_on_redis_call_response":            {of(context32, number, number, number).named("", "call", "status", "size"), nil},
	"proxy_on_foreign_function":               {of(context32, number, number).named("", "function", "size"), nil},
	"proxy_on_done":                           {of(context32), truth},
	"proxy_on_log":                            {of(context32), nil},
	"proxy_on_delete":                         {of(context32), nil},
}

func truth(v uint64) string { return strconv.FormatBool(v != 0) }

// action is what a callback returns, as it returns it: what that means is the
// host's to say.
func action(v uint64) string {
	switch v {
	case 0:
		return "continue"
	case 1:
		return "pause"
	}
	return "action " + strconv.FormatUint(v, 10)
}

var (
	headerMaps = []string{"request headers", "request trailers", "response headers", "response trailers",
		"gRPC initial metadata", "gRPC trailing metadata", "call's headers", "call's trailers"}
	buffers = []string{"request body", "response body", "downstream data", "upstream data", "call's body",
		"gRPC message", "VM configuration", "plugin configuration", "foreign arguments", "redis response"}
	peers = []string{"unknown", "this side", "the other side"}
)

func nameOf(names []string, v uint64) string {
	if v < uint64(len(names)) {
		return names[v]
	}
	return strconv.FormatUint(v, 10)
}

// shown is how much of a text Describe tells, in bytes.
const shown = 400

// Describe tells an event in one line.
func Describe(e *proxywasm.Event) string {
	switch {
	case e.Kind == proxywasm.Enter:
		return e.Name + "(" + strings.Join(arguments(e, callbacks[e.Name].signature, nil), ", ") + ")"
	case e.Kind == proxywasm.Leave:
		if e.Err != "" {
			return "failed: " + oneLine(e.Err)
		}
		if result := callbacks[e.Name].result; result != nil {
			return "returned " + result(e.Result)
		}
		return "returned"
	case e.Name == proxywasm.CallOutput && len(e.In) == 1:
		return "wrote " + quoted(e.In[0].Data)
	case e.Name == proxywasm.CallClock:
		which := "the time"
		if len(e.Args) > 0 && e.Args[0] != 0 {
			which = "the monotonic time"
		}
		return which + ": " + strconv.FormatUint(e.Result, 10)
	case e.Name == proxywasm.CallRandom && len(e.Out) == 1:
		return fmt.Sprintf("%d random bytes", len(e.Out[0].Data))
	}
	var got []string
	args := arguments(e, functions[e.Name], &got)
	status := proxywasm.Status(min(e.Result, math.MaxUint32)).String()
	if e.Name == "pthread_equal" {
		status = strconv.FormatUint(e.Result, 10)
	}
	line := e.Name + "(" + strings.Join(args, ", ") + ") = " + strings.Join(append([]string{status}, got...), ", ")
	if e.Err != "" {
		line += "; failed: " + oneLine(e.Err)
	}
	return line
}

// oneLine is an error with its stack.
func oneLine(text string) string {
	return strings.NewReplacer("\n\t", ", ", "\n", ", ").Replace(text)
}

// arguments tells what was given, and, into got, what was got.
func arguments(e *proxywasm.Event, s signature, got *[]string) (list []string) {
	rest := e.Args
	for _, a := range s {
		if len(rest) < a.kind.words() {
			return list
		}
		words := rest[:a.kind.words()]
		rest = rest[len(words):]
		switch a.kind {
		case gets, getsPairs, gets32, gets64:
			if value, ok := output(e, a.kind, words); ok && got != nil {
				*got = append(*got, value)
			}
			continue
		}
		value := input(e, a.kind, words)
		if a.name != "" {
			value = a.name + " " + value
		}
		list = append(list, value)
	}
	for _, v := range rest { // what the function is not known to take
		list = append(list, strconv.FormatUint(v, 10))
	}
	return list
}

func input(e *proxywasm.Event, k kind, words []uint64) string {
	v := words[0]
	switch k {
	case text, path, pairs:
		for _, in := range e.In {
			if uint64(in.Pointer) == v && uint64(len(in.Data)) == words[1] {
				return content(k, in.Data)
			}
		}
		return fmt.Sprintf("%d bytes at %#x, which it does not have", words[1], v)
	case signed:
		return strconv.Itoa(int(int32(v)))
	case long:
		return strconv.FormatInt(int64(v), 10)
	case bool32:
		return truth(v)
	case context32:
		return "context " + strconv.FormatUint(v, 10)
	case headerMap:
		return nameOf(headerMaps, v)
	case buffer:
		return nameOf(buffers, v)
	case stream:
		return proxywasm.StreamType(v).String()
	case level:
		return proxywasm.LogLevel(v).String()
	case metricType:
		return proxywasm.MetricType(v).String()
	case milliseconds:
		return strconv.FormatUint(v, 10) + "ms"
	case peer:
		return nameOf(peers, v)
	}
	return strconv.FormatUint(v, 10)
}

// output finds what a function wrote where a plugin asked for it.
func output(e *proxywasm.Event, k kind, words []uint64) (string, bool) {
	for _, out := range e.Out {
		if uint64(out.Pointer) != words[0] {
			continue
		}
		switch {
		case (k == gets || k == getsPairs) && out.Alloc && uint64(out.Size) == words[1]:
			if k == getsPairs {
				return content(pairs, out.Data), true
			}
			return content(text, out.Data), true
		case k == gets32 && !out.Alloc && len(out.Data) == 4, k == gets64 && !out.Alloc && len(out.Data) == 8:
			var v uint64
			for i := len(out.Data) - 1; i >= 0; i-- {
				v = v<<8 | uint64(out.Data[i])
			}
			return strconv.FormatUint(v, 10), true
		}
	}
	return "", false
}

func content(k kind, b []byte) string {
	switch k {
	case path:
		return strconv.Quote(strings.ReplaceAll(strings.TrimSuffix(string(b), "\x00"), "\x00", "."))
	case pairs:
		fields, ok := proxywasm.ParsePairs(b)
		if !ok {
			return "no header map: " + quoted(b)
		}
		list := make([]string, len(fields))
		for i, f := range fields {
			list[i] = quoted([]byte(f.Name + ": " + f.Value))
		}
		return "{" + strings.Join(list, ", ") + "}"
	}
	return quoted(b)
}

// quoted is data as text with escapes, or in hexadecimal if it is none.
func quoted(b []byte) string {
	more := ""
	if len(b) > shown {
		more = fmt.Sprintf(" and %d more bytes", len(b)-shown)
		cut := shown
		for cut > shown-utf8.UTFMax && !utf8.RuneStart(b[cut]) {
			cut--
		}
		b = b[:cut]
	}
	if !utf8.Valid(b) {
		return fmt.Sprintf("hex %x%s", b, more)
	}
	return strconv.Quote(string(b)) + more
}
