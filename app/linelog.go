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
	log   *slog.Logger
	level slog.Level
	rest  []byte
}

func (l *lineLog) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			l.rest = append(l.rest, p...)
			for len(l.rest) >= maxLine {
				l.line(l.rest[:maxLine])
				l.rest = append(l.rest[:0], l.rest[maxLine:]...)
			}
			break
		}
		if len(l.rest) > 0 {
			l.rest = append(l.rest, p[:i]...)
			l.line(l.rest)
			l.rest = l.rest[:0]
		} else {
			l.line(p[:i])
		}
		p = p[i+1:]
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
	l.log.Log(context.Background(), l.level, string(bytes.TrimSuffix(b, []byte("\r"))))
}
