package server

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/hako-run/hako/app"
	"github.com/hako-run/hako/config"
)

// A schedule makes an app's cron requests until it is closed.
type schedule struct {
	stop    context.CancelFunc
	running sync.WaitGroup
}

// newSchedule starts the requests of h's configuration, one goroutine for
// each: a request that takes longer than its interval is not overtaken by the
// next.
func newSchedule(h *hosted) *schedule {
	ctx, stop := context.WithCancel(context.Background())
	s := &schedule{stop: stop}
	for _, c := range h.c.Cron {
		s.running.Go(func() {
			ticker := time.NewTicker(c.Every.D())
			defer ticker.Stop()
			for {
				select {
				case <-ticker.C:
					h.request(ctx, c)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	return s
}

// close ends requests that run, and makes no more.
func (s *schedule) close() {
	s.stop()
	s.running.Wait()
}

// request makes one cron request and logs it if it fails.
func (h *hosted) request(ctx context.Context, c config.Cron) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Host+c.Path, nil)
	if err != nil { // Load has checked host and path
		h.s.log.Error("cron", "app", h.c.Name, "path", c.Path, "error", err)
		return
	}
	r.RequestURI = r.URL.RequestURI()
	r.RemoteAddr = "127.0.0.1:0"
	r.Header.Set("User-Agent", "hako-cron")
	id := "cron-" + app.NewID()
	began := time.Now()
	w := &unread{header: http.Header{}}
	var rec app.Record
	cut := serves(func() { h.service.Serve(w, r, app.Call{ID: id, Scheme: "http"}, &rec) })
	if ctx.Err() != nil {
		return
	}
	attrs := []any{"app", h.c.Name, "path", c.Path, "status", w.status, "duration", time.Since(began), "id", id}
	if cut || w.status >= 400 || rec.Crashed || rec.Limit != "" {
		h.s.log.Error("cron request failed", attrs...)
	} else {
		h.s.log.Debug("cron request", attrs...)
	}
}

// serves calls a function that answers a request, and reports whether it cut
// the answer short, as net/http has it.
func serves(answer func()) (cut bool) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			cut = true
		default:
			panic(p)
		}
	}()
	answer()
	return false
}

// unread is a response that nobody reads.
type unread struct {
	header http.Header
	status int
}

func (w *unread) Header() http.Header { return w.header }

func (w *unread) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
}

func (w *unread) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return len(b), nil
}

// Flush has nothing to do: it is there for apps that stream.
func (w *unread) Flush() {}
