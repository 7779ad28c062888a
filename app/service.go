package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hako-run/hako/app/worker"
	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/wasi"
)

// The protocols by which requests reach a guest.
const (
	ProtocolWorker = "worker" // an exported function answers a request; docs/worker-protocol.md
	ProtocolCGI    = "cgi"    // the module is a command that is run for each request
)

// ServiceConfig says how a module answers HTTP requests. Its Spec.Limits
// bound each request.
type ServiceConfig struct {
	Name     string // for logs
	Protocol string // ProtocolWorker unless given
	Spec     Spec

	Instances   int           // requests at the same time; 32 unless given
	QueueLength int           // requests that wait, at most; none unless given
	QueueWait   time.Duration // how long each waits; 10 s unless given

	// Warm are paths that are requested of a worker before it is frozen.
	Warm []string
	// Session keeps instances from one request to the next instead of giving
	// each request a fresh one.
	Session bool

	// Grace is how long guests that finished their response early may go on
	// when the service is closed; then they are stopped. 5 s unless given.
	Grace time.Duration

	// Log takes what guests log and how they fail; nil drops it.
	Log *slog.Logger
}

// A Call is what a guest is told of a request beside the request itself. The
// zero value is right where nothing is before the service.
type Call struct {
	ID     string // names the request in logs
	Prefix string // the part of the path that led here and is cut off
	Scheme string // http or https; "": that of the connection
	Pin    *Pin   // what to read in the place of databases; nil for nothing
}

// A Record is what a request took.
type Record struct {
	Queued  time.Duration
	CPU     time.Duration
	Memory  int64  // bytes of linear memory, the most there were
	Forked  bool   // a fresh instance was made
	Shed    bool   // it was turned away
	Limit   string // the limit that ended it, or ""
	Crashed bool   // the guest trapped or failed

	// Versions are those of databases that the guest read or made, as far as
	// it did before it finished.
	Versions []DatabaseVersion
}

// A Service answers HTTP requests by instances of a module. It is safe for
// concurrent use.
type Service struct {
	c       ServiceConfig
	process *Process

	slots   chan struct{} // one for each request that runs
	waiting atomic.Int64

	mu     sync.Mutex
	own    *engine.Template // of a worker that forks, else nil; Renew replaces it
	idle   []*session       // of Session
	closed bool
	active sync.WaitGroup
	left   map[*session]context.CancelCauseFunc // that go on after their response
	over   bool                                 // they may not any more
}

// A session is an instance that lives on.
type session struct {
	in      *engine.Instance
	db      *databases
	pinned  bool         // by its only request
	counted engine.Usage // of requests before, and of the start-up
}

// used returns what the request under way has used so far.
func (i *session) used() engine.Usage {
	u := i.in.Usage()
	u.CPU -= i.counted.CPU
	u.Output -= i.counted.Output
	return u
}

// Serve makes a service of a module: a worker is started, warmed up and, if
// requests get fresh instances, frozen. The error says what it failed at. The
// module is to be closed after the service.
func (r *Runner) Serve(ctx context.Context, m *engine.Module, c ServiceConfig) (*Service, error) {
	if c.Instances <= 0 {
		c.Instances = 32
	}
	if c.QueueWait <= 0 {
		c.QueueWait = 10 * time.Second
	}
	if c.Grace <= 0 {
		c.Grace = 5 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	p, err := r.Start(ctx, m, c.Spec)
	if err != nil {
		return nil, err
	}
	p.network.Refused = func(what string) {
		c.Log.Warn("the guest wanted to connect to what its network does not grant", "to", what)
	}
	s := &Service{c: c, process: p, slots: make(chan struct{}, c.Instances), left: map[*session]context.CancelCauseFunc{}}
	if err := s.prepare(ctx); err != nil {
		p.Close()
		return nil, fmt.Errorf("start app %s: %w", c.Name, err)
	}
	return s, nil
}

func (s *Service) log(level slog.Level, text string) {
	s.c.Log.Log(context.Background(), level, text)
}

var (
	errFailed = errors.New("the guest says that it failed")
	errSilent = errors.New("the guest returned without a response")
)

func (s *Service) call(ctx context.Context, in *engine.Instance, x *worker.Exchange) error {
	results, err := in.Call(worker.NewContext(ctx, x), worker.Export)
	if err == nil && len(results) == 1 && uint32(results[0]) != 0 {
		err = errFailed
	}
	return err
}

// errGrace is why a guest ends that went on for too long after its response.
var errGrace = errors.New("the app is being stopped")

// Close ends the service after the requests that are under way. Guests that
// go on after their response are stopped when ServiceConfig.Grace is over.
func (s *Service) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	grace := time.AfterFunc(s.c.Grace, s.endLeft)
	s.active.Wait()
	grace.Stop()
	var errs []error
	for _, i := range s.idle {
		errs = append(errs, s.discard(i))
	}
	if s.own != nil {
		errs = append(errs, s.own.Close())
	}
	return errors.Join(append(errs, s.process.Close())...)
}

// endLeft stops the guests that go on after their response.
func (s *Service) endLeft() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	for _, cancel := range s.left {
		cancel(errGrace)
	}
}

// leave notes that a guest goes on after its response, or without its client,
// for Close.
func (s *Service) leave(i *session, cancel context.CancelCauseFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left[i] = cancel
	if s.over {
		cancel(errGrace)
	}
}

// returned notes that a guest does not go on any more.
func (s *Service) returned(i *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.left, i)
}

// Usage returns what the service's guests use now, and have used so far.
func (s *Service) Usage() Usage { return s.process.Usage() }

// Instances returns how many instances there are, those between two requests
// included.
func (s *Service) Instances() int { return s.process.instances() }

// Running returns how many requests run and how many wait.
func (s *Service) Running() (running, waiting int) { return len(s.slots), int(s.waiting.Load()) }

// ServeHTTP answers a request; see [Service.Serve].
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.Serve(w, r, Call{}, &Record{}) }

// Serve answers a request and notes in rec what that took. It returns when
// the client has its answer; the guest may go on if it finished early.
func (s *Service) Serve(w http.ResponseWriter, r *http.Request, c Call, rec *Record) {
	if !s.enter() {
		rec.Shed = true
		http.Error(w, "The app is being stopped.", http.StatusServiceUnavailable)
		return
	}
	release, ok := s.acquire(r.Context(), rec)
	if !ok {
		s.active.Done()
		if r.Context().Err() != nil {
			panic(http.ErrAbortHandler) // or an empty answer would look like one
		}
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(s.c.QueueWait.Seconds()))))
		http.Error(w, "The app has too much to do. Try again in a while.", http.StatusServiceUnavailable)
		return
	}
	done := func() {
		release()
		s.active.Done()
	}
	if s.c.Protocol == ProtocolCGI {
		defer done()
		s.serveCGI(w, r, c, rec)
		return
	}
	s.serveWorker(w, r, c, rec, done)
}

// acquire waits for a place among those that run.
func (s *Service) acquire(ctx context.Context, rec *Record) (release func(), ok bool) {
	release = func() { <-s.slots }
	select {
	case s.slots <- struct{}{}:
		return release, true
	default:
	}
	if s.waiting.Add(1) > int64(s.c.QueueLength) {
		s.waiting.Add(-1)
		rec.Shed = true
		return nil, false
	}
	defer s.waiting.Add(-1)
	start := time.Now()
	defer func() { rec.Queued = time.Since(start) }()
	timer := time.NewTimer(s.c.QueueWait)
	defer timer.Stop()
	select {
	case s.slots <- struct{}{}:
		return release, true
	case <-timer.C:
	case <-ctx.Done():
	}
	rec.Shed = true
	return nil, false
}

// serveWorker runs a worker's function in a goroutine of its own, so that the
// answer can be complete before it returns. done is called when it has.
func (s *Service) serveWorker(w http.ResponseWriter, r *http.Request, c Call, rec *Record, done func()) {
	ctx := r.Context()
	i, err := s.take(ctx, c.Pin, rec)
	if err != nil {
		done()
		s.fail(w, r, rec, err, 0)
		return
	}
	method, path := r.Method, r.URL.Path
	x := worker.NewExchange(w, r)
	x.Head = i.db.tell
	x.Prefix, x.ID, x.Scheme = c.Prefix, c.ID, c.Scheme
	x.Log, x.Output = s.log, s.c.Spec.Limits.Output
	// The guest may go on after it finished, so it notes for the handler what
	// there was until then.
	var early outcome
	// A guest that finished early goes on without its client.
	running, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	x.End = func() {
		early = outcome{used: i.used(), versions: i.db.versions()}
		s.leave(i, cancel)
	}
	// One that persists is told by its calls that the client has gone.
	var mu sync.Mutex
	var persists, returned bool
	x.Persist = func() {
		mu.Lock()
		defer mu.Unlock()
		persists = true
	}
	stop := context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case !persists:
			cancel(context.Cause(ctx))
		case !returned:
			x.Left()
			s.leave(i, cancel)
		}
	})
	result := make(chan outcome, 1)
	go func() {
		err := s.call(running, i.in, x)
		cancel(nil)
		o := outcome{err, i.used(), i.db.versions()}
		s.process.count(i.in)
		i.counted = i.in.Usage()
		mu.Lock()
		returned = true
		mu.Unlock()
		s.returned(i)
		finished := isClosed(x.Finished())
		if err != nil && finished {
			s.c.Log.Error("app failed after its response", "app", s.c.Name, "method", method, "path", path, "error", err)
		}
		s.give(i, err)
		done() // before the client has the end of its answer, and asks again
		result <- o
	}()
	var o outcome
	select {
	case o = <-result:
	case <-x.Finished():
	}
	stop()
	if isClosed(x.Finished()) {
		o = early // what came afterwards is no part of the answer
	}
	rec.CPU, rec.Memory, rec.Versions = o.used.CPU, o.used.MemoryPeak, o.versions
	err = o.err
	status, _, _ := x.Status()
	x.Abandon()
	if err == nil && status == 0 {
		err = errSilent
	}
	if err != nil {
		s.fail(w, r, rec, err, status)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// An outcome is what a call ended with.
type outcome struct {
	err      error
	used     engine.Usage
	versions []DatabaseVersion
}

// take returns an instance for a request. One that is pinned gets one of its
// own: what others hold in their memory is of another version.
func (s *Service) take(ctx context.Context, pin *Pin, rec *Record) (*session, error) {
	if s.c.Session && pin == nil {
		s.mu.Lock()
		if n := len(s.idle); n > 0 {
			i := s.idle[n-1]
			s.idle = s.idle[:n-1]
			s.mu.Unlock()
			if err := i.in.Renew(s.c.Spec.Limits); err == nil {
				i.db.clear()
				return i, nil
			}
			s.discard(i)
		} else {
			s.mu.Unlock()
		}
	}
	rec.Forked = true
	return s.fork(ctx, pin)
}

// give takes an instance back after a request.
func (s *Service) give(i *session, err error) {
	keep := s.c.Session && !i.pinned && err == nil
	if keep {
		if err := i.db.settled(); err != nil {
			s.c.Log.Warn("instance is not used again", "app", s.c.Name, "reason", err)
			keep = false
		}
	}
	if keep {
		s.mu.Lock()
		if !s.closed {
			s.idle = append(s.idle, i)
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
	}
	if err := s.discard(i); err != nil {
		s.c.Log.Error("close an instance", "app", s.c.Name, "error", err)
	}
}

// fail tells the client that the guest failed, if the answer has not begun;
// else the connection is cut, so that half an answer is not taken for a whole.
func (s *Service) fail(w http.ResponseWriter, r *http.Request, rec *Record, err error, status int) {
	code, text := http.StatusInternalServerError, "The app failed."
	var limit *engine.LimitError
	if errors.As(err, &limit) {
		rec.Limit = limit.Limit
		text = "The app needed more than it is given."
		if limit.Limit == wasi.LimitCPU || limit.Limit == wasi.LimitWall {
			code, text = http.StatusGatewayTimeout, "The app took too long."
		}
	} else if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // the client has gone, and the guest ended of that
	} else {
		rec.Crashed = true
	}
	s.c.Log.Error("app failed", "app", s.c.Name, "method", r.Method, "path", r.URL.Path, "error", err)
	if status != 0 {
		panic(http.ErrAbortHandler)
	}
	if r.ProtoMajor == 1 && r.ContentLength != 0 {
		// What is left of the body must not be taken for the next request.
		w.Header().Set("Connection", "close")
	}
	// What else is in the header is not of the guest but of those before it.
	http.Error(w, text, code)
}
