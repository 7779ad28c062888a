package gateway

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/hako-run/hako/config"
)

// flushEvery is how long a line of the access log may be held back, so that a
// busy server does not write each of them by itself.
const flushEvery = 200 * time.Millisecond

// An accessLog writes a line for each request.
type accessLog struct {
	json     *slog.Logger // nil for the combined form
	combined bool
	file     *os.File          // closed with it; nil for a writer that was given
	tap      func(line []byte) // gets each line at once; may be nil

	mu    sync.Mutex
	w     *bufio.Writer
	timer *time.Timer // flushes what is held back
	armed bool
	done  bool
}

// openLog returns nil where nothing is logged.
func openLog(c *config.Log, out io.Writer, tap func([]byte)) (*accessLog, error) {
	if c.Access == "off" {
		return nil, nil
	}
	l := &accessLog{combined: c.Access == "combined", tap: tap}
	if c.File != "" {
		file, err := os.OpenFile(string(c.File), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
		if err != nil {
			return nil, fmt.Errorf("open the access log: %w", err)
		}
		l.file, out = file, file
	}
	if out == nil {
		if tap == nil {
			return nil, nil
		}
		out = io.Discard
	}
	l.w = bufio.NewWriterSize(out, 64<<10)
	if !l.combined {
		l.json = slog.New(slog.NewJSONHandler(l, nil))
	}
	return l, nil
}

// Write implements io.Writer for whole lines.
func (l *accessLog) Write(line []byte) (int, error) {
	if l.tap != nil {
		l.tap(bytes.TrimSuffix(line, []byte("\n")))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(line) > l.w.Available() {
		_ = l.w.Flush() // lines stay whole in the file, for others that append to it
	}
	n, err := l.w.Write(line)
	switch {
	case l.done:
		_ = l.w.Flush()
	case l.timer == nil:
		l.timer = time.AfterFunc(flushEvery, l.flush)
		l.armed = true
	case !l.armed:
		l.timer.Reset(flushEvery)
		l.armed = true
	}
	return n, err
}

func (l *accessLog) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = false
	_ = l.w.Flush()
}

func (l *accessLog) close() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
	}
	l.done = true
	_ = l.w.Flush()
	if l.file != nil {
		_ = l.file.Close()
	}
}

// record notes a finished request in log, metrics and trace.
func (e *exchange) record() {
	took := time.Since(e.began)
	m := e.state.gateway.metrics.unrouted
	name := ""
	if e.route != nil {
		m, name = e.route.metrics, e.route.name
	}
	class := e.status / 100
	if e.aborted || class < 1 || class > 5 {
		class = 0
	}
	m.codes[class].Inc()
	m.duration.Observe(took.Seconds())
	m.sent.Add(float64(e.written))
	if n := e.body.bytes(); n > 0 {
		m.received.Add(float64(n))
	}
	if e.span != nil {
		endSpan(e)
	}
	if e.id != "" {
		n := e.entry()
		e.state.gateway.recent.add(n)
		if e.recording != nil {
			e.recording.end(e, &n)
			e.state.recorder.write(&n)
		}
	}
	if replay := e.server.replay; replay != nil {
		*replay.account = e.account
	}
	if l := e.state.log; l != nil {
		if l.combined {
			_, _ = l.Write(e.appendCombined(nil))
		} else {
			e.logJSON(l, name, took)
		}
	}
}

func (e *exchange) logJSON(l *accessLog, route string, took time.Duration) {
	r := e.request
	var space [24]slog.Attr
	a := append(space[:0],
		slog.String("client", e.client),
		slog.String("method", r.Method),
		slog.String("host", e.host),
		slog.String("uri", e.uri),
		slog.String("proto", r.Proto),
		slog.Int("status", e.status),
		slog.Int64("bytes", e.written),
		slog.Float64("ms", float64(took.Microseconds())/1000),
	)
	text := func(key, value string) {
		if value != "" {
			a = append(a, slog.String(key, value))
		}
	}
	text("id", e.id)
	if e.secure {
		text("scheme", "https")
	}
	text("route", route)
	text("user", e.user)
	if n := e.body.bytes(); n > 0 {
		a = append(a, slog.Int64("received", n))
	}
	text("upstream", e.upstream)
	text("filter", e.filter)
	text("filter_details", e.filterDetails)
	if e.route != nil && e.route.config.App != "" {
		a = append(a, slog.Any("app", e.accountGroup()))
	}
	if e.span != nil {
		text("trace", e.span.SpanContext().TraceID().String())
	}
	if replay := e.server.replay; replay != nil {
		text("replay", replay.Of)
	}
	if e.aborted {
		a = append(a, slog.Bool("aborted", true))
	}
	if e.err != nil {
		text("error", e.err.Error())
	}
	text("agent", r.Header.Get("User-Agent"))
	text("referer", r.Header.Get("Referer"))
	l.json.LogAttrs(context.Background(), slog.LevelInfo, "request", a...)
}

func (e *exchange) accountGroup() slog.Value {
	a := &e.account
	g := []slog.Attr{
		slog.String("name", e.route.config.App),
		slog.Float64("cpu_ms", float64(a.CPU.Microseconds())/1000),
		slog.Float64("queued_ms", float64(a.Queued.Microseconds())/1000),
		slog.Int64("memory", a.Memory),
	}
	add := func(ok bool, attr slog.Attr) {
		if ok {
			g = append(g, attr)
		}
	}
	add(a.Instance != "", slog.String("instance", a.Instance))
	add(a.Forked, slog.Bool("forked", true))
	add(a.Shed, slog.Bool("shed", true))
	add(a.Crashed, slog.Bool("crashed", true))
	add(a.Limit != "", slog.String("limit", a.Limit))
	add(a.Pinned != "", slog.String("pinned", a.Pinned))
	add(a.Refused != "", slog.String("refused", a.Refused))
	add(e.plain != e.written, slog.Int64("length", e.plain))
	var saw, before []slog.Attr
	for _, v := range a.Versions {
		saw = append(saw, slog.Uint64(v.Name, v.Version))
		if v.Wrote {
			before = append(before, slog.Uint64(v.Name, v.Before))
		}
	}
	add(saw != nil, slog.Attr{Key: "databases", Value: slog.GroupValue(saw...)})
	add(before != nil, slog.Attr{Key: "before", Value: slog.GroupValue(before...)})
	return slog.GroupValue(g...)
}

// appendCombined appends the line that Apache and nginx call combined.
func (e *exchange) appendCombined(b []byte) []byte {
	r := e.request
	b = append(b, orDash(e.client)...)
	b = append(b, " - "...)
	b = appendEscaped(b, orDash(e.user))
	b = append(b, " ["...)
	b = e.began.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, "] \""...)
	b = appendEscaped(b, r.Method)
	b = append(b, ' ')
	b = appendEscaped(b, e.uri)
	b = append(b, ' ')
	b = append(b, r.Proto...)
	b = append(b, "\" "...)
	b = strconv.AppendInt(b, int64(e.status), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, e.written, 10)
	b = append(b, " \""...)
	b = appendEscaped(b, orDash(r.Header.Get("Referer")))
	b = append(b, "\" \""...)
	b = appendEscaped(b, orDash(r.Header.Get("User-Agent")))
	return append(b, "\"\n"...)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// appendEscaped keeps what a client sends from ending a field or a line.
func appendEscaped(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			b = append(b, '\\', 'x', hex[c>>4], hex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}
