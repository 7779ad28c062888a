package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// texts returns the texts of the lines that a query finds now.
func texts(t *testing.T, j *Journal, q LogQuery) string {
	t.Helper()
	var list []string
	if err := j.Read(q, nil, func(l *LogLine) error {
		switch {
		case l.Dropped > 0:
			list = append(list, fmt.Sprintf("(%d missing)", l.Dropped))
		case l.Text != "":
			list = append(list, l.Text)
		default:
			list = append(list, string(l.Fields))
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	return strings.Join(list, "|")
}

func TestJournal(t *testing.T) {
	j := NewJournal(0)
	log := slog.New(j.Handler())
	log.Info("serving", "on", "a:80")
	shop := log.With("app", "shop")
	shop.Error("app failed", "path", "/x")
	w := &lineLog{log: shop, level: slog.LevelInfo, stream: "stdout"}
	io.WriteString(w, "one\ntwo\n")
	j.Access([]byte(`{"time":"x","level":"INFO","msg":"request","status":200,"app":{"name":"shop","cpu_ms":1}}`))
	j.Access([]byte(`{"msg":"request","status":404}`))
	j.Access([]byte(`1.2.3.4 - - "GET / HTTP/1.1" 200 3`))
	before := time.Now()
	log.Warn("last")
	for _, c := range []struct {
		q    LogQuery
		want string
	}{
		{LogQuery{Last: -1}, `serving|app failed|one|two|{"app":{"name":"shop","cpu_ms":1},"status":200}|{"status":404}|1.2.3.4 - - "GET / HTTP/1.1" 200 3|last`},
		{LogQuery{Last: 0}, ""},
		{LogQuery{Last: 1}, "last"},
		{LogQuery{Last: 100, App: "shop"}, `app failed|one|two|{"app":{"name":"shop","cpu_ms":1},"status":200}`},
		{LogQuery{Last: 2, App: "shop", Sources: []string{SourceApp}}, "one|two"},
		{LogQuery{Last: -1, Sources: []string{SourceServer}}, "serving|last"},
		{LogQuery{Last: -1, Sources: []string{SourceAccess}}, `{"app":{"name":"shop","cpu_ms":1},"status":200}|{"status":404}|1.2.3.4 - - "GET / HTTP/1.1" 200 3`},
		{LogQuery{Last: -1, Since: before}, "last"},
		{LogQuery{Last: -1, App: "none"}, ""},
	} {
		if got := texts(t, j, c.q); got != c.want {
			t.Errorf("%+v: %s\nwant %s", c.q, got, c.want)
		}
	}
	var lines []LogLine
	_ = j.Read(LogQuery{Last: -1, App: "shop"}, nil, func(l *LogLine) error { lines = append(lines, *l); return nil })
	if l := lines[0]; l.Source != SourceApp || l.Level != "ERROR" || l.Stream != "" || string(l.Fields) != `{"path":"/x"}` {
		t.Errorf("a failure is told as %+v", l)
	}
	if l := lines[1]; l.Source != SourceApp || l.Stream != "stdout" || l.Fields != nil || l.Time.IsZero() {
		t.Errorf("a guest's line is told as %+v", l)
	}
	failed := errors.New("full")
	if err := j.Read(LogQuery{Last: -1}, nil, func(*LogLine) error { return failed }); err != failed {
		t.Errorf("a reader that fails: %v", err)
	}
}

// The journal stays as small as it is told to, and keeps the newest lines.
func TestJournalIsBounded(t *testing.T) {
	j := NewJournal(10_000)
	for i := range 5000 {
		j.Access(fmt.Appendf(nil, `line %d %s`, i, strings.Repeat("x", i%700)))
		j.mu.Lock()
		size := 0
		for n := range j.count {
			size += len(j.entries[(j.start+n)%len(j.entries)].text) + lineOverhead
		}
		if size != j.size || size > j.max || j.count == 0 {
			t.Fatalf("after %d lines: %d bytes are counted, there are %d", i, j.size, size)
		}
		j.mu.Unlock()
	}
	if got := texts(t, j, LogQuery{Last: 1}); !strings.HasPrefix(got, "line 4999 ") {
		t.Errorf("the last is %q", got)
	}
	j.Access(make([]byte, 20_000))
	j.Access([]byte("small"))
	if got := texts(t, j, LogQuery{Last: -1}); got != "small" {
		t.Errorf("%.50q is left", got)
	}
}

// A reader that does not keep up is told what it missed, and holds nobody up.
func TestJournalSlowReader(t *testing.T) {
	j := NewJournal(4000)
	stop := make(chan struct{})
	reading, goOn := make(chan struct{}), make(chan struct{})
	got := make(chan string, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		var b bytes.Buffer
		first := true
		_ = j.Read(LogQuery{Follow: true}, stop, func(l *LogLine) error {
			if first {
				first = false
				close(reading)
				<-goOn
			}
			if l.Dropped > 0 {
				fmt.Fprintf(&b, "-%d ", l.Dropped)
			} else {
				fmt.Fprintf(&b, "%s ", l.Text)
			}
			if l.Text == "end" {
				got <- b.String()
			}
			return nil
		})
	})
	// It follows from its beginning on, which may be after the first lines.
	for started := false; !started; {
		j.Access([]byte("first"))
		select {
		case <-reading:
			started = true
		case <-time.After(time.Millisecond):
		}
	}
	for range 10_000 {
		j.Access([]byte("more"))
	}
	j.Access([]byte("end"))
	close(goOn)
	text := <-got
	close(stop)
	wg.Wait()
	var dropped int
	if i := strings.Index(text, "-"); i < 0 {
		t.Fatalf("nothing is missing: %.100s", text)
	} else if _, err := fmt.Sscanf(text[i:], "-%d", &dropped); err != nil {
		t.Fatal(err)
	}
	if n := dropped + strings.Count(text, "more "); n < 10_000 || n > 10_000+strings.Count(text, "first ")+1000 {
		t.Errorf("%d lines are accounted for", n)
	}
}

func TestJournalConcurrently(t *testing.T) {
	j := NewJournal(100_000)
	stop := make(chan struct{})
	var writers, readers sync.WaitGroup
	const each = 2000
	for i := range 3 {
		readers.Go(func() {
			seen := map[string]int{}
			_ = j.Read(LogQuery{Last: -1, Follow: true}, stop, func(l *LogLine) error {
				var name string
				var n int
				if l.Dropped > 0 {
					return nil
				}
				if _, err := fmt.Sscanf(l.Text, "%s %d", &name, &n); err != nil {
					t.Error(err)
				}
				if n <= seen[name] {
					t.Errorf("%s: %d comes after %d", name, n, seen[name])
				}
				seen[name] = n
				return nil
			})
		})
		writers.Go(func() {
			log := slog.New(j.Handler())
			for n := range each {
				log.Info(fmt.Sprintf("w%d %d", i, n+1))
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
}

func TestJournalStream(t *testing.T) {
	j := NewJournal(0)
	var out bytes.Buffer
	w := j.Stream(&out, "stderr")
	for _, s := range []string{"a\nb", "c\r\nd", "e", "\n\x1b[31mred\xff\nrest", strings.Repeat("x", maxLine), "\n\n"} {
		if n, err := io.WriteString(w, s); n != len(s) || err != nil {
			t.Error(n, err)
		}
	}
	if out.String() != "a\nbc\r\nde\n\x1b[31mred\xff\nrest"+strings.Repeat("x", maxLine)+"\n\n" {
		t.Errorf("passed on %.100q", &out)
	}
	long := "rest" + strings.Repeat("x", maxLine)
	for last, want := range map[int]string{-1: "a|bc|de|\x1b[31mred\ufffd|" + long + "||", 2: "|", 3: long + "||", 5: "de|\x1b[31mred\ufffd|" + long + "||"} {
		var list []string
		_ = j.Read(LogQuery{Last: last}, nil, func(l *LogLine) error { list = append(list, l.Text); return nil })
		if got := strings.Join(list, "|"); got != want {
			t.Errorf("the last %d: %.60q, want %.60q", last, got, want)
		}
	}
	var l LogLine
	_ = j.Read(LogQuery{Last: 1}, nil, func(got *LogLine) error { l = *got; return nil })
	if b, err := json.Marshal(l); err != nil || !strings.Contains(string(b), `"source":"app","stream":"stderr"`) {
		t.Errorf("%s, %v", b, err)
	}
}

// What is missing is counted in lines, however they were written.
func TestJournalStreamDropped(t *testing.T) {
	j := NewJournal(3000)
	w := j.Stream(io.Discard, "stdout")
	stop := make(chan struct{})
	n := 0
	io.WriteString(w, "begin\n")
	if err := j.Read(LogQuery{Last: -1, Follow: true}, stop, func(l *LogLine) error {
		if n += int(l.Dropped); l.Dropped == 0 {
			n++
		}
		switch l.Text {
		case "begin":
			for range 1000 {
				io.WriteString(w, "1\n2\n3\n4")
				io.WriteString(w, "\n5\n")
			}
			io.WriteString(w, "end\n")
		case "end":
			close(stop)
		}
		return nil
	}); err != nil || n != 5002 {
		t.Errorf("%d lines are accounted for, %v", n, err)
	}
}

func BenchmarkJournalAccess(b *testing.B) {
	j := NewJournal(0)
	line := bytes.Repeat([]byte("x"), 400)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			j.Access(line)
		}
	})
}

func BenchmarkJournalStream(b *testing.B) {
	text := bytes.Repeat([]byte("a line of some length, as programs write\n"), 100)
	w := NewJournal(1<<20).Stream(io.Discard, "stdout")
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		w.Write(text)
	}
}
