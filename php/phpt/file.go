package phpt

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// A Test is a .phpt file.
type Test struct {
	Name     string // its path in the source tree, such as Zend/tests/001.phpt
	sections map[string]string
}

// ErrMalformed means that a file is no test.
var ErrMalformed = errors.New("malformed test")

// known are the sections that there are.
var known = map[string]bool{}

func init() {
	for _, name := range strings.Fields(`TEST EXPECT EXPECTF EXPECTREGEX EXPECT_EXTERNAL EXPECTF_EXTERNAL
		EXPECTREGEX_EXTERNAL EXPECTHEADERS POST POST_RAW GZIP_POST DEFLATE_POST PUT GET COOKIE ARGS FILE FILEEOF
		FILE_EXTERNAL REDIRECTTEST CAPTURE_STDIO STDIN CGI PHPDBG INI ENV EXTENSIONS SKIPIF XFAIL XLEAK CLEAN
		CREDITS DESCRIPTION CONFLICTS WHITESPACE_SENSITIVE FLAKY`) {
		known[name] = true
	}
}

var (
	heading = regexp.MustCompile(`^--([_A-Z]+)--`)
	done    = regexp.MustCompile(`^===DONE===\s*$`)
)

// Parse reads a test's text. Sections that are kept in files of their own are
// not read.
func Parse(name string, text []byte) (*Test, error) {
	fail := func(format string, args ...any) (*Test, error) {
		return nil, fmt.Errorf("test %s: %w: %s", name, ErrMalformed, fmt.Sprintf(format, args...))
	}
	if !bytes.HasPrefix(text, []byte("--TEST--")) {
		return fail("it does not begin with --TEST--")
	}
	t := &Test{Name: name, sections: map[string]string{}}
	section, isFile, isDone := "", false, false
	var content []byte
	for line := range bytes.Lines(text) {
		if m := heading.FindSubmatch(line); m != nil {
			if section != "" {
				t.sections[section] = string(content)
			}
			section, content = string(m[1]), nil
			if t.sections[section] != "" {
				return fail("there are two sections %s", section)
			}
			if !known[section] {
				return fail("section %s is unknown", section)
			}
			isFile, isDone = strings.HasPrefix(section, "FILE"), false
			continue
		}
		if !isDone {
			content = append(content, line...)
		}
		isDone = isDone || isFile && done.Match(line)
	}
	t.sections[section] = string(content)
	if t.has("REDIRECTTEST") || t.has("PHPDBG") {
		return t, nil
	}
	if t.count("FILE", "FILEEOF", "FILE_EXTERNAL") != 1 {
		return fail("it has not exactly one script")
	}
	if t.has("FILEEOF") {
		t.sections["FILE"] = strings.TrimRight(t.sections["FILEEOF"], "\r\n")
	}
	if t.count("EXPECT", "EXPECTF", "EXPECTREGEX", "EXPECT_EXTERNAL", "EXPECTF_EXTERNAL", "EXPECTREGEX_EXTERNAL") != 1 {
		return fail("it does not say in exactly one way what it prints")
	}
	return t, nil
}

// Load reads the test name of a source tree, with what it keeps in other files.
func Load(root, name string) (*Test, error) {
	b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	t, err := Parse(name, b)
	if err != nil {
		return nil, err
	}
	for _, section := range []string{"FILE", "EXPECT", "EXPECTF", "EXPECTREGEX"} {
		file, ok := t.sections[section+"_EXTERNAL"]
		if !ok {
			continue
		}
		// Nothing but what is beside the test or below.
		file = strings.TrimSpace(strings.ReplaceAll(file, "..", ""))
		b, err := os.ReadFile(filepath.Join(root, filepath.Dir(filepath.FromSlash(name)), file))
		if err != nil {
			return nil, fmt.Errorf("test %s: section %s: %w", name, section, err)
		}
		t.sections[section] = string(b)
	}
	return t, nil
}

func (t *Test) has(section string) bool {
	_, ok := t.sections[section]
	return ok
}

// full tells whether a section has something in it. PHP takes "0" for nothing.
func (t *Test) full(section string) bool {
	s := t.sections[section]
	return s != "" && s != "0"
}

func (t *Test) count(sections ...string) (n int) {
	for _, s := range sections {
		if t.has(s) {
			n++
		}
	}
	return n
}

// cgi tells whether the test is one of requests.
func (t *Test) cgi() bool {
	if t.has("CGI") {
		return true
	}
	for _, s := range []string{"GET", "POST", "GZIP_POST", "DEFLATE_POST", "POST_RAW", "PUT", "COOKIE", "EXPECTHEADERS"} {
		if t.full(s) {
			return true
		}
	}
	return false
}

var flaky = regexp.MustCompile(`(?i)\b(disk_free_space|hrtime|microtime|sleep|usleep)\(`)

// flaky tells whether the test may fail once for reasons of time.
func (t *Test) flaky() bool {
	return t.has("FLAKY") || strings.Contains(t.sections["SKIPIF"], "SKIP_PERF_SENSITIVE") || flaky.MatchString(t.sections["FILE"])
}
