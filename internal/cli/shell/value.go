package shell

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A value is what a column of a row holds: nil, int64, float64, string or
// []byte, as database/sql scans them from SQLite.
type value any

// textOf returns v as sqlite3 shows it in the modes for people: blobs as the
// text that their bytes are, NULL as null.
func textOf(v value, null string) string {
	switch v := v.(type) {
	case nil:
		return null
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return formatFloat(v)
	case string:
		return v
	case []byte:
		return string(v)
	case bool:
		if v {
			return "1"
		}
		return "0"
	case time.Time:
		return formatTime(v)
	}
	return fmt.Sprint(v)
}

func isNumber(v value) bool {
	switch v.(type) {
	case int64, float64:
		return true
	}
	return false
}

// isText reports whether a blob's bytes are text that can be shown.
func isText(b []byte) bool {
	return utf8.Valid(b) && !bytes.ContainsFunc(b, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' })
}

// blobShown is how many bytes of a long blob a person is shown.
const blobShown = 12

// blobSummary shows a blob to a person: as a literal, of which all but the
// beginning is left out if it is long.
func blobSummary(b []byte) string {
	if len(b) <= 2*blobShown {
		return "x'" + hex.EncodeToString(b) + "'"
	}
	return fmt.Sprintf("x'%x…' %d bytes", b[:blobShown], len(b))
}

// formatFloat writes f as SQLite does when it casts a number to text, with the
// fewest digits that read back as f.
func formatFloat(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "Inf"
	case math.IsInf(f, -1):
		return "-Inf"
	case f == 0:
		return "0.0"
	}
	if a := math.Abs(f); a >= 1e-4 && a < 1e17 {
		s := strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	s := strconv.FormatFloat(f, 'e', -1, 64)
	if mantissa, exponent, _ := strings.Cut(s, "e"); !strings.Contains(mantissa, ".") {
		s = mantissa + ".0e" + exponent
	}
	return s
}

// formatTime writes the times that the driver makes of the text of columns
// declared DATE, DATETIME and TIMESTAMP where the shell could not keep the
// driver from it.
func formatTime(t time.Time) string {
	if _, offset := t.Zone(); offset != 0 {
		return t.Format("2006-01-02 15:04:05.999999999Z07:00")
	}
	if t.Hour() == 0 && t.Minute() == 0 && t.Second() == 0 && t.Nanosecond() == 0 {
		return t.Format("2006-01-02")
	}
	return t.Format("2006-01-02 15:04:05.999999999")
}

// literalOf returns v as an SQL literal that evaluates to exactly v.
// With escape, line ends within text are written by replace(), so that the
// literal is one line.
func literalOf(v value, escape bool) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case float64:
		switch {
		case math.IsInf(v, 1):
			return "1e999"
		case math.IsInf(v, -1):
			return "-1e999"
		case v == 0 && math.Signbit(v):
			return "-0.0"
		}
		return formatFloat(v)
	case string:
		return quoteText(v, escape)
	case []byte:
		return "X'" + hex.EncodeToString(v) + "'"
	case time.Time:
		return quoteText(formatTime(v), escape)
	}
	return textOf(v, "NULL")
}

func quoteText(s string, escape bool) string {
	if strings.IndexByte(s, 0) >= 0 { // no literal of text can hold a NUL
		return "CAST(X'" + hex.EncodeToString([]byte(s)) + "' AS TEXT)"
	}
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if !escape {
		return quoted
	}
	for _, end := range []struct{ char, token, code string }{{"\n", `\n`, "10"}, {"\r", `\r`, "13"}} {
		if !strings.Contains(quoted, end.char) {
			continue
		}
		token := end.token
		for n := 0; strings.Contains(quoted, token); n++ {
			token = fmt.Sprintf("(%s%d)", end.token, n)
		}
		quoted = "replace(" + strings.ReplaceAll(quoted, end.char, token) + ",'" + token + "',char(" + end.code + "))"
	}
	return quoted
}

// quoteName returns name as SQL wants it: bare if that is safe, else in
// double quotes.
func quoteName(name string) string {
	bare := name != "" && !(name[0] >= '0' && name[0] <= '9') && !isKeyword(name)
	for i := 0; i < len(name) && bare; i++ {
		bare = isWordByte(name[i]) && name[i] < 0x80 && name[i] != '$'
	}
	if bare {
		return name
	}
	return quoteNameAlways(name)
}

func quoteNameAlways(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}
