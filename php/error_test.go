package php

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hako-run/hako/app"
)

// Whatever a script does wrong, there is an answer and a line in the log, and
// the next request is answered.
func TestErrors(t *testing.T) {
	s := serve(t, files{"ok.php": `<?php echo 'ok';`, "included.php": `<?php function broken( {`}, func(c *app.ServiceConfig) {
		c.Spec.Limits.CPU = 20 * time.Second
	})
	for _, c := range []struct {
		script string
		status int
		body   string // "" for the page about the error, which names the status
		log    string
	}{
		{`undefined();`, 500, "", `PHP Fatal error:  Uncaught Error: Call to undefined function undefined()`},
		{`throw new RuntimeException('on purpose');`, 500, "", `Uncaught RuntimeException: on purpose`},
		{`function broken( {`, 500, "", `PHP Parse error:`},
		{`include 'included.php';`, 500, "", `PHP Parse error:`},
		{`try { include 'included.php'; } catch (ParseError $e) { echo 'caught'; }`, 200, "caught", ""},
		{`echo 'begun '; undefined();`, 200, "begun ", `Call to undefined function`},
		{`echo 'begun '; flush(); undefined();`, 200, "begun ", `Call to undefined function`},
		{`ini_set('display_errors', 1); undefined();`, 200, "\n<b>Fatal error</b>", `Call to undefined function`},
		{`ini_set('memory_limit', '8M'); $a = []; while (true) $a[] = str_repeat('x', 1000);`, 500, "", `PHP Fatal error:  Allowed memory size of 8388608 bytes exhausted`},
		{`ini_set('memory_limit', -1); $a = []; while (true) $a[] = str_repeat('x', 1 << 20);`, 500, "", `PHP Fatal error:  Out of memory`},
		{`ini_set('memory_limit', -1); str_repeat('x', 1 << 30);`, 500, "", `PHP Fatal error:  Out of memory`},
		{`set_time_limit(1); while (true);`, 500, "", `PHP Fatal error:  Maximum execution time of 1 second exceeded in /srv/case.php on line 1`},
		{`set_time_limit(1); register_shutdown_function(function () { echo 'down'; }); for (;;) strlen('x');`, 500, "down", `Maximum execution time of 1 second exceeded`},
		{`register_shutdown_function(function () { error_log('last: ' . error_get_last()['type']); }); undefined();`, 500, "", `last: 1`},
		{`set_exception_handler(function ($e) { http_response_code(503); echo 'handled'; }); throw new Exception('x');`, 503, "handled", ""},
		{`set_error_handler(function ($n, $m) { throw new ErrorException($m); }); try { echo $x; } catch (ErrorException $e) { echo 'E'; }`, 200, "E", ""},
		{`http_response_code(500);`, 500, "-", ""},
		{`abstract class A { abstract function f(); } class B extends A {}`, 500, "", `PHP Fatal error:  Class B contains 1 abstract method`},
		{`ob_start(); echo 'lost'; ob_start(fn($s) => throw new Exception('in a handler')); echo 'x'; ob_end_flush();`, 500, "lost", `in a handler`},
		{`header('X-A: 1'); exit(255);`, 200, "-", ""},
	} {
		s.write("case.php", "<?php "+c.script)
		a, err := s.do("GET", "/case.php", nil)
		body := c.body
		if body == "" {
			body = "<!doctype html>"
		}
		body = strings.TrimPrefix(body, "-")
		if err != nil || a.StatusCode != c.status && !strings.Contains(c.script, "display_errors") || !strings.Contains(a.body, body) || c.body == "-" && a.body != "" {
			t.Errorf("%s: %v, %d %q, want %d %q\n%s", c.script, err, a.StatusCode, a.body, c.status, c.body, s.log)
		}
		if c.log != "" {
			s.logged(c.log)
		}
		s.want("/ok.php", 200, "ok")
	}
}

// Recursion that does not end is an error of PHP's where PHP itself is what
// recurs, and an answer from the server in any case.
func TestRecursion(t *testing.T) {
	s := serve(t, files{"ok.php": `<?php echo 'ok';`}, nil)
	for name, script := range map[string]string{
		"calls":    `function f($n) { return f($n + 1) + 1; } f(0);`,
		"magic":    `class A { function __get($n) { return (new A)->$n; } } (new A)->x;`,
		"callback": `function g($x) { return array_map('g', [$x]); } g(1);`,
		"string":   `class S { function __toString(): string { return (string)new S; } } echo new S;`,
		"json":     `class J implements JsonSerializable { function jsonSerialize(): mixed { return json_decode(json_encode(new J)); } } echo json_encode(new J);`,
		"nested":   `$a = []; for ($i = 0; $i < 200000; $i++) $a = [$a]; echo serialize($a);`,
		"compile":  `eval('return ' . str_repeat('(', 100000) . '1' . str_repeat(')', 100000) . ';');`,
		"regular":  `ini_set('pcre.backtrack_limit', 1 << 30); echo preg_match('/^(a|b)*$/', str_repeat('ab', 100000)); throw new Exception('x');`,
	} {
		s.write("case.php", "<?php ini_set('memory_limit', '128M'); "+script)
		a, err := s.do("GET", "/case.php", nil)
		if err != nil || a.StatusCode != 500 && a.StatusCode != 200 {
			t.Errorf("%s: %v, %v\n%s", name, err, a, s.log)
		} else {
			t.Logf("%s: %d %.80q", name, a.StatusCode, a.body)
		}
		s.want("/ok.php", 200, "ok")
	}
	for _, text := range []string{"Maximum call stack size", "Allowed memory size"} {
		s.logged(text)
	}
	if strings.Contains(s.log.String(), "app failed") {
		t.Errorf("a guest trapped:\n%s", s.log)
	}
}

// A script that wants to do harm gets what it was granted, and no more.
func TestHostile(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, files{
		"ok.php": `<?php echo 'ok';`,
		"read.php": `<?php
			$seen = [];
			foreach (['/etc/passwd', '../../../../etc/passwd', '/proc/self/environ', $_GET['secret'], '/data/link', '/srv/../etc/passwd', 'file:///etc/passwd', 'glob:///etc/*'] as $f)
				if (@file_get_contents($f) || @scandir(dirname($f)) && dirname($f) == '/etc') $seen[] = $f;
			echo json_encode([$seen, @file_put_contents('/srv/x', 'x'), @mkdir('/srv/d'), @unlink('/srv/ok.php'), @symlink('/etc/passwd', '/data/link2'), @rename('/srv/ok.php', '/data/ok.php')]);`,
		"net.php": `<?php
			$open = [];
			foreach (['tcp://127.0.0.1:' . $_GET['port'], 'udp://127.0.0.1:53', 'unix:///var/run/docker.sock', 'tcp://169.254.169.254:80'] as $to)
				if (@stream_socket_client($to, $n, $m, 2)) $open[] = $to;
			echo json_encode([$open, @file_get_contents('http://127.0.0.1:' . $_GET['port'] . '/')]);`,
		"exec.php": `<?php
			$out = [];
			foreach (['exec', 'shell_exec', 'system', 'passthru'] as $f) { try { ob_start(); $out[] = @$f('id'); ob_end_clean(); } catch (Error $e) { $out[] = false; } }
			foreach ([fn() => proc_open('id', [], $p), fn() => popen('id', 'r'), fn() => mail('a@b.c', 's', 'm'), fn() => pcntl_fork(), fn() => dl('x.so')] as $f)
				try { $out[] = (bool)@$f(); } catch (Error $e) { $out[] = false; }
			echo json_encode(array_filter($out));`,
		"loop.php":    `<?php set_time_limit(0); ignore_user_abort(true); register_shutdown_function(function () { for (;;); }); for (;;);`,
		"memory.php":  `<?php ini_set('memory_limit', -1); $a = ''; for (;;) $a .= str_repeat('x', 1 << 20);`,
		"output.php":  `<?php set_time_limit(0); $x = str_repeat('x', 1 << 20); for ($i = 0; $i < 10000; $i++) echo $x;`,
		"files.php":   `<?php $f = []; for ($i = 0; $i < 100000 && ($h = @fopen("/tmp/f$i", 'w')); $i++) $f[] = $h; echo count($f) < 100000 ? 'bounded' : 'all';`,
		"disk.php":    `<?php $f = fopen('/tmp/big', 'w'); $x = str_repeat('x', 1 << 20); for ($i = 0; $i < 10000 && @fwrite($f, $x) === 1 << 20; $i++); echo $i < 100 ? 'bounded' : $i;`,
		"log.php":     `<?php $x = str_repeat('x', 60000); for ($i = 0; $i < 100000; $i++) error_log($x);`,
		"headers.php": `<?php ini_set('memory_limit', -1); for ($i = 0; $i < 6000; $i++) header("X: $i" . str_repeat('x', 10000), false); echo 'sent';`,
		"regex.php":   `<?php ini_set('pcre.backtrack_limit', PHP_INT_MAX); set_time_limit(0); preg_match('/^(a+)+$/', str_repeat('a', 40) . 'b'); echo 'done';`,
	}, func(c *app.ServiceConfig) {
		c.Spec.Limits.CPU, c.Spec.Limits.Wall = time.Second, 20*time.Second
		c.Spec.Limits.Output, c.Spec.Limits.Memory = 64<<20, 192<<20
		c.Spec.Tmp[0].Size = 8 << 20
	})
	if err := os.Symlink("/etc/passwd", filepath.Join(s.data, "link")); err != nil {
		t.Fatal(err)
	}
	port := s.url[strings.LastIndex(s.url, ":")+1:]
	for _, c := range []struct {
		path   string
		status int // 0: the connection is cut
		body   string
		log    string
	}{
		{"/read.php?secret=" + secret, 200, `[[],false,false,false,false,false]`, ""},
		{"/net.php?port=" + port, 200, `[[],false]`, "does not grant\" to=127.0.0.1:" + port},
		{"/exec.php", 200, `[]`, ""},
		{"/loop.php", 504, "", "nearly used up"},
		{"/loop.php", 504, "", "guest exceeded its"},
		{"/memory.php", 500, "", "Out of memory"},
		{"/output.php", 0, "", "output"},
		{"/files.php", 200, "bounded", ""},
		{"/disk.php", 200, "bounded", ""},
		{"/log.php", 500, "", "output"},
		{"/headers.php", 500, "", "path=/headers.php"},
	} {
		t.Run(strings.TrimSuffix(c.path[1:], ".php"), func(t *testing.T) {
			a, err := s.do("GET", c.path, nil)
			switch {
			case c.status == 0:
				if err == nil {
					t.Errorf("the answer looks whole: %d, %d bytes", a.StatusCode, len(a.body))
				}
			case err != nil || a.StatusCode != c.status || c.body != "" && a.body != c.body:
				t.Errorf("%v, %d %.300q, want %d %q\n%.4000s", err, a.StatusCode, a.body, c.status, c.body, s.log)
			}
			if c.log != "" {
				s.logged(c.log)
			}
			s.want("/ok.php", 200, "ok")
		})
	}
	if a, err := s.do("GET", "/regex.php", nil); err != nil || a.StatusCode != 200 && a.StatusCode != 500 && a.StatusCode != 504 {
		t.Errorf("%v, %v", err, a)
	}
	s.want("/ok.php", 200, "ok")
	if text := s.log.String(); strings.Contains(text, "root:x:") {
		t.Error("the log shows a file of the host")
	}
}

// Who waits for long uses up its time too.
func TestSleep(t *testing.T) {
	s := serve(t, files{
		"sleep.php": `<?php set_time_limit(0); for (;;) sleep(1000);`,
		"waits.php": `<?php set_time_limit(1); for (;;) usleep(10000);`, // which is not execution time
		"ok.php":    `<?php echo 'ok';`,
	}, func(c *app.ServiceConfig) {
		c.Spec.Limits.Wall = 2 * time.Second
	})
	if a, err := s.do("GET", "/sleep.php", nil); err != nil || a.StatusCode != 504 {
		t.Errorf("%v, %v", err, a)
	}
	s.logged("wall limit")
	if a, err := s.do("GET", "/waits.php", nil); err != nil || a.StatusCode != 500 {
		t.Errorf("%v, %v", err, a)
	}
	s.logged("nearly used up")
	s.want("/ok.php", 200, "ok")
}

// A script that asks its own site, which asks itself, ends when no instance is
// left for it.
func TestSelf(t *testing.T) {
	s := serve(t, files{
		"self.php": `<?php $r = @file_get_contents('http://127.0.0.1:' . $_GET['port'] . $_SERVER['REQUEST_URI']); echo $r === false ? 'refused' : "<$r>";`,
		"ok.php":   `<?php echo 'ok';`,
	}, func(c *app.ServiceConfig) {
		c.Instances, c.QueueWait, c.Spec.Network = 4, 100*time.Millisecond, []string{"127.0.0.1:*"}
	})
	port := s.url[strings.LastIndex(s.url, ":")+1:]
	s.want("/self.php?port="+port, 200, "<<<refused>>>")
	s.want("/ok.php", 200, "ok")
}
