package shell

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

func (sh *Shell) setHeaders(_ context.Context, args []string) error {
	v, err := parseToggle(args[0])
	if err != nil {
		return err
	}
	sh.headers = off
	if v {
		sh.headers = on
	}
	return nil
}

func (sh *Shell) modeCommand(_ context.Context, args []string) error {
	if len(args) == 0 {
		_, err := fmt.Fprintf(sh.out, "current output mode: %s\n", sh.mode)
		return err
	}
	var words []string
	wrap := sh.wrap
	for i := 0; i < len(args); i++ {
		switch strings.TrimPrefix(args[i], "-") {
		case "-wrap":
			if i++; i == len(args) {
				return commandUsage("mode")
			}
			n, err := strconv.Atoi(args[i])
			if err != nil && args[i] != "off" || n < 0 {
				return fmt.Errorf("--wrap needs a number of columns, not %q", args[i])
			}
			wrap = n
		default:
			if strings.HasPrefix(args[i], "--") {
				return fmt.Errorf("unknown option %s: %w", args[i], commandUsage("mode"))
			}
			words = append(words, args[i])
		}
	}
	if len(words) > 2 {
		return commandUsage("mode")
	}
	if len(words) > 0 {
		if err := sh.setMode(words[0]); err != nil {
			return err
		}
		sh.sepSet = false
		sh.modeTable = ""
		if len(words) == 2 {
			sh.modeTable = words[1]
		}
	}
	sh.wrap = wrap
	return nil
}

func (sh *Shell) separator(_ context.Context, args []string) error {
	sh.colSep, sh.sepSet = args[0], true
	if len(args) > 1 {
		sh.rowSep = args[1]
	}
	return nil
}

func (sh *Shell) setWidths(_ context.Context, args []string) error {
	widths := make([]int, len(args))
	for i, a := range args {
		n, err := strconv.Atoi(a)
		if err != nil || n > 10000 || n < -10000 {
			return fmt.Errorf("width %q is not a number from -10000 to 10000", a)
		}
		widths[i] = n
	}
	sh.widths = widths
	return nil
}

func (sh *Shell) outputCommand(_ context.Context, args []string) error {
	if len(args) == 0 || args[0] == "stdout" {
		return sh.closeOutput()
	}
	return sh.openOutput(args[0], false)
}

func (sh *Shell) show(context.Context, []string) error {
	onOff := func(v bool) string {
		if v {
			return "on"
		}
		return "off"
	}
	headers := [...]string{"auto", "on", "off"}[sh.headers]
	output := "stdout"
	if sh.file != nil {
		output = sh.file.f.Name()
	}
	widths := make([]string, len(sh.widths))
	for i, w := range sh.widths {
		widths[i] = strconv.Itoa(w)
	}
	mode := string(sh.mode)
	if sh.modeTable != "" {
		mode += " " + sh.modeTable
	}
	for _, s := range [][2]string{
		{"bail", onOff(sh.bail)}, {"changes", onOff(sh.changes)}, {"echo", onOff(sh.echo)}, {"headers", headers},
		{"mode", mode}, {"nullvalue", strconv.Quote(sh.null)}, {"output", output},
		{"colseparator", strconv.Quote(sh.colSep)}, {"rowseparator", strconv.Quote(sh.rowSep)},
		{"timer", onOff(sh.timer)}, {"width", strings.Join(widths, " ")}, {"wrap", strconv.Itoa(sh.wrap)},
	} {
		if _, err := fmt.Fprintln(sh.out, strings.TrimRight(fmt.Sprintf("%12s: %s", s[0], s[1]), " ")); err != nil {
			return outputError(err)
		}
	}
	return nil
}

// maxReadDepth is how deep .read may nest, so that a script that reads itself
// ends.
const maxReadDepth = 25

func (sh *Shell) read(ctx context.Context, args []string) error {
	if sh.depth >= maxReadDepth {
		return fmt.Errorf(".read %s: %d scripts read each other already; does one read itself?", args[0], maxReadDepth)
	}
	f, err := os.Open(sh.path(args[0]))
	if err != nil {
		return fmt.Errorf("cannot read a script: %w", err)
	}
	defer f.Close()
	if sh.once {
		sh.once = false // lasts for the script
		defer func() { sh.once = sh.file != nil }()
	}
	sh.depth++
	err = sh.runScript(ctx, f, args[0])
	sh.depth--
	return err
}

func (sh *Shell) parameter(ctx context.Context, args []string) error {
	switch args[0] {
	case "list":
		names := make([]string, 0, len(sh.params))
		width := 0
		for name := range sh.params {
			names = append(names, name)
			width = max(width, len(name))
		}
		slices.Sort(names)
		for _, name := range names {
			if _, err := fmt.Fprintf(sh.out, "%-*s %s\n", width, name, literalOf(sh.params[name], false)); err != nil {
				return outputError(err)
			}
		}
		return nil
	case "clear", "init":
		clear(sh.params)
		return nil
	case "unset":
		if len(args) != 2 {
			return commandUsage("parameter")
		}
		delete(sh.params, args[1])
		return nil
	case "set":
		if len(args) != 3 {
			return commandUsage("parameter")
		}
		name := args[1]
		if t := nextToken(name+" ", 0); t.kind != tokenParam || t.end != len(name) || len(name) < 2 {
			return fmt.Errorf("%q is not a parameter: write it as :name, @name, $name or ?1", name)
		}
		var v any
		// The value is an SQL expression; what is none is taken as text.
		err := errors.New("not an expression")
		if isExpression(args[2]) {
			err = sh.conn.QueryRowContext(ctx, "SELECT "+args[2]).Scan(&v)
		}
		if err != nil {
			v = args[2]
		}
		sh.params[name] = v
		return nil
	}
	return commandUsage("parameter")
}

// isExpression reports whether text could be one expression, and nothing that
// reads on into another statement.
func isExpression(text string) bool {
	for _, t := range tokens(text) {
		if text[t.start:t.end] == ";" || t.kind == tokenParam {
			return false
		}
	}
	return strings.TrimSpace(text) != ""
}
