package gateway

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/hako-run/hako/config"
)

// How a client asks for snapshots where the route lets it, and is told what it
// got.
const (
	snapshotHeader = "X-Hako-Snapshot"
	snapshotName   = "hako-snapshot" // of the query's parameter and the cookie
)

// pinning is by which ways the clients of a route may ask for snapshots.
type pinning struct {
	header, query, cookie bool
}

func newPinning(c *config.Route) pinning {
	by := func(way string) bool { return slices.Contains(c.Pin, way) }
	return pinning{by("header"), by("query"), by("cookie")}
}

// ask finds out what the client asks for and takes it out of the request.
func (p *pinning) ask(e *exchange, r *http.Request) {
	a := &e.account
	asked := strings.Join(r.Header[snapshotHeader], ", ")
	delete(r.Header, snapshotHeader)
	if p.cookie {
		if c, err := r.Cookie(snapshotName); err == nil {
			if a.Pin, err = url.QueryUnescape(c.Value); err != nil {
				a.Pin = c.Value
			}
			e.pinCookie = a.Pin != ""
		}
	}
	if p.query && strings.Contains(r.URL.RawQuery, snapshotName) {
		if value, given := cutParameter(r, snapshotName); given {
			a.Pin = value
			e.pinCookie = p.cookie
		}
	}
	if p.header && asked != "" {
		a.Pin, e.pinCookie = asked, false
	}
	if replay := e.server.replay; replay != nil {
		a.Pin, a.Replay, a.Told, e.pinCookie = replay.Pin, true, replay.Told, false
		a.Branch, a.Branched = replay.Branch, replay.Branched
	}
}

// cutParameter takes a parameter out of a request's query.
func cutParameter(r *http.Request, name string) (value string, given bool) {
	var rest []string
	for part := range strings.SplitSeq(r.URL.RawQuery, "&") {
		key, v, _ := strings.Cut(part, "=")
		if key != name {
			rest = append(rest, part)
			continue
		}
		given = true
		var err error
		if value, err = url.QueryUnescape(v); err != nil {
			value = v
		}
	}
	if given {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		r.URL.RawQuery = strings.Join(rest, "&")
		r.URL.ForceQuery = false
		r.RequestURI = path
		if r.URL.RawQuery != "" {
			r.RequestURI += "?" + r.URL.RawQuery
		}
	}
	return value, given
}

// respond tells the client, and caches on the way, what the answer rests on.
func (p *pinning) respond(e *exchange, h http.Header) {
	if p.header {
		addVary(h, snapshotHeader)
	}
	if p.cookie {
		addVary(h, "Cookie")
	}
	a := &e.account
	if a.Pin == "" && !e.pinCookie {
		return
	}
	h["Cache-Control"] = []string{"no-store"}
	delete(h, "Expires")
	if a.Pinned != "" {
		h[snapshotHeader] = []string{a.Pinned}
	}
	if e.pinCookie {
		// The cookie has the snapshots that were found, so that the pages that
		// follow show the same. One that leads nowhere is taken back.
		c := http.Cookie{Name: snapshotName, Value: url.QueryEscape(a.Pinned), Path: "/", HttpOnly: true, Secure: e.secure, SameSite: http.SameSiteLaxMode}
		if a.Pinned == "" {
			c.MaxAge = -1
		}
		h.Add("Set-Cookie", c.String())
	}
}

// unpin takes back what the client asked for, in answers that rest on no
// database.
func (e *exchange) unpin() { e.account.Pin, e.pinCookie = "", false }
