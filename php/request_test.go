package php

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hako-run/hako/app"
)

const dump = `<?php header('Content-Type: application/json'); echo json_encode($_SERVER);`

// variables returns what a script sees as $_SERVER.
func (s *site) variables(a answer) map[string]any {
	s.t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		s.t.Fatalf("%d %v: %v\n%s\n%s", a.StatusCode, a.Request.URL, err, a.body, s.log)
	}
	return v
}

// $_SERVER is as php-fpm behind nginx has it.
func TestServerVariables(t *testing.T) {
	s := serve(t, files{"dir/show.php": dump}, func(c *app.ServiceConfig) { c.Spec.Env = []string{"MODE=test", "HTTP_HOST=wrong"} })
	v := s.variables(s.get("/dir/show.php/extra%20path/x?a=1&b=%20", "X-Some-Name", "one", "X-Some-Name", "two",
		"Cookie", "a=1", "Cookie", "b=2", "Proxy", "evil", "Authorization", "Basic YW5uOnNlY3JldDp3b3Jk", "User-Agent", "test"))
	host := strings.TrimPrefix(s.url, "http://")
	for name, want := range map[string]any{
		"GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": "GET", "QUERY_STRING": "a=1&b=%20",
		"REQUEST_URI": "/dir/show.php/extra%20path/x?a=1&b=%20", "SCRIPT_NAME": "/dir/show.php", "SCRIPT_FILENAME": "/srv/dir/show.php",
		"PATH_INFO": "/extra path/x", "PATH_TRANSLATED": "/srv/extra path/x", "PHP_SELF": "/dir/show.php/extra path/x",
		"DOCUMENT_ROOT": "/srv", "DOCUMENT_URI": "/dir/show.php/extra path/x", "SERVER_PROTOCOL": "HTTP/1.1",
		"SERVER_NAME": "127.0.0.1", "SERVER_PORT": host[strings.LastIndex(host, ":")+1:], "HTTP_HOST": host, "REMOTE_ADDR": "127.0.0.1",
		"REQUEST_SCHEME": "http", "HTTPS": nil, "CONTENT_TYPE": "", "CONTENT_LENGTH": "", "REDIRECT_STATUS": "200",
		"HTTP_X_SOME_NAME": "one, two", "HTTP_COOKIE": "a=1; b=2", "HTTP_PROXY": nil, "PHP_AUTH_USER": "ann", "PHP_AUTH_PW": "secret:word",
		"MODE": "test", "HTTP_USER_AGENT": "test", "argv": nil,
	} {
		if v[name] != want {
			t.Errorf("%s is %#v, want %#v", name, v[name], want)
		}
	}
	for _, name := range []string{"REMOTE_PORT", "REQUEST_TIME", "REQUEST_TIME_FLOAT", "SERVER_ADDR", "SERVER_SOFTWARE"} {
		if v[name] == nil || v[name] == "" {
			t.Errorf("%s is not there", name)
		}
	}
}

// What stands before the service is told: the scheme, and what a route cut off.
func TestBehindRoute(t *testing.T) {
	s := serve(t, files{"index.php": dump, "dir/index.php": dump}, nil)
	ask := func(target string) answer {
		r := httptest.NewRequest("GET", "http://shop.example:8443"+target, nil)
		w := httptest.NewRecorder()
		s.service.Serve(w, r, app.Call{ID: "id-1", Prefix: "/shop%20a", Scheme: "https"}, &app.Record{})
		return answer{w.Result(), w.Body.String()}
	}
	a := ask("/some/page?x=1")
	a.Request = httptest.NewRequest("GET", "/", nil)
	v := s.variables(a)
	for name, want := range map[string]any{
		"REQUEST_URI": "/shop%20a/some/page?x=1", "SCRIPT_NAME": "/shop a/index.php", "PHP_SELF": "/shop a/index.php",
		"SCRIPT_FILENAME": "/srv/index.php", "HTTPS": "on", "SERVER_NAME": "shop.example", "SERVER_PORT": "8443",
		"HTTP_HOST": "shop.example:8443", "REQUEST_ID": "id-1", "REQUEST_SCHEME": "https",
	} {
		if v[name] != want {
			t.Errorf("%s is %#v, want %#v", name, v[name], want)
		}
	}
	if a := ask("/dir?x=1"); a.StatusCode != 301 || a.Header.Get("Location") != "/shop%20a/dir/?x=1" {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
}

// Which path leads where, as nginx's try_files before php-fpm.
func TestPaths(t *testing.T) {
	self := `<?php echo $_SERVER['SCRIPT_NAME'], '|', $_SERVER['PATH_INFO'], '|', $_SERVER['QUERY_STRING'];`
	s := serve(t, files{
		"index.php": self, "a.php": self, "dir/index.php": self, "dir/b.php": self, "plain/index.html": "plain", "empty/x.txt": "x",
		"odd.php/inside.txt": "inside", "odd.php/c.php": self, "sp ace.php": self, ".git/config": "secret", ".hidden.php": self,
		".well-known/x.txt": "known", "up/load.php": self, "up/load.txt": "load", "x.phpx": "phpx",
	}, func(c *app.ServiceConfig) { c.Spec.Args = []string{"php-hako", "--no-php", "/up"} })
	const front = "/index.php||"
	for _, c := range []struct {
		path   string
		status int
		body   string // "" for any
	}{
		{"/", 200, front}, {"/?a=b", 200, front + "a=b"}, {"/index.php", 200, front}, {"/a.php?x", 200, "/a.php||x"},
		{"/a.php/info/more", 200, "/a.php|/info/more|"}, {"/a.php/", 200, "/a.php|/|"}, {"/permalink/of/post", 200, front},
		{"/dir/", 200, "/dir/index.php||"}, {"/dir", 301, ""}, {"/dir//b.php", 200, "/dir/b.php||"}, {"//a.php", 200, "/a.php||"},
		{"/plain/", 200, "plain"}, {"/plain/index.html", 200, "plain"}, {"/empty/", 403, ""}, {"/missing.php", 404, ""}, {"/missing.php/x", 404, ""},
		{"/odd.php/inside.txt", 200, "inside"}, {"/odd.php/c.php/i", 200, "/odd.php/c.php|/i|"}, {"/sp%20ace.php", 200, "/sp ace.php||"},
		{"/.git/config", 200, front}, {"/.hidden.php", 200, front}, {"/.well-known/x.txt", 200, "known"}, {"/dir/%2e%2e/a.php", 200, "/a.php||"},
		{"/up/load.php", 403, ""}, {"/up/load.txt", 200, "load"}, {"/x.phpx", 200, "phpx"}, {"/a.php%2finfo", 200, "/a.php|/info|"},
		{"/%2e%2e/etc/passwd", 400, ""}, {"/a%00.php", 400, ""}, {"/empty/x.txt/", 200, front}, {"/A.PHP", 200, front},
	} {
		a, err := s.do("GET", c.path, nil)
		if err != nil || a.StatusCode != c.status || c.body != "" && a.body != c.body {
			t.Errorf("%s: %v, %d %q, want %d %q", c.path, err, a.StatusCode, a.body, c.status, c.body)
		}
	}
	if a := s.get("/dir?q=1"); a.Header.Get("Location") != "/dir/?q=1" {
		t.Errorf("redirected to %q", a.Header.Get("Location"))
	}
}

// Without a front controller, and with another one.
func TestFront(t *testing.T) {
	f := files{"index.php": `<?php echo 'index';`, "app/main.php": `<?php echo $_SERVER['SCRIPT_NAME'];`, "x.txt": "text"}
	s := serve(t, f, func(c *app.ServiceConfig) { c.Spec.Args = append(c.Spec.Args, "--no-index") })
	s.want("/", 200, "index")
	if a := s.get("/other"); a.StatusCode != 404 {
		t.Errorf("without a front controller: %d %s", a.StatusCode, a.body)
	}
	s = serve(t, f, func(c *app.ServiceConfig) {
		c.Spec.Env = []string{"PHP_INDEX=app/main.php", "PHP_ROOT=/srv/"}
		c.Spec.Args = append(c.Spec.Args, "--no-files")
	})
	s.want("/other", 200, "/app/main.php")
	s.want("/x.txt", 200, "/app/main.php")
}

// Files that are no scripts.
func TestFiles(t *testing.T) {
	s := serve(t, files{"style.css": "body{}", "data": "0123456789", "big.bin": strings.Repeat("0123456789abcdef", 20000), "empty.txt": ""}, nil)
	a := s.want("/style.css", 200, "body{}")
	h := a.Header
	if h.Get("Content-Type") != "text/css; charset=utf-8" || h.Get("Content-Length") != "6" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%v", h)
	}
	for _, c := range []struct {
		header []string
		status int
		body   string
		ranged string
	}{
		{[]string{"If-None-Match", h.Get("ETag")}, 304, "", ""},
		{[]string{"If-None-Match", `"other", ` + h.Get("ETag")}, 304, "", ""},
		{[]string{"If-None-Match", `"other"`, "If-Modified-Since", h.Get("Last-Modified")}, 200, "body{}", ""},
		{[]string{"If-Modified-Since", h.Get("Last-Modified")}, 304, "", ""},
		{[]string{"Range", "bytes=1-2"}, 206, "od", "bytes 1-2/6"},
		{[]string{"Range", "bytes=-2"}, 206, "{}", "bytes 4-5/6"},
		{[]string{"Range", "bytes=4-"}, 206, "{}", "bytes 4-5/6"},
		{[]string{"Range", "bytes=4-99"}, 206, "{}", "bytes 4-5/6"},
		{[]string{"Range", "bytes=6-"}, 416, "", "bytes */6"},
		{[]string{"Range", "bytes=3-1"}, 200, "body{}", ""},
		{[]string{"Range", "bytes=0-0,2-3"}, 200, "body{}", ""},
		{[]string{"Range", "bytes=0-0", "If-Range", h.Get("ETag")}, 206, "b", "bytes 0-0/6"},
		{[]string{"Range", "bytes=0-0", "If-Range", `"x"`}, 200, "body{}", ""},
	} {
		a := s.get("/style.css", c.header...)
		if a.StatusCode != c.status || a.body != c.body || a.Header.Get("Content-Range") != c.ranged {
			t.Errorf("%q: %d %q %v, want %d %q", c.header, a.StatusCode, a.body, a.Header, c.status, c.body)
		}
	}
	if a := s.get("/big.bin"); len(a.body) != 320000 || a.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("%d bytes, %v", len(a.body), a.Header)
	}
	s.want("/data", 200, "0123456789")
	s.want("/empty.txt", 200, "")
	if a, err := s.do("HEAD", "/data", nil); err != nil || a.ContentLength != 10 || a.body != "" {
		t.Errorf("HEAD: %v, %v", a.Header, err)
	}
	if a, err := s.do("POST", "/data", nil); err != nil || a.StatusCode != 405 || a.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %v, %v", a, err)
	}
}

func TestForms(t *testing.T) {
	s := serve(t, files{
		"form.php":   `<?php echo json_encode([$_POST, $_GET, $_COOKIE, $_REQUEST]);`,
		"input.php":  `<?php $b = file_get_contents('php://input'); echo $_SERVER['REQUEST_METHOD'], ' ', strlen($b), ' ', md5($b);`,
		"stream.php": `<?php $f = fopen('php://input', 'r'); $n = 0; while (!feof($f)) $n += strlen(fread($f, 100000)); echo $n, ' ', memory_get_peak_usage() < 8 << 20 ? 'small' : memory_get_peak_usage();`,
		"parse.php":  `<?php [$p, $f] = request_parse_body(); echo json_encode($p), count($f);`,
		"never.php":  `<?php echo 'not read';`,
	}, nil)
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	a, err := s.do("POST", "/form.php?q=1&r[]=a&r[]=b", strings.NewReader("a=1&b[x]=2&c=%C3%A4+b"), append(form, "Cookie", "k=v; l=w%20x")...)
	if want := `[{"a":"1","b":{"x":"2"},"c":"\u00e4 b"},{"q":"1","r":["a","b"]},{"k":"v","l":"w x"},` +
		`{"q":"1","r":["a","b"],"a":"1","b":{"x":"2"},"c":"\u00e4 b"}]`; err != nil || a.body != want {
		t.Errorf("%v, %s, want %s", err, a.body, want)
	}
	big := strings.Repeat("x", 3<<20)
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
		// Chunked, for the length of a reader that is wrapped is not known.
		for _, body := range []io.Reader{strings.NewReader(big), io.MultiReader(strings.NewReader(big))} {
			a, err := s.do(method, "/input.php", body, "Content-Type", "application/json")
			if want := fmt.Sprintf("%s %d 5f0ef0bf0ef0", method, len(big)); err != nil || !strings.HasPrefix(a.body, want[:len(method)+8]) {
				t.Errorf("%v, %s, want %s", err, a.body, want)
			}
		}
	}
	for _, body := range []io.Reader{strings.NewReader(strings.Repeat("x", 40<<20)), io.MultiReader(strings.NewReader(strings.Repeat("x", 40<<20)))} {
		if a, err := s.do("PUT", "/stream.php", body); err != nil || a.body != fmt.Sprint(40<<20, " small") {
			t.Errorf("%v, %s", err, a.body)
		}
	}
	if a, err := s.do("PUT", "/parse.php", strings.NewReader("a=1"), form...); err != nil || a.body != `{"a":"1"}0` {
		t.Errorf("%v, %s", err, a.body)
	}
	if a, err := s.do("PUT", "/never.php", strings.NewReader("1234")); err != nil || a.body != "not read" {
		t.Errorf("%v, %s", err, a.body)
	}
}

func TestUploads(t *testing.T) {
	s := serve(t, files{
		"up.php": `<?php
			$f = $_FILES['file'];
			$kept = '/data/' . basename($f['name']);
			echo json_encode([$_POST['title'], $f['name'], $f['type'], $f['size'], $f['error'], is_uploaded_file($f['tmp_name']),
				move_uploaded_file($f['tmp_name'], $kept), md5_file($kept), count($_FILES['more']['name']), file_exists($f['tmp_name'])]);`,
		"left.php": `<?php echo count(array_filter(scandir('/tmp'), fn($n) => str_starts_with($n, 'php')));`,
	}, func(c *app.ServiceConfig) {
		c.Spec.Args = append(c.Spec.Args, "-d", "upload_max_filesize=20M", "-d", "post_max_size=32M")
	})
	content := bytes.Repeat([]byte("\x00\r\n--x\xffpicture"), 500_000)
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	w.WriteField("title", "A \"title\" ä")
	part, _ := w.CreateFormFile("file", "pic ture.png")
	part.Write(content)
	for _, name := range []string{"a", "b"} {
		part, _ := w.CreateFormFile("more[]", name)
		io.WriteString(part, name)
	}
	w.Close()
	whole := body.Bytes()
	a, err := s.do("POST", "/up.php", bytes.NewReader(whole), "Content-Type", w.FormDataContentType())
	if want := fmt.Sprintf(`["A \"title\" \u00e4","pic ture.png","application\/octet-stream",%d,0,true,true,`, len(content)); err != nil || !strings.HasPrefix(a.body, want) || !strings.HasSuffix(a.body, `,2,false]`) {
		t.Errorf("%v, %s, want %s\n%s", err, a.body, want, s.log)
	}
	if b, err := os.ReadFile(filepath.Join(s.data, "pic ture.png")); err != nil || !bytes.Equal(b, content) {
		t.Errorf("%d bytes were kept, %v", len(b), err)
	}
	s.want("/left.php", 200, "0")

	// Half of it: the client goes away, and nothing is left.
	r, _ := http.NewRequest("POST", s.url+"/up.php", io.MultiReader(bytes.NewReader(whole[:len(whole)/2]), errorReader{}))
	r.Header.Set("Content-Type", w.FormDataContentType())
	if _, err := client.Do(r); err == nil {
		t.Error("half a body was answered")
	}
	s.want("/left.php", 200, "0")
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestGetAllHeaders(t *testing.T) {
	s := serve(t, files{"h.php": `<?php header('X-A: 1'); header('X-A: 2', false);
		echo json_encode([getallheaders() === apache_request_headers(), array_intersect_key(getallheaders(), ['X-Some-Name' => 1, 'Host' => 1, 'Content-Type' => 1]), apache_response_headers()]);`}, nil)
	a := s.get("/h.php", "x-some-name", "v", "Content-Type", "a/b")
	host := strings.TrimPrefix(s.url, "http://")
	if want := fmt.Sprintf(`[true,{"Host":"%s","Content-Type":"a\/b","X-Some-Name":"v"},`, host); !strings.HasPrefix(a.body, want) {
		// The order of a request's headers is not kept.
		if !strings.Contains(a.body, `"X-Some-Name":"v"`) || !strings.Contains(a.body, `"Content-Type":"a\/b"`) || !strings.Contains(a.body, `"Host":"`+host) {
			t.Errorf("%s\nwant %s", a.body, want)
		}
	}
	if !strings.HasPrefix(a.body, "[true,") || !strings.Contains(a.body, `"X-A":"2"`) {
		t.Errorf("%s", a.body)
	}
}

// What may be written to is_writable() knows, and it changes nothing.
func TestIsWritable(t *testing.T) {
	s := serve(t, files{"folder/x": "x", "w.php": `<?php
		mkdir('/data/folder'); file_put_contents('/data/folder/x', 'kept'); symlink('folder/x', '/data/link');
		foreach (['/srv', '/data'] as $d) foreach (['', '/', '/folder', '/folder/x', '/none', '/link'] as $p) echo +is_writable($d . $p);
		echo file_get_contents('/data/link'), count(scandir('/data'));`}, nil)
	s.want("/w.php", 200, "000000"+"111101"+"kept4")
}
