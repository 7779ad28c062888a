package server

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/hako-run/hako/app"
	"github.com/hako-run/hako/config"
)

// RenewHeader is what an app answers with when its template is out of date,
// as after a part of it was replaced.
const RenewHeader = "X-Hako-Renew"

// renewAfter is the time from a request with RenewHeader to the new template:
// several of them make one.
const renewAfter = 2 * time.Second

// A schedule is what an app does beside requests of clients, until it is
// closed: its cron requests, new templates, and getting commands ready.
type schedule struct {
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
	asked  bool // for a new template that is not begun
}

// newSchedule starts the requests of h's configuration, one goroutine for
// each: a request that takes longer than its interval is not overtaken by the
// next.
func newSchedule(h *hosted) *schedule {
	ctx, stop := context.WithCancel(context.Background())
	s := &schedule{ctx: ctx, stop: stop}
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
	if len(h.c.Commands) > 0 {
		s.running.Go(func() { h.ready(ctx) })
	}
	return s
}

// close ends what runs, and begins no more.
func (s *schedule) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.running.Wait()
}

// renew has h's template made anew after a moment.
func (s *schedule) renew(h *hosted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.asked {
		return
	}
	s.asked = true
	s.running.Go(func() {
		select {
		case <-time.After(renewAfter):
		case <-s.ctx.Done():
			return
		}
		s.mu.Lock()
		s.asked = false
		s.mu.Unlock()
		began := time.Now()
		switch err := h.service.Renew(s.ctx); {
		case s.ctx.Err() != nil:
		case err != nil:
			h.s.log.Error("the template was not made anew, the old one stays", "app", h.c.Name, "error", err)
		default:
			h.s.log.Info("made the template anew", "app", h.c.Name, "duration", time.Since(began))
		}
	})
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
