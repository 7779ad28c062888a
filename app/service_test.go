package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hako-run/hako/app/worker"
	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/internal/guestbuild"
)

// A syncBuffer is a buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// serve starts a service of the module in a file, and a server before it.
func serve(t *testing.T, path string, c ServiceConfig) (s *Service, url string, log *syncBuffer) {
	t.Helper()
	ctx := context.Background()
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewRunner(guestbuild.Compiled(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	m, err := r.Engine().Compile(ctx, path, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	log = &syncBuffer{}
	c.Log = slog.New(slog.NewTextHandler(log, nil))
	if s, err = r.Serve(ctx, m, c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, server.URL, log
}

func fetch(t *testing.T, method, url, body string, header ...string) (*http.Response, string, error) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

const site = "worker/testdata/site"

func TestServiceForks(t *testing.T) {
	s, url, log := serve(t, guestbuild.Go(t, site, "-buildmode=c-shared"), ServiceConfig{Name: "site", Warm: []string{"/count", "/hello"}, Instances: 4, QueueLength: 100})
	// The count is 1, 2 after warming up, and 3 in each fork.
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 25 {
				resp, body, err := fetch(t, "GET", url+"/count", "")
				if err != nil || resp.StatusCode != 200 || body != "3" {
					t.Errorf("%q, %v", body, err)
					return
				}
			}
		}()
	}
	wg.Wait()
	if resp, body, err := fetch(t, "GET", url+"/panic", ""); err != nil || resp.StatusCode != 500 || !strings.Contains(body, "failed") {
		t.Errorf("%v, %q, %v", resp, body, err)
	}
	if _, _, err := fetch(t, "GET", url+"/panic?after=1", ""); err == nil {
		t.Error("half an answer looks whole")
	}
	if resp, _, err := fetch(t, "GET", url+"/exit", ""); err != nil || resp.StatusCode != 500 {
		t.Errorf("%v, %v", resp, err)
	}
	if _, body, err := fetch(t, "GET", url+"/finish", ""); err != nil || body != "done" {
		t.Errorf("%q, %v", body, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"panic serving /panic: on purpose", "msg=after", "app failed"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	if resp, _, err := fetch(t, "GET", url+"/hello", ""); err != nil || resp.StatusCode != 503 {
		t.Errorf("a closed service answers %v, %v", resp, err)
	}
}

func TestServiceSession(t *testing.T) {
	_, url, _ := serve(t, guestbuild.Go(t, site, "-buildmode=c-shared"), ServiceConfig{Name: "site", Session: true, Instances: 1, QueueLength: 10})
	for want := 2; want < 5; want++ {
		if _, body, err := fetch(t, "GET", url+"/count", ""); err != nil || body != fmt.Sprint(want) {
			t.Errorf("counted %q, %v; want %d", body, err, want)
		}
	}
	fetch(t, "GET", url+"/exit", "")
	if _, body, err := fetch(t, "GET", url+"/count", ""); err != nil || body != "2" {
		t.Errorf("after a crash: counted %q, %v", body, err)
	}
}

// What is over its limits ends, and what there is no room for is turned away.
func TestServiceLimits(t *testing.T) {
	s, url, _ := serve(t, guestbuild.C(t, []string{"-O1", "testdata/cgi.c"}), ServiceConfig{
		Name: "cgi", Protocol: ProtocolCGI, Instances: 1, QueueLength: 1, QueueWait: 50 * time.Millisecond,
		Spec: Spec{Limits: engine.Limits{Wall: time.Second}},
	})
	statuses := make(chan int, 4)
	get := func(path string) {
		resp, _, err := fetch(t, "GET", url+path, "")
		if err != nil {
			t.Error(err)
			statuses <- 0
			return
		}
		if resp.StatusCode == 503 && resp.Header.Get("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
		statuses <- resp.StatusCode
	}
	go get("/spin")
	for running, _ := s.Running(); running == 0 && len(statuses) == 0; running, _ = s.Running() {
		time.Sleep(time.Millisecond)
	}
	go get("/")
	go get("/")
	for _, want := range []int{503, 503, 504} {
		if got := <-statuses; got != want {
			t.Errorf("status %d, want %d", got, want)
		}
	}
	go get("/")
	if got := <-statuses; got != 200 {
		t.Errorf("status %d afterwards", got)
	}
}

func TestServiceCGI(t *testing.T) {
	_, url, log := serve(t, guestbuild.C(t, []string{"-O1", "testdata/cgi.c"}), ServiceConfig{
		Name: "cgi", Protocol: ProtocolCGI, Spec: Spec{Args: []string{"cgi"}, Env: []string{"MODE=x"}},
	})
	resp, body, err := fetch(t, "POST", url+"/p?a=b", strings.Repeat("x", 100_000), "X-Test", "t", "Cookie", "a=1", "Cookie", "b=2", "Proxy", "evil", "Content-Type", "text/x")
	want := "arg cgi\nREQUEST_METHOD=POST\nQUERY_STRING=a=b\nSCRIPT_NAME=\nCONTENT_LENGTH=100000\nCONTENT_TYPE=text/x\n" +
		"HTTP_X_TEST=t\nHTTP_COOKIE=a=1; b=2\nHTTP_PROXY=\nSERVER_PROTOCOL=HTTP/1.1\nMODE=x\nbody 100000\n"
	if err != nil || resp.StatusCode != 200 || body != want || strings.Join(resp.Header["X-Two"], ",") != "a,b" {
		t.Errorf("%v, %v\n%s\nwant\n%s", resp, err, body, want)
	}
	if _, body, _ := fetch(t, "GET", url+"/p?one+two", ""); !strings.HasPrefix(body, "arg cgi\narg one\narg two\n") {
		t.Errorf("an indexed query: %s", body)
	}
	if _, body, _ := fetch(t, "GET", url+"/p?-s", ""); strings.Contains(body, "arg -s") {
		t.Errorf("a query became a flag: %s", body)
	}
	for path, want := range map[string]int{"/silent": 500, "/garbage": 500, "/trap": 500, "/redirect": 302, "/missing": 404, "/exit": 200} {
		if resp, _, err := fetch(t, "GET", url+path, ""); err != nil || resp.StatusCode != want {
			t.Errorf("%s: %v, %v; want %d", path, resp, err, want)
		}
	}
	if !strings.Contains(log.String(), "asked for /p") || !strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("log\n%s", log)
	}
}

func FuzzCGIResponse(f *testing.F) {
	for _, s := range []string{"Content-Type: a\n\nb", "Status: 404\r\n\r\n", "\n", "Location: /x\n\n", "a: b\n c\n\n", "Status: 99999\n\n"} {
		f.Add(s, 3)
	}
	f.Fuzz(func(t *testing.T, output string, cut int) {
		// Whatever the parts are that it comes in, the answer is the same.
		answer := func(parts ...string) string {
			w := httptest.NewRecorder()
			c := &cgiWriter{w: w, client: worker.NewClient(w)}
			defer c.close()
			for _, p := range parts {
				if _, err := c.Write([]byte(p)); err != nil {
					return "error"
				}
			}
			c.close()
			return fmt.Sprint(c.begun, w.Code, w.Header(), w.Body)
		}
		cut = max(0, min(cut, len(output)))
		if whole, parts := answer(output), answer(output[:cut], output[cut:]); whole != parts {
			t.Errorf("%q is answered as %s, in two parts as %s", output, whole, parts)
		}
	})
}
