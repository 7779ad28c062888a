package proxywasm

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// slogLevels has slog's level of each of ours.
var slogLevels = [...]slog.Level{LogTrace: slog.LevelDebug - 4, LogDebug: slog.LevelDebug, LogInfo: slog.LevelInfo,
	LogWarn: slog.LevelWarn, LogError: slog.LevelError, LogCritical: slog.LevelError + 4}

// maxLine is how much of a line of a plugin's log is kept, in bytes.
const maxLine = 64 << 10

// A logRate bounds what a plugin's VMs log, by lines of up to 1 KiB: as many
// as in a second may come at once.
type logRate struct {
	mu      sync.Mutex
	left    float64
	last    time.Time
	dropped int64
}

// take tells whether a line of n bytes may be logged, and whether it is the
// first that may not.
func (r *logRate) take(limit, n int, now time.Time) (ok, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last.IsZero() {
		r.left = float64(limit)
	} else if d := now.Sub(r.last); d > 0 {
		r.left = min(r.left+d.Seconds()*float64(limit), float64(limit))
	}
	r.last = now
	cost := float64(max(n+1023, 1024) / 1024)
	// A line larger than what may come at once waits for all of it.
	if r.left < min(cost, float64(limit)) {
		r.dropped++
		return false, r.dropped == 1
	}
	r.left -= cost
	return true, false
}

// count takes the number of lines dropped so far.
func (r *logRate) count() (n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, r.dropped = r.dropped, 0
	return n
}

// say logs what a plugin says, if it does not say too much.
func (p *Plugin) say(level LogLevel, c *scope, message []byte) {
	if !p.logs(level) {
		return
	}
	if limit := p.cfg.Limits.Log; limit > 0 {
		ok, first := p.rate.take(limit, min(len(message), maxLine), p.cfg.Clock.Now())
		if first {
			p.cfg.Clock.AfterFunc(time.Second, func() {
				if n := p.rate.count(); n > 0 {
					p.log(LogWarn, nil, fmt.Sprintf("%d lines of the plugin's log were dropped: it may log %d a second", n, limit))
				}
			})
		}
		if !ok {
			return
		}
	}
	text := string(message[:min(len(message), maxLine)])
	if more := len(message) - maxLine; more > 0 {
		text += fmt.Sprintf("... (%d bytes more)", more)
	}
	p.log(level, c, text)
}

// logs tells whether messages of a level go anywhere.
func (p *Plugin) logs(level LogLevel) bool {
	return level >= p.cfg.LogLevel && p.cfg.Log.Enabled(context.Background(), slogLevels[level])
}

// log writes a message of a plugin, or about it.
func (p *Plugin) log(level LogLevel, c *scope, message string) {
	if !p.logs(level) {
		return
	}
	attrs := []slog.Attr{slog.String("plugin", p.cfg.Name)}
	if c != nil {
		if c.config.RootID != "" {
			attrs = append(attrs, slog.String("root", c.config.RootID))
		}
		attrs = append(attrs, slog.Int("vm", c.vm.number), slog.Uint64("context", uint64(c.id)))
	}
	p.cfg.Log.LogAttrs(context.Background(), slogLevels[level], message, attrs...)
}

// A logWriter is a plugin's standard output or error: each write is a
// message, less one newline.
type logWriter struct {
	vm    *vm
	level LogLevel
}

func (w *logWriter) Write(b []byte) (int, error) {
	w.vm.output(w.level, b)
	message := b
	if n := len(message); n > 0 && message[n-1] == '\n' {
		message = message[:n-1]
	}
	if len(b) > 0 {
		w.vm.plugin.say(w.level, w.vm.context(), message)
	}
	return len(b), nil
}
