//go:build unix

package app

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The folder of sockets may lie where others can make one first.
func TestRegistryFolderOfOthers(t *testing.T) {
	dir := t.TempDir()
	elsewhere := filepath.Join(dir, "elsewhere")
	if err := os.Mkdir(elsewhere, 0o755); err != nil {
		t.Fatal(err)
	}
	r := &Registry{dir: filepath.Join(dir, "run")}
	if err := os.Symlink(elsewhere, r.dir); err != nil {
		t.Fatal(err)
	}
	refused := func() {
		t.Helper()
		if reg, err := r.Register("x", nil); err == nil || !strings.Contains(err.Error(), "directory of this user") {
			t.Errorf("registered: %v, %v", reg, err)
		}
		if _, err := r.List(); err == nil || !strings.Contains(err.Error(), "directory of this user") {
			t.Errorf("listed: %v", err)
		}
		if _, err := r.Find("x"); err == nil {
			t.Error("found")
		}
	}
	refused()
	if info, err := os.Stat(elsewhere); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("what the link leads to has the mode %v, %v", info.Mode(), err)
	}
	if err := os.Remove(r.dir); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 { // who else can give a folder away
		if err := os.Mkdir(r.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(r.dir, 1234, 1234); err != nil {
			t.Fatal(err)
		}
		refused()
		if err := os.Remove(r.dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(r.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(r.dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := r.List(); err == nil || !strings.Contains(err.Error(), "chmod it to 700") {
		t.Errorf("listed what others can write to: %v", err)
	}
	if reg, err := r.Register("x", nil); err != nil {
		t.Error(err)
	} else {
		reg.Close()
	}
	if info, err := os.Stat(r.dir); err != nil || info.Mode() != fs.ModeDir|0o700 {
		t.Errorf("the folder has the mode %v, %v", info.Mode(), err)
	}
}

// A talker is a process with a journal.
type talker struct {
	*fakeProcess
	journal *Journal
}

func (t *talker) Journal() *Journal { return t.journal }

func TestRegistryLogs(t *testing.T) {
	r := NewRegistry(t.TempDir())
	p := &talker{newFake("shop"), NewJournal(50_000)}
	reg, err := r.Register("shop", p)
	if err != nil {
		t.Fatal(err)
	}
	silent, err := r.Register("silent", newFake("silent"))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if err := r.Logs(t.Context(), "silent", LogQuery{}, nil); err == nil || !strings.Contains(err.Error(), "keeps no log") {
		t.Errorf("a process without: %v", err)
	}
	if s, err := r.Stats(t.Context(), "silent"); err != nil || s.Time.IsZero() || len(s.Routes) != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	p.journal.Access([]byte("one"))
	p.journal.Access([]byte("two"))
	all := func(q LogQuery) (list []string) {
		t.Helper()
		if err := r.Logs(t.Context(), p.info.ID, q, func(l *LogLine) error { list = append(list, l.Text); return nil }); err != nil {
			t.Error(err)
		}
		return list
	}
	if got := all(LogQuery{Last: -1}); strings.Join(got, " ") != "one two" {
		t.Errorf("%q", got)
	}
	if got := all(LogQuery{Last: 1}); strings.Join(got, " ") != "two" {
		t.Errorf("%q", got)
	}

	// A reader that reads nothing holds nobody up, nor the end.
	stuck, err := r.request(r.socket("shop"), request{Op: opLogs, Logs: &LogQuery{Last: -1, Follow: true}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	// One that leaves is no trouble.
	ctx, cancel := context.WithCancel(t.Context())
	if err := r.Logs(ctx, "shop", LogQuery{Last: -1, Follow: true}, func(*LogLine) error { cancel(); return nil }); err != nil {
		t.Errorf("a reader that leaves: %v", err)
	}
	seen, ended := make(chan string, 20_000), make(chan error, 1)
	go func() {
		ended <- r.Logs(t.Context(), "shop", LogQuery{Last: 1, Follow: true}, func(l *LogLine) error { seen <- l.Text; return nil })
	}()
	if got := <-seen; got != "two" {
		t.Errorf("it begins with %q", got)
	}
	p.journal.Access([]byte("three"))
	if got := <-seen; got != "three" {
		t.Errorf("it goes on with %q", got)
	}
	for range 10_000 {
		p.journal.Access([]byte(strings.Repeat("x", 1000)))
	}
	reg.Close()
	if err := <-ended; err != nil {
		t.Errorf("at the process's end: %v", err)
	}
}
