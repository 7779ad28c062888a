package image

import (
	"encoding/json"
	"fmt"
	"strings"
)

// A lookup returns the value of a variable of a Dockerfile.
type lookup func(name string) (value string, ok bool)

// An expander expands variables, and removes quotes and escapes, as in a
// shell.
type expander struct {
	escape byte
	vars   lookup
	raw    bool // quotes stay: for the text of heredocs
}

// maxNesting is how deep ${a:-${b:-...}} may go, maxExpanded how long a word
// may become.
const (
	maxNesting  = 16
	maxExpanded = 1 << 20
)

// word expands one word.
func (x *expander) word(s string) (string, error) {
	r := &wordReader{expander: x, s: s}
	out, err := r.read(0, 0)
	if err == nil && len(out) > maxExpanded {
		err = errorOf(ErrTooLarge, "it expands to %d bytes; %d are allowed", len(out), maxExpanded)
	}
	return out, err
}

// A wordReader is at a place in a word.
type wordReader struct {
	*expander
	s string
	i int
}

// read expands up to the byte end, or to the end of the word if that is 0.
func (r *wordReader) read(end byte, depth int) (string, error) {
	if depth > maxNesting {
		return "", fmt.Errorf("variables are nested more than %d deep", maxNesting)
	}
	var b strings.Builder
	for r.i < len(r.s) {
		c := r.s[r.i]
		r.i++
		switch {
		case c == end && end != 0:
			return b.String(), nil
		case c == '\'' && !r.raw:
			n := strings.IndexByte(r.s[r.i:], '\'')
			if n < 0 {
				return "", fmt.Errorf("the quote in %s has no end", r.s)
			}
			b.WriteString(r.s[r.i : r.i+n])
			r.i += n + 1
		case c == '"' && !r.raw:
			if err := r.quoted(&b, depth); err != nil {
				return "", err
			}
		case c == r.escape:
			if r.i == len(r.s) {
				b.WriteByte(c)
				break
			}
			if r.raw && r.s[r.i] != '$' && r.s[r.i] != r.escape {
				b.WriteByte(c)
			}
			b.WriteByte(r.s[r.i])
			r.i++
		case c == '$':
			value, err := r.variable(depth)
			if err != nil {
				return "", err
			}
			b.WriteString(value)
		default:
			b.WriteByte(c)
		}
		if b.Len() > maxExpanded {
			return "", errorOf(ErrTooLarge, "a word expands to more than %d bytes", maxExpanded)
		}
	}
	if end != 0 {
		return "", fmt.Errorf("a closing %q is missing in %s", end, r.s)
	}
	return b.String(), nil
}

// quoted expands up to the closing double quote.
func (r *wordReader) quoted(b *strings.Builder, depth int) error {
	for r.i < len(r.s) {
		c := r.s[r.i]
		r.i++
		switch {
		case c == '"':
			return nil
		case c == r.escape && r.i < len(r.s):
			if next := r.s[r.i]; next != '"' && next != '$' && next != r.escape {
				b.WriteByte(c)
			}
			b.WriteByte(r.s[r.i])
			r.i++
		case c == '$':
			value, err := r.variable(depth)
			if err != nil {
				return err
			}
			b.WriteString(value)
		default:
			b.WriteByte(c)
		}
	}
	return fmt.Errorf("the quote in %s has no end", r.s)
}

func isNameByte(c byte, first bool) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || !first && c >= '0' && c <= '9'
}

// name reads the name of a variable.
func (r *wordReader) name() string {
	from := r.i
	for r.i < len(r.s) && isNameByte(r.s[r.i], r.i == from) {
		r.i++
	}
	return r.s[from:r.i]
}

// variable expands what follows a dollar sign.
func (r *wordReader) variable(depth int) (string, error) {
	if r.i == len(r.s) || r.s[r.i] != '{' {
		name := r.name()
		if name == "" {
			return "$", nil
		}
		value, _ := r.vars(name)
		return value, nil
	}
	r.i++
	name := r.name()
	if name == "" {
		return "", fmt.Errorf("a variable in %s has no name", r.s)
	}
	value, ok := r.vars(name)
	if r.i == len(r.s) {
		return "", fmt.Errorf("a closing '}' is missing in %s", r.s)
	}
	c := r.s[r.i]
	r.i++
	if c == '}' {
		return value, nil
	}
	if c == ':' && r.i < len(r.s) {
		ok = ok && value != ""
		c = r.s[r.i]
		r.i++
	}
	if c != '-' && c != '+' && c != '?' {
		return "", fmt.Errorf("${%s%c...} is not supported: there are ${X}, ${X:-default}, ${X:+other} and ${X:?message}, each also without the colon", name, c)
	}
	other, err := r.read('}', depth+1)
	switch {
	case err != nil:
		return "", err
	case c == '-' && !ok, c == '+' && ok:
		return other, nil
	case c == '?' && !ok:
		return "", fmt.Errorf("%s: %s", name, other)
	case c == '+':
		return "", nil
	}
	return value, nil
}

// splitWords splits at white space outside of quotes, and expands nothing.
func (x *expander) splitWords(s string) ([]string, error) {
	var words []string
	for i := 0; ; {
		for i < len(s) && (s[i] == ' ' || s[i] == '\t') {
			i++
		}
		if i == len(s) {
			return words, nil
		}
		from, quote := i, byte(0)
		for i < len(s) && (quote != 0 || s[i] != ' ' && s[i] != '\t') {
			switch c := s[i]; {
			case c == x.escape && quote != '\'' && i+1 < len(s):
				i++
			case quote == c:
				quote = 0
			case quote == 0 && (c == '"' || c == '\''):
				quote = c
			}
			i++
		}
		if quote != 0 {
			return nil, fmt.Errorf("the quote in %s has no end", s[from:])
		}
		words = append(words, s[from:i])
	}
}

// pairs reads the NAME=value words of ENV and LABEL, or the older form NAME
// value.
func (x *expander) pairs(rest string) ([][2]string, error) {
	words, err := x.splitWords(rest)
	if err != nil {
		return nil, err
	}
	if len(words) == 0 {
		return nil, fmt.Errorf("a NAME=value is missing")
	}
	if !strings.Contains(words[0], "=") {
		name, value := cutSpace(rest)
		if value == "" {
			return nil, fmt.Errorf("%s has no value: write %s=value", name, name)
		}
		words = []string{name + "=" + value}
	}
	var list [][2]string
	for _, word := range words {
		name, value, ok := strings.Cut(word, "=")
		if !ok {
			return nil, fmt.Errorf("%s is no NAME=value: quote values that have spaces", word)
		}
		if name, err = x.word(name); err == nil {
			value, err = x.word(value)
		}
		if err != nil {
			return nil, err
		}
		if name == "" {
			return nil, fmt.Errorf("%s has no name", word)
		}
		if strings.ContainsRune(name+value, 0) {
			return nil, fmt.Errorf("%s has a zero byte", name)
		}
		list = append(list, [2]string{name, value})
	}
	return list, nil
}

// jsonWords reads the exec form, ["a", "b"]. It is not ok if it is none.
func jsonWords(rest string) (words []string, ok bool) {
	if !strings.HasPrefix(rest, "[") {
		return nil, false
	}
	words = []string{}
	if json.Unmarshal([]byte(rest), &words) != nil {
		return nil, false
	}
	return words, true
}
