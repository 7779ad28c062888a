package wordpress_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// aPhar is a program as WP-CLI is one: an archive that begins with a line for
// shells, asks who and where it is, reads and answers.
const aPhar = `
$p = new Phar('/srv/wp-content/wp-cli.phar');
$p['php/boot.php'] = <<<'X'
<?php
require 'phar://wp-cli.phar/php/tell.php';
require getenv('SITE') . '/wp-includes/version.php';
fwrite(STDERR, "told on the side\n");
echo json_encode(tell() + ['version' => $wp_version]), "\n";
exit(7);
X;
$p['php/tell.php'] = <<<'X'
<?php
function tell() {
	$path = null;
	foreach ($GLOBALS['argv'] as $a) if (strpos($a, '--path=') === 0) $path = substr($a, 7);
	chdir($path);
	return [
		'args' => array_slice($GLOBALS['argv'], 1), 'argc' => $GLOBALS['argc'], 'cwd' => getcwd(), 'stdin' => stream_get_contents(STDIN), 'sapi' => PHP_SAPI,
		'tty' => [stream_isatty(STDIN), stream_isatty(STDOUT)], 'phar' => Phar::running(), 'core' => is_readable('wp-load.php'), 'temp' => is_writable(sys_get_temp_dir()),
		'processes' => function_exists('proc_open') || function_exists('shell_exec'), 'limit' => ini_get('max_execution_time'), 'term' => getenv('TERM'),
		'database' => (new PDO('sqlite:/db/site.sqlite'))->query('SELECT 1 + 1')->fetchColumn(),
	];
}
X;
$p->setStub("#!/usr/bin/env php\n<?php Phar::mapPhar('wp-cli.phar'); require 'phar://wp-cli.phar/php/boot.php'; __HALT_COMPILER(); ?>");
echo count($p);`

// hako exec runs programs as WP-CLI beside the site.
func TestCommands(t *testing.T) {
	long(t)
	s := newSite(t)
	out := func(input string, args ...string) (stdout, stderr string, code int) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), s.hako, append([]string{"--data", filepath.Join(s.dir, ".hako"), "exec"}, args...)...)
		var o, e bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &o, &e
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return o.String(), e.String(), cmd.ProcessState.ExitCode()
	}
	if _, text, code := out("", s.name(), "wp", "core", "version"); code != 1 || !strings.Contains(text, "/tools/wp-cli.phar") {
		t.Errorf("without the program: %d, %q", code, text)
	}
	if n, text, code := out("", s.name(), "php", "-d", "phar.readonly=0", "-r", aPhar); n != "2" || code != 0 {
		t.Fatalf("make the program: %d, %q, %q", code, n, text)
	}
	if err := os.Rename(filepath.Join(s.dir, "wp-content/wp-cli.phar"), filepath.Join(s.dir, "tools/wp-cli.phar")); err != nil {
		t.Fatal(err)
	}
	text, side, code := out("from a pipe", "-i", "-e", "SITE=/srv", s.name(), "wp", "option", "get", "a b", "--format=json")
	var told struct {
		Args                          []string
		Argc                          int
		Cwd, Stdin, Sapi, Phar, Limit string
		TTY                           []bool
		Core, Temp, Processes         bool
		Database                      any
		Version                       string
	}
	if err := json.Unmarshal([]byte(text), &told); err != nil {
		t.Fatalf("%v: %q, %q", err, text, side)
	}
	if code != 7 || !strings.HasSuffix(side, "told on the side\n") {
		t.Errorf("it ended with %d, and on the side %q", code, side)
	}
	if strings.Join(told.Args, "|") != "--path=/srv|option|get|a b|--format=json" || told.Argc != 6 || told.Cwd != "/srv" || told.Stdin != "from a pipe" || told.Sapi != "cli" ||
		told.Phar != "phar:///tools/wp-cli.phar" || told.Limit != "0" || told.TTY[0] || told.TTY[1] || !told.Core || !told.Temp || told.Processes || told.Version == "" {
		t.Errorf("it tells %s", text)
	}
}
