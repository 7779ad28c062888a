package server

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	long     = flag.Bool("long", os.Getenv("HAKO_LONG") != "", "run the long forms of the tests")
	soakFor  = flag.Duration("soak", 0, "how long the soak takes; else some seconds, or with -long five minutes")
	binaries string // where this package's tests have their hako
)

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "hako-server-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaries = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// binary builds the command as it is delivered.
var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binaries, "hako")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", path, "../../cmd/hako")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build hako: %w\n%s", err, out)
	}
	return path, nil
})

// hako returns a command of hako's on a folder's data.
func hako(t *testing.T, data string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "HAKO_DATA="+data)
	return cmd
}

// output returns what a command of hako's prints.
func output(t *testing.T, data string, args ...string) string {
	t.Helper()
	cmd := hako(t, data, args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("hako %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return string(out)
}

// A process is a running hako up.
type process struct {
	t         *testing.T
	cmd       *exec.Cmd
	addresses []string      // in the order of the configuration
	done      chan struct{} // closed when its log has ended

	mu  sync.Mutex
	log []string // the last lines
}

// up starts hako up and waits until it says that it serves.
func up(t *testing.T, dir, data string) *process {
	t.Helper()
	p := &process{t: t, cmd: hako(t, data, "up", "--name", "tested", dir), done: make(chan struct{})}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	serving := make(chan []string, 1)
	go p.read(stderr, serving)
	select {
	case p.addresses = <-serving:
	case <-p.done:
		t.Fatalf("hako up ended: %v\n%s", p.cmd.Wait(), p.tail())
	case <-time.After(2 * time.Minute):
		t.Fatalf("hako up does not serve\n%s", p.tail())
	}
	return p
}

// read keeps the log's last lines and finds the addresses in it.
func (p *process) read(r io.Reader, serving chan<- []string) {
	defer close(p.done)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		line := lines.Text()
		if _, rest, ok := strings.Cut(line, "msg=serving on="); ok && serving != nil {
			rest, _, _ = strings.Cut(rest, " config=")
			serving <- strings.Fields(strings.Trim(rest, `"`))
			serving = nil
		}
		p.mu.Lock()
		if p.log = append(p.log, line); len(p.log) > 100 {
			p.log = p.log[1:]
		}
		p.mu.Unlock()
	}
}

func (p *process) tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.log, "\n")
}

// kill ends the process at once, as a crash does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
	_ = p.cmd.Wait()
}

// stop ends it as an operator does.
func (p *process) stop() {
	p.t.Helper()
	_ = p.cmd.Process.Signal(os.Interrupt)
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		p.kill()
		p.t.Errorf("hako up does not end\n%s", p.tail())
		return
	}
	var exit *exec.ExitError
	if err := p.cmd.Wait(); err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 130) {
		p.t.Errorf("hako up: %v\n%s", err, p.tail())
	}
}

// fetch makes a request and returns its status and body.
func fetch(ctx context.Context, client *http.Client, method, url string, body io.Reader) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return 0, "", err
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// libhakosqlite returns the folder of SQLite for C guests.
var libhakosqlite = sync.OnceValues(func() (string, error) {
	cmd := exec.Command("../../sqlite/guest/build.sh")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("build libhakosqlite.a: %w\n%s", err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
})
