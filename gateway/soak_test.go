package gateway

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestSoak serves many clients while configurations are reloaded, clients go
// away and handlers crash: every answer that comes is whole and the right one.
// HAKO_LONG=1 lets it run for a minute. It goes on until there was something
// to see: a machine that others use may stand still for a second.
func TestSoak(t *testing.T) {
	length := 1500 * time.Millisecond
	if os.Getenv("HAKO_LONG") != "" {
		length = time.Minute
	}
	dir := t.TempDir()
	file := strings.Repeat("a file's content ", 20000)
	write(t, dir, "file.bin", file)
	b := backend(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.Header().Set("X-Echo", r.Header.Get("X-Id"))
		_, _ = io.Copy(w, r.Body)
	})
	text := func(i int) string {
		return fmt.Sprintf("[server]\nlisten = '127.0.0.1:0'\ntimeouts.idle = '%ds'\n[[upstream]]\nname = 'u'\nurl = '%s'\nhealth = { path = '/', interval = '50ms' }\n"+
			"[[route]]\nmatch.path = '/up/*'\nupstream = 'u'\n[[route]]\nmatch.path = '/app'\napp = 'echo'\n[[route]]\nmatch.path = '/crash'\napp = 'crash'\n"+
			"[[route]]\nstatic = '.'\n", 60+i%2, b.URL)
	}
	h := startIn(t, dir, text(0), Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const enough, patience = 50, time.Minute
	began := time.Now()
	var good, aborted, crashed atomic.Int64
	var wait sync.WaitGroup
	for client := range 8 {
		wait.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprintf("%d-%d", client, i)
				body := strings.Repeat(id+" ", rand.IntN(20000))
				path, want := "/up/x", body
				switch rand.IntN(8) {
				case 0, 1, 2:
					path = "/app"
				case 3, 4:
					path, body, want = "/file.bin", "", file
				case 5:
					if r, err := h.client.Get("http://" + h.addr() + "/crash"); err == nil && r.StatusCode == 500 {
						_ = r.Body.Close()
						crashed.Add(1)
					} else {
						t.Errorf("a crash: %v", err)
					}
					continue
				case 6:
					short, stop := context.WithTimeout(ctx, time.Duration(rand.IntN(2000))*time.Microsecond)
					r, _ := http.NewRequestWithContext(short, "POST", "http://"+h.addr()+"/up/x", strings.NewReader(body))
					if response, err := h.client.Do(r); err == nil {
						_ = response.Body.Close()
					}
					stop()
					aborted.Add(1)
					continue
				}
				method := "POST"
				if body == "" {
					method = "GET"
				}
				r, _ := http.NewRequest(method, "http://"+h.addr()+path, strings.NewReader(body))
				r.Header.Set("X-Id", id)
				response, err := h.client.Do(r)
				if err != nil {
					t.Errorf("%s %s was lost: %v", method, path, err)
					return
				}
				got, err := io.ReadAll(response.Body)
				_ = response.Body.Close()
				if err != nil || path == "/up/x" && response.Header.Get("X-Echo") != id || string(got) != want && response.StatusCode != 405 {
					t.Errorf("%s %s: %d with %d bytes, want %d: %v", method, path, response.StatusCode, len(got), len(want), err)
					return
				}
				good.Add(1)
			}
		})
	}
	for i := 1; ctx.Err() == nil; i++ {
		if err := h.Reload(parse(t, dir, text(i))); err != nil {
			t.Error(err)
		}
		time.Sleep(20 * time.Millisecond)
		if since := time.Since(began); since > length && (good.Load() >= enough || since > length+patience || t.Failed()) {
			cancel()
		}
	}
	wait.Wait()
	t.Logf("%d answers, %d clients that left, %d crashes", good.Load(), aborted.Load(), crashed.Load())
	if good.Load() < enough {
		t.Errorf("only %d answers", good.Load())
	}
	eventually(t, "nothing is under way", func() bool { return h.state.Load().users.Load() == 1 })
}
