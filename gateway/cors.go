package gateway

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/hako-run/hako/config"
)

// cors carries out the Fetch standard's CORS protocol for a route.
type cors struct {
	config                           *config.CORS
	all                              bool
	methods, headers, expose, maxAge string
}

func newCORS(c *config.CORS) *cors {
	return &cors{
		config:  c,
		all:     slices.Contains(c.Origins, "*"),
		methods: strings.Join(c.Methods, ", "),
		headers: strings.Join(c.Headers, ", "),
		expose:  strings.Join(c.Expose, ", "),
		maxAge:  strconv.Itoa(int(c.MaxAge.D().Seconds())),
	}
}

// allow sets what an origin may do and reports whether it may do anything.
func (c *cors) allow(h http.Header, origin string) bool {
	if !c.all {
		addVary(h, "Origin")
	}
	switch {
	case origin == "":
		return false
	case c.all:
		h.Set("Access-Control-Allow-Origin", "*")
	case slices.Contains(c.config.Origins, origin):
		h.Set("Access-Control-Allow-Origin", origin)
	default:
		return false
	}
	if c.config.Credentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	return true
}

// respond sets the headers of an actual response. What the app or upstream
// has set itself does not count.
func (c *cors) respond(h http.Header, r *http.Request) {
	if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
		return // the preflight, answered below
	}
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			delete(h, name)
		}
	}
	if c.allow(h, r.Header.Get("Origin")) && c.expose != "" {
		h.Set("Access-Control-Expose-Headers", c.expose)
	}
}

// preflight answers the question that a browser asks before a request.
func (c *cors) preflight(e *exchange, r *http.Request) bool {
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" || r.Header.Get("Origin") == "" {
		return false
	}
	h := e.Header()
	if c.allow(h, r.Header.Get("Origin")) {
		h.Set("Access-Control-Allow-Methods", c.methods)
		if c.headers != "" {
			h.Set("Access-Control-Allow-Headers", c.headers)
		}
		h.Set("Access-Control-Max-Age", c.maxAge)
	}
	e.WriteHeader(http.StatusNoContent)
	return true
}
