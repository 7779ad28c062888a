package phpt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A puppet is an interpreter that does what a function says with a script.
type puppet func(c Command, script string) (string, error)

func (p puppet) Prefix(root string) string { return "/guest" }

func (p puppet) Module(extension string) string {
	if extension == "opcache" {
		return "/opcache.so"
	}
	return ""
}

func (p puppet) Run(_ context.Context, c Command) error {
	text := ""
	for _, arg := range c.Args {
		if strings.HasPrefix(arg, "echo implode") {
			_, err := io.WriteString(c.Stdout, "Core,PDO,Zend OPcache2")
			return err
		}
		if file, ok := strings.CutPrefix(arg, "/guest"); ok {
			b, err := os.ReadFile(filepath.Join(c.Root, file))
			if err != nil {
				return err
			}
			text = string(b)
		}
	}
	out, err := p(c, text)
	if c.Stdout != nil {
		if _, err := io.WriteString(c.Stdout, out); err != nil {
			return err
		}
	}
	return err
}

// run runs the text of a test on a puppet.
func run(t *testing.T, p puppet, text string) Result {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	tree, err := NewTree(t.Context(), root, p)
	if err != nil {
		t.Fatal(err)
	}
	r := tree.Run(t.Context(), parse(t, text))
	if files, err := os.ReadDir(filepath.Join(root, "x")); len(files) > 0 || err != nil {
		t.Errorf("files stay behind: %v, %v", files, err)
	}
	return r
}

func TestRun(t *testing.T) {
	echo := func(c Command, script string) (string, error) { return script, nil }
	for _, c := range []struct {
		name, text string
		do         puppet
		outcome    Outcome
		reason     string
	}{
		{"pass", "--TEST--\n--FILE--\n a\r\nb\n--EXPECT--\na\nb\n", echo, Passed, ""},
		{"fail", "--TEST--\n--FILE--\na\n--EXPECT--\nb\n", echo, Failed, ""},
		{"known", "--TEST--\n--FILE--\na\n--EXPECT--\nb\n--XFAIL--\nwhy\n", echo, Known, "why"},
		{"skip", "--TEST--\n--SKIPIF--\nskip as it is\n--FILE--\n--EXPECT--\n", echo, Skipped, "as it is"},
		{"skip that is no skip", "--TEST--\n--SKIPIF--\nNotice\n--FILE--\n--EXPECT--\n", echo, Failed, "SKIPIF"},
		{"known by skip", "--TEST--\n--SKIPIF--\nxfail why\n--FILE--\na\n--EXPECT--\nb\n", echo, Known, "why"},
		{"extension", "--TEST--\n--EXTENSIONS--\npdo\ngd\n--FILE--\n--EXPECT--\n", echo, Skipped, "gd"},
		{"trap", "--TEST--\n--FILE--\na\n--EXPECT--\na\n", func(Command, string) (string, error) { return "a", errors.New("a trap") }, Failed, "a trap"},
		{"pattern", "--TEST--\n--FILE--\na\n--EXPECTREGEX--\n(\n", echo, Failed, "should print"},
		{"headers", "--TEST--\n--CGI--\n--FILE--\nX: y\n\na\n--EXPECTHEADERS--\nX: y\n--EXPECT--\na\n", echo, Passed, ""},
		{"other headers", "--TEST--\n--CGI--\n--FILE--\nX: y\n\na\n--EXPECTHEADERS--\nX: z\n--EXPECT--\na\n", echo, Failed, "headers"},
		{"debugger", "--TEST--\n--PHPDBG--\n--EXPECT--\n", echo, Skipped, "another program"},
	} {
		if r := run(t, c.do, c.text); r.Outcome != c.outcome || !strings.Contains(r.Reason, c.reason) || r.Test != "x/a.phpt" {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}

// What depends on the time is given a second try, others are not.
func TestRetry(t *testing.T) {
	for script, want := range map[string]int{"usleep(1);": 2, "none": 1} {
		n := 0
		r := run(t, func(Command, string) (string, error) { n++; return fmt.Sprint(n), nil }, "--TEST--\n--FILE--\n"+script+"\n--EXPECT--\n2\n")
		if n != want || (r.Outcome == Passed) != (want == 2) {
			t.Errorf("%s: run %d times, %+v", script, n, r)
		}
	}
}

// What a script is given.
func TestCommand(t *testing.T) {
	var got []Command
	do := func(c Command, script string) (string, error) {
		got = append(got, c)
		return "", nil
	}
	run(t, do, "--TEST--\n--EXTENSIONS--\nopcache\n--INI--\na={PWD} {TMP}\nprecision=3\n--ENV--\nX={PWD}/y\n--ARGS--\n-a 'b c'\n--STDIN--\nin\n--FILE--\n--EXPECT--\n--CLEAN--\nclean\n--SKIPIF--\nx\n")
	got = got[1:] // the first is the section SKIPIF
	c := got[0]
	if c.CGI || !slices.Contains(c.Args, "a=/guest/x /tmp") || !slices.Contains(c.Args, "zend_extension=/opcache.so") || !slices.Contains(c.Args, "precision=3") ||
		slices.Contains(c.Args, "precision=14") || !slices.Equal(c.Args[len(c.Args)-5:], []string{"-f", "/guest/x/a.php", "--", "-a", "b c"}) ||
		string(c.Stdin) != "in\n" || !slices.Contains(c.Env, "X=/guest/x/y") {
		t.Errorf("%+v", c)
	}
	if len(got) != 2 || got[1].Args[len(got[1].Args)-1] != "/guest/x/a.clean.php" || slices.Contains(got[1].Args, "precision=3") {
		t.Errorf("%+v", got)
	}
	got = nil
	run(t, do, "--TEST--\n--GET--\nq=1\n--COOKIE--\nc=2\n--POST_RAW--\nContent-Type: text/plain\na\nb\n--FILE--\n--EXPECT--\n")
	c = got[0]
	if !c.CGI || c.Args[0] != "-C" || string(c.Stdin) != "a\nb" {
		t.Errorf("%+v", c)
	}
	for _, v := range []string{"QUERY_STRING=q=1", "HTTP_COOKIE=c=2", "CONTENT_TYPE=text/plain", "CONTENT_LENGTH=3", "REQUEST_METHOD=POST", "SCRIPT_FILENAME=/guest/x/a.php"} {
		if !slices.Contains(c.Env, v) {
			t.Errorf("%s is not among %q", v, c.Env)
		}
	}
}

// Tests are run in a copy of their folder, those of a folder by turns.
func TestSuite(t *testing.T) {
	source := t.TempDir()
	var names []string
	for i := range 20 {
		name := fmt.Sprintf("tests/lang/%d/x.phpt", i%10)
		if i < 10 {
			name = fmt.Sprintf("tests/lang/%d.phpt", i)
		}
		if err := os.MkdirAll(filepath.Join(source, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(source, name), []byte(fmt.Sprintf("--TEST--\n--FILE--\n%d\n--EXPECT--\n%d\n", i, i%10)), 0o644); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	for _, folder := range []string{"ext/pdo/tests", "ext/standard/tests/http", "sapi/cli/tests"} {
		if err := os.MkdirAll(filepath.Join(source, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	roots := map[string]bool{}
	s := Suite{Source: source, Workers: 3, On: puppet(func(c Command, script string) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		roots[c.Root] = true
		return script, nil
	})}
	progress := 0
	s.Progress = func(Result, int, int) { progress++ }
	results, err := s.Run(t.Context(), names)
	if err != nil || len(results) != 20 || progress != 20 {
		t.Fatalf("%d results, %d calls, %v", len(results), progress, err)
	}
	slices.Sort(names)
	for i, r := range results {
		if r.Test != names[i] || (r.Outcome == Passed) == strings.HasSuffix(r.Test, "/x.phpt") {
			t.Errorf("%+v", r)
		}
	}
	for root := range roots {
		if _, err := os.Stat(root); err == nil {
			t.Errorf("%s is still there", root)
		}
	}
	if _, err := s.Run(t.Context(), []string{"elsewhere/x.phpt"}); err == nil {
		t.Error("no error for a test of no set")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Run(ctx, names); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
