package vfscore

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Pragma answers the PRAGMAs that SQLite must not act on itself. If handled,
// result is the statement's one value, none if it is "".
func (m *Main) Pragma(name, arg string) (result string, handled bool) {
	switch strings.ToLower(name) {
	case "journal_mode": // commits rest on the rollback journal
		return "delete", true
	case "locking_mode": // exclusive locks would keep commits from being told apart
		return "normal", true
	case "synchronous": // every commit is durable, and OFF would split commits over several databases
		if arg != "" {
			return "", true
		}
		return "2", true
	case "busy_timeout": // SQLite's own handler would sleep instead of queueing
		if arg != "" {
			m.s.SetBusyTimeout(time.Duration(leadingInt(arg)) * time.Millisecond)
		}
		return strconv.FormatInt(m.s.timeout.Milliseconds(), 10), true
	}
	return "", false
}

// leadingInt reads the number that s begins with, as SQLite does for a PRAGMA.
func leadingInt(s string) int32 {
	s = strings.TrimPrefix(s, "+")
	i := 0
	if strings.HasPrefix(s, "-") {
		i = 1
	}
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	n, err := strconv.ParseInt(s[:i], 10, 64)
	if err != nil || n > math.MaxInt32 || n < math.MinInt32 {
		return 0
	}
	return int32(n)
}
