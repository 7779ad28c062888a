package image

import (
	"fmt"
	"regexp"
	"strings"
)

// A FileError is a mistake in a build file.
type FileError struct {
	File string
	Line int // from 1; 0 if it is about the whole file
	Err  error
}

func (e *FileError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}

func (e *FileError) Unwrap() error { return e.Err }

// An instruction is one of a Dockerfile.
type instruction struct {
	line     int
	name     string // in upper case
	flags    []flag
	rest     string    // the arguments, lines joined
	heredocs []heredoc // in the order of their names in rest
}

// A flag is --name=value.
type flag struct{ name, value string }

// A heredoc is a file written in the Dockerfile.
type heredoc struct {
	name   string
	quoted bool // its text is to stay as it is
	text   string
}

// A dockerfile is one that was parsed.
type dockerfile struct {
	escape       byte
	instructions []instruction
}

// maxBuildFile is how long a build file may be, in bytes.
const maxBuildFile = 1 << 20

var (
	directivePattern = regexp.MustCompile(`^#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.*?)\s*$`)
	heredocPattern   = regexp.MustCompile(`^<<(-?)(?:"([A-Za-z_][A-Za-z0-9_.]*)"|'([A-Za-z_][A-Za-z0-9_.]*)'|([A-Za-z_][A-Za-z0-9_.]*))$`)
)

// parseDockerfile splits a Dockerfile into instructions: the parser directive
// escape, comments, continued lines, flags and heredocs. Errors are
// [FileError]s without a file.
func parseDockerfile(text string) (*dockerfile, error) {
	if len(text) > maxBuildFile {
		return nil, &FileError{Err: errorOf(ErrTooLarge, "it has %d bytes; %d are allowed", len(text), maxBuildFile)}
	}
	text = strings.TrimPrefix(text, "\ufeff")
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], "\r")
	}
	d := &dockerfile{escape: '\\'}
	if err := d.directives(lines); err != nil {
		return nil, err
	}
	for i := 0; i < len(lines); {
		trimmed := strings.TrimSpace(lines[i])
		if trimmed == "" || trimmed[0] == '#' {
			i++
			continue
		}
		first := i + 1
		logical, next := d.join(lines, i)
		in, err := parseInstruction(logical)
		if err != nil {
			return nil, &FileError{Line: first, Err: err}
		}
		in.line = first
		i = next
		if in.name == "COPY" || in.name == "ADD" || in.name == "RUN" {
			if i, err = in.readHeredocs(lines, i); err != nil {
				return nil, &FileError{Line: first, Err: err}
			}
		}
		d.instructions = append(d.instructions, in)
	}
	return d, nil
}

// directives reads the comments at the top that are none.
func (d *dockerfile) directives(lines []string) error {
	for i, line := range lines {
		m := directivePattern.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			return nil
		}
		switch strings.ToLower(m[1]) {
		case "escape":
			if m[2] != `\` && m[2] != "`" {
				return &FileError{Line: i + 1, Err: fmt.Errorf("the escape character is %q; it can be \\ or `", m[2])}
			}
			d.escape = m[2][0]
		case "syntax", "check": // of other builders
		default:
			return nil
		}
	}
	return nil
}

// join returns the line that begins at lines[i], with those that continue it,
// and the number of the next.
func (d *dockerfile) join(lines []string, i int) (string, int) {
	var b strings.Builder
	for begin := i; i < len(lines); i++ {
		line := lines[i]
		if i > begin {
			trimmed := strings.TrimSpace(line)
			if trimmed == "" || trimmed[0] == '#' {
				continue
			}
		}
		more, ok := d.continued(line)
		b.WriteString(more)
		if !ok {
			return b.String(), i + 1
		}
	}
	return b.String(), i
}

// continued reports whether the next line belongs to this one, and returns it
// without what says so.
func (d *dockerfile) continued(line string) (string, bool) {
	trimmed := strings.TrimRight(line, " \t")
	n := len(trimmed)
	if n == 0 || trimmed[n-1] != d.escape || n > 1 && trimmed[n-2] == d.escape {
		return line, false
	}
	return trimmed[:n-1], true
}

// parseInstruction splits off the name and the flags.
func parseInstruction(line string) (instruction, error) {
	name, rest := cutSpace(strings.TrimSpace(line))
	in := instruction{name: strings.ToUpper(name)}
	for strings.HasPrefix(rest, "--") {
		var word string
		word, rest = cutSpace(rest)
		if word == "--" {
			break
		}
		f := flag{name: strings.TrimPrefix(word, "--")}
		f.name, f.value, _ = strings.Cut(f.name, "=")
		if f.name == "" {
			return in, fmt.Errorf("%s: the flag %q has no name", in.name, word)
		}
		in.flags = append(in.flags, f)
	}
	in.rest = rest
	return in, nil
}

// cutSpace splits at the first white space.
func cutSpace(s string) (word, rest string) {
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimLeft(s[i:], " \t")
}

// readHeredocs reads the texts of the heredocs that the arguments name, from
// lines[i] on.
func (in *instruction) readHeredocs(lines []string, i int) (int, error) {
	for _, word := range strings.Fields(in.rest) {
		m := heredocPattern.FindStringSubmatch(word)
		if m == nil {
			continue
		}
		h := heredoc{name: m[2] + m[3] + m[4], quoted: m[4] == ""}
		var b strings.Builder
		for ended := false; !ended; i++ {
			if i == len(lines) {
				return i, fmt.Errorf("the text of %s has no end: a line %s is missing", word, h.name)
			}
			line := lines[i]
			if m[1] == "-" {
				line = strings.TrimLeft(line, "\t")
			}
			if ended = line == h.name; !ended {
				b.WriteString(line + "\n")
			}
		}
		h.text = b.String()
		in.heredocs = append(in.heredocs, h)
	}
	return i, nil
}
