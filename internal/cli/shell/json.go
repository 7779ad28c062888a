package shell

import (
	"bufio"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// jsonPrinter writes an array of objects, or an object a line. Blobs become
// strings with a character of U+0000 to U+00FF for each byte.
type jsonPrinter struct {
	w       *bufio.Writer
	columns []string
	lines   bool
	rows    int
}

func (p *jsonPrinter) begin() error { return nil }

func (p *jsonPrinter) row(row []value) error {
	switch {
	case p.lines:
	case p.rows == 0:
		p.w.WriteByte('[')
	default:
		p.w.WriteString(",\n")
	}
	p.rows++
	var b []byte
	b = append(b, '{')
	for i, v := range row {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSONString(b, p.columns[i])
		b = append(b, ':')
		b = appendJSON(b, v)
	}
	b = append(b, '}')
	if p.lines {
		b = append(b, '\n')
	}
	_, err := p.w.Write(b)
	return err
}

func (p *jsonPrinter) end() error {
	if p.lines {
		return nil
	}
	text := "]\n"
	if p.rows == 0 {
		text = "[]\n"
	}
	_, err := p.w.WriteString(text)
	return err
}

func (p *jsonPrinter) streams() bool { return true }

func appendJSON(b []byte, v value) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		switch {
		case math.IsInf(v, 1):
			return append(b, "1e999"...)
		case math.IsInf(v, -1):
			return append(b, "-1e999"...)
		}
		return append(b, formatFloat(v)...)
	case []byte:
		b = append(b, '"')
		for _, c := range v {
			if c < 0x80 {
				b = appendJSONRune(b, rune(c))
			} else {
				b = fmt.Appendf(b, "\\u%04x", c)
			}
		}
		return append(b, '"')
	case time.Time:
		return appendJSONString(b, formatTime(v))
	}
	return appendJSONString(b, textOf(v, ""))
}

// appendJSONString writes s; a byte of it that is not UTF-8 becomes U+00XX.
func appendJSONString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			b = fmt.Appendf(b, "\\u%04x", s[i])
		} else {
			b = appendJSONRune(b, r)
		}
		i += n
	}
	return append(b, '"')
}

func appendJSONRune(b []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(b, '\\', byte(r))
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	case '\b':
		return append(b, `\b`...)
	case '\f':
		return append(b, `\f`...)
	}
	if r < ' ' || r == 0x7f || r == 0x2028 || r == 0x2029 {
		return fmt.Appendf(b, "\\u%04x", r)
	}
	return utf8.AppendRune(b, r)
}
