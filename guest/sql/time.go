package sql

import (
	"strings"
	"time"
)

// readFormats are the ways to write a time that are understood, after that of
// time.Time.String.
var readFormats = [...]string{
	"2006-01-02 15:04:05.999999999-07:00",
	"2006-01-02T15:04:05.999999999-07:00",
	"2006-01-02 15:04:05.999999999",
	"2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04",
	"2006-01-02T15:04",
	"2006-01-02",
}

// parseTime reads a time; ok is false if s is none. hint is where in
// readFormats to begin, and where the format was found is returned.
func parseTime(s string, hint int) (t time.Time, at int, ok bool) {
	spoken := s
	if i := strings.Index(s, "m="); i > 0 {
		spoken = s[:i]
	}
	if len(s) > 20 && strings.Count(s, " ") >= 2 {
		if t, err := time.Parse("2006-01-02 15:04:05.999999999 -0700 MST", strings.TrimSpace(spoken)); err == nil {
			return t, hint, true
		}
	}
	s = strings.TrimSuffix(s, "Z")
	for i := range readFormats {
		at := (hint + i) % len(readFormats)
		if t, err := time.Parse(readFormats[at], s); err == nil {
			return t, at, true
		}
	}
	return time.Time{}, hint, false
}

// ofInteger takes seconds, or milliseconds if there are too many, since 1970.
func ofInteger(v int64) time.Time {
	if v > 1e12 || v < -1e12 {
		return time.UnixMilli(v).UTC()
	}
	return time.Unix(v, 0).UTC()
}

func (n *name) formatTime(t time.Time) string {
	if n.timeFormat == "" {
		return t.String()
	}
	return t.Format(n.timeFormat)
}
