package vfscore

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hako-run/hako/pagestore"
)

func TestResultCodes(t *testing.T) {
	for err, want := range map[error]Code{
		pagestore.ErrDiskFull:       Full,
		pagestore.ErrBusy:           Busy,
		pagestore.ErrReadOnly:       ReadOnly,
		&pagestore.ConflictError{}:  BusySnapshot,
		&pagestore.DamageError{}:    IOErrCorruptFS,
		errors.New("anything else"): IOErrWrite,
	} {
		if got := codeOf(fmt.Errorf("write: %w", err), IOErrWrite); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
	if codeOf(nil, IOErr) != OK {
		t.Error("no error")
	}
}

func TestPragma(t *testing.T) {
	s := newVFS(t).NewSession(SessionOptions{})
	m := open(t, s, "db")
	for _, c := range []struct {
		name, arg, want string
		handled         bool
	}{
		{"journal_mode", "wal", "delete", true},
		{"Journal_Mode", "", "delete", true},
		{"locking_mode", "exclusive", "normal", true},
		{"synchronous", "off", "", true},
		{"synchronous", "", "2", true},
		{"busy_timeout", "", "0", true},
		{"busy_timeout", "250ms", "250", true},
		{"busy_timeout", "-5", "0", true},
		{"busy_timeout", "99999999999", "0", true},
		{"user_version", "", "", false},
	} {
		got, handled := m.Pragma(c.name, c.arg)
		if got != c.want || handled != c.handled {
			t.Errorf("PRAGMA %s=%s: %q, %v", c.name, c.arg, got, handled)
		}
	}
}
