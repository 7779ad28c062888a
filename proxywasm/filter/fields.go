package filter

import (
	"net/http"
	"slices"
	"strings"

	"github.com/hako-run/hako/proxywasm"
)

// lower has the names that messages mostly have, so that making them lower
// case costs nothing.
var lower = func() map[string]string {
	names := []string{
		"Accept", "Accept-Encoding", "Accept-Language", "Accept-Ranges", "Access-Control-Allow-Origin", "Age", "Authorization",
		"Cache-Control", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Cookie", "Date", "Etag", "Expect",
		"Expires", "If-Modified-Since", "If-None-Match", "Last-Modified", "Link", "Location", "Origin", "Pragma", "Range",
		"Referer", "Server", "Set-Cookie", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Fetch-User",
		"Strict-Transport-Security", "Te", "Traceparent", "Tracestate", "Trailer", "Upgrade", "Upgrade-Insecure-Requests",
		"User-Agent", "Vary", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "X-Request-Id",
	}
	m := make(map[string]string, len(names))
	for _, n := range names {
		m[n] = strings.ToLower(n)
	}
	return m
}()

// canonical has them the other way round.
var canonical = func() map[string]string {
	m := make(map[string]string, len(lower))
	for long, short := range lower {
		m[short] = long
	}
	return m
}()

// addFields adds the fields of a header, by name, so that a plugin sees the
// same order each time.
func addFields(to *proxywasm.Headers, from http.Header) {
	var room [32]string
	names := room[:0]
	for name := range from {
		names = append(names, name)
	}
	slices.Sort(names)
	to.Grow(len(names) + 4) // plugins add some
	for _, name := range names {
		short, ok := lower[name]
		if !ok {
			short = strings.ToLower(name)
		}
		for _, v := range from[name] {
			to.Add(short, v)
		}
	}
}

// header returns the fields without the pseudo-headers.
func header(of *proxywasm.Headers) http.Header {
	h := make(http.Header, of.Len())
	add(h, of)
	return h
}

// put is header into one that there is, in the place of what that has by these
// names.
func put(to http.Header, of *proxywasm.Headers) {
	for _, f := range of.Fields() {
		delete(to, canonicalName(f.Name))
	}
	add(to, of)
}

// add adds the fields. Values share an array, which no append reaches.
func add(to http.Header, of *proxywasm.Headers) {
	values := make([]string, 0, of.Len())
	for _, f := range of.Fields() {
		if strings.HasPrefix(f.Name, ":") {
			continue
		}
		name := canonicalName(f.Name)
		if more := to[name]; more != nil {
			to[name] = append(more, f.Value)
			continue
		}
		n := len(values)
		values = append(values, f.Value)
		to[name] = values[n : n+1 : n+1]
	}
}

func canonicalName(name string) string {
	if long, ok := canonical[name]; ok {
		return long
	}
	return http.CanonicalHeaderKey(name)
}
