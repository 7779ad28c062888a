package php

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hako-run/hako/app"
	"github.com/hako-run/hako/engine"
)

// theCLI is PHP's command line, compiled once.
var theCLI = sync.OnceValues(func() (*engine.Module, error) {
	w, err := theWorld()
	if err != nil {
		return nil, err
	}
	dir, err := Build()
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(dir, CLI))
	if err != nil {
		return nil, err
	}
	m, err := w.runner.Engine().Compile(context.Background(), CLI, b)
	if err == nil {
		cleanups = append(cleanups, func() { m.Close() })
	}
	return m, err
})

// command makes a process of PHP's command line.
func command(t *testing.T, spec app.Spec) *app.Process {
	t.Helper()
	m, err := theCLI()
	if err != nil {
		t.Fatal(err)
	}
	w, err := theWorld()
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.runner.Start(context.Background(), m, spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestCommand(t *testing.T) {
	dir := t.TempDir()
	script := "#!/usr/bin/env php\n<?php fwrite(STDERR, 'err'); echo implode(',', $argv), ' ', trim(fgets(STDIN)), ' ', getenv('MODE'), ' ', PHP_SAPI; file_put_contents('/d/out', 'x'); exit(7);"
	if err := os.WriteFile(filepath.Join(dir, "s.php"), []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args     []string
		code     int
		out, err string
	}{
		{[]string{"-r", "echo 6 * 7;"}, 0, "42", ""},
		{[]string{"/d/s.php", "a", "-b"}, 7, "/d/s.php,a,-b line test cli", "err"},
		{[]string{"-d", "memory_limit=9M", "-r", "echo ini_get('memory_limit');"}, 0, "9M", ""},
		{[]string{"-n", "-r", "throw new Exception('x');"}, 255, "Uncaught Exception: x", ""},
		{[]string{"-r", "function f() { f(); } f();"}, 255, "Allowed memory size", ""},
		{[]string{"-r", "class S { function __toString(): string { return (string)new S; } } echo new S;"}, 255, "Maximum call stack size", ""},
		{[]string{"-v"}, 0, "PHP 8.4.", ""},
	} {
		var stdout, stderr bytes.Buffer
		p := command(t, app.Spec{Args: append([]string{"php"}, c.args...), Env: []string{"MODE=test"}, Dirs: []app.DirGrant{{Host: dir, Guest: "/d"}}})
		code, err := p.Run(context.Background(), app.Streams{Stdin: strings.NewReader("line\n"), Stdout: &stdout, Stderr: &stderr})
		if code != c.code || err != nil || !strings.Contains(stdout.String(), c.out) || !strings.Contains(stderr.String(), c.err) {
			t.Errorf("%q: exit code %d, %v\n%s%s", c.args, code, err, &stdout, &stderr)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "out")); err != nil {
		t.Error(err)
	}
}

// PHP's own web server, on a published port.
func TestServer(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"index.php": `<?php echo $_SERVER['REQUEST_URI'], ' ', PHP_SAPI, ' ', file_get_contents('php://input');`, "x.txt": "text"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := command(t, app.Spec{
		Args:  []string{"php", "-S", "0.0.0.0:8000", "-t", "/srv"},
		Dirs:  []app.DirGrant{{Host: dir, Guest: "/srv", ReadOnly: true}},
		Ports: []app.PortGrant{{Host: netip.MustParseAddrPort("127.0.0.1:0"), Guest: 8000, Network: "tcp"}},
	})
	var log syncBuffer
	done := make(chan error)
	go func() {
		_, err := p.Run(context.Background(), app.Streams{Stdout: &log, Stderr: &log})
		done <- err
	}()
	url := fmt.Sprint("http://", p.Ports()[0].Host)
	client := http.Client{Timeout: time.Minute}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for path, want := range map[string]string{"/a/b?c": "/a/b?c cli-server body", "/x.txt": "text"} {
				resp, err := client.Post(url+path, "text/plain", strings.NewReader("body"))
				if err != nil {
					t.Errorf("%v\n%s", err, log.String())
					return
				}
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if string(b) != want || err != nil {
					t.Errorf("%s: %q, %v", path, b, err)
				}
			}
		})
	}
	wg.Wait()
	p.Stop()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("%v\n%s", err, log.String())
	}
}
