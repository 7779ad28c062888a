// Package wordpress_test holds a WordPress site against what its users expect:
// over HTTP, in a browser, under load, and after the server was killed.
package wordpress_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hako-run/hako/php"
)

// long skips a test unless HAKO_LONG is set: each begins with an empty site and
// installs it.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("HAKO_LONG") == "" {
		t.Skip("HAKO_LONG is not set")
	}
}

var built = flag.String("hako", "", "test this `program`; without, one is built")

// tools are built once for all tests.
var tools = sync.OnceValues(func() (t struct{ hako, php string }, err error) {
	t.php, err = php.Build()
	if err != nil || *built != "" {
		t.hako = *built
		return t, err
	}
	dir, err := os.MkdirTemp("", "hako-wordpress-")
	if err != nil {
		return t, err
	}
	t.hako = filepath.Join(dir, "hako")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", t.hako, "../../cmd/hako")
	if b, err := build.CombinedOutput(); err != nil {
		return t, fmt.Errorf("build hako: %w: %s", err, b)
	}
	return t, nil
})

// script runs one of the project's scripts and returns the last line of its
// output.
func script(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, stderr.Bytes())
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1], nil
}

func TestMain(m *testing.M) {
	code := m.Run()
	if os.Getenv("HAKO_LONG") != "" {
		if t, _ := tools(); t.hako != "" && *built == "" {
			os.RemoveAll(filepath.Dir(t.hako))
		}
	}
	os.Exit(code)
}

// A site is a folder made by hako init wordpress, and the server that serves
// it.
type site struct {
	t      *testing.T
	hako   string
	dir    string
	url    string
	server *exec.Cmd
	log    *log
}

// log keeps what the server writes.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// errors returns lines that tell of something wrong.
func (l *log) errors() (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := bufio.NewScanner(bytes.NewReader(l.text.Bytes())); s.Scan(); {
		line := s.Text()
		for _, sign := range []string{"PHP Fatal", "PHP Warning", "PHP Parse", "PHP Recoverable", "WordPress database error", "database is locked", "level=ERROR", "trap", "panic"} {
			if strings.Contains(line, sign) && !strings.Contains(line, "was not sent: SMTP_URL") {
				lines = append(lines, line)
				break
			}
		}
	}
	return lines
}

// newSite makes a site and serves it; it is not installed yet. Each change is
// made to its hako.toml.
func newSite(t *testing.T, changes ...func(toml string) string) *site {
	t.Helper()
	tools, err := tools()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	s := &site{t: t, hako: tools.hako, dir: filepath.Join(t.TempDir(), "site"), url: "http://" + address, log: &log{}}
	s.run("init", "wordpress", "--listen", address, "--php", filepath.Join(tools.php, php.Worker), "--php-cli", filepath.Join(tools.php, php.CLI), s.dir)
	s.keepCompiled()
	for _, change := range changes {
		file := filepath.Join(s.dir, "hako.toml")
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		changed := change(string(b))
		if changed == string(b) {
			t.Fatalf("hako.toml was not changed:\n%s", b)
		}
		if err := os.WriteFile(file, []byte(changed), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		s.stop(os.Interrupt)
		if t.Failed() {
			s.log.mu.Lock()
			defer s.log.mu.Unlock()
			text := s.log.text.Bytes()
			t.Logf("the server's log ends with\n%s", text[max(0, len(text)-8000):])
		}
	})
	s.up()
	return s
}

// keepCompiled keeps what is compiled from one run of the tests to the next.
func (s *site) keepCompiled() {
	s.t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		s.t.Fatal(err)
	}
	compiled := filepath.Join(cache, "hako", "compiled")
	for _, folder := range []string{compiled, filepath.Join(s.dir, ".hako")} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := os.Symlink(compiled, filepath.Join(s.dir, ".hako/compiled")); err != nil {
		s.t.Fatal(err)
	}
}

// up starts the server and waits until it answers.
func (s *site) up() {
	s.t.Helper()
	s.server = exec.Command(s.hako, "up", s.dir)
	s.server.Stdout, s.server.Stderr = io.Discard, s.log
	if *keep != "" {
		f, err := os.OpenFile(filepath.Join(*keep, s.t.Name()+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { f.Close() })
		s.server.Stdout, s.server.Stderr = f, io.MultiWriter(s.log, f)
	}
	if err := s.server.Start(); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(8 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		resp, err := http.Get(s.url + "/wp-includes/images/blank.gif")
		if err == nil {
			resp.Body.Close()
			return
		}
		if time.Now().After(deadline) || s.server.ProcessState != nil {
			s.t.Fatalf("the server does not answer: %v\n%s", err, s.log.text.Bytes())
		}
	}
}

// stop ends the server by a signal and waits until it has ended.
func (s *site) stop(sig os.Signal) {
	if s.server == nil {
		return
	}
	_ = s.server.Process.Signal(sig)
	err := s.server.Wait()
	s.server = nil
	var exit *exec.ExitError
	if sig != syscall.SIGKILL && errors.As(err, &exit) && exit.ExitCode() != 130 {
		s.t.Errorf("the server ended with %v", err)
	}
}

// run runs a hako command on the site's data and returns its output.
func (s *site) run(args ...string) string {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), s.hako, append([]string{"--data", filepath.Join(s.dir, ".hako")}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("hako %s: %v: %s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return string(out)
}

// within bounds what a test waits for.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
