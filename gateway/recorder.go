package gateway

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hako-run/hako/config"
)

// A recorder keeps what is needed to run requests again: a file for each day,
// a line of JSON for each request, an [Entry].
type recorder struct {
	c   *config.Record
	log *slog.Logger

	mu   sync.Mutex
	day  string
	file *os.File
	size int64
	full bool // and that was told
}

const (
	recordPrefix = "requests-"
	recordSuffix = ".jsonl"
	dayFormat    = "2006-01-02"
)

// openRecorder returns nil where nothing is recorded.
func openRecorder(c *config.Record, log *slog.Logger) (*recorder, error) {
	if c == nil {
		return nil, nil
	}
	r := &recorder{c: c, log: log}
	if err := os.MkdirAll(string(c.Dir), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder for recorded requests: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r, r.turn(time.Now())
}

// turn opens the day's file and lets old ones go. The lock is held.
func (r *recorder) turn(now time.Time) error {
	day := now.UTC().Format(dayFormat)
	if day == r.day {
		return nil
	}
	file, err := os.OpenFile(filepath.Join(string(r.c.Dir), recordPrefix+day+recordSuffix), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the file of recorded requests: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return fmt.Errorf("open the file of recorded requests: %w", err)
	}
	if r.file != nil {
		r.file.Close()
	}
	r.day, r.file, r.size, r.full = day, file, info.Size(), false
	names, err := recordFiles(string(r.c.Dir))
	if err != nil {
		return err
	}
	oldest := recordPrefix + now.UTC().Add(-r.c.Keep.D()).Format(dayFormat)
	for _, name := range names {
		if base := filepath.Base(name); base < oldest {
			if err := os.Remove(name); err != nil {
				return fmt.Errorf("remove old recorded requests: %w", err)
			}
		}
	}
	return nil
}

// recordFiles returns the files of a folder, the oldest first.
func recordFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("look for recorded requests: %w", err)
	}
	var names []string
	for _, e := range entries {
		day, ok := strings.CutPrefix(e.Name(), recordPrefix)
		if day, found := strings.CutSuffix(day, recordSuffix); ok && found && len(day) == len(dayFormat) && e.Type().IsRegular() {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(names)
	return names, nil
}

// write adds a request.
func (r *recorder) write(n *Entry) {
	line, err := json.Marshal(n)
	if err != nil {
		r.log.Error("record a request", "id", n.ID, "error", err)
		return
	}
	line = append(line, '\n')
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.turn(n.Time); err != nil {
		r.log.Error("record a request", "id", n.ID, "error", err)
		if r.file == nil {
			return
		}
	}
	if r.size+int64(len(line)) > int64(r.c.MaxSize) {
		if !r.full {
			r.log.Warn("no more requests are recorded today: server.log.record.max_size is reached", "file", r.file.Name())
		}
		r.full = true
		return
	}
	if _, err := r.file.Write(line); err != nil {
		r.log.Error("record a request", "id", n.ID, "error", err)
		return
	}
	r.size += int64(len(line))
}

func (r *recorder) close() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file != nil {
		r.file.Close()
	}
}

// A recording is what is kept of a request while it is answered.
type recording struct {
	header   http.Header
	withheld []string
	hash     hash.Hash // of the response's body
}

// begin keeps a request's header, and sees to it that its body is kept.
func (r *recorder) begin(e *exchange, in *http.Request) {
	rec := &recording{header: http.Header{}, hash: sha256.New()}
	for name, values := range in.Header {
		if r.isSecret(name) {
			rec.withheld = append(rec.withheld, name)
			continue
		}
		rec.header[name] = slices.Clone(values)
	}
	slices.Sort(rec.withheld)
	if e.body != nil {
		e.body.keep, e.body.keeps = int64(r.c.MaxBody), true
	}
	e.recording = rec
}

// isSecret reports whether a header may hold what lets others in.
func (r *recorder) isSecret(name string) bool {
	if slices.ContainsFunc(r.c.Secrets, func(s string) bool { return strings.EqualFold(s, name) }) {
		return false
	}
	lower := strings.ToLower(name)
	return slices.ContainsFunc([]string{"authorization", "cookie", "token", "secret", "password", "key", "session", "csrf", "xsrf", "signature"},
		func(part string) bool { return strings.Contains(lower, part) })
}

// end completes an entry.
func (rec *recording) end(e *exchange, n *Entry) {
	n.Recorded, n.Header, n.Withheld = true, rec.header, rec.withheld
	n.Hash = hex.EncodeToString(rec.hash.Sum(nil)[:16])
	if b := e.body; b != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		n.Body = b.kept
		n.Cut = b.read > int64(len(b.kept)) || b.read < e.request.ContentLength || e.request.ContentLength < 0 && b.err != io.EOF
	}
}

// Find looks for a request to an app by its ID: among the recorded ones, the
// recent ones, and in the access log if that is a file in JSON form. It
// returns nil if there is none.
func (g *Gateway) Find(id string) (*Entry, error) {
	s := g.acquire()
	if s == nil {
		return nil, ErrClosed
	}
	defer s.done()
	if c := s.config.Server.Log.Record; c != nil {
		names, err := recordFiles(string(c.Dir))
		if err != nil {
			return nil, err
		}
		for _, name := range slices.Backward(names) {
			if n, err := findEntry(name, id); n != nil || err != nil {
				return n, err
			}
		}
	}
	if n := g.recent.find(func(n *Entry) bool { return n.ID == id }); n != nil {
		return n, nil
	}
	if l := &s.config.Server.Log; l.Access == "json" && l.File != "" {
		if s.log != nil {
			s.log.flush()
		}
		return findEntry(string(l.File), id)
	}
	return nil, nil
}

// findEntry returns the last entry of a file that has the ID.
func findEntry(name, id string) (found *Entry, err error) {
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for the request %s: %w", id, err)
	}
	defer file.Close()
	for r := bufio.NewReaderSize(file, 64<<10); ; {
		line, err := r.ReadBytes('\n')
		if bytes.Contains(line, []byte(id)) {
			if n, err := ParseEntry(line); err == nil && n.ID == id && n.App.Name != "" {
				found = n
			}
		}
		if err == io.EOF {
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("look for the request %s: %w", id, err)
		}
	}
}
