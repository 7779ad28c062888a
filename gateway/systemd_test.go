package gateway

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// TestSocketActivation starts this program again as systemd would, with a
// socket as descriptor 3.
func TestSocketActivation(t *testing.T) {
	if os.Getenv("HAKO_TEST_ACTIVATED") != "" {
		activated(t)
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	// LISTEN_PID is the shell's, which becomes the program.
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" -test.run='^TestSocketActivation$'`, os.Args[0])
	cmd.Env = append(os.Environ(), "HAKO_TEST_ACTIVATED=1", "LISTEN_FDS=1", "LISTEN_FDNAMES=web")
	cmd.ExtraFiles = []*os.File{file}
	out := &buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := http.Client{Timeout: 10 * time.Second}
	r, err := c.Get("http://" + l.Addr().String() + "/pid")
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	} else {
		b, _ := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if string(b) != strconv.Itoa(cmd.Process.Pid) {
			t.Errorf("%q answers, not %d", b, cmd.Process.Pid)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func activated(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	pid := func(w http.ResponseWriter, _ *http.Request, _ *Account) {
		_, _ = fmt.Fprint(w, os.Getpid())
		cancel()
	}
	c := parse(t, t.TempDir(), "[server]\nlisten = 'systemd:web'\n[[app]]\nname = 'a'\nimage = 'x.wasm'\n[[route]]\napp = 'a'")
	g, err := New(c, Options{Apps: func(string) (App, error) { return appFunc(pid), nil }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("LISTEN_FDS") != "" {
		t.Error("the variables are left for children")
	}
	if err := g.Run(ctx); err != nil {
		t.Error(err)
	}
}
