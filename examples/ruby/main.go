// Command ruby runs Ruby scripts in a Wasm sandbox. It shows how the packages
// engine and wasi are used as libraries, with host functions of one's own.
//
//	ruby [-dir HOST:GUEST]... MODULE SCRIPT [ARGS...]
//
// The module is Ruby's own build for browsers (npm's @ruby/3.4-wasm-wasi), a
// reactor that expects JavaScript around it: here it has none, and is told so
// where it asks.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/hako-run/hako/app"
	"github.com/hako-run/hako/engine"
	"github.com/hako-run/hako/wasi"
)

func main() {
	var dirs []app.DirGrant
	flag.Func("dir", "grant a directory, `HOST:GUEST[:ro]`", func(s string) error {
		d, err := app.ParseDir(s)
		dirs = append(dirs, d)
		return err
	})
	flag.Parse()
	if flag.NArg() < 2 {
		fmt.Fprintln(os.Stderr, "usage: ruby [-dir HOST:GUEST]... MODULE SCRIPT [ARGS...]")
		os.Exit(2)
	}
	code, err := run(context.Background(), dirs, flag.Arg(0), flag.Arg(1), flag.Args()[2:], os.Stdin, os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "ruby:", err)
		os.Exit(max(code, 1))
	}
	os.Exit(code)
}

// run runs a script, whose path is the guest's, or "-" for standard input.
func run(ctx context.Context, dirs []app.DirGrant, module, script string, args []string, in io.Reader, out, errs io.Writer) (code int, err error) {
	source, err := os.ReadFile(module)
	if err != nil {
		return 1, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return 1, err
	}
	e, err := engine.New(engine.Options{
		CacheDir: filepath.Join(cache, "hako", "compiled"),
		Hosts:    append(app.Hosts[:len(app.Hosts):len(app.Hosts)], registerScript, registerResources),
		Imports:  wasi.WithImports,
	})
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	m, err := e.Compile(ctx, filepath.Base(module), source)
	if err != nil {
		return 1, err
	}
	defer m.Close()

	config := wasi.GrantConfig{}
	for _, d := range dirs {
		config.Dirs = append(config.Dirs, wasi.DirGrant(d))
	}
	grants, err := wasi.OpenGrants(config)
	if err != nil {
		return 1, err
	}
	defer grants.Close()
	system, err := wasi.NewSystem(wasi.Config{Args: []string{"ruby"}, Stdin: in, Stdout: out, Stderr: errs, Grants: grants})
	if err != nil {
		return 1, err
	}
	instance, err := m.Instantiate(ctx, engine.Config{
		Values: withResources(wasi.NewContext(context.Background(), system)),
		States: []io.Closer{system},
	})
	if err != nil {
		return 1, err
	}
	defer instance.Close()
	err = start(ctx, instance, script, args)
	var exit *wasi.ExitError
	if errors.As(err, &exit) {
		return int(exit.Code), nil
	}
	return 1, err
}

// start initialises Ruby and runs the script, which ends by exit.
func start(ctx context.Context, in *engine.Instance, script string, args []string) error {
	if err := in.Run(ctx); err != nil {
		return err
	}
	// As its JavaScript starts it; -e_=0 is a program that does nothing.
	list, err := putStrings(ctx, in, "ruby", "-EUTF-8", "-e_=0")
	if err != nil {
		return err
	}
	if _, err := in.Call(ctx, "ruby-init: func(args: list<string>) -> ()", uint64(list), 3); err != nil {
		return err
	}
	load := "load " + quote(script)
	if script == "-" {
		load = "TOPLEVEL_BINDING.eval($stdin.read, '-')"
	}
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = quote(a)
	}
	program := fmt.Sprintf(`
		status = 0
		begin
			ARGV.replace([%s])
			$0 = %s
			%s
		rescue SystemExit => e
			status = e.status
		rescue Exception => e
			$stderr.write e.full_message(highlight: false)
			status = 1
		end
		$stdout.flush
		$stderr.flush
		Process.exit!(status)`, strings.Join(quoted, ","), quote(script), load)
	text, err := putString(ctx, in, program)
	if err != nil {
		return err
	}
	_, err = in.Call(ctx, "rb-eval-string-protect: func(str: string) -> tuple<handle<rb-abi-value>, s32>", uint64(text), uint64(len(program)))
	if err != nil {
		return err
	}
	return errors.New("the guest came back from a program that exits")
}

// quote makes a Ruby literal of a string.
func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// putString allocates a string in the guest.
func putString(ctx context.Context, in *engine.Instance, s string) (uint32, error) {
	results, err := in.Call(ctx, "cabi_realloc", 0, 0, 1, uint64(len(s)))
	if err != nil {
		return 0, err
	}
	p := uint32(results[0])
	if !in.Memory().WriteString(p, s) {
		return 0, errors.New("the guest allocated outside of its memory")
	}
	return p, nil
}

// putStrings allocates a list of strings: addresses and lengths in turn.
func putStrings(ctx context.Context, in *engine.Instance, list ...string) (uint32, error) {
	var b []byte
	for _, s := range list {
		p, err := putString(ctx, in, s)
		if err != nil {
			return 0, err
		}
		b = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, p), uint32(len(s)))
	}
	results, err := in.Call(ctx, "cabi_realloc", 0, 0, 4, uint64(len(b)))
	if err != nil {
		return 0, err
	}
	p := uint32(results[0])
	if !in.Memory().Write(p, b) {
		return 0, errors.New("the guest allocated outside of its memory")
	}
	return p, nil
}
