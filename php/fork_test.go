package php

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hako-run/hako/app"
	"github.com/hako-run/hako/pagestore"
)

// modes runs a test with a fork for each request and with instances that live
// on.
func modes(t *testing.T, test func(t *testing.T, session bool)) {
	t.Run("request", func(t *testing.T) { test(t, false) })
	t.Run("session", func(t *testing.T) { test(t, true) })
}

const random = `<?php
$db = new PDO('sqlite:/db/site.sqlite');
$r = new Random\Randomizer();
session_id(session_create_id());
$key = [];
if (function_exists('openssl_random_pseudo_bytes')) $key[] = bin2hex(openssl_random_pseudo_bytes(16));
echo json_encode(array_merge($key, [mt_rand() . '-' . mt_rand(), rand() . '-' . rand(), bin2hex(random_bytes(16)), random_int(0, PHP_INT_MAX) . 'i', (string)lcg_value(),
	uniqid('', true), session_id(), bin2hex($r->getBytes(16)), $db->query('SELECT random()')->fetchColumn() . 's', bin2hex($db->query('SELECT randomblob(16)')->fetchColumn()),
	implode(',', (function () { $a = range(1, 40); shuffle($a); return $a; })()), str_shuffle('abcdefghijklmnopqrstuvwxyz0123456789'), password_hash('x', PASSWORD_BCRYPT, ['cost' => 4]),
	tempnam('/tmp', 'x'), implode(',', array_rand(range(0, 999), 20))]));`

// No two requests draw the same numbers, though they begin as copies of one
// instance that has drawn some.
func TestRandom(t *testing.T) {
	modes(t, func(t *testing.T, session bool) {
		db := newDatabase(t)
		s := serve(t, files{"random.php": random}, func(c *app.ServiceConfig) {
			c.Session, c.Warm = session, []string{"/random.php", "/random.php"}
			c.Spec.Databases = []app.DatabaseGrant{{Snapshot: db, Guest: "/db/site.sqlite"}}
		})
		var mu sync.Mutex
		seen := map[string]string{}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 10 {
					a, err := s.do("GET", "/random.php", nil)
					var values []string
					if err == nil {
						err = json.Unmarshal([]byte(a.body), &values)
					}
					if err != nil || len(values) < 15 {
						t.Errorf("%v: %s\n%s", err, a.body, s.log)
						return
					}
					mu.Lock()
					for i, v := range values {
						if other, ok := seen[v]; ok && v != "" {
							t.Errorf("value %d is %q twice, before as %s", i, v, other)
						}
						seen[v] = strconv.Itoa(i)
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
	})
}

// Time goes on in forks, and what was set in one request is gone in the next.
func TestFresh(t *testing.T) {
	modes(t, func(t *testing.T, session bool) {
		s := serve(t, files{"fresh.php": `<?php
			function counter() { static $n = 0; return ++$n; }
			class C { static $n = 0; }
			$GLOBALS['left'] = ($GLOBALS['left'] ?? 0) + 1;
			C::$n++;
			$before = [getenv('LEFT'), ini_get('precision'), date_default_timezone_get(), getcwd(), umask(), error_reporting(), mb_left(), ignore_user_abort(), get_include_path(), count(get_included_files())];
			function mb_left() { return function_exists('mb_internal_encoding') ? mb_internal_encoding() : ''; }
			putenv('LEFT=x'); ini_set('precision', '3'); date_default_timezone_set('Asia/Tokyo'); chdir('/tmp'); error_reporting(0); ignore_user_abort(true); set_include_path('/tmp');
			if (function_exists('mb_internal_encoding')) mb_internal_encoding('ISO-8859-1');
			define('ONCE', 1); ob_start(); stream_wrapper_register('mine', 'C'); set_error_handler(fn() => true); spl_autoload_register(fn() => 0);
			header('X-Once: 1'); $_SERVER['LEFT'] = $_ENV['LEFT'] = 1;
			echo json_encode([counter(), C::$n, $GLOBALS['left'], $before, getenv('MODE'), $_ENV['MODE'] ?? null, isset($_POST['x'])]);`,
			"time.php": `<?php echo json_encode([microtime(true), time(), $_SERVER['REQUEST_TIME'], $_SERVER['REQUEST_TIME_FLOAT'], (float)(new DateTime)->format('U.u'), hrtime(true), (new DateTime)->format('U')]);`,
		}, func(c *app.ServiceConfig) {
			c.Session, c.Instances, c.Spec.Env = session, 1, []string{"MODE=test"}
			c.Warm = []string{"/fresh.php", "/time.php", "/fresh.php"}
		})
		first := s.get("/fresh.php").body
		if !strings.HasPrefix(first, `[1,1,1,[false,"14","UTC","\/srv",`) || !strings.HasSuffix(first, `,"test","test",false]`) {
			t.Errorf("%s\n%s", first, s.log)
		}
		for range 3 {
			a, err := s.do("POST", "/fresh.php", strings.NewReader("x=1"), "Content-Type", "application/x-www-form-urlencoded")
			if want := strings.TrimSuffix(first, "false]") + "true]"; err != nil || a.body != want {
				t.Errorf("%v, %s, want %s", err, a.body, want)
			}
			s.want("/fresh.php", 200, first)
		}
		var last []float64
		for range 2 {
			start := float64(time.Now().UnixMicro()) / 1e6
			var v []any
			a := s.get("/time.php")
			if err := json.Unmarshal([]byte(a.body), &v); err != nil || len(v) != 7 {
				t.Fatalf("%v, %s", err, a.body)
			}
			end := float64(time.Now().UnixMicro()) / 1e6
			for _, i := range []int{0, 3, 4} {
				if f := v[i].(float64); f < start-0.001 || f > end+0.001 {
					t.Errorf("time %d is %f, between %f and %f", i, f, start, end)
				}
			}
			for _, i := range []int{1, 2} {
				if f := v[i].(float64); f < start-1 || f > end {
					t.Errorf("time %d is %f, between %f and %f", i, f, start, end)
				}
			}
			now := []float64{v[5].(float64)}
			if last != nil && now[0] <= last[0] {
				t.Errorf("hrtime went from %f to %f", last[0], now[0])
			}
			last = now
			time.Sleep(10 * time.Millisecond)
		}
	})
}

// Scripts that were compiled in the warm-up need not be in forks, and changes
// are seen at once.
func TestOpcache(t *testing.T) {
	modes(t, func(t *testing.T, session bool) {
		show := `<?php require 'lib.php'; $s = opcache_get_status(); echo json_encode([lib(), $s['opcache_enabled'],
			array_map(fn($n) => isset($s['scripts']["/srv/$n"]), ['show.php', 'lib.php', 'cold.php']), $s['opcache_statistics']['misses']]);`
		s := serve(t, files{"show.php": show, "lib.php": `<?php function lib() { return 'one'; }`, "cold.php": `<?php echo 'cold';`}, func(c *app.ServiceConfig) {
			c.Session, c.Instances, c.Warm = session, 1, []string{"/show.php"}
		})
		for range 3 {
			if a := s.want("/show.php", 200, `["one",true,[true,true,false],2]`); a.Header.Get("X-Hako-Renew") != "" {
				t.Error("the template is out of date from the start")
			}
		}
		s.want("/cold.php", 200, "cold")
		later := time.Now().Add(2 * time.Second) // of another second, as file systems may count
		s.write("lib.php", `<?php function lib() { return 'two'; }`)
		if err := os.Chtimes(filepath.Join(s.root, "lib.php"), later, later); err != nil {
			t.Fatal(err)
		}
		for n := range 2 {
			a := s.get("/show.php")
			if !strings.HasPrefix(a.body, `["two",true,`) {
				t.Errorf("after the change: %s", a.body)
			}
			// An instance that lives on has it compiled by then.
			if got, want := a.Header.Get("X-Hako-Renew") != "", !session || n == 0; got != want {
				t.Errorf("request %d after the change: out of date is %v", n, got)
			}
		}
		if err := s.service.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		if a := s.get("/show.php"); !strings.HasPrefix(a.body, `["two",true,`) || a.Header.Get("X-Hako-Renew") != "" {
			t.Errorf("with a new template: %s, %v", a.body, a.Header)
		}
		if err := os.Remove(filepath.Join(s.root, "lib.php")); err != nil {
			t.Fatal(err)
		}
		if a := s.get("/show.php"); a.StatusCode != 500 {
			t.Errorf("without the file: %d %s", a.StatusCode, a.body)
		}
	})
}

// Sessions are kept in a granted folder.
func TestSessions(t *testing.T) {
	modes(t, func(t *testing.T, session bool) {
		kept := t.TempDir()
		s := serve(t, files{
			"count.php": `<?php session_start(); $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1; $_SESSION['who'] ??= $_GET['who'] ?? ''; echo $_SESSION['who'], $_SESSION['n'];`,
			"new.php":   `<?php session_start(); session_regenerate_id(true); echo $_SESSION['n'];`,
			"end.php":   `<?php session_start(); $_SESSION['n']++; echo 'bye', $_SESSION['n']; session_destroy();`,
		}, func(c *app.ServiceConfig) {
			c.Session, c.Warm = session, []string{"/count.php?who=warm"}
			c.Spec.Dirs = append(c.Spec.Dirs, app.DirGrant{Host: kept, Guest: "/sessions"})
		})
		var wg sync.WaitGroup
		for _, who := range []string{"ann", "bob", "eve"} {
			wg.Go(func() {
				var cookie string
				for n := range 6 {
					a, err := s.do("GET", "/count.php?who="+who, nil, "Cookie", cookie)
					if err != nil || a.body != who+strconv.Itoa(n+1) {
						t.Errorf("%s: %v, %s, want %d\n%s", who, err, a.body, n+1, s.log)
						return
					}
					if n == 0 {
						if len(a.Cookies()) != 1 {
							t.Errorf("%s: cookies %v", who, a.Cookies())
							return
						}
						cookie = a.Cookies()[0].Name + "=" + a.Cookies()[0].Value
					}
				}
				a, err := s.do("GET", "/new.php", nil, "Cookie", cookie)
				if err != nil || a.body != "6" || len(a.Cookies()) != 1 {
					t.Errorf("%s: %v, %s", who, err, a.body)
					return
				}
				cookie = a.Cookies()[0].Name + "=" + a.Cookies()[0].Value
				if a, err := s.do("GET", "/count.php", nil, "Cookie", cookie); err != nil || a.body != who+"7" {
					t.Errorf("%s: %v, %s", who, err, a.body)
				}
				s.do("GET", "/end.php", nil, "Cookie", cookie)
			})
		}
		wg.Wait()
		// Requests of one session wait for each other.
		a := s.get("/count.php?who=zoe")
		cookie := a.Cookies()[0].Name + "=" + a.Cookies()[0].Value
		for range 4 {
			wg.Go(func() {
				for range 5 {
					if _, err := s.do("GET", "/count.php", nil, "Cookie", cookie); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if a := s.get("/end.php", "Cookie", cookie); a.body != "bye22" {
			t.Errorf("after 22 requests: %s", a.body)
		}
		// That of the warm-up is left.
		if entries, err := os.ReadDir(kept); err != nil || len(entries) != 1 {
			t.Errorf("%d sessions are left, %v", len(entries), err)
		}
	})
}

// Without such a folder the log says what is missing.
func TestSessionsExpire(t *testing.T) {
	kept := t.TempDir()
	s := serve(t, files{"count.php": `<?php session_start(); $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1; echo $_SESSION['n'];`}, func(c *app.ServiceConfig) {
		c.Spec.Dirs = append(c.Spec.Dirs, app.DirGrant{Host: kept, Guest: "/sessions"})
		c.Spec.Env = []string{"PHP_INI_SESSION__GC_PROBABILITY=1", "PHP_INI_SESSION__GC_DIVISOR=1", "PHP_INI_SESSION__GC_MAXLIFETIME=3600"}
	})
	s.want("/count.php", 200, "1")
	there, err := filepath.Glob(filepath.Join(kept, "sess_*"))
	if err != nil || len(there) != 1 {
		t.Fatalf("%v, %v", there, err)
	}
	other := filepath.Join(kept, "note.txt")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * time.Hour)
	for _, name := range []string{there[0], other} {
		if err := os.Chtimes(name, old, old); err != nil {
			t.Fatal(err)
		}
	}
	s.want("/count.php", 200, "1") // of somebody else
	if _, err := os.Stat(there[0]); err == nil {
		t.Error("a session that was not used for long is kept")
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("what is no session was removed: %v", err)
	}
}

func TestSessionsLost(t *testing.T) {
	s := serve(t, files{"count.php": `<?php session_start(); $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1; session_write_close(); echo $_SESSION['n'];`}, nil)
	a := s.want("/count.php", 200, "1")
	if len(a.Cookies()) != 1 {
		t.Fatal(a.Cookies())
	}
	if a := s.get("/count.php", "Cookie", a.Cookies()[0].Name+"="+a.Cookies()[0].Value); a.body != "1" {
		t.Errorf("%s", a.body)
	}
	s.logged("grant a writable folder as /sessions")
}

// newDatabase makes an empty database and returns its name.
func newDatabase(t *testing.T) string {
	t.Helper()
	w, err := theWorld()
	if err != nil {
		t.Fatal(err)
	}
	name := "db" + strconv.FormatInt(time.Now().UnixNano(), 36)
	if _, err := w.store.Create(name, pagestore.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return name
}
