// Package cli is the hako command: a file for each verb.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"unicode"

	"github.com/hako-run/hako/internal/nearest"
	"github.com/hako-run/hako/internal/server"
	"github.com/hako-run/hako/pagestore"
	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit codes. hako run and hako exec pass the guest's own.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// Streams are what a command reads and writes.
type Streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// Main runs the process's command line and returns its exit code.
func Main() int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // which nohup asks for
		signal.Notify(signals, syscall.SIGHUP)
	}
	a := newApp(Streams{os.Stdin, os.Stdout, os.Stderr})
	a.signals = signals
	go func() {
		for s := range signals {
			if s == os.Interrupt && a.keepsInterrupt.Load() {
				continue
			}
			cancel(signalError{s})
			break
		}
		s := <-signals // whoever sends two does not want to wait
		a.restoreTerminal()
		os.Exit(signalCode(s))
	}()
	return a.run(ctx, os.Args[1:])
}

// A signalError is why the command's context is done.
type signalError struct{ os.Signal }

func (e signalError) Error() string { return e.String() }

// interruption returns the exit code of a program that was ended by the
// signal that ended ctx, 128 and its number; 0 if none did.
func interruption(ctx context.Context) int {
	var e signalError
	if !errors.As(context.Cause(ctx), &e) {
		return 0
	}
	return signalCode(e.Signal)
}

// signalCode is the exit code of a program that s ended.
func signalCode(s os.Signal) int {
	number, _ := s.(syscall.Signal)
	return 128 + int(number)
}

// Run runs a command line and returns its exit code.
func Run(ctx context.Context, s Streams, args ...string) int {
	return newApp(s).run(ctx, args)
}

// An app is one run of the command.
type app struct {
	Streams
	data string // --data
	json bool   // --json

	storeOptions pagestore.Options
	checkMemory  int64 // bytes of the largest database that verify checks in memory

	// server runs this command for another process, shared is its store, and
	// dir is where that process is; nil and "" otherwise.
	server *server.Server
	shared *pagestore.Store
	dir    string

	args []string // the command line

	// keepsInterrupt is set while the interactive shell deals with Ctrl-C.
	keepsInterrupt atomic.Bool

	signals  chan os.Signal         // those that end the command; nil if somebody else deals with them
	terminal atomic.Pointer[func()] // puts the terminal back as it was, if it was changed
}

// restoreTerminal puts the terminal back as it was. It may be called at any
// time, more than once.
func (a *app) restoreTerminal() {
	if restore := a.terminal.Load(); restore != nil {
		(*restore)()
	}
}

func newApp(s Streams) *app { return &app{Streams: s, checkMemory: checkMemory} }

func (a *app) run(ctx context.Context, args []string) int {
	a.args = args
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	err := root.ExecuteContext(ctx)
	var locked *pagestore.LockedError
	if errors.As(err, &locked) {
		if code, ok := a.delegate(ctx, root, args, locked); ok {
			return code
		}
	}
	var exit *exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit) && exit.err == nil:
		return exit.code
	case ctx.Err() != nil && exit == nil:
		fmt.Fprintln(a.Err, "hako: interrupted")
		return exitInterrupted
	}
	var silent silentError
	if !errors.As(err, &silent) {
		fmt.Fprintf(a.Err, "hako: %s\n", visible(err.Error()))
	}
	if hint := hintFor(err); hint != "" {
		fmt.Fprintf(a.Err, "  %s\n", visible(hint))
	}
	switch {
	case exit != nil:
		return exit.code
	case isUsage(err):
		return exitUsage
	}
	return exitFailed
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "hako",
		Short:         "Web applications as WebAssembly, with their databases inside",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       buildVersion().Revision,
	}
	root.SetVersionTemplate("hako {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return flagError(cmd, err) })
	root.PersistentFlags().StringVar(&a.data, "data", "", "directory of databases, images and compiled code (default $HAKO_DATA, else "+defaultDataText+")")
	_ = root.MarkPersistentFlagDirname("data")
	group(root)
	root.AddCommand(a.imageCommands()...)
	root.AddCommand(a.runCommand(), a.execCommand(), a.psCommand(), a.logsCommand(), a.statsCommand(), a.replayCommand(), a.stopCommand(), a.upCommand(), a.reloadCommand(), a.checkCommand(), a.initCommand(), a.dbCommand(), a.pluginCommand(), a.versionCommand())
	return root
}

// group makes cmd a command that only has others below it.
func group(cmd *cobra.Command) {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		text := fmt.Sprintf("unknown command %q", cmd.CommandPath()+" "+args[0])
		var names []string
		for _, c := range cmd.Commands() {
			names = append(append(names, c.Name()), c.Aliases...)
		}
		if near := nearest.Of(args[0], slices.Values(names)); near != "" {
			return usageErrorf("%s: did you mean %q?", text, cmd.CommandPath()+" "+near)
		}
		return usageErrorf("%s: %s --help lists the commands", text, cmd.CommandPath())
	}
}

// A usageError is a command line that makes no sense.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usageErrorf(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// A silentError was told already.
type silentError struct{ error }

func (e silentError) Unwrap() error { return e.error }

// flagError adds to a mistake in flags the flag that may be meant.
func flagError(cmd *cobra.Command, err error) error {
	text := err.Error()
	var invalid *pflag.InvalidValueError
	var short *pflag.NotExistError
	switch {
	case errors.As(err, &invalid):
		return usageErrorf("--%s %s: %s: see %s --help", invalid.GetFlag().Name, invalid.GetValue(), wantedValue(invalid), cmd.CommandPath())
	case errors.As(err, &short) && unicode.IsDigit(rune((short.GetSpecifiedShortnames() + "x")[0])):
		return usageErrorf("-%s is no flag: an age is written after the name of the database, as in shop@-%[1]s", short.GetSpecifiedShortnames())
	}
	if name, ok := strings.CutPrefix(text, "unknown flag: --"); ok {
		var names []string
		cmd.Flags().VisitAll(func(f *flagType) { names = append(names, f.Name) })
		cmd.InheritedFlags().VisitAll(func(f *flagType) { names = append(names, f.Name) })
		if near := nearest.Of(name, slices.Values(names)); near != "" {
			return usageErrorf("%s: did you mean --%s?", text, near)
		}
	}
	return usageErrorf("%s: see %s --help", text, cmd.CommandPath())
}

// wantedValue tells what a flag takes that was given something else.
func wantedValue(e *pflag.InvalidValueError) string {
	if errors.Is(e, strconv.ErrRange) {
		return "it is too large"
	}
	switch e.GetFlag().Value.Type() {
	case "int", "int32", "int64":
		return "it must be a whole number"
	case "uint", "uint16", "uint32", "uint64":
		return "it must be a whole number, not below 0"
	case "bool":
		return "it must be true or false"
	case "duration":
		return "it must be a time such as 10s or 5m"
	}
	return errors.Unwrap(e).Error()
}

// arguments demands that many arguments, by the names in cmd.Use.
func arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usageErrorf("%s needs %s: %s", cmd.CommandPath(), missing(cmd.Use, len(args)), cmd.UseLine())
		case most >= 0 && len(args) > most:
			return usageErrorf("%s has an argument too many, %q: %s", cmd.CommandPath(), args[most], cmd.UseLine())
		}
		return nil
	}
}

// missing returns the name of the argument number n in a usage line.
func missing(use string, n int) string {
	words := strings.Fields(use)[1:]
	if n < len(words) {
		return "a " + words[n]
	}
	return "more arguments"
}

// isTerminal reports whether a stream is one.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}
