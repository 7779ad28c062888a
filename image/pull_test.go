package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// TestMain is also the other process of tests that need one: it pulls
// $HAKO_TEST_PULL into the store $HAKO_TEST_STORE.
func TestMain(m *testing.M) {
	if ref := os.Getenv("HAKO_TEST_PULL"); ref != "" {
		p, err := OpenStore(os.Getenv("HAKO_TEST_STORE"), Options{}).Pull(context.Background(), ref, PullOptions{})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(p.Digest)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// pullProcess begins a pull in another process.
func pullProcess(t testing.TB, s *Store, ref string) (cmd *exec.Cmd, out *bytes.Buffer) {
	t.Helper()
	cmd, out = exec.Command(os.Args[0]), &bytes.Buffer{}
	cmd.Env = append(os.Environ(), "HAKO_TEST_PULL="+ref, "HAKO_TEST_STORE="+s.dir)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// bigContext is a build context whose image has a layer of some size.
func bigContext(t testing.TB, size int) string {
	t.Helper()
	content, err := random.Layer(int64(size), types.OCIUncompressedLayer)
	if err != nil {
		t.Fatal(err)
	}
	r, err := content.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return writeFiles(t, "Hakofile.toml", `module = "app.wasm"`+"\n"+`files = [{ from = "big", to = "/big" }]`, "app.wasm", module, "big", string(b))
}

// served counts the bytes of blobs that a registry sends.
type served struct {
	blobs  atomic.Int64 // requests
	ranges atomic.Int64 // of them for a part
	bytes  atomic.Int64
}

func (c *served) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			c.blobs.Add(1)
			if r.Header.Get("Range") != "" {
				c.ranges.Add(1)
			}
			w = &countedResponse{w, c}
		}
		next.ServeHTTP(w, r)
	})
}

type countedResponse struct {
	http.ResponseWriter
	c *served
}

func (w *countedResponse) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.c.bytes.Add(int64(n))
	return n, err
}

func TestPullInSeveralProcesses(t *testing.T) {
	var c served
	host := newRegistry(t, c.wrap)
	from, s := newStore(t), newStore(t)
	ref := host + "/big:1"
	built := build(t, from, bigContext(t, 4<<20), ref)
	if _, err := from.Push(t.Context(), ref, PushOptions{}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 3 {
		cmd, out := pullProcess(t, s, ref)
		wg.Go(func() {
			if err := cmd.Wait(); err != nil || strings.TrimSpace(out.String()) != built.Digest {
				t.Errorf("in another process: %v\n%s", err, out)
			}
		})
		wg.Go(func() {
			if p, err := s.Pull(t.Context(), ref, PullOptions{}); err != nil || p.Digest != built.Digest {
				t.Errorf("in this process: %+v, %v", p, err)
			}
		})
	}
	wg.Wait()
	if n := c.blobs.Load(); n != 3 { // the configuration and two layers
		t.Errorf("6 pulls fetched %d blobs; each is needed once", n)
	}
	if got := rootOf(t, s, ref); !strings.HasPrefix(got, "app.wasm=") {
		t.Errorf("root: %.100s", got)
	}
}

// A pull that is killed leaves a beginning that the next one takes up.
func TestPullKilled(t *testing.T) {
	var c served
	var slow atomic.Bool
	slow.Store(true)
	reached := make(chan struct{})
	var once sync.Once
	host := newRegistry(t, c.wrap, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if slow.Load() && r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
				w = &stuckResponse{w, 2 << 20, r.Context(), func() { once.Do(func() { close(reached) }) }}
			}
			next.ServeHTTP(w, r)
		})
	})
	from, s := newStore(t), newStore(t)
	ref := host + "/big:1"
	built := build(t, from, bigContext(t, 8<<20), ref)
	if _, err := from.Push(t.Context(), ref, PushOptions{}); err != nil {
		t.Fatal(err)
	}
	cmd, _ := pullProcess(t, s, ref)
	<-reached
	for !partialHas(s, 1<<20) { // what was sent also arrived
		time.Sleep(time.Millisecond)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if _, err := s.Open(t.Context(), ref); !errors.Is(err, ErrUnknownImage) {
		t.Errorf("after the kill: %v", err)
	}
	if _, err := s.Remove(t.Context(), nil, false); err != nil { // which leaves beginnings alone
		t.Fatal(err)
	}
	slow.Store(false)
	if p, err := s.Pull(t.Context(), ref, PullOptions{}); err != nil || p.Digest != built.Digest {
		t.Fatalf("pulled again: %+v, %v", p, err)
	}
	if c.ranges.Load() == 0 {
		t.Error("the second pull began anew")
	}
	rootOf(t, s, ref)
}

func partialHas(s *Store, n int64) bool {
	list, _ := filepath.Glob(s.path("ingest", "*.partial"))
	for _, name := range list {
		if info, err := os.Stat(name); err == nil && info.Size() >= n {
			return true
		}
	}
	return false
}

// A stuckResponse stops after some bytes until the client goes.
type stuckResponse struct {
	http.ResponseWriter
	left  int
	ctx   context.Context
	stuck func()
}

func (w *stuckResponse) Write(b []byte) (int, error) {
	if w.left < len(b) {
		w.ResponseWriter.Write(b[:w.left])
		w.ResponseWriter.(http.Flusher).Flush()
		w.stuck()
		<-w.ctx.Done()
		return 0, w.ctx.Err()
	}
	w.left -= len(b)
	return w.ResponseWriter.Write(b)
}

func (w *countedResponse) Flush() { w.ResponseWriter.(http.Flusher).Flush() }

func TestPullCancelled(t *testing.T) {
	reached := make(chan struct{})
	var once sync.Once
	host := newRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
				w = &stuckResponse{w, 1 << 10, r.Context(), func() { once.Do(func() { close(reached) }) }}
			}
			next.ServeHTTP(w, r)
		})
	})
	from, s := newStore(t), newStore(t)
	ref := host + "/big:1"
	build(t, from, bigContext(t, 1<<20), ref)
	if _, err := from.Push(t.Context(), ref, PushOptions{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reached; cancel() }()
	if _, err := s.Pull(ctx, ref, PullOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A registry that breaks off, and one that sends other bytes.
func TestPullFaults(t *testing.T) {
	var mode atomic.Value
	mode.Store("")
	var cuts atomic.Int64
	host := newRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
				next.ServeHTTP(w, r)
				return
			}
			rec := httptest.NewRecorder()
			switch mode.Load() {
			case "no ranges":
				r.Header.Del("Range")
				fallthrough
			case "no such range":
				if r.Header.Get("Range") != "" {
					http.Error(w, "no", http.StatusRequestedRangeNotSatisfiable)
					return
				}
				fallthrough
			case "cut":
				next.ServeHTTP(rec, r)
				b := rec.Body.Bytes()
				copyHeader(w, rec)
				if len(b) > 100_000 && cuts.Add(1) <= 3 {
					w.Write(b[:100_000])
					panic(http.ErrAbortHandler)
				}
				w.Write(b)
			case "other bytes":
				next.ServeHTTP(rec, r)
				b := rec.Body.Bytes()
				b[len(b)/2] ^= 1
				copyHeader(w, rec)
				w.Write(b)
			case "longer":
				next.ServeHTTP(rec, r)
				w.Write(append(rec.Body.Bytes(), "more"...))
			case "gone":
				http.Error(w, "gone", http.StatusNotFound)
			default:
				next.ServeHTTP(w, r)
			}
		})
	})
	from := newStore(t)
	ref := host + "/big:1"
	build(t, from, bigContext(t, 1<<20), ref)
	if _, err := from.Push(t.Context(), ref, PushOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{"cut", "no ranges", "no such range"} {
		mode.Store(m)
		cuts.Store(0)
		s := newStore(t)
		var done, total int64
		if _, err := s.Pull(t.Context(), ref, PullOptions{Progress: func(d, n int64) { done, total = d, n }}); err != nil {
			t.Fatalf("%s: %v", m, err)
		}
		if done != total {
			t.Errorf("%s: the progress ended at %d of %d", m, done, total)
		}
		rootOf(t, s, ref)
	}
	for m, want := range map[string]error{"other bytes": ErrDamaged, "longer": ErrDamaged, "gone": ErrUnknownImage} {
		mode.Store(m)
		s := newStore(t)
		if _, err := s.Pull(t.Context(), ref, PullOptions{}); !errors.Is(err, want) {
			t.Errorf("%s: %v", m, err)
		}
		if list, err := s.List(t.Context()); err != nil || len(list) > 0 {
			t.Errorf("%s: the store has %v, %v", m, list, err)
		}
		mode.Store("")
		if _, err := s.Pull(t.Context(), ref, PullOptions{}); err != nil {
			t.Errorf("%s, and then a good registry: %v", m, err)
		}
	}
}

func copyHeader(w http.ResponseWriter, rec *httptest.ResponseRecorder) {
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(rec.Code)
}
