//go:build unix

package phpt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// A Native is PHP as a program of this machine.
type Native struct {
	Dir     string // holds bin/php, bin/php-cgi and perhaps opcache.so
	Timeout time.Duration
}

func (n *Native) Prefix(root string) string { return root }

func (n *Native) Module(extension string) string {
	file := filepath.Join(n.Dir, extension+".so")
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	return file
}

// errTimeout is why a program ended that took too long.
var errTimeout = errors.New("it ran for too long")

func (n *Native) Run(ctx context.Context, c Command) error {
	name := "php"
	if c.CGI {
		name = "php-cgi"
	}
	ctx, cancel := context.WithTimeoutCause(ctx, n.Timeout, errTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(n.Dir, "bin", name), c.Args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.Root, c.Stdout, c.Stderr
	cmd.Stdin = bytes.NewReader(c.Stdin)
	cmd.Env = append([]string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", "TEMP=/tmp",
		"TEST_PHP_EXECUTABLE=" + filepath.Join(n.Dir, "bin/php"),
		"TEST_PHP_EXECUTABLE_ESCAPED='" + filepath.Join(n.Dir, "bin/php") + "'",
		"TEST_PHP_CGI_EXECUTABLE=" + filepath.Join(n.Dir, "bin/php-cgi"),
		"TEST_PHP_CGI_EXECUTABLE_ESCAPED='" + filepath.Join(n.Dir, "bin/php-cgi") + "'",
	}, c.Env...)
	// What it started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	err := cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // there may be nothing
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &exit):
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return fmt.Errorf("it was ended by a signal: %v", status.Signal())
		}
		return nil // exit codes are the script's
	case errors.Is(err, exec.ErrWaitDelay):
		return nil
	}
	return err
}
