package shell

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/hako-run/hako/internal/nearest"
)

// A command is a dot-command.
type command struct {
	name  string
	usage string // its arguments
	help  string
	min   int // fewest arguments
	max   int // most arguments; -1: any number
	run   func(sh *Shell, ctx context.Context, args []string) error
}

// commands is filled by init because .help needs it.
var commands []command

func init() {
	commands = []command{
		{"bail", "on|off", "Stop at the first error", 1, 1, toggle(func(sh *Shell) *bool { return &sh.bail })},
		{"changes", "on|off", "Show the number of rows each statement changed", 1, 1, toggle(func(sh *Shell) *bool { return &sh.changes })},
		{"databases", "", "List the attached databases", 0, 0, (*Shell).databases},
		{"dump", "[TABLE ...]", "Print a script that makes the database again", 0, -1, (*Shell).dumpCommand},
		{"echo", "on|off", "Show each statement before it runs", 1, 1, toggle(func(sh *Shell) *bool { return &sh.echo })},
		{"exit", "", "Leave the shell", 0, 1, (*Shell).quit},
		{"headers", "on|off", "Show the names of columns", 1, 1, (*Shell).setHeaders},
		{"help", "[COMMAND]", "Show the commands", 0, 1, (*Shell).help},
		{"import", "[--csv|--tsv] [--skip N] FILE TABLE", "Add the rows of a CSV file to a table; a new table takes its columns from the first line", 2, -1, (*Shell).importCommand},
		{"indexes", "[TABLE]", "List the indexes, or those of the tables that match", 0, 1, (*Shell).indexes},
		{"mode", "[MODE [TABLE]] [--wrap N]", "Set how results look: " + modeNames(), 0, -1, (*Shell).modeCommand},
		{"nullvalue", "TEXT", "Show TEXT for NULL", 1, 1, func(sh *Shell, _ context.Context, args []string) error { sh.null = args[0]; return nil }},
		{"once", "FILE", "Write the next result to FILE", 1, 1, func(sh *Shell, _ context.Context, args []string) error { return sh.openOutput(args[0], true) }},
		{"output", "[FILE]", "Write results to FILE, or here again", 0, 1, (*Shell).outputCommand},
		{"parameter", "set NAME VALUE | list | clear | unset NAME", "Set the parameters (:a, @a, $a, ?1) of statements", 1, 3, (*Shell).parameter},
		{"print", "TEXT ...", "Print TEXT", 0, -1, func(sh *Shell, _ context.Context, args []string) error {
			_, err := fmt.Fprintln(sh.out, strings.Join(args, " "))
			return outputError(err)
		}},
		{"quit", "", "Leave the shell", 0, 0, (*Shell).quit},
		{"read", "FILE", "Run the statements and commands in FILE", 1, 1, (*Shell).read},
		{"schema", "[PATTERN]", "Show the CREATE statements of the tables that match", 0, 1, (*Shell).schema},
		{"separator", "COLUMN [ROW]", "Set what stands between columns and after rows", 1, 2, (*Shell).separator},
		{"show", "", "Show the settings", 0, 0, (*Shell).show},
		{"tables", "[PATTERN]", "List the tables and views that match", 0, 1, (*Shell).tables},
		{"timer", "on|off", "Show how long each statement took", 1, 1, toggle(func(sh *Shell) *bool { return &sh.timer })},
		{"width", "[N ...]", "Set the widths of columns; below 0 aligns to the right, 0 fits the text", 0, -1, (*Shell).setWidths},
	}
}

var commandAliases = map[string]string{
	"header": "headers", "indices": "indexes", "param": "parameter", "parameters": "parameter", "table": "tables", "q": "quit", "h": "help",
}

// command runs a line that begins with a dot.
func (sh *Shell) command(ctx context.Context, line string) error {
	args, err := splitArgs(line[1:])
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return fmt.Errorf("a command's name follows the dot: .help lists them")
	}
	name := strings.ToLower(args[0])
	if full, ok := commandAliases[name]; ok {
		name = full
	}
	args = args[1:]
	var names []string
	for i := range commands {
		c := &commands[i]
		names = append(names, c.name)
		if c.name != name {
			continue
		}
		if len(args) < c.min || c.max >= 0 && len(args) > c.max {
			return usageError(c)
		}
		return c.run(sh, ctx, args)
	}
	if near := nearest.Of(name, slices.Values(names)); near != "" {
		return fmt.Errorf("unknown command .%s: did you mean .%s? (.help lists the commands)", name, near)
	}
	return fmt.Errorf("unknown command .%s: .help lists the commands", name)
}

func usageError(c *command) error {
	return fmt.Errorf(".%s is written as: .%s %s", c.name, c.name, c.usage)
}

func commandUsage(name string) error {
	i := slices.IndexFunc(commands, func(c command) bool { return c.name == name })
	return usageError(&commands[i])
}

// splitArgs cuts a command line into words. Within double quotes the escapes
// of C hold; within single quotes nothing is special.
func splitArgs(line string) ([]string, error) {
	var args []string
	for i := 0; i < len(line); {
		switch c := line[i]; c {
		case ' ', '\t', '\r', '\n':
			i++
		case '\'', '"':
			var b strings.Builder
			i++
			for {
				if i >= len(line) {
					return nil, fmt.Errorf("the %c that opens an argument of .%s is never closed", c, strings.Fields(line + " ?")[0])
				}
				if line[i] == c {
					i++
					break
				}
				if c == '"' && line[i] == '\\' && i+1 < len(line) {
					r, multibyte, rest, err := strconv.UnquoteChar(line[i:], 0)
					switch {
					case err != nil:
						b.WriteByte(line[i+1])
						i += 2
					case multibyte:
						b.WriteRune(r)
						i = len(line) - len(rest)
					default:
						b.WriteByte(byte(r))
						i = len(line) - len(rest)
					}
					continue
				}
				b.WriteByte(line[i])
				i++
			}
			args = append(args, b.String())
		default:
			start := i
			for i < len(line) && line[i] != ' ' && line[i] != '\t' && line[i] != '\r' && line[i] != '\n' {
				i++
			}
			args = append(args, line[start:i])
		}
	}
	return args, nil
}

func parseToggle(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "on", "yes", "true", "1":
		return true, nil
	case "off", "no", "false", "0":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither on nor off", s)
}

func toggle(setting func(*Shell) *bool) func(*Shell, context.Context, []string) error {
	return func(sh *Shell, _ context.Context, args []string) error {
		v, err := parseToggle(args[0])
		if err == nil {
			*setting(sh) = v
		}
		return err
	}
}

func (sh *Shell) quit(_ context.Context, args []string) error {
	if len(args) > 0 && args[0] != "0" {
		return fmt.Errorf("%w (.exit %s)", ErrFailed, args[0])
	}
	return errQuit
}

func (sh *Shell) help(_ context.Context, args []string) error {
	var b strings.Builder
	shown := 0
	for i := range commands {
		c := &commands[i]
		if len(args) > 0 && c.name != strings.TrimPrefix(strings.ToLower(args[0]), ".") {
			continue
		}
		shown++
		head := "." + c.name
		if c.usage != "" {
			head += " " + c.usage
		}
		if len(head) > 26 {
			fmt.Fprintf(&b, "%s\n%-26s  ", head, "")
		} else {
			fmt.Fprintf(&b, "%-26s  ", head)
		}
		b.WriteString(strings.Join(wrapWords(c.help, 50), "\n"+strings.Repeat(" ", 28)) + "\n")
	}
	if shown == 0 {
		return sh.unknownHelp(args[0])
	}
	_, err := io.WriteString(sh.out, b.String())
	return outputError(err)
}

func (sh *Shell) unknownHelp(name string) error {
	names := make([]string, len(commands))
	for i := range commands {
		names[i] = commands[i].name
	}
	if near := nearest.Of(strings.TrimPrefix(name, "."), slices.Values(names)); near != "" {
		return fmt.Errorf("no command %s: did you mean .%s?", name, near)
	}
	return fmt.Errorf("no command %s: .help lists them", name)
}

func wrapWords(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

func modeNames() string {
	names := make([]string, len(Modes))
	for i, m := range Modes {
		names[i] = string(m)
	}
	return strings.Join(names, ", ")
}
