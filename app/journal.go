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

	mu    sync.Mutex
	lines []journalLine // from first on, a ring once it has stopped to grow
	start int           // the place of the oldest line
	count int
	size  int
	next  uint64        // the number of the line that comes next
	more  chan struct{} // closed when a line comes; nil while nobody waits
}

// A journalLine is a line as it was written. What it is about is found out
// when somebody asks for it, which is rarely.
type journalLine struct {
	time   time.Time
	access bool
	text   []byte
}

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

// add takes a line without its end. The text is copied.
func (j *Journal) add(access bool, text []byte) {
	l := journalLine{time: time.Now(), access: access, text: bytes.Clone(text)}
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.count > 0 && j.size+len(text)+lineOverhead > j.max {
		old := &j.lines[j.start]
		j.size -= len(old.text) + lineOverhead
		*old = journalLine{}
		j.start = (j.start + 1) % len(j.lines)
		j.count--
	}
	if j.count == len(j.lines) {
		grown := make([]journalLine, max(64, 2*len(j.lines)))
		for i := range j.count {
			grown[i] = j.lines[(j.start+i)%len(j.lines)]
		}
		j.lines, j.start = grown, 0
	}
	j.lines[(j.start+j.count)%len(j.lines)] = l
	j.count++
	j.size += len(text) + lineOverhead
	j.next++
	if j.more != nil {
		close(j.more)
		j.more = nil
	}
}

// Access takes a line of the access log.
func (j *Journal) Access(line []byte) { j.add(true, line) }

// Handler returns a handler for a log that the journal keeps. Lines with an
// attribute "app" are that app's.
func (j *Journal) Handler() slog.Handler { return slog.NewJSONHandler(journalWriter{j}, nil) }

// A journalWriter takes lines of JSON from a slog.Handler.
type journalWriter struct{ j *Journal }

func (w journalWriter) Write(p []byte) (int, error) {
	w.j.add(false, bytes.TrimSuffix(p, []byte("\n")))
	return len(p), nil
}

// Stream returns a writer whose lines are kept as a guest's, and passed on to
// w unchanged. The journal has a line when its end was written, or the writer
// is closed. The writer is for one goroutine.
func (j *Journal) Stream(w io.Writer, stream string) io.WriteCloser {
	log := slog.New(j.Handler())
	level := slog.LevelInfo
	if stream == "stderr" {
		level = slog.LevelError
	}
	return &teeLog{w, lineLog{log: log, level: level, stream: stream}}
}

type teeLog struct {
	w     io.Writer
	lines lineLog
}

func (t *teeLog) Write(p []byte) (int, error) {
	n, err := t.w.Write(p)
	_, _ = t.lines.Write(p[:max(n, 0)])
	return n, err
}

func (t *teeLog) Close() error { return t.lines.Close() }

// read returns lines from number from on, how many are missing before them,
// and what is closed when there are more.
func (j *Journal) read(from uint64, most int) (lines []journalLine, first uint64, more <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	oldest := j.next - uint64(j.count)
	first = max(from, oldest)
	for n := first; n < j.next && len(lines) < most; n++ {
		lines = append(lines, j.lines[(j.start+int(n-oldest))%len(j.lines)])
	}
	if len(lines) == 0 {
		if j.more == nil {
			j.more = make(chan struct{})
		}
		more = j.more
	}
	return lines, first, more
}

// journalBatch is how many lines are read at a time.
const journalBatch = 256

// Read calls f with the lines that q wants, in their order, until f fails,
// there are no more or, if q follows, until stop is closed. It returns f's
// error.
func (j *Journal) Read(q LogQuery, stop <-chan struct{}, f func(l *LogLine) error) error {
	j.mu.Lock()
	end, at := j.next, j.next-uint64(j.count)
	j.mu.Unlock()
	if q.Last >= 0 {
		at = j.lastOf(&q, at, end)
	}
	for {
		lines, first, more := j.read(at, journalBatch)
		if first > at {
			if err := f(&LogLine{Time: time.Now(), Dropped: first - at}); err != nil {
				return err
			}
		}
		at = first + uint64(len(lines))
		for i := range lines {
			if first+uint64(i) >= end && !q.Follow {
				return nil
			}
			if l := lines[i].parse(); q.wants(l) {
				if err := f(l); err != nil {
					return err
				}
			}
		}
		if len(lines) > 0 {
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

// lastOf returns the number of the first of the last lines before end that q
// wants.
func (j *Journal) lastOf(q *LogQuery, from, end uint64) uint64 {
	at := make([]uint64, 0, 64) // numbers of the last, a ring
	n := 0
	for q.Last > 0 {
		lines, first, _ := j.read(from, journalBatch)
		for i := range lines {
			number := first + uint64(i)
			if number >= end || !q.wants(lines[i].parse()) {
				continue
			}
			if len(at) < q.Last {
				at = append(at, number)
			} else {
				at[n%q.Last] = number
			}
			n++
		}
		if from = first + uint64(len(lines)); len(lines) == 0 || from >= end {
			break
		}
	}
	switch {
	case n == 0:
		return end
	case n <= q.Last:
		return at[0]
	}
	return at[n%q.Last]
}

// parse finds out what a line is about.
func (l *journalLine) parse() *LogLine {
	out := &LogLine{Time: l.time, Source: SourceServer}
	if l.access {
		out.Source = SourceAccess
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(l.text, &fields); err != nil {
		out.Text = string(l.text) // the combined form
		return out
	}
	text := func(key string) (s string) {
		if json.Unmarshal(fields[key], &s) == nil {
			delete(fields, key)
		}
		return s
	}
	if l.access {
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
	if l.access {
		delete(fields, slog.LevelKey)
		delete(fields, slog.MessageKey)
	}
	if len(fields) > 0 {
		out.Fields, _ = json.Marshal(fields) // ordered by name
	}
	return out
}
