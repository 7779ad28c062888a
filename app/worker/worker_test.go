package worker_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/hako-run/hako/app/worker"
	"github.com/hako-run/hako/internal/guestbuild"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// A site serves each request by a new instance of a guest.
type site struct {
	runtime wazero.Runtime
	module  wazero.CompiledModule
	prefix  string
	maxBody int64

	mu     sync.Mutex
	log    []string
	stdout bytes.Buffer
	err    error
	after  sync.WaitGroup // guests that go on after their response
}

func newSite(t *testing.T, path string) *site {
	t.Helper()
	ctx := context.Background()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := wazero.NewRuntime(ctx)
	t.Cleanup(func() { r.Close(ctx) })
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	if err := worker.Instantiate(ctx, r); err != nil {
		t.Fatal(err)
	}
	m, err := r.CompileModule(ctx, b)
	if err != nil {
		t.Fatal(err)
	}
	return &site{runtime: r, module: m}
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.maxBody > 0 {
		r.Body = http.MaxBytesReader(w, r.Body, s.maxBody)
	}
	x := worker.NewExchange(w, r)
	x.ID, x.Prefix = "id-1", s.prefix
	x.Log = func(level slog.Level, text string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.log = append(s.log, fmt.Sprintf("%v %s", level, text))
	}
	ctx := worker.NewContext(context.Background(), x)
	failed := make(chan bool, 1)
	s.after.Add(1)
	go func() {
		defer s.after.Done()
		mod, err := s.runtime.InstantiateModule(ctx, s.module, wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize").WithStdout(&s.stdout))
		if err == nil {
			defer mod.Close(ctx)
			var results []uint64
			if results, err = mod.ExportedFunction(worker.Export).Call(ctx); err == nil && api.DecodeI32(results[0]) != 0 {
				err = errors.New("the guest failed")
			}
		}
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
		failed <- err != nil
	}()
	select {
	case bad := <-failed:
		if status, _, _ := x.Status(); bad && status == 0 {
			http.Error(w, "failed", http.StatusInternalServerError)
		} else if bad {
			x.Abandon()
			panic(http.ErrAbortHandler)
		}
	case <-x.Finished():
	}
	x.Abandon()
}

func get(t *testing.T, c *http.Client, method, url, body string, header ...string) (*http.Response, string, error) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

func TestGoGuest(t *testing.T) {
	s := newSite(t, guestbuild.Go(t, "testdata/site", "-buildmode=c-shared"))
	s.prefix = "/shop"
	server := httptest.NewServer(s)
	defer server.Close()
	c := server.Client()

	t.Run("simple", func(t *testing.T) {
		resp, body, _ := get(t, c, "GET", server.URL+"/hello?x=1", "")
		if body != "hello GET /hello /shop" || resp.StatusCode != 200 || resp.ContentLength != int64(len(body)) || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
			t.Errorf("%d %q %v", resp.StatusCode, body, resp.Header)
		}
		if resp, body, _ := get(t, c, "HEAD", server.URL+"/hello", ""); body != "" || resp.ContentLength != 23 {
			t.Errorf("HEAD: %q, length %d", body, resp.ContentLength)
		}
		if resp, _, _ := get(t, c, "GET", server.URL+"/none", ""); resp.StatusCode != 404 {
			t.Errorf("%d for a page that is not there", resp.StatusCode)
		}
	})
	t.Run("fresh", func(t *testing.T) {
		for range 2 {
			if _, body, _ := get(t, c, "GET", server.URL+"/count", ""); body != "2" {
				t.Errorf("counted %s", body)
			}
		}
	})
	t.Run("echo", func(t *testing.T) {
		text := strings.Repeat("0123456789", 100_000)
		pr, pw := io.Pipe()
		go func() { io.WriteString(pw, text); pw.Close() }()
		r, _ := http.NewRequest("PUT", server.URL+"/echo", pr) // chunked
		r.Host = "example.com"
		r.Header["X-Two"] = []string{"a", "b"}
		r.Trailer = http.Header{"Check": {"ok"}}
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(b) != text || resp.StatusCode != 202 {
			t.Errorf("%d, %d bytes, %v", resp.StatusCode, len(b), err)
		}
		h := resp.Header
		if h.Get("Echo-Host") != "example.com" || strings.Join(h["Echo-X-Two"], ",") != "a,b" || h.Get("Echo-Length") != "-1" || h.Get("Echo-X-Request-Id") != "id-1" {
			t.Errorf("headers %v", h)
		}
		if got := resp.Trailer.Get("Sum"); got != "1000000 <nil>ok" {
			t.Errorf("trailer %q", got)
		}
		if resp, _, _ := get(t, c, "POST", server.URL+"/echo", "abc"); resp.Header.Get("Echo-Length") != "3" {
			t.Errorf("headers %v", resp.Header)
		}
		if resp, _, _ := get(t, c, "GET", server.URL+"/echo", ""); resp.Header.Get("Echo-Length") != "0" {
			t.Errorf("no body: headers %v", resp.Header)
		}
	})
	t.Run("large", func(t *testing.T) {
		if _, body, err := get(t, c, "GET", server.URL+"/large?n=5000001", ""); len(body) != 5_000_001 || err != nil {
			t.Errorf("%d bytes, %v", len(body), err)
		}
	})
	t.Run("stream", func(t *testing.T) {
		pr, pw := io.Pipe()
		r, _ := http.NewRequest("POST", server.URL+"/stream", pr)
		go pw.Write([]byte("x"))
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		lines := bufio.NewReader(resp.Body)
		for i := range 3 {
			line, err := lines.ReadString('\n')
			if want := fmt.Sprintf("part %d\n", i); line != want || err != nil {
				t.Fatalf("%q, %v; want %q", line, err, want)
			}
			if i < 2 {
				pw.Write([]byte("y")) // the guest waits for it
			}
		}
		pw.Close()
	})
	t.Run("early hints", func(t *testing.T) {
		var hints textproto.MIMEHeader
		r, _ := http.NewRequest("GET", server.URL+"/early", nil)
		resp, err := c.Do(r.WithContext(httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error { hints = h; return nil },
		})))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if hints.Get("Link") == "" || resp.Header.Get("Link") != "" || resp.StatusCode != 204 {
			t.Errorf("hints %v, then %d %v", hints, resp.StatusCode, resp.Header)
		}
	})
	t.Run("upload", func(t *testing.T) {
		var b bytes.Buffer
		m := multipart.NewWriter(&b)
		m.WriteField("name", "value")
		f, _ := m.CreateFormFile("file", "a.bin")
		f.Write(bytes.Repeat([]byte{0, 1, 2}, 100_000))
		m.Close()
		if _, body, _ := get(t, c, "POST", server.URL+"/upload", b.String(), "Content-Type", m.FormDataContentType()); body != "a.bin 300000 value" {
			t.Errorf("%q", body)
		}
		s.maxBody = 1000
		defer func() { s.maxBody = 0 }()
		if resp, body, _ := get(t, c, "POST", server.URL+"/upload", b.String(), "Content-Type", m.FormDataContentType()); resp.StatusCode != 400 || !strings.Contains(body, "too large") {
			t.Errorf("too large: %d %q", resp.StatusCode, body)
		}
	})
	t.Run("finish", func(t *testing.T) {
		if _, body, err := get(t, c, "GET", server.URL+"/finish", ""); body != "done" || err != nil {
			t.Errorf("%q, %v", body, err)
		}
		s.after.Wait()
		if got := s.stdout.String(); got != "after\nlate: worker: the response is over\n" {
			t.Errorf("after the response: %q", got)
		}
	})
	t.Run("panic", func(t *testing.T) {
		if resp, _, _ := get(t, c, "GET", server.URL+"/panic", ""); resp.StatusCode != 500 {
			t.Errorf("%d", resp.StatusCode)
		}
		if _, body, err := get(t, c, "GET", server.URL+"/panic?after=1", ""); err == nil {
			t.Errorf("a response cut short looks whole: %q", body)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.log) == 0 || !strings.Contains(s.log[0], "ERROR panic serving /panic: on purpose") {
			t.Errorf("log %q", s.log)
		}
	})
	t.Run("exit", func(t *testing.T) {
		if resp, _, _ := get(t, c, "GET", server.URL+"/exit", ""); resp.StatusCode != 500 {
			t.Errorf("%d", resp.StatusCode)
		}
	})
	t.Run("header splitting", func(t *testing.T) {
		resp, _, _ := get(t, c, "GET", server.URL+"/split", "")
		if resp.Header.Get("Set-Cookie") != "" {
			t.Errorf("%d %v", resp.StatusCode, resp.Header)
		}
	})
	t.Run("sleep", func(t *testing.T) {
		if _, body, _ := get(t, c, "GET", server.URL+"/sleep", ""); body != "slept" {
			t.Errorf("%q", body)
		}
	})
	t.Run("http2", func(t *testing.T) {
		server := httptest.NewUnstartedServer(s)
		server.EnableHTTP2 = true
		server.StartTLS()
		defer server.Close()
		resp, body, _ := get(t, server.Client(), "POST", server.URL+"/echo", "over h2")
		if resp.ProtoMajor != 2 || body != "over h2" || resp.Trailer.Get("Sum") != "7 <nil>" {
			t.Errorf("%s %q %v", resp.Proto, body, resp.Trailer)
		}
	})
}

func TestCGuest(t *testing.T) {
	s := newSite(t, guestbuild.C(t, []string{"-O2", "-mexec-model=reactor", "-I../../guest/c", "-Wall", "-Werror", "testdata/hello.c"}, "../../guest/c/hako_http.h"))
	server := httptest.NewServer(s)
	defer server.Close()
	resp, body, err := get(t, server.Client(), "POST", server.URL+"/a?b", strings.Repeat("x", 100_000), "X-Test", "value")
	if err != nil || resp.StatusCode != 201 || body != "POST /a?b value 1 100000" || resp.Header.Get("X-From") != "C" || resp.Trailer.Get("X-Sum") != "1" {
		t.Errorf("%d %q %v %v, %v", resp.StatusCode, body, resp.Header, resp.Trailer, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.log) != 1 || s.log[0] != "INFO served" {
		t.Errorf("log %q", s.log)
	}
}

// Whatever a guest passes, it gets an error.
func TestHostileCalls(t *testing.T) {
	s := newSite(t, guestbuild.C(t, []string{"-O1", "-mexec-model=reactor", "-I../../guest/c", "testdata/hostile.c"}, "../../guest/c/hako_http.h"))
	server := httptest.NewServer(s)
	defer server.Close()
	resp, body, err := get(t, server.Client(), "POST", server.URL+"/", "some body")
	if err != nil || resp.StatusCode != 200 || body != "unharmed" {
		t.Errorf("%d %q, %v; %v", resp.StatusCode, body, err, s.err)
	}
}
