package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// tick is the unit of processor time in /proc: USER_HZ, which Linux fixes.
const tick = 10 * time.Millisecond

// cpu returns the processor time that a server's processes have taken.
func (s *server) cpu() (sum time.Duration, err error) {
	pids := []int{s.cmd.Process.Pid}
	for i := 0; i < len(pids); i++ {
		children, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pids[i]))
		if err != nil {
			return 0, err
		}
		for _, file := range children {
			b, err := os.ReadFile(file)
			if err != nil {
				continue // a thread that has ended
			}
			for _, field := range strings.Fields(string(b)) {
				pid, err := strconv.Atoi(field)
				if err != nil {
					return 0, err
				}
				pids = append(pids, pid)
			}
		}
	}
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		_, rest, _ := bytes.Cut(b, []byte(") ")) // after the name
		fields := strings.Fields(string(rest))
		if len(fields) < 13 {
			return 0, fmt.Errorf("/proc/%d/stat: %q", pid, b)
		}
		for _, field := range fields[11:13] { // utime, stime
			n, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return 0, err
			}
			sum += time.Duration(n) * tick
		}
	}
	return sum, nil
}

var (
	requestsIn = regexp.MustCompile(`(\d+) requests in ([0-9.]+)(ms|s|m),`)
	mistakes   = regexp.MustCompile(`Non-2xx.*|Socket errors.*`)
)

// errNothing is what a machine that has no time gives.
var errNothing = errors.New("nothing was answered")

// wrk loads a contender by wrk, again if it was not given a chance.
func (w *world) wrk(c contender) (s sample, err error) {
	for range 3 {
		if s, err = w.wrkOnce(c); !errors.Is(err, errNothing) {
			break
		}
	}
	return s, err
}

func (w *world) wrkOnce(c contender) (s sample, err error) {
	before, err := c.server.cpu()
	if err != nil {
		return s, err
	}
	cmd := exec.Command(filepath.Join(*debian, "usr/bin/wrk"), "-t1", fmt.Sprintf("-c%d", *open), fmt.Sprintf("-d%ds", int(length.Seconds())), c.url)
	out, err := onProcessor(clientProcessor, cmd).CombinedOutput()
	if err != nil {
		return s, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	after, err := c.server.cpu()
	if err != nil {
		return s, err
	}
	m := requestsIn.FindSubmatch(out)
	if m == nil || mistakes.Match(out) {
		return s, fmt.Errorf("wrk %s says\n%s", c.url, out)
	}
	if s.requests, err = strconv.Atoi(string(m[1])); err != nil {
		return s, err
	}
	s.elapsed, err = time.ParseDuration(string(m[2]) + string(m[3]))
	s.cpu = after - before
	if s.requests == 0 || s.cpu <= 0 {
		return s, fmt.Errorf("%w: %d requests in %v of processor time", errNothing, s.requests, s.cpu)
	}
	return s, err
}

// handshakes connects by TLS again and again, without resuming sessions.
func handshakes(c contender) (s sample, err error) {
	before, err := c.server.cpu()
	if err != nil {
		return s, err
	}
	var (
		wait  sync.WaitGroup
		count atomic.Int64
		mu    sync.Mutex
		errs  error
	)
	began := time.Now()
	for range 8 {
		wait.Go(func() {
			for time.Since(began) < *length {
				conn, err := tls.Dial("tcp", c.url, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
				if err != nil {
					mu.Lock()
					errs = errors.Join(errs, err)
					mu.Unlock()
					return
				}
				_ = conn.Close()
				count.Add(1)
			}
		})
	}
	wait.Wait()
	s.elapsed = time.Since(began)
	after, err := c.server.cpu()
	s.requests, s.cpu = int(count.Load()), after-before
	return s, errors.Join(errs, err)
}
