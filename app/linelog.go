package app

import (
	"bytes"
	"context"
	"log/slog"
)

// maxLine bounds a line of the log, in bytes; longer ones are cut in pieces.
const maxLine = 16 << 10

// A lineLog writes each line of a guest's output to a log. It is used by one
// goroutine.
type lineLog struct {
	log    *slog.Logger
	level  slog.Level
	stream string // stdout or stderr; "" is not told
	rest   []byte
}

func (l *lineLog) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		end := i >= 0
		if !end {
			i = len(p)
		}
		if room := maxLine - len(l.rest); i > room {
			i, end = room, false
		}
		l.rest = append(l.rest, p[:i]...)
		p = p[i:]
		if end {
			p = p[1:]
		}
		if end || len(l.rest) == maxLine && len(p) > 0 && p[0] != '\n' {
			l.line(l.rest)
			l.rest = l.rest[:0]
		}
	}
	return n, nil
}

// Close writes a last line that was not ended.
func (l *lineLog) Close() error {
	if len(l.rest) > 0 {
		l.line(l.rest)
		l.rest = nil
	}
	return nil
}

func (l *lineLog) line(b []byte) {
	text := string(bytes.TrimSuffix(b, []byte("\r")))
	if l.stream == "" {
		l.log.Log(context.Background(), l.level, text)
		return
	}
	l.log.LogAttrs(context.Background(), l.level, text, slog.String("stream", l.stream))
}
