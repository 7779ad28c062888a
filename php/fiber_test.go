package php

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hako-run/hako/app"
)

const fibers = `<?php
function numbers($from) { for ($i = $from;; $i++) $got = Fiber::suspend([$i, $got ?? null]); }
$all = [];
for ($i = 0; $i < 50; $i++) ($all[$i] = new Fiber('numbers'))->start($i * 100);
$sum = 0;
for ($round = 1; $round < 20; $round++) {
	foreach ($all as $i => $f) {
		[$n, $got] = $f->resume($round);
		if ($n !== $i * 100 + $round || $got !== $round) exit("fiber $i, round $round: $n, $got");
		$sum += $n;
	}
}
echo $sum, ' ', $_GET['x'] ?? '';
if (isset($_GET['leave'])) { $GLOBALS['left'] = $all; } // for the end of the request
`

// Fibers are each request's own, also where the warm-up had some.
func TestFibers(t *testing.T) {
	modes(t, func(t *testing.T, session bool) {
		s := serve(t, files{"fibers.php": fibers}, func(c *app.ServiceConfig) {
			c.Session, c.Warm = session, []string{"/fibers.php", "/fibers.php?leave=1"}
		})
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for i := range 10 {
					x := strings.Repeat("x", g*10+i)
					a, err := s.do("GET", "/fibers.php?x="+x+[]string{"", "&leave=1"}[i%2], nil)
					if err != nil || a.StatusCode != 200 || a.body != "2337000 "+x {
						t.Errorf("%v: %v\n%s", err, a, s.log)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

// What goes wrong in a fiber is as elsewhere.
func TestFiberErrors(t *testing.T) {
	s := serve(t, files{"ok.php": `<?php echo 'ok';`}, func(c *app.ServiceConfig) {
		c.Spec.Limits.CPU = 20 * time.Second
	})
	for _, c := range []struct {
		script string
		status int
		body   string
		log    string
	}{
		{`try { start(fn() => throw new Exception('x')); } catch (Exception $e) { echo 'caught'; }`, 200, "caught", ""},
		{`start(fn() => throw new Exception('in a fiber'));`, 500, "", "Uncaught Exception: in a fiber"},
		{`start(function () { set_time_limit(1); while (true); });`, 500, "", "Maximum execution time of 1 second exceeded"},
		{`start(function () { ini_set('memory_limit', '8M'); $a = []; while (true) $a[] = str_repeat('x', 1000); });`, 500, "", "Allowed memory size of 8388608 bytes"},
		{`start(function () { function g($x) { return array_map('g', [$x]); } g(1); });`, 500, "", "Maximum call stack size"},
		{`start(function () { echo 'a'; exit; });`, 200, "a", ""},
		{`start(function () { try { Fiber::suspend(); } finally { echo 'left'; } });`, 200, "left", ""},
		{`ini_set('fiber.stack_size', '1024'); try { start(fn() => 1); } catch (Exception $e) { echo 'small'; }`, 200, "small", ""},
		{`$all = []; try { while (true) $all[] = start(fn() => Fiber::suspend()); } catch (Exception $e) { echo count($all) > 100, $e->getMessage(); }`, 200, "1Fiber stack allocate failed: out of memory", ""},
	} {
		s.write("case.php", "<?php function start($f) { $f = new Fiber($f); $f->start(); return $f; } "+c.script)
		a, err := s.do("GET", "/case.php", nil)
		if err != nil || a.StatusCode != c.status || !strings.Contains(a.body, c.body) {
			t.Errorf("%s: %v, %d %q, want %d %q\n%s", c.script, err, a.StatusCode, a.body, c.status, c.body, s.log)
		}
		if c.log != "" {
			s.logged(c.log)
		}
		s.want("/ok.php", 200, "ok")
	}
	if strings.Contains(s.log.String(), "app failed") {
		t.Errorf("a guest trapped:\n%s", s.log)
	}
}
