// Package shell is the SQL shell of `hako db shell`: it reads statements and
// dot-commands, runs them on one connection, and prints the results in the
// modes that people know from the sqlite3 program.
//
// Interactively it has a line editor with history and completion, an error
// does not end it, and Ctrl-C interrupts the running statement. Otherwise it
// reads a script and stops at the first error, unless the script says
// .bail off.
package shell

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Options tell a shell what to work on. DB, Out and Err are needed, and In
// unless SQL is given.
type Options struct {
	DB  *sql.DB // the shell takes one connection of it
	In  io.Reader
	Out io.Writer
	Err io.Writer

	// SQL is run instead of In if there is any: one script after the other,
	// so that each can be a statement or a dot-command.
	SQL []string

	// Interactive asks for the line editor, which talks to the process's
	// terminal. Output then is a box unless Mode says otherwise, and
	// control characters in values are shown as ^X.
	Interactive bool
	Path        func(string) string    // where a file lies that the user named; nil for there
	Prompt      func(*sql.Conn) string // asked before each statement, without the "> "; nil for "sql"
	Banner      string                 // printed first when interactive
	History     string                 // file that keeps the history; none if empty

	// Hint returns what to do about an error that was reported, "" if there
	// is nothing to say. Those that Run returns are left to its caller.
	Hint func(error) string

	// Mode is the first output mode: one of Modes. If empty it is box for an
	// interactive shell and list otherwise.
	Mode    string
	Headers string // "on", "off", or "" for the mode's own habit
}

// ErrFailed is returned by Run when the input was read to its end but
// statements of it failed; they were reported to Options.Err.
var ErrFailed = errors.New("there were errors")

// errQuit ends the shell from within a command.
var errQuit = errors.New("quit")

// A Shell is one run: its connection and its settings.
type Shell struct {
	o    Options
	conn *sql.Conn

	out    io.Writer // where results go: stdout, or what .output and .once say
	file   *outputFile
	once   bool // file ends with the next statement or command
	params map[string]value

	mode       Mode
	modeTable  string // for insert mode
	headers    setting
	null       string
	colSep     string
	rowSep     string
	sepSet     bool // .separator was used
	widths     []int
	wrap       int
	bail, echo bool
	changes    bool
	timer      bool

	depth   int // of .read
	failed  int // statements and commands that failed
	catalog *catalog
}

// A setting is on, off, or left to whatever the mode does by itself.
type setting uint8

const (
	auto setting = iota
	on
	off
)

// Run reads and runs statements until the input ends, .quit, or, if not
// interactive, the first error, which it returns. A statement's error is a
// *StatementError.
func Run(ctx context.Context, o Options) error {
	sh, err := newShell(ctx, o)
	if err != nil {
		return err
	}
	err = sh.run(ctx)
	if e := sh.close(); err == nil {
		err = e
	}
	return err
}

func newShell(ctx context.Context, o Options) (*Shell, error) {
	sh := &Shell{o: o, out: o.Out, params: map[string]value{}, wrap: 60, rowSep: "\n", colSep: "|"}
	sh.bail = !o.Interactive
	mode := o.Mode
	if mode == "" {
		mode = "list"
		if o.Interactive && len(o.SQL) == 0 {
			mode = "box"
		}
	}
	if err := sh.setMode(mode); err != nil {
		return nil, err
	}
	switch o.Headers {
	case "on":
		sh.headers = on
	case "off":
		sh.headers = off
	}
	conn, err := o.DB.Conn(ctx)
	if err != nil {
		return nil, err
	}
	sh.conn = conn
	sh.catalog = &catalog{conn: conn}
	return sh, nil
}

func (sh *Shell) close() error {
	err := sh.closeOutput()
	if e := sh.conn.Close(); err == nil && !errors.Is(e, sql.ErrConnDone) {
		err = e
	}
	return err
}

func (sh *Shell) run(ctx context.Context) error {
	var err error
	switch {
	case len(sh.o.SQL) > 0:
		for _, text := range sh.o.SQL {
			if err = sh.runScript(ctx, strings.NewReader(text), ""); err != nil {
				break
			}
		}
	case sh.o.Interactive:
		err = sh.repl(ctx)
	default:
		err = sh.runScript(ctx, sh.o.In, "")
	}
	if errors.Is(err, errQuit) {
		err = nil
	}
	if err == nil && sh.failed > 0 && (!sh.o.Interactive || len(sh.o.SQL) > 0) {
		return ErrFailed
	}
	return err
}

// runScript runs what r holds to its end, errQuit or, with .bail on, the
// first error. name is the script's for errors, "" for none.
func (sh *Shell) runScript(ctx context.Context, r io.Reader, name string) error {
	in := bufio.NewReaderSize(r, 64<<10)
	var s splitter
	for line := 1; ; line++ {
		text, readErr := in.ReadString('\n')
		if readErr != nil && readErr != io.EOF {
			return readErr
		}
		if line == 1 {
			text = strings.TrimPrefix(text, "\ufeff")
		}
		if err := sh.line(ctx, &s, text, line, name); err != nil {
			return err
		}
		if readErr == io.EOF {
			break
		}
	}
	if stmt, line, ok := s.rest(); ok {
		return sh.statement(ctx, stmt, line, name)
	}
	return nil
}

// line runs what the next line of a script completes.
func (sh *Shell) line(ctx context.Context, s *splitter, text string, line int, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.pending() && (strings.HasPrefix(text, ".") || strings.HasPrefix(text, "#")) {
		s.feed("\n") // keeps the count of lines
		s.next()
		if text[0] == '#' {
			return nil
		}
		once := sh.once
		return sh.fail(sh.command(ctx, strings.TrimRight(text, "\r\n")), once, line, name)
	}
	s.feed(text)
	for {
		stmt, line, ok := s.next()
		if !ok {
			return nil
		}
		if err := sh.statement(ctx, stmt, line, name); err != nil {
			return err
		}
	}
}

func (sh *Shell) statement(ctx context.Context, stmt string, line int, name string) error {
	if sh.echo {
		fmt.Fprintln(sh.out, stmt)
	}
	return sh.fail(sh.exec(ctx, stmt), sh.once, line, name)
}

// fail decides what becomes of the error of a statement or command: returned,
// if it ends the script, or reported. once says that its output goes to the
// file of .once, which ends here.
func (sh *Shell) fail(err error, once bool, line int, name string) error {
	if once && sh.once {
		if e := sh.closeOutput(); err == nil {
			err = e
		}
	}
	if err == nil || errors.Is(err, errQuit) || errors.Is(err, errBailed) {
		return err
	}
	if !sh.o.Interactive || name != "" {
		var se *StatementError
		if errors.As(err, &se) {
			se.File, se.Line = name, se.Line+line-1
		} else if name != "" {
			err = fmt.Errorf("%s line %d: %w", name, line, err)
		} else if len(sh.o.SQL) == 0 {
			err = fmt.Errorf("line %d: %w", line, err)
		}
	}
	sh.failed++
	if sh.bail && sh.depth > 0 { // an included script stops, and so do those that include it
		sh.report(err)
		return fmt.Errorf("%w: %w", errBailed, ErrFailed)
	}
	if sh.bail || errors.Is(err, context.Canceled) && !sh.o.Interactive || errors.Is(err, errOutputGone) {
		return err
	}
	sh.report(err)
	return nil
}

// errBailed ends scripts whose error was reported already.
var errBailed = errors.New("stopped")

func (sh *Shell) report(err error) {
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(sh.o.Err, "interrupted")
		return
	}
	fmt.Fprintf(sh.o.Err, "error: %v\n", err)
	if sh.o.Hint == nil {
		return
	}
	if hint := sh.o.Hint(err); hint != "" {
		fmt.Fprintf(sh.o.Err, "  %s\n", hint)
	}
}

// errOutputGone says that the reader of the output went away, as in
// `hako db shell shop ... | head`.
var errOutputGone = errors.New("output was closed")

// outputFile is a file opened by .output or .once.
// path is where a file lies that the user named.
func (sh *Shell) path(name string) string {
	if sh.o.Path == nil {
		return name
	}
	return sh.o.Path(name)
}

type outputFile struct {
	f *os.File
	w *bufio.Writer
}

func (sh *Shell) openOutput(name string, once bool) error {
	if err := sh.closeOutput(); err != nil {
		return err
	}
	f, err := os.Create(sh.path(name))
	if err != nil {
		return fmt.Errorf("cannot write results to a file: %w", err)
	}
	sh.file = &outputFile{f, bufio.NewWriter(f)}
	sh.out, sh.once = sh.file.w, once
	return nil
}

func (sh *Shell) closeOutput() error {
	file := sh.file
	sh.file, sh.out, sh.once = nil, sh.o.Out, false
	if file == nil {
		return nil
	}
	err := file.w.Flush()
	if e := file.f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("cannot write results to %s: %w", file.f.Name(), err)
	}
	return nil
}
