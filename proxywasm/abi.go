package proxywasm

import "strconv"

// ABI is a version of the interface between plugins and their host.
type ABI int

// The versions that are served. A plugin names its own by an export.
const (
	ABIUnknown ABI = iota
	ABI010         // 0.1.0
	ABI020         // 0.2.0
	ABI021         // 0.2.1
	ABI02100       // 0.2.100, Higress' extension of 0.2.1
)

var abiNames = [...]string{ABIUnknown: "unknown", ABI010: "0.1.0", ABI020: "0.2.0", ABI021: "0.2.1", ABI02100: "0.2.100"}

// String returns the version as "0.2.1".
func (a ABI) String() string {
	if a < 0 || int(a) >= len(abiNames) {
		return "unknown"
	}
	return abiNames[a]
}

// Status is what host functions return to plugins.
type Status uint32

// The statuses of the specification, and those beside it that the C++ host
// has.
const (
	StatusOK                   Status = 0
	StatusNotFound             Status = 1
	StatusBadArgument          Status = 2
	StatusSerializationFailure Status = 3
	StatusParseFailure         Status = 4
	StatusBadExpression        Status = 5
	StatusInvalidMemoryAccess  Status = 6
	StatusEmpty                Status = 7
	StatusCASMismatch          Status = 8
	StatusResultMismatch       Status = 9
	StatusInternalFailure      Status = 10
	StatusBrokenConnection     Status = 11
	StatusUnimplemented        Status = 12
)

var statusNames = [...]string{
	"OK", "NOT_FOUND", "BAD_ARGUMENT", "SERIALIZATION_FAILURE", "PARSE_FAILURE", "BAD_EXPRESSION",
	"INVALID_MEMORY_ACCESS", "EMPTY", "CAS_MISMATCH", "RESULT_MISMATCH", "INTERNAL_FAILURE",
	"BROKEN_CONNECTION", "UNIMPLEMENTED",
}

// String returns the name in the specification.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return "status " + strconv.Itoa(int(s))
}

// Action is what is to become of what a callback was given.
type Action int

const (
	// Continue lets it go on, with what came before and was held.
	Continue Action = iota
	// Pause holds everything: no callback of this direction is made until
	// it is resumed. What arrives meanwhile waits at the embedder.
	Pause
	// PauseHeaders holds the headers, while the body is still given to the
	// plugin as it arrives; when a body callback continues, the headers go
	// on before it. Only of ABI 0.2.100, or with [Config.HeadersMayStop].
	PauseHeaders
	// PauseBuffer, of a body callback, holds the body: the stream keeps what
	// came so far, and the next callback sees it with what is new.
	PauseBuffer
	// PauseWatermark is PauseBuffer, and the embedder should read no more
	// than fits the limit before it is resumed, rather than fail.
	PauseWatermark
	// PauseDrop, of a body callback, holds the direction but not the bytes:
	// what the plugin was given goes nowhere.
	PauseDrop
)

var actionNames = [...]string{"continue", "pause", "pause headers", "pause and buffer", "pause and wait", "pause and drop"}

// String returns the action in words.
func (a Action) String() string {
	if a < 0 || int(a) >= len(actionNames) {
		return "action " + strconv.Itoa(int(a))
	}
	return actionNames[a]
}

// MapType tells header maps apart.
type MapType uint32

// The header maps. Those of calls belong to the plugin, not to streams.
const (
	RequestHeaders       MapType = 0
	RequestTrailers      MapType = 1
	ResponseHeaders      MapType = 2
	ResponseTrailers     MapType = 3
	GRPCInitialMetadata  MapType = 4
	GRPCTrailingMetadata MapType = 5
	CallResponseHeaders  MapType = 6
	CallResponseTrailers MapType = 7
	maxMapType                   = CallResponseTrailers
)

// BufferType tells buffers apart.
type BufferType uint32

// The buffers. RedisResponse is of ABI 0.2.100.
const (
	RequestBody        BufferType = 0
	ResponseBody       BufferType = 1
	DownstreamData     BufferType = 2
	UpstreamData       BufferType = 3
	CallResponseBody   BufferType = 4
	GRPCMessage        BufferType = 5
	VMConfiguration    BufferType = 6
	PluginConfig       BufferType = 7
	ForeignArguments   BufferType = 8
	RedisResponse      BufferType = 9
	maxBufferType                 = ForeignArguments
	maxBufferTypeRedis            = RedisResponse
)

// StreamType is a direction of a stream.
type StreamType uint32

// The directions: of an HTTP exchange, and of a TCP connection.
const (
	Request       StreamType = 0
	Response      StreamType = 1
	Downstream    StreamType = 2 // from the client
	Upstream      StreamType = 3 // from the server
	maxStreamType            = Upstream
)

var streamTypeNames = [...]string{"request", "response", "downstream", "upstream"}

// String returns the direction's name.
func (t StreamType) String() string {
	if t <= maxStreamType {
		return streamTypeNames[t]
	}
	return "stream type " + strconv.Itoa(int(t))
}

// Peer is who closed a connection.
type Peer uint32

// The peers.
const (
	PeerUnknown Peer = 0
	PeerLocal   Peer = 1
	PeerRemote  Peer = 2
)

// LogLevel is how grave a message of a plugin is.
type LogLevel uint32

// The levels.
const (
	LogTrace    LogLevel = 0
	LogDebug    LogLevel = 1
	LogInfo     LogLevel = 2
	LogWarn     LogLevel = 3
	LogError    LogLevel = 4
	LogCritical LogLevel = 5
	maxLogLevel          = LogCritical
)

var logLevelNames = [...]string{"trace", "debug", "info", "warn", "error", "critical"}

// String returns the level's name.
func (l LogLevel) String() string {
	if l <= maxLogLevel {
		return logLevelNames[l]
	}
	return "level " + strconv.Itoa(int(l))
}

// MetricType is what a metric counts.
type MetricType uint32

// The metrics. The type is in the two lowest bits of a metric's number.
const (
	Counter       MetricType = 0
	Gauge         MetricType = 1
	Histogram     MetricType = 2
	maxMetricType            = Histogram
	metricMask               = 3
	metricStep               = 4
)

var metricTypeNames = [...]string{"counter", "gauge", "histogram"}

// String returns the type's name.
func (t MetricType) String() string {
	if t <= maxMetricType {
		return metricTypeNames[t]
	}
	return "metric type " + strconv.Itoa(int(t))
}
