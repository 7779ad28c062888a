package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/hako-run/hako/config"
)

// An exporter sends spans as OTLP over HTTP in its JSON form, which every
// collector takes. OpenTelemetry's own exporter would bring gRPC along, 7 MB
// of program.
type exporter struct {
	url     string
	headers map[string]string
	client  *http.Client
	log     *slog.Logger

	mu     sync.Mutex
	failed bool // the last export; a collector that is away is told of once
}

func newExporter(c *config.Tracing, log *slog.Logger) (*exporter, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("server.tracing.endpoint: %w", err)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConns: 2, IdleConnTimeout: time.Minute}
	return &exporter{url: u.String(), headers: c.Headers, log: log, client: &http.Client{Transport: transport, Timeout: 10 * time.Second}}, nil
}

// ExportSpans implements sdktrace.SpanExporter.
func (x *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := x.send(ctx, spans)
	x.mu.Lock()
	defer x.mu.Unlock()
	if (err != nil) != x.failed {
		x.failed = err != nil
		if err != nil {
			x.log.Warn("traces cannot be sent; they are dropped until the collector is back", "endpoint", x.url, "error", err)
		} else {
			x.log.Info("traces are sent again", "endpoint", x.url)
		}
	}
	return nil
}

func (x *exporter) send(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	text, err := json.Marshal(encodeSpans(spans))
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, x.url, bytes.NewReader(text))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	for name, value := range x.headers {
		r.Header.Set(name, value)
	}
	response, err := x.client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10)
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("the collector answers %s", response.Status)
	}
	return nil
}

// Shutdown implements sdktrace.SpanExporter.
func (x *exporter) Shutdown(context.Context) error {
	x.client.CloseIdleConnections()
	return nil
}

// The types below are the JSON form of opentelemetry.proto.trace.v1.

type otlpTraces struct {
	ResourceSpans []otlpResource `json:"resourceSpans"`
}

type otlpResource struct {
	Resource struct {
		Attributes []otlpAttribute `json:"attributes"`
	} `json:"resource"`
	ScopeSpans []otlpScope `json:"scopeSpans"`
}

type otlpScope struct {
	Scope struct {
		Name string `json:"name"`
	} `json:"scope"`
	Spans []otlpSpan `json:"spans"`
}

type otlpSpan struct {
	TraceID    string          `json:"traceId"`
	SpanID     string          `json:"spanId"`
	ParentID   string          `json:"parentSpanId,omitempty"`
	State      string          `json:"traceState,omitempty"`
	Name       string          `json:"name"`
	Kind       int             `json:"kind"`
	Start      string          `json:"startTimeUnixNano"`
	End        string          `json:"endTimeUnixNano"`
	Attributes []otlpAttribute `json:"attributes,omitempty"`
	Status     struct {
		Message string `json:"message,omitempty"`
		Code    int    `json:"code,omitempty"`
	} `json:"status"`
}

type otlpAttribute struct {
	Key   string         `json:"key"`
	Value map[string]any `json:"value"`
}

func encodeSpans(spans []sdktrace.ReadOnlySpan) otlpTraces {
	var resource otlpResource
	resource.Resource.Attributes = encodeAttributes(spans[0].Resource().Attributes())
	var scope otlpScope
	scope.Scope.Name = spans[0].InstrumentationScope().Name
	for _, s := range spans {
		o := otlpSpan{
			TraceID: s.SpanContext().TraceID().String(), SpanID: s.SpanContext().SpanID().String(),
			State: s.SpanContext().TraceState().String(), Name: s.Name(), Kind: int(s.SpanKind()),
			Start: strconv.FormatInt(s.StartTime().UnixNano(), 10), End: strconv.FormatInt(s.EndTime().UnixNano(), 10),
			Attributes: encodeAttributes(s.Attributes()),
		}
		if s.Parent().SpanID().IsValid() {
			o.ParentID = s.Parent().SpanID().String()
		}
		switch s.Status().Code {
		case codes.Ok:
			o.Status.Code = 1
		case codes.Error:
			o.Status.Code, o.Status.Message = 2, s.Status().Description
		}
		scope.Spans = append(scope.Spans, o)
	}
	resource.ScopeSpans = []otlpScope{scope}
	return otlpTraces{[]otlpResource{resource}}
}

func encodeAttributes(list []attribute.KeyValue) []otlpAttribute {
	var encoded []otlpAttribute
	for _, kv := range list {
		value := map[string]any{}
		switch kv.Value.Type() {
		case attribute.INT64:
			value["intValue"] = strconv.FormatInt(kv.Value.AsInt64(), 10)
		case attribute.BOOL:
			value["boolValue"] = kv.Value.AsBool()
		case attribute.FLOAT64:
			value["doubleValue"] = kv.Value.AsFloat64()
		default:
			value["stringValue"] = kv.Value.String()
		}
		encoded = append(encoded, otlpAttribute{string(kv.Key), value})
	}
	return encoded
}
