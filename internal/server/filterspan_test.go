package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestFilterSpan: each filter of a request is a span of its trace.
func TestFilterSpan(t *testing.T) {
	type span struct{ TraceID, SpanID, ParentSpanID, Name string }
	var mu sync.Mutex
	var got []span
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var v struct {
			ResourceSpans []struct{ ScopeSpans []struct{ Spans []span } }
		}
		if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, resource := range v.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				got = append(got, scope.Spans...)
			}
		}
	}))
	t.Cleanup(collector.Close)
	s := newFilterSite(t)
	s.start("[server.tracing]\nendpoint = \"" + collector.URL + "\"\n[[filter]]\nname = \"a\"\nMODULE\nconfig = \"tag:a\"\n[[filter]]\nname = \"b\"\nMODULE\nconfig = \"tick\"\n" +
		"[[route]]\nmatch = { path = \"/*\" }\nfilters = [\"a\", \"b\"]\nupstream = \"up\"\n")
	s.want("/", 200, "/ a")
	waitUntil(t, "the spans", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(got) >= 3
	})
	mu.Lock()
	defer mu.Unlock()
	root := slices.IndexFunc(got, func(s span) bool { return !strings.HasPrefix(s.Name, "filter ") })
	names := []string{}
	for _, s := range got {
		names = append(names, s.Name)
		if root >= 0 && (s.TraceID != got[root].TraceID || s != got[root] && s.ParentSpanID != got[root].SpanID) {
			t.Errorf("%+v is no part of %+v", s, got[root])
		}
	}
	if slices.Sort(names); root < 0 || len(names) != 3 || !slices.Contains(names, "filter a") || !slices.Contains(names, "filter b") {
		t.Errorf("the spans are %q", names)
	}
}
