package gateway

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestPin(t *testing.T) {
	h := start(t, `
[[route]]
match = { path = "/header" }
pin = "header"
headers.response = { set = { Cache-Control = "max-age=60" } }
app = 'show'
[[route]]
match = { path = "/query" }
pin = ["query"]
app = 'show'
[[route]]
match = { path = "/both/*" }
strip = "/both"
pin = ["query", "cookie"]
app = 'show'
[[route]]
match = { path = "/fixed" }
pin = ["header"]
headers.request = { set = { X-Hako-Snapshot = "shop@tag" } }
app = 'show'
[[route]]
app = 'show'
`)
	type want struct{ status, snapshot, cache, vary, cookie, seen string }
	for _, c := range []struct {
		path   string
		header []string
		want   want
	}{
		{"/header", []string{"X-Hako-Snapshot", "shop@-1d"}, want{"200", "shop@3", "no-store", "X-Hako-Snapshot", "", "GET /header "}},
		{"/header", []string{"X-Hako-Snapshot", "shop@1", "X-Hako-Snapshot", "blog@2"}, want{"200", "shop@1, blog@2", "no-store", "X-Hako-Snapshot", "", "GET /header "}},
		{"/header?hako-snapshot=shop@1", []string{"Cookie", "hako-snapshot=shop@1"}, want{"200", "", "max-age=60", "X-Hako-Snapshot", "", "GET /header?hako-snapshot=shop@1 "}},
		{"/header", []string{"X-Hako-Snapshot", "gone@1"}, want{"410", "", "no-store", "X-Hako-Snapshot", "", "gone is gone"}},
		{"/query?a=b&hako-snapshot=shop%401&c", nil, want{"200", "shop@1", "no-store", "", "", "GET /query?a=b&c "}},
		{"/query?hako-snapshot=", nil, want{"200", "", "", "", "", "GET /query "}},
		{"/query?xhako-snapshot=1", []string{"X-Hako-Snapshot", "shop@1", "Cookie", "hako-snapshot=shop@1"}, want{"200", "", "", "", "", "GET /query?xhako-snapshot=1 "}},
		{"/both/a?hako-snapshot=shop@-1d", nil, want{"200", "shop@3", "no-store", "Cookie", "hako-snapshot=shop%403; Path=/; HttpOnly; SameSite=Lax", "GET /a "}},
		{"/both/a", []string{"Cookie", "hako-snapshot=shop%403%2C+blog%402"}, want{"200", "shop@3, blog@2", "no-store", "Cookie", "hako-snapshot=shop%403%2C+blog%402; Path=/; HttpOnly; SameSite=Lax", "GET /a "}},
		{"/both/a?hako-snapshot=", []string{"Cookie", "hako-snapshot=shop@3"}, want{"200", "", "no-store", "Cookie", "hako-snapshot=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax", "GET /a "}},
		{"/both/a", []string{"Cookie", "hako-snapshot=gone@1"}, want{"410", "", "no-store", "Cookie", "hako-snapshot=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax", "gone"}},
		{"/both/a", []string{"Cookie", "other=1"}, want{"200", "", "", "Cookie", "", "GET /a "}},
		{"/fixed", []string{"X-Hako-Snapshot", "shop@1"}, want{"200", "shop@tag", "no-store", "X-Hako-Snapshot", "", "GET /fixed "}},
		{"/?hako-snapshot=shop@1", []string{"X-Hako-Snapshot", "shop@1", "Cookie", "hako-snapshot=shop@1"}, want{"200", "", "", "", "", "GET /?hako-snapshot=shop@1 "}},
	} {
		r, text := h.get(c.path, append(c.header, "Accept-Encoding", "identity")...)
		got := want{r.Status[:3], r.Header.Get("X-Hako-Snapshot"), r.Header.Get("Cache-Control"), strings.TrimPrefix(strings.Join(r.Header["Vary"], ","), "Accept-Encoding"), strings.Join(r.Header["Set-Cookie"], "|"), c.want.seen}
		got.vary = strings.Trim(strings.Replace(got.vary, "Accept-Encoding", "", 1), ",")
		if got != c.want || !strings.HasPrefix(text, c.want.seen) {
			t.Errorf("%s %q:\n%+v, want\n%+v\n%s", c.path, c.header, got, c.want, text)
		}
		if got.snapshot != "" && r.Header.Get("Expires") != "" {
			t.Errorf("%s: Expires %q", c.path, r.Header.Get("Expires"))
		}
		if strings.Contains(text, "X-Hako-Snapshot") {
			t.Errorf("%s: the raw header comes through\n%s", c.path, text)
		}
	}
}

func FuzzCutParameter(f *testing.F) {
	for _, q := range []string{"", "a=b", "hako-snapshot=shop@1", "a&hako-snapshot=%&b=%zz", "hako-snapshot&&=", "hako-snapshot=0&", "hako-snapshot=a&hako-snapshot=b"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if strings.ContainsAny(query, "?#") {
			return
		}
		r := &http.Request{URL: &url.URL{Path: "/x", RawQuery: query}, RequestURI: "/x?" + query}
		_, given := cutParameter(r, snapshotName)
		for part := range strings.SplitSeq(r.URL.RawQuery, "&") {
			if key, _, _ := strings.Cut(part, "="); key == snapshotName {
				t.Fatalf("%q leaves %q", query, r.URL.RawQuery)
			}
		}
		if !given && (r.URL.RawQuery != query || r.RequestURI != "/x?"+query) {
			t.Fatalf("%q becomes %q, %q", query, r.URL.RawQuery, r.RequestURI)
		}
		if given && r.URL.RequestURI() != r.RequestURI {
			t.Fatalf("%q: %q and %q", query, r.URL.RequestURI(), r.RequestURI)
		}
	})
}
