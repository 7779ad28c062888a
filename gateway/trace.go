package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/hako-run/hako/config"
)

// A tracer makes a span of each request.
type tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

var traceContext propagation.TraceContext

// newTracer returns nil where nothing is traced; traceparent headers are
// passed on all the same.
func newTracer(c *config.Tracing, log *slog.Logger) (*tracer, error) {
	if c == nil {
		return nil, nil
	}
	exporter, err := newExporter(c, log)
	if err != nil {
		return nil, err
	}
	p := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter, sdktrace.WithBatchTimeout(time.Second)),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(c.Sample))),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", c.Service))),
	)
	return &tracer{p, p.Tracer("github.com/hako-run/hako/gateway")}, nil
}

// close sends what is left, for some seconds.
func (t *tracer) close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	_ = t.provider.Shutdown(ctx)
}

// begin starts the span of a request, below the client's if it says one.
func (t *tracer) begin(ctx context.Context, e *exchange, r *http.Request) context.Context {
	ctx = traceContext.Extract(ctx, propagation.HeaderCarrier(r.Header))
	ctx, e.span = t.tracer.Start(ctx, r.Method+" "+e.route.name, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(e.began))
	if e.span.IsRecording() {
		e.span.SetAttributes(
			attribute.String("http.request.method", r.Method),
			attribute.String("http.route", e.route.name),
			attribute.String("url.path", r.URL.Path),
			attribute.String("url.scheme", e.scheme()),
			attribute.String("server.address", e.host),
			attribute.String("client.address", e.client),
		)
	}
	inject(ctx, r.Header)
	return ctx
}

// inject tells the next one which span it is below.
func inject(ctx context.Context, h http.Header) {
	traceContext.Inject(ctx, propagation.HeaderCarrier(h))
}

func endSpan(e *exchange) {
	if e.span.IsRecording() {
		e.span.SetAttributes(attribute.Int("http.response.status_code", e.status), attribute.Int64("http.response.body.size", e.written))
		if e.upstream != "" {
			e.span.SetAttributes(attribute.String("hako.upstream", e.upstream))
		}
		if e.status >= 500 || e.aborted {
			text := ""
			if e.err != nil {
				text = e.err.Error()
			}
			e.span.SetStatus(codes.Error, text)
		}
	}
	e.span.End()
}
