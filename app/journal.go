package app

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Sources of lines in a journal.
const (
	SourceServer = "server" // what the server says of itself
	SourceApp    = "app"    // what apps write, and how they fail
	SourceAccess = "access" // a line for each request
)

// DefaultJournal is how many bytes of lines a journal keeps unless told.
const DefaultJournal = 4 << 20

// lineOverhead is what a line costs beside its text, in bytes.
const lineOverhead = 64

// A Journal keeps the last lines of what a process logs, and passes on those
// that come. Who writes to it never waits for those who read: a reader that is
// too slow is told how many lines it missed. Its methods may be called by
// several goroutines.
type Journal struct {
	max int // bytes

	mu      sync.Mutex
	entries []entry // a ring
	start   int     // the place of the oldest
	count   int
	size    int
	next    uint64        // the number of the entry that comes next
	lines   uint64        // how many there were before it
	more    chan struct{} // closed when one comes; nil while nobody waits
}

// An entry is what was written at a time. What it is about, and where lines
// end in a guest's output, is found out when somebody asks for it, which is
// rarely.
type entry struct {
	time  time.Time
	kind  entryKind
	lines uint64 // how many there were before it
	text  []byte
}

type entryKind uint8

const (
	kindLog entryKind = iota // a line of JSON
	kindAccess
	kindStdout // some lines
	kindStderr
)

// NewJournal returns a journal that keeps at most max bytes; 0 means
// DefaultJournal.
func NewJournal(max int) *Journal {
	if max <= 0 {
		max = DefaultJournal
	}
	return &Journal{max: max}
}

// A LogLine is a line of a journal.
type LogLine struct {
	Time   time.Time `json:"time"`
	Source string    `json:"source"`
	App    string    `json:"app,omitempty"`
	Stream string    `json:"stream,omitempty"` // stdout or stderr, where a guest wrote it
	Level  string    `json:"level,omitempty"`
	Text   string    `json:"text,omitempty"`
	// Fields are what else is known: an object, such as a request's line in the
	// access log.
	Fields json.RawMessage `json:"fields,omitempty"`
	// Dropped is how many lines are missing before this one, which then has
	// nothing but its time.
	Dropped uint64 `json:"dropped,omitempty"`
}

// LogQuery says which lines of a journal are wanted.
type LogQuery struct {
	App     string    `json:"app,omitempty"`     // only lines about this app
	Sources []string  `json:"sources,omitempty"` // only lines of these; none means all
	Since   time.Time `json:"since,omitzero"`    // only lines that came then or later
	Last    int       `json:"last"`              // the newest so many of those there are; all below 0
	Follow  bool      `json:"follow,omitempty"`  // and those that come
}

func (q *LogQuery) wants(l *LogLine) bool {
	return (q.App == "" || q.App == l.App) && (len(q.Sources) == 0 || slices.Contains(q.Sources, l.Source)) && !l.Time.Before(q.Since)
}

// add takes lines without the end of the last one. The text is copied.
func (j *Journal) add(kind entryKind, text []byte, lines int) {
	e := entry{time: time.Now(), kind: kind, text: bytes.Clone(text)}
	j.mu.Lock()
	defer j.mu.Unlock()
	e.lines = j.lines
	j.lines += uint64(lines)
	for j.count > 0 && j.size+len(text)+lineOverhead > j.max {
		old := &j.entries[j.start]
		j.size -= len(old.text) + lineOverhead
		*old = entry{}
		j.start = (j.start + 1) % len(j.entries)
		j.count--
	}
	if j.count == len(j.entries) {
		grown := make([]entry, max(64, 2*len(j.entries)))
		for i := range j.count {
			grown[i] = j.entries[(j.start+i)%len(j.entries)]
		}
		j.entries, j.start = grown, 0
	}
	j.entries[(j.start+j.count)%len(j.entries)] = e
	j.count++
	j.size += len(text) + lineOverhead
	j.next++
	if j.more != nil {
		close(j.more)
		j.more = nil
	}
}

// Access takes a line of the access log.
func (j *Journal) Access(line []byte) { j.add(kindAccess, line, 1) }

// Handler returns a handler for a log that the journal keeps. Lines with an
// attribute "app" are that app's.
func (j *Journal) Handler() slog.Handler { return slog.NewJSONHandler(journalWriter{j}, nil) }

// A journalWriter takes lines of JSON from a slog.Handler.
type journalWriter struct{ j *Journal }

func (w journalWriter) Write(p []byte) (int, error) {
	w.j.add(kindLog, bytes.TrimSuffix(p, []byte("\n")), 1)
	return len(p), nil
}

// Stream returns a writer that passes on to w what a guest writes to a
// stream, and keeps it. The journal has a line when its end was written, or
// when it has got long. The writer is for one goroutine.
func (j *Journal) Stream(w io.Writer, stream string) io.Writer {
	s := &journalStream{w: w, j: j, kind: kindStdout}
	if stream == "stderr" {
		s.kind = kindStderr
	}
	return s
}

type journalStream struct {
	w    io.Writer
	j    *Journal
	kind entryKind
	rest []byte // of a line that has not ended
}

func (s *journalStream) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	for kept := p[:max(n, 0)]; len(kept) > 0; {
		part := kept[:min(len(kept), maxLine)] // an entry is not to be large
		kept = kept[len(part):]
		end := bytes.LastIndexByte(part, '\n')
		if end < 0 {
			s.rest = append(s.rest, part...)
		} else {
			text := part[:end]
			if len(s.rest) > 0 {
				text = append(s.rest, text...)
			}
			s.j.add(s.kind, text, 1+bytes.Count(text, []byte{'\n'}))
			s.rest = append(s.rest[:0], part[end+1:]...)
		}
		if len(s.rest) >= maxLine {
			s.j.add(s.kind, s.rest, 1)
			s.rest = s.rest[:0]
		}
	}
	return n, err
}

// read returns entries from number from on, the number of the first, how many
// lines there were before it, and what is closed when there are more.
func (j *Journal) read(from uint64, most int) (entries []entry, first, lines uint64, more <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	oldest := j.next - uint64(j.count)
	first, lines = max(from, oldest), j.lines
	for n := first; n < j.next && len(entries) < most; n++ {
		entries = append(entries, j.entries[(j.start+int(n-oldest))%len(j.entries)])
	}
	if len(entries) > 0 {
		return entries, first, entries[0].lines, nil
	}
	if j.more == nil {
		j.more = make(chan struct{})
	}
	return nil, first, lines, j.more
}

// journalBatch is how many entries are read at a time.
const journalBatch = 256

// Read calls f with the lines that q wants, in their order, until f fails,
// there are no more or, if q follows, until stop is closed. It returns f's
// error.
func (j *Journal) Read(q LogQuery, stop <-chan struct{}, f func(l *LogLine) error) error {
	j.mu.Lock()
	end, at := j.next, j.next-uint64(j.count)
	j.mu.Unlock()
	skip := 0 // lines of the first entry
	if q.Last >= 0 {
		at, skip = j.lastOf(&q, at, end)
	}
	var expected uint64 // the number of lines before what comes next; 0 is not known
	for {
		entries, first, before, more := j.read(at, journalBatch)
		if first > at {
			skip = 0
			if missing := before - min(before, expected); expected > 0 && missing > 0 {
				if err := f(&LogLine{Time: time.Now(), Dropped: missing}); err != nil {
					return err
				}
			}
		}
		expected = before
		for i := range entries {
			if first+uint64(i) >= end && !q.Follow {
				return nil
			}
			for l := range entries[i].parse {
				expected++
				if skip > 0 {
					skip--
					continue
				}
				if q.wants(l) {
					if err := f(l); err != nil {
						return err
					}
				}
			}
		}
		if at = first + uint64(len(entries)); len(entries) > 0 {
			continue
		}
		if !q.Follow {
			return nil
		}
		select {
		case <-more:
		case <-stop:
			return nil
		}
	}
}

// lastOf returns where the last lines begin, before entry number end, that q
// wants: the number of an entry, and how many of its lines are before them.
func (j *Journal) lastOf(q *LogQuery, from, end uint64) (number uint64, skip int) {
	type place struct {
		number uint64
		skip   int
	}
	last := make([]place, 0, 64) // a ring
	n := 0
	for q.Last > 0 {
		entries, first, _, _ := j.read(from, journalBatch)
		for i := range entries {
			p := place{number: first + uint64(i)}
			if p.number >= end {
				break
			}
			for l := range entries[i].parse {
				if q.wants(l) {
					if len(last) < q.Last {
						last = append(last, p)
					} else {
						last[n%q.Last] = p
					}
					n++
				}
				p.skip++
			}
		}
		if from = first + uint64(len(entries)); len(entries) == 0 || from >= end {
			break
		}
	}
	var p place
	switch {
	case n == 0:
		return end, 0
	case n <= q.Last:
		p = last[0]
	default:
		p = last[n%q.Last]
	}
	return p.number, p.skip
}

// parse yields the lines of an entry.
func (e *entry) parse(yield func(l *LogLine) bool) {
	switch e.kind {
	case kindLog, kindAccess:
		yield(e.parseLine())
		return
	}
	stream := "stdout"
	if e.kind == kindStderr {
		stream = "stderr"
	}
	for line := range bytes.SplitSeq(e.text, []byte{'\n'}) {
		line = bytes.TrimSuffix(line, []byte{'\r'})
		if !yield(&LogLine{Time: e.time, Source: SourceApp, Stream: stream, Text: string(bytes.ToValidUTF8(line, []byte("\uFFFD")))}) {
			return
		}
	}
}

// parseLine finds out what a line is about.
func (e *entry) parseLine() *LogLine {
	out := &LogLine{Time: e.time, Source: SourceServer}
	access := e.kind == kindAccess
	if access {
		out.Source = SourceAccess
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(e.text, &fields); err != nil {
		out.Text = string(e.text) // the combined form
		return out
	}
	text := func(key string) (s string) {
		if json.Unmarshal(fields[key], &s) == nil {
			delete(fields, key)
		}
		return s
	}
	if access {
		var app struct {
			Name string `json:"name"`
		}
		_ = json.Unmarshal(fields["app"], &app)
		out.App = app.Name
	} else {
		out.Level, out.Text = text(slog.LevelKey), text(slog.MessageKey)
		if out.App = text("app"); out.App != "" {
			out.Source = SourceApp
		}
		if out.Stream = text("stream"); out.Stream != "" {
			out.Source = SourceApp
		}
	}
	delete(fields, slog.TimeKey)
	if access {
		delete(fields, slog.LevelKey)
		delete(fields, slog.MessageKey)
	}
	if len(fields) > 0 {
		out.Fields, _ = json.Marshal(fields) // ordered by name
	}
	return out
}
