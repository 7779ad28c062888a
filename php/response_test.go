package php

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hako-run/hako/app"
)

// A response's head, whatever way a script makes it.
func TestHeaders(t *testing.T) {
	s := serve(t, nil, nil)
	for _, c := range []struct {
		script string
		status int
		header http.Header // of which these values; nil for none
		body   string
	}{
		{`echo 'hello';`, 200, http.Header{"Content-Type": {"text/html; charset=UTF-8"}, "X-Powered-By": nil}, "hello"},
		{`header('Content-Type: text/plain'); echo 1;`, 200, http.Header{"Content-Type": {"text/plain;charset=UTF-8"}}, "1"},
		{`http_response_code(404); echo 'no';`, 404, nil, "no"},
		{`header('HTTP/1.1 418 I am a teapot');`, 418, nil, ""},
		{`header('Status: 410 Gone'); echo 'gone';`, 410, http.Header{"Status": nil}, "gone"},
		{`header('Location: /x');`, 302, http.Header{"Location": {"/x"}}, ""},
		{`header('Location: /x', true, 301);`, 301, http.Header{"Location": {"/x"}}, ""},
		{`setcookie('a', '1'); setcookie('b', '2', ['httponly' => true]); header('Set-Cookie: c=3', false);`, 200,
			http.Header{"Set-Cookie": {"a=1", "b=2; HttpOnly", "c=3"}}, ""},
		{`header('X-A: 1'); header('X-A: 2'); header('X-B: 1'); header('X-B: 2', false); header('X-C: 1'); header_remove('X-C');`, 200,
			http.Header{"X-A": {"2"}, "X-B": {"1", "2"}, "X-C": nil}, ""},
		{`http_response_code(304);`, 304, http.Header{"Content-Type": nil}, ""},
		{`http_response_code(204);`, 204, nil, ""},
		{`header('Content-Length: 5'); echo '12345';`, 200, http.Header{"Content-Length": {"5"}}, "12345"},
		{`header('Content-Length: 5'); echo '1234567';`, 200, nil, "12345"},
		{`header('Content-Length: abc'); echo '123';`, 200, nil, "123"},
		{"header(\"X-A: a\\x01b\"); header('X B: 1'); header('X-Ok: 1'); echo 1;", 200, http.Header{"X-A": nil, "X-Ok": {"1"}}, "1"},
		{`header_register_callback(function () { header('X-Late: 1'); }); echo 1;`, 200, http.Header{"X-Late": {"1"}}, "1"},
		{`ob_start(); echo 'a'; header('X-A: 1'); echo 'b'; ob_end_flush();`, 200, http.Header{"X-A": {"1"}}, "ab"},
		{`ob_start(fn($s) => strtoupper($s)); echo 'up';`, 200, nil, "UP"},
		{`echo str_repeat('0123456789', 100000);`, 200, nil, strings.Repeat("0123456789", 100000)},
		{`for ($i = 0; $i < 50000; $i++) echo 'ab';`, 200, nil, strings.Repeat("ab", 50000)},
		{`echo headers_sent() ? 1 : 0; flush(); echo headers_sent() ? 1 : 0;`, 200, nil, "01"},
		{`echo php_sapi_name();`, 200, nil, "fpm-fcgi"},
		{`exit('bye');`, 200, nil, "bye"},
		{`(function () { array_map(function () { exit(3); }, [1]); })(); echo 'no';`, 200, nil, ""},
		{`register_shutdown_function(function () { echo ' down'; }); echo 'up'; exit;`, 200, nil, "up down"},
		{`class A { function __destruct() { echo 'gone'; } } $a = new A; exit('bye ');`, 200, nil, "bye gone"},
		{`try { throw new Exception('x'); } catch (Exception $e) { echo get_class($e); } finally { echo 'F'; }`, 200, nil, "ExceptionF"},
		{`function g() { yield 1; yield from [2, 3]; } foreach (g() as $v) echo $v;`, 200, nil, "123"},
		{`echo strlen(random_bytes(8));`, 200, nil, "8"},
	} {
		s.write("case.php", "<?php "+c.script)
		a := s.get("/case.php")
		if a.StatusCode != c.status || a.body != c.body {
			t.Errorf("%s: %d %.100q, want %d %.100q\n%s", c.script, a.StatusCode, a.body, c.status, c.body, s.log)
		}
		for name, want := range c.header {
			if got := a.Header[name]; !slices.Equal(got, want) {
				t.Errorf("%s: %s is %q, want %q", c.script, name, got, want)
			}
		}
	}
	for _, text := range []string{"longer than its Content-Length", "header X-A is dropped"} {
		s.logged(text)
	}
	s.write("case.php", `<?php header('X-A: 1'); echo 'body';`)
	if a, err := s.do("HEAD", "/case.php", nil); err != nil || a.body != "" || a.Header.Get("X-A") != "1" {
		t.Errorf("HEAD: %v, %v", a, err)
	}
}

// What is flushed is there before the script goes on.
func TestFlush(t *testing.T) {
	s := serve(t, files{"events.php": `<?php
		header('Content-Type: text/event-stream');
		flush();
		ob_start();
		for ($i = 0; $i < 3; $i++) {
			echo "data: $i\n\n";
			ob_flush();
			flush();
			while (!file_exists("/data/$i")) { usleep(1000); clearstatcache(); }
		}
		echo "end\n";`}, nil)
	resp, err := http.Get(s.url + "/events.php")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream;charset=UTF-8" {
		t.Errorf("content type %q", got)
	}
	lines := bufio.NewScanner(resp.Body)
	for _, name := range []string{"0", "1", "2"} {
		if !lines.Scan() || lines.Text() != "data: "+name || !lines.Scan() {
			t.Fatalf("%q, %v", lines.Text(), lines.Err())
		}
		if err := os.WriteFile(filepath.Join(s.data, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !lines.Scan() || lines.Text() != "end" {
		t.Errorf("%q", lines.Text())
	}
}

// A script goes on after its answer, without the client.
func TestFinish(t *testing.T) {
	s := serve(t, files{"finish.php": `<?php
		register_shutdown_function(function () { file_put_contents('/data/down', 'x'); });
		ob_start();
		echo 'answer';
		$first = fastcgi_finish_request();
		echo str_repeat('not seen ', 10000);
		$second = fastcgi_finish_request();
		while (!file_exists('/data/go')) { usleep(1000); clearstatcache(); }
		error_log('finished ' . json_encode([$first, $second, connection_status()]));`}, nil)
	s.want("/finish.php", 200, "answer")
	if err := os.WriteFile(filepath.Join(s.data, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.logged("finished [true,false,0]")
	if err := s.service.Close(); err != nil { // waits for the script
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(s.data, "down")); err != nil {
		t.Error(err)
	}
}

// A client that goes away ends a script, unless it says otherwise.
func TestAbort(t *testing.T) {
	s := serve(t, files{"abort.php": `<?php
		ignore_user_abort((bool)$_GET['ignore']);
		register_shutdown_function(function () { error_log('down ' . $_GET['ignore'] . ' ' . connection_aborted()); });
		for ($i = 0; $i < 100000 && !connection_aborted(); $i++) { echo str_repeat('x', 100000); flush(); }
		error_log('went on ' . $_GET['ignore']);`}, nil)
	for _, ignore := range []string{"0", "1"} {
		resp, err := http.Get(s.url + "/abort.php?ignore=" + ignore)
		if err != nil {
			t.Fatal(err)
		}
		io.ReadFull(resp.Body, make([]byte, 1000))
		resp.Body.Close()
		s.logged("down " + ignore + " 1")
	}
	s.logged("went on 1")
	if strings.Contains(s.log.String(), "went on 0") {
		t.Errorf("a script went on without its client:\n%s", s.log)
	}
}

// What goes to the log, and at which level.
func TestLog(t *testing.T) {
	s := serve(t, files{"log.php": `<?php
		error_log("a message\nof two lines");
		fwrite(fopen('php://stderr', 'w'), "to stderr\n");
		trigger_error('a warning', E_USER_WARNING);
		echo $undefined, 'ok';`}, nil)
	s.want("/log.php", 200, "ok")
	for _, text := range []string{
		`level=INFO msg="a message\nof two lines"`, `level=ERROR msg="to stderr"`, `level=WARN msg="PHP Warning:  a warning in /srv/log.php on line 4"`,
		`PHP Warning:  Undefined variable $undefined in /srv/log.php on line 5`,
	} {
		s.logged(text)
	}
}

// Settings, from the weakest to the strongest.
func TestSettings(t *testing.T) {
	show := `<?php foreach (['memory_limit', 'precision', 'user_agent', 'date.timezone', 'opcache.enable', 'display_errors', 'sys_temp_dir'] as $n) echo ini_get($n), '|';`
	s := serve(t, files{
		"show.php": show, "sub/show.php": show, ".user.ini": "precision=5\n", "sub/.user.ini": "user_agent=sub\n",
		"conf/php.ini": "memory_limit=77M\nprecision=9\nuser_agent=ini\n[PATH=/srv/sub]\ndate.timezone=Europe/Paris\n",
	}, func(c *app.ServiceConfig) {
		c.Spec.Args = append(c.Spec.Args, "-c", "/srv/conf/php.ini", "-d", "precision=11", "-d", "display_errors=1")
		c.Spec.Env = []string{"PHP_INI_DATE__TIMEZONE=Asia/Tokyo", "PHP_INI_USER_AGENT=a; b \" c"}
	})
	for range 2 {
		s.want("/show.php", 200, `77M|5|a; b " c|Asia/Tokyo|1|1|/tmp|`)
		s.want("/sub/show.php", 200, `77M|5|sub|Europe/Paris|1|1|/tmp|`)
	}
}

// Wrong arguments are told when the app starts.
func TestArguments(t *testing.T) {
	w, err := theWorld()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, want string }{
		{"--wrong", "argument --wrong is not known"},
		{"--root", "argument --root is not known, or lacks its value"},
		{"--root=srv", "the root srv is no absolute path"},
		{"--root=/nowhere", "the root /nowhere is not there"},
	} {
		log := &syncBuffer{}
		s, err := w.runner.Serve(t.Context(), w.worker, app.ServiceConfig{
			Protocol: app.ProtocolWorker, Spec: app.Spec{Args: []string{"php-hako", c.args}}, Log: newLog(log),
		})
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(log.String(), c.want) {
			t.Errorf("%s: %v\n%s\nwant %q", c.args, err, log, c.want)
		}
	}
}
