package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/hako-run/hako/gateway"
)

// A Replay is a request to run again, on what it saw.
type Replay struct {
	Entry  *gateway.Entry
	Body   []byte      // in the place of the recorded one, unless nil
	Header http.Header // in the place of the recorded ones
	// Branch has it work on new branches in the place of the databases that
	// it wrote, or, if it wrote none, of those that it read; "": it writes
	// nothing.
	Branch string
}

// ErrIncomplete says that too little is known of a request to run it again.
var ErrIncomplete = errors.New("the request cannot be run again as it was")

// Find returns what is known of a request to an app by its ID, nil if nothing
// is.
func (s *Server) Find(id string) (*gateway.Entry, error) { return s.gate.Find(id) }

// Last returns what is known of the last request that an app has answered and
// that was no replay, nil if there is none.
func (s *Server) Last() (*gateway.Entry, error) {
	n := s.gate.Recent(func(n *gateway.Entry) bool { return n.Replay == "" })
	if n == nil {
		return nil, nil
	}
	recorded, err := s.gate.Find(n.ID)
	if recorded != nil && recorded.Recorded {
		return recorded, nil
	}
	return n, err
}

// Replay runs a request again; its answer is written to w. All databases of
// its app are read-only: those that it used as they were, others at their
// newest version.
func (s *Server) Replay(ctx context.Context, w http.ResponseWriter, r Replay) (*gateway.Account, error) {
	n := r.Entry
	if n.App.Name == "" {
		return nil, gateway.ErrNotReplayed
	}
	u, err := url.ParseRequestURI(n.URI)
	if err != nil || !strings.HasPrefix(u.Path, "/") {
		return nil, fmt.Errorf("run %s %.100q again: it names no path", n.Method, n.URI)
	}
	u.Scheme, u.Host = "http", n.Host
	body := r.Body
	if body == nil {
		switch {
		case n.Recorded && n.Cut:
			return nil, fmt.Errorf("%w: of its body, only the first %d bytes were recorded", ErrIncomplete, len(n.Body))
		case n.Received > 0 && !n.Recorded:
			return nil, fmt.Errorf("%w: its body of %d bytes was not recorded", ErrIncomplete, n.Received)
		}
		body = n.Body
	}
	request, err := http.NewRequestWithContext(ctx, n.Method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("run %s %.100q again: %w", n.Method, n.URI, err)
	}
	request.URL.Fragment = ""
	for name, values := range n.Header {
		request.Header[name] = values
	}
	if n.Header == nil {
		for name, value := range map[string]string{"User-Agent": n.Agent, "Referer": n.Referer} {
			if value != "" {
				request.Header.Set(name, value)
			}
		}
	}
	for name, values := range r.Header {
		request.Header[name] = values
	}
	request.Header.Del("X-Request-Id") // it gets one of its own
	request.Header.Del("Content-Length")
	replay := &gateway.Replay{Of: n.ID, App: n.App.Name, Client: n.Client, User: n.User, Secure: n.Scheme == "https", Told: n.App.Pinned, Branch: r.Branch}
	var pins, read, wrote []string
	for _, at := range n.Snapshots() {
		pins = append(pins, fmt.Sprintf("%s@%d", at.Name, at.Version))
		if read = append(read, at.Name); at.Wrote {
			wrote = append(wrote, at.Name)
		}
	}
	replay.Pin = strings.Join(append(pins, "*@head"), ", ")
	if replay.Branched = wrote; wrote == nil {
		replay.Branched = read
	}
	if r.Branch != "" && replay.Branched == nil {
		return nil, fmt.Errorf("%w on a branch: it used no database", ErrIncomplete)
	}
	a, err := s.gate.Replay(w, request, replay)
	if err == nil && a.Refused != "" {
		err = errors.New(a.Refused)
	}
	return a, err
}
