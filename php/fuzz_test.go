package php

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"

	"github.com/hako-run/hako/app"
)

// Whatever is asked for, and whatever headers say, the SAPI neither fails nor
// runs what is not below the root.
func FuzzRequest(f *testing.F) {
	for _, c := range [][3]string{
		{"/", "Range", "bytes=0-"}, {"/a.php/../../x", "Range", "bytes=-"}, {"/%2e%2e/%2e%2e/etc/passwd", "If-Range", "\"x\""},
		{"/a.php%00.txt", "Authorization", "Basic !!!"}, {"/a.php?x=%&y[]=[", "Cookie", "a[b=c; ; =; %"}, {"//..//a.php", "Content-Type", "multipart/form-data; boundary="},
		{"*", "Host", ":"}, {"/x.css", "If-None-Match", "*"}, {"/x.css", "Range", "bytes=99999999999999999999-"}, {"/dir?" + strings.Repeat("a", 5000), "X", ""},
		{"/" + strings.Repeat("a/", 3000), "Authorization", "Digest username=\"x"}, {"/.well-known/../.git/config", "X-Y", "\xff"}, {"", "A", "b"}, {"?", "A", "b"},
	} {
		f.Add(c[0], c[1], c[2], "a=1&b")
	}
	show := `<?php echo json_encode([$_SERVER['SCRIPT_FILENAME'], $_SERVER['PATH_INFO'], is_array($_POST), is_array($_FILES), is_array($_COOKIE), is_array(getallheaders())]);`
	s := open(f, files{"index.php": show, "a.php": show, "dir/index.php": show, "x.css": "x", ".git/config": "secret", ".well-known/x": "x"}, nil)
	f.Fuzz(func(t *testing.T, target, name, value, body string) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.RequestURI = target
		r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, name: {value}}
		if name == "Host" {
			r.Host = value
		}
		if len(body)%3 == 0 {
			r.Method = "GET"
		}
		w := httptest.NewRecorder()
		var rec app.Record
		s.service.Serve(w, r, app.Call{}, &rec)
		if rec.Crashed || rec.Limit != "" || w.Code >= 500 {
			t.Fatalf("%q, %q: %q: %d %+v\n%s", target, name, value, w.Code, rec, s.log)
		}
		if strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%q shows what is hidden", target)
		}
		var ran []any
		if strings.HasPrefix(w.Body.String(), "[") {
			if err := json.Unmarshal(w.Body.Bytes(), &ran); err != nil || len(ran) != 6 {
				return // json_encode fails for a path that is no UTF-8
			}
			if script := ran[0].(string); script != path.Clean(script) || !strings.HasPrefix(script, "/srv/") {
				t.Errorf("%q ran %q", target, script)
			}
		}
	})
}
