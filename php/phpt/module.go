package phpt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hako-run/hako/app"
	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/php"
	"github.com/hako-run/hako/wasi"
)

// A Wasm is PHP as WebAssembly in this process. Scripts see a tree as /php, which
// is their working directory, and as the root; /dev; and in memory /tmp and the
// folder for sessions.
type Wasm struct {
	runner   *app.Runner
	cli, cgi *engine.Module
}

// NewWasm compiles the modules in dir, as php.Build returns it, keeping
// compiled code in the folder cache.
func NewWasm(ctx context.Context, dir, cache string) (w *Wasm, err error) {
	w = &Wasm{}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	if w.runner, err = app.NewRunner(cache, nil); err != nil {
		return w, err
	}
	for name, module := range map[string]**engine.Module{php.CLI: &w.cli, php.CGI: &w.cgi} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return w, err
		}
		if *module, err = w.runner.Engine().Compile(ctx, name, b); err != nil {
			return w, err
		}
	}
	return w, nil
}

// Close lets the modules go.
func (w *Wasm) Close() (err error) {
	for _, m := range []*engine.Module{w.cli, w.cgi} {
		if m != nil {
			err = errors.Join(err, m.Close())
		}
	}
	if w.runner != nil {
		err = errors.Join(err, w.runner.Close())
	}
	return err
}

func (w *Wasm) Prefix(string) string { return "/php" }

func (w *Wasm) Module(string) string { return "" } // all are linked in

func (w *Wasm) Run(ctx context.Context, c Command) error {
	module, name := w.cli, "php"
	if c.CGI {
		module, name = w.cgi, "php-cgi"
	}
	p, err := w.runner.Start(ctx, module, app.Spec{
		Args:    append([]string{name}, c.Args...),
		Env:     append([]string{"PATH=/usr/bin", "PWD=/php", "HOME=/tmp", "TEMP=/tmp", "TEST_PHP_EXECUTABLE=/usr/bin/php", "TEST_PHP_EXECUTABLE_ESCAPED='/usr/bin/php'", "TEST_PHP_CGI_EXECUTABLE=/usr/bin/php-cgi", "TEST_PHP_CGI_EXECUTABLE_ESCAPED='/usr/bin/php-cgi'"}, c.Env...),
		Dirs:    []app.DirGrant{{Host: c.Root, Guest: "/"}, {Host: c.Root, Guest: "/php"}},
		Tmp:     []wasi.Tmp{{Guest: "/tmp", Size: 64 << 20}, {Guest: "/var/lib/php/sessions", Size: 16 << 20}},
		Devices: true,
		Limits:  engine.Limits{Memory: 2 << 30, CPU: time.Minute, Wall: 2 * time.Minute, Output: 64 << 20},
	})
	if err != nil {
		return err
	}
	code, err := p.Run(ctx, app.Streams{Stdin: bytes.NewReader(c.Stdin), Stdout: c.Stdout, Stderr: c.Stderr})
	if err != nil {
		err = fmt.Errorf("exit code %d: %w", code, err)
	}
	return errors.Join(err, p.Close())
}
