package filter

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/hako-run/hako/proxywasm"
)

// A Filter is a plugin with one of its configurations.
type Filter struct {
	Plugin *proxywasm.Plugin
	Root   int    // an index of proxywasm.Config.Roots
	Name   string // for Options.Answered
	// Spool is how many bytes of each body that the filter holds may be kept
	// in a file, if it asks for that (hako_body_spool). None if 0.
	Spool int64
}

// Options are what a Chain asks of its embedder. The zero value works.
type Options struct {
	// Describe fills in what is known of a request beside what net/http
	// tells: the route's name, addresses behind a proxy, metadata.
	Describe func(r *http.Request, info *proxywasm.Info)
	// SetPath gives a request another path and query, which a filter wants.
	// An error answers with status 400. Without it, r.URL is replaced.
	SetPath func(r *http.Request, path string) error
	// Route chooses the handler anew, for a filter has changed what it
	// depends on, or asked for it. Nil, or without it, the handler stays.
	Route func(r *http.Request) http.Handler
	// Answered is told that a filter answered a request.
	Answered func(r *http.Request, filter string, l *proxywasm.LocalResponse)
	// Timed is told at the end how long a filter's callbacks for a request
	// took together, and how many there were. Those of ticks and answers are
	// not among them. Without it no times are taken.
	Timed func(r *http.Request, filter string, began time.Time, busy time.Duration, calls int)
	// Wait is how long a filter may hold a message that nothing else moves:
	// then a request gets status 504. 5 minutes if 0.
	Wait time.Duration
	// SpoolDir is where files of Filter.Spool are made: the system's folder
	// for such files if "".
	SpoolDir string
	// Spools bounds what all bodies together take in such files, and may be
	// shared by chains. Nothing does if nil.
	Spools *Spools
}

// A Chain is filters in the order in which requests pass them. It is safe for
// concurrent use.
type Chain struct {
	filters []Filter
	options Options
}

// New makes a chain. It does not own the plugins.
func New(filters []Filter, o Options) *Chain {
	if o.Wait == 0 {
		o.Wait = 5 * time.Minute
	}
	return &Chain{filters, o}
}

// Handler puts the chain in front of a handler.
func (c *Chain) Handler(next http.Handler) http.Handler {
	if len(c.filters) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.serve(w, r, next) })
}

// errHeld ends a request that a filter held for too long.
var errHeld = errors.New("a filter held the message for too long")

func (c *Chain) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	x := newExchange(c, w, r)
	defer x.close()
	if !x.requestHeads() {
		x.settle(r.Context())
		return
	}
	out, err := x.request()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if x.rerouted.Load() && c.options.Route != nil {
		if h := c.options.Route(out); h != nil {
			next = h
		}
	}
	x.run(next, out)
}

// run has the handler answer. A handler whose request was ended by a filter
// fails in ways of its own, which say nothing then.
func (x *exchange) run(next http.Handler, r *http.Request) {
	defer func() {
		p := recover()
		if x.over() {
			x.settle(x.r.Context())
			return
		}
		if p != nil {
			panic(p)
		}
	}()
	next.ServeHTTP(&x.writer, r)
	if !x.over() {
		x.writer.finish()
	}
}

// settle ends an exchange that a filter took over, or that came to nothing.
func (x *exchange) settle(ctx context.Context) {
	x.out.Lock()
	defer x.out.Unlock()
	x.mu.Lock()
	local, by, reset, held := x.local, x.localBy, x.reset, x.held
	x.mu.Unlock()
	switch {
	case reset, x.sent:
		panic(http.ErrAbortHandler)
	case local != nil:
		x.answer(local, by)
	case held && ctx.Err() == nil:
		http.Error(x.w, errHeld.Error(), http.StatusGatewayTimeout)
	}
	// Otherwise nobody waits for an answer, or the embedder knows why.
}
