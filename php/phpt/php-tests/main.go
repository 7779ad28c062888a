//go:build unix

// Command php-tests runs PHP's own tests on PHP as WebAssembly, and on a
// reference PHP of this machine, and says what passes there only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/hako-run/hako/php"
	"github.com/hako-run/hako/php/phpt"
)

type options struct {
	source, reference, module, keep, run, part, list string
	workers                                          int
	quiet                                            bool
}

func main() {
	var o options
	flag.StringVar(&o.source, "source", "", "PHP's source `folder`")
	flag.StringVar(&o.reference, "reference", "", "`folder` with the reference's bin/php and bin/php-cgi")
	flag.StringVar(&o.module, "module", "", "`folder` with php.wasm and php-cgi.wasm (default: built)")
	flag.StringVar(&o.keep, "keep", "", "`folder` for what tests printed that fail, and for all results")
	flag.StringVar(&o.run, "run", "", "run only tests whose names match this `pattern`")
	flag.StringVar(&o.list, "list", "", "run only the tests that this `file` names, one a line")
	flag.StringVar(&o.part, "part", "1/1", "run only a `part` of the tests: 2/3 is the second of three")
	flag.IntVar(&o.workers, "workers", 2, "tests at a `time`")
	flag.BoolVar(&o.quiet, "quiet", false, "show no progress")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ok, err := run(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
	}
	if err != nil || !ok {
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (ok bool, err error) {
	only, err := regexp.Compile(o.run)
	if err != nil {
		return false, err
	}
	var named map[string]bool
	if o.list != "" {
		b, err := os.ReadFile(o.list)
		if err != nil {
			return false, err
		}
		named = map[string]bool{}
		for name := range strings.FieldsSeq(string(b)) {
			named[name] = true
		}
	}
	var part, parts int
	if n, err := fmt.Sscanf(o.part, "%d/%d", &part, &parts); n != 2 || err != nil || part < 1 || part > parts {
		return false, fmt.Errorf("-part %s: write 2/3 for the second of three parts", o.part)
	}
	for _, name := range []string{"reference", "wasm"} {
		if o.keep != "" {
			if err := os.MkdirAll(filepath.Join(o.keep, name), 0o755); err != nil {
				return false, err
			}
		}
	}
	n := 0
	var tests []string
	for _, set := range phpt.Sets {
		found, err := phpt.Find(o.source, set)
		if err != nil {
			return false, fmt.Errorf("look for tests in %s: %w", o.source, err)
		}
		for _, t := range found {
			if only.MatchString(t) && (named == nil || named[t]) && !strings.Contains(t, "/opcache/tests/jit/") { // there is no JIT
				if n++; n%parts == part-1 {
					tests = append(tests, t)
				}
			}
		}
	}
	dir := o.module
	if dir == "" {
		if dir, err = php.Build(); err != nil {
			return false, err
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return false, err
	}
	w, err := phpt.NewWasm(ctx, dir, filepath.Join(cache, "hako", "compiled"))
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	wasm, err := o.suite(w, "wasm").Run(ctx, tests)
	if err = errors.Join(err, o.keepResults("wasm", wasm)); err != nil {
		return false, err
	}
	// What passes need not be run by the reference.
	var others []string
	for _, r := range wasm {
		if r.Outcome != phpt.Passed {
			others = append(others, r.Test)
		}
	}
	reference, err := o.suite(&phpt.Native{Dir: o.reference, Timeout: time.Minute}, "reference").Run(ctx, others)
	if err = errors.Join(err, o.keepResults("reference", reference)); err != nil {
		return false, err
	}
	listed, err := phpt.Failing()
	if err != nil {
		return false, err
	}
	c := phpt.Compare(wasm, reference, listed)
	for _, r := range c.New {
		fmt.Printf("fails: %s %s %s\n", r.Test, r.Outcome, r.Reason)
	}
	for _, t := range c.Fixed {
		fmt.Printf("passes, and is in failing.txt: %s\n", t)
	}
	if err := c.Write(os.Stdout); err != nil {
		return false, err
	}
	if n := len(c.New); n > 0 {
		return false, fmt.Errorf("%d tests fail that pass natively and are not in failing.txt", n)
	}
	return len(c.Fixed) == 0, nil
}

func (o options) suite(on phpt.Interpreter, name string) *phpt.Suite {
	began, last, failed := time.Now(), time.Time{}, 0
	return &phpt.Suite{Source: o.source, On: on, Workers: o.workers, Progress: func(r phpt.Result, done, total int) {
		if r.Outcome == phpt.Failed {
			failed++
			if o.keep != "" {
				file := strings.ReplaceAll(strings.TrimSuffix(r.Test, ".phpt"), "/", "_") + ".out"
				if err := os.WriteFile(filepath.Join(o.keep, name, file), []byte(r.Output), 0o644); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			}
		}
		if !o.quiet && (done == total || time.Since(last) > 10*time.Second) {
			last = time.Now()
			fmt.Fprintf(os.Stderr, "%s: %d of %d tests, %d fail, %v\n", name, done, total, failed, time.Since(began).Round(time.Second))
		}
	}}
}

// keepResults writes what there is to look at later, after an interruption too.
func (o options) keepResults(name string, results []phpt.Result) error {
	if o.keep == "" {
		return nil
	}
	f, err := os.Create(filepath.Join(o.keep, name+".txt"))
	if err != nil {
		return err
	}
	return errors.Join(phpt.WriteResults(f, results), f.Close())
}
