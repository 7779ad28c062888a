package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/url"
)

// A Replay is a request to an app that is run again.
type Replay struct {
	Of       string // the first one's ID
	App      string // that is to answer
	Client   string // its client's address
	User     string // whom basic auth let in
	Secure   bool   // it came by TLS
	Pin      string // the snapshots to run on
	Told     string // what the first one was pinned to, "" if it was not
	Branch   string // work on branches of the databases in Branched; see Account
	Branched []string

	account *Account // where to put what the request took
	refused error
}

// ErrNotReplayed says that what answers a request is no app.
var ErrNotReplayed = errors.New("only requests that an app answers can be run again: others have no databases, and may have effects elsewhere")

// Replay runs a request that did not come by a listener, through its route,
// and returns when the answer was written to w. Routes need not allow pinning.
// Basic auth is not asked for, as it was then. r is a client's request.
func (g *Gateway) Replay(w http.ResponseWriter, r *http.Request, replay *Replay) (*Account, error) {
	in := r.Clone(r.Context())
	if in.Host == "" {
		in.Host = in.URL.Host
	}
	in.RequestURI = in.URL.RequestURI()
	in.URL = &url.URL{Path: in.URL.Path, RawPath: in.URL.RawPath, RawQuery: in.URL.RawQuery}
	in.RemoteAddr = replay.Client
	in.Proto, in.ProtoMajor, in.ProtoMinor = "HTTP/1.1", 1, 1
	if in.Body == nil {
		in.Body = http.NoBody
	}
	s := &server{gateway: g, unix: true, replay: replay}
	var account Account
	replay.account = &account
	var err error
	func() {
		defer func() {
			// What net/http would end the connection for.
			if p := recover(); p == http.ErrAbortHandler {
				err = context.Cause(r.Context())
				if err == nil {
					err = errors.New("the answer broke off")
				}
			} else if p != nil {
				panic(p)
			}
		}()
		s.ServeHTTP(w, in)
	}()
	if err == nil {
		err = replay.refused
	}
	return &account, err
}

// Recent returns what is known of the last request to an app that fits, nil if
// none does. Some hundred are remembered.
func (g *Gateway) Recent(fits func(*Entry) bool) *Entry { return g.recent.find(fits) }
