package phpt

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// An Outcome is what became of a test.
type Outcome string

// The outcomes of tests.
const (
	Passed  Outcome = "pass"
	Failed  Outcome = "fail"
	Skipped Outcome = "skip"  // it says that it is not for this PHP
	Known   Outcome = "xfail" // it failed, as it says itself
)

// A Result is how a test went.
type Result struct {
	Test    string
	Outcome Outcome
	Reason  string // why it was skipped, or why PHP ended otherwise than by itself
	Output  string // of a test that failed
}

// A Tree is a copy of PHP's source tree, as far as it is for tests. It runs one
// test at a time.
type Tree struct {
	Root string
	on   Interpreter
	have []string          // extensions
	skip map[string]string // what SKIPIF sections printed, by folder, PHP and text
}

// NewTree returns the tree in the folder root, for tests on an interpreter.
func NewTree(ctx context.Context, root string, on Interpreter) (*Tree, error) {
	have, err := extensions(ctx, on, root, nil)
	return &Tree{Root: root, on: on, have: have, skip: map[string]string{}}, err
}

// conflicting is held by tests that take something of the machine that others
// want too, such as a port.
var conflicting sync.Mutex

// Run runs a test. Files that it leaves behind stay in the tree.
func (tr *Tree) Run(ctx context.Context, t *Test) Result {
	if t.has("CONFLICTS") {
		conflicting.Lock()
		defer conflicting.Unlock()
	}
	r := tr.once(ctx, t)
	if r.Outcome == Failed && (t.flaky() || flakyOutput.MatchString(r.Output)) {
		r = tr.once(ctx, t)
	}
	if t.has("XFAIL") && r.Outcome == Failed {
		r.Outcome, r.Reason = Known, strings.TrimSpace(t.sections["XFAIL"])
	}
	return r
}

var flakyOutput = regexp.MustCompile(`(?i)\b(404: page not found|address already in use|connection refused|deadlock|mailbox already exists|timed out)\b`)

var (
	mailSetting = regexp.MustCompile(`\{MAIL:(\S+)\}`)
	envSetting  = regexp.MustCompile(`\{ENV:(\S+)\}`)
	skipReason  = regexp.MustCompile(`(?i)^skip\s*(.*)`)
	cgiHead     = regexp.MustCompile(`(?s)^(.*?)\r?\n\r?\n(.*)`)
)

func (tr *Tree) once(ctx context.Context, t *Test) Result {
	result := func(o Outcome, reason string) Result { return Result{Test: t.Name, Outcome: o, Reason: reason} }
	if t.has("PHPDBG") || t.has("REDIRECTTEST") {
		return result(Skipped, "it is for another program than php and php-cgi")
	}
	dir := path.Join(tr.on.Prefix(tr.Root)+"/", path.Dir(t.Name))
	base := path.Base(t.Name)
	base = strings.TrimSuffix(base, "phpt")

	var general settings
	missing := []string{}
	for ext := range strings.FieldsSeq(t.sections["EXTENSIONS"]) {
		if slices.Contains(tr.have, ext) {
			continue
		}
		kind := "extension="
		if ext == "opcache" {
			kind = "zend_extension="
		}
		if file := tr.on.Module(ext); file != "" {
			general.add(kind + file)
		} else {
			missing = append(missing, ext)
		}
	}
	if len(missing) > 0 {
		return result(Skipped, "extensions missing: "+strings.Join(missing, ", "))
	}
	general.add(defaults)
	own := settings{slices.Clone(general.names), slices.Clone(general.values)}
	ini := strings.NewReplacer("{PWD}", dir, "{TMP}", "/tmp").Replace(t.sections["INI"])
	if envSetting.MatchString(ini) {
		return result(Skipped, "it wants a variable to be set")
	}
	own.add(mailSetting.ReplaceAllString(ini, "tee $1 >/dev/null"))

	env := t.environment(dir)
	if t.full("SKIPIF") {
		out := tr.skipIf(ctx, t, general, env, base)
		switch low := strings.ToLower(out); {
		case strings.HasPrefix(low, "skip"):
			return result(Skipped, strings.TrimSpace(skipReason.FindStringSubmatch(firstLine(out))[1]))
		case strings.HasPrefix(low, "xfail"):
			t.sections["XFAIL"] = strings.TrimSpace(out[5:])
		case strings.HasPrefix(low, "flaky"):
			t.sections["FLAKY"] = strings.TrimSpace(out[5:])
		case strings.HasPrefix(low, "info"), strings.HasPrefix(low, "warn"), strings.HasPrefix(low, "xleak"), out == "":
		default:
			r := result(Failed, "its SKIPIF section prints something else")
			r.Output = out
			return r
		}
	}

	script := base + "php"
	defer tr.write(t, script, t.sections["FILE"])()
	args := own.args()
	if t.cgi() {
		args = append([]string{"-C"}, args...)
	}
	args = append(args, "-f", path.Join(dir, script))
	if t.has("ARGS") && !t.full("POST") && !t.full("POST_RAW") && !t.full("PUT") {
		args = append(append(args, "--"), words(t.sections["ARGS"])...)
	}
	stdin := t.request(env, path.Join(dir, script))
	var stdout, stderr strings.Builder
	c := Command{Root: tr.Root, CGI: t.cgi(), Args: args, Env: env.list(), Stdin: stdin, Stdout: &stdout, Stderr: &stdout}
	if t.has("CAPTURE_STDIO") {
		capture := strings.ToUpper(t.sections["CAPTURE_STDIO"])
		switch out, err := strings.Contains(capture, "STDOUT"), strings.Contains(capture, "STDERR"); {
		case out && !err:
			c.Stderr = nil
		case err && !out:
			c.Stdout, c.Stderr = nil, &stderr
		case !err:
			c.Stdout, c.Stderr = nil, nil
		}
	}
	err := tr.on.Run(ctx, c)
	if t.full("CLEAN") {
		remove := tr.write(t, base+"clean.php", strings.Trim(t.sections["CLEAN"], space))
		// What it prints and how it ends changes nothing.
		_ = tr.on.Run(ctx, Command{Root: tr.Root, Env: t.environment(dir).list(), Args: append([]string{"-q"}, append(general.args(), path.Join(dir, base+"clean.php"))...)})
		remove()
	}
	all := stdout.String() + stderr.String()
	if err != nil {
		all += "\nTermsig: " + err.Error() + "\n"
	}
	output, headersOK := lines(strings.Trim(all, space)), true
	if t.cgi() {
		m := cgiHead.FindStringSubmatch(all)
		if m != nil {
			output = strings.Trim(lines(m[2]), space)
			headersOK = t.headers(m[1])
		} else {
			headersOK = !t.has("EXPECTHEADERS")
		}
	}
	ok, matchErr := t.expected(output)
	if ok && headersOK {
		return result(Passed, "")
	}
	r := result(Failed, "")
	if err := errors.Join(err, matchErr); err != nil {
		r.Reason = firstLine(err.Error())
	} else if ok {
		r.Reason = "the headers differ"
	}
	r.Output = output
	if !headersOK {
		r.Output = lines(all)
	}
	return r
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// skipIf runs the SKIPIF section, unless one that is the same was run in this
// folder before.
func (tr *Tree) skipIf(ctx context.Context, t *Test, general settings, env environment, base string) string {
	code := t.sections["SKIPIF"]
	key := strings.Join([]string{path.Dir(t.Name), strconv.FormatBool(t.cgi()), t.sections["EXTENSIONS"], t.sections["ENV"], code}, "\x00")
	if out, ok := tr.skip[key]; ok {
		return out
	}
	dir := path.Join(tr.on.Prefix(tr.Root)+"/", path.Dir(t.Name))
	defer tr.write(t, base+"skip.php", code)()
	args := append([]string{"-q"}, general.args()...)
	if t.cgi() {
		args = append([]string{"-C"}, args...)
	}
	args = append(args, "-d", "opcache.file_cache=", "-d", "opcache.file_cache_only=0", "-d", "display_errors=1", "-d", "display_startup_errors=0", path.Join(dir, base+"skip.php"))
	var out strings.Builder
	if err := tr.on.Run(ctx, Command{Root: tr.Root, CGI: t.cgi(), Args: args, Env: env.list(), Stdout: &out, Stderr: &out}); err != nil {
		out.WriteString(err.Error())
	}
	text := strings.Trim(out.String(), space)
	if strings.HasPrefix(text, "nocache") {
		return ""
	}
	tr.skip[key] = text
	return text
}

// write puts a script beside a test and returns what removes it.
func (tr *Tree) write(t *Test, base, text string) func() {
	file := filepath.Join(tr.Root, filepath.FromSlash(path.Dir(t.Name)), base)
	// A script that cannot be written is one that prints nothing.
	_ = os.WriteFile(file, []byte(text), 0o644)
	return func() { os.Remove(file) }
}

// environment are variables.
type environment map[string]string

func (e environment) list() (list []string) {
	for name, value := range e {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}

// environment is what the test's commands have, before there is a request.
func (t *Test) environment(dir string) environment {
	env := environment{"TZ": "", "SKIP_ONLINE_TESTS": "1", "SKIP_IO_CAPTURE_TESTS": "1", "SKIP_SLOW_TESTS": "1", "SKIP_PERF_SENSITIVE": "1", "NO_INTERACTION": "1"}
	for line := range strings.Lines(strings.ReplaceAll(t.sections["ENV"], "{PWD}", dir)) {
		if name, value, ok := strings.Cut(strings.Trim(line, space), "="); ok && name != "" {
			env[name] = value
		}
	}
	return env
}

// request adds the request to the variables and returns what standard input
// has.
func (t *Test) request(env environment, script string) []byte {
	set := func(name, value string) {
		if env[name] == "" {
			env[name] = value
		}
	}
	trimmed := func(section string) string { return strings.Trim(t.sections[section], space) }
	env["REDIRECT_STATUS"] = "1"
	set("QUERY_STRING", trimmed("GET"))
	set("PATH_TRANSLATED", script)
	set("SCRIPT_FILENAME", script)
	env["HTTP_COOKIE"] = trimmed("COOKIE")
	body := []byte(nil)
	switch {
	case t.full("POST_RAW"), t.full("PUT"):
		section := "PUT"
		if t.full("POST_RAW") {
			section = "POST_RAW"
		}
		var rest []string
		for _, line := range strings.Split(trimmed(section), "\n") {
			if name, value, ok := strings.Cut(line, ":"); ok && env["CONTENT_TYPE"] == "" && strings.EqualFold(name, "Content-Type") {
				env["CONTENT_TYPE"] = strings.ReplaceAll(strings.Trim(value, space), "\r", "")
				continue
			}
			rest = append(rest, line)
		}
		body = []byte(strings.Join(rest, "\n"))
		env["CONTENT_LENGTH"] = strconv.Itoa(len(body))
		if section == "PUT" {
			env["REQUEST_METHOD"] = "PUT"
		}
		set("REQUEST_METHOD", "POST")
	case t.full("POST"):
		body = []byte(trimmed("POST"))
		env["REQUEST_METHOD"] = "POST"
		set("CONTENT_TYPE", "application/x-www-form-urlencoded")
		set("CONTENT_LENGTH", strconv.Itoa(len(body)))
	case t.full("GZIP_POST"), t.full("DEFLATE_POST"):
		var b bytes.Buffer
		var w io.WriteCloser = zlib.NewWriter(&b)
		env["HTTP_CONTENT_ENCODING"] = "deflate"
		if t.full("GZIP_POST") {
			w, env["HTTP_CONTENT_ENCODING"] = gzip.NewWriter(&b), "gzip"
		}
		_, _ = io.WriteString(w, trimmed("GZIP_POST")+trimmed("DEFLATE_POST")) // to memory
		_ = w.Close()
		body = b.Bytes()
		env["REQUEST_METHOD"], env["CONTENT_TYPE"] = "POST", "application/x-www-form-urlencoded"
		env["CONTENT_LENGTH"] = strconv.Itoa(len(body))
	default:
		env["REQUEST_METHOD"], env["CONTENT_TYPE"], env["CONTENT_LENGTH"] = "GET", "", ""
		body = []byte(t.sections["STDIN"])
	}
	return body
}
