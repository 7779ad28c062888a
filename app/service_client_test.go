package app

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hako-run/hako/app/worker"
	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/internal/guestbuild"
)

// A client that does not send its body, or does not read its answer, holds a
// guest for as long as the limits say, and is told where that is possible.
func TestServiceSlowClient(t *testing.T) {
	limits := Spec{Limits: engine.Limits{Wall: 500 * time.Millisecond}}
	cgi := guestbuild.C(t, []string{"-O1", "testdata/cgi.c"})
	guest := guestbuild.Go(t, site, "-buildmode=c-shared")
	for _, c := range []struct{ name, path, file, protocol string }{
		{"worker", "/upload", guest, ProtocolWorker},
		{"cgi", "/read", cgi, ProtocolCGI},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, url, _ := serve(t, c.file, ServiceConfig{Name: "slow", Protocol: c.protocol, Spec: limits})
			dial := func(head string) net.Conn {
				conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
				if err != nil {
					t.Fatal(err)
				}
				io.WriteString(conn, head)
				return conn
			}
			conn := dial("POST " + c.path + " HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n--x")
			b, _ := io.ReadAll(conn)
			conn.Close()
			if !strings.HasPrefix(string(b), "HTTP/1.1 504 ") {
				t.Errorf("not sending: answered %q", b)
			}
			conn = dial("GET /large?n=500000000 HTTP/1.1\r\nHost: a\r\n\r\n")
			defer conn.Close()
			conn.Read(make([]byte, 1))
			settle(t, s) // though nobody reads
		})
	}
}

// What a guest does after its response does not harm it.
func TestServiceFinishThenExit(t *testing.T) {
	s, url, log := serve(t, guestbuild.Go(t, site, "-buildmode=c-shared"), ServiceConfig{Name: "site"})
	for range 100 {
		if _, body, err := fetch(t, "GET", url+"/finish-exit?id=1", ""); err != nil || body != "done 1" {
			t.Fatalf("%q, %v", body, err)
		}
	}
	settle(t, s)
	if !strings.Contains(log.String(), "app failed after its response") {
		t.Errorf("log\n%s", log)
	}
}

// What a request took is not counted again with the next of its session.
func TestServiceSessionUsage(t *testing.T) {
	s, _, _ := serve(t, guestbuild.Go(t, site, "-buildmode=c-shared"), ServiceConfig{Name: "site", Session: true, Instances: 1, Warm: []string{"/count"}})
	before := s.Usage().CPU
	var sum time.Duration
	for range 20 {
		var rec Record
		s.Serve(httptest.NewRecorder(), httptest.NewRequest("GET", "/large?n=1000000", nil), Call{}, &rec)
		if sum += rec.CPU; rec.CPU <= 0 || rec.Forked {
			t.Errorf("record %+v", rec)
		}
	}
	if total := s.Usage().CPU - before; total != sum {
		t.Errorf("the requests took %v, in all %v", sum, total)
	}
}

func TestServiceWarmUpFails(t *testing.T) {
	source, err := os.ReadFile(guestbuild.Go(t, site, "-buildmode=c-shared"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewRunner(guestbuild.Compiled(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	m, err := r.Engine().Compile(context.Background(), "site", source)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, path := range []string{"", "hello", "/a b\x00", "%zz", "/panic", "/exit"} {
		s, err := r.Serve(context.Background(), m, ServiceConfig{Name: "site", Warm: []string{path}})
		if err == nil {
			s.Close()
			t.Errorf("%q: no error", path)
		}
	}
	s, err := r.Serve(context.Background(), m, ServiceConfig{
		Name: "site", Warm: []string{"/large?n=100000"}, Spec: Spec{Limits: engine.Limits{Output: 1000}},
	})
	var limit *engine.LimitError
	if err == nil {
		s.Close()
	}
	if !errors.As(err, &limit) {
		t.Errorf("a warm-up that writes too much: %v", err)
	}
}

func TestServiceQueueLeft(t *testing.T) {
	s := &Service{c: ServiceConfig{QueueLength: 1, QueueWait: time.Minute}, slots: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	defer func() {
		if v := recover(); v != http.ErrAbortHandler {
			t.Errorf("an empty answer: %v", v)
		}
	}()
	s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/", nil))
}

func TestCGIRequest(t *testing.T) {
	_, url, _ := serve(t, guestbuild.C(t, []string{"-O1", "testdata/cgi.c"}), ServiceConfig{
		Name: "cgi", Protocol: ProtocolCGI, Spec: Spec{Args: []string{"cgi"}, Env: []string{"HTTP_X_TEST=given"}},
	})
	if resp, _, err := fetch(t, "GET", url+"/%00", ""); err != nil || resp.StatusCode != 400 {
		t.Errorf("a zero byte: %v, %v", resp, err)
	}
	if _, body, err := fetch(t, "GET", url+"/p?one+%74wo", "", "X-Test", "forged"); err != nil || !strings.HasPrefix(body, "arg cgi\narg one\narg two\n") || !strings.Contains(body, "\nHTTP_X_TEST=given\n") {
		t.Errorf("%s, %v", body, err)
	}
	for _, query := range []string{"one+-s", "%2ds", "one+%zz"} {
		if _, body, err := fetch(t, "GET", url+"/p?"+query, ""); err != nil || strings.Count(body, "arg ") != 1 {
			t.Errorf("%s: %s, %v", query, body, err)
		}
	}
	// It writes before it reads.
	if _, body, err := fetch(t, "POST", url+"/early", strings.Repeat("x", 400_000)); err != nil || !strings.HasSuffix(body, "body 400000\n") {
		t.Errorf("%.100q, %v", body[max(0, len(body)-100):], err)
	}
}

func TestCGIHead(t *testing.T) {
	for _, head := range []string{
		"Content-Type: a\nContent-Length: 5\nContent-Length: 6\n\n", "Content-Type: a\nContent-Length: +5\n\n",
		"Content-Type: a\nX: \x00\n\n", "Content-Type: a\nX: " + strings.Repeat("x", maxCGIHead) + "\n\n",
	} {
		w := httptest.NewRecorder()
		w.Header().Set("Alt-Svc", "ours")
		c := &cgiWriter{w: w, client: worker.NewClient(w)}
		if _, err := c.Write([]byte(head)); !errors.Is(err, errCGIHead) || len(w.Header()) != 1 {
			t.Errorf("%.60q: %v; header %v", head, err, w.Header())
		}
	}
}

func TestLineLog(t *testing.T) {
	for _, parts := range [][]string{
		{"a\nb", "c\n"}, {strings.Repeat("x", maxLine), "\n"}, {strings.Repeat("x", 3*maxLine+1) + "\ny\n"},
		{strings.Repeat("x", maxLine-1), "yz", "\n\n"}, {"last"},
	} {
		var b bytes.Buffer
		l := &lineLog{log: slog.New(slog.NewJSONHandler(&b, nil)), level: slog.LevelInfo}
		for _, p := range parts {
			if n, err := l.Write([]byte(p)); n != len(p) || err != nil {
				t.Error(n, err)
			}
		}
		l.Close()
		var lines []string
		for line := range strings.SplitSeq(strings.TrimSpace(b.String()), "\n") {
			_, line, _ = strings.Cut(line, `"msg":"`)
			if line = strings.TrimSuffix(line, `"}`); len(line) > maxLine {
				t.Errorf("a line of %d bytes", len(line))
			}
			lines = append(lines, line)
		}
		if got, want := strings.Join(lines, ""), strings.ReplaceAll(strings.Join(parts, ""), "\n", ""); got != want {
			t.Errorf("logged %.50q, want %.50q", got, want)
		}
	}
}

// What a program writes arrives while it runs.
func TestCGIEvents(t *testing.T) {
	_, url, _ := serve(t, guestbuild.C(t, []string{"-O1", "testdata/cgi.c"}), ServiceConfig{
		Name: "cgi", Protocol: ProtocolCGI, Spec: Spec{Args: []string{"cgi"}, Limits: engine.Limits{Wall: 30 * time.Second}},
	})
	for _, path := range []string{"/events", "/drip"} {
		read, write := io.Pipe()
		r, err := http.NewRequest("POST", url+path, read)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"data: 0\n\n", "data: 1\n\n", "data: 2\n\n"} {
			b := make([]byte, len(want))
			if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != want {
				t.Fatalf("%s: %q, %v", path, b, err)
			}
			io.WriteString(write, "x") // it goes on only now
		}
		if b, err := io.ReadAll(resp.Body); err != nil || len(b) > 0 {
			t.Errorf("%s: %q, %v at the end", path, b, err)
		}
		write.Close()
		resp.Body.Close()
	}
}
