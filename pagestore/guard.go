package pagestore

import "sync"

// Guards are goroutines for calls to Pebble, which may block for ever if the
// store stops meanwhile. Idle ones are kept: a new goroutine's stack has to
// grow for each commit. The Store owns them; those that are blocked for ever
// stay until the process ends.
type guards struct {
	mu     sync.Mutex
	idle   []*worker
	closed bool
}

const maxIdleWorkers = 64

type worker struct {
	job  chan func() error
	done chan error // of capacity 1: whoever asked may have gone
}

// guard runs f, or returns as soon as the store stops.
func (s *Store) guard(f func() error) error {
	w := s.guards.take()
	w.job <- f
	select {
	case err := <-w.done:
		s.guards.give(w)
		return err
	case <-s.stopped:
		close(w.job) // it ends, if f does
		return s.fatal.Load()
	}
}

func (g *guards) take() *worker {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n := len(g.idle); n > 0 {
		w := g.idle[n-1]
		g.idle = g.idle[:n-1]
		return w
	}
	w := &worker{job: make(chan func() error), done: make(chan error, 1)}
	go w.run()
	return w
}

func (w *worker) run() {
	for f := range w.job {
		w.done <- f()
	}
}

func (g *guards) give(w *worker) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || len(g.idle) >= maxIdleWorkers {
		close(w.job)
		return
	}
	g.idle = append(g.idle, w)
}

// close ends the idle ones, and the others once they are given back.
func (g *guards) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, w := range g.idle {
		close(w.job)
	}
	g.idle = nil
}
