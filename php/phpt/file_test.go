package phpt

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func parse(t *testing.T, text string) *Test {
	t.Helper()
	test, err := Parse("x/a.phpt", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return test
}

func TestParse(t *testing.T) {
	test := parse(t, "--TEST--\nname\n--FILE--\n<?php\n===DONE===\nleft out\n--EXPECT--\nout\n--GET--\na=1\n")
	if test.sections["FILE"] != "<?php\n===DONE===\n" || test.sections["EXPECT"] != "out\n" || !test.cgi() || test.flaky() {
		t.Errorf("%q", test)
	}
	if test := parse(t, "--TEST--\n--FILEEOF--\n<?php usleep(1)\r\n\n--EXPECTF--\n"); test.sections["FILE"] != "<?php usleep(1)" || test.cgi() || !test.flaky() {
		t.Errorf("%q", test)
	}
	for _, text := range []string{
		"", "text", "--TEST--\n", "--TEST--\n--FILE--\n", "--TEST--\n--EXPECT--\n", "--TEST--\n--FILE--\n--EXPECT--\n--NONE--\n",
		"--TEST--\n--FILE--\na\n--FILE--\nb\n--EXPECT--\n", "--TEST--\n--FILE--\n--EXPECT--\n--EXPECTF--\n", "--TEST--\n--FILE--\n--FILEEOF--\n--EXPECT--\n",
	} {
		if _, err := Parse("x", []byte(text)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// What is kept in another file is read from there, but not from elsewhere.
func TestExternal(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"s/a.phpt": "--TEST--\n--FILE_EXTERNAL--\na.inc\n--EXPECT_EXTERNAL--\nd/out\n",
		"s/b.phpt": "--TEST--\n--FILE_EXTERNAL--\n../secret\n--EXPECT--\n",
		"s/a.inc":  "script", "s/d/out": "output", "secret": "secret",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	test, err := Load(dir, "s/a.phpt")
	if err != nil || test.sections["FILE"] != "script" || test.sections["EXPECT"] != "output" {
		t.Errorf("%q, %v", test, err)
	}
	if test, err := Load(dir, "s/b.phpt"); err == nil {
		t.Errorf("%q", test)
	}
	if tests, err := Find(dir, "s"); err != nil || !slices.Equal(tests, []string{"s/a.phpt", "s/b.phpt"}) {
		t.Errorf("%q, %v", tests, err)
	}
}

func TestExpected(t *testing.T) {
	for _, c := range []struct {
		section, text, output string
		want                  bool
	}{
		{"EXPECT", "a%d\r\nb\n", "a%d\nb", true},
		{"EXPECT", "a", "b", false},
		{"EXPECTF", "%d [%s] %x %c%e%w.", "12 [a b] fF \xff/ \v.", true},
		{"EXPECTF", "%d", "-1", false},
		{"EXPECTF", "%i %i", "-1 +1", true},
		{"EXPECTF", "%f %f %f", "-1.5e+10 .5 2", true},
		{"EXPECTF", "a%Sb", "ab", true},
		{"EXPECTF", "a%sb", "ab", false},
		{"EXPECTF", "a%sb", "a\nb", false},
		{"EXPECTF", "a%Ab", "ab", true},
		{"EXPECTF", "a%ab", "a\n\nb", true},
		{"EXPECTF", "[%r(a|b)%r](c|d)", "[b](c|d)", true},
		{"EXPECTF", "[%r(a|b)%r](c|d)", "[b]c", false},
		{"EXPECTF", "100%r", "100%r", true},
		{"EXPECTF", "%0x", "\x00x", true},
		{"EXPECTF", "caf\xc3\xa9 \xff %s", "caf\xc3\xa9 \xff \xc3", true},
		{"EXPECTREGEX", `a(\d{2}|x)`, "a12", true},
		{"EXPECTREGEX", `a(\d{2}|x)`, "a1", false},
	} {
		test := &Test{Name: "x", sections: map[string]string{c.section: c.text}}
		if got, err := test.expected(c.output); got != c.want || err != nil {
			t.Errorf("%s %q, %q: %v, %v", c.section, c.text, c.output, got, err)
		}
	}
	test := &Test{Name: "x", sections: map[string]string{"EXPECTREGEX": "(?=a)("}}
	if _, err := test.expected("a"); err == nil {
		t.Error("no error for what is no pattern")
	}
}

func TestSettings(t *testing.T) {
	var s settings
	s.add("a=1\nb = x y \nextension=m\nno setting\r\na=2\nextension=n\nc=\"q'\\$v$HOME$1.\"\n")
	want := []string{"-d", "a=2", "-d", "b=x y", "-d", "extension=m", "-d", "extension=n", "-d", `c="q\'\.."`}
	// A backslash is escaped, and the shell takes that away and the variable with it.
	want[9] = `c="q\'\."`
	if got := s.args(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for text, want := range map[string][]string{
		"": nil, " a  'b c' \"d\\\"\\e\" f\\ g ''": {"a", "b c", "d\"\\e", "f g", ""}, "-x --y=1": {"-x", "--y=1"},
	} {
		if got := words(text); !slices.Equal(got, want) {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("--TEST--\nname\n--FILE--\n<?php\n--EXPECTF--\n%d %r(a|b)%r\n")
	f.Add("--TEST--\n--FILEEOF--\n--EXPECTREGEX--\n(\n--INI--\na=\"$b\n--POST_RAW--\nContent-Type: a\nb")
	f.Fuzz(func(t *testing.T, text string) {
		test, err := Parse("x/x.phpt", []byte(text))
		if err != nil {
			return
		}
		var s settings
		s.add(test.sections["INI"])
		if n := len(s.args()); n != 2*len(s.names) {
			t.Errorf("%d arguments for %d settings", n, len(s.names))
		}
		words(test.sections["ARGS"])
		env := test.environment("/x")
		test.request(env, "/x/x.php")
		output := strings.Trim(test.sections["EXPECT"], space)
		if ok, err := test.expected(lines(output)); test.has("EXPECT") && (!ok || err != nil) {
			t.Errorf("what is expected is not what is expected: %q, %v", output, err)
		}
	})
}
