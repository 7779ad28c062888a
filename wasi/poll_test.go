package wasi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/hako-run/hako/internal/guestbuild"
	"github.com/hako-run/hako/wasi"
)

func TestPoll(t *testing.T) {
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	defer w.Close()
	out, outWriter := io.Pipe()
	s := newSystem(t, wasi.Config{
		Stdin: r, Stdout: outWriter, Tmp: []wasi.Tmp{{Guest: "/tmp", Size: 1 << 20}},
	})
	m := guest(t, "poll")
	done := make(chan error, 1)
	go func() {
		code, err := start(context.Background(), t, m, s)
		if err == nil && code != 0 {
			err = fmt.Errorf("exit code %d", code)
		}
		outWriter.Close()
		done <- err
	}()
	var got strings.Builder
	for b := bufio.NewScanner(out); b.Scan(); {
		switch b.Text() {
		case "send":
			io.WriteString(w, "here")
		case "close":
			w.Close()
		}
		fmt.Fprintln(&got, b.Text())
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	sameLines(t, got.String(), `nothing: 28
5 ms: 0 [1 0 type 0]
the earliest of many: 0 [2 0 type 0]
times gone by: 0 [6 0 type 0] [7 0 type 0]
no such clock, no such flag: 0 [8 28 type 0] [9 28 type 0]
clocks that stand still: 0 [23 58 type 0] [24 58 type 0]
files and streams: 0 [11 0 type 1 bytes] [12 0 type 2 bytes] [13 8 type 1] [14 8 type 1] [15 0 type 2 bytes] [16 8 type 2] [17 28 type 3]
input that does not come: 0 [21 0 type 0]
send
input that does: 0 [20 0 type 1 bytes]
read(0, b, sizeof b): 4
read(0, b, sizeof b): EAGAIN
close
the end of input: 0 [20 0 type 1 hangup]
read(0, b, sizeof b): 0
`, nil)
}

func TestTerminal(t *testing.T) {
	outer, inner, err := pty.Open()
	must(t, err)
	defer outer.Close()
	defer inner.Close()
	must(t, pty.Setsize(inner, &pty.Winsize{Rows: 24, Cols: 80}))
	s := newSystem(t, wasi.Config{Args: []string{"env"}, Stdin: inner, Stdout: inner, Stderr: inner})
	var mu sync.Mutex
	var seen strings.Builder
	go func() {
		b := make([]byte, 1000)
		for {
			n, err := outer.Read(b)
			if err != nil {
				return
			}
			mu.Lock()
			seen.Write(b[:n])
			mu.Unlock()
		}
	}()
	io.WriteString(outer, "typed\n\x04") // Ctrl-D ends the input
	code, err := start(context.Background(), t, guest(t, "env"), s)
	if err != nil || code != 7 {
		t.Errorf("code %d, %v", code, err)
	}
	for _, want := range []string{"in: typed\r\n", "isatty(0): 1", "isatty(1): 1", "lseek(0, 0, SEEK_CUR): ESPIPE"} {
		has := func() bool {
			mu.Lock()
			defer mu.Unlock()
			return strings.Contains(seen.String(), want)
		}
		for end := time.Now().Add(10 * time.Second); !has() && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		if !has() {
			t.Errorf("the terminal does not show %q but\n%s", want, seen.String())
		}
	}
}

func TestUnstable(t *testing.T) {
	m := compile(t, guestbuild.C(t, []string{"-O1", "-nostdlib", "testdata/unstable.c"}))
	if _, code := run(t, m, wasi.Config{Tmp: []wasi.Tmp{{Guest: "/tmp", Size: 1 << 20}}}); code != 0 {
		t.Errorf("line %d of testdata/unstable.c is not so", code)
	}
}

func TestGoGuest(t *testing.T) {
	m := compile(t, guestbuild.Go(t, "testdata/goguest"))
	walks(t, func(t *testing.T) {
		out, code := run(t, m, wasi.Config{
			Args: []string{"goguest", "files", "/box"}, Env: []string{"PWD=/", "ONLY=this"},
			Grants: dirs(t, wasi.DirGrant{Host: t.TempDir(), Guest: "/box"}),
		})
		if out != "PWD=/\nONLY=this\ndone\n" || code != 0 {
			t.Errorf("code %d: %s", code, out)
		}
	})
	t.Run("memory", func(t *testing.T) {
		out, code := run(t, m, wasi.Config{
			Args: []string{"goguest", "files", "/tmp"}, Tmp: []wasi.Tmp{{Guest: "/tmp", Size: 1 << 20}},
		})
		if out != "done\n" || code != 0 {
			t.Errorf("code %d: %s", code, out)
		}
	})
	t.Run("listener", func(t *testing.T) {
		g, tcp, _ := published(t, true)
		rest := serveModule(t, m, wasi.Config{Args: []string{"goguest", "serve"}, Grants: g})
		var conns []net.Conn
		for range 2 {
			c, err := net.Dial("tcp", tcp.String())
			must(t, err)
			defer c.Close()
			c.SetDeadline(time.Now().Add(30 * time.Second))
			conns = append(conns, c)
		}
		for i := len(conns) - 1; i >= 0; i-- { // the later one first
			io.WriteString(conns[i], "to and fro")
			conns[i].(*net.TCPConn).CloseWrite()
			if back, err := io.ReadAll(conns[i]); err != nil || string(back) != "to and fro" {
				t.Errorf("%q came back, %v", back, err)
			}
		}
		if got := rest(); got != "ready\ndone\n" {
			t.Errorf("the guest said %q", got)
		}
	})
}
