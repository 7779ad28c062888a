package phpt

import (
	"fmt"
	"regexp"
	"strings"
)

// placeholders are what stands in EXPECTF for something that varies.
var placeholders = strings.NewReplacer(
	"%e", "/",
	"%s", `[^\r\n]+`,
	"%S", `[^\r\n]*`,
	"%a", `.+`,
	"%A", `.*`,
	"%w", `[\s\v]*`,
	"%i", `[+-]?\d+`,
	"%d", `\d+`,
	"%x", `[0-9a-fA-F]+`,
	"%f", `[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:[Ee][+-]?\d+)?`,
	"%c", `.`,
	"%0", `\x00`,
)

// formatPattern makes a regular expression of the text of EXPECTF: parts
// between two %r are one already.
func formatPattern(text string) string {
	var b strings.Builder
	for text != "" {
		plain, rest, ok := strings.Cut(text, "%r")
		pattern, after, closed := strings.Cut(rest, "%r")
		if !ok || !closed {
			b.WriteString(regexp.QuoteMeta(text))
			break
		}
		b.WriteString(regexp.QuoteMeta(plain))
		b.WriteString("(" + pattern + ")")
		text = after
	}
	return placeholders.Replace(b.String())
}

// latin1 makes a character of each byte: PHP's patterns match bytes.
func latin1(s string) string {
	b := make([]rune, len(s))
	for i := range len(s) {
		b[i] = rune(s[i])
	}
	return string(b)
}

func lines(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

// space is what PHP's trim takes away.
const space = " \t\n\r\x00\v"

// expected tells whether output is what the test should print. An error
// means that its pattern is none.
func (t *Test) expected(output string) (bool, error) {
	pattern := ""
	switch {
	case t.has("EXPECTF"):
		pattern = formatPattern(lines(strings.Trim(t.sections["EXPECTF"], space)))
	case t.has("EXPECTREGEX"):
		pattern = lines(strings.Trim(t.sections["EXPECTREGEX"], space))
	default:
		return output == lines(strings.Trim(t.sections["EXPECT"], space)), nil
	}
	re, err := regexp.Compile("(?s)^" + latin1(pattern) + "\n?$")
	if err != nil {
		return false, fmt.Errorf("test %s: what it should print: %w", t.Name, err)
	}
	return re.MatchString(latin1(output)), nil
}

// headers tells whether the headers in a CGI program's output are those that
// the test wants.
func (t *Test) headers(head string) bool {
	parse := func(text string) map[string]string {
		m := map[string]string{}
		for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
			if name, value, ok := strings.Cut(line, ":"); ok {
				m[strings.Trim(name, space)] = strings.Trim(value, space)
			}
		}
		return m
	}
	got := parse(head)
	for name, value := range parse(t.sections["EXPECTHEADERS"]) {
		if v, ok := got[name]; !ok || v != value {
			return false
		}
	}
	return true
}
